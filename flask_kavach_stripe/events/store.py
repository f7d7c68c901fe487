"""The one way into a user's columns: events, answers of Stripe and helpers store here.

A transaction locks the user, reads the customer's rows, decides, writes the rows and
what they project. Where only Stripe knows, it is let go, Stripe is asked, and the
decision is made again unless the rows are as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple

from ..database.ledger import Entry
from ..database.statements import Write
from ..database.transactions import begin_write
from ..database.transactions import is_running_handlers
from ..database.transactions import rollback_on_error
from ..errors import APIError
from ..state import State
from ..stripe_api.client import StripeClient
from ..stripe_api.client import StripeResponse
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import read_subscription
from ..subscriptions import Answer
from ..subscriptions import Change
from ..subscriptions import CustomerState
from ..subscriptions import latest
from ..subscriptions import Payer

#: How often Stripe is asked while others keep writing to the same rows.
MAX_READS: Final = 3

#: Asks Stripe about a customer; called without any lock.
Ask = Callable[[CustomerState], tuple[Change, ...]]

#: What Stripe answered, and the revisions of the rows when it was asked.
Answered = tuple[tuple[Change, ...], Mapping[str, int]]


class Update(NamedTuple):
    """What is known of a customer, and how to learn the rest."""

    customer_id: str
    #: ``None`` if only Stripe knows.
    changes: tuple[Change, ...] | None
    #: The subscription that it is about; ``None`` if about all of the customer.
    subscription_id: str | None = None
    ask: Ask | None = None
    #: What Stripe was asked already.
    answered: Answered | None = None


class Note(NamedTuple):
    """What the ledger is to keep beside an update."""

    #: The columns that describe the event.
    event: Mapping[str, Any]
    customer_id: str | None
    #: Whether handlers of the app take it.
    has_handlers: bool = False
    #: Whether it is kept also where nothing has to run.
    is_event: bool = False

    def entry(self, payer: Payer | None, *, changed: bool, tells: bool) -> Entry | None:
        """The entry to write, ``None`` for none.

        :param changed: Whether the user's columns change.
        :param tells: Whether someone wants to know of that.
        """
        is_due = self.has_handlers or (changed and tells)

        if not is_due and (payer is None or not self.is_event):
            return None

        user_id = None if payer is None else str(payer.user_id)
        return Entry(self.customer_id, user_id, changed, is_processed=not is_due)


def store(state: State, update: Update, note: Note) -> Entry | None:
    """Store an update of a customer with its entry in the ledger, and commit both.

    :return: The entry; that of an earlier delivery, if the event is stored already.
    :raises StripeError: If Stripe had to be asked and gave no answer. Nothing is
        stored then.
    """
    session, customers = state.session, state.payers
    answered = update.answered

    for reads in range(MAX_READS + 1):
        with rollback_on_error(session):
            begin_write(session, state.subscription_model)
            before, entry = customers.lock(
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

            revisions = before.revisions(update.subscription_id)
            is_fresh = answered is not None and answered[1] == revisions
            changes = answered[0] if answered and is_fresh else update.changes
            after = None if changes is None else before.after(changes)

            if after is not None:
                return commit(state, note, before, after)

            session.commit()  # nothing is written: this lets the lock go

        if update.ask is None or reads == MAX_READS:
            break

        answered = update.ask(before), revisions

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
    """Write what has changed, and the entry, in the transaction that read it."""
    session, writes, changed = state.session, list[Write](), False

    if before is not None and after is not None:
        after = _own(state, before, after).projected(state.settings.active_statuses)
        changed = after.payer != before.payer
        writes += state.rows.write(before.rows, after.rows.values())

        # Also where the columns stay: by the user's row, whoever waits for it in
        # PostgreSQL learns that the other rows were written.
        if writes or changed:
            writes.append(state.payers.write(after.payer))

    payer = None if before is None else before.payer
    tells = bool(state.registry.subscription_handlers)
    entry = note.entry(payer, changed=changed, tells=tells)

    if entry is not None and note.event["id"] is not None:
        writes.append(state.ledger.claim(note.event, entry))

    state.sender.send(session, writes)
    session.commit()
    return entry


def _own(state: State, before: CustomerState, after: CustomerState) -> CustomerState:
    """Without new rows that another customer has: no subscription moves."""
    rows = {
        id_: stored
        for id_, stored in after.rows.items()
        if id_ in before.rows or not state.rows.revisions(state.session, id_)
    }
    return CustomerState(after.payer, rows)


def retrieve_subscription(client: StripeClient, subscription_id: str) -> StripeResponse:
    """Read a subscription from Stripe."""
    return client.get(quote_path("/v1/subscriptions/{}", subscription_id))


def to_answer(response: Mapping[str, Any], *times: datetime | None) -> Answer:
    """What Stripe answered, at the latest time of which it is known to be true.

    :param times: Times that the answer is not older than.
    :raises APIError: If it is not a subscription.
    """
    state = read_subscription(response)

    if state is None:
        raise APIError("Stripe's answer is not a subscription.")

    # The times of a subscription with a test clock are that clock's.
    as_of = None if response.get("test_clock") else getattr(response, "as_of", None)
    return Answer(state, latest(as_of, *times))
