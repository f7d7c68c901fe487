"""Run what an entry of the ledger owes: the app's handlers, exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from .errors import KavachStripeError
from .state import State
from .transactions import rollback_on_error
from .transactions import run_handlers

logger: Final = logging.getLogger(__name__)


class HandlerError(KavachStripeError):
    """One of the app's handlers raised an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__("A handler raised an error.")
        self.error = error


@contextmanager
def raising_handlers_error() -> Iterator[None]:
    """Raise what a handler raised, as it raised it."""
    try:
        yield
    except HandlerError as error:
        raised = error.error
    else:
        return

    raise raised


def run_once(
    state: State, event_id: str | None, calls: Iterable[Callable[[], object]]
) -> None:
    """Run handlers in one transaction with the mark that they were run.

    Another delivery of the event waits for it. Without an id there is no mark.

    :raises HandlerError: If one of them raised. What they wrote is undone, and what
        went wrong is recorded in a transaction of its own.
    """
    session = state.session

    with rollback_on_error(session):
        if event_id is None or state.ledger.begin(session, event_id):
            try:
                run_handlers(session, calls)
            except Exception as error:
                session.rollback()
                _record_failure(state, event_id, error)
                raise HandlerError(error) from error

        session.commit()


def _record_failure(state: State, event_id: str | None, error: Exception) -> None:
    _hide_parameters(error)
    logger.error("A handler of event %s failed.", event_id, exc_info=error)

    if event_id is None:
        return

    try:
        with rollback_on_error(state.session):
            state.session.rollback()  # after `db.session.remove()` it is another one
            state.ledger.fail(state.session, event_id, error)
            state.session.commit()
    except SQLAlchemyError:
        logger.error("The failure of event %s could not be recorded.", event_id)


def _hide_parameters(error: BaseException | None) -> None:
    """Keep the customers' data out of the text of database errors."""
    seen: set[int] = set()  # an error may be its own cause, by a detour

    while error is not None and id(error) not in seen:
        seen.add(id(error))

        if isinstance(error, StatementError):
            error.hide_parameters = True

        error = error.__cause__ or error.__context__
