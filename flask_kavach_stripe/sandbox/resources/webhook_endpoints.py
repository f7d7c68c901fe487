"""Webhook endpoints: who is told about events."""

from __future__ import annotations

from ..core import API_VERSION
from ..errors import not_simulated
from ..params import array
from ..params import boolean
from ..params import ignored
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import Spec
from ..params import text
from ..params import url
from ..store import Object
from .base import Params
from .base import Resource

_UPDATE: Spec = {
    "description": text(),
    "disabled": boolean,
    "enabled_events": array(text(), limit=1000),
    "metadata": metadata,
    "url": url,
}


class WebhookEndpoints(Resource):
    kind = "webhook_endpoint"
    noun = "webhook endpoint"
    path = "/v1/webhook_endpoints"

    def create(self, params: Params) -> Object:
        """Add an endpoint. This answer alone shows the signing secret."""
        values = read(
            params,
            {
                "api_version": text(),
                "connect": ignored,
                "description": text(),
                "enabled_events": array(text(), limit=1000),
                "metadata": metadata,
                "url": url,
            },
            required=("enabled_events", "url"),
        )

        if values.get("api_version") not in (None, API_VERSION):
            raise not_simulated(f"api_version={values['api_version']}")

        store = self.core.store
        secret = store.new_id("webhook_secret")
        endpoint = {
            "id": store.new_id("webhook_endpoint"),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": None,
            "created": self.core.clock.now(),
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
        return self.select(params, {}, lambda endpoint, wanted: True)

    def update(self, params: Params, object_id: str) -> Object:
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
        read(params, {})
        self.get(object_id)
        self.core.store.remove("webhook_endpoint", object_id)
        return {"id": object_id, "object": "webhook_endpoint", "deleted": True}
