"""Event destinations: the only way to ask for thin events.

Their API is of Stripe's second version: JSON in, times as text, lists without
``has_more``.

Source: https://docs.stripe.com/api/v2/core/event-destinations
"""

from __future__ import annotations

from collections.abc import Sequence

from ..object_store import clone
from ..object_store import Object
from ..params import array
from ..params import choice
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import Spec
from ..params import text
from ..params import url
from ..resource import page_by_url
from ..resource import PAGE_SPEC
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..sandbox_errors import parameter_unknown
from ..versions.known_versions import check_version
from .endpoints import check_number
from .endpoints import event_types
from .event_log import iso_time
from .event_log import thin_event

_SECRET = "webhook_endpoint.signing_secret"  # noqa: S105  (the name of an attribute)
_URL = "webhook_endpoint.url"
_INCLUDE = array(choice(_URL))
_WEBHOOK = mapping({"url": url}, required=("url",))
_CREATE: Spec = {
    "description": text(),
    "enabled_events": event_types,
    "event_payload": choice("snapshot", "thin"),
    "events_from": array(choice("@self", "self")),
    "include": array(choice(_SECRET, _URL)),
    "metadata": metadata,
    "name": text(),
    "snapshot_api_version": text(),
    "type": choice("webhook_endpoint"),
    "webhook_endpoint": _WEBHOOK,
}
_UPDATE: Spec = {
    "description": text(),
    "enabled_events": event_types,
    "include": _INCLUDE,
    "metadata": metadata,
    "name": text(),
    "webhook_endpoint": _WEBHOOK,
}


