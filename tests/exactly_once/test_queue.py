"""With ``enqueue``, handlers run once in a worker."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_thin_event
from tests.queueing import CREATED
from tests.queueing import created
from tests.vocabulary import expect_list
from tests.vocabulary import on
from tests.vocabulary import on_change
from tests.vocabulary import process
from tests.vocabulary import run
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription


@pytest.fixture
def shop(queued_shop: Any) -> Any:
    return queued_shop


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
    shop.post_event(make_event("customer.subscription.updated", subscription()))

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

    expect_list(stripe_api, subscription())

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
    expect_list(stripe_api, subscription())

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

    expect_list(stripe_api, subscription())
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
    stripe_api.get(SUB_1, json=subscription())
    event = make_thin_event("customer.subscription.updated", "sub_1", id="evt_3")
    assert shop.post_event(event).status_code == 200

    assert seen == []
    assert process(shop, "evt_3") is True
    assert seen == ["active"]


def test_handlers_that_ran_while_a_worker_read_the_thin_event(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """The worker has seen that they are pending, and must not run them again."""
    on(shop, "customer.subscription.updated")(lambda event: shop.note("ran"))
    answers: list[Callable[[], object]] = [
        lambda: None,  # to the webhook
        lambda: process(shop, "evt_1"),  # to the worker, which is overtaken here
        lambda: None,  # to the worker that overtakes
    ]

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        answers.pop(0)()
        return 200, {}, json.dumps(subscription())

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    thin = make_thin_event("customer.subscription.updated", "sub_1", id="evt_1")
    assert shop.post_event(thin).status_code == 200
    assert process(shop, "evt_1") is False
    assert shop.notes == ["ran"]
