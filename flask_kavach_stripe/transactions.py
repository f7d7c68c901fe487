"""Who commits, and when.

Everything works in ``db.session``, and commits with ``session.commit()``. While
handlers run, the extension owns the transaction: there a commit is a flush, so the
same code serves inside a handler and outside of one.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import delete
from sqlalchemy import false
from sqlalchemy.orm import Session


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

    To commit nothing would begin a transaction for it.
    """
    if session.in_transaction():
        session.commit()


def connection_to(session: Session, model: Any) -> Connection:
    """The session's connection to the database that a model is in.

    :param model: The class, or its mapper.
    """
    return session.connection(bind_arguments={"mapper": model})


def begin_write(session: Session, model: type[Any]) -> None:
    """Begin with the right to write, where the first read would not give it.

    SQLite locks the whole database, and refuses to turn a read lock into a write lock
    when another writer came between. Elsewhere rows are locked as they are read.

    :param model: A model in the database that is meant.
    """
    connection = connection_to(session, model)

    if connection.dialect.name != "sqlite":
        return

    driver_connection = connection.connection.driver_connection

    if getattr(driver_connection, "in_transaction", True):
        session.execute(delete(model).where(false()))  # the app begins by itself
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_running_handlers(session: Session) -> bool:
    """Whether handlers run in the session, so that ``commit()`` is a flush."""
    return "commit" in vars(session)


def run_handlers(session: Session, handlers: Iterable[Callable[[], object]]) -> None:
    """Run handlers in the transaction that the session is in.

    While they run, ``commit()`` is a flush. Neither commits nor rolls back.

    :raises RuntimeError: If a handler ended the transaction in another way, such as
        ``rollback()`` or ``close()``.
    """
    transaction = session.get_transaction() or session.begin()
    outermost = not is_running_handlers(session)  # a handler's helper comes here again
    session.commit = session.flush  # type: ignore[method-assign]  # see above

    try:
        for handler in handlers:
            handler()

            if not transaction.is_active:
                raise RuntimeError(
                    "A handler ended the transaction that it runs in, with 'rollback()'"
                    " or 'close()', or caught the error of a flush. Let it raise an"
                    " error instead, or use 'begin_nested()'."
                )

        session.flush()
    finally:
        if outermost:
            del session.commit
