"""Handlers that run elsewhere: ``enqueue``, ``process_event`` and ``flask stripe``'s
``events``, ``replay`` and ``worker``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any
from typing import cast
from typing import TypeVar

import pytest
import responses
from click.testing import Result

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import leave_to_worker
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import make_thin_event

H = TypeVar("H", bound=Callable[..., Any])
API = "https://api.stripe.com"
CREATED = "customer.subscription.created"


def created(event_id: str = "evt_1", **values: Any) -> dict[str, Any]:
    subscription = make_subscription(id="sub_1", customer="cus_ada", **values)
    return make_event(CREATED, subscription, id=event_id)


def on(shop: Any, *event_types: str) -> Callable[[H], H]:
    """Register a handler, as ``@kavach_stripe.on(...)`` does."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on(*event_types))


def on_change(shop: Any) -> Callable[[H], H]:
    """Register a function that is told of changes."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on_subscription_change)


def run(shop: Any, *args: str) -> Result:
    result: Result = shop.app.test_cli_runner().invoke(args=["stripe", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def process(shop: Any, event_id: str) -> bool:
    with shop.app.app_context():
        was_run: bool = shop.kavach_stripe.process_event(event_id)
        return was_run


@pytest.fixture
def queue() -> list[str]:
    """What the app enqueued."""
    return []


@pytest.fixture
def shop(make_shop: Any, queue: list[str]) -> Any:
    """An app with a queue, a user with a customer, and a handler that writes."""
    made = make_shop()
    made.app.extensions["kavach_stripe"].enqueue = queue.append
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")

    @on(made, CREATED)
    def remember(event: Any) -> None:
        made.note(f"{event.id} of {event.user.email}")

    return made


# -- the queue -------------------------------------------------------------------------


def test_enqueue_is_an_argument_of_both(make_shop: Any) -> None:
    """Of the constructor and of ``init_app``, whose own counts."""
    shop = make_shop()
    del shop.app.extensions["kavach_stripe"]
    shop.app.blueprints.pop("kavach_stripe")
    one: list[str] = []
    two: list[str] = []
    kavach_stripe = KavachStripe(enqueue=one.append)
    kavach_stripe.init_app(shop.app, enqueue=two.append)
    kavach_stripe.on(CREATED)(print)
    shop.add_user(stripe_customer_id="cus_ada")

    assert shop.post_event(created()).status_code == 200
    assert (one, two) == ([], ["evt_1"])


def test_webhook_stores_and_leaves_the_handlers_to_the_queue(
    shop: Any, queue: list[str]
) -> None:
    assert shop.post_event(created()).status_code == 200

    assert queue == ["evt_1"]
    assert shop.columns()["subscription_status"] == "active"
    assert shop.notes == []
    assert shop.events[0].processed_at is None


def test_handlers_run_where_the_queue_takes_the_event(shop: Any) -> None:
    shop.post_event(created())

    assert process(shop, "evt_1") is True
    assert shop.notes == ["evt_1 of ada@example.com"]
    assert shop.events[0].processed_at is not None
    assert shop.events[0].attempts == 1


def test_queue_that_delivers_twice_runs_handlers_once(shop: Any) -> None:
    shop.post_event(created())

    assert [process(shop, "evt_1") for _ in range(3)] == [True, False, False]
    assert shop.notes == ["evt_1 of ada@example.com"]


def test_workers_at_the_same_time_run_handlers_once(shop: Any) -> None:
    shop.post_event(created())
    barrier = threading.Barrier(4)
    outcomes: list[bool] = []

    def work() -> None:
        barrier.wait()
        outcomes.append(process(shop, "evt_1"))

    threads = [threading.Thread(target=work) for _ in range(4)]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert sorted(outcomes) == [False, False, False, True]
    assert shop.notes == ["evt_1 of ada@example.com"]


def test_nothing_is_enqueued_when_no_handler_has_to_run(
    shop: Any, queue: list[str]
) -> None:
    shop.post_event(
        make_event(
            "customer.subscription.updated",
            make_subscription(id="sub_1", customer="cus_ada"),
        )
    )

    assert queue == []
    assert shop.events[0].processed_at is not None


def test_duplicate_of_an_unprocessed_event_is_enqueued_again(
    shop: Any, queue: list[str]
) -> None:
    """The queue may have lost it."""
    shop.post_event(created())
    shop.post_event(created())
    process(shop, "evt_1")
    shop.post_event(created())

    assert queue == ["evt_1", "evt_1"]


def test_queue_that_is_down_makes_stripe_send_the_event_again(
    shop: Any, queue: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event_id: str) -> None:
        raise ConnectionError("redis://user:password@host")

    state = shop.app.extensions["kavach_stripe"]
    state.enqueue = fail
    response = shop.post_event(created())

    assert response.status_code == 503
    assert response.get_json()["code"] == "queue_unavailable"
    assert response.headers["Retry-After"]
    assert "password" not in response.text
    assert "'enqueue' raised ConnectionError" in caplog.text
    assert shop.columns()["subscription_status"] == "active"

    state.enqueue = queue.append
    assert shop.post_event(created()).status_code == 200
    assert queue == ["evt_1"]


def test_event_without_an_id_runs_its_handlers_at_once(
    shop: Any, queue: list[str]
) -> None:
    event = created()
    del event["id"]

    assert shop.post_event(event).status_code == 200
    assert queue == []
    assert shop.notes == ["None of ada@example.com"]


def test_handler_that_fails_in_a_worker_is_recorded(shop: Any) -> None:
    @on(shop, CREATED)
    def fail(event: Any) -> None:
        raise LookupError("no template")

    shop.post_event(created())

    with pytest.raises(LookupError, match="no template"):
        process(shop, "evt_1")

    assert shop.notes == []
    assert shop.events[0].error == "LookupError: no template"
    assert shop.events[0].attempts == 1


def test_event_that_the_ledger_does_not_know_is_no_error(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that is late may meet a ledger that was pruned."""
    assert process(shop, "evt_9") is False
    assert "evt_9" in caplog.text


