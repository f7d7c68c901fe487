"""Helpers that a handler calls, in the transaction that it is in already."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
import responses

from flask_kavach_stripe.testing import make_event
from tests.conftest import Shop
from tests.databases.deliveries import deliver
from tests.databases.deliveries import subscription
from tests.databases.deliveries import subscription_event
from tests.vocabulary import SUBSCRIPTIONS

# One connection at a time writes to SQLite, so nothing happens there meanwhile.
pytestmark = pytest.mark.databases("postgresql*", "mariadb*")


def test_rows_after_another_event_that_came_while_a_handler_ran(
    shop: Shop, stripe_api: responses.RequestsMock
) -> None:
    """The transaction of the handler began before: it must not decide by old rows."""
    stripe_api.get(
        SUBSCRIPTIONS,
        json={"object": "list", "data": [subscription()], "has_more": False},
    )
    others: list[Any] = []

    def send_another() -> None:
        failed = subscription_event("updated", 9, status="past_due")
        others.append(deliver(shop, failed))

    @shop.kavach_stripe.on("invoice.upcoming")
    def sync(event: Any) -> None:
        assert event.user.stripe_subscription_status is not None

        if not others:
            thread = Thread(target=send_another)
            thread.start()
            thread.join()

        shop.kavach_stripe.sync_subscription(event.user)

    deliver(shop, subscription_event("created"))
    invoice = {"id": "in_1", "object": "invoice", "customer": "cus_ada"}
    assert deliver(shop, make_event("invoice.upcoming", invoice))[-1] == 200
    assert others == [[200]]
    [row] = shop.subscriptions
    assert shop.columns()["subscription_status"] == row.status == "active"
    assert row.revision == 3
