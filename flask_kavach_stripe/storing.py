"""The one way into a user's columns: events, answers of Stripe and helpers store here.

A transaction locks the user, reads the customer's rows, decides, writes the rows and
what they project. Where only Stripe knows, it is let go, Stripe is asked, and the
decision is made again unless the rows are as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeVar

from flask import current_app

from .accounts import Account
from .client import quote_path
from .client import StripeClient
from .client import StripeResponse
from .errors import APIError
from .ledger import AlreadyStored
from .objects import CheckoutFacts
from .objects import read_subscription
from .state import State
from .subscriptions import adopt
from .subscriptions import Answer
from .subscriptions import best_first
from .subscriptions import Change
from .subscriptions import decide
from .subscriptions import Ending
from .subscriptions import latest
from .subscriptions import project
from .subscriptions import StoredSubscription
from .subscriptions import Subscription
from .subscriptions import SubscriptionColumns
from .subscriptions import Verdict
from .transactions import begin_write
from .transactions import is_running_handlers
from .transactions import rollback_on_error
from .writes import Write

#: How often Stripe is asked while others keep writing to the same rows.
MAX_READS: Final = 3

Rows = dict[str, StoredSubscription]
R = TypeVar("R")


class Reading(NamedTuple):
    """What Stripe answered, and the revisions of the rows when it was asked."""

    changes: tuple[Change, ...]
    revisions: Mapping[str, int]


class Update(NamedTuple):
    """What is known of a customer, and how to learn the rest."""

    customer_id: str
    #: ``None`` if only Stripe knows.
    changes: tuple[Change, ...] | None = ()
    #: The subscription that it is about; ``None`` if about all of the customer.
    subscription_id: str | None = None
    #: Asks Stripe; called without any lock. It is given the rows.
    read: Callable[[Rows], tuple[Change, ...]] | None = None
    #: What was read already.
    reading: Reading | None = None
    #: The customer is gone: every subscription has ended, the link is cleared.
    customer_deleted: bool = False
    time: datetime | None = None


def store(
    state: State,
    update: Update,
    record: Callable[[Account | None, bool], tuple[R, list[Write]]],
    *,
    event_id: str | None = None,
) -> R:
    """Store an update of a customer and commit it.

    :param record: Called in the transaction with the account, or ``None`` where nobody
        has this customer, and with whether the user's columns changed. It returns a
        result, and what to write besides.
    :param event_id: The event that it is about, which must not be in the ledger yet.
    :return: The result of ``record``.
    :raises AlreadyStored: If it is.
    :raises StripeError: If Stripe had to be asked and gave no answer. Nothing is
        stored then.
    """
    session, accounts = state.session, state.accounts
    reading = update.reading
    reads = 0

    while True:
        with rollback_on_error(session):
            begin_write(session, state.subscription_model)
            locked = accounts.lock(
                session,
                update.customer_id,
                event_id,
                has_read=is_running_handlers(session),
            )

            if locked is None:
                result, claims = record(None, False)
                state.sender.send(session, claims)
                session.commit()
                return result

            if locked.entry is not None:
                raise AlreadyStored(locked.entry)

            account, before = locked.account, locked.subscriptions
            rows = with_adopted(before, account, update.customer_id)
            revisions = _revisions(rows, update.subscription_id)

            if reading is not None and reading.revisions == revisions:
                after = advance(rows, reading.changes)
            elif update.customer_deleted:
                after = advance(rows, [Ending(id_, update.time) for id_ in rows])
            else:
                after = advance(rows, update.changes)

            if after is not None:
                after = _own(state, before, after)
                projected = _project(state, account, update, after)
                result, claims = record(account, projected != account)
                writes = [*accounts.write_subscriptions(before, after.values())]

                # Also where the columns stay: by the user's row, whoever waits for
                # it in PostgreSQL learns that the other rows were written.
                if writes or projected != account:
                    writes.append(accounts.write_account(account, projected))

                writes += claims
                state.sender.send(session, writes)
                session.commit()
                return result

            session.commit()  # nothing is written: this lets the lock go

        if reads == MAX_READS or update.read is None:
            raise APIError(
                f"The subscriptions of {update.customer_id!r} changed during each of"
                f" {MAX_READS} reads."
            )

        reading = Reading(update.read(rows), revisions)
        reads += 1


def with_adopted(rows: Rows, account: Account, customer_id: str) -> Rows:
    """The rows, and the one that the columns name without there being one."""
    named = account.columns.subscription_id

    if named is None or named in rows:
        return rows

    adopted = adopt(account.columns, customer_id)
    return rows if adopted is None else {**rows, named: adopted}


def _revisions(rows: Rows, subscription_id: str | None) -> Mapping[str, int]:
    return {
        id_: stored.revision
        for id_, stored in rows.items()
        if subscription_id in (None, id_)
    }


def advance(rows: Rows, changes: Iterable[Change] | None) -> Rows | None:
    """The rows after some changes, ``None`` if Stripe has to be asked."""
    if changes is None:
        return None

    after = dict(rows)

    for change in changes:
        decision = decide(after.get(change.subscription_id), change)

        if decision is Verdict.REREAD:
            return None

        if isinstance(decision, StoredSubscription):
            after[change.subscription_id] = decision

    return after


def _own(state: State, before: Rows, after: Rows) -> Rows:
    """The rows, without new ones that another customer has: no subscription moves."""
    return {
        id_: stored
        for id_, stored in after.items()
        if id_ in before or not state.accounts.revisions(state.session, id_)
    }


def _project(state: State, account: Account, update: Update, rows: Rows) -> Account:
    """What the user's row says, given the rows of the customer."""
    customer_id = None if update.customer_deleted else account.customer_id
    return Account(account.user_id, customer_id, project_rows(state, account, rows))


