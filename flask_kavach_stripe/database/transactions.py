"""How transactions begin, roll back, and stay open while the app's handlers run.

Everything works in ``db.session`` and commits with ``session.commit()``. While handlers
run, the extension owns the transaction: there ``commit()`` only flushes. So the same
code serves inside of a handler and outside of one.
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

#: The key in ``session.info`` that marks a session while handlers run in it.
_RUNNING: Final = "kavach_stripe.handlers_running"


@contextmanager
def rollback_on_error(session: Session) -> Iterator[None]:
    """Roll back if the block raises, then raise its error: no write or lock remains.

    A block that succeeds has to commit by itself.
    """
    try:
        yield
    except BaseException:
        session.rollback()
        raise


def commit_open(session: Session) -> None:
    """Commit the transaction that the session has open, if it has one.

    The extension's own transaction can then begin with a fresh view of the database.
    Without an open transaction, ``commit()`` would begin one first.
    """
    if session.in_transaction():
        session.commit()


def connection_to(session: Session, model: Any) -> Connection:
    """Return the session's connection to the database that a model is in.

    Begins the session's transaction if it has none.

    :param model: The class, or its mapper.
    """
    return session.connection(bind_arguments={"mapper": model})


def begin_write(session: Session, model: type[Any]) -> None:
    """Begin a transaction that will write: take SQLite's write lock now.

    SQLite locks the whole database. A transaction that began with a read cannot get
    the write lock any more once another connection has written since. Other databases
    lock rows as they are read; for them this only opens a connection.

    :param model: A model in the database to be written.

    Source: https://www.sqlite.org/lang_transaction.html
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
    """Whether handlers run in the session, so that ``commit()`` only flushes."""
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
    """Make ``session.commit()`` flush and not commit, until the block ends.

    The block runs in the session's transaction, which is begun if there is none. At its
    end the session is flushed. The caller commits or rolls back.

    Blocks may be nested: a handler can call a helper that runs handlers itself. Only
    the outermost block replaces ``commit`` and restores it, also a ``commit`` that the
    app had set on this session.
    """
    transaction = session.get_transaction() or session.begin()

    if is_running_handlers(session):
        yield HandlersTransaction(transaction)
        session.flush()
        return

    app_commit = vars(session).get("commit")
    session.info[_RUNNING] = True
    session.commit = session.flush  # type: ignore[method-assign]  # undone below

    try:
        yield HandlersTransaction(transaction)
        session.flush()
    finally:
        del session.info[_RUNNING]
        del session.commit

        if app_commit is not None:
            session.commit = app_commit  # type: ignore[method-assign]  # as it was
