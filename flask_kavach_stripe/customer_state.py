"""Which event wins, and what the user's columns say. Pure: no database, no clock.

Stripe delivers events late, twice and in any order. ``events`` turns each event and
each answer of Stripe into a :data:`Change`. Under the lock on the user's row it applies
the change to the stored :class:`CustomerState`:

1. :meth:`CustomerState.after` gives the new rows. For each change it calls
   :func:`decide`, which holds the rules of order.
2. :meth:`CustomerState.projected` computes the user's columns from these rows.

Source: https://docs.stripe.com/webhooks#event-ordering
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeAlias

from .catalogue import Access
from .catalogue import Catalogue
from .stripe_api.objects import ItemState
from .stripe_api.objects import SubscriptionState

CREATED: Final = "customer.subscription.created"
UPDATED: Final = "customer.subscription.updated"

#: Stripe stamps events with whole seconds and says not to order events by these times.
#: Of two events that are at most this far apart, either may have happened first.
#: Source: https://docs.stripe.com/webhooks#event-ordering
TICK: Final = timedelta(seconds=1)

#: Which of several subscriptions counts, best first. Subscriptions with one of the
#: app's active statuses count before all of these.
STATUS_ORDER: Final = (
    "trialing",
    "active",
    "past_due",
    "paused",
    "unpaid",
    "incomplete",
)

#: The status of a subscription that the user's columns name without a status. It gives
#: no access, unless it is in ``STRIPE_ACTIVE_STATUSES``.
UNKNOWN_STATUS: Final = "incomplete"

#: A user with a plan of one of these statuses would pay for two after a second
#: checkout.
BLOCKING_STATUSES: Final = frozenset(
    {"active", "trialing", "past_due", "unpaid", "paused"}
)

#: The statuses that a failed payment turns into ``past_due``, or leaves at it.
_PAYABLE: Final = frozenset({"active", "trialing", "past_due"})


class StoredSubscription(NamedTuple):
    """A row of the subscription table."""

    state: SubscriptionState
    #: Stripe's time of this state, ``None`` if unknown, as for an adopted row.
    synced_at: datetime | None = None
    #: Counts the writes to the row, also those that change nothing.
    revision: int = 1


class Snapshot(NamedTuple):
    """The subscription inside a ``customer.subscription.*`` event.

    It is as it was at the time of the event, so it may be older than the row.
    """

    state: SubscriptionState
    #: The event's ``created``.
    time: datetime | None
    event_type: str
    #: Whether the event says what it replaced, as Stripe's updates always do.
    has_previous_attributes: bool = True
    #: Whether it shows all items. The others, only Stripe's list of items has.
    has_all_items: bool = True

    @property
    def subscription_id(self) -> str:
        return self.state.id


class Answer(NamedTuple):
    """The subscription as Stripe answered when we asked.

    Stripe was asked after the row was read. ``events.store`` drops an answer if the row
    was written in the meantime, so this always replaces the row.
    """

    state: SubscriptionState
    #: A time at which the answer was true: the latest that we know of, before Stripe
    #: sent it.
    time: datetime | None

    @property
    def subscription_id(self) -> str:
        return self.state.id


class PaymentFailure(NamedTuple):
    """An ``invoice.payment_failed`` event.

    It does not bring the subscription, but it may arrive before the event that does.
    """

    subscription_id: str
    time: datetime | None
    #: Why Stripe made the invoice, such as ``subscription_cycle`` for a renewal.
    billing_reason: str | None
    #: The latest end of the periods that the invoice bills.
    period_end: datetime | None


class CustomerDeleted(NamedTuple):
    """The customer was deleted at Stripe.

    All of its subscriptions have ended, and the user has no customer any more.
    """

    time: datetime | None


#: What an event or an answer of Stripe says about one subscription.
SubscriptionChange: TypeAlias = Snapshot | Answer | PaymentFailure
#: What it says about one subscription, or about the customer as a whole.
Change: TypeAlias = SubscriptionChange | CustomerDeleted


class Verdict(enum.Enum):
    """What to do with a change that gives no new row."""

    #: The row stays as it is.
    KEEP = enum.auto()
    #: The subscription has to be read from Stripe.
    REREAD = enum.auto()


def decide(
    stored: StoredSubscription | None, change: SubscriptionChange
) -> StoredSubscription | Verdict:
    """Decide what a change does to the row of its subscription.

    A subscription that has ended never changes again. In any other row, an answer of
    Stripe is always written. The other changes come from events; each kind of event
    has its own rule.

    :param stored: The row, ``None`` if the subscription is not stored yet.
    :param change: What an event or an answer of Stripe says about this subscription.
    :return: The row to write, or why there is none.
    """
    if stored is not None and stored.state.has_ended:
        return Verdict.KEEP

    match change:
        case Answer():
            return _write(stored, change.state, change.time)
        case Snapshot():
            return _decide_snapshot(stored, change)
        case PaymentFailure():
            return _decide_payment_failure(stored, change)


def _decide_snapshot(
    stored: StoredSubscription | None, snapshot: Snapshot
) -> StoredSubscription | Verdict:
    """Decide by the times of the row and of the event.

    A newer event is written, an older one ignored. Within :data:`TICK` their order is
    unknown: if the two differ, Stripe has to be asked. If a time is missing, the event
    is written. Three kinds of event need no comparison: the first one of a
    subscription, the final one, and ``created``, which is older than any row.
    """
    state, time = snapshot.state, snapshot.time

    if state.has_ended:
        return _write(stored, state, time)

    if stored is None:
        return _write_snapshot(None, snapshot)

    if snapshot.event_type == CREATED:
        return Verdict.KEEP

    if time is None or stored.synced_at is None:
        return _write_snapshot(stored, snapshot)

    # Not `time < synced_at - TICK`: that time may be out of the range of `datetime`.
    newer_by = time - stored.synced_at

    if newer_by < -TICK:
        return Verdict.KEEP

    if newer_by > TICK or state == stored.state:
        return _write_snapshot(stored, snapshot)

    if snapshot.event_type == UPDATED and not snapshot.has_previous_attributes:
        # Stripe always sends them. This event was made by hand, in a test, and events
        # of a test arrive in the order in which they were sent.
        return _write_snapshot(stored, snapshot)

    return Verdict.REREAD


def _write_snapshot(
    stored: StoredSubscription | None, snapshot: Snapshot
) -> StoredSubscription | Verdict:
    """Write a snapshot, unless some of its items are missing."""
    if not snapshot.has_all_items:
        return Verdict.REREAD

    return _write(stored, snapshot.state, snapshot.time)


def _decide_payment_failure(
    stored: StoredSubscription | None, failure: PaymentFailure
) -> StoredSubscription | Verdict:
    """Decide whether a failed payment makes the subscription past due.

    Only the invoice of a renewal does, or one without a billing reason. The event has
    to be newer than the row by more than :data:`TICK`, and the invoice must not be for
    a period that was paid already. A failed first payment leaves the subscription
    ``incomplete``.

    Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
    """
    if stored is None or stored.state.status not in _PAYABLE:
        return Verdict.KEEP

    if failure.billing_reason not in (None, "subscription_cycle"):
        return Verdict.KEEP

    if failure.time is not None and stored.synced_at is not None:
        if failure.time - stored.synced_at <= TICK:
            return Verdict.KEEP

    paid_until = stored.state.current_period_end

    if failure.period_end is not None and paid_until is not None:
        if failure.period_end < paid_until:  # a retry of an old invoice
            return Verdict.KEEP

    # Keep `synced_at`: Stripe also sends `customer.subscription.updated`, perhaps
    # stamped with the same second, and that must still apply.
    return _write(stored, stored.state._replace(status="past_due"), None)


def _write(
    stored: StoredSubscription | None, state: SubscriptionState, time: datetime | None
) -> StoredSubscription:
    """Return the row with a new state, one revision later. Nothing is stored here.

    :param stored: The row so far, ``None`` for a new one.
    :param time: Stripe's time of the state. ``None``, or an older time, keeps the one
        that the row has.
    """
    if stored is None:
        return StoredSubscription(state, time)

    # Count a write even if nothing changes: an older answer of Stripe may be under way,
    # and the revision is what shows that the answer is outdated.
    synced_at = latest(stored.synced_at, time)
    return StoredSubscription(state, synced_at, stored.revision + 1)


def _ended(stored: StoredSubscription, time: datetime | None) -> StoredSubscription:
    """Return the row after the end of its subscription; a row that has ended stays."""
    if stored.state.has_ended:
        return stored

    return _write(stored, stored.state.ended(time), time)


def latest(*times: datetime | None) -> datetime | None:
    """Return the latest of the times that are not ``None``; ``None`` if all are."""
    return max((time for time in times if time is not None), default=None)


class SubscriptionColumns(NamedTuple):
    """The five columns of a user that describe a subscription.

    The sixth one is the customer's id. All are empty if there never was a subscription;
    after the last one ended, only the status is set.
    """

    subscription_id: str | None = None
    status: str | None = None
    price_id: str | None = None
    current_period_end: datetime | None = None
    cancel_at_period_end: bool = False

    @property
    def known_status(self) -> str:
        """The status, :data:`UNKNOWN_STATUS` if there is none."""
        return self.status or UNKNOWN_STATUS

    @classmethod
    def of(cls, state: SubscriptionState, catalogue: Catalogue) -> SubscriptionColumns:
        """Return the columns that describe a subscription, also one that has ended."""
        item = catalogue.main_item(state.items)
        return cls(
            subscription_id=state.id,
            status=state.status,
            price_id=None if item is None else item.price_id,
            current_period_end=state.current_period_end,
            cancel_at_period_end=state.cancel_at_period_end,
        )


def project(states: Iterable[SubscriptionState], access: Access) -> SubscriptionColumns:
    """Compute a user's columns from all subscriptions of the customer.

    The best subscription that has not ended fills them. If all have ended, only the
    status is set: that of the newest.
    """
    ranked = best_first(states, access)

    if not ranked:
        return SubscriptionColumns()

    best = ranked[0]

    if best.has_ended:
        return SubscriptionColumns(status=best.status)

    return SubscriptionColumns.of(best, access.catalogue)


def best_first(
    states: Iterable[SubscriptionState], access: Access
) -> list[SubscriptionState]:
    """Sort subscriptions by how much they give the user, best first.

    Running ones come before ended ones, and those that give access before the rest. In
    each of these groups, those with a plan come before those with add-ons only; then
    decides the order of :data:`STATUS_ORDER`, with statuses that are new at Stripe at
    its end. Among equals the newest is first. Their ids decide last, so that the order
    never changes by chance.
    """

    def key(state: SubscriptionState) -> tuple[bool, bool, bool, int, float, str]:
        created = state.created.timestamp() if state.created else 0.0

        if state.has_ended:  # all are equal
            return True, False, False, 0, -created, state.id

        return (
            False,
            state.status not in access.active_statuses,
            not access.catalogue.has_plan(state.items),
            _rank(state.status, access.active_statuses),
            -created,
            state.id,
        )

    return sorted(states, key=key)


def _rank(status: str, active_statuses: Sequence[str]) -> int:
    """Return the place of a status; the best is 0."""
    if status in active_statuses:
        return 0

    if status in STATUS_ORDER:
        return 1 + STATUS_ORDER.index(status)

    return 1 + len(STATUS_ORDER)


def is_running_plan(state: SubscriptionState, catalogue: Catalogue) -> bool:
    """Whether a subscription keeps its user from buying a plan."""
    return state.status in BLOCKING_STATUSES and catalogue.has_plan(state.items)


def adopt(columns: SubscriptionColumns, customer_id: str) -> StoredSubscription | None:
    """Make a row of the subscription that a user's columns name.

    An app that comes from another library, or that wrote the columns itself, has no row
    for it. The new row has no time, so the first event that arrives is applied, except
    for ``customer.subscription.created``, which is surely older. Columns that name no
    status count as :data:`UNKNOWN_STATUS`.

    :return: ``None`` if the columns name no subscription.
    """
    if columns.subscription_id is None:
        return None

    price_id = columns.price_id
    items = () if price_id is None else (ItemState(None, price_id),)
    return StoredSubscription(
        SubscriptionState(
            id=columns.subscription_id,
            customer_id=customer_id,
            status=columns.known_status,
            items=items,
            current_period_end=columns.current_period_end,
            cancel_at_period_end=columns.cancel_at_period_end,
        )
    )


class Payer(NamedTuple):
    """A row of the app's user model: its key and the six columns."""

    #: The primary key, in the type of its column.
    user_id: Any
    #: The Stripe customer, ``cus_...``.
    customer_id: str | None
    columns: SubscriptionColumns


