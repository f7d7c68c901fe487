"""Exactly once: what handlers can rely on, whatever arrives when, and how often."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any
from typing import cast
from typing import TypeVar

import pytest
import responses
from flask import abort
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from requests import PreparedRequest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import inspect
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from werkzeug.test import TestResponse

from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import SignatureVerificationError
from flask_kavach_stripe import StripeError
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import make_thin_event
from flask_kavach_stripe.testing import post_event
from flask_kavach_stripe.testing import sign_payload

API = "https://api.stripe.com/v1"
SUB = f"{API}/subscriptions/sub_1"
T = 1_790_000_000  # when everything begins, in Unix seconds
END = T + 2_592_000  # when the first period ends
H = TypeVar("H", bound=Callable[..., Any])


@pytest.fixture
def shop(kept_shop: Any) -> Any:
    return kept_shop


def on(shop: Any, *event_types: str) -> Callable[[H], H]:
    """Register a handler, as ``@kavach_stripe.on(...)`` does."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on(*event_types))


def on_change(shop: Any) -> Callable[[H], H]:
    """Register a function that is told of changes."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on_subscription_change)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def subscription(**values: Any) -> dict[str, Any]:
    """Ada's subscription."""
    defaults = {
        "id": "sub_1",
        "customer": "cus_ada",
        "price": "price_pro",
        "created": T,
        "current_period_end": END,
    }
    return make_subscription(**{**defaults, **values})


def event(kind: str, after: int = 0, /, **values: Any) -> dict[str, Any]:
    """An event of Ada's subscription, some seconds after the beginning."""
    return make_event(
        f"customer.subscription.{kind}",
        subscription(**values),
        created=T + after,
        previous_attributes={"metadata": {}} if kind == "updated" else None,
    )


def paid(**values: Any) -> dict[str, Any]:
    """An event that only handlers of the app take."""
    defaults = {"customer": "cus_ada", "subscription": "sub_1"}
    return make_event("invoice.paid", make_invoice(**{**defaults, **values}))


def checkout(**values: Any) -> dict[str, Any]:
    """The event of a completed Checkout session of Ada's."""
    defaults = {"customer": "cus_ada", "subscription": "sub_1"}
    return make_event(
        "checkout.session.completed",
        make_checkout_session(**{**defaults, **values}),
        created=T,
    )


def ok(answer: TestResponse) -> None:
    assert (answer.status_code, answer.json) == (200, {"received": True})


def failed(answer: TestResponse) -> None:
    assert (answer.status_code, answer.get_json()["code"]) == (500, "handler_failed")


@contextmanager
def second_connection(shop: Any) -> Iterator[sqlite3.Connection]:
    """Another process at the same file, which waits for no lock."""
    with shop.app.app_context():
        path = shop.db.engine.url.database

    with closing(sqlite3.connect(path, timeout=0)) as connection:
        yield connection


def write_to_ada(shop: Any, email: str) -> None:
    """Write to the user's row from another process; fails if it is locked."""
    with second_connection(shop) as connection:
        connection.execute("UPDATE users SET email = ? WHERE id = 1", (email,))
        connection.commit()


def email_of_ada(shop: Any) -> str:
    with second_connection(shop) as connection:
        return str(connection.execute("SELECT email FROM users").fetchone()[0])


# -- which handlers run, and in which order --------------------------------------------


def test_handlers_run_in_order_of_registration(shop: Any) -> None:
    called: list[str] = []

    @on(shop, "*")
    def first(received: Event) -> None:
        called.append("first")

    @on(shop, "invoice.paid")
    def second(received: Event) -> None:
        called.append("second")

    @on(shop, "invoice.*")
    def third(received: Event) -> None:
        called.append("third")

    ok(shop.post_event(paid()))
    assert called == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("patterns", "runs"),
    [
        (("customer.subscription.created",), 1),
        (("invoice.paid", "customer.subscription.created"), 1),
        (("customer.subscription.*", "*"), 1),
        (("customer.subscription.*",), 1),
        (("customer.*",), 1),
        (("*.created",), 1),
        (("*",), 1),
        (("customer.subscription",), 0),
        (("customer.subscription.create",), 0),
        (("subscription.created",), 0),
        (("Customer.Subscription.Created",), 0),
        (("customer.subscription.created ",), 0),
        (("customer-subscription-created",), 0),
        (("customer.subscription.create?",), 0),
        (("customer.subscription.[a-d]reated",), 0),
    ],
)
def test_handler_of_types(shop: Any, patterns: tuple[str, ...], runs: int) -> None:
    called: list[Any] = []
    on(shop, *patterns)(called.append)
    ok(shop.post_event(event("created")))
    assert len(called) == runs


def test_decorators_return_the_function(shop: Any) -> None:
    def handler(*args: Any) -> None: ...

    assert on(shop, "invoice.paid")(handler) is handler
    assert on_change(shop)(handler) is handler


@pytest.mark.parametrize("types", [(), ("",), (len,), (None,), (["invoice.paid"],)])
def test_handler_without_types_is_refused(shop: Any, types: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"on.*event types"):
        on(shop, *types)


def test_handlers_run_after_the_columns_are_stored(shop: Any) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.created")
    def look(received: Event) -> None:
        with second_connection(shop) as connection:
            query = "SELECT stripe_subscription_id FROM users"
            seen.append(connection.execute(query).fetchone()[0])

        seen.append(received.user.stripe_subscription_id)

    ok(shop.post_event(event("created")))
    assert seen == ["sub_1", "sub_1"]


