"""What every resource of the sandbox works with."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .clock import Clock
from .recipients import all_endpoints
from .recipients import wants
from .store import clone
from .store import Object
from .store import Store

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True)
class RequestInfo:
    """The API request that is being answered; it is named in its events."""

    id: str
    idempotency_key: str | None


class Core:
    """One Stripe account: its objects, its clock, its log of events.

    :param clock: The only source of time.
    :param store: All objects.
    :param on_event: Told about each new event, with the lock held.
    """

    def __init__(
        self, clock: Clock, store: Store, on_event: Callable[[Object], None]
    ) -> None:
        self.clock = clock
        self.store = store
        #: Where the hosted pages are, without a slash at the end.
        self.base_url = "http://localhost"
        #: ``None`` while time or a person at a page is what causes things.
        self.request: RequestInfo | None = None
        #: Attributes that are shown only when they are expanded, by kind and name.
        self.included: dict[tuple[str, str], Callable[[Object], Any]] = {}
        self._on_event = on_event
        self._alarms: list[tuple[int, int, str, str]] = []
        self._alarms_set = 0

    def emit(
        self, event_type: str, obj: Object, previous: dict[str, Any] | None = None
    ) -> Object:
        """Write an event, with the object as it is now."""
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
        self.store.add(event, endpoints=endpoints, attempts=[])
        self._on_event(event)
        return event

    @contextmanager
    def changing(self, obj: Object, event_type: str) -> Iterator[None]:
        """Emit an ``updated`` event if the block changes the object.

        A block that raises leaves the object as it was.
        """
        before = clone(obj)

        try:
            yield
        except BaseException:
            obj.clear()
            obj.update(before)
            raise

        previous = previous_attributes(before, obj)

        if previous:
            self.emit(event_type, obj, previous)

    def set_alarm(self, at: int, obj: Object) -> None:
        """Have the object looked at when the clock reaches ``at``.

        An alarm only says "look": one that is out of date does no harm.
        """
        self._alarms_set += 1
        heapq.heappush(self._alarms, (at, self._alarms_set, obj["object"], obj["id"]))

    @property
    def next_alarm_at(self) -> int | None:
        """When the earliest alarm is due."""
        return self._alarms[0][0] if self._alarms else None

    def next_alarm(self, until: int) -> tuple[int, Object] | None:
        """Take the earliest alarm that is due at ``until`` off the list."""
        while self._alarms and self._alarms[0][0] <= until:
            at, _, kind, object_id = heapq.heappop(self._alarms)

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
