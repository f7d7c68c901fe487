"""``flask stripe worker`` runs what is pending."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any

import pytest
import responses

from flask_kavach_stripe import leave_to_worker
from flask_kavach_stripe.testing import make_thin_event
from tests.queueing import add_queue
from tests.queueing import CREATED
from tests.queueing import created
from tests.vocabulary import expect_list
from tests.vocabulary import on
from tests.vocabulary import run
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription


@pytest.fixture
def shop(make_shop: Any) -> Any:
    """An app with a queue."""
    shop = make_shop()
    add_queue(shop, [])
    return shop


def test_worker_runs_what_is_pending(shop: Any) -> None:
    shop.app.extensions["kavach_stripe"].enqueue = leave_to_worker

    for event_id in ("evt_1", "evt_2"):
        shop.post_event(created(event_id))

    assert shop.notes == []
    assert run(shop, "worker", "--once").exit_code == 0
    assert shop.notes == ["evt_1 of ada@example.com", "evt_2 of ada@example.com"]


def test_worker_tells_changes_that_helpers_brought(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.app.extensions["kavach_stripe"].enqueue = leave_to_worker
    shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: shop.note(subscription.status)
    )
    expect_list(stripe_api, subscription())

    with shop.app.app_context():
        shop.kavach_stripe.sync_subscription(1)

    run(shop, "worker", "--once")
    assert shop.notes == ["active"]
    assert shop.events == []


def test_worker_tries_what_failed_less_and_less_often(shop: Any) -> None:
    attempts: list[str] = []

    @on(shop, CREATED)
    def fail(event: Any) -> None:
        attempts.append(event.id)
        raise LookupError

    shop.post_event(created())
    counts = []

    for age in (timedelta(0), timedelta(minutes=2), timedelta(days=4)):
        with shop.app.app_context():
            model = shop.app.extensions["kavach_stripe"].event_model
            shop.db.session.execute(
                shop.db.update(model).values(received_at=datetime.now(UTC) - age)
            )
            shop.db.session.commit()

        assert run(shop, "worker", "--once").exit_code == 0
        counts.append(len(attempts))

    assert counts == [1, 2, 10]  # after three days it is left to a replay
    assert run(shop, "worker", "--once").exit_code == 0
    assert len(attempts) == 10
    assert shop.events[0].attempts == 10


def test_worker_records_that_stripe_could_not_be_asked(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """The object of a thin event has to be read; the next event must not wait."""
    stripe_api.get(SUB_1, json=subscription())
    stripe_api.get(SUB_1, status=500, json={"error": {}})
    shop.kavach_stripe.on("customer.subscription.updated")(print)
    shop.post_event(
        make_thin_event("customer.subscription.updated", "sub_1", id="evt_1")
    )
    shop.post_event(created("evt_2"))

    assert run(shop, "worker", "--once").exit_code == 0
    errors = {event.id: event.error for event in shop.events}
    assert errors["evt_1"].startswith("APIError")
    assert shop.notes == ["evt_2 of ada@example.com"]
