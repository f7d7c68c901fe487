"""Whatever comes when, the end is what Stripe says: all small histories.

Instead of listing the orders of delivery, this walks the graph of what can be stored: a
node is how far the history is, which events were delivered, and the row; every path is
an order, and so every order is covered. ``test_random_orders.py`` goes on where that
ends.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from itertools import product
from typing import NamedTuple

import pytest

from flask_kavach_stripe.catalogue import Access
from flask_kavach_stripe.customer_state import Answer
from flask_kavach_stripe.customer_state import decide
from flask_kavach_stripe.customer_state import project
from flask_kavach_stripe.customer_state import Snapshot
from flask_kavach_stripe.customer_state import StoredSubscription
from flask_kavach_stripe.customer_state import SubscriptionChange
from flask_kavach_stripe.customer_state import Verdict
from flask_kavach_stripe.stripe_api.objects import ItemState
from flask_kavach_stripe.stripe_api.objects import SubscriptionState
from tests.histories import ACTIVE
from tests.histories import answer_times
from tests.histories import CANCELED
from tests.histories import CATALOGUE
from tests.histories import check_write
from tests.histories import EPOCH
from tests.histories import expected_columns
from tests.histories import FAILURES
from tests.histories import Happening
from tests.histories import histories
from tests.histories import histories_with_failures
from tests.histories import History
from tests.histories import list_orders
from tests.histories import moment
from tests.histories import orders_afterwards
from tests.histories import orders_meanwhile
from tests.histories import OVERDUE
from tests.histories import PAST_DUE
from tests.histories import PAUSED
from tests.histories import STATES
from tests.histories import Times
from tests.histories import to_change


@pytest.mark.parametrize(("events", "orders"), [(1, 2), (2, 14), (3, 222), (4, 6384)])
def test_orders_are_counted_as_they_are_listed(events: int, orders: int) -> None:
    listed = list(list_orders(events))

    assert len(set(listed)) == len(listed) == orders == orders_afterwards(events)


# -- what we do: rows, as small numbers ------------------------------------------------


ASK = -1


class Ground:
    """Rows and changes as numbers, and what ``decide`` makes of every pair of them.

    ``decide`` is pure, so it has to be asked once. It is asked with a revision that
    stands for all: what it may do with one is checked here.
    """

    def __init__(self, shortened: Collection[int] = ()) -> None:
        self._shortened = shortened
        self.rows: list[StoredSubscription | None] = [None]
        self._numbers: dict[tuple[SubscriptionState, datetime | None], int] = {}
        self._decisions: dict[tuple[int, Happening], tuple[int, bool]] = {}
        self._answers: dict[tuple[int, int, int | None, int], tuple[int, bool]] = {}
        self._outcomes: dict[tuple[Happening, int, Times], Outcomes] = {}

    def decide(self, row: int, event: Happening) -> tuple[int, bool]:
        """The row after an event, or ``ASK``; and whether it was written."""
        key = row, event

        if key not in self._decisions:
            self._decisions[key] = self._ask(row, to_change(event, self._shortened))

        return self._decisions[key]

    def store_answer(
        self, row: int, state: int, as_of: int | None, stamp: int
    ) -> tuple[int, bool]:
        """The row after Stripe was asked because of an event with this stamp."""
        key = row, state, as_of, stamp

        if key not in self._answers:
            time = moment(stamp if as_of is None else max(as_of, stamp))
            self._answers[key] = self._ask(row, Answer(STATES[state], time))

        return self._answers[key]

    def _ask(self, row: int, change: SubscriptionChange) -> tuple[int, bool]:
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


# -- the same with slow answers --------------------------------------------------------


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


# -- one subscription ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "starts", "shortened"),
    [
        pytest.param((1, 2, 3, 4), ("created", "updated"), (), id="four events"),
        pytest.param(
            (1, 2, 3, 4), ("created", "updated"), (ACTIVE,), id="many items at first"
        ),
        pytest.param(
            (1, 2, 3, 4), ("created", "updated"), (PAST_DUE,), id="many items later"
        ),
        pytest.param((5,), ("created",), (), id="five events"),
        pytest.param(
            (5,),
            ("updated",),
            (),
            id="five events, not the first",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_order_of_one_subscription_ends_as_stripe_says(
    report: Callable[[str], None],
    lengths: Sequence[int],
    starts: tuple[str, ...],
    shortened: tuple[int, ...],
) -> None:
    """:param shortened: States of which events do not show all items."""
    ground = Ground(shortened)
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
    report: Callable[[str], None], length: int, words: tuple[int | str, ...]
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
    report: Callable[[str], None], longest: int, calls_at_once: int
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


# -- two subscriptions -----------------------------------------------------------------


def test_every_order_of_two_subscriptions_ends_as_stripe_says(
    report: Callable[[str], None],
) -> None:
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
                items=(ItemState("si_2", "price_2", 1),),
                created=EPOCH + timedelta(days=age),
            ),
        ]
        access = Access(active_statuses, CATALOGUE)
        expected = expected_columns(states, active_statuses)

        assert project(states, access) == expected
        assert project(reversed(states), access) == expected


def test_every_listed_order_of_two_subscriptions_ends_as_stripe_says(
    report: Callable[[str], None],
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


def on_subscription(number: int, change: SubscriptionChange) -> SubscriptionChange:
    assert isinstance(change, Snapshot)
    return change._replace(state=on_state(number, change.state))


def deliver_at_once(
    rows: dict[str, StoredSubscription],
    change: SubscriptionChange,
    truth: dict[str, SubscriptionState],
) -> None:
    id_ = change.subscription_id
    decision = decide(rows.get(id_), change)

    if decision is Verdict.REREAD:
        decision = decide(rows.get(id_), Answer(truth[id_], change.time))

    if isinstance(decision, StoredSubscription):
        check_write(rows.get(id_), decision)
        rows[id_] = decision