def test_async_handlers_work(shop: Any) -> None:
    called: list[Any] = []

    @on(shop, "customer.subscription.created")
    async def write(received: Event) -> None:
        shop.note(f"{received.type} {received.user.email}")

    @on_change(shop)
    async def tell(user: Any, found: Any) -> None:
        called.append((user.id, found.id))

    ok(shop.post_event(event("created")))
    assert shop.notes == ["customer.subscription.created ada@example.com"]
    assert called == [(1, "sub_1")]


def test_async_handler_that_raises_fails_the_event(shop: Any) -> None:
    @on(shop, "invoice.paid")
    async def write(received: Event) -> None:
        shop.note("x")
        raise ValueError("late")

    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert shop.events[0].error == "ValueError: late"


# -- the event -------------------------------------------------------------------------


def test_event_is_the_dict_as_sent_with_attributes(shop: Any) -> None:
    seen: list[Event] = []
    users: list[Any] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Event) -> None:
        seen.append(received)
        users.append(received.user.email)

    sent = {**event("updated"), "account": None, "new_key": {"a": [1, None, "ü"]}}
    ok(shop.post_event(sent))
    [received] = seen
    assert isinstance(received, dict)
    assert received == sent
    assert received.id == sent["id"]
    assert received.type == "customer.subscription.updated"
    assert received.created == T
    assert received.livemode is False
    assert received.account is None
    assert received.api_version == "2026-10-28.endive"
    assert received.data == sent["data"]
    assert received.object == sent["data"]["object"]
    assert received.previous_attributes == {"metadata": {}}
    assert users == ["ada@example.com"]


def test_event_lacks_what_was_not_sent(shop: Any) -> None:
    seen: list[Any] = []

    @on(shop, "*")
    def remember(received: Event) -> None:
        seen.extend(
            [
                received.id,
                received.created,
                received.livemode,
                received.account,
                received.api_version,
                dict(received.data),
                dict(received.object),
                received.previous_attributes,
                received.user,
            ]
        )

    ok(shop.post_event({"type": "invoice.paid"}))
    assert seen == [None, None, None, None, None, {}, {}, None, None]


def test_handler_sees_the_type_of_a_thin_event_without_v1(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Event) -> None:
        seen.extend([received.type, received["type"], received.created])
        seen.extend([received.object["id"], received.user.id])

    stripe_api.get(SUB, json=subscription())
    sent = make_thin_event("customer.subscription.updated", "sub_1", created=T)
    ok(shop.post_event(sent))
    assert seen == [
        "customer.subscription.updated",
        "v1.customer.subscription.updated",
        T,
        "sub_1",
        1,
    ]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(paid(), id="invoice"),
        pytest.param(paid(customer=make_customer("cus_ada")), id="expanded"),
        pytest.param(event("created"), id="subscription"),
        pytest.param(
            make_event("customer.updated", make_customer("cus_ada")), id="customer"
        ),
        pytest.param(
            make_event("customer.deleted", make_customer("cus_ada")), id="deleted"
        ),
        pytest.param(
            make_event("charge.refunded", {"id": "ch_1", "customer": "cus_ada"}),
            id="charge",
        ),
        pytest.param(
            make_event(
                "entitlements.active_entitlement_summary.updated",
                {"customer": "cus_ada"},
            ),
            id="without id",
        ),
    ],
)
def test_event_knows_its_user(shop: Any, sent: dict[str, Any]) -> None:
    users: list[Any] = []

    @on(shop, "*")
    def remember(received: Event) -> None:
        users.append(received.user.id)
        assert received.user is shop.db.session.get(shop.User, 1)

    ok(shop.post_event(sent))
    assert users == [1]
    assert shop.events[0].user_id == "1"
    assert shop.events[0].customer_id == "cus_ada"


@pytest.mark.parametrize("customer", ["cus_nobody", None, 7, [], {"object": "x"}])
def test_event_of_nobody_has_no_user(shop: Any, customer: Any) -> None:
    users: list[Any] = []

    @on(shop, "*")
    def remember(received: Event) -> None:
        users.append(received.user)

    ok(shop.post_event(paid(customer=customer)))
    assert users == [None]
    assert shop.events[0].user_id is None


