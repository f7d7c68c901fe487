"""What Stripe knows: subscribers whose lives go on, and the events that tell of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from datetime import UTC
from random import Random
from typing import Any

from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription

MONTH = 30 * 24 * 3600
PRICES = ("price_basic", "price_pro", "price_team")
MAX_RUNNING = 3

#: How many things happen to a subscriber at the same moment.
BURSTS = (1, 1, 4)

#: About how many events tell of a life. After the last one, no other repairs what went
#: wrong: short lives have many ends.
EVENTS_PER_LIFE = 12

#: How many customers live at the same time.
LIVING = 60

#: What gives access ranks first, and equally.
RANKS = {"active": 0, "trialing": 0, "past_due": 1, "paused": 2}

Object = dict[str, Any]


class Truth:
    """All subscriptions as they are now, by what happened so far.

    :param seed: Decides what happens. When it happens is the clock's business.
    """

    def __init__(self, seed: str, customer_ids: list[str]) -> None:
        #: The types of all events that were sent, by id.
        self.event_types: dict[str, str] = {}
        #: How often a subscription was asked for.
        self.reads = 0
        self._random = Random(f"{seed} lives")  # noqa: S311
        self._lock = threading.Lock()
        self._facts: dict[str, Object] = {}
        self._customer_ids = customer_ids

    def go_on(self) -> list[Object]:
        """Let something happen to someone, and give its events."""
        with self._lock:
            customer_id = self._choose()
            return [
                event
                for _ in range(self._random.choice(BURSTS))
                for event in self._step(customer_id)
            ]

    def retrieve(self, subscription_id: str) -> Object | None:
        """A subscription, as the API answers."""
        with self._lock:
            self.reads += 1
            facts = self._facts.get(subscription_id)
            return None if facts is None else make_subscription(**facts)

    @property
    def subscriptions(self) -> dict[str, tuple[Any, ...]]:
        """Customer, status, price, end and schedule of each subscription, by its id."""
        return {
            id_: (facts["customer"], *_columns(facts)[1:])
            for id_, facts in self._facts.items()
        }

    @property
    def columns(self) -> dict[str, tuple[Any, ...]]:
        """What the five columns of each customer's user must say."""
        return {id_: self._project(id_) for id_ in self._customer_ids}

    def _project(self, customer_id: str) -> tuple[Any, ...]:
        def key(facts: Object) -> tuple[bool, int, int, str]:
            status = facts["status"]
            ended = status == "canceled"
            return ended, RANKS.get(status, 0), -facts["created"], facts["id"]

        best = min(self._of(customer_id), key=key, default=None)

        if best is None or best["status"] == "canceled":
            return None, best and best["status"], None, None, False

        return _columns(best)

    def _of(self, customer_id: str) -> list[Object]:
        return [f for f in self._facts.values() if f["customer"] == customer_id]

    def _choose(self) -> str:
        oldest = len(self.event_types) // EVENTS_PER_LIFE
        chosen = oldest + self._random.randrange(LIVING)
        return self._customer_ids[chosen % len(self._customer_ids)]

    # -- what happens --------------------------------------------------------------

    def _step(self, customer_id: str) -> list[Object]:
        running = [f for f in self._of(customer_id) if f["status"] != "canceled"]
        wants_another = self._random.random() < 0.3

        if not running or (wants_another and len(running) < MAX_RUNNING):
            return self._subscribe(customer_id)

        happen: Callable[[Object], list[Object]] = self._random.choice(
            [
                self._change_price,
                self._change_price,
                self._renew,
                self._renew,
                self._fail_to_renew,
                self._schedule_end,
                self._pause,
                self._cancel,
            ]
        )
        return happen(self._random.choice(running))

    def _subscribe(self, customer_id: str) -> list[Object]:
        now = int(time.time())
        facts: Object = {
            "id": f"sub_{len(self._facts)}",
            "customer": customer_id,
            "status": self._random.choice(["active", "trialing"]),
            "price": self._random.choice(PRICES),
            "created": now,
            "current_period_end": now + MONTH,
            "cancel_at_period_end": False,
        }
        self._facts[facts["id"]] = facts
        checkout = make_checkout_session(
            f"cs_test_{facts['id']}", customer=customer_id, subscription=facts["id"]
        )
        return [
            self._event("checkout.session.completed", checkout),
            self._event("customer.subscription.created", make_subscription(**facts)),
        ]

    def _change_price(self, facts: Object) -> list[Object]:
        return [self._update(facts, price=self._random.choice(PRICES))]

    def _renew(self, facts: Object) -> list[Object]:
        end = facts["current_period_end"] + MONTH
        return [self._update(facts, status="active", current_period_end=end)]

    def _fail_to_renew(self, facts: Object) -> list[Object]:
        end = facts["current_period_end"] + MONTH
        invoice = make_invoice(
            customer=facts["customer"], subscription=facts["id"], period_end=end
        )
        return [
            self._event("invoice.payment_failed", invoice),
            self._update(facts, status="past_due", current_period_end=end),
        ]

    def _schedule_end(self, facts: Object) -> list[Object]:
        scheduled = not facts["cancel_at_period_end"]
        return [self._update(facts, cancel_at_period_end=scheduled)]

    def _pause(self, facts: Object) -> list[Object]:
        return [self._update(facts, "paused", status="paused")]

    def _cancel(self, facts: Object) -> list[Object]:
        now = int(time.time())
        return [self._update(facts, "deleted", status="canceled", ended_at=now)]

    def _update(self, facts: Object, kind: str = "updated", **changes: Any) -> Object:
        before = make_subscription(**facts)
        facts.update(changes)
        after = make_subscription(**facts)
        previous = {key: before[key] for key in before if before[key] != after[key]}
        return self._event(
            f"customer.subscription.{kind}",
            after,
            previous_attributes=previous if kind == "updated" else None,
        )

    def _event(self, event_type: str, obj: Object, **other: Any) -> Object:
        event_id = f"evt_{len(self.event_types)}"
        self.event_types[event_id] = event_type
        return make_event(event_type, obj, id=event_id, **other)


def _columns(facts: Object) -> tuple[Any, ...]:
    is_scheduled = facts["cancel_at_period_end"] and facts["status"] != "canceled"
    return (
        facts["id"],
        facts["status"],
        facts["price"],
        datetime.fromtimestamp(facts["current_period_end"], UTC),
        is_scheduled,
    )
