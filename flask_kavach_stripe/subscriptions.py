"""Which event wins, and what the user's columns say. Pure: no database, no clock."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeAlias

from .stripe_api.objects import SubscriptionState

CREATED: Final = "customer.subscription.created"
UPDATED: Final = "customer.subscription.updated"

#: Stripe stamps events with whole seconds and says not to order events by them:
#: what is at most this far apart may have happened either way round.
#: Source: https://docs.stripe.com/webhooks#event-ordering
TICK: Final = timedelta(seconds=1)

#: After the statuses that give access, which of several subscriptions counts.
STATUS_ORDER: Final = (
    "trialing",
    "active",
    "past_due",
    "paused",
    "unpaid",
    "incomplete",
)

#: Of columns that name a subscription and no status. It promises nothing.
UNKNOWN_STATUS: Final = "incomplete"

#: The statuses that a failed payment can lead away from.
_PAYABLE: Final = frozenset({"active", "trialing", "past_due"})


@dataclass(frozen=True)
class Subscription:
    """A user's subscription, as the six columns tell it."""

    #: ``sub_...``
    id: str
    #: One of Stripe's statuses, such as ``"active"``.
    status: str
    #: The price of the first item, ``price_...``.
    price_id: str | None
    #: When the paid period ends, as an aware UTC time.
    current_period_end: datetime | None
    #: Whether it is scheduled to cancel, however that was asked for.
    cancel_at_period_end: bool
    #: ``STRIPE_ACTIVE_STATUSES`` of the app.
    active_statuses: Sequence[str] = field(
        default=("active", "trialing"), repr=False, compare=False, kw_only=True
    )
    #: The names of ``STRIPE_PRICES`` by price id.
    price_names: Mapping[str, str] = field(
        default_factory=dict, repr=False, compare=False, kw_only=True
    )

    @property
    def is_active(self) -> bool:
        """Whether the status is in ``STRIPE_ACTIVE_STATUSES``: it gives access."""
        return self.status in self.active_statuses

    @property
    def on_trial(self) -> bool:
        """Whether the free trial is running."""
        return self.status == "trialing"

    @property
    def past_due(self) -> bool:
        """Whether the last payment failed and Stripe tries again."""
        return self.status == "past_due"

    @property
    def canceled(self) -> bool:
        """Whether it was canceled and has ended."""
        return self.status == "canceled"

    @property
    def on_grace_period(self) -> bool:
        """Whether it is scheduled to cancel and still gives access."""
        return self.cancel_at_period_end and self.is_active

    @property
    def price(self) -> str | None:
        """The name of the price in ``STRIPE_PRICES``."""
        return self.price_names.get(self.price_id or "")


class StoredSubscription(NamedTuple):
    """A row of the subscription table."""

    state: SubscriptionState
    #: Stripe's time of this state; unknown for what was there before the table.
    synced_at: datetime | None = None
    #: Counts the writes to the row.
    revision: int = 1


class Snapshot(NamedTuple):
    """The subscription inside a ``customer.subscription.*`` event."""

    state: SubscriptionState
    #: The event's ``created``.
    time: datetime | None
    event_type: str
    has_previous_attributes: bool = True

    @property
    def subscription_id(self) -> str:
        return self.state.id


class Answer(NamedTuple):
    """The subscription, read from Stripe after the row was."""

    state: SubscriptionState
    #: A time at which Stripe's answer was true, not later than it was made.
    time: datetime | None

    @property
    def subscription_id(self) -> str:
        return self.state.id


class PaymentFailure(NamedTuple):
    """An ``invoice.payment_failed`` event."""

    subscription_id: str
    time: datetime | None
    billing_reason: str | None
    #: The latest end of the periods that the invoice bills.
    period_end: datetime | None


class Ending(NamedTuple):
    """The customer is gone, or Stripe does not list the subscription any more."""

    subscription_id: str
    time: datetime | None


class CustomerDeleted(NamedTuple):
    """The customer is gone: every subscription has ended, the link is cleared."""

    time: datetime | None


#: What an event or an answer of Stripe says of one subscription.
SubscriptionChange: TypeAlias = Snapshot | Answer | PaymentFailure | Ending
Change: TypeAlias = SubscriptionChange | CustomerDeleted


class Verdict(enum.Enum):
    """What to do with a change that is not simply written."""

    #: The row stays as it is.
    KEEP = enum.auto()
    #: The subscription has to be read from Stripe.
    REREAD = enum.auto()