class EventDestinations(Resource):
    """``/v2/core/event_destinations``: webhook endpoints, of the second version.

    URL and signing secret are shown in answers that ask for them with ``include``.
    Other destinations (Amazon EventBridge, Azure Event Grid) are refused.
    """

    kind = "v2.core.event_destination"
    noun = "event destination"
    path = "/v2/core/event_destinations"

    def create(self, params: Params) -> Object:
        """Add a destination. Only this answer can show the signing secret.

        :raises ApiError: For types of the other kind of payload, a version that there
            is not or that thin events do not have, or more than 16 endpoints.
        """
        values = read(
            params,
            _CREATE,
            required=("enabled_events", "event_payload", "name", "type"),
        )
        payload, version = values["event_payload"], values.get("snapshot_api_version")

        if values.get("webhook_endpoint") is None:
            raise parameter_missing("webhook_endpoint")

        if version is not None and payload == "thin":
            raise parameter_unknown("snapshot_api_version")

        if version is not None:
            check_version(version, "snapshot_api_version")

        _check_types(values["enabled_events"], payload)
        store, now = self.world.store, iso_time(self.world.clock.now())
        check_number(store)
        destination = {
            "id": store.new_id(self.kind),
            "object": self.kind,
            "amazon_eventbridge": None,
            "azure_event_grid": None,
            "created": now,
            "description": values.get("description") or "",
            "enabled_events": values["enabled_events"],
            "event_payload": payload,
            "events_from": ["@self"],
            "livemode": False,
            "metadata": merge_metadata({}, values.get("metadata")),
            "name": values["name"],
            "snapshot_api_version": version,
            "status": "enabled",
            "status_details": None,
            "type": "webhook_endpoint",
            "updated": now,
            "webhook_endpoint": {"signing_secret": None, "url": None},
        }
        store.add(
            destination,
            secret=store.new_id("webhook_secret"),
            url=values["webhook_endpoint"]["url"],
        )
        return self._including(destination, values.get("include"))

    def retrieve(self, params: Params, object_id: str) -> Object:
        """Return a destination, with the URL if ``include`` asks for it."""
        values = read(params, {"include": _INCLUDE})
        return self._including(self.get(object_id), values.get("include"))

    def list(self, params: Params) -> Object:
        """Return a page of them, newest first."""
        values = read(params, {**PAGE_SPEC, "include": _INCLUDE})
        shown = [
            self._including(destination, values.get("include"))
            for destination in self.world.store.all(self.kind)
        ]
        query = {
            f"include[{index}]": name
            for index, name in enumerate(values.get("include") or ())
        }
        return page_by_url(shown, values, self.path, query)

    def update(self, params: Params, object_id: str) -> Object:
        """Change name, description, event types, metadata or URL.

        :raises ApiError: For types of the other kind of payload.
        """
        destination = self.get(object_id)
        values = read(params, _UPDATE)

        if values.get("enabled_events"):
            _check_types(values["enabled_events"], destination["event_payload"])
            destination["enabled_events"] = values["enabled_events"]

        if "description" in values:
            destination["description"] = values["description"] or ""

        if values.get("name"):
            destination["name"] = values["name"]

        if "metadata" in values:
            destination["metadata"] = merge_metadata(
                destination["metadata"], values["metadata"]
            )

        if values.get("webhook_endpoint"):
            hidden = self.world.store.hidden[object_id]
            hidden["url"] = values["webhook_endpoint"]["url"]

        destination["updated"] = iso_time(self.world.clock.now())
        return self._including(destination, values.get("include"))

    def ping(self, params: Params, object_id: str) -> Object:
        """Send a thin event that is about the destination itself.

        :returns: The event, of the type ``v2.core.event_destination.ping``.
        :raises ApiError: If the destination is disabled.

        Source: https://docs.stripe.com/api/v2/core/event-destinations/ping
        """
        read(params, {})
        destination = self.get(object_id)

        if destination["status"] != "enabled":
            raise ApiError("A destination that is disabled cannot be pinged.")

        request = self.world.request
        event = thin_event(
            self.world,
            "v2.core.event_destination.ping",
            {"id": object_id, "type": self.kind, "url": f"{self.path}/{object_id}"},
            {"id": request.id, "idempotency_key": request.idempotency_key}
            if request
            else None,
        )
        self.world.send(event, [object_id])
        return event

    def disable(self, params: Params, object_id: str) -> Object:
        """Send nothing there until it is enabled again."""
        return self._set_status(params, object_id, "disabled")

    def enable(self, params: Params, object_id: str) -> Object:
        """Send events there again, those that happen from now on."""
        return self._set_status(params, object_id, "enabled")

    def delete(self, params: Params, object_id: str) -> Object:
        """Delete a destination; webhooks that wait for it are not sent."""
        read(params, {})
        self.get(object_id)
        self.world.store.remove(self.kind, object_id)
        return {"id": object_id, "object": self.kind}

    def _set_status(self, params: Params, object_id: str, status: str) -> Object:
        """Enable or disable a destination."""
        values = read(params, {"include": _INCLUDE})
        destination = self.get(object_id)
        destination["status"] = status
        destination["status_details"] = (
            {"disabled": {"reason": "user"}} if status == "disabled" else None
        )
        destination["updated"] = iso_time(self.world.clock.now())
        return self._including(destination, values.get("include"))

    def _including(self, destination: Object, include: Sequence[str] | None) -> Object:
        """Return a copy that shows what is redacted unless asked for."""
        shown: Object = clone(destination)
        hidden = self.world.hidden_of(destination)

        for path, name in ((_SECRET, "secret"), (_URL, "url")):
            if path in (include or ()):
                shown["webhook_endpoint"][path.partition(".")[2]] = hidden[name]

        return shown


def _check_types(types: Sequence[str], payload: str) -> None:
    """Check that event types fit the payload.

    Thin events have a version before their name, ``v1.``; snapshots have none.

    :raises ApiError: For the first that does not fit.
    """
    for index, event_type in enumerate(types):
        versioned = event_type.startswith(("v1.", "v2."))

        if event_type != "*" and versioned != (payload == "thin"):
            raise ApiError(
                f"The event type {event_type} is not one of {payload} events.",
                param=f"enabled_events[{index}]",
            )
