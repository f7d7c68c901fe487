"""A handler that ends the transaction which it shares with all others of its event."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from tests.conftest import Shop
from tests.vocabulary import failed
from tests.vocabulary import handle
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


def by_the_transaction(session: Any) -> None:
    session.get_transaction().commit()


def by_the_connection(session: Any) -> None:
    session.connection().commit()


def by_the_transaction_of_the_connection(session: Any) -> None:
    session.connection().get_transaction().commit()


def by_the_class(session: Any) -> None:
    type(session).commit(session)


def by_leaving_the_transaction(session: Any) -> None:
    with session.get_transaction() as transaction:
        assert transaction.is_active


def around_a_savepoint(session: Any) -> None:
    transaction = session.get_transaction()
    session.begin_nested()
    transaction.commit()


def by_a_rollback_of_the_connection(session: Any) -> None:
    session.connection().rollback()


def by_sql(session: Any) -> None:
    session.execute(text("commit"))


def by_sql_of_a_rollback(session: Any) -> None:
    session.execute(text(" ROLLBACK"))


COMMITS = [
    by_sql,
    by_sql_of_a_rollback,
    by_the_transaction,
    by_the_connection,
    by_the_transaction_of_the_connection,
    by_the_class,
    by_leaving_the_transaction,
    around_a_savepoint,
    by_a_rollback_of_the_connection,
]


@pytest.mark.filterwarnings("ignore:transaction already deassociated")  # SQLAlchemy's
@pytest.mark.parametrize("catches", [False, True], ids=["", "and catches the error"])
@pytest.mark.parametrize("end", COMMITS)
def test_handler_that_commits_by_itself_fails_the_event_at_each_try(
    shop: Shop, end: Callable[[Any], None], catches: bool
) -> None:
    """It used to commit the mark of the ledger, too: what came later never ran."""
    later: list[str] = []
    is_wrong = [True]

    @on(shop, "invoice.paid")
    def write(event: Any) -> None:
        shop.note("written")
        shop.db.session.flush()

        if not is_wrong:
            return

        with suppress(*[Exception] if catches else []):
            end(shop.db.session())

    @on(shop, "invoice.paid")
    def write_later(event: Any) -> None:
        later.append(event.id)

    sent = paid()

    for attempts in (1, 2):
        failed(shop.post_event(sent))
        [entry] = shop.events
        assert (entry.processed_at, entry.attempts) == (None, attempts)
        assert "A handler ended the transaction" in entry.error
        assert "begin_nested()" in entry.error
        assert shop.notes == []
        assert later == []

    is_wrong.clear()
    ok(shop.post_event(sent))
    assert shop.notes == ["written"]
    assert later == [sent["id"]]


def test_with_begin_in_a_handler_is_already_begun(shop: Shop) -> None:
    """As in any view that has read before."""

    @on(shop, "invoice.paid")
    def write(event: Any) -> None:
        with shop.db.session.begin():
            shop.note("x")

    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert "already begun" in shop.events[0].error


def test_savepoints_of_a_handler_are_its_own(shop: Shop) -> None:
    @on(shop, "invoice.paid")
    def write(event: Any) -> None:
        with shop.db.session.begin_nested():
            shop.note("kept")

        with suppress(ZeroDivisionError), shop.db.session.begin_nested():
            shop.note("undone")
            shop.db.session.flush()
            raise ZeroDivisionError

        nested = shop.db.session.begin_nested()
        shop.note("kept, too")
        nested.commit()

    ok(shop.post_event(paid()))
    assert shop.notes == ["kept", "kept, too"]


def test_session_is_as_before_after_a_refused_commit(shop: Shop) -> None:
    @on(shop, "invoice.paid")
    def end(event: Any) -> None:
        by_the_transaction(shop.db.session())

    with shop.app.app_context():
        with pytest.raises(RuntimeError, match="ended the transaction"):
            handle(shop, paid())

        shop.note("after")
        shop.db.session.commit()
        shop.note("by the transaction")
        by_the_transaction(shop.db.session())
        shop.db.session.execute(shop.db.text("SELECT 1"))
        by_the_connection(shop.db.session())

    assert shop.notes == ["after", "by the transaction"]
