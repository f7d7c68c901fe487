"""Histories: what Stripe can do to a subscription, and what has to come of it.

Stripe promises no order of delivery, sends events twice, and stamps them with whole
seconds. Here are all histories of up to five events, the number of orders in which
they can arrive, and the columns at their end.

What is supposed of Stripe: an answer is the state of the moment it was made, and the
stamps of two events are at most one second in the wrong order (``-1`` among the gaps).
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from functools import cache
from itertools import pairwise
from itertools import product
from typing import NamedTuple

from flask_kavach_stripe.catalogue import Catalogue
from flask_kavach_stripe.catalogue import Price
from flask_kavach_stripe.customer_state import PaymentFailure
from flask_kavach_stripe.customer_state import Snapshot
from flask_kavach_stripe.customer_state import StoredSubscription
from flask_kavach_stripe.customer_state import SubscriptionChange
from flask_kavach_stripe.customer_state import SubscriptionColumns
from flask_kavach_stripe.stripe_api.objects import ItemState
from flask_kavach_stripe.stripe_api.objects import SubscriptionState

FINAL = ("canceled", "incomplete_expired")
EVENT = "customer.subscription."
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_END = datetime(2026, 3, 1, tzinfo=UTC)
LAST_DAY = datetime(2026, 2, 10, tzinfo=UTC)
ONE_SEAT = (ItemState("si_1", "price_1", 1),)
THREE_SEATS = (ItemState("si_1", "price_1", 3),)
WITH_ADDON = (ItemState("si_9", "price_addon", 1), *ONE_SEAT)

#: The states of the small histories. They differ in what the rules look at.
ACTIVE, PAST_DUE, PAUSED, TRIALING, LEAVING, OVERDUE, CANCELED, EXPIRED = range(8)
STATES = tuple(
    SubscriptionState(
        id="sub_1",
        customer_id="cus_1",
        status=status,
        items=items,
        current_period_start=EPOCH,
        current_period_end=PERIOD_END,
        cancel_at=cancel_at,
        cancel_at_period_end=leaving or cancel_at is not None,
        collection_paused=held,
        created=EPOCH,
    )
    for status, items, leaving, cancel_at, held in [
        ("active", ONE_SEAT, False, None, False),
        ("past_due", ONE_SEAT, False, None, False),
        ("paused", ONE_SEAT, False, None, False),
        ("trialing", WITH_ADDON, False, None, False),
        ("active", THREE_SEATS, True, None, False),
        ("past_due", ONE_SEAT, False, LAST_DAY, True),
        ("canceled", ONE_SEAT, False, None, False),
        ("incomplete_expired", ONE_SEAT, False, None, False),
    ]
)


def moment(second: int | None) -> datetime | None:
    return None if second is None else EPOCH + timedelta(seconds=second)


# -- what Stripe does ------------------------------------------------------------------


class Happening(NamedTuple):
    """A change at Stripe, or a failed payment, and the event of that."""

    #: The event's type, without the part that all have.
    kind: str
    #: Stripe's state from then on, an index of ``STATES``.
    state: int
    #: The event's ``created``.
    stamp: int

    def __str__(self) -> str:
        return f"{self.kind}({STATES[self.state].status})@{self.stamp}"


History = tuple[Happening, ...]
#: Since when an answer may be known to be true.
Times = tuple[int | None, ...]

#: Seconds between the stamps of one event and the next: all that differ to a rule that
#: knows "more than one second". After 4, an answer may be near neither of the two; five
#: events go without it.
GAPS = (-1, 0, 1, 2)
MORE_GAPS = (*GAPS, 4)


def stamps(length: int, gaps: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for steps in product(gaps, repeat=length - 1):
        seconds = [10]

        for step in steps:
            seconds.append(seconds[-1] + step)

        if all(
            earlier - later <= 1
            for index, earlier in enumerate(seconds)
            for later in seconds[index:]
        ):
            yield tuple(seconds)


def growing(length: int) -> Iterator[tuple[int, ...]]:
    """The sequences of running states, but for the names of the states.

    0 0, 0 1; 0 0 0, 0 0 1, 0 1 0 (a flip), 0 1 1, 0 1 2; and so on.
    """
    if length == 0:
        yield ()
        return

    for head in growing(length - 1):
        for state in range(max(head, default=-1) + 2):
            yield (*head, state)


def state_sequences(length: int) -> Iterator[tuple[int, ...]]:
    for running in range(length + 1):
        for head in growing(running):
            if running == length:
                yield head
            else:
                for final in (CANCELED, EXPIRED):
                    yield head + (final,) * (length - running)


def kind_of(before: int, after: int) -> str:
    if after >= CANCELED:
        return "updated" if after == before else "deleted"

    if PAUSED in (before, after) and before != after:
        return "paused" if after == PAUSED else "resumed"

    return "updated"


@cache
def histories(
    length: int, starts: tuple[str, ...] = ("created", "updated")
) -> tuple[History, ...]:
    """All histories of one subscription, known from its creation or from later on."""
    gaps = MORE_GAPS if length < 5 else GAPS
    found = []

    for states in state_sequences(length):
        kinds = [kind_of(*pair) for pair in pairwise(states)]

        for first, seconds in product(starts, stamps(length, gaps)):
            events = zip((first, *kinds), states, seconds, strict=True)
            found.append(tuple(Happening(*event) for event in events))

    return tuple(found)


#: Events of failed payments: of the running period, of the one before, and of something
#: that is no renewal. None changes the state: the event of the change does that.
FAILURES = ("failed", "old failed", "other failed")


def histories_with_failures(
    length: int, words: Sequence[int | str]
) -> Iterator[History]:
    """All histories of one subscription with at least one failed payment in it."""
    starts = (ACTIVE, PAST_DUE, PAUSED)

    for first, others in product(starts, product(words, repeat=length - 1)):
        if not any(word in FAILURES for word in others):
            continue

        for seconds in stamps(length, GAPS):
            history = [Happening("created", first, seconds[0])]

            for word, second in zip(others, seconds[1:], strict=True):
                before = history[-1].state

                if isinstance(word, str):
                    history.append(Happening(word, before, second))
                else:
                    history.append(Happening(kind_of(before, word), word, second))

            if is_truthful(history):
                yield tuple(history)


def is_truthful(history: Sequence[Happening]) -> bool:
    """Whether Stripe could do that.

    Nothing follows the end. A payment that fails makes what was running past due, with
    an event of its own just before or just after.
    """
    for index, (before, now) in enumerate(pairwise(history)):
        if before.state == CANCELED != now.state:
            return False

        if now.kind == "failed" and now.state == ACTIVE:
            following = history[index + 2 : index + 3]

            if not following or following[0].state not in (PAST_DUE, OVERDUE):
                return False

            if abs(following[0].stamp - now.stamp) > 1:
                return False

    return True


def to_change(event: Happening, shortened: Collection[int] = ()) -> SubscriptionChange:
    """What we read in an event.

    :param shortened: States with so many items that an event shows none of them.
    """
    if event.kind in FAILURES:
        is_old, is_other = event.kind == "old failed", event.kind == "other failed"
        return PaymentFailure(
            "sub_1",
            moment(event.stamp),
            "subscription_update" if is_other else "subscription_cycle",
            PERIOD_END - timedelta(31 * is_old),
        )

    state, is_short = STATES[event.state], event.state in shortened
    return Snapshot(
        state._replace(items=()) if is_short else state,
        moment(event.stamp),
        EVENT + event.kind,
        has_all_items=not is_short,
    )


@cache
def answer_times(history: History, happened: int) -> Times:
    """From when an answer may say it is, given while so much had happened.

    Unknown, long ago, and as late as the next event allows.
    """
    later = [event.stamp for event in history[happened:]]
    last = min(later) + 1 if later else max(event.stamp for event in history) + 3
    return (None, *range(history[happened - 1].stamp - 1, last + 1))


# -- in how many orders it can arrive --------------------------------------------------


@cache
def count_orders(to_happen: int, new: int = 0, once: int = 0) -> int:
    """How many ways are left to deliver each event once or twice.

    :param to_happen: Events that still have to happen at Stripe.
    :param new: Events that happened and were not delivered.
    :param once: Events that were delivered once.
    """
    total = int(to_happen == new == 0)

    if to_happen:
        total += count_orders(to_happen - 1, new + 1, once)

    if new:
        total += new * count_orders(to_happen, new - 1, once + 1)

    if once:
        total += once * count_orders(to_happen, new, once - 1)

    return total


def orders_afterwards(length: int) -> int:
    """Orders of delivery after all has happened."""
    return count_orders(0, length)


def orders_meanwhile(length: int) -> int:
    """The same, where events may be delivered before later ones happen."""
    return count_orders(length)


def list_orders(length: int) -> Iterator[tuple[int, ...]]:
    """The orders themselves, for small numbers."""

    def go_on(counts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if min(counts) >= 1:
            yield ()

        for event, count in enumerate(counts):
            if count < 2:
                rest = (*counts[:event], count + 1, *counts[event + 1 :])
                yield from ((event, *order) for order in go_on(rest))

    return go_on((0,) * length)


# -- what has to hold ------------------------------------------------------------------


def check_write(before: StoredSubscription | None, after: StoredSubscription) -> None:
    """What holds for every write, whatever it was for."""
    if before is None:
        assert after.revision == 1
        return

    assert after.revision == before.revision + 1
    assert before.state.status not in FINAL, "a final status was left"

    if before.synced_at is not None:
        assert after.synced_at is not None
        assert after.synced_at >= before.synced_at, "synced_at went back"


#: What the app sells: plans, and something besides.
PLANS, ADDONS = ("price_1", "price_2"), ("price_addon",)
CATALOGUE = Catalogue({"pro": Price(PLANS), "storage": Price(ADDONS, addon=True)})


def expected_columns(
    states: Sequence[SubscriptionState], active_statuses: Sequence[str]
) -> SubscriptionColumns:
    """The columns, in the words of the contract rather than in those of the code."""
    running = [state for state in states if state.status not in FINAL]
    open_ones = [state for state in running if state.status in active_statuses]

    for group in (open_ones, running):
        plans = [state for state in group if has_plan(state)]
        best = plans or group

        if best:
            break
    else:
        return SubscriptionColumns(status=newest(states).status if states else None)

    if not open_ones:
        best = of_best_status(best)

    chosen = newest(best)
    return SubscriptionColumns(
        chosen.id,
        chosen.status,
        price_that_counts(chosen),
        chosen.current_period_end,
        chosen.cancel_at_period_end,
    )


def has_plan(state: SubscriptionState) -> bool:
    prices = [item.price_id for item in state.items]
    return not prices or any(price not in ADDONS for price in prices)


def of_best_status(states: list[SubscriptionState]) -> list[SubscriptionState]:
    order = ("trialing", "active", "past_due", "paused", "unpaid", "incomplete")

    for status in order:
        best = [state for state in states if state.status == status]

        if best:
            return best

    return states  # of unknown statuses


def price_that_counts(state: SubscriptionState) -> str | None:
    prices = [item.price_id for item in state.items]
    return next((price for price in prices if price in PLANS), [*prices, None][0])


def newest(states: Sequence[SubscriptionState]) -> SubscriptionState:
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    latest = max(state.created or long_ago for state in states)
    return min(
        (state for state in states if (state.created or long_ago) == latest),
        key=lambda state: state.id,
    )
