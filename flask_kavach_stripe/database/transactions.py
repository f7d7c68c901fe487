"""How transactions begin, roll back, and stay open while the app's handlers run.

Everything works in ``db.session`` and commits with ``session.commit()``. While handlers
run, the extension owns the transaction: there ``commit()`` only flushes. So the same
code serves inside of a handler and outside of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from typing import Final
from typing import NoReturn
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy import delete
from sqlalchemy import Engine
from sqlalchemy import false
from sqlalchemy import inspect
from sqlalchemy import select
from sqlalchemy import Update
from sqlalchemy import update
from sqlalchemy.event import listen
from sqlalchemy.event import remove
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction

#: SQL that ends a transaction, but for a rollback to a savepoint.
_END: Final = re.compile(
    r"\s*(?:COMMIT|END|ABORT|ROLLBACK(?!(?:\s+(?:WORK|TRANSACTION))?\s+TO))\b",
    re.IGNORECASE,
)

#: The key in ``session.info`` of the transaction of the handlers, while they run.
_RUNNING: Final = "kavach_stripe.handlers_running"

_ENDED: Final = (
    "A handler ended the transaction that it runs in, with 'rollback()' or 'close()',"
    " or by a commit other than 'session.commit()', or caught the error of a flush. Let"
    " it raise an error instead, or use 'begin_nested()'."
)


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

    :raises RuntimeError: As :func:`check_can_commit`.
    """
    check_can_commit(session)

    if session.in_transaction():
        session.commit()


def commit_before_call(session: Session) -> None:
    """Commit before a call to Stripe, so that no lock is held while it lasts.

    While handlers run, this only flushes, as every ``commit()`` there.

    :raises RuntimeError: As :func:`check_can_commit`.
    """
    check_can_commit(session)
    session.commit()


def check_can_commit(session: Session) -> None:
    """Check that the app has not opened a block that has to commit by itself.

    What Stripe has done could not be stored inside of such a block, so call this before
    Stripe is called. While handlers run, ``commit()`` is a flush and any block is fine.

    :raises RuntimeError: Inside of ``with session.begin()`` or ``begin_nested()``.
    """
    # SQLAlchemy marks a session in a `with` block, and has no public name for it.
    is_in_block = getattr(session, "_trans_context_manager", None) is not None

    if (is_in_block or session.in_nested_transaction()) and not is_running_handlers(
        session
    ):
        raise RuntimeError(
            "The transaction cannot be committed here, inside of"
            " 'with db.session.begin():' or 'begin_nested()'. Call the extension before"
            " or after the block: it commits by itself before it calls Stripe."
        )


#: By mapper: a statement that writes to its table. It is never sent.
_WRITES: Final[WeakKeyDictionary[Mapper[Any], Update]] = WeakKeyDictionary()


def connection_to(session: Session, model: Any) -> Connection:
    """Return the session's connection to the database that a model is written to.

    A session may choose the database by the statement, and send what only reads to a
    replica. What we read decides what we write, so all of it goes where writes go.
    Begins the session's transaction if it has none.

    :param model: The class, or its mapper.

    Source: https://docs.sqlalchemy.org/en/20/orm/persistence_techniques.html#custom-vertical-partitioning
    """
    return session.connection(bind_arguments=_bind_arguments(model))


def writing_bind(session: Session, model: Any) -> Engine | Connection:
    """Return the database that a model is written to. Begins nothing.

    :param model: The class, or its mapper.
    """
    return session.get_bind(**_bind_arguments(model))


def is_read_elsewhere(session: Session, model: Any) -> bool:
    """Whether the session reads a model from another database than it writes it to.

    Such a replica may be behind: an object that the session loads may be old.

    :param model: The class, or its mapper.
    """
    mapper: Mapper[Any] = inspect(model)
    reading = session.get_bind(mapper=mapper, clause=select(mapper.local_table))
    return reading is not writing_bind(session, mapper)


def _bind_arguments(model: Any) -> dict[str, Any]:
    """The arguments by which a session finds the database to write a model to."""
    mapper: Mapper[Any] = inspect(model)
    write = _WRITES.get(mapper)

    if write is None:
        write = _WRITES[mapper] = update(mapper.local_table)  # type: ignore[arg-type]  # a table

    return {"mapper": mapper, "clause": write}


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
        connection.execute(delete(inspect(model).local_table).where(false()))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_running_handlers(session: Session) -> bool:
    """Whether handlers run in the session, so that ``commit()`` only flushes."""
    return _RUNNING in session.info


class HandlersTransaction:
    """The transaction in which handlers run, and which no handler may end.

    :param connection: The session's connection to the ledger. If it committed, the
        event would count as processed before its handlers have all run.
    """

    def __init__(self, transaction: SessionTransaction, connection: Connection) -> None:
        self._transaction = transaction
        self._connection = connection
        self._database_transaction = connection.get_transaction()
        self._was_commit_refused = False

    def refuse(self, *args: object, **kwargs: object) -> NoReturn:
        """Stand in for a commit, which would write one half of what the handlers do.

        :raises RuntimeError: Always.
        """
        self._was_commit_refused = True
        raise RuntimeError(_ENDED)

    def refuse_end(
        self, connection: Connection, cursor: object, statement: str, *args: object
    ) -> None:
        """Refuse a statement that ends the transaction past SQLAlchemy.

        :raises RuntimeError: For ``COMMIT``, ``ROLLBACK`` and the like.
        """
        if _END.match(statement):
            self.refuse()

    def check(self) -> None:
        """Check, after a handler, that the transaction is still open.

        :raises RuntimeError: If the handler ended it, or has tried to commit it in
            another way than by ``session.commit()``.
        """
        if (
            not self._transaction.is_active
            or self._was_commit_refused
            or self._connection.get_transaction() is not self._database_transaction
        ):
            raise RuntimeError(_ENDED)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Refuse every commit of the transaction, until the block ends."""
        transaction: Any = self._transaction
        transaction.commit = self.refuse
        listen(self._connection, "commit", self.refuse)
        listen(self._connection, "before_cursor_execute", self.refuse_end)

        try:
            yield
        finally:
            remove(self._connection, "before_cursor_execute", self.refuse_end)
            remove(self._connection, "commit", self.refuse)
            del transaction.commit


@contextmanager
def handlers_running(session: Session, model: Any) -> Iterator[HandlersTransaction]:
    """Make ``session.commit()`` flush and not commit, until the block ends.

    The block runs in the session's transaction, which is begun if there is none. At its
    end the session is flushed. The caller commits or rolls back. Every other way to
    commit this transaction raises, at once and when the handler has ended.

    Blocks may be nested: a handler can call a helper that runs handlers itself. Only
    the outermost block replaces ``commit`` and restores it, also a ``commit`` that the
    app had set on this session.

    :param model: A model in the database of the ledger.
    """
    if is_running_handlers(session):
        yield session.info[_RUNNING]
        session.flush()
        return

    connection = connection_to(session, model)
    transaction = session.get_transaction() or session.begin()
    running = HandlersTransaction(transaction, connection)
    app_commit = vars(session).get("commit")
    session.info[_RUNNING] = running
    session.commit = session.flush  # type: ignore[method-assign]  # undone below

    try:
        with running.kept_open():
            yield running
            session.flush()
    finally:
        del session.info[_RUNNING]
        vars(session).pop("commit", None)  # a handler may have taken it away

        if app_commit is not None:
            session.commit = app_commit  # type: ignore[method-assign]  # as it was
