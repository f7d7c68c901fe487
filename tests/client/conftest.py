"""The client of these tests, and servers that answer it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import FakeClock
from tests.client.wire import KEY
from tests.client.wire import serve
from tests.client.wire import Server


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the client."""
    return FakeClock()


@pytest.fixture
def client(clock: FakeClock) -> StripeClient:
    """A client that waits for nothing."""
    return StripeClient(KEY, clock=clock)


@pytest.fixture
def server() -> Iterator[Server]:
    """A Stripe on this machine."""
    with serve() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[Server]:
    """Another one."""
    with serve() as server:
        yield server
