"""The log of events: snapshots at ``/v1/events``, thin ones at ``/v2/core/events``.

Source: https://docs.stripe.com/api/events
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from datetime import UTC
from typing import Any

from ..object_store import Object
from ..params import array
from ..params import boolean
from ..params import in_range
from ..params import mapping
from ..params import read
from ..params import text
from ..params import time_range
from ..recipients import is_thin
from ..resource import page_by_url
from ..resource import PAGE_SPEC
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..world import World


class Events(Resource):
    """``/v1/events``: every event, newest first.

    Simplified: Stripe keeps events for 30 days; the sandbox keeps them all.
    """

    kind = "event"
    noun = "event"
    path = "/v1/events"

    def list(self, params: Params) -> Object:
        """Return a page of the events, newest first.

        Filtered by ``created``, ``delivery_success`` and ``type`` or ``types``; a type
        may end with ``*``. An answer shows each event in the version of the call.

        :raises ApiError: If both ``type`` and ``types`` are given.
        """
        if "type" in params and "types" in params:
            raise ApiError(
                "You may only specify one of these parameters: type, types.",
                param="type",
            )

        return self.select(
            params,
            {
                "created": time_range,
                "delivery_success": boolean,
                "type": text(),
                "types": array(text(), limit=20),
            },
            self._matches,
        )

    def _matches(self, event: Object, wanted: Params) -> bool:
        """Does an event fit the filters of a list?"""
        types = wanted.get("types") or [wanted.get("type") or "*"]
        succeeded = wanted.get("delivery_success")
        return (
            any(_type_matches(event["type"], pattern or "*") for pattern in types)
            and in_range(event["created"], wanted.get("created"))
            and (succeeded is None or succeeded == (event["pending_webhooks"] == 0))
        )


def _type_matches(event_type: str, pattern: str) -> bool:
    """Is an event type the wanted one, or does it begin as the pattern does?"""
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])

    return event_type == pattern


class ThinEvents(Resource):
    """``/v2/core/events``: the thin forms of events.

    They are made where an event destination asks for them, and then kept.

    Simplified: Stripe has finer types beside those of the snapshots,
    ``v1.customer.subscription.past_due`` for example; they are not simulated.
    """

    kind = "v2.core.event"
    noun = "v2.core.event"
    path = "/v2/core/events"

    def add(
        self, event: Object, endpoints: Sequence[Object], url: str | None
    ) -> Object:
        """Keep the thin form of an event.

        It names the snapshot if any endpoint gets that.

        :param endpoints: The endpoints that get the event.
        :param url: Where the API has its object; ``None`` if it has no id.

        Source: https://docs.stripe.com/api/v2/core/events/object
        """
        obj, request = event["data"]["object"], event["request"]
        thin = thin_event(
            self.world,
            f"v1.{event['type']}",
            url and {"id": obj["id"], "type": obj["object"], "url": url},
            request if request["id"] else None,
        )

        if not all(is_thin(endpoint) for endpoint in endpoints):
            thin["snapshot_event"] = event["id"]

        return self.world.store.add(thin)

    def list(self, params: Params) -> Object:
        """Return a page of them, newest first.

        Source: https://docs.stripe.com/api/v2/core/events/list
        """
        wanted = read(
            params,
            {
                **PAGE_SPEC,
                "created": mapping(
                    {name: _iso_time for name in ("gt", "gte", "lt", "lte")}
                ),
                "object_id": text(),
                "types": array(text(), limit=20),
            },
        )
        events = [
            event
            for event in self.world.store.all(self.kind)
            if (not wanted.get("types") or event["type"] in wanted["types"])
            and wanted.get("object_id")
            in (None, (event["related_object"] or {}).get("id"))
            and in_range(_timestamp(event["created"]), wanted.get("created"))
        ]
        query = {
            **{
                f"created[{name}]": iso_time(at)
                for name, at in (wanted.get("created") or {}).items()
            },
            **({"object_id": wanted["object_id"]} if wanted.get("object_id") else {}),
            **{
                f"types[{index}]": name
                for index, name in enumerate(wanted.get("types") or ())
            },
        }
        return page_by_url(events, wanted, self.path, query)


def thin_event(
    world: World, event_type: str, related_object: Any, request: Any
) -> Object:
    """Return a new thin event.

    :param related_object: Id, type and URL of what it is about, if that has an id.
    :param request: The request that caused it; ``None`` if time did.
    """
    return {
        "id": world.store.new_id("v2.core.event"),
        "object": "v2.core.event",
        "context": None,
        "created": iso_time(world.clock.now()),
        "livemode": False,
        "reason": request and {"request": dict(request), "type": "request"},
        "related_object": related_object,
        "snapshot_event": None,
        "type": event_type,
    }


def _timestamp(time: str) -> int:
    """Return a time as Unix seconds."""
    return int(datetime.fromisoformat(time).timestamp())


def _iso_time(value: Any, path: str) -> int | None:
    """Read a time as the API's second version writes it."""
    time = text()(value, path)

    try:
        return None if time is None else _timestamp(time)
    except ValueError as error:
        raise ApiError(f"Invalid timestamp: {time}", param=path) from error


def iso_time(timestamp: int) -> str:
    """Return a time as the API's second version writes it."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
