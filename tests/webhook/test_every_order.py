"""The ordering cannot go wrong: whatever comes when, the end is what Stripe says.

Stripe promises no order of delivery, sends events twice, and stamps them with whole
seconds. Here are all histories of up to five events, and all orders in which they can
arrive. Instead of listing the orders, the first half walks the graph of what can be
stored: a node is how far the history is, which events were delivered, and the row;
every path is an order, and so every order is covered. The second half goes on where
that ends, with a seeded random model of longer histories.

What both suppose of Stripe: an answer is the state of the moment it was made, and the
stamps of two events are at most one second in the wrong order (``-1`` among the gaps).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from functools import cache
from itertools import pairwise
from itertools import product
from typing import NamedTuple

import pytest

from flask_kavach_stripe.objects import SubscriptionState
from flask_kavach_stripe.subscriptions import adopt
from flask_kavach_stripe.subscriptions import Answer
from flask_kavach_stripe.subscriptions import Change
from flask_kavach_stripe.subscriptions import decide
from flask_kavach_stripe.subscriptions import Ending
from flask_kavach_stripe.subscriptions import PaymentFailure
from flask_kavach_stripe.subscriptions import project
from flask_kavach_stripe.subscriptions import Snapshot
from flask_kavach_stripe.subscriptions import StoredSubscription
from flask_kavach_stripe.subscriptions import SubscriptionColumns
from flask_kavach_stripe.subscriptions import Verdict

FINAL = ("canceled", "incomplete_expired")
EVENT = "customer.subscription."
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_END = datetime(2026, 3, 1, tzinfo=UTC)

#: The states of the small histories. They differ in what the rules look at.
ACTIVE, PAST_DUE, PAUSED, TRIALING, LEAVING, OVERDUE, CANCELED, EXPIRED = range(8)
STATES = tuple(
    SubscriptionState(
        id="sub_1",
        customer_id="cus_1",
        status=status,
        price_id="price_1",
        quantity=1,
        current_period_end=PERIOD_END,
        cancel_at_period_end=leaving,
        created=EPOCH,
    )
    for status, leaving in [
        ("active", False),
        ("past_due", False),
        ("paused", False),
        ("trialing", False),
        ("active", True),
        ("past_due", True),
        ("canceled", False),
        ("incomplete_expired", False),
    ]
)


def at(second: int | None) -> datetime | None:
    return None if second is None else EPOCH + timedelta(seconds=second)


# -- what Stripe does: histories -----------------------------------------------------


class Happening(NamedTuple):
    """A change at Stripe, or a failed payment, and the event that tells of it."""

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


def to_change(event: Happening) -> Change:
    if event.kind in FAILURES:
        is_old, is_other = event.kind == "old failed", event.kind == "other failed"
        return PaymentFailure(
            "sub_1",
            at(event.stamp),
            "subscription_update" if is_other else "subscription_cycle",
            PERIOD_END - timedelta(31 * is_old),
        )

    return Snapshot(STATES[event.state], at(event.stamp), EVENT + event.kind)


@cache
def answer_times(history: History, happened: int) -> Times:
    """From when an answer may say it is, given while so much had happened.

    Unknown, long ago, and as late as the next event allows.
    """
    later = [event.stamp for event in history[happened:]]
    last = min(later) + 1 if later else max(event.stamp for event in history) + 3
    return (None, *range(history[happened - 1].stamp - 1, last + 1))


# -- counting ------------------------------------------------------------------------


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


@pytest.mark.parametrize(("events", "orders"), [(1, 2), (2, 14), (3, 222), (4, 6384)])
def test_orders_are_counted_as_they_are_listed(events: int, orders: int) -> None:
    listed = list(list_orders(events))

    assert len(set(listed)) == len(listed) == orders == orders_afterwards(events)


# -- what we do: rows, as small numbers ----------------------------------------------

ASK = -1


class Ground:
    """Rows and changes as numbers, and what ``decide`` makes of every pair of them.

    ``decide`` is pure, so it has to be asked once. It is asked with a revision that
    stands for all: what it may do with one is checked here.
    """

    def __init__(self) -> None:
        self.rows: list[StoredSubscription | None] = [None]
        self._numbers: dict[tuple[SubscriptionState, datetime | None], int] = {}
        self._decisions: dict[tuple[int, Happening], tuple[int, bool]] = {}
        self._answers: dict[tuple[int, int, int | None, int], tuple[int, bool]] = {}
        self._outcomes: dict[tuple[Happening, int, Times], Outcomes] = {}

    def decide(self, row: int, event: Happening) -> tuple[int, bool]:
        """The row after an event, or ``ASK``; and whether it was written."""
        key = row, event

        if key not in self._decisions:
            self._decisions[key] = self._ask(row, to_change(event))

        return self._decisions[key]

    def store_answer(
        self, row: int, state: int, as_of: int | None, stamp: int
    ) -> tuple[int, bool]:
        """The row after Stripe was asked because of an event with this stamp."""
        key = row, state, as_of, stamp

        if key not in self._answers:
            time = at(stamp if as_of is None else max(as_of, stamp))
            self._answers[key] = self._ask(row, Answer(STATES[state], time))

        return self._answers[key]

    def _ask(self, row: int, change: Change) -> tuple[int, bool]:
        stored = self.rows[row]
        decision = decide(stored, change)

        if decision is Verdict.KEEP:
            return row, False

        if isinstance(decision, Verdict):
            assert not isinstance(change, Answer), "an answer is no reason to ask"
            return ASK, False

        check_write(stored, decision)
        key = decision.state, decision.synced_at

        if key not in self._numbers:
            self._numbers[key] = len(self.rows)
            self.rows.append(decision._replace(revision=7))

        return self._numbers[key], True

    def outcomes(self, event: Happening, state: int, times: Times) -> Outcomes:
        """What an event does while Stripe is in a state and answers as of one time."""
        key = event, state, times

        if key not in self._outcomes:
            self._outcomes[key] = Outcomes(self, event, state, times)

        return self._outcomes[key]


class Outcomes(dict[int, int]):
    """What a set of rows can become by an event. The sets are bits of numbers."""

    def __init__(
        self, ground: Ground, event: Happening, state: int, times: Times
    ) -> None:
        self._ground, self._event = ground, event
        self._state, self._times = state, times

    def __missing__(self, rows: int) -> int:
        found = 0

        for row in bits(rows):
            after, _ = self._ground.decide(row, self._event)

            if after != ASK:
                found |= 1 << after
                continue

            for time in self._times:
                after, _ = self._ground.store_answer(
                    row, self._state, time, self._event.stamp
                )
                found |= 1 << after

        self[rows] = found
        return found


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


def bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def explore(ground: Ground, history: History) -> int:
    """Deliver in every order, meanwhile and afterwards; the number of nodes.

    A node is how much has happened, which events were delivered, and the row. Each
    event may be delivered again and again, so twice as well.
    """
    before = [1]  # by the set of delivered events: the set of rows
    nodes = 0

    for happened in range(1, len(history) + 1):
        state = history[happened - 1].state
        times = answer_times(history, happened)
        outcomes = [
            (1 << index, ground.outcomes(event, state, times))
            for index, event in enumerate(history[:happened])
        ]
        now: list[int] = []

        for delivered in range(1 << happened):
            rows = before[delivered] if delivered < len(before) else 0
            delivered_ones = [each for each in outcomes if each[0] & delivered]

            for bit, outcome in delivered_ones:
                rows |= outcome[now[delivered ^ bit]]

            smaller = 0

            while rows != smaller:  # and any of them again
                smaller = rows

                for _, outcome in delivered_ones:
                    rows |= outcome[rows]

            now.append(rows)
            nodes += rows.bit_count()

        before = now

    truth = STATES[history[-1].state]

    for row in bits(before[-1]):
        stored = ground.rows[row]

        if stored is None or stored.state != truth:
            pytest.fail(explain(ground, history, calls_at_once=0))

    return nodes


# -- the same with slow answers ------------------------------------------------------


class Call(NamedTuple):
    """A question to Stripe that is under way."""

    event: int
    #: Stripe's state and time, once it has answered; what was stored is as it was.
    answer: tuple[int, int | None] | None = None


class Node(NamedTuple):
    happened: int
    delivered: int
    row: int
    calls: tuple[Call, ...] = ()


def next_nodes(
    ground: Ground, history: History, node: Node, calls_at_once: int
) -> Iterator[tuple[str, Node]]:
    """What can be next, and in words.

    A write makes the calls that are under way worthless, as they will find another
    revision. Their events are decided again, which is a delivery like any other.
    """
    happened, delivered, row, calls = node
    state = history[happened - 1].state

    if happened < len(history):
        yield f"{history[happened]} happens", node._replace(happened=happened + 1)

    for index, event in enumerate(history[:happened]):
        after, is_written = ground.decide(row, event)
        text = f"{event} is delivered"

        if after != ASK:
            left = () if is_written else calls
            yield text, Node(happened, delivered | 1 << index, after, left)
        elif calls_at_once == 0:
            for time in answer_times(history, happened):
                after, _ = ground.store_answer(row, state, time, event.stamp)
                said = f"{text}, and Stripe says {STATES[state].status} as of {time}"
                yield said, Node(happened, delivered | 1 << index, after)
        elif len(calls) < calls_at_once:
            yield f"{text}, and asks", node._replace(calls=(*calls, Call(index)))

    for call in calls:
        others = list(calls)
        others.remove(call)
        event = history[call.event]

        if call.answer is None:
            for time in {None, *answer_times(history, happened)[-2:]}:
                answered = Call(call.event, (state, time))
                text = f"Stripe answers {STATES[state].status} as of {time} to {event}"
                yield (
                    text,
                    node._replace(calls=tuple(sorted([*others, answered], key=str))),
                )
        else:
            after, is_written = ground.store_answer(row, *call.answer, event.stamp)
            left = () if is_written else tuple(others)
            delivered_then = delivered | 1 << call.event
            text = f"the answer to {event} is stored"
            yield text, Node(happened, delivered_then, after, left)


def walk(
    ground: Ground, history: History, calls_at_once: int
) -> tuple[int, list[str] | None]:
    """The number of nodes, and the shortest way to a wrong end if there is one."""
    truth = STATES[history[-1].state]
    done = (1 << len(history)) - 1
    start = Node(1, 0, 0)
    came_from: dict[Node, tuple[Node, str] | None] = {start: None}
    todo = [start]

    for node in todo:
        if node.happened == len(history) and node.delivered == done and not node.calls:
            stored = ground.rows[node.row]

            if stored is None or stored.state != truth:
                steps = [f"stored: {stored and stored.state.status}"]
                origin = came_from[node]

                while origin is not None:
                    steps.insert(0, origin[1])
                    origin = came_from[origin[0]]

                return len(came_from), steps

        for text, following in next_nodes(ground, history, node, calls_at_once):
            if following not in came_from:
                came_from[following] = node, text
                todo.append(following)

    return len(came_from), None


def explain(ground: Ground, history: History, calls_at_once: int) -> str:
    _, steps = walk(ground, history, calls_at_once)
    lines = [f"Stripe: {', '.join(map(str, history))}", *(steps or ["no way found"])]
    return "\n".join(lines)


# -- the exhaustive tests ------------------------------------------------------------

Report = Callable[[str], None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Prints past pytest's capture."""

    def write(line: str) -> None:
        with capsys.disabled():
            print(f"\n    {line}", end="")

    return write


