"""Run what an entry of the ledger owes, the app's handlers, exactly once; here, or
where the app's queue takes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from .errors import KavachStripeError
from .state import State
from .transactions import is_running_handlers
from .transactions import rollback_on_error
from .transactions import run_handlers

logger: Final = logging.getLogger(__name__)


class HandlerError(KavachStripeError):
    """One of the app's handlers raised an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__("A handler raised an error.")
        self.error = error


class EnqueueError(KavachStripeError):
    """The app's queue did not take an event, which is stored all the same."""


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


def hand_over(state: State, event_id: str | None, run: Callable[[], object]) -> None:
    """Give a stored event to the app's queue, or run its handlers here.

    Here, too, where there is no id to enqueue, and inside of a handler: what it stored
    is not committed yet, so nobody else could find it.

    :raises EnqueueError: If the queue failed.
    :raises HandlerError: As :func:`run_once`.
    """
    enqueue = state.enqueue

    if enqueue is None or event_id is None or is_running_handlers(state.session):
        run()
        return

    try:
        enqueue(event_id)
    except Exception as error:
        raise EnqueueError(
            f"Event {event_id} is stored, but 'enqueue' raised {type(error).__name__}."
        ) from error


def run_once(
    state: State, event_id: str | None, calls: Iterable[Callable[[], object]]
) -> bool:
    """Run handlers in one transaction with the mark that they were run.

    Another delivery of the event waits for it. Without an id there is no mark.

    :return: ``False`` if they had been run before.
    :raises HandlerError: If one of them raised. What they wrote is undone, and what
        went wrong is recorded in a transaction of its own.
    """
    session = state.session

    with rollback_on_error(session):
        is_due = event_id is None or state.ledger.begin(session, event_id)

        if is_due:
            try:
                run_handlers(session, calls)
            except Exception as error:
                raise _failed(state, event_id, error) from error

        try:
            session.commit()
        except IntegrityError as error:  # a constraint that is checked in the end
            raise _failed(state, event_id, error) from error

    return is_due


def _failed(state: State, event_id: str | None, error: Exception) -> HandlerError:
    state.session.rollback()
    record_failure(state, event_id, error)
    return HandlerError(error)


def record_failure(state: State, event_id: str | None, error: Exception) -> None:
    """Log why an attempt failed, and remember it in the ledger."""
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
    """Keep the parameters out of the text of database errors.

    What a driver says of its own accord, such as which key is there twice, stays.
    """
    seen: set[int] = set()  # an error may be its own cause, by a detour

    while error is not None and id(error) not in seen:
        seen.add(id(error))

        if isinstance(error, StatementError):
            error.hide_parameters = True

        error = error.__cause__ or error.__context__
