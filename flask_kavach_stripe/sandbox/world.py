"""The account's objects, clock and events: what every resource works with.

Whoever changes an object does it inside :meth:`World.changing`, which sends the
``updated`` event, or sends its own event with :meth:`World.emit`. Whoever makes
something that has a future sets an alarm.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from typing import Literal

from .clock import Clock
from .object_store import clone
from .object_store import Object
from .object_store import Store
from .recipients import all_endpoints
from .recipients import wants

API_VERSION = "2026-10-28.endive"
TEST_CLOCK = "test_helpers.test_clock"

AfterRetries = Literal["canceled", "unpaid", "past_due"]


@dataclass(frozen=True)
class RequestInfo:
    """The API request that is being answered; its events name it in ``request``."""

    id: str
    idempotency_key: str | None


@dataclass(frozen=True)
class BillingSettings:
    """The choices of an account in Stripe's Dashboard.

    :param retry_days: After how many days each further attempt to charge an invoice
        comes, counted from the attempt before.
    :param after_retries: The status of a subscription after the last attempt that
        fails.
    :param upcoming_days: How many days before a renewal its invoice is announced.
    """

    # Differs from Stripe: its default is "smart retries" within two weeks, on days that
    # are not public.
    retry_days: tuple[int, ...] = (3, 5, 7)
    after_retries: AfterRetries = "canceled"
    upcoming_days: int = 7

    def __post_init__(self) -> None:
        """Refuse settings that Stripe's Dashboard does not offer."""
        if self.after_retries not in ("canceled", "unpaid", "past_due"):
            raise ValueError(
                f"{self.after_retries!r} is not canceled, unpaid or past_due."
            )

        if any(days < 1 for days in self.retry_days):
            raise ValueError(
                f"Payments are tried again after 1 day or more, not {self.retry_days}."
            )


