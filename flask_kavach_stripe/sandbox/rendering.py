"""From stored objects to the JSON of an answer or a webhook.

The two steps are always the same: take the copy back to the shape of an API version,
then put objects in place of the ids that ``expand[]`` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

from .notifications.event_log import ThinEvents
from .object_store import clone
from .object_store import Object
from .recipients import all_endpoints
from .recipients import is_thin
from .resource import deleted
from .versions.downgrades import downgrade
from .versions.downgrades import downgrade_event
from .versions.expansion import Hop
from .world import API_VERSION
from .world import World

#: Where the API has a kind of object; the others are at ``/v1/<kind>s``.
_PATHS: Final[Mapping[str, str]] = {
    "billing_portal.configuration": "/v1/billing_portal/configurations",
    "billing_portal.session": "/v1/billing_portal/sessions",
    "checkout.session": "/v1/checkout/sessions",
    "invoiceitem": "/v1/invoiceitems",
    "test_helpers.test_clock": "/v1/test_helpers/test_clocks",
}


class Renderer:
    """Copies objects for an answer, so that no caller can change the stored ones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._thin_events = ThinEvents(world)

    def render(
        self,
        obj: Object,
        expand: Iterable[Sequence[Hop]] = (),
        version: str = API_VERSION,
    ) -> Object:
        """Return a copy of ``obj`` with objects in place of some ids.

        The lock is held.

        :param expand: Where these are, in the shape of the version.
        :param version: The API version that gives the copy its shape.
        """
        result: Object = self._copy(obj, version)

        for path in expand:
            self._expand(result, path, version)

        return result

    def payloads(self, event: Object, endpoint_ids: Sequence[str]) -> dict[str, Object]:
        """Write an event for the endpoints that do not get it as it is stored.

        Done once, when the event happens: what an endpoint gets does not change
        afterwards.

        :returns: Thin events, and events of older versions, by endpoint.

        Source: https://docs.stripe.com/webhooks#api-versions
        """
        if event["object"] != "event":
            return {}  # a thin one that has no snapshot

        wanted = set(endpoint_ids)
        endpoints = [
            endpoint
            for endpoint in all_endpoints(self._store)
            if endpoint["id"] in wanted
        ]
        payloads: dict[str, Object] = {}
        by_version: dict[str, Object] = {API_VERSION: event}
        thin: Object | None = None

        for endpoint in endpoints:
            if is_thin(endpoint):
                if thin is None:
                    url = object_url(event["data"]["object"])
                    thin = self._thin_events.add(event, endpoints, url)

                payloads[endpoint["id"]] = thin
                continue

            version = version_of(endpoint)

            if version not in by_version:
                by_version[version] = self.event(event, version)

            if version != API_VERSION:
                payloads[endpoint["id"]] = by_version[version]

        return payloads

    def event(self, event: Object, version: str) -> Object:
        """Return an event in the shape of a version."""
        return downgrade_event(event, version, self._store)

    def _copy(self, value: Any, version: str) -> Any:
        """Return a copy in the shape of a version."""
        copy = clone(value)
        downgrade(copy, version, self._store)
        return copy

    def _expand(self, value: Any, path: Sequence[Hop], version: str) -> None:
        """Expand one path, in place, in each entry of the lists on the way.

        Attributes that Stripe includes only on request, such as the ``line_items`` of a
        Checkout session, are made here.
        """
        if isinstance(value, list):
            for entry in value:
                self._expand(entry, path, version)

        if not isinstance(value, dict) or not path:
            return

        (name, kind), *rest = path
        include = self._world.included.get((str(value.get("object")), name))

        if name not in value and include is not None:
            value[name] = self._copy(include(value), version)

        if name in value and kind is not None:
            value[name] = self._in_place_of_ids(value[name], kind, version)

        self._expand(value.get(name), rest, version)

    def _in_place_of_ids(self, value: Any, kind: str, version: str) -> Any:
        """Return the objects behind an id or a list of ids; a deleted one is a stub."""
        if isinstance(value, list):
            return [self._in_place_of_ids(entry, kind, version) for entry in value]

        if not isinstance(value, str):
            return value

        obj = self._store.find(kind, value)
        return deleted(kind, value) if obj is None else self._copy(obj, version)


def version_of(endpoint: Object) -> str:
    """Return the API version of the snapshots that an endpoint gets."""
    version: str | None = endpoint.get("api_version")
    return version or endpoint.get("snapshot_api_version") or API_VERSION


def object_url(obj: Object) -> str | None:
    """Return the path at which the API has an object, if it has it."""
    if "id" not in obj:
        return None  # a preview of an invoice

    kind = obj["object"]
    return f"{_PATHS.get(kind, f'/v1/{kind}s')}/{obj['id']}"