def test_user_is_loaded_only_when_asked_for(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def ignore(received: Event) -> None: ...

    with shop.statements() as statements:
        ok(shop.post_event(paid()))

    assert not [each for each in statements if "users.email" in each]


def test_handler_may_write_to_the_user(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def greet(received: Event) -> None:
        received.user.email = f"{received.user.email}!"

    sent = paid()
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert email_of_ada(shop) == "ada@example.com!"


def test_event_of_a_user_deleted_meanwhile_has_none(shop: Any) -> None:
    users: list[Any] = []

    @on(shop, "invoice.paid")
    def remember(received: Event) -> None:
        users.append(received.user)

        if received.user is not None:
            raise ValueError("not yet")

    sent = paid()
    failed(shop.post_event(sent))

    with second_connection(shop) as connection:
        connection.execute("DELETE FROM users")
        connection.commit()

    ok(shop.post_event(sent))
    assert users[-1] is None


# -- the ledger ------------------------------------------------------------------------


def test_ledger_row_of_a_stored_event(shop: Any) -> None:
    sent = event("created")
    before = datetime.now(UTC)
    body = json.dumps(sent, indent=1).encode()
    ok(shop.post_event(body))
    [row] = shop.events
    assert row.id == sent["id"]
    assert row.type == "customer.subscription.created"
    assert row.created == at(T)
    assert row.object_id == "sub_1"
    assert row.customer_id == "cus_ada"
    assert row.user_id == "1"
    assert row.livemode is False
    assert row.api_version == "2026-10-28.endive"
    assert row.payload == body.decode()
    assert row.changed is True
    assert before <= row.received_at <= datetime.now(UTC)
    assert row.processed_at == row.received_at  # nothing had to run
    assert (row.attempts, row.error) == (0, None)


def test_ledger_row_of_a_handled_event(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def wait(received: Event) -> None:
        time.sleep(0.002)

    ok(shop.post_event(paid()))
    [row] = shop.events
    assert row.changed is False
    assert row.processed_at - row.received_at < timedelta(seconds=60)
    assert row.processed_at >= row.received_at
    assert (row.attempts, row.error) == (1, None)


@pytest.mark.parametrize("kind", ["created", "updated"])
def test_ledger_knows_whether_the_columns_changed(shop: Any, kind: str) -> None:
    shop.post_event(event("created"))
    shop.post_event(event(kind, 60))  # the same state, later
    shop.post_event(event(kind, -60, status="past_due"))  # too late
    shop.post_event(event("created", id="sub_2", status="incomplete"))  # not the best
    assert [row.changed for row in shop.events] == [True, False, False, False]


def test_ledger_holds_a_payload_of_a_mebibyte(shop: Any) -> None:
    sent = event("created", metadata={"a": ""})
    sent["data"]["object"]["metadata"]["a"] = "ü" * (
        (1024 * 1024 - len(json.dumps(sent))) // 2
    )
    body = json.dumps(sent, ensure_ascii=False).encode()
    assert 1024 * 1024 - 3 < len(body) <= 1024 * 1024
    ok(shop.post_event(body))
    assert shop.events[0].payload == body.decode()


def test_events_that_differ_only_by_case_are_two(shop: Any) -> None:
    called: list[Any] = []
    on(shop, "invoice.paid")(called.append)
    ok(shop.post_event({**paid(), "id": "evt_a"}))
    ok(shop.post_event({**paid(), "id": "evt_A"}))
    assert len(called) == 2


@pytest.mark.parametrize(
    "sent",
    [
        make_event("invoice.finalized", make_invoice(customer="cus_ada")),
        make_event("customer.updated", make_customer("cus_ada")),
        make_event("price.created", {"id": "price_1"}),
        make_thin_event("customer.subscription.past_due", "sub_1"),
        {"type": "nonsense"},
        {},
    ],
)
def test_event_that_nobody_handles_touches_no_table(
    shop: Any, sent: dict[str, Any]
) -> None:
    on(shop, "invoice.paid")(print)

    with shop.statements() as statements:
        ok(shop.post_event(sent))

    assert statements == []


def test_event_of_nobody_is_recorded_only_for_a_handler(shop: Any) -> None:
    ok(shop.post_event(event("created", customer="cus_nobody")))
    assert shop.events == []
    on(shop, "customer.subscription.created")(lambda received: None)
    sent = event("created", customer="cus_nobody")
    ok(shop.post_event(sent))
    assert [(row.id, row.customer_id, row.user_id) for row in shop.events] == [
        (sent["id"], "cus_nobody", None)
    ]


# -- once ------------------------------------------------------------------------------


def test_duplicate_runs_nothing(shop: Any) -> None:
    @on(shop, "*")
    def write(received: Event) -> None:
        shop.note(received.type)

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        shop.note("changed")

    sent = event("created")

    for _ in range(3):
        ok(shop.post_event(sent))

    assert shop.notes == ["changed", "customer.subscription.created"]
    assert [row.attempts for row in shop.events] == [1]


def test_duplicate_changes_no_column(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Made by hand, it would be applied in order of arrival; it is the same event."""
    first = event("updated", status="trialing")
    second = event("updated", status="active")
    del first["data"]["previous_attributes"], second["data"]["previous_attributes"]
    ok(shop.post_event(first))
    ok(shop.post_event(second))
    ok(shop.post_event(first))
    assert shop.columns()["subscription_status"] == "active"


def test_duplicate_differs_in_signature_and_body(shop: Any) -> None:
    """Each try of Stripe is signed anew, and may be written in another way."""
    called: list[Any] = []
    on(shop, "invoice.paid")(called.append)
    sent = paid()
    now = int(time.time())
    ok(shop.post_event(sent, timestamp=now))
    ok(shop.post_event({**sent, "pending_webhooks": 0}, timestamp=now - 9))
    ok(shop.post_event(json.dumps(sent, indent=2).encode()))
    assert len(called) == 1


def test_raising_handler_undoes_what_all_wrote(shop: Any) -> None:
    @on(shop, "customer.subscription.created")
    def write(received: Event) -> None:
        shop.note("first")
        received.user.email = "changed@example.com"

    @on(shop, "customer.subscription.created")
    def fail(received: Event) -> None:
        shop.note("second")
        shop.db.session.flush()
        raise ValueError("A bug in a welcome mail.")

    @on(shop, "customer.subscription.created")
    def never(received: Event) -> None:
        raise AssertionError

    answer = shop.post_event(event("created"))
    failed(answer)
    assert "welcome" not in answer.text
    assert shop.notes == []
    assert email_of_ada(shop) == "ada@example.com"


def test_raising_handler_keeps_the_columns(shop: Any) -> None:
    @on(shop, "customer.subscription.created")
    def fail(received: Event) -> None:
        raise ValueError("A bug in a welcome mail.")

    failed(shop.post_event(event("created")))
    assert shop.columns()["subscription_status"] == "active"
    assert shop.subscriptions[0].revision == 1


def test_failure_is_recorded_and_logged(shop: Any, caplog: Any) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError("A bug in a welcome mail.")

    sent = paid()
    failed(shop.post_event(sent))
    failed(shop.post_event(sent))
    [row] = shop.events
    assert row.error == "ValueError: A bug in a welcome mail."
    assert row.attempts == 2
    assert row.processed_at is None
    assert sent["id"] in caplog.text
    assert "Traceback" in caplog.text


def test_next_delivery_runs_all_handlers_again(shop: Any) -> None:
    outcomes = iter([ValueError("once"), KeyError("twice"), None, None])

    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        shop.note("first")

    @on(shop, "invoice.paid")
    def fail_twice(received: Event) -> None:
        shop.note("second")
        outcome = next(outcomes)

        if outcome is not None:
            raise outcome

    sent = paid()
    failed(shop.post_event(sent))
    failed(shop.post_event(sent))
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert shop.notes == ["first", "second"]
    [row] = shop.events
    assert (row.attempts, row.error) == (3, None)
    assert row.processed_at is not None


def test_failed_event_does_not_stop_later_ones(shop: Any) -> None:
    @on(shop, "customer.subscription.created")
    def fail(received: Event) -> None:
        raise ValueError("no")

    created = event("created")
    failed(shop.post_event(created))
    ok(shop.post_event(event("updated", 60, status="past_due")))
    failed(shop.post_event(created))
    assert shop.columns()["subscription_status"] == "past_due"


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (ValueError("a\x00b"), "ValueError: ab"),
        (ValueError("\ud800"), "ValueError: \\ud800"),
        (KeyError("ü"), "KeyError: 'ü'"),
        (StripeError("No such coupon."), "StripeError: No such coupon."),
        (RuntimeError("x" * 100_000), "RuntimeError: " + "x" * 1986),
    ],
)
def test_error_of_any_text_is_recorded(
    shop: Any, error: Exception, recorded: str
) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise error

    failed(shop.post_event(paid()))
    assert shop.events[0].error == recorded


def test_database_error_of_a_handler_shows_no_parameters(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        shop.db.session.execute(
            text("INSERT INTO nowhere VALUES (:email)"), {"email": "ada@example.com"}
        )

    failed(shop.post_event(paid()))
    assert "INSERT INTO nowhere" in shop.events[0].error
    assert "ada@example.com" not in shop.events[0].error + caplog.text


def test_handler_that_aborts_has_failed(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        shop.note("x")
        abort(404)

    failed(shop.post_event(paid()))
    assert shop.notes == []


def test_worker_that_dies_in_a_handler_leaves_the_event(shop: Any) -> None:
    dies = [True, False]

    @on(shop, "invoice.paid")
    def die(received: Event) -> None:
        shop.note("x")

        if dies.pop(0):
            raise SystemExit

    sent = paid()

    with pytest.raises(SystemExit):
        shop.post_event(sent)

    assert shop.notes == []
    assert shop.events[0].processed_at is None
    ok(shop.post_event(sent))
    assert shop.notes == ["x"]


def test_event_without_id_that_fails_is_undone_as_well(shop: Any) -> None:
    @on(shop, "customer.subscription.created")
    def fail(received: Event) -> None:
        shop.note("x")
        raise ValueError

    sent = event("created")
    del sent["id"]
    failed(shop.post_event(sent))
    assert (shop.notes, shop.events) == ([], [])
    assert shop.columns()["subscription_id"] == "sub_1"


# -- db.session in a handler -----------------------------------------------------------


def test_commit_in_a_handler_is_a_flush(shop: Any) -> None:
    keys: list[int] = []
    raises = [True, False]

    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        note = shop.Note(text="x")
        shop.db.session.add(note)
        shop.db.session.commit()
        keys.append(note.id)

        with second_connection(shop) as connection:
            assert connection.execute("SELECT * FROM note").fetchall() == []

    @on(shop, "invoice.paid")
    def fail_once(received: Event) -> None:
        if raises.pop(0):
            raise ValueError

    sent = paid()
    failed(shop.post_event(sent))
    assert shop.notes == []
    ok(shop.post_event(sent))
    assert shop.notes == ["x"]
    assert keys == [1, 1]


def test_commit_is_a_commit_again_after_the_handlers(shop: Any) -> None:
    raises = [True, False]

    @on(shop, "invoice.paid")
    def fail_once(received: Event) -> None:
        if raises.pop(0):
            raise ValueError("once")

    body = json.dumps(paid()).encode()

    for _ in range(2):
        signature = sign_payload(body, "whsec_of_the_tests", timestamp=int(time.time()))

        with shop.app.app_context():
            if raises[0]:
                with pytest.raises(ValueError, match="once"):
                    shop.kavach_stripe.handle_webhook(body, signature)
            else:
                shop.kavach_stripe.handle_webhook(body, signature)

            shop.note("after")
            shop.db.session.commit()
            shop.db.session.rollback()

    assert shop.notes == ["after", "after"]


@pytest.mark.parametrize("how", ["rollback", "close", "remove"])
@pytest.mark.parametrize("then", ["nothing", "write", "commit"])
def test_ending_the_transaction_in_a_handler_fails_the_event(
    shop: Any, how: str, then: str
) -> None:
    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        shop.note("first")
        shop.db.session.flush()

    @on(shop, "invoice.paid")
    def end(received: Event) -> None:
        getattr(shop.db.session, how)()

        if then != "nothing":
            shop.note("second")

        if then == "commit" and how != "remove":  # another session is not in our hands
            shop.db.session.commit()

    failed(shop.post_event(paid()))
    assert shop.notes == []
    [row] = shop.events
    assert row.processed_at is None
    assert row.attempts == 1
    assert "rollback()" in row.error


def test_error_of_a_flush_that_is_caught_fails_the_event(shop: Any) -> None:
    """The database undid everything then, so there is nothing left to commit."""

    @on(shop, "invoice.paid")
    def write_twice(received: Event) -> None:
        session = shop.db.session
        session.execute(text("INSERT INTO note (id, text) VALUES (1, 'x')"))
        session.add(shop.Note(id=1, text="y"))

        with pytest.raises(IntegrityError):
            session.flush()

    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert shop.events[0].processed_at is None


def test_savepoints_work_in_a_handler(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        session = shop.db.session
        shop.note("kept")

        with session.begin_nested():
            shop.note("kept as well")

        with pytest.raises(ZeroDivisionError), session.begin_nested():
            shop.note("undone")
            session.flush()
            raise ZeroDivisionError

        nested = session.begin_nested()
        shop.note("undone, too")
        nested.rollback()

    ok(shop.post_event(paid()))
    assert shop.notes == ["kept", "kept as well"]


def test_savepoint_that_is_left_open_is_kept(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        shop.db.session.begin_nested()
        shop.note("x")
        shop.db.session.commit()

    ok(shop.post_event(paid()))
    assert shop.notes == ["x"]


def test_violation_inside_a_savepoint_may_be_caught(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        session = shop.db.session
        session.execute(text("INSERT INTO note (id, text) VALUES (1, 'x')"))

        with pytest.raises(IntegrityError), session.begin_nested():
            session.add(shop.Note(id=1, text="y"))

    ok(shop.post_event(paid()))
    assert shop.notes == ["x"]


def test_what_a_handler_left_pending_is_stored(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        shop.note("never flushed")

    ok(shop.post_event(paid()))
    assert shop.notes == ["never flushed"]


def test_pending_row_that_cannot_be_stored_fails_the_event(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        shop.db.session.add(shop.Note())

    failed(shop.post_event(paid()))
    assert "IntegrityError" in shop.events[0].error


# -- helpers in a handler --------------------------------------------------------------


def test_sync_in_a_handler_only_flushes(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    @on(shop, "invoice.paid")
    def sync(received: Event) -> None:
        shop.note("before")
        found = shop.kavach_stripe.sync_subscription(received.user)
        assert found.id == "sub_1"
        assert received.user.stripe_subscription_id == "sub_1"

    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError

    page = {"object": "list", "data": [subscription()], "has_more": False}
    stripe_api.get(f"{API}/subscriptions", json=page)
    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert shop.columns()["subscription_id"] is None
    assert shop.subscriptions == []


def test_sync_in_a_handler_is_stored_with_it(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    told: list[str] = []

    @on(shop, "invoice.paid")
    def sync(received: Event) -> None:
        shop.kavach_stripe.sync_subscription(1)
        shop.note("after")
        shop.db.session.commit()

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        told.append(found.id)

    page = {"object": "list", "data": [subscription()], "has_more": False}
    stripe_api.get(f"{API}/subscriptions", json=page)
    ok(shop.post_event(paid()))
    assert shop.notes == ["after"]
    assert shop.columns()["subscription_id"] == "sub_1"
    assert told == ["sub_1"]


def test_portal_session_in_a_handler_only_flushes(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        with second_connection(shop) as connection:
            assert connection.execute("SELECT * FROM note").fetchall() == []

        return 200, {}, json.dumps({"id": "bps_1", "url": "https://stripe/p"})

    @on(shop, "invoice.paid")
    def mail_a_link(received: Event) -> None:
        shop.note("before")
        session = shop.kavach_stripe.create_portal_session(received.user, "/")
        shop.note(session.url)
        raise ValueError

    stripe_api.add_callback("POST", f"{API}/billing_portal/sessions", callback=answer)
    failed(shop.post_event(paid()))
    assert shop.notes == []


def test_handler_may_catch_the_error_of_a_helper(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    @on(shop, "invoice.paid")
    def sync(received: Event) -> None:
        shop.note("x")

        with pytest.raises(StripeError):
            shop.kavach_stripe.sync_subscription(received.user)

    stripe_api.get(f"{API}/subscriptions", status=500, body="{}")
    ok(shop.post_event(paid()))
    assert shop.notes == ["x"]


def test_error_of_stripe_in_a_handler_is_the_handlers(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    @on(shop, "invoice.paid")
    def sync(received: Event) -> None:
        shop.kavach_stripe.sync_subscription(received.user)

    stripe_api.get(f"{API}/subscriptions", status=500, body="{}")
    failed(shop.post_event(paid()))
    assert shop.events[0].error.startswith("APIError")


# -- on_subscription_change ------------------------------------------------------------


@pytest.fixture
def told(shop: Any) -> list[Any]:
    """What ``on_subscription_change`` was told."""
    told: list[Any] = []

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        told.append((user.id, found.id, found.status, found.price_id))

    return told


def test_change_is_told(shop: Any, told: list[Any]) -> None:
    ok(shop.post_event(event("created", status="trialing")))
    ok(shop.post_event(event("updated", 60, status="active")))
    assert told == [
        (1, "sub_1", "trialing", "price_pro"),
        (1, "sub_1", "active", "price_pro"),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "past_due"},
        {"price": "price_2"},
        {"current_period_end": END + 1},
        {"cancel_at_period_end": True},
        {"cancel_at": END},
    ],
)
def test_change_of_any_column_is_told(
    shop: Any, told: list[Any], changed: dict[str, Any]
) -> None:
    ok(shop.post_event(event("created")))
    ok(shop.post_event(event("updated", 60, **changed)))
    assert len(told) == 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(event("updated", 60), id="same state"),
        pytest.param(event("updated", -60, status="past_due"), id="old event"),
        pytest.param(event("updated", 60, quantity=7), id="only the row"),
        pytest.param(event("created", id="sub_2", status="unpaid"), id="not the best"),
        pytest.param(event("created", customer="cus_nobody"), id="of nobody"),
        pytest.param(paid(), id="another type"),
    ],
)
def test_nothing_is_told_when_nothing_changed(
    shop: Any, told: list[Any], sent: dict[str, Any]
) -> None:
    ok(shop.post_event(event("created")))
    told.clear()
    ok(shop.post_event(sent))
    assert told == []


def test_end_is_told_with_the_subscription_that_ended(
    shop: Any, told: list[Any]
) -> None:
    ends: list[Any] = []

    @on_change(shop)
    def look(user: Any, found: Any) -> None:
        ends.append((found.current_period_end, found.canceled, found.is_active))
        assert user.stripe_subscription_id is None or found.is_active

    ok(shop.post_event(event("created")))
    ok(shop.post_event(event("deleted", 60, status="canceled")))
    assert told[-1] == (1, "sub_1", "canceled", "price_pro")
    assert ends[-1] == (at(END), True, False)


def test_end_of_one_of_two_is_told_with_the_other(shop: Any, told: list[Any]) -> None:
    shop.post_event(event("created"))
    shop.post_event(event("created", id="sub_2", status="past_due", price="price_2"))
    ok(shop.post_event(event("deleted", 60, status="canceled")))
    assert told[-1] == (1, "sub_2", "past_due", "price_2")


def test_deleted_customer_is_told_as_an_end(shop: Any, told: list[Any]) -> None:
    shop.post_event(event("created"))
    ok(shop.post_event(make_event("customer.deleted", make_customer("cus_ada"))))
    assert told[-1] == (1, "sub_1", "canceled", "price_pro")


def test_failed_payment_is_told(shop: Any, told: list[Any]) -> None:
    shop.post_event(event("created"))
    invoice = make_invoice(
        customer="cus_ada", subscription="sub_1", period_end=END + 99
    )
    ok(shop.post_event(make_event("invoice.payment_failed", invoice)))
    assert told[-1] == (1, "sub_1", "past_due", "price_pro")


def test_change_is_told_again_after_a_failure(shop: Any) -> None:
    outcomes = iter([ValueError("no"), None])

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        shop.note(found.status)
        outcome = next(outcomes)

        if outcome is not None:
            raise outcome

    sent = event("created")
    failed(shop.post_event(sent))
    assert shop.notes == []
    assert shop.columns()["subscription_id"] == "sub_1"
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert shop.notes == ["active"]


def test_change_is_undone_with_the_handlers(shop: Any) -> None:
    raises = [True, False]

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        shop.note("told")

    @on(shop, "customer.subscription.created")
    def fail_once(received: Event) -> None:
        if raises.pop(0):
            raise ValueError

    sent = event("created")
    failed(shop.post_event(sent))
    assert shop.notes == []
    ok(shop.post_event(sent))
    assert shop.notes == ["told"]


def test_present_state_is_told_by_a_late_delivery(shop: Any) -> None:
    told: list[str] = []
    raises = [True, False, False]

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        if raises.pop(0):
            raise ValueError

        told.append(f"{found.status} {found.price_id}")

    sent = event("created")
    failed(shop.post_event(sent))
    ok(shop.post_event(event("updated", 60, price="price_2")))
    ok(shop.post_event(sent))
    assert told == ["active price_2", "active price_2"]


def test_change_is_told_to_what_the_constructor_was_given(tmp_path: Any) -> None:
    told: list[Any] = []
    app = Flask("given")
    app.config.update(
        TESTING=True,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'given.db'}",
        STRIPE_SECRET_KEY="sk_test_of_the_tests",
        STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
    )
    db = SQLAlchemy(app)

    from_mixin: Any = type(
        "User",
        (StripeUserMixin, db.Model),
        {"id": db.Column(db.Integer, primary_key=True)},
    )

    KavachStripe(app, on_subscription_change=lambda *args: told.append(args))

    with app.app_context():
        db.create_all()
        db.session.add(from_mixin(stripe_customer_id="cus_ada"))
        db.session.commit()

    ok(post_event(app.test_client(), event("created")))
    assert [found.id for _, found in told] == ["sub_1"]

    with app.app_context():
        db.engine.dispose()


def test_change_is_told_once_when_complete_checkout_came_first(
    shop: Any, told: list[Any], stripe_api: responses.RequestsMock
) -> None:
    session = make_checkout_session(
        "cs_1", customer="cus_ada", subscription="sub_1", client_reference_id="1"
    )
    stripe_api.get(f"{API}/checkout/sessions/cs_1", json=session)
    stripe_api.get(SUB, json=subscription())

    with shop.app.app_context():
        shop.kavach_stripe.complete_checkout("cs_1", 1)

    ok(shop.post_event(checkout()))
    ok(shop.post_event(event("created")))
    ok(shop.post_event(event("updated", 60)))
    assert told == [(1, "sub_1", "active", "price_pro")]


def test_change_that_nobody_wants_to_know_leaves_nothing_to_do(shop: Any) -> None:
    ok(shop.post_event(event("created")))
    assert shop.events[0].processed_at is not None


# -- statements and commits ------------------------------------------------------------


@contextmanager
def traced(shop: Any) -> Iterator[list[str]]:
    """What the database is asked: the first words of each statement, and commits."""
    collected: list[str] = []

    with shop.app.app_context():
        engine = shop.db.engine

    def execute(
        connection: Any, cursor: Any, statement: str, parameters: Any, *args: Any
    ) -> None:
        words = statement.replace("\n", " ").split()
        tables = [word for word in words if word in TABLES] or words[-1:]
        collected.append(f"{words[0]} {tables[0]}")

    def commit(connection: Any) -> None:
        if collected and collected[-1] != "COMMIT":
            collected.append("COMMIT")

    sqlalchemy_event.listen(engine, "before_cursor_execute", execute)
    sqlalchemy_event.listen(engine, "commit", commit)

    try:
        yield collected
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", execute)
        sqlalchemy_event.remove(engine, "commit", commit)


TABLES = ("users", "stripe_subscription", "stripe_event", "note")
#: User, event and rows are read in one statement.
LOCK = ["BEGIN IMMEDIATE", "SELECT users"]


def test_statements_of_a_change(shop: Any) -> None:
    shop.post_event(event("created"))

    with traced(shop) as statements:
        ok(shop.post_event(event("updated", 60, status="past_due")))

    assert statements == [
        *LOCK,
        "UPDATE stripe_subscription",
        "UPDATE users",
        "INSERT stripe_event",
        "COMMIT",
    ]


def test_statements_of_a_new_subscription(shop: Any) -> None:
    with traced(shop) as statements:
        ok(shop.post_event(event("created")))

    assert statements == [
        *LOCK,
        "SELECT stripe_subscription",  # whether another customer has it
        "INSERT stripe_subscription",
        "UPDATE users",
        "INSERT stripe_event",
        "COMMIT",
    ]


def test_statements_of_an_event_that_is_too_old(shop: Any) -> None:
    shop.post_event(event("created"))

    with traced(shop) as statements:
        ok(shop.post_event(event("updated", -60, status="past_due")))

    assert statements == [
        *LOCK,
        "INSERT stripe_event",
        "COMMIT",
    ]


def test_statements_of_an_event_with_handlers(shop: Any) -> None:
    on(shop, "customer.subscription.updated")(lambda received: shop.note("x"))
    shop.post_event(event("created"))

    with traced(shop) as statements:
        ok(shop.post_event(event("updated", 60, status="past_due")))

    assert statements == [
        *LOCK,
        "UPDATE stripe_subscription",
        "UPDATE users",
        "INSERT stripe_event",
        "COMMIT",
        "UPDATE stripe_event",
        "INSERT note",
        "COMMIT",
    ]


def test_statements_of_an_event_that_only_handlers_take(shop: Any) -> None:
    on(shop, "invoice.paid")(lambda received: shop.note("x"))

    with traced(shop) as statements:
        ok(shop.post_event(paid()))

    assert statements == [
        "BEGIN IMMEDIATE",
        "SELECT users",
        "INSERT stripe_event",
        "COMMIT",
        "UPDATE stripe_event",
        "INSERT note",
        "COMMIT",
    ]


def test_statements_of_a_duplicate(shop: Any) -> None:
    on(shop, "customer.subscription.created")(lambda received: shop.note("x"))
    sent = event("created")
    shop.post_event(sent)

    with traced(shop) as statements:
        ok(shop.post_event(sent))

    assert statements == LOCK


def test_statements_of_a_customer_that_nobody_has(shop: Any) -> None:
    with traced(shop) as statements:
        ok(shop.post_event(event("created", customer="cus_nobody")))

    assert statements == ["BEGIN IMMEDIATE", "SELECT users", "COMMIT"]


def test_statements_of_a_failure(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError

    with traced(shop) as statements:
        failed(shop.post_event(paid()))

    assert statements == [
        "BEGIN IMMEDIATE",
        "SELECT users",
        "INSERT stripe_event",
        "COMMIT",
        "UPDATE stripe_event",
        "UPDATE stripe_event",
        "COMMIT",
    ]


def test_bytes_stored_of_an_event(shop: Any) -> None:
    """The payload once, as sent, and little beside it."""
    payload = json.dumps(event("created")).encode()
    ok(shop.post_event(payload))
    [row] = shop.events
    others = [
        str(getattr(row, column.key))
        for column in inspect(type(row)).columns
        if column.key != "payload"
    ]
    assert row.payload.encode() == payload
    assert sum(map(len, others)) < 300, others


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
    assert [row.attempts for row in shop.events] == [1]


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
        time.sleep(0.1)
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
        time.sleep(0.1)

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

    stripe_api.add_callback("GET", SUB, callback=answer)
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

    stripe_api.add_callback("GET", SUB, callback=answer)
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


def test_no_lock_is_held_while_the_object_of_a_failed_thin_event_is_read_again(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    raises = [True, False]

    @on(shop, "customer.subscription.updated")
    def fail_once(received: Event) -> None:
        if raises.pop(0):
            raise ValueError

        shop.note(received.object["id"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        write_to_ada(shop, "written@example.com")
        return 200, {}, json.dumps(subscription())

    stripe_api.add_callback("GET", SUB, callback=answer)
    sent = make_thin_event("customer.subscription.updated", "sub_1")
    failed(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert shop.notes == ["sub_1"]


def test_no_lock_is_left_after_any_answer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB, status=500, body="{}")

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


# -- faults on our side ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DROP TABLE stripe_event", "stripe_event"),
        ("DROP TABLE stripe_subscription", "stripe_subscription"),
        ("DROP TABLE users", "users"),
        ("ALTER TABLE stripe_event DROP COLUMN attempts", "stripe_event.attempts"),
        ("ALTER TABLE users DROP COLUMN stripe_price_id", "users.stripe_price_id"),
    ],
)
def test_missing_table_is_named(
    make_shop: Any, caplog: Any, statement: str, missing: str
) -> None:
    shop = make_shop()
    shop.add_user(stripe_customer_id="cus_ada")

    with second_connection(shop) as connection:
        connection.execute(statement)

    answer = shop.post_event(event("created"))
    assert answer.status_code == 500
    assert answer.json["code"] == "missing_table"
    assert f"lacks {missing}." in caplog.text
    assert "flask db migrate" in caplog.text
    assert missing not in answer.text


@pytest.mark.parametrize(
    "table", ["users", "stripe_subscription", "stripe_event", "note"]
)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("INSERT INTO nowhere VALUES (1);", id="operational"),
        pytest.param("SELECT RAISE(ABORT, 'no');", id="integrity"),
    ],
)
def test_fault_of_the_database_stores_nothing(
    make_shop: Any, caplog: Any, table: str, fault: str
) -> None:
    """Whichever write it is that fails."""
    caplog.set_level(logging.DEBUG)
    shop = make_shop()
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    shop.post_event(event("created", price="price_before"))
    on(shop, "*")(lambda received: shop.note("a secret of Ada's"))
    sent = event("updated", 60, price="price_secret")

    with second_connection(shop) as connection:
        for kind in ("INSERT", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER t_{kind} BEFORE {kind} ON {table} BEGIN {fault} END"
            )

    answer = shop.post_event(sent)

    if table == "note":
        failed(answer)
        assert shop.columns()["price_id"] == "price_secret"
    else:
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert answer.json["code"] == "database_unavailable"
        assert shop.columns()["price_id"] == "price_before"
        assert len(shop.events) == 1
        assert "price_secret" not in caplog.text
        assert "cus_ada" not in caplog.text

    with second_connection(shop) as connection:
        connection.execute("DROP TRIGGER t_INSERT")
        connection.execute("DROP TRIGGER t_UPDATE")

    ok(shop.post_event(sent))
    assert shop.columns()["price_id"] == "price_secret"
    assert shop.notes == ["a secret of Ada's"]


def test_locked_database_is_a_503(make_shop: Any, caplog: Any) -> None:
    shop = make_shop(SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 0}})
    shop.add_user(stripe_customer_id="cus_ada")
    sent = event("created")

    with second_connection(shop) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert shop.post_event(sent).status_code == 503
        connection.rollback()

    assert "OperationalError" in caplog.text
    ok(shop.post_event(sent))


def test_failure_that_cannot_be_recorded_is_still_a_500(
    make_shop: Any, caplog: Any
) -> None:
    shop = make_shop()

    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError

    with second_connection(shop) as connection:
        connection.execute(
            "CREATE TRIGGER t BEFORE UPDATE ON stripe_event WHEN NEW.error IS NOT NULL"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    failed(shop.post_event(paid()))
    assert "could not be recorded" in caplog.text


def test_log_holds_no_secret(
    shop: Any, stripe_api: responses.RequestsMock, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    stripe_api.get(SUB, status=500, json={"error": {"message": "sk_test_of_the_tests"}})

    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError("a bug")

    shop.post_event(checkout(customer_details={"email": "private@example.com"}))
    shop.post_event(paid(customer_email="private@example.com"))
    shop.post_event({**event("created"), "livemode": True})
    shop.post_event(paid(), secret="whsec_wrong")
    shop.post_event(b"private@example.com")
    assert "a bug" in caplog.text
    assert "livemode" in caplog.text

    for secret in ("sk_test_of", "whsec_", "v1=", "private@example.com"):
        assert secret not in caplog.text


# -- handle_webhook --------------------------------------------------------------------


def call(shop: Any, sent: dict[str, Any], **kwargs: Any) -> Any:
    """Hand an event over without HTTP."""
    body = json.dumps(sent).encode()
    now = int(time.time())
    signature = sign_payload(body, "whsec_of_the_tests", timestamp=now)
    return shop.kavach_stripe.handle_webhook(body, kwargs.get("signature", signature))


def test_handle_webhook_returns_the_event(shop: Any) -> None:
    with shop.app.app_context():
        received = call(shop, event("created"))
        assert isinstance(received, Event)
        assert received.type == "customer.subscription.created"

    assert shop.columns()["subscription_id"] == "sub_1"


def test_handle_webhook_shows_the_new_values_in_loaded_users(shop: Any) -> None:
    with shop.app.app_context():
        user = shop.db.session.get(shop.User, 1)
        assert user.stripe_subscription_id is None
        call(shop, event("created"))
        assert user.stripe_subscription_id == "sub_1"


def test_handle_webhook_shows_them_where_a_commit_expires_nothing(shop: Any) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.created")
    def look(received: Event) -> None:
        seen.append(received.user.stripe_subscription_id)

    with shop.app.app_context():
        shop.db.session().expire_on_commit = False
        user = shop.db.session.get(shop.User, 1)
        assert user.stripe_subscription_id is None
        call(shop, event("created"))
        assert user.stripe_subscription_id == "sub_1"

    assert seen == ["sub_1"]


def test_handle_webhook_raises_the_error_of_the_handler(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ZeroDivisionError

    with shop.app.app_context(), pytest.raises(ZeroDivisionError):
        call(shop, paid())

    assert shop.events[0].error == "ZeroDivisionError: "


@pytest.mark.parametrize("signature", [None, "", "t=1,v1=0", "ü", b"\xff"])
def test_handle_webhook_refuses_other_signatures(shop: Any, signature: Any) -> None:
    with shop.app.app_context(), pytest.raises(SignatureVerificationError):
        call(shop, paid(), signature=signature)


def test_handle_webhook_raises_the_error_of_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB, status=500, body="{}")

    with shop.app.app_context(), pytest.raises(StripeError):
        call(shop, checkout())
