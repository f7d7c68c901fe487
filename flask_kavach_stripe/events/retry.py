"""Run the handlers of stored events that are pending, or that failed.

Four callers come here: the app's own queue (:func:`process_event`), ``flask stripe
worker`` (:func:`find_due`, :func:`try_due`), and ``flask stripe replay`` for named
events (:func:`replay`) and for all others (:func:`run_if_free`). Each ends in the
second transaction of ``run``, which decides whether the handlers still have to run. So
it does not matter how many callers try the same event at the same time.
"""

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
from .run import HandlerError
from .run import Pending
from .run import record_failure
from .run import run
from .store_for_helper import CHANGE

logger: Final = logging.getLogger(__name__)


class UnknownEventError(KavachStripeError):
    """The ledger does not have the event."""


#: By the number of attempts: how long after the last one an event is tried again. After
#: three days a worker gives up, as Stripe itself does with deliveries.
#: Source: https://docs.stripe.com/webhooks#retries
DELAYS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (0, 1, 4, 25, 90, 4 * 60, 6 * 60, 12 * 60, 24 * 60, 24 * 60)
)

#: How many events a worker looks up at once.
BATCH: Final = 50


def leave_to_worker(event_id: str) -> None:
    """Leave an event to ``flask stripe worker``: ``KavachStripe(enqueue=...)``.

    It does nothing, because the event is in the ledger, and a worker looks there.

    .. versionadded:: 0.1
    """


def process_event(state: State, event_id: str) -> bool:
    """Run the handlers of a stored event, unless they have run before.

    Commits the open transaction of the session first, then one of its own. Reads the
    object of a thin event from Stripe.

    :param event_id: ``evt_...``, as the app's ``enqueue`` got it.
    :return: Whether the handlers ran now. ``False`` also if the event is not in the
        ledger any more, because it was pruned.
    :raises HandlerError: If a handler raised. The error is in the ledger then.
    :raises StripeError: If the object of a thin event could not be read.
    """
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        stored = state.ledger.read(session, event_id)
        session.commit()

    if stored is None:
        logger.warning("Event %s is not in the ledger.", event_id)
        return False

    return not stored.entry.is_processed and _run_stored(state, stored)


def replay(state: State, event_id: str) -> bool:
    """Run the handlers of a stored event again, even if they have run before.

    First commits that the event is unprocessed again, then runs it as
    :func:`process_event` does. If the process dies in between, a worker runs it.

    :return: ``False`` if another process ran the handlers in the meantime.
    :raises UnknownEventError: If the event is not in the ledger.
    :raises HandlerError: If a handler raised.
    :raises StripeError: If the object of a thin event could not be read.
    """
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        if not state.ledger.reopen(session, event_id):
            raise UnknownEventError(f"Event {event_id!r} is not in the ledger.")

        session.commit()

    return process_event(state, event_id)


def find_due(state: State) -> list[str]:
    """Find the events that a worker should try now. Commits, and locks nothing.

    :return: At most :data:`BATCH` ids, those of the oldest events first. Another worker
        may get the same ids: :func:`try_due` decides who runs an event.
    """
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        now = datetime.now(UTC)
        event_ids = state.ledger.list_due(session, now, DELAYS, BATCH)
        session.commit()

    return event_ids


def try_due(state: State, event_id: str) -> bool:
    """Run the handlers of an event that is due, unless another worker has it.

    Locks the event's row with ``SKIP LOCKED``, counts the attempt and commits, and then
    runs the handlers. If they end the process, the attempt has counted, and the events
    behind come first at the next start. An error of a handler or of Stripe is logged
    and noted in the ledger, not raised. The event is due again after the next of
    :data:`DELAYS`.

    :return: Whether this worker tried the event, successfully or not. ``False`` if
        another worker has it, or has tried it since it was due.
    """
    lock = partial(state.ledger.lock_due, now=datetime.now(UTC), delays=DELAYS)

    try:
        return _run_locked(state, event_id, lock)
    except HandlerError:
        logger.info("Event %s is tried again later.", event_id)
    except KavachStripeError as error:  # reading the object of a thin event failed
        record_failure(state, event_id, error, is_counted=True)

    return True


def run_if_free(state: State, event_id: str) -> bool:
    """Run the handlers of an unprocessed event, unless another process has it.

    Like :func:`try_due`, but at once, and errors are raised.

    :return: ``False`` if another process is running the handlers, or has run them.
    :raises HandlerError: If a handler raised.
    :raises StripeError: If the object of a thin event could not be read.
    """
    return _run_locked(state, event_id, state.ledger.lock)


def _run_locked(
    state: State, event_id: str, lock: Callable[[Session, str], StoredEvent | None]
) -> bool:
    """Lock an event, count the attempt and commit it, then run the handlers.

    The attempt is the lease of this process: :meth:`.Ledger.lock_due` gives the event
    to no other worker until it is due again, and the second transaction of ``run``
    locks the row as long as the handlers run.

    :param lock: Locks the event's row and reads it. It returns ``None`` if the row does
        not match any more, or is locked by another process.
    :return: ``False`` if the event could not be locked.
    """
    session = state.session
    commit_open(session)

    with rollback_on_error(session):
        begin_write(session, state.event_model)
        stored = lock(session, event_id)

        if stored is None:
            session.commit()
            return False

        state.ledger.count_attempt(session, event_id)
        session.commit()

    return _run_stored(state, stored, is_counted=True)


def _run_stored(state: State, stored: StoredEvent, *, is_counted: bool = False) -> bool:
    """Build the :class:`.Pending` of a stored entry, and run its handlers.

    An entry of the type :data:`.CHANGE` has no event: it notifies of a change that a
    helper stored. No lock is held here, as the object of a thin event is read from
    Stripe. The mark in the second transaction of ``run`` keeps others from running the
    same handlers.

    :param is_counted: Whether the attempt is counted and committed already.
    :return: ``False`` if another process ran the handlers before.
    """
    find_user = partial(state.payers.load, state.session, stored.entry.user_id)
    entry = stored.entry._replace(is_counted=is_counted)
    pending = Pending(stored.id, entry)

    if stored.type == CHANGE:
        return run(state, pending._replace(find_user=find_user))

    event = Event(json.loads(stored.payload))
    event.attach_user(find_user)
    return run(state, pending._replace(event=event))
