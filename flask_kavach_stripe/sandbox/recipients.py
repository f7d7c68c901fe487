"""Who gets events: webhook endpoints and event destinations.

It stands below everything that makes or sends events, as both need to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .object_store import Object
from .object_store import Store

KINDS = ("webhook_endpoint", "v2.core.event_destination")


class Recipient(NamedTuple):
    """Where webhooks go, and what signs them."""

    url: str
    secret: str


def all_endpoints(store: Store) -> Sequence[Object]:
    """Return all, oldest first; webhook endpoints before event destinations."""
    return [endpoint for kind in KINDS for endpoint in reversed(store.all(kind))]


def find_recipient(store: Store, endpoint_id: str) -> Recipient | None:
    """Return where to send what an endpoint gets.

    :returns: ``None`` if the endpoint is disabled or gone.
    """
    for kind in KINDS:
        endpoint = store.find(kind, endpoint_id)

        if endpoint is not None and endpoint["status"] == "enabled":
            hidden = store.hidden[endpoint_id]
            return Recipient(endpoint.get("url") or hidden["url"], hidden["secret"])

    return None


def wants(endpoint: Object, event_type: str) -> bool:
    """Does an endpoint get events of this type?

    :param event_type: The name without a version, ``invoice.paid``.
    """
    enabled = endpoint["enabled_events"]
    name = f"v1.{event_type}" if is_thin(endpoint) else event_type
    return endpoint["status"] == "enabled" and ("*" in enabled or name in enabled)


def is_thin(endpoint: Object) -> bool:
    """Does an endpoint get thin events, which only name their object?"""
    return bool(endpoint.get("event_payload") == "thin")