class World:
    """One Stripe account: its objects, its clock, its events.

    :param clock: The only source of time.
    :param store: All objects.
    :param on_event: Is called with each new event, with the lock held.
    :param settings: What the account has chosen in its Dashboard.
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        on_event: Callable[[Object], None],
        settings: BillingSettings,
    ) -> None:
        self.clock = clock
        self.store = store
        self.settings = settings
        #: Where the hosted pages are, without a slash at the end.
        self.base_url = "http://localhost"
        #: ``None`` while time or a person at a page is what causes things.
        self.request: RequestInfo | None = None
        #: Attributes that are shown only when they are expanded, by kind and name.
        self.included: dict[tuple[str, str], Callable[[Object], Any]] = {}
        self._on_event = on_event
        self._alarms: dict[str | None, list[tuple[int, int, str, str]]] = {}
        self._alarms_set = 0
        self._rehearsing = False

    def hidden_of(self, obj: Object) -> dict[str, Any]:
        """Return what the API does not show of an object, to be read or changed.

        :raises KeyError: If nothing is hidden of it.
        """
        return self.store.hidden[obj["id"]]

    # Events

    def emit(
        self, event_type: str, obj: Object, previous: dict[str, Any] | None = None
    ) -> Object:
        """Write an event, with a copy of the object as it is now.

        Its ``api_version`` is the newest one; endpoints of older versions get a
        translation. ``pending_webhooks`` counts the endpoints that want the type.

        :param previous: The ``previous_attributes`` of an update.
        :returns: The event. In a rehearsal it is not kept, and not sent.
        """
        data: dict[str, Any] = {"object": clone(obj)}

        if previous is not None:
            data["previous_attributes"] = previous

        request = self.request
        endpoints = [
            endpoint["id"]
            for endpoint in all_endpoints(self.store)
            if wants(endpoint, event_type)
        ]
        event = {
            "id": self.store.new_id("event"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.clock.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": len(endpoints),
            "request": {
                "id": request.id if request else None,
                "idempotency_key": request.idempotency_key if request else None,
            },
            "type": event_type,
        }

        if not self._rehearsing:
            self.send(event, endpoints)

        return event

    def send(self, event: Object, endpoint_ids: Sequence[str]) -> None:
        """Keep a new event, and hand it to whoever delivers.

        :param endpoint_ids: The endpoints that get it, now and when it is sent again.
        """
        self.store.add(event, endpoints=endpoint_ids, attempts=[])
        self._on_event(event)

    @contextmanager
    def changing(self, obj: Object, event_type: str) -> Iterator[None]:
        """Emit an ``updated`` event if the block changes the object.

        A block that raises leaves the object, and what is hidden of it, as it was.

        :param event_type: For example ``customer.subscription.updated``.
        """
        before = clone(obj)
        hidden = clone(self.store.hidden.get(obj["id"]))

        try:
            yield
        except BaseException:
            obj.clear()
            obj.update(before)

            if hidden is not None:
                self.store.hidden[obj["id"]] = hidden

            raise

        previous = previous_attributes(before, obj)

        if previous:
            self.emit(event_type, obj, previous)

    @contextmanager
    def rehearsal(self, *objects: Object) -> Iterator[None]:
        """Do something to see what comes of it: it is undone, and no event is sent.

        :param objects: All old objects that the block changes.
        """
        self._rehearsing = True

        try:
            with self.store.rehearsal(*objects):
                yield
        finally:
            self._rehearsing = False

    # Time

    def test_clock_of(self, obj: Object) -> str | None:
        """Return the id of the test clock that an object lives on.

        :returns: ``None`` for the sandbox's own clock.
        """
        if obj["object"] == TEST_CLOCK:
            return str(obj["id"])

        owner = self.store.find("customer", obj.get("customer")) or {}
        test_clock_id: str | None = obj.get("test_clock") or owner.get("test_clock")
        return test_clock_id

    @contextmanager
    def on_clock_of(self, obj: Object | None) -> Iterator[None]:
        """Hold the clock at the time of an object's test clock, if it lives on one."""
        test_clock_id = None if obj is None else self.test_clock_of(obj)
        test_clock = self.store.find(TEST_CLOCK, test_clock_id)

        if test_clock is None:
            yield
        else:
            with self.clock.pinned(test_clock["frozen_time"]):
                yield

    def set_alarm(self, at: int, obj: Object) -> None:
        """Have the object looked at when its clock reaches ``at``.

        An alarm only says "look": one that is out of date does no harm.
        """
        if self._rehearsing:
            return

        self._alarms_set += 1
        alarms = self._alarms.setdefault(self.test_clock_of(obj), [])
        heapq.heappush(alarms, (at, self._alarms_set, obj["object"], obj["id"]))

    @property
    def next_alarm_at(self) -> int | None:
        """When the sandbox's own clock rings next, in Unix seconds."""
        alarms = self._alarms.get(None)
        return alarms[0][0] if alarms else None

    def next_alarm(
        self, until: int, test_clock_id: str | None
    ) -> tuple[int, Object] | None:
        """Take the earliest alarm that is due at ``until`` off a clock's list.

        :param test_clock_id: ``None`` for the sandbox's own clock.
        :returns: Its time and its object; alarms of deleted objects are skipped.
        """
        alarms = self._alarms.get(test_clock_id)

        while alarms and alarms[0][0] <= until:
            at, _, kind, object_id = heapq.heappop(alarms)

            if (obj := self.store.find(kind, object_id)) is not None:
                return at, obj

        return None


def previous_attributes(before: Object, after: Object) -> dict[str, Any]:
    """Return the old values of what changed; a changed list appears whole.

    Source: https://docs.stripe.com/api/events/object
    """
    previous: dict[str, Any] = {}

    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)

        if old == new and (key in before) == (key in after):
            continue

        if isinstance(old, dict) and isinstance(new, dict):
            previous[key] = previous_attributes(old, new)
        else:
            previous[key] = old

    return previous
