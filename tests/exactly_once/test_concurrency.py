"""Two deliveries at one moment, and no lock during a call to Stripe."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import responses
from requests import PreparedRequest
from sqlalchemy import event as sqlalchemy_event
from werkzeug.test import TestResponse

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_thin_event
from tests.exactly_once.other_process import email_of_ada
from tests.exactly_once.other_process import write_to_ada
from tests.vocabulary import API
from tests.vocabulary import checkout
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import run_well
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription

# -- at the same moment ----------------------------------------------------------------


def send_all(shop: Any, *events: dict[str, Any]) -> list[int]:
    """Send events at the same moment, and give the statuses."""
    gate = threading.Barrier(len(events))

    def send(sent: dict[str, Any]) -> int:
        gate.wait(10)
        return int(shop.post_event(sent).status_code)

    with ThreadPoolExecutor(len(events)) as pool:
        return list(pool.map(send, events))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(event("created"), id="subscription"),
        pytest.param(paid(), id="handlers only"),
        pytest.param(paid(customer="cus_nobody"), id="nobody"),
        pytest.param(
            make_event("customer.deleted", make_customer("cus_ada")), id="end"
        ),
    ],
)
def test_simultaneous_deliveries_run_handlers_once(
    shop: Any, sent: dict[str, Any]
) -> None:
    @on(shop, "*")
    def write(received: Event) -> None:
        shop.note("once")

    assert send_all(shop, *[sent] * 6) == [200] * 6
    assert shop.notes == ["once"]
    (row,) = shop.events
    # The delivery that stored the event counted its attempt with it. A duplicate that
    # overtook it, and ran the handlers, counted one more.
    assert row.attempts in (1, 2)
    assert row.processed_at is not None


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(event("created"), id="subscription"),
        pytest.param(paid(), id="handlers only"),
        pytest.param(paid(customer="cus_nobody"), id="nobody"),
    ],
)
def test_simultaneous_deliveries_where_the_app_begins_transactions(
    make_shop: Any, begin: str, sent: dict[str, Any]
) -> None:
    """The recipe of SQLAlchemy's documentation for savepoints in SQLite."""
    shop = make_shop()

    with shop.app.app_context():
        engine = shop.db.engine
        engine.dispose()

    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    sqlalchemy_event.listen(engine, "connect", connect)
    sqlalchemy_event.listen(engine, "begin", begin_transaction)
    shop.add_user(stripe_customer_id="cus_ada")
    on(shop, "*")(lambda received: shop.note(received.type))

    for number in range(3):
        assert send_all(shop, *[{**sent, "id": f"evt_{number}"}] * 4) == [200] * 4

    assert len(shop.notes) == 3


def test_delivery_that_comes_while_handlers_run_waits_for_them(shop: Any) -> None:
    inside, second_began = threading.Event(), threading.Event()
    ends: list[str] = []

    @on(shop, "customer.subscription.created")
    def write(received: Event) -> None:
        shop.note("once")
        shop.db.session.flush()
        inside.set()
        assert second_began.wait(10)
        time.sleep(0.1)  # in which the second delivery would get ahead
        ends.append("handler")

    sent = event("created")

    def send_second() -> None:
        assert inside.wait(10)
        second_began.set()
        ok(shop.post_event(sent))
        ends.append("second")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(shop.post_event, sent), pool.submit(send_second)
        ok(first.result())
        second.result()

    assert ends == ["handler", "second"]
    assert shop.notes == ["once"]


def test_delivery_that_waited_for_a_failure_runs_the_handlers(shop: Any) -> None:
    inside = threading.Event()
    raises = [True, False]

    @on(shop, "customer.subscription.created")
    def fail_once(received: Event) -> None:
        shop.note("x")
        shop.db.session.flush()
        inside.set()
        time.sleep(0.1)  # in which the other delivery reaches the lock

        if raises.pop(0):
            raise ValueError

    sent = event("created")

    def send_second() -> TestResponse:
        assert inside.wait(10)
        answer: TestResponse = shop.post_event(sent)
        return answer

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(shop.post_event, sent), pool.submit(send_second)
        failed(first.result())
        ok(second.result())

    assert shop.notes == ["x"]


