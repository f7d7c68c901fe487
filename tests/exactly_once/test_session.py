"""In a handler, ``commit()`` is a flush, for helpers as well."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses
from requests import PreparedRequest
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.event import remove
from sqlalchemy.exc import IntegrityError

from flask_kavach_stripe import Event
from flask_kavach_stripe import StripeError
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from tests.conftest import Shop
from tests.vocabulary import expect_list
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import on_change
from tests.vocabulary import paid
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import second_connection
from tests.vocabulary import sign
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS

# -- db.session ------------------------------------------------------------------------


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
        signature = sign(body)

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


def test_commit_of_the_app_is_set_again_after_the_handlers(shop: Any) -> None:
    """An app may replace the ``commit`` of its session, for example to log each."""
    seen: list[Any] = []
    body = json.dumps(paid()).encode()

    @on(shop, "invoice.paid")
    def look(received: Event) -> None:
        seen.append(shop.db.session().commit)

    with shop.app.app_context():
        session = shop.db.session()
        commit = session.commit

        def commit_of_the_app() -> None:
            commit()

        session.commit = commit_of_the_app
        shop.kavach_stripe.handle_webhook(body, sign(body))
        seen.append(session.commit)

    assert seen == [session.flush, commit_of_the_app]


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


def test_constraint_that_is_checked_when_the_handlers_commit(shop: Shop) -> None:
    """It is a failure of the handlers, not of the database: 500 rather than 503."""

    @on(shop, "invoice.paid")
    def refer_to_nothing(event: object) -> None:
        session = shop.db.session
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        session.execute(text("INSERT INTO child VALUES (404)"))

    with shop.app.app_context():
        engine = shop.db.engine

    def check_references(connection: Any, *args: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    listen(engine, "checkout", check_references)

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE child (id REFERENCES users (id))"))

    try:
        answer = shop.post_event(make_event("invoice.paid", make_invoice()))
    finally:
        remove(engine, "checkout", check_references)
        engine.dispose()

        with engine.begin() as connection:
            connection.execute(text("DROP TABLE child"))

    [entry] = shop.events
    assert answer.status_code == 500
    assert (entry.processed_at, entry.attempts) == (None, 1)
    assert entry.error.startswith("IntegrityError")


# -- helpers ---------------------------------------------------------------------------


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

    expect_list(stripe_api, subscription())
    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert shop.columns()["subscription_id"] is None
    assert shop.subscriptions == []


def test_sync_in_a_handler_is_stored_with_it(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    changes: list[str] = []

    @on(shop, "invoice.paid")
    def sync(received: Event) -> None:
        shop.kavach_stripe.sync_subscription(1)
        shop.note("after")
        shop.db.session.commit()

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        changes.append(found.id)

    expect_list(stripe_api, subscription())
    ok(shop.post_event(paid()))
    assert shop.notes == ["after"]
    assert shop.columns()["subscription_id"] == "sub_1"
    assert changes == ["sub_1"]


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

    stripe_api.add_callback("POST", PORTAL_SESSIONS, callback=answer)
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

    stripe_api.get(SUBSCRIPTIONS, status=500, body="{}")
    ok(shop.post_event(paid()))
    assert shop.notes == ["x"]


def test_error_of_stripe_in_a_handler_is_the_handlers(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    @on(shop, "invoice.paid")
    def sync(received: Event) -> None:
        shop.kavach_stripe.sync_subscription(received.user)

    stripe_api.get(SUBSCRIPTIONS, status=500, body="{}")
    failed(shop.post_event(paid()))
    assert shop.events[0].error.startswith("APIError")