def project_rows(state: State, account: Account, rows: Rows) -> SubscriptionColumns:
    """What a user's columns are to say; without rows, what they say."""
    if not rows:
        return account.columns

    states = [stored.state for stored in rows.values()]
    return project(states, state.settings.active_statuses)


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


def find_owner(state: State, checkout: CheckoutFacts) -> Account | None:
    """The one who bought in a Checkout session, ``None`` if it is nobody of ours.

    A linked customer decides alone. A session with our metadata was made after its
    customer was linked: with an unknown customer it is another app's, of the same
    Stripe account. Payment Links take the reference from their URL's query, where
    anyone may have written it.
    """
    session, accounts = state.session, state.accounts

    if checkout.customer_id is None:
        return None

    begin_write(session, accounts.user_model)  # a link may follow
    account = accounts.find(session, checkout.customer_id)

    if account is not None:
        return account

    if checkout.from_payment_link or checkout.names_user:
        return None

    user_id = accounts.parse_key(session, checkout.client_reference_id)
    account = None if user_id is None else accounts.get(session, user_id)

    # Another one may have linked them since the customer was looked for.
    if account is None or account.customer_id not in (None, checkout.customer_id):
        return None

    return account


def link_customer(state: State, account: Account, customer_id: str) -> None:
    """Link a customer to its owner, who may have none yet. Does not commit."""
    if account.customer_id is None:
        state.accounts.link(state.session, account.user_id, customer_id)


def present_subscription(
    state: State, user: Any, customer_id: str | None
) -> Subscription | None:
    """What a user has now; when nothing runs any more, what ended last."""
    subscription = state.describe(state.accounts.columns_of(user))

    if subscription is not None or customer_id is None:
        return subscription

    rows = state.accounts.subscriptions(state.session, customer_id)
    ranked = best_first(
        (stored.state for stored in rows.values()), state.settings.active_statuses
    )
    return state.describe(SubscriptionColumns.of(ranked[0])) if ranked else None


def tell_change(state: State, user: Any, customer_id: str | None) -> None:
    """Call those who want to know that a user's subscription changed."""
    if user is None:
        return

    subscription = present_subscription(state, user, customer_id)

    if subscription is None:
        return

    for handler in state.registry.subscription_handlers:
        current_app.ensure_sync(handler)(user, subscription)
