"""Run an event's handlers exactly once, now or in the app's queue.

The event is stored in the ledger already. From top to bottom:

1. :func:`hand_over` gives the id of the entry to the app's queue, or runs the handlers
   in this process.
2. :func:`run` opens the second transaction. It marks the entry as processed, which
   locks its row; it runs the handlers; it commits the mark and the handlers' writes
   together. A second delivery waits for the lock, finds the mark and does nothing.
3. If a handler raised, everything is rolled back. :func:`record_failure` notes the
   error in a third transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any
from typing import Final
from typing import NamedTuple

from flask import current_app
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import StatementError

from ..customer_state import best_first
from ..database.ledger import Entry
from ..database.transactions import handlers_running
from ..database.transactions import rollback_on_error
from ..errors import KavachStripeError
from ..state import State
from ..stripe_api.event import Event
from ..subscription import Subscription
from .store import is_run_here
from .thin import read_object

logger: Final = logging.getLogger(__name__)


class Pending(NamedTuple):
    """An entry of the ledger, and the arguments for its handlers."""

    #: ``None`` for an event without an id: the ledger cannot keep it.
    entry_id: str | None
    entry: Entry
    #: ``None`` for a change that a helper stored. Then only the
    #: ``on_subscription_change`` handlers run.
    event: Event | None = None
    #: Finds the user of a change that a helper stored. For an event, ``event.user`` is
    #: the user.
    find_user: Callable[[], Any] | None = None


class HandlerError(KavachStripeError):
    """One of the app's handlers raised :attr:`error`.

    The handlers' writes are rolled back, and the error is noted in the ledger.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__("A handler raised an error.")
        self.error = error


class EnqueueError(KavachStripeError):
    """The app's ``enqueue`` raised. The event is stored, and its handlers pending."""


@contextmanager
def raising_handlers_error() -> Iterator[None]:
    """Replace a :exc:`HandlerError` by the error that the handler raised.

    For callers in the app's own code, such as a view that calls ``sync_subscription``:
    they want to catch the error that they know.
    """
    try:
        yield
    except HandlerError as error:
        handlers_error = error.error
    else:
        return

    raise handlers_error


def hand_over(state: State, pending: Pending) -> None:
    """Give a stored entry to the app's ``enqueue``, or run its handlers here.

    The handlers also run here in two cases that no queue can serve. An entry without an
    id cannot be enqueued. An entry that a helper stores while a handler runs is not
    committed yet, so a worker could not find it.

    :raises EnqueueError: If ``enqueue`` raised.
    :raises HandlerError: If the handlers run here and one of them raised.
    :raises StripeError: If the handlers run here and the object of a thin event could
        not be read.
    """
    entry_id = pending.entry_id

    if state.enqueue is None or entry_id is None or is_run_here(state):
        run(state, pending)
        return

    try:
        state.enqueue(entry_id)
    except Exception as error:
        raise EnqueueError(
            f"Event {entry_id} is stored, but 'enqueue' raised {type(error).__name__}."
        ) from error


def run(state: State, pending: Pending) -> bool:
    """Run the handlers and mark the entry as processed, in one transaction.

    The mark locks the entry's row until the commit. If the object of a thin event was
    not read yet, it is read from Stripe first, while no lock is held.

    :return: ``False`` if the handlers have run before. Nothing is called then.
    :raises HandlerError: If a handler raised, or a constraint failed at the commit. The
        writes of all handlers are rolled back, and the error is noted in a transaction
        of its own.
    :raises StripeError: If the object of a thin event could not be read.
    """
    session, entry_id = state.session, pending.entry_id

    if pending.event is not None:
        session.expire_all()  # our Core statements bypassed the objects in the session

        if not pending.event.has_object:
            pending.event.attach_object(read_object(state, pending.event))

    with rollback_on_error(session):
        is_due = entry_id is None or state.ledger.begin(
            session, entry_id, is_counted=pending.entry.is_counted
        )

        try:
            if is_due:
                _call_handlers(state, pending)
        except Exception as error:
            raise _roll_back_and_record(state, pending, error) from error

        try:
            session.commit()
        except IntegrityError as error:  # from a constraint that is checked at commit
            raise _roll_back_and_record(state, pending, error) from error

    return is_due


