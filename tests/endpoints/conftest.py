"""The apps that the tests of the endpoints ask."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from tests.buyers import NothingBoughtYet


@pytest.fixture
def stripe_api() -> Iterator[responses.RequestsMock]:
    """As everywhere, for customers who have bought nothing yet."""
    with responses.RequestsMock(registry=NothingBoughtYet) as mock:
        yield mock


@pytest.fixture
def ada(keep_shop: Any) -> Callable[..., Any]:
    """Make an app without trials, with one user who has a customer."""

    def make(**config: Any) -> Any:
        shop = keep_shop(**{"STRIPE_TRIAL_DAYS": 0, **config})
        shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
        return shop

    return make


@pytest.fixture
def newcomer(keep_shop: Any) -> Any:
    """An app with one user, who has no customer."""
    shop = keep_shop(STRIPE_TRIAL_DAYS=0)
    shop.add_user(email="ada@example.com")
    return shop
