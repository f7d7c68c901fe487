"""Webhook endpoints: where events are sent to.

Source: https://docs.stripe.com/api/webhook_endpoints
"""

from __future__ import annotations

import re
from typing import Any

from ..object_store import Object
from ..object_store import Store
from ..params import array
from ..params import boolean
from ..params import ignored
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import Reader
from ..params import Spec
from ..params import text
from ..params import url
from ..recipients import all_endpoints
from ..resource import deleted
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..versions.known_versions import check_version

#: Webhook endpoints and event destinations together.
MAX_NUMBER = 16
_EVENT_TYPE = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)+", re.ASCII)


def _event_type(value: Any, path: str) -> str:
    """Read the name of an event type; that it exists is not checked."""
    if not isinstance(value, str) or not _EVENT_TYPE.fullmatch(value):
        raise ApiError(
            f"Invalid {path}: must be an event type, or * for all of them.", param=path
        )

    return value


event_types: Reader = array(_event_type, limit=1000)
_UPDATE: Spec = {
    "description": text(),
    "disabled": boolean,
    "enabled_events": event_types,
    "metadata": metadata,
    "url": url,
}


class WebhookEndpoints(Resource):
    """``/v1/webhook_endpoints``; these calls send no events.

    The version of an endpoint cannot be changed: its parameter is unknown then.
    """

    kind = "webhook_endpoint"
    noun = "webhook endpoint"
    path = "/v1/webhook_endpoints"

    def create(self, params: Params) -> Object:
        """Add an endpoint. This answer alone shows the signing secret.

        :raises ApiError: For a version that there is not, or more than 16 endpoints.
        """
        values = read(
            params,
            {
                "api_version": text(),
                "connect": ignored,
                "description": text(),
                "enabled_events": event_types,
                "metadata": metadata,
                "url": url,
            },
            required=("enabled_events", "url"),
        )

        if values.get("api_version") is not None:
            check_version(values["api_version"], "api_version")

        store = self.world.store
        check_number(store)
        secret = store.new_id("webhook_secret")
        endpoint = {
            "id": store.new_id("webhook_endpoint"),
            "object": "webhook_endpoint",
            "api_version": values.get("api_version"),
            "application": None,
            "created": self.world.clock.now(),
            "description": values.get("description"),
            "enabled_events": values["enabled_events"],
            "livemode": False,
            "metadata": merge_metadata({}, values.get("metadata")),
            "status": "enabled",
            "url": values["url"],
        }
        store.add(endpoint, secret=secret)
        return {**endpoint, "secret": secret}

    def list(self, params: Params) -> Object:
        """Return a page of the endpoints, newest first."""
        return self.select(params, {}, lambda endpoint, wanted: True)

    def update(self, params: Params, object_id: str) -> Object:
        """Change URL, event types, description or metadata, or disable an endpoint.

        Events that happened before go to the new URL when they are sent again.
        """
        endpoint = self.get(object_id)
        values = read(params, _UPDATE)

        if "disabled" in values:
            endpoint["status"] = "disabled" if values["disabled"] else "enabled"

        if "metadata" in values:
            endpoint["metadata"] = merge_metadata(
                endpoint["metadata"], values["metadata"]
            )

        if "description" in values:
            endpoint["description"] = values["description"]

        for name in ("enabled_events", "url"):
            if values.get(name):
                endpoint[name] = values[name]

        return endpoint

    def delete(self, params: Params, object_id: str) -> Object:
        """Delete an endpoint; webhooks that wait for it are not sent."""
        read(params, {})
        self.get(object_id)
        self.world.store.remove("webhook_endpoint", object_id)
        return deleted(self.kind, object_id)


def check_number(store: Store) -> None:
    """Check that there is room for one more endpoint or destination.

    :raises ApiError: If there are as many as Stripe allows.
    """
    if len(all_endpoints(store)) >= MAX_NUMBER:
        raise ApiError(
            f"You have reached the maximum of {MAX_NUMBER} test webhook endpoints."
        )