@pytest.mark.parametrize(
    ("lengths", "starts"),
    [
        pytest.param((1, 2, 3, 4), ("created", "updated"), id="four events"),
        pytest.param((5,), ("created",), id="five events"),
        pytest.param(
            (5,), ("updated",), id="five events, not the first", marks=pytest.mark.slow
        ),
    ],
)
def test_every_order_of_one_subscription_ends_as_stripe_says(
    report: Report, lengths: Sequence[int], starts: tuple[str, ...]
) -> None:
    ground = Ground()
    found = [
        (length, explore(ground, history))
        for length in lengths
        for history in histories(length, starts)
    ]
    afterwards = sum(orders_afterwards(length) for length, _ in found)
    meanwhile = sum(orders_meanwhile(length) for length, _ in found)

    report(
        f"one subscription: {len(found):,} histories of up to {max(lengths)} events,"
        f" {afterwards:,} orders of delivery after the last event, {meanwhile:,} with"
        f" deliveries between events; {sum(nodes for _, nodes in found):,} states"
    )
    assert len(found) > 5_000


@pytest.mark.parametrize(
    ("length", "words"),
    [
        pytest.param(
            3,
            (ACTIVE, PAST_DUE, OVERDUE, PAUSED, CANCELED, *FAILURES),
            id="three events",
        ),
        pytest.param(
            4,
            (ACTIVE, PAST_DUE, OVERDUE, "failed"),
            id="four events",
        ),
        pytest.param(
            4,
            (ACTIVE, PAST_DUE, OVERDUE, PAUSED, CANCELED, *FAILURES),
            id="four events of all kinds",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            5,
            (ACTIVE, PAST_DUE, OVERDUE, "failed"),
            id="five events",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_order_with_failed_payments_ends_as_stripe_says(
    report: Report, length: int, words: tuple[int | str, ...]
) -> None:
    ground = Ground()
    found = [
        explore(ground, history) for history in histories_with_failures(length, words)
    ]
    orders = len(found) * orders_meanwhile(length)

    report(
        f"failed payments: {len(found):,} histories of {length} events, {orders:,}"
        f" orders; {sum(found):,} states"
    )
    assert len(found) > 1_000


@pytest.mark.parametrize(
    ("longest", "calls_at_once"),
    [
        pytest.param(3, 1, id="three events"),
        pytest.param(3, 2, id="three events, two calls"),
        pytest.param(4, 1, id="four events", marks=pytest.mark.slow),
    ],
)
def test_slow_answers_end_as_stripe_says(
    report: Report, longest: int, calls_at_once: int
) -> None:
    """Other events happen and are stored between a question and its answer."""
    ground = Ground()
    nodes = 0
    tried = [each for length in range(1, longest + 1) for each in histories(length)]

    for history in tried:
        number, steps = walk(ground, history, calls_at_once)
        nodes += number

        if steps is not None:
            pytest.fail(explain(ground, history, calls_at_once))

    report(
        f"slow answers: {len(tried):,} histories of up to {longest} events, up to"
        f" {calls_at_once} calls under way; {nodes:,} states"
    )


# -- two subscriptions ---------------------------------------------------------------


def expected_columns(
    states: Sequence[SubscriptionState], active_statuses: Sequence[str]
) -> SubscriptionColumns:
    """The columns, in the words of the contract rather than in those of the code."""
    others = ("trialing", "active", "past_due", "paused", "unpaid", "incomplete")
    running = [state for state in states if state.status not in FINAL]

    for group in (active_statuses, *((status,) for status in others)):
        best = [state for state in running if state.status in group]

        if best:
            break
    else:
        best = running  # of unknown statuses, or none at all

    if best:
        chosen = newest(best)
        return SubscriptionColumns(
            chosen.id,
            chosen.status,
            chosen.price_id,
            chosen.current_period_end,
            chosen.cancel_at_period_end,
        )

    return SubscriptionColumns(status=newest(states).status if states else None)


def newest(states: Sequence[SubscriptionState]) -> SubscriptionState:
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    latest = max(state.created or long_ago for state in states)
    return min(
        (state for state in states if (state.created or long_ago) == latest),
        key=lambda state: state.id,
    )


def test_every_order_of_two_subscriptions_ends_as_stripe_says(report: Report) -> None:
    """``decide`` is given one row, so one subscription's order is no other's matter.

    What is left is to put every end of the one beside every end of the other.
    """
    ground = Ground()
    ends: dict[int, dict[int, int]] = {}  # by length, by last state: how many histories

    for length in range(1, 5):
        ends[length] = dict.fromkeys(range(len(STATES)), 0)

        for history in histories(length):
            explore(ground, history)  # fails unless the last state is the only end
            ends[length][history[-1].state] += 1

    pairs = orders = 0

    for one, other in product(ends, ends):
        if one + other > 5:
            continue

        for (state, number), (state_2, number_2) in product(
            ends[one].items(), ends[other].items()
        ):
            pairs += number * number_2
            orders += number * number_2 * orders_afterwards(one + other)

            if number and number_2:
                check_projection(state, state_2)

    report(
        f"two subscriptions: {pairs:,} pairs of histories of up to 5 events, {orders:,}"
        " orders of delivery"
    )
    assert pairs > 20_000


def check_projection(one: int, other: int) -> None:
    for age, active_statuses in product(
        (-1, 0, 1), [("active", "trialing"), ("active", "past_due"), ()]
    ):
        states = [
            STATES[one],
            STATES[other]._replace(
                id="sub_2",
                price_id="price_2",
                created=EPOCH + timedelta(days=age),
            ),
        ]
        expected = expected_columns(states, active_statuses)

        assert project(states, active_statuses) == expected
        assert project(reversed(states), active_statuses) == expected


def test_every_listed_order_of_two_subscriptions_ends_as_stripe_says(
    report: Report,
) -> None:
    """One by one and without any shortcut, up to three events."""
    cases = 0

    for lengths in [(1, 1), (1, 2)]:
        for ours in product(*(map(histories, lengths))):
            changes = [
                on_subscription(number, to_change(event))
                for number, history in enumerate(ours)
                for event in history
            ]
            truth = {
                f"sub_{number}": on_state(number, STATES[history[-1].state])
                for number, history in enumerate(ours)
            }

            for order in list_orders(len(changes)):
                rows: dict[str, StoredSubscription] = {}

                for index in order:
                    deliver_at_once(rows, changes[index], truth)

                cases += 1
                states = {id_: stored.state for id_, stored in rows.items()}
                assert states == truth, (ours, order)

    report(f"two subscriptions, listed: {cases:,} cases")


def on_state(number: int, state: SubscriptionState) -> SubscriptionState:
    return state._replace(id=f"sub_{number}", created=EPOCH + timedelta(days=number))


def on_subscription(number: int, change: Change) -> Change:
    assert isinstance(change, Snapshot)
    return change._replace(state=on_state(number, change.state))


def deliver_at_once(
    rows: dict[str, StoredSubscription],
    change: Change,
    truth: dict[str, SubscriptionState],
) -> None:
    id_ = change.subscription_id
    decision = decide(rows.get(id_), change)

    if decision is Verdict.REREAD:
        decision = decide(rows.get(id_), Answer(truth[id_], change.time))

    if isinstance(decision, StoredSubscription):
        check_write(rows.get(id_), decision)
        rows[id_] = decision


# -- where exhaustion ends -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the random model."""

    number: int
    #: When it happened, in seconds; between the whole ones, too.
    time: float
    #: ``None`` for a deleted customer.
    subscription_id: str | None
    #: Stripe's time of the event.
    stamp: datetime | None
    #: ``None`` for a completed Checkout session: only Stripe can say.
    change: Change | None

    def __str__(self) -> str:
        return f"event {self.number} of {self.subscription_id}: {brief(self.change)}"


def brief(value: object) -> str:
    """A change in words, for the way to a wrong end."""
    match value:
        case Snapshot(state, time, event_type):
            return f"{event_type} {state.id} {state.status} @ {time and time.time()}"
        case Answer(state, time):
            return f"answer {state.id} {state.status} @ {time and time.time()}"
        case _:
            return str(value)


class Stripe:
    """A customer's subscriptions, as Stripe changes them, and the events of that."""

    def __init__(self, chance: random.Random) -> None:
        self.events: list[Told] = []
        self.deleted_at: float | None = None
        self._chance = chance
        self._timelines: dict[str, list[tuple[float, SubscriptionState]]] = {}
        # Its machines do not agree on the second.
        self._disorder = chance.choice((0.0, 0.49))

        for number in range(chance.choice((1, 1, 2, 2, 3))):
            self._live(f"sub_{number}", chance.uniform(10, 40))

        self.end = max(event.time for event in self.events)

        if chance.random() < 0.1:
            self._delete_customer()

        chance.shuffle(self.events)  # what happens at the same time has no order
        self.events.sort(key=lambda event: event.time)

    @property
    def ids(self) -> list[str]:
        return list(self._timelines)

    def state(self, id_: str, time: float) -> SubscriptionState | None:
        """A subscription at a time."""
        now = None

        for since, state in self._timelines[id_]:
            if since <= time:
                now = state

        return now

    def states(self, time: float) -> list[SubscriptionState]:
        found = (self.state(id_, time) for id_ in self._timelines)
        return [state for state in found if state is not None]

    def stamp(self, time: float) -> datetime | None:
        """What the clock of one of its machines says, in whole seconds."""
        return at(int(time + self._chance.uniform(-self._disorder, self._disorder)))

    def _tell(
        self,
        time: float,
        id_: str | None,
        make_change: Callable[[datetime | None], Change] | None = None,
    ) -> None:
        stamp = self.stamp(time)
        change = None if make_change is None else make_change(stamp)
        self.events.append(Told(len(self.events), time, id_, stamp, change))

    def _live(self, id_: str, time: float) -> None:
        chance = self._chance
        state = SubscriptionState(
            id=id_,
            customer_id="cus_1",
            status=chance.choice(("incomplete", "trialing", "active", "active")),
            price_id="price_1",
            quantity=1,
            current_period_end=PERIOD_END,
            created=at(int(time)),
        )
        timeline = self._timelines[id_] = [(time, state)]

        changes = chance.choice((0, 1, 2, 3, 4, 6, 9))

        if changes == 0 or chance.random() < 0.8:
            self._tell_state(time, state, "created")

        if chance.random() < 0.3:
            self._tell(time + chance.random(), id_)

        for _ in range(changes):
            step = chance.choice((0.01, 0.2, 0.3, 0.5, 0.9, 1.0, 1.4, 2.1, 30, 4000))

            if chance.random() < 0.2:
                self._tell_harmless_failure(time + chance.random() * step, state)

            time += step
            before, state = state, self._next(state, timeline)
            timeline.append((time, state))
            self._tell_state(time, state, kind_of_states(before, state))

            if chance.random() < 0.1:  # two events of one change
                self._tell_state(time, state, kind_of_states(before, state))

            if state.status == "past_due" and before.status in ("active", "trialing"):
                self._tell_failure(time + chance.uniform(-0.4, 0.4), state)

            if state.status in FINAL:
                break

    def _next(
        self,
        state: SubscriptionState,
        timeline: list[tuple[float, SubscriptionState]],
    ) -> SubscriptionState:
        chance = self._chance
        choice = chance.random()

        if choice < 0.3:  # back, perhaps within the second
            return timeline[max(len(timeline) - 2, 0)][1]

        if choice < 0.4:
            return state._replace(
                status=chance.choice(FINAL), cancel_at_period_end=False
            )

        if choice < 0.55:
            renewed = (state.current_period_end or PERIOD_END) + timedelta(days=31)
            return state._replace(current_period_end=renewed)

        if choice < 0.7:
            return state._replace(cancel_at_period_end=not state.cancel_at_period_end)

        if choice < 0.8:
            return state._replace(price_id=chance.choice(("price_1", "price_2")))

        statuses = ("active", "active", "past_due", "past_due", "paused", "unpaid")
        return state._replace(status=chance.choice(statuses))

    def _tell_state(self, time: float, state: SubscriptionState, kind: str) -> None:
        self._tell(time, state.id, lambda stamp: Snapshot(state, stamp, EVENT + kind))

    def _tell_failure(self, time: float, state: SubscriptionState) -> None:
        reason = self._chance.choice(("subscription_cycle", None))
        period_end = state.current_period_end
        self._tell(
            time,
            state.id,
            lambda stamp: PaymentFailure(state.id, stamp, reason, period_end),
        )

    def _tell_harmless_failure(self, time: float, state: SubscriptionState) -> None:
        """Once more, or of an invoice that the status does not depend on."""
        if state.status not in ("active", "trialing"):
            self._tell_failure(time, state)
            return

        is_old = self._chance.random() < 0.5
        reason = "subscription_cycle" if is_old else "subscription_update"
        period_end = (state.current_period_end or PERIOD_END) - timedelta(31 * is_old)
        self._tell(
            time,
            state.id,
            lambda stamp: PaymentFailure(state.id, stamp, reason, period_end),
        )

    def _delete_customer(self) -> None:
        self.deleted_at = self.end = self.end + self._chance.choice((0.1, 5))

        for id_, timeline in self._timelines.items():
            state = timeline[-1][1]

            if state.status not in FINAL:
                ended = state._replace(status="canceled", cancel_at_period_end=False)
                timeline.append((self.end, ended))
                self._tell_state(self.end, ended, "deleted")

            assert timeline[-1][1].id == id_

        self._tell(self.end, None)


def kind_of_states(before: SubscriptionState, after: SubscriptionState) -> str:
    if after.status in FINAL:
        return "deleted"

    if before.status != after.status and "paused" in (before.status, after.status):
        return "paused" if after.status == "paused" else "resumed"

    return "updated"


@dataclass(slots=True)
class Attempt:
    """A delivery that is being worked on, or a helper that reads all (no event)."""

    event: Told | None
    reads: int = 0
    #: The revisions of the rows when Stripe was asked.
    revisions: dict[str, int] = field(default_factory=dict)
    answers: list[Answer] | None = None


class Model:
    """An app that gets the events of one customer, and the way these come."""

    max_reads = 3
    active_statuses = ("active", "trialing")

    def __init__(self, seed: int, *, is_verbose: bool = False) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # no secret
        self.stripe = Stripe(self.chance)
        self.rows: dict[str, StoredSubscription] = {}
        self.columns = SubscriptionColumns()
        self.is_linked = True
        self.has_ledger = self.chance.random() < 0.5
        self.stored: set[int] = set()
        self.log: list[str] | None = [] if is_verbose else None
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._now = 0.0

    def run(self) -> None:
        """Everything happens and is delivered; then we must know what Stripe knows."""
        chance = self.chance
        not_before = self._adopt_columns() if chance.random() < 0.2 else 0.0
        haste = chance.choice((0.3, 3.0, 100.0, 10_000.0))

        for event in self.stripe.events:
            for _ in range(chance.choice((1, 1, 2, 3))):
                time = max(event.time, not_before) + chance.random() * haste
                self._at(time, self._receive, event)

        if chance.random() < 0.3:
            time = self.stripe.events[0].time + chance.random() * haste
            self._at(max(time, not_before), self._sync)

        while self._queue:
            self._now, _, act = heapq.heappop(self._queue)
            act()

        self._check_end()

    def _adopt_columns(self) -> float:
        """Start with columns that someone else filled before."""
        time = self.chance.uniform(self.stripe.events[0].time, self.stripe.end)
        states = self.stripe.states(time)
        columns = expected_columns(states, self.active_statuses)
        named = columns.subscription_id
        # Only what is told again can be learned.
        told = [
            event.change
            for event in self.stripe.events
            if event.subscription_id == named and isinstance(event.change, Snapshot)
        ]

        if any(change.event_type != EVENT + "created" for change in told):
            self.columns = columns

        return time

    def _at(self, time: float, act: Callable[..., None], *arguments: object) -> None:
        self._number += 1
        entry = time, self._number, lambda: act(*arguments)
        heapq.heappush(self._queue, entry)

    def _later(self, act: Callable[..., None], *arguments: object) -> None:
        delay = self.chance.choice((0.001, 0.1, 0.5, 1.5, 8.0))
        self._at(self._now + delay, act, *arguments)

    def _say(self, *words: object) -> None:
        if self.log is not None:
            self.log.append(f"{self._now:9.2f} {', '.join(map(brief, words))}")

    def _receive(self, event: Told) -> None:
        if self.chance.random() < 0.1:
            self._say("lost", event)
            self._at(self._now + self.chance.choice((1, 60)), self._receive, event)
        else:
            self._work(Attempt(event))

    def _sync(self) -> None:
        self._work(Attempt(None))

    def _work(self, attempt: Attempt) -> None:
        """The transaction: decide, and write or ask Stripe."""
        event = attempt.event

        if not self.is_linked:
            return

        if event is not None and self.has_ledger and event.number in self.stored:
            return

        rows = self._rows_with_columns()
        id_ = None if event is None else event.subscription_id
        revisions = {
            key: stored.revision
            for key, stored in rows.items()
            if event is None or key == id_
        }
        changes: Sequence[Change] | None

        if attempt.answers is not None and attempt.revisions == revisions:
            changes = attempt.answers
        elif event is None:
            changes = None
        elif event.subscription_id is None:
            changes = [Ending(key, event.stamp) for key in rows]
        else:
            changes = None if event.change is None else [event.change]

        after = advance(rows, changes)

        if after is not None:
            self._say("stores", *(changes or ()))
            self._write(attempt, after)
        elif attempt.reads < self.max_reads:
            self._say("asks because of", event)
            asking = Attempt(event, attempt.reads + 1, revisions)
            self._later(self._answer, asking, self._now)
        elif event is not None:
            self._say("gives up", event)
            self._at(self._now + 60, self._receive, event)

    def _answer(self, attempt: Attempt, asked_at: float) -> None:
        """Stripe reads what it has now; we hear of it later."""
        event = attempt.event
        ids = self.stripe.ids if event is None else [event.subscription_id]
        known = [] if event is None else [event.stamp]
        known += [self.stripe.stamp(asked_at)] if self.chance.random() < 0.7 else []
        time = max((each for each in known if each is not None), default=None)
        states = [id_ and self.stripe.state(id_, self._now) for id_ in ids]
        attempt.answers = [Answer(state, time) for state in states if state]
        self._say("hears", *attempt.answers)
        self._later(self._work, attempt)

    def _rows_with_columns(self) -> dict[str, StoredSubscription]:
        named = self.columns.subscription_id
        adopted = None if named in self.rows else adopt(self.columns, "cus_1")
        return {**self.rows, adopted.state.id: adopted} if adopted else self.rows

    def _write(self, attempt: Attempt, rows: dict[str, StoredSubscription]) -> None:
        self.rows = rows

        if rows:
            states = [stored.state for stored in rows.values()]
            self.columns = project(states, self.active_statuses)
            assert self.columns == expected_columns(states, self.active_statuses)

        if attempt.event is not None:
            self.stored.add(attempt.event.number)

            if attempt.event.subscription_id is None:
                self.is_linked = False

    def _check_end(self) -> None:
        if self.stripe.deleted_at is not None:
            # Who comes after the customer's end comes to nobody.
            assert not self.is_linked
            assert self.columns.subscription_id is None
            assert all(stored.state.status in FINAL for stored in self.rows.values())
            return

        truth = self.stripe.states(self.stripe.end)
        assert {key: stored.state for key, stored in self.rows.items()} == {
            state.id: state for state in truth
        }
        assert self.columns == expected_columns(truth, self.active_statuses)


def advance(
    rows: dict[str, StoredSubscription], changes: Sequence[Change] | None
) -> dict[str, StoredSubscription] | None:
    """The rows after some changes, or ``None`` where Stripe has to be asked."""
    if changes is None:
        return None

    after = dict(rows)

    for change in changes:
        before = after.get(change.subscription_id)
        decision = decide(before, change)

        if decision is Verdict.REREAD:
            return None

        if isinstance(decision, StoredSubscription):
            check_write(before, decision)
            after[change.subscription_id] = decision

    return after


@pytest.mark.parametrize(
    "histories_number",
    [
        pytest.param(2_000, id="short"),
        pytest.param(100_000, id="long", marks=pytest.mark.slow),
    ],
)
def test_random_histories_end_as_stripe_says(
    report: Report, histories_number: int
) -> None:
    events = longest = 0

    for seed in range(histories_number):
        model = Model(seed)
        number = len(model.stripe.events)

        try:
            model.run()
        except AssertionError as error:
            again = Model(seed, is_verbose=True)

            with pytest.raises(AssertionError):
                again.run()

            steps = "\n".join(again.log or ())
            pytest.fail(f"seed {seed}: {error}\n{steps}")

        events += number
        longest = max(longest, number)

    report(
        f"random: {histories_number:,} histories, {events:,} events, the longest of"
        f" {longest}"
    )