def decide(
    stored: StoredSubscription | None, change: SubscriptionChange
) -> StoredSubscription | Verdict:
    """The row after a change, or why there is none to write.

    :param stored: The row, ``None`` if the subscription is not stored yet.
    :param change: What an event or an answer of Stripe says of this subscription.
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
        case Ending():
            return Verdict.KEEP if stored is None else _ended(stored, change.time)


def _decide_snapshot(
    stored: StoredSubscription | None, snapshot: Snapshot
) -> StoredSubscription | Verdict:
    state, time = snapshot.state, snapshot.time

    if stored is None or state.has_ended:
        return _write(stored, state, time)

    if snapshot.event_type == CREATED:
        return Verdict.KEEP

    if time is None or stored.synced_at is None:
        return _write(stored, state, time)

    newer_by = time - stored.synced_at  # a time moved by a tick may be out of range

    if newer_by < -TICK:
        return Verdict.KEEP

    if newer_by > TICK or state == stored.state:
        return _write(stored, state, time)

    if snapshot.event_type == UPDATED and not snapshot.has_previous_attributes:
        # Stripe always sends them: this one is hand-made, and arrives as it was sent.
        return _write(stored, state, time)

    return Verdict.REREAD


def _decide_payment_failure(
    stored: StoredSubscription | None, failure: PaymentFailure
) -> StoredSubscription | Verdict:
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

    # The time stays: the true change comes with an `updated` of its own, which may
    # be stamped with the same second.
    return _write(stored, stored.state._replace(status="past_due"), None)


def _write(
    stored: StoredSubscription | None, state: SubscriptionState, time: datetime | None
) -> StoredSubscription:
    if stored is None:
        return StoredSubscription(state, time)

    # A write that changes nothing counts, too: an older answer of Stripe may be under
    # way, and must not be stored after it.
    synced_at = latest(stored.synced_at, time)
    return StoredSubscription(state, synced_at, stored.revision + 1)


def _ended(stored: StoredSubscription, time: datetime | None) -> StoredSubscription:
    if stored.state.has_ended:
        return stored

    return _write(stored, stored.state.ended(time), time)


def latest(*times: datetime | None) -> datetime | None:
    """The latest of the known times."""
    return max((time for time in times if time is not None), default=None)


class SubscriptionColumns(NamedTuple):
    """The five columns of a user that a subscription fills."""

    subscription_id: str | None = None
    status: str | None = None
    price_id: str | None = None
    current_period_end: datetime | None = None
    cancel_at_period_end: bool = False

    @classmethod
    def of(cls, state: SubscriptionState) -> SubscriptionColumns:
        """The columns that name this subscription."""
        return cls(
            subscription_id=state.id,
            status=state.status,
            price_id=state.price_id,
            current_period_end=state.current_period_end,
            cancel_at_period_end=state.cancel_at_period_end,
        )


def project(
    states: Iterable[SubscriptionState], active_statuses: Sequence[str]
) -> SubscriptionColumns:
    """What a user's columns say, given all subscriptions of the customer."""
    ranked = best_first(states, active_statuses)

    if not ranked:
        return SubscriptionColumns()

    best = ranked[0]

    if best.has_ended:
        return SubscriptionColumns(status=best.status)

    return SubscriptionColumns.of(best)


def best_first(
    states: Iterable[SubscriptionState], active_statuses: Sequence[str]
) -> list[SubscriptionState]:
    """Sort subscriptions by what they are worth to the one who pays."""

    def key(state: SubscriptionState) -> tuple[bool, int, float, str]:
        created = state.created.timestamp() if state.created else 0.0
        return state.has_ended, _rank(state, active_statuses), -created, state.id

    return sorted(states, key=key)


def _rank(state: SubscriptionState, active_statuses: Sequence[str]) -> int:
    if state.has_ended or state.status in active_statuses:
        return 0

    if state.status in STATUS_ORDER:
        return 1 + STATUS_ORDER.index(state.status)

    return 1 + len(STATUS_ORDER)


def adopt(columns: SubscriptionColumns, customer_id: str) -> StoredSubscription | None:
    """The row of what the columns said before there were rows.

    Its times are unknown, so whatever arrives first is applied to it, unless it tells
    of the creation, which is past. Columns that name a subscription and no status
    promise nothing: they count as ``incomplete``.
    """
    if columns.subscription_id is None:
        return None

    return StoredSubscription(
        SubscriptionState(
            id=columns.subscription_id,
            customer_id=customer_id,
            status=columns.status or UNKNOWN_STATUS,
            price_id=columns.price_id,
            current_period_end=columns.current_period_end,
            cancel_at_period_end=columns.cancel_at_period_end,
        )
    )


class Payer(NamedTuple):
    """The row of a user: primary key and the six columns."""

    user_id: Any
    customer_id: str | None
    columns: SubscriptionColumns


class CustomerState(NamedTuple):
    """What we keep of a customer: the user's columns, and the rows behind them."""

    payer: Payer
    #: By subscription id.
    rows: Mapping[str, StoredSubscription]

    @property
    def known(self) -> dict[str, StoredSubscription]:
        """The rows, and the one that the columns name without there being one."""
        adopted = adopt(self.payer.columns, self.payer.customer_id or "")

        if adopted is None or adopted.state.id in self.rows:
            return dict(self.rows)

        return {**self.rows, adopted.state.id: adopted}

    @property
    def states(self) -> Mapping[str, SubscriptionState]:
        return {id_: stored.state for id_, stored in self.rows.items()}

    def best_first(self, active_statuses: Sequence[str]) -> list[SubscriptionState]:
        """All of them, as :func:`best_first` sorts them."""
        states = (stored.state for stored in self.known.values())
        return best_first(states, active_statuses)

    def revisions(self, subscription_id: str | None = None) -> Mapping[str, int]:
        """The revisions of one row, or of all."""
        return {
            id_: stored.revision
            for id_, stored in self.known.items()
            if subscription_id in (None, id_)
        }

    def after(self, changes: Iterable[Change]) -> CustomerState | None:
        """The customer after some changes, ``None`` if only Stripe can tell."""
        payer, rows = self.payer, self.known

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

    def projected(self, active_statuses: Sequence[str]) -> CustomerState:
        """With the columns that the rows give; without rows, as they are."""
        if not self.rows:
            return self

        columns = project(self.states.values(), active_statuses)
        return CustomerState(self.payer._replace(columns=columns), self.rows)
