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
from tests.vocabulary import second_connection
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


def age(shop: Any, by: timedelta) -> None:
    """Let the last attempt be longer ago."""
    model = shop.app.extensions["kavach_stripe"].event_model

    with shop.app.app_context():
        [entry] = shop.db.session.scalars(shop.db.select(model))
        entry.attempted_at -= by
        shop.db.session.commit()


def test_worker_tries_what_failed_less_and_less_often(shop: Any) -> None:
    attempts: list[str] = []

    @on(shop, CREATED)
    def fail(event: Any) -> None:
        attempts.append(event.id)
        raise LookupError

    def try_it() -> int:
        assert run(shop, "worker", "--once").exit_code == 0
        return len(attempts)

    shop.post_event(created())
    assert try_it() == 1
    pauses = [1, 4, 25, 90, 240, 360, 720, 1440, 1440]  # minutes; three days in all
    assert 71 < sum(pauses) / 60 <= 72

    for number, minutes in enumerate(pauses, 2):
        pause = timedelta(minutes=minutes)
        age(shop, pause - timedelta(seconds=30))
        assert try_it() == number - 1
        age(shop, timedelta(seconds=30))
        assert try_it() == number

    age(shop, timedelta(days=30))  # after three days it is left to a replay
    assert try_it() == 10
    assert shop.events[0].attempts == 10


def test_attempt_is_counted_before_the_handlers_run(shop: Any) -> None:
    """Then it counts if they end the process, and no other worker takes the event."""
    seen: list[Any] = []

    @on(shop, CREATED)
    def look(event: Any) -> None:
        with second_connection(shop) as connection:
            query = "SELECT attempts, attempted_at, processed_at FROM stripe_event"
            seen.append(connection.execute(query).fetchone())

    began = datetime.now(UTC)
    shop.post_event(created())
    assert shop.events[0].attempted_at is None
    assert run(shop, "worker", "--once").exit_code == 0
    [(attempts, attempted_at, processed_at)] = seen
    assert (attempts, processed_at) == (1, None)
    assert datetime.fromisoformat(attempted_at).replace(tzinfo=UTC) >= began
    [entry] = shop.events
    assert entry.attempts == 1  # and not once more
    assert began <= entry.attempted_at <= entry.processed_at


def test_event_whose_handler_ended_the_process_leaves_the_worker_to_the_others(
    shop: Any,
) -> None:
    """It used to be tried first at each start of the worker, without an end."""

    class Killed(BaseException):
        """As the end of the process: nothing is caught, nothing is recorded."""

    @on(shop, CREATED)
    def end(event: Any) -> None:
        if event.id == "evt_1":
            raise Killed

    shop.post_event(created("evt_1"))
    shop.post_event(created("evt_2"))

    with pytest.raises(Killed):
        run(shop, "worker", "--once")

    assert run(shop, "worker", "--once").exit_code == 0
    assert {
        event.id: (event.attempts, event.processed_at is not None)
        for event in shop.events
    } == {"evt_1": (1, False), "evt_2": (1, True)}


def test_failed_attempt_of_a_webhook_has_a_time(shop: Any) -> None:
    """So a worker beside it waits before it tries the event again."""
    shop.app.extensions["kavach_stripe"].enqueue = None
    tries: list[str] = []

    @on(shop, CREATED)
    def fail_once(event: Any) -> None:
        tries.append(event.id)

        if len(tries) == 1:
            raise LookupError

    began = datetime.now(UTC)
    assert shop.post_event(created()).status_code == 500
    [entry] = shop.events
    assert entry.attempts == 1
    assert entry.attempted_at >= began
    assert run(shop, "worker", "--once").exit_code == 0
    assert len(tries) == 1
    age(shop, timedelta(minutes=1))
    assert run(shop, "worker", "--once").exit_code == 0
    assert len(tries) == 2


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