class CustomerState(NamedTuple):
    """What we keep of a customer: the user's columns, and the rows behind them.

    A value that never changes: :meth:`after` and :meth:`projected` return new ones.
    """

    payer: Payer
    #: The rows of the subscription table, by subscription id.
    rows: Mapping[str, StoredSubscription]

    @property
    def known(self) -> Mapping[str, StoredSubscription]:
        """The rows, with a row for the subscription that only the columns name.

        See :func:`adopt`. It is written with the first change of the customer.
        """
        if self.payer.columns.subscription_id in self.rows:
            return self.rows

        adopted = adopt(self.payer.columns, self.payer.customer_id or "")

        if adopted is None:
            return self.rows

        return {**self.rows, adopted.state.id: adopted}

    @property
    def states(self) -> Mapping[str, SubscriptionState]:
        """The states in the rows, by subscription id."""
        return {id_: stored.state for id_, stored in self.rows.items()}

    def best_first(self, access: Access) -> list[SubscriptionState]:
        """Sort all known subscriptions, see the function :func:`best_first`."""
        states = (stored.state for stored in self.known.values())
        return best_first(states, access)

    def revisions(self, subscription_id: str | None = None) -> Mapping[str, int]:
        """Return the revisions of the known rows, by subscription id.

        If they are equal before and after a question to Stripe, nobody wrote the rows
        in the meantime, and the answer may be stored.

        :param subscription_id: The only row to look at; ``None`` for all.
        """
        return {
            id_: stored.revision
            for id_, stored in self.known.items()
            if subscription_id in (None, id_)
        }

    def after(self, changes: Iterable[Change]) -> CustomerState | None:
        """Apply changes, in their order, to the known rows.

        The columns of the payer stay as they are; :meth:`projected` computes them.

        :return: The customer's state after all changes. ``None`` if one of them cannot
            be decided: then Stripe has to be asked.
        """
        payer, rows = self.payer, dict(self.known)

        for change in changes:
            if isinstance(change, CustomerDeleted):
                payer = payer._replace(customer_id=None)
                rows = {
                    id_: _ended(stored, change.time) for id_, stored in rows.items()
                }
                continue

            decision = decide(rows.get(change.subscription_id), change)

            if decision is Verdict.REREAD:
                return None

            if isinstance(decision, StoredSubscription):
                rows[change.subscription_id] = decision

        return CustomerState(payer, rows)

    def projected(self, access: Access) -> CustomerState:
        """Compute the payer's columns from the rows, see :func:`project`.

        A customer without rows keeps the columns: no row says anything against them.
        """
        if not self.rows:
            return self

        columns = project(self.states.values(), access)
        return CustomerState(self.payer._replace(columns=columns), self.rows)
