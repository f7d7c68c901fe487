"""The shops of these tests: one runs handlers at once, one in a queue's worker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.queueing import add_queue


@pytest.fixture
def shop(kept_shop: Any) -> Any:
    return kept_shop


@pytest.fixture
def queue() -> list[str]:
    """What the app enqueued."""
    return []


@pytest.fixture
def queued_shop(make_shop: Any, queue: list[str]) -> Any:
    """An app with a queue, a user with a customer, and a handler that writes."""
    shop = make_shop()
    add_queue(shop, queue)
    return shop