def test_simultaneous_events_of_one_customer_lose_nothing(shop: Any) -> None:
    events = [event("created", id=f"sub_{number}") for number in range(6)]
    assert send_all(shop, *events) == [200] * 6
    assert len(shop.subscriptions) == 6
    assert shop.columns()["subscription_id"] == "sub_0"


def test_second_delivery_during_a_call_to_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Both ask; one stores, and the handlers run once."""
    on(shop, "checkout.session.completed")(lambda received: shop.note("once"))
    sent = checkout()
    duplicates = [sent]

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        if duplicates:
            ok(shop.post_event(duplicates.pop()))

        return 200, {}, json.dumps(subscription())

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(sent))
    assert shop.notes == ["once"]
    assert len(stripe_api.calls) == 2
    assert shop.subscriptions[0].revision == 1


# -- locks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(checkout(), id="checkout"),
        pytest.param(event("updated", 0, status="past_due"), id="same second"),
        pytest.param(
            make_thin_event("customer.subscription.updated", "sub_1"), id="thin"
        ),
    ],
)
@pytest.mark.parametrize("has_handler", [False, True])
def test_no_lock_is_held_during_a_call_to_stripe(
    shop: Any,
    stripe_api: responses.RequestsMock,
    sent: dict[str, Any],
    has_handler: bool,
) -> None:
    shop.post_event(event("updated"))

    if has_handler:
        on(shop, "*")(lambda received: received.user.email)

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        write_to_ada(shop, "written@example.com")
        return 200, {}, json.dumps(subscription(price="price_read"))

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(sent))
    assert email_of_ada(shop) == "written@example.com"
    assert shop.columns()["price_id"] == "price_read"


@pytest.mark.parametrize("context", [None, "acct_1"])
@pytest.mark.parametrize(
    ("event_type", "object_id", "path", "answered"),
    [
        (
            "checkout.session.completed",
            "cs_1",
            "checkout/sessions/cs_1",
            make_checkout_session(customer="cus_ada", subscription=None),
        ),
        (
            "invoice.payment_failed",
            "in_1",
            "invoices/in_1",
            make_invoice(customer="cus_ada", subscription="sub_1"),
        ),
    ],
)
def test_no_lock_is_held_while_a_thin_event_is_read(
    shop: Any,
    stripe_api: responses.RequestsMock,
    event_type: str,
    object_id: str,
    path: str,
    answered: dict[str, Any],
    context: str | None,
) -> None:
    seen: list[str] = []

    @on(shop, event_type)
    def remember(received: Event) -> None:
        seen.append(received.object["id"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        write_to_ada(shop, "written@example.com")
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", f"{API}/{path}", callback=answer)
    ok(shop.post_event(make_thin_event(event_type, object_id, context=context)))
    assert seen == [answered["id"]]


def fail_once_and_write_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Let the first run of the handler fail, and write to the user at each read."""
    raises = [True, False]

    @on(shop, "customer.subscription.updated")
    def fail_once(received: Event) -> None:
        if raises.pop(0):
            raise ValueError

        shop.note(received.object["id"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        write_to_ada(shop, "written@example.com")
        return 200, {}, json.dumps(subscription())

    stripe_api.add_callback("GET", SUB_1, callback=answer)


def test_no_lock_is_held_while_the_object_of_a_failed_thin_event_is_read_again(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    fail_once_and_write_meanwhile(shop, stripe_api)
    sent = make_thin_event("customer.subscription.updated", "sub_1")
    failed(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert shop.notes == ["sub_1"]


def test_no_lock_is_held_while_a_replay_reads_a_thin_event(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    fail_once_and_write_meanwhile(shop, stripe_api)
    failed(shop.post_event(make_thin_event("customer.subscription.updated", "sub_1")))
    run_well(shop, "replay", "--failed")
    assert shop.notes == ["sub_1"]


def test_no_lock_is_left_after_any_answer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB_1, status=500, body="{}")

    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError

    for sent in (
        event("created"),
        event("created", customer="cus_nobody"),
        checkout(),
        paid(),
        b"nonsense",
        make_event("customer.deleted", {}),
    ):
        shop.post_event(sent)
        write_to_ada(shop, "written@example.com")
