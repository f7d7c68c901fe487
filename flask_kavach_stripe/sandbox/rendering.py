"""From stored objects to the JSON of an answer or a webhook: the shape of an API
version, and ``expand[]``."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

from .core import API_VERSION
from .core import Core
from .errors import ApiError
from .recipients import all_endpoints
from .recipients import is_thin
from .resources.events import ThinEvents
from .store import clone
from .store import Object
from .versions import downgrade
from .versions import downgrade_event

MAX_DEPTH = 4

#: Attributes that hold an id or a list of ids, and the kind of object it names.
_EXPANDABLE: Final[Mapping[str, str]] = {
    "charge": "charge",
    "configuration": "billing_portal.configuration",
    "coupon": "coupon",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "discounts": "discount",
    "invoice": "invoice",
    "latest_invoice": "invoice",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "pending_setup_intent": "setup_intent",
    "price": "price",
    "product": "product",
    "promotion_code": "promotion_code",
    "setup_intent": "setup_intent",
    "subscription": "subscription",
    "test_clock": "test_helpers.test_clock",
}

#: Where the API has a kind of object; the others are at ``/v1/<kind>s``.
_PATHS: Final[Mapping[str, str]] = {
    "billing_portal.configuration": "/v1/billing_portal/configurations",
    "billing_portal.session": "/v1/billing_portal/sessions",
    "checkout.session": "/v1/checkout/sessions",
    "invoiceitem": "/v1/invoiceitems",
    "test_helpers.test_clock": "/v1/test_helpers/test_clocks",
}


def check_depth(paths: Iterable[str]) -> None:
    """Check what a call wants expanded, before it is done.

    :raises ApiError: If a path is longer than Stripe allows.
    """
    for path in paths:
        names = path.split(".")

        if len(names) > MAX_DEPTH + (names[0] == "data"):
            raise ApiError(
                f"You cannot expand more than {MAX_DEPTH} levels of a property:"
                f" {path}.",
                param="expand",
            )


class Renderer:
    """Copies objects for an answer, so that nobody can change the stored ones."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._store = core.store
        self._thin_events = ThinEvents(core)

    def render(
        self, obj: Object, expand: Iterable[str] = (), version: str = API_VERSION
    ) -> Object:
        """Return a copy of ``obj`` with objects in place of some ids.

        :param expand: Paths like ``data.customer``, in the shape of the version.
        :param version: The API version whose shape it is to have.
        :raises ApiError: If a path leads to nothing that can be expanded.

        Source: https://docs.stripe.com/expand
        """
        result: Object = self._copy(obj, version)

        for path in expand:
            self._expand(result, path.split("."), path, version)

        return result

    def payloads(self, event: Object, endpoint_ids: Sequence[str]) -> dict[str, Object]:
        """Write an event for the endpoints that do not get it as it is stored.

        Done once, when the event happens: what an endpoint gets does not change
        afterwards.

        :returns: Thin events, and events of older versions, by endpoint.

        Source: https://docs.stripe.com/webhooks#api-versions
        """
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
        copy = clone(value)
        downgrade(copy, version, self._store)
        return copy

    def _expand(self, obj: Any, names: list[str], path: str, version: str) -> None:
        if isinstance(obj, list):
            for entry in obj:
                self._expand(entry, names, path, version)

            return

        if not isinstance(obj, dict):
            raise _not_expandable(path)

        name, rest = names[0], names[1:]

        if name not in obj:
            include = self._core.included.get((str(obj.get("object")), name))

            if include is None:
                raise _not_expandable(path)

            obj[name] = self._copy(include(obj), version)

        value = obj[name]

        if isinstance(value, str):
            value = obj[name] = self._find(name, value, path, version)
        elif isinstance(value, list):
            for index, entry in enumerate(value):
                if isinstance(entry, str):
                    value[index] = self._find(name, entry, path, version)

        if rest and value is not None:
            self._expand(value, rest, path, version)

    def _find(self, name: str, object_id: str, path: str, version: str) -> Object:
        kind = _EXPANDABLE.get(name)
        found = self._store.find(kind, object_id) if kind else None

        if found is None:
            raise _not_expandable(path)

        copy: Object = self._copy(found, version)
        return copy


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


def _not_expandable(path: str) -> ApiError:
    return ApiError(f"This property cannot be expanded ({path}).", param="expand")