def _call_handlers(state: State, pending: Pending) -> None:
    """Call the handlers in the order of their registration. Does not commit.

    First the ``on_subscription_change`` handlers, if the subscription changed and the
    user still exists, then the handlers of the event type. A coroutine runs by
    Flask's ``async_to_sync``. The notification of a change that a helper stored is
    deleted at the end.

    :raises RuntimeError: If a handler ended the transaction.
    """
    session, entry, event = state.session, pending.entry, pending.event

    with handlers_running(session, state.event_model) as transaction:
        if entry.change is not None and state.registry.subscription_handlers:
            user = _find_user(pending)
            subscription = _latest_subscription(state, user, entry.customer_id)

            if subscription is not None:
                for on_change in state.registry.subscription_handlers:
                    _call(on_change, user, subscription)
                    transaction.check()

        for handler in state.registry.find(event.type) if event is not None else ():
            _call(handler, event)
            transaction.check()

        if event is None and pending.entry_id is not None:
            state.ledger.forget(session, pending.entry_id)  # the notification is done


def _find_user(pending: Pending) -> Any:
    """The user of a change or of an event, ``None`` if there is nobody.

    :raises ConfigurationError: If there is a row, and the session does not give it.
    """
    if pending.find_user is not None:
        return pending.find_user()

    return None if pending.event is None else pending.event.user


def _call(handler: Callable[..., Any], *args: Any) -> None:
    """Call a handler, and wait for its end if the call gives a coroutine.

    Flask knows an ``async def`` by its looks. An object with ``async def __call__`` and
    a decorated function hide it: only their answer shows it.
    """
    answer = current_app.ensure_sync(handler)(*args)

    if isawaitable(answer):
        current_app.async_to_sync(_wait)(answer)


async def _wait(answer: Awaitable[Any]) -> Any:
    return await answer


def _latest_subscription(
    state: State, user: Any, customer_id: str | None
) -> Subscription | None:
    """The subscription that ``on_subscription_change`` handlers are called with.

    The one that the columns name now. It may be newer than the event: a handler gets
    the present state, however late it runs. If no subscription is running, the newest
    one that has ended.

    :param customer_id: The customer of the entry. The user's own id is gone after the
        customer was deleted.
    :return: ``None`` if there is no user, or the customer has no subscription.
    """
    if user is None:
        return None

    subscription = state.describe(state.payers.latest_columns(state.session, user))

    if subscription is not None or customer_id is None:
        return subscription

    rows = state.rows.of(state.session, customer_id)
    states = (stored.state for stored in rows.values())
    ranked = best_first(states, state.settings.access)
    return state.describe_state(ranked[0]) if ranked else None


def _roll_back_and_record(
    state: State, pending: Pending, error: Exception
) -> HandlerError:
    """Undo what the handlers wrote, note the error, and return the error to raise."""
    state.session.rollback()
    record_failure(state, pending.entry_id, error, is_counted=pending.entry.is_counted)
    return HandlerError(error)


def record_failure(
    state: State, entry_id: str | None, error: Exception, *, is_counted: bool = False
) -> None:
    """Log the error of an attempt, and note it in the ledger. Commits.

    Counts the attempt, which decides when a worker tries again. Never raises for a
    database that fails: the first error is the one to report, so the second one is only
    logged.

    :param entry_id: ``None`` for an event without an id, which is only logged.
    :param is_counted: Whether the attempt is counted already.
    """
    _hide_parameters(error)
    logger.error("A handler of event %s failed.", entry_id, exc_info=error)

    if entry_id is None:
        return

    try:
        with rollback_on_error(state.session):
            state.session.rollback()  # a handler may have removed the former session
            state.ledger.fail(state.session, entry_id, error, is_counted=is_counted)
            state.session.commit()
    except SQLAlchemyError:
        logger.error("The failure of event %s could not be recorded.", entry_id)


def _hide_parameters(error: BaseException | None) -> None:
    """Keep the parameters of SQL statements out of the text of database errors.

    The parameters are customers' data. The driver's own text stays, for example the
    duplicate key that it names. Follows the chain of causes and contexts.
    """
    seen: set[int] = set()  # the chain may be a circle

    while error is not None and id(error) not in seen:
        seen.add(id(error))

        if isinstance(error, StatementError):
            error.hide_parameters = True

        error = error.__cause__ or error.__context__
