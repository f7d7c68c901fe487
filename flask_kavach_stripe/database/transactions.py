"""When transactions begin and end.

Everything works in ``db.session`` and commits with ``session.commit()``. While handlers
run, the extension owns the transaction: there a commit is a flush, so the same code
serves inside of a handler and outside of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from typing import Final

from sqlalchemy import Connection
from sqlalchemy import delete
from sqlalchemy import false
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction

#: The mark in ``session.info`` of a session in which handlers run.
_RUNNING: Final = "kavach_stripe.handlers_running"


@contextmanager
def rollback_on_error(session: Session) -> Iterator[None]:
    """Leave nothing half written, and no lock held, when the block raises."""
    try:
        yield
    except BaseException:
        session.rollback()
        raise


def commit_open(session: Session) -> None:
    """Commit what was begun before us, if anything was.

    A commit without a transaction would begin one first.
    """
    if session.in_transaction():
        session.commit()


def connection_to(session: Session, model: Any) -> Connection:
    """The session's connection to the database that a model is in.

    :param model: The class, or its mapper.
    """
    return session.connection(bind_arguments={"mapper": model})


def begin_write(session: Session, model: type[Any]) -> None:
    """Take SQLite's write lock now; in other databases rows are locked as they are
    read.

    SQLite locks the whole database. A transaction that began with a read cannot get
    the write lock any more once another writer came between.

    :param model: A model in the database to be written.
    """
    connection = connection_to(session, model)

    if connection.dialect.name != "sqlite":
        return

    driver_connection = connection.connection.driver_connection

    if getattr(driver_connection, "in_transaction", True):
        # The app has opened the transaction already, so only a write gets the lock.
        session.execute(delete(model).where(false()))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_running_handlers(session: Session) -> bool:
    """Whether handlers run in the session, so that ``commit()`` is a flush."""
    return _RUNNING in session.info


class HandlersTransaction:
    """The transaction in which handlers run."""

    def __init__(self, transaction: SessionTransaction) -> None:
        self._transaction = transaction

    def check(self) -> None:
        """Check, after a handler, that the transaction is still open.

        :raises RuntimeError: If the handler ended it, with ``rollback()`` or
            ``close()``.
        """
        if not self._transaction.is_active:
            raise RuntimeError(
                "A handler ended the transaction that it runs in, with 'rollback()'"
                " or 'close()', or caught the error of a flush. Let it raise an"
                " error instead, or use 'begin_nested()'."
            )


@contextmanager
def handlers_running(session: Session) -> Iterator[HandlersTransaction]:
    """Make ``session.commit()`` a flush, for the length of the block.

    The block runs in the transaction that the session is in, and is flushed at its
    end. Neither commits nor rolls back. A helper that a handler calls comes here again,
    and finds everything prepared. In the end ``commit`` is what it was, also if the app
    had given the session one of its own.
    """
    transaction = session.get_transaction() or session.begin()

    if is_running_handlers(session):
        yield HandlersTransaction(transaction)
        session.flush()
        return

    own_commit = vars(session).get("commit")
    session.info[_RUNNING] = True
    session.commit = session.flush  # type: ignore[method-assign]  # undone below

    try:
        yield HandlersTransaction(transaction)
        session.flush()
    finally:
        del session.info[_RUNNING]
        del session.commit

        if own_commit is not None:
            session.commit = own_commit  # type: ignore[method-assign]  # as it was
