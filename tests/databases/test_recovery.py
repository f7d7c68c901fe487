"""What repairs, catches up and prunes, on each database."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.conftest import Shop

pytestmark = pytest.mark.databases("sqlite*", "postgresql", "mariadb")


@pytest.fixture
def sandbox(shop: Shop) -> Iterator[Sandbox]:
    """Its webhooks get lost."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    with connect(shop.app, Sandbox(clock=Clock(start))) as sandbox:
        sandbox.faults.add("drop", times=math.inf)
        yield sandbox


def run(shop: Shop, *args: str) -> str:
    result = shop.app.test_cli_runner().invoke(args=["stripe", *args])
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def call(shop: Shop, path: str, **params: Any) -> Any:
    return shop.app.extensions["kavach_stripe"].client.post(path, params)


def subscribe(shop: Shop, user_id: int) -> str:
    card = "pm_card_visa"
    customer = call(
        shop,
        "/v1/customers",
        payment_method=card,
        invoice_settings={"default_payment_method": card},
    )
    shop.add_user(id=user_id, stripe_customer_id=customer["id"])
    items = [{"price": "price_pro"}]
    return str(
        call(shop, "/v1/subscriptions", customer=customer["id"], items=items)["id"]
    )


def test_sync_stores_and_keeps_what_stripe_does_not_know(
    shop: Shop, sandbox: Sandbox
) -> None:
    state = shop.app.extensions["kavach_stripe"]

    for user_id in (2, 3, 4):
        subscribe(shop, user_id)

    with shop.app.app_context():
        for number, created in enumerate([None, datetime(2026, 1, 1, tzinfo=UTC)]):
            row = state.subscription_model(
                id=f"sub_gone{number}",
                customer_id=shop.columns(2 + number)["customer_id"],
                status="active",
                created=created,
            )
            shop.db.session.add(row)

        shop.db.session.commit()

    foreseen = run(shop, "sync", "--dry-run")

    assert run(shop, "sync") == foreseen.replace("would change", "changed")
    assert [shop.columns(user_id)["subscription_status"] for user_id in (2, 3, 4)] == [
        "active"
    ] * 3
    unknown = {"sub_gone0", "sub_gone1"}
    assert unknown < {row.id for row in shop.subscriptions if row.status == "active"}
    assert all(f"Stripe does not know {id_}" in foreseen for id_ in unknown)
    assert "0 users changed" in run(shop, "sync")


def test_catch_up_while_webhooks_arrive(shop: Shop, sandbox: Sandbox) -> None:
    shop.kavach_stripe.on("customer.subscription.*")(lambda event: shop.note(event.id))
    subscription_id = subscribe(shop, 2)

    for number in range(15):
        sandbox.clock.advance(1)
        path = f"/v1/subscriptions/{subscription_id}"
        call(shop, path, metadata={"number": number})

    events = [
        dict(event)
        for event in sandbox.events
        if event["type"].startswith("customer.subscription.")
    ]
    statuses: list[int] = []

    def deliver() -> None:
        statuses.extend(shop.post_event(event).status_code for event in events[::-1])

    thread = threading.Thread(target=deliver)
    thread.start()
    run(shop, "catch-up")
    thread.join()

    assert set(statuses) == {200}
    assert sorted(shop.notes) == sorted(event["id"] for event in events)


def test_prune_in_batches(shop: Shop) -> None:
    model = shop.app.extensions["kavach_stripe"].event_model
    now = datetime.now(UTC)

    with shop.app.app_context():
        shop.db.session.add_all(
            model(
                id=f"evt_{number}",
                type="invoice.paid",
                payload="{}",
                received_at=now - timedelta(days=40 if number < 600 else 20),
                processed_at=None if number < 5 else now,
            )
            for number in range(603)
        )
        shop.db.session.commit()

    assert run(shop, "prune", "--older-than", "30d") == "595 events deleted\n"
    assert len(shop.events) == 8
