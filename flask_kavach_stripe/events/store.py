"""The only code that writes a user's columns, for events and for helpers alike.

The first transaction of an event: it locks the user's row, reads the customer's
subscriptions, decides, writes the rows, and writes the user's columns, which follow
from the rows. Entry, rows and columns are committed together.

If only Stripe can tell the new state, the lock is released and Stripe is asked. Then
the transaction starts again. Stripe's answer is stored if the rows still have the
revisions that they had before the question; otherwise Stripe is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final
from typing import NamedTuple

from ..customer_state import Change
from ..customer_state import CustomerState
from ..database.ledger import Entry
from ..database.transactions import begin_write
from ..database.transactions import is_running_handlers
from ..database.transactions import rollback_on_error
from ..database.writes import Write
from ..differences import describe_difference
from ..errors import APIError
from ..state import State
from .ask import Ask

#: How many times Stripe is asked while other transactions keep writing the same rows.
MAX_READS: Final = 3

#: Stripe's answer, and the revisions of the rows before Stripe was asked.
Answered = tuple[tuple[Change, ...], Mapping[str, int]]


class Update(NamedTuple):
    """What is known of a customer, and how to ask Stripe for the rest.

    Without ``ask``, the ``changes`` must be enough to decide.
    """

    customer_id: str
    #: ``None`` if only Stripe knows.
    changes: tuple[Change, ...] | None
    #: The subscription that the update is about; ``None`` if the update is about all
    #: subscriptions of the customer.
    subscription_id: str | None = None
    ask: Ask | None = None
    #: An answer that Stripe gave before the transaction.
    answered: Answered | None = None


class Note(NamedTuple):
    """What the ledger keeps of an update: an event, or a pending notification."""

    #: The columns that describe the event, by name.
    event: Mapping[str, Any]
    customer_id: str | None
    #: Whether the app has handlers for the event type.
    has_handlers: bool = False
    #: Whether Stripe sent it. An event about a user is kept even if no handler has to
    #: run; a notification without handlers is not.
    is_event: bool = False

    def entry(
        self, user_id: str | None, *, change: str | None, has_change_handlers: bool
    ) -> Entry | None:
        """The entry to write.

        It is processed from the beginning if no handler has to run.

        :param user_id: The primary key of the user as text; ``None`` if nobody has the
            customer.
        :param change: What changes, see :func:`.describe_difference`.
        :param has_change_handlers: Whether the app has ``on_subscription_change``
            handlers.
        :return: ``None`` if the ledger keeps nothing.
        """
        must_run = self.has_handlers or (change is not None and has_change_handlers)

        if not must_run and (user_id is None or not self.is_event):
            return None

        return Entry(self.customer_id, user_id, change, is_processed=not must_run)


def is_run_here(state: State) -> bool:
    """Whether this process runs the handlers of an entry that it stores.

    A queue cannot serve an entry that a helper stores while a handler runs: it is not
    committed yet, so a worker could not find it.
    """
    return state.enqueue is None or is_running_handlers(state.session)


def store(state: State, update: Update, note: Note) -> Entry | None:
    """Store an update of a customer with its entry in the ledger, and commit both.

    Locks the user's row, on SQLite the database. Calls Stripe, without a lock, if the
    update's changes and the rows do not decide.

    :return: The entry. If the event is stored already, the entry of the earlier
        delivery; nothing is written then. ``None`` if the ledger keeps nothing.
    :raises StripeError: If Stripe had to be asked and gave no answer, or if the rows
        changed during each of :data:`MAX_READS` questions. Nothing is stored then.
    :raises sqlalchemy.exc.IntegrityError: If the event was stored at the same moment,
        and there was no user to lock.
    """
    session, payers = state.session, state.payers
    answered = update.answered

    for reads in range(MAX_READS + 1):
        with rollback_on_error(session):
            begin_write(session, state.subscription_model)
            before, entry = payers.lock(
                session,
                update.customer_id,
                note.event["id"],
                has_read=is_running_handlers(session),
            )

            if entry is not None:
                session.rollback()
                return entry

            if before is None:
                return commit(state, note, None)

            changes = update.changes

            if answered is not None:
                answer, revisions = answered

                if before.revisions(update.subscription_id) == revisions:
                    changes = answer

            after = None if changes is None else before.after(changes)

            if after is not None:
                return commit(state, note, before, after)

            session.commit()  # nothing is written: this releases the lock

        if update.ask is None or reads == MAX_READS:
            break

        answered = update.ask(before), before.revisions(update.subscription_id)

    raise APIError(
        f"The subscriptions of {update.customer_id!r} changed during each of"
        f" {MAX_READS} reads."
    )


def commit(
    state: State,
    note: Note,
    before: CustomerState | None,
    after: CustomerState | None = None,
) -> Entry | None:
    """Write the changed rows, the columns and the entry, and commit.

    Belongs to the transaction that locked and read ``before``.

    :param before: The customer as it is stored, ``None`` if nobody has the customer.
    :param after: The customer as it should be, ``None`` to write the entry alone. The
        columns are derived from its rows here.
    :return: The entry, ``None`` if the ledger keeps nothing.
    :raises sqlalchemy.exc.IntegrityError: If the event is stored already.
    """
    session, writes = state.session, list[Write]()
    change: str | None = None

    if before is not None and after is not None:
        access = state.settings.access
        after = _without_foreign_rows(state, before, after).projected(access)
        change = describe_difference(before, after, access)
        writes += state.rows.write(before.rows, after.rows.values())

        # Update the user's row even if no column changes: a waiting PostgreSQL
        # transaction recognises our write by the new `xmin` of this row.
        if writes or after.payer != before.payer:
            writes.append(state.payers.write(after.payer))

    user_id = (
        None if before is None else state.payers.keys.to_text(before.payer.user_id)
    )
    has_change_handlers = bool(state.registry.subscription_handlers)
    entry = note.entry(user_id, change=change, has_change_handlers=has_change_handlers)

    if entry is not None and note.event["id"] is not None:
        is_counted = is_run_here(state) and not entry.is_processed
        entry = entry._replace(is_counted=is_counted)
        writes.append(state.ledger.claim(note.event, entry))

    state.sender.send(session, writes)
    session.commit()
    return entry


def _without_foreign_rows(
    state: State, before: CustomerState, after: CustomerState
) -> CustomerState:
    """Leave out each new row that is stored for another customer already.

    At Stripe, a subscription never moves to another customer. An event that says so is
    wrong, and must not take the subscription away from the user who has it.
    """
    rows = {
        id_: stored
        for id_, stored in after.rows.items()
        if id_ in before.rows or not state.rows.revisions(state.session, id_)
    }
    return CustomerState(after.payer, rows)
