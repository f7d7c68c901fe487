"""Run the app's handlers of one entry in the ledger, exactly once.

From top to bottom, this file is all there is to it:

1. :func:`hand_over` gives the entry to the app's queue, or runs it here.
2. :func:`run` opens the second transaction. It marks the entry as processed, which
   locks its row, runs the handlers, and commits mark and handlers' writes together. A
   second delivery waits for the lock, finds the mark and does nothing.
3. :func:`record_failure`, after a handler raised and everything was rolled back, notes
   the error in a third transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from typing import Final
from typing import NamedTuple

from flask import current_app
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from ..database.ledger import Entry
from ..database.transactions import handlers_running
from ..database.transactions import is_running_handlers
from ..database.transactions import rollback_on_error
from ..errors import KavachStripeError
from ..state import State
from ..stripe_api.event import Event
from ..subscriptions import best_first
from ..subscriptions import Subscription
from ..subscriptions import SubscriptionColumns
from .thin import read_object

logger: Final = logging.getLogger(__name__)


class Pending(NamedTuple):
    """An entry of the ledger, with what its handlers are called with."""

    #: ``None`` for an event without an id, which no ledger keeps.
    entry_id: str | None
    entry: Entry
    #: ``None`` for a change that a helper stored: then only
    #: ``on_subscription_change`` handlers run.
    event: Event | None = None
    #: The user of such a change. An event finds its own.
    user: Any = None


class HandlerError(KavachStripeError):
    """One of the app's handlers raised :attr:`error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__("A handler raised an error.")
        self.error = error


class EnqueueError(KavachStripeError):
    """The app's queue refused an event. The event is stored all the same."""


@contextmanager
def raising_handlers_error() -> Iterator[None]:
    """Replace a :exc:`HandlerError` by the error that the handler raised."""
    try:
        yield
    except HandlerError as error:
        raised = error.error
    else:
        return

    raise raised


def hand_over(state: State, pending: Pending) -> None:
    """Give a stored entry to the app's ``enqueue``, or run its handlers here.

    They also run here if the entry has no id to enqueue, and inside of a handler: the
    entry that a handler's helper stored is not committed yet, so no worker could find
    it.

    :raises EnqueueError: If ``enqueue`` raised.
    :raises HandlerError: As :func:`run`.
    """
    entry_id = pending.entry_id

    if state.enqueue is None or entry_id is None or is_running_handlers(state.session):
        run(state, pending)
        return

    try:
        state.enqueue(entry_id)
    except Exception as error:
        raise EnqueueError(
            f"Event {entry_id} is stored, but 'enqueue' raised {type(error).__name__}."
        ) from error


def run(state: State, pending: Pending) -> bool:
    """Run the handlers in one transaction with the mark that they ran, and commit it.

    Locks the entry until then. The object of a thin event that was not read yet is read
    from Stripe before, while no lock is held.

    :return: ``False`` if they had run before.
    :raises HandlerError: If one of them raised. What all of them wrote is rolled back,
        and the error is recorded in a transaction of its own.
    :raises StripeError: If the object of a thin event could not be read.
    """
    session, entry_id = state.session, pending.entry_id

    if pending.event is not None:
        session.expire_all()  # our Core statements bypassed the objects in the session

        if not pending.event.has_object:
            pending.event.attach_object(read_object(state, pending.event))

    with rollback_on_error(session):
        is_due = entry_id is None or state.ledger.begin(session, entry_id)

        try:
            if is_due:
                _call_handlers(state, pending)
        except Exception as error:
            raise _failed(state, entry_id, error) from error

        try:
            session.commit()
        except IntegrityError as error:  # from a constraint that is checked at commit
            raise _failed(state, entry_id, error) from error

    return is_due


def _call_handlers(state: State, pending: Pending) -> None:
    """Call the handlers in the order of their registration. Does not commit."""
    session, entry, event = state.session, pending.entry, pending.event

    with handlers_running(session) as transaction:
        if entry.changed and state.registry.subscription_handlers:
            user = pending.user if event is None else event.user
            subscription = _present_subscription(state, user, entry.customer_id)

            if subscription is not None:
                for notify in state.registry.subscription_handlers:
                    current_app.ensure_sync(notify)(user, subscription)
                    transaction.check()

        for handler in state.registry.find(event.type) if event is not None else ():
            current_app.ensure_sync(handler)(event)
            transaction.check()

        if event is None and pending.entry_id is not None:
            state.ledger.forget(session, pending.entry_id)  # it has served its purpose


def _present_subscription(
    state: State, user: Any, customer_id: str | None
) -> Subscription | None:
    """What a user has now; when nothing runs any more, what ended last."""
    if user is None:
        return None

    subscription = state.describe(state.payers.columns_of(user))

    if subscription is not None or customer_id is None:
        return subscription

    rows = state.rows.of(state.session, customer_id)
    states = (stored.state for stored in rows.values())
    ranked = best_first(states, state.settings.active_statuses)
    return state.describe(SubscriptionColumns.of(ranked[0])) if ranked else None


def _failed(state: State, entry_id: str | None, error: Exception) -> HandlerError:
    state.session.rollback()
    record_failure(state, entry_id, error)
    return HandlerError(error)


def record_failure(state: State, entry_id: str | None, error: Exception) -> None:
    """Log why an attempt failed, and note it in the ledger. Commits."""
    _hide_parameters(error)
    logger.error("A handler of event %s failed.", entry_id, exc_info=error)

    if entry_id is None:
        return

    try:
        with rollback_on_error(state.session):
            state.session.rollback()  # a handler may have removed the former session
            state.ledger.fail(state.session, entry_id, error)
            state.session.commit()
    except SQLAlchemyError:
        logger.error("The failure of event %s could not be recorded.", entry_id)


def _hide_parameters(error: BaseException | None) -> None:
    """Keep statements' parameters out of the text of database errors.

    They are customers' data. What a driver adds by itself, such as the key that is
    there twice, stays.
    """
    seen: set[int] = set()  # an error may be its own cause, by a detour

    while error is not None and id(error) not in seen:
        seen.add(id(error))

        if isinstance(error, StatementError):
            error.hide_parameters = True

        error = error.__cause__ or error.__context__
