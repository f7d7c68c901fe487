"""Try stored events again whose handlers have not run yet, or failed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from ..database.ledger import StoredEvent
from ..database.transactions import begin_write
from ..database.transactions import commit_open
from ..database.transactions import rollback_on_error
from ..errors import KavachStripeError
from ..state import State
from ..stripe_api.event import Event
from .change import CHANGE
from .run import HandlerError
from .run import Pending
from .run import record_failure
from .run import run

logger: Final = logging.getLogger(__name__)


class UnknownEventError(KavachStripeError):
    """The ledger does not have the event."""


#: How long after its arrival an event is tried, by the number of failed attempts; over
#: three days, as long as Stripe itself tries to deliver one.
DELAYS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (0, 1, 5, 30, 2 * 60, 6 * 60, 12 * 60, 24 * 60, 48 * 60, 72 * 60)
)

#: How many events a worker looks up at once.
BATCH: Final = 50


def leave_to_worker(event_id: str) -> None:
    """The ``enqueue`` of an app whose events ``flask stripe worker`` takes.

    It does nothing: the event is in the ledger, and that is where a worker looks.

    .. versionadded:: 0.1
    """


def process_event(state: State, event_id: str) -> bool:
    """Run the handlers of a stored event, unless that was done before.

    :return: Whether they ran now. ``False`` also for an event that is not in the
        ledger, as it was pruned since.
    :raises HandlerError: If one of them raised.
    """
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        stored = state.ledger.read(session, event_id)
        session.commit()

    if stored is None:
        logger.warning("Event %s is not in the ledger.", event_id)
        return False

    return not stored.entry.is_processed and _run(state, stored)


def replay(state: State, event_id: str) -> bool:
    """Run the handlers of a stored event again, also if they had been run.

    :return: ``False`` if another process ran them in the meantime.
    :raises UnknownEventError: If it is not in the ledger.
    :raises HandlerError: If one of them raised.
    """
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        if not state.ledger.reopen(session, event_id):
            raise UnknownEventError(f"Event {event_id!r} is not in the ledger.")

        session.commit()

    return process_event(state, event_id)


def find_due(state: State) -> list[str]:
    """The ids of events whose handlers should be tried now, the oldest first."""
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        now = datetime.now(UTC)
        event_ids = state.ledger.list_due(session, now, DELAYS, BATCH)
        session.commit()

    return event_ids


def try_due(state: State, event_id: str) -> bool:
    """Run the handlers of an event that is due, unless another worker has it.

    What goes wrong is recorded, and tried again when it is due.

    :return: ``False`` if another worker has it, or has tried it since.
    """
    lock = partial(state.ledger.lock_due, now=datetime.now(UTC), delays=DELAYS)

    try:
        return _run_locked(state, event_id, lock)
    except HandlerError:
        logger.info("Event %s is tried again later.", event_id)
    except KavachStripeError as error:  # the object of a thin event is not read
        record_failure(state, event_id, error)

    return True


def run_if_free(state: State, event_id: str) -> bool:
    """Run the handlers of an unprocessed event, unless another process has it.

    :return: ``False`` if another one has it, or had it.
    :raises HandlerError: If a handler raised.
    """
    return _run_locked(state, event_id, state.ledger.lock)


def _run_locked(
    state: State, event_id: str, lock: Callable[[Session, str], StoredEvent | None]
) -> bool:
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        begin_write(session, state.event_model)
        stored = lock(session, event_id)

        if stored is None:
            session.commit()
            return False

        return _run(state, stored)


def _run(state: State, stored: StoredEvent) -> bool:
    session, entry = state.session, stored.entry

    if stored.type == CHANGE:
        begin_write(session, state.event_model)
        user = state.payers.keys.load(session, entry.user_id)
        return run(state, Pending(stored.id, entry, user=user))

    event = Event(json.loads(stored.payload))
    event.attach_user(partial(state.payers.keys.load, session, entry.user_id))

    if event.is_thin:
        session.commit()  # lets the lock go, as Stripe is asked next

    return run(state, Pending(stored.id, entry, event))
