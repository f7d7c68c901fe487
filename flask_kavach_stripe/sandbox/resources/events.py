"""The log of events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from datetime import UTC

from ..errors import ApiError
from ..params import array
from ..params import boolean
from ..params import in_range
from ..params import text
from ..params import time_range
from ..recipients import is_thin
from ..store import Object
from .base import Params
from .base import Resource


class Events(Resource):
    """Stripe keeps events for 30 days; the sandbox keeps them all."""

    kind = "event"
    noun = "event"
    path = "/v1/events"

    def list(self, params: Params) -> Object:
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
        types = wanted.get("types") or [wanted.get("type") or "*"]
        succeeded = wanted.get("delivery_success")
        return (
            any(_type_matches(event["type"], pattern or "*") for pattern in types)
            and in_range(event["created"], wanted.get("created"))
            and (succeeded is None or succeeded == (event["pending_webhooks"] == 0))
        )


def _type_matches(event_type: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])

    return event_type == pattern


class ThinEvents(Resource):
    """The thin forms of events: made where an event destination asks for them.

    Stripe has finer types beside those of the snapshots, such as
    ``v1.customer.subscription.past_due``; they are not simulated.
    """

    kind = "v2.core.event"
    noun = "v2.core.event"
    path = "/v2/core/events"

    def add(
        self, event: Object, endpoints: Sequence[Object], url: str | None
    ) -> Object:
        """Keep the thin form of an event.

        :param endpoints: Who is told about the event.
        :param url: Where the API has its object; ``None`` if it has no id.

        Source: https://docs.stripe.com/api/v2/core/events/object
        """
        obj, request = event["data"]["object"], event["request"]
        has_snapshot = not all(is_thin(endpoint) for endpoint in endpoints)
        thin = {
            "id": self.core.store.new_id(self.kind),
            "object": self.kind,
            "context": None,
            "created": iso_time(event["created"]),
            "livemode": False,
            "reason": (
                {"request": dict(request), "type": "request"} if request["id"] else None
            ),
            "related_object": url
            and {"id": obj["id"], "type": obj["object"], "url": url},
            "snapshot_event": event["id"] if has_snapshot else None,
            "type": f"v1.{event['type']}",
        }
        return self.core.store.add(thin)


def iso_time(timestamp: int) -> str:
    """Return a time as the API's second version writes it."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
