"""A handler that fails undoes what all wrote; nothing is half stored."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import responses
from flask import abort
from sqlalchemy import text

from flask_kavach_stripe import Event
from flask_kavach_stripe import StripeError
from flask_kavach_stripe.testing import make_event
from tests.exactly_once.other_process import email_of_ada
from tests.vocabulary import checkout
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import handle
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import second_connection
from tests.vocabulary import SECRET_KEY
from tests.vocabulary import SUB_1

# -- handlers that fail ----------------------------------------------------------------


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


def test_cause_of_a_handlers_error_shows_no_parameters(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    email = "@".join(("ada", "example.com"))

    @on(shop, "invoice.paid")
    def fail(event: Any) -> None:
        try:
            shop.db.session.execute(text("NO :sql"), {"sql": email})
        except Exception as error:
            raise RuntimeError("wrapped") from error

    response = shop.post_event(make_event("invoice.paid", {"id": "in_1"}))
    assert response.status_code == 500
    assert "NO ?" in caplog.text
    assert email not in caplog.text


def test_handlers_error_keeps_its_cause(shop: Any) -> None:
    cause = ValueError("cause")

    @on(shop, "invoice.paid")
    def fail(event: Any) -> None:
        raise RuntimeError("a bug") from cause

    with shop.app.app_context(), pytest.raises(RuntimeError) as raised:
        handle(shop, make_event("invoice.paid", {"id": "in_1"}))

    assert raised.value.__cause__ is cause


def test_handlers_error_that_is_its_own_cause_is_recorded(shop: Any) -> None:
    """As one is that went through a helper which was called in a handler."""

    def fail(event: Any) -> None:
        error = LookupError("round and round")
        raise error from error

    shop.kavach_stripe.on("invoice.paid")(fail)
    answer = shop.post_event(make_event("invoice.paid", {"id": "in_1"}))
    assert answer.status_code == 500
    assert shop.events[0].error == "LookupError: round and round"


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
    stripe_api.get(SUB_1, status=500, json={"error": {"message": SECRET_KEY}})

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


def test_handler_that_ends_the_process_counts_an_attempt(shop: Any) -> None:
    """Nothing is recorded then, so the attempt is counted with the event."""

    class Killed(BaseException):
        """As the end of the process: nobody catches it."""

    kills = [True, False]

    @on(shop, "invoice.paid")
    def end_once(received: Any) -> None:
        shop.note("x")

        if kills.pop(0):
            raise Killed

    sent = paid()

    with pytest.raises(Killed):
        shop.post_event(sent)

    [row] = shop.events
    assert (row.processed_at, row.attempts, row.error) == (None, 1, None)
    assert row.attempted_at is not None
    ok(shop.post_event(sent))
    assert shop.events[0].attempts == 2
    assert shop.notes == ["x"]