def test_subscription_change_is_told_in_the_worker(shop: Any) -> None:
    @on_change(shop)
    def changed(user: Any, subscription: Any) -> None:
        shop.note(f"{user.email}: {subscription.status}")

    shop.post_event(created())

    assert shop.notes == []
    process(shop, "evt_1")
    assert shop.notes == ["ada@example.com: active", "evt_1 of ada@example.com"]


def test_change_that_a_helper_brought_is_told_in_the_worker(
    shop: Any, queue: list[str], stripe_api: responses.RequestsMock
) -> None:
    @on_change(shop)
    def changed(user: Any, subscription: Any) -> None:
        shop.note(f"{user.email}: {subscription.status}")

    listed = [make_subscription(id="sub_1", customer="cus_ada")]
    stripe_api.get(
        f"{API}/v1/subscriptions",
        json={"object": "list", "data": listed, "has_more": False},
    )

    with shop.app.app_context():
        assert shop.kavach_stripe.sync_subscription(1).is_active

    assert shop.notes == []
    assert process(shop, queue[0]) is True
    assert shop.notes == ["ada@example.com: active"]
    assert shop.events == []  # it was no event of Stripe's


def test_helper_does_not_fail_where_the_queue_does(
    shop: Any, stripe_api: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has paid must not see an error because of it; it is left to a replay."""

    def fail(event_id: str) -> None:
        raise ConnectionError

    shop.app.extensions["kavach_stripe"].enqueue = fail
    shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: shop.note(subscription.status)
    )
    listed = [make_subscription(id="sub_1", customer="cus_ada")]
    stripe_api.get(
        f"{API}/v1/subscriptions",
        json={"object": "list", "data": listed, "has_more": False},
    )

    with shop.app.app_context():
        assert shop.kavach_stripe.sync_subscription(1).is_active

    assert "'enqueue' raised ConnectionError" in caplog.text
    assert run(shop, "replay", "--pending").exit_code == 0
    assert shop.notes == ["active"]


def test_helper_inside_a_handler_enqueues_nothing(
    shop: Any, queue: list[str], stripe_api: responses.RequestsMock
) -> None:
    """Its change is not committed yet: a fast worker would not find it."""
    shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: shop.note(subscription.status)
    )

    @on(shop, "invoice.paid")
    def sync(event: Any) -> None:
        shop.kavach_stripe.sync_subscription(1)

    listed = [make_subscription(id="sub_1", customer="cus_ada")]
    stripe_api.get(
        f"{API}/v1/subscriptions",
        json={"object": "list", "data": listed, "has_more": False},
    )
    shop.post_event(make_event("invoice.paid", {"id": "in_1"}, id="evt_2"))
    process(shop, "evt_2")

    assert queue == ["evt_2"]
    assert shop.notes == ["active"]


def test_thin_event_is_read_again_by_the_worker(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    seen: list[Any] = []
    shop.kavach_stripe.on("customer.subscription.updated")(
        lambda event: seen.append(event.object["status"])
    )
    subscription = make_subscription(id="sub_1", customer="cus_ada")
    stripe_api.get(f"{API}/v1/subscriptions/sub_1", json=subscription)
    event = make_thin_event("customer.subscription.updated", "sub_1", id="evt_3")
    assert shop.post_event(event).status_code == 200

    assert seen == []
    assert process(shop, "evt_3") is True
    assert seen == ["active"]


# -- flask stripe replay ---------------------------------------------------------------


def test_replay_runs_the_handlers_of_a_processed_event_again(shop: Any) -> None:
    shop.post_event(created())
    process(shop, "evt_1")
    result = run(shop, "replay", "evt_1")

    assert result.exit_code == 0
    assert result.output == "evt_1  processed\n"
    assert shop.notes == ["evt_1 of ada@example.com"] * 2


def test_replay_of_the_failed_leaves_the_others(shop: Any) -> None:
    broken = [True]

    @on(shop, CREATED)
    def fail(event: Any) -> None:
        if broken:
            raise LookupError("no template")

    for event_id in ("evt_1", "evt_2"):
        shop.post_event(created(event_id))

    with pytest.raises(LookupError):
        process(shop, "evt_1")

    failing = run(shop, "replay", "--failed")
    assert failing.exit_code == 1
    assert "evt_1  failed: LookupError: no template" in failing.output
    assert "1 of 1 failed" in failing.output

    broken.clear()
    assert run(shop, "replay", "--failed").output == "evt_1  processed\n"
    assert shop.notes == ["evt_1 of ada@example.com"]
    assert {event.id: event.attempts for event in shop.events} == {
        "evt_1": 3,
        "evt_2": 0,
    }


def test_replay_of_the_pending_runs_what_was_never_enqueued(shop: Any) -> None:
    """The process ended between storing an event and enqueuing it."""

    class Killed(BaseException):
        """What a process that is killed does not come back from."""

    def crash(event_id: str) -> None:
        raise Killed

    shop.app.extensions["kavach_stripe"].enqueue = crash

    with pytest.raises(Killed):
        shop.post_event(created())

    assert run(shop, "replay", "--pending").output == "evt_1  processed\n"
    assert run(shop, "replay", "--pending").output == ""
    assert shop.notes == ["evt_1 of ada@example.com"]


def test_replay_of_an_unknown_event_fails(shop: Any) -> None:
    shop.post_event(created())
    result = run(shop, "replay", "evt_9", "evt_1")

    assert result.exit_code == 1
    assert "evt_9  failed: Event 'evt_9' is not in the ledger." in result.output
    assert "evt_1  processed" in result.output


def test_replay_of_nothing_is_a_usage_error(shop: Any) -> None:
    result = run(shop, "replay")

    assert result.exit_code == 2
    assert "--failed" in result.output


# -- flask stripe events ---------------------------------------------------------------


@pytest.fixture
def ledger(shop: Any) -> Any:
    """A shop with one processed, one failed and one pending event."""

    @on(shop, "invoice.paid")
    def fail(event: Any) -> None:
        raise LookupError("no template")

    shop.post_event(created("evt_1"))
    process(shop, "evt_1")
    shop.post_event(
        make_event("invoice.paid", {"id": "in_1", "customer": "cus_ada"}, id="evt_2")
    )

    with pytest.raises(LookupError):
        process(shop, "evt_2")

    other = make_subscription(id="sub_2", customer="cus_bob")
    shop.post_event(make_event(CREATED, other, id="evt_3"))
    return shop


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), ["evt_3", "evt_2", "evt_1"]),
        (("--failed",), ["evt_2"]),
        (("--type", CREATED), ["evt_3", "evt_1"]),
        (("--user", "1"), ["evt_2", "evt_1"]),
        (("--user", "1", "--failed", "--type", "invoice.paid"), ["evt_2"]),
        (("--limit", "1"), ["evt_3"]),
    ],
)
def test_events_lists_the_ledger(
    ledger: Any, options: tuple[str, ...], ids: list[str]
) -> None:
    result = run(ledger, "events", *options)

    assert result.exit_code == 0
    assert [line.split()[-1] for line in result.output.splitlines()] == ids


def test_events_says_how_each_stands(ledger: Any) -> None:
    lines = run(ledger, "events").output.splitlines()

    assert [line.split()[2] for line in lines] == ["pending", "failed", "processed"]
    assert [line.split()[-2] for line in lines] == ["-", "1", "1"]


def test_events_of_nobody_prints_nothing(ledger: Any) -> None:
    result = run(ledger, "events", "--user", "2")

    assert result.exit_code == 0
    assert result.stdout == ""


def test_events_show_prints_the_error_and_the_payload(ledger: Any) -> None:
    output = run(ledger, "events", "show", "evt_2").output
    payload = json.loads(output[output.index("\n{") :])

    assert payload["data"]["object"]["id"] == "in_1"
    assert "LookupError: no template" in output
    assert "attempts      1\n" in output
    assert "customer_id   cus_ada\n" in output


def test_events_show_of_an_unknown_event_fails(ledger: Any) -> None:
    result = run(ledger, "events", "show", "evt_9")

    assert result.exit_code == 1
    assert "'evt_9' is not in the ledger" in result.output


# -- flask stripe worker ---------------------------------------------------------------


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
    stripe_api.get(
        f"{API}/v1/subscriptions",
        json={
            "object": "list",
            "data": [make_subscription(id="sub_1", customer="cus_ada")],
            "has_more": False,
        },
    )

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
    subscription = make_subscription(id="sub_1", customer="cus_ada")
    stripe_api.get(f"{API}/v1/subscriptions/sub_1", json=subscription)
    stripe_api.get(f"{API}/v1/subscriptions/sub_1", status=500, json={"error": {}})
    shop.kavach_stripe.on("customer.subscription.updated")(print)
    shop.post_event(
        make_thin_event("customer.subscription.updated", "sub_1", id="evt_1")
    )
    shop.post_event(created("evt_2"))

    assert run(shop, "worker", "--once").exit_code == 0
    errors = {event.id: event.error for event in shop.events}
    assert errors["evt_1"].startswith("APIError")
    assert shop.notes == ["evt_2 of ada@example.com"]
