"""Fixtures of pytest. A ``conftest.py`` asks for them:

.. code-block:: python

    pytest_plugins = ["flask_kavach_stripe.testing.fixtures"]
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Final

import pytest
from flask import Flask

from ..sandbox import Clock
from ..sandbox import Sandbox
from .sandbox import connect

#: Where the clock of ``stripe_sandbox`` stands at first.
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def stripe_sandbox_clock() -> Clock:
    """The clock of ``stripe_sandbox``: it stands at noon of 15 January 2026 and moves
    only when it is told to. Override the fixture for another one."""
    return Clock(START)


@pytest.fixture
def stripe_sandbox_amounts() -> Mapping[str, int]:
    """What the prices in ``STRIPE_PRICES`` cost if not 9 dollars a month: cents, by
    name. Nothing; override the fixture to say it."""
    return {}


@pytest.fixture
def stripe_sandbox(
    app: Flask,
    stripe_sandbox_clock: Clock,
    stripe_sandbox_amounts: Mapping[str, int],
) -> Iterator[Sandbox]:
    """A local Stripe that the ``app`` of your own fixture talks to.

    .. versionadded:: 0.1
    """
    sandbox = Sandbox(clock=stripe_sandbox_clock)

    with connect(app, sandbox, amounts=stripe_sandbox_amounts):
        yield sandbox
