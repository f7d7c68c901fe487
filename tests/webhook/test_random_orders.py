"""Whatever comes when, the end is what Stripe says: long random histories.

A seeded model of Stripe, of an app, and of the way between them, for what
``test_every_order.py`` is too thorough to reach.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta

import pytest

from flask_kavach_stripe.catalogue import Access
from flask_kavach_stripe.customer_state import Answer
from flask_kavach_stripe.customer_state import Change
from flask_kavach_stripe.customer_state import CustomerDeleted
from flask_kavach_stripe.customer_state import CustomerState
from flask_kavach_stripe.customer_state import Payer
from flask_kavach_stripe.customer_state import PaymentFailure
from flask_kavach_stripe.customer_state import project
from flask_kavach_stripe.customer_state import Snapshot
from flask_kavach_stripe.customer_state import StoredSubscription
from flask_kavach_stripe.customer_state import SubscriptionChange
from flask_kavach_stripe.customer_state import SubscriptionColumns
from flask_kavach_stripe.stripe_api.objects import ItemState
from flask_kavach_stripe.stripe_api.objects import SubscriptionState
from tests.histories import CATALOGUE
from tests.histories import check_write
from tests.histories import EVENT
from tests.histories import expected_columns
from tests.histories import FINAL
from tests.histories import moment
from tests.histories import PERIOD_END

PLAN, ADDON = ItemState("si_1", "price_1", 1), ItemState("si_9", "price_addon", 1)

# -- Stripe ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """An event of the random model."""

    number: int
    #: When it happened, in seconds; between the whole ones, too.
    time: float
    #: ``None`` for a deleted customer.
    subscription_id: str | None
    #: Stripe's time of the event.
    stamp: datetime | None
    #: ``None`` for a completed Checkout session: only Stripe can say.
    change: SubscriptionChange | None

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
        self.events: list[StripeEvent] = []
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
        return moment(int(time + self._chance.uniform(-self._disorder, self._disorder)))

    def _emit(
        self,
        time: float,
        id_: str | None,
        make_change: Callable[[datetime | None], SubscriptionChange] | None = None,
    ) -> None:
        stamp = self.stamp(time)
        change = None if make_change is None else make_change(stamp)
        self.events.append(StripeEvent(len(self.events), time, id_, stamp, change))

    def _live(self, id_: str, time: float) -> None:
        chance = self._chance
        state = SubscriptionState(
            id=id_,
            customer_id="cus_1",
            status=chance.choice(("incomplete", "trialing", "active", "active")),
            items=chance.choice(((PLAN,), (PLAN,), (ADDON,), (ADDON, PLAN))),
            current_period_start=moment(int(time)),
            current_period_end=PERIOD_END,
            created=moment(int(time)),
        )
        timeline = self._timelines[id_] = [(time, state)]

        changes = chance.choice((0, 1, 2, 3, 4, 6, 9))

        if changes == 0 or chance.random() < 0.8:
            self._emit_state(time, state, "created")

        if chance.random() < 0.3:
            self._emit(time + chance.random(), id_)

        for _ in range(changes):
            step = chance.choice((0.01, 0.2, 0.3, 0.5, 0.9, 1.0, 1.4, 2.1, 30, 4000))

            if chance.random() < 0.2:
                self._emit_harmless_failure(time + chance.random() * step, state)

            time += step
            before, state = state, self._next(state, timeline)
            timeline.append((time, state))
            self._emit_state(time, state, kind_of_states(before, state))

            if chance.random() < 0.1:  # two events of one change
                self._emit_state(time, state, kind_of_states(before, state))

            if state.status == "past_due" and before.status in ("active", "trialing"):
                self._emit_failure(time + chance.uniform(-0.4, 0.4), state)

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
                status=chance.choice(FINAL), cancel_at_period_end=False, cancel_at=None
            )

        if choice < 0.55:
            renewed = (state.current_period_end or PERIOD_END) + timedelta(days=31)
            return state._replace(
                current_period_start=state.current_period_end,
                current_period_end=renewed,
            )

        if choice < 0.7:
            is_leaving = not state.cancel_at_period_end
            last_day = chance.choice((None, PERIOD_END + timedelta(days=10)))
            return state._replace(
                cancel_at_period_end=is_leaving,
                cancel_at=last_day if is_leaving else None,
            )

        if choice < 0.8:
            upgraded, seats = (
                PLAN._replace(price_id="price_2"),
                PLAN._replace(quantity=5),
            )
            items = chance.choice(
                ((PLAN,), (upgraded,), (ADDON, seats), (seats, ADDON))
            )
            return state._replace(items=items)

        if choice < 0.85:
            return state._replace(collection_paused=not state.collection_paused)

        statuses = ("active", "active", "past_due", "past_due", "paused", "unpaid")
        return state._replace(status=chance.choice(statuses))

    def _emit_state(self, time: float, state: SubscriptionState, kind: str) -> None:
        # Of many items, an event shows some; Stripe has to be asked for the rest.
        is_short = len(state.items) > 1 and state.status not in FINAL
        shown = state._replace(items=state.items[:1]) if is_short else state
        self._emit(
            time,
            state.id,
            lambda stamp: Snapshot(
                shown, stamp, EVENT + kind, has_all_items=not is_short
            ),
        )

    def _emit_failure(self, time: float, state: SubscriptionState) -> None:
        reason = self._chance.choice(("subscription_cycle", None))
        period_end = state.current_period_end
        self._emit(
            time,
            state.id,
            lambda stamp: PaymentFailure(state.id, stamp, reason, period_end),
        )

    def _emit_harmless_failure(self, time: float, state: SubscriptionState) -> None:
        """Once more, or of an invoice that the status does not depend on."""
        if state.status not in ("active", "trialing"):
            self._emit_failure(time, state)
            return

        is_old = self._chance.random() < 0.5
        reason = "subscription_cycle" if is_old else "subscription_update"
        period_end = (state.current_period_end or PERIOD_END) - timedelta(31 * is_old)
        self._emit(
            time,
            state.id,
            lambda stamp: PaymentFailure(state.id, stamp, reason, period_end),
        )

    def _delete_customer(self) -> None:
        self.deleted_at = self.end = self.end + self._chance.choice((0.1, 5))

        for id_, timeline in self._timelines.items():
            state = timeline[-1][1]

            if state.status not in FINAL:
                ended = state._replace(
                    status="canceled", cancel_at_period_end=False, cancel_at=None
                )
                timeline.append((self.end, ended))
                self._emit_state(self.end, ended, "deleted")

            assert timeline[-1][1].id == id_

        self._emit(self.end, None)


def kind_of_states(before: SubscriptionState, after: SubscriptionState) -> str:
    if after.status in FINAL:
        return "deleted"

    if before.status != after.status and "paused" in (before.status, after.status):
        return "paused" if after.status == "paused" else "resumed"

    return "updated"


# -- the app ---------------------------------------------------------------------------


@dataclass(slots=True)
class Attempt:
    """A delivery that is being worked on, or a helper that reads all (no event)."""

    event: StripeEvent | None
    reads: int = 0
    #: The revisions of the rows when Stripe was asked.
    revisions: Mapping[str, int] = field(default_factory=dict)
    answers: list[Answer] | None = None


class Model:
    """An app that gets the events of one customer, and the way these come."""

    max_reads = 3
    active_statuses = ("active", "trialing")
    access = Access(active_statuses, CATALOGUE)

    def __init__(self, seed: int, *, is_verbose: bool = False) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # no secret
        self.stripe = Stripe(self.chance)
        self.rows: Mapping[str, StoredSubscription] = {}
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
        # Only what a later event says again can be learned.
        announced = [
            event.change
            for event in self.stripe.events
            if event.subscription_id == named and isinstance(event.change, Snapshot)
        ]

        if any(change.event_type != EVENT + "created" for change in announced):
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

    def _receive(self, event: StripeEvent) -> None:
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

        customer = CustomerState(Payer(1, "cus_1", self.columns), self.rows)
        revisions = customer.revisions(None if event is None else event.subscription_id)
        changes: Sequence[Change] | None

        if attempt.answers is not None and attempt.revisions == revisions:
            changes = attempt.answers
        elif event is None:
            changes = None
        elif event.subscription_id is None:
            changes = [CustomerDeleted(event.stamp)]
        else:
            changes = None if event.change is None else [event.change]

        after = None if changes is None else customer.after(changes)

        if after is not None:
            self._say("stores", *(changes or ()))
            check_writes(customer.known, after.rows)
            self._write(attempt, after.rows)
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
        states = [self.stripe.state(id_, self._now) for id_ in ids if id_]
        attempt.answers = [Answer(state, time) for state in states if state]
        self._say("hears", *attempt.answers)
        self._later(self._work, attempt)

    def _write(self, attempt: Attempt, rows: Mapping[str, StoredSubscription]) -> None:
        self.rows = rows

        if rows:
            states = [stored.state for stored in rows.values()]
            self.columns = project(states, self.access)
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


def check_writes(
    before: Mapping[str, StoredSubscription], after: Mapping[str, StoredSubscription]
) -> None:
    """Check each row that changed; no row is lost."""
    assert before.keys() <= after.keys()

    for id_, stored in after.items():
        if stored != before.get(id_):
            check_write(before.get(id_), stored)


@pytest.mark.parametrize(
    "histories_number",
    [
        pytest.param(2_000, id="short"),
        pytest.param(100_000, id="long", marks=pytest.mark.slow),
    ],
)
def test_random_histories_end_as_stripe_says(
    report: Callable[[str], None], histories_number: int
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
