"""Fixtures of pytest. A ``conftest.py`` asks for them:

.. code-block:: python

    pytest_plugins = ["flask_kavach_stripe.testing.fixtures"]

A test that takes ``stripe_sandbox`` gets a local Stripe, connected to the app of your
own ``app`` fixture. Override ``stripe_sandbox_clock`` or ``stripe_sandbox_amounts`` for
another time or other prices.
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

#: The time at which the clock of ``stripe_sandbox`` starts.
START: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def stripe_sandbox_clock() -> Clock:
    """The clock of ``stripe_sandbox``, at noon of 15 January 2026, UTC.

    It moves only when the test calls :meth:`.Sandbox.advance`.
    """
    return Clock(START)


@pytest.fixture
def stripe_sandbox_amounts() -> Mapping[str, int]:
    """The monthly amounts of prices in ``STRIPE_PRICES``, in cents, by their names.

    Empty by default. A price that is not named here costs 900 cents.
    """
    return {}


@pytest.fixture
def stripe_sandbox(
    app: Flask,
    stripe_sandbox_clock: Clock,
    stripe_sandbox_amounts: Mapping[str, int],
) -> Iterator[Sandbox]:
    """A local Stripe that the app of your own ``app`` fixture talks to.

    It is a new one for each test, without customers, and with the prices in
    ``STRIPE_PRICES``; :func:`.connect` describes the rest.

    .. versionadded:: 0.1
    """
    sandbox = Sandbox(clock=stripe_sandbox_clock)

    with connect(app, sandbox, amounts=stripe_sandbox_amounts):
        yield sandbox
