"""The log of events."""

from __future__ import annotations

from ..errors import ApiError
from ..params import array
from ..params import boolean
from ..params import in_range
from ..params import text
from ..params import time_range
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
            any(_type_matches(event["type"], pattern) for pattern in types)
            and in_range(event["created"], wanted.get("created"))
            and (succeeded is None or succeeded == (event["pending_webhooks"] == 0))
        )


def _type_matches(event_type: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])

    return event_type == pattern
