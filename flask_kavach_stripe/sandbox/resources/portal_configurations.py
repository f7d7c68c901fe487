"""The customer portal: what it offers, and its sessions."""

from __future__ import annotations

from typing import Any

from ..core import Core
from ..errors import ApiError
from ..errors import parameter_missing
from ..errors import resource_missing
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import ignored
from ..params import integer
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import refused
from ..params import Spec
from ..params import text
from ..params import url
from ..store import clone
from ..store import Object
from .base import Params
from .base import Resource
from .customers import Customers
from .subscription_params import PRORATION_BEHAVIOR

_REASONS = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
_CONFIGURATION: Spec = {
    "business_profile": mapping(
        {"headline": text(60), "privacy_policy_url": url, "terms_of_service_url": url}
    ),
    "default_return_url": url,
    "features": mapping(
        {
            "customer_update": mapping(
                {
                    "allowed_updates": array(
                        choice(
                            "address", "email", "name", "phone", "shipping", "tax_id"
                        )
                    ),
                    "enabled": boolean,
                }
            ),
            "invoice_history": mapping({"enabled": boolean}, required=("enabled",)),
            "payment_method_update": mapping(
                {"enabled": boolean, "payment_method_configuration": text()},
                required=("enabled",),
            ),
            "subscription_cancel": mapping(
                {
                    "cancellation_reason": mapping(
                        {
                            "enabled": boolean,
                            "feedback_options": ignored,
                            "options": array(choice(*_REASONS)),
                        }
                    ),
                    "enabled": boolean,
                    "mode": choice("at_period_end", "immediately"),
                    "proration_behavior": PRORATION_BEHAVIOR,
                },
            ),
            "subscription_pause": mapping({"enabled": boolean}),
            "subscription_update": mapping(
                {
                    "billing_cycle_anchor": choice("now", "unchanged"),
                    "default_allowed_updates": array(
                        choice("price", "promotion_code", "quantity")
                    ),
                    "enabled": boolean,
                    "products": array(
                        mapping(
                            {
                                "adjustable_quantity": ignored,
                                "prices": array(text()),
                                "product": text(),
                            },
                            required=("prices", "product"),
                        )
                    ),
                    "proration_behavior": PRORATION_BEHAVIOR,
                    "schedule_at_period_end": ignored,
                    "trial_update_behavior": choice("continue_trial", "end_trial"),
                }
            ),
        }
    ),
    "login_page": ignored,
    "metadata": metadata,
    "name": text(),
}
_FLOW = mapping(
    {
        "type": choice(
            "payment_method_update",
            "subscription_cancel",
            "subscription_update",
            "subscription_update_confirm",
        ),
        "subscription_cancel": mapping(
            {"subscription": text(), "retention": ignored}, required=("subscription",)
        ),
        "subscription_update": mapping(
            {"subscription": text()}, required=("subscription",)
        ),
        "subscription_update_confirm": mapping(
            {
                "discounts": refused,
                "items": array(
                    mapping(
                        {"id": text(), "price": text(), "quantity": integer(1)},
                        required=("id",),
                    ),
                    limit=1,
                ),
                "subscription": text(),
            },
            required=("items", "subscription"),
        ),
        "after_completion": mapping(
            {
                "type": choice("hosted_confirmation", "portal_homepage", "redirect"),
                "redirect": mapping({"return_url": url}, required=("return_url",)),
                "hosted_confirmation": ignored,
            },
            required=("type",),
        ),
        "subscription_pause": refused,
    },
    required=("type",),
)


class PortalConfigurations(Resource):
    """What the portal lets customers do. The default one allows everything except
    changing a price, as the account has not said which prices there are to choose."""

    kind = "billing_portal.configuration"
    noun = "configuration"
    path = "/v1/billing_portal/configurations"

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._default_id = core.store.new_id(self.kind)
        core.store.add(self._new(self._default_id, is_default=True))

    @property
    def default(self) -> Object:
        return self.get(self._default_id)

    def create(self, params: Params) -> Object:
        values = read(params, _CONFIGURATION, required=("features",))
        configuration = self._new(self.core.store.new_id(self.kind), is_default=False)

        for feature in configuration["features"].values():
            feature["enabled"] = False

        self._write(configuration, values)
        self.core.store.add(configuration)
        self.core.emit("billing_portal.configuration.created", configuration)
        return configuration

    def update(self, params: Params, object_id: str) -> Object:
        configuration = self.get(object_id)
        values = read(params, {**_CONFIGURATION, "active": boolean})

        if configuration["is_default"] and values.get("active") is False:
            raise ApiError(
                "The default configuration cannot be deactivated.", param="active"
            )

        with self.core.changing(configuration, "billing_portal.configuration.updated"):
            if values.get("active") is not None:
                configuration["active"] = values["active"]

            self._write(configuration, values)
            configuration["updated"] = self.core.clock.now()

        return configuration

    def list(self, params: Params) -> Object:
        return self.select(
            params,
            {"active": boolean, "is_default": boolean},
            lambda configuration, wanted: all(
                wanted.get(name) in (None, configuration[name])
                for name in ("active", "is_default")
            ),
        )

    def _write(self, configuration: Object, values: dict[str, Any]) -> None:
        for name in ("default_return_url", "name"):
            if name in values:
                configuration[name] = values[name]

        if "metadata" in values:
            configuration["metadata"] = merge_metadata(
                configuration["metadata"], values["metadata"]
            )

        configuration["business_profile"].update(values.get("business_profile") or {})

        for name, feature in (values.get("features") or {}).items():
            given = dict(feature or {})
            target = configuration["features"][name]
            reason = given.pop("cancellation_reason", None) or {}
            reason.pop("feedback_options", None)
            target.get("cancellation_reason", {}).update(reason)
            given.pop("schedule_at_period_end", None)

            for product in given.get("products") or ():
                product.pop("adjustable_quantity", None)

            target.update(given)

    def _new(self, configuration_id: str, *, is_default: bool) -> Object:
        now = self.core.clock.now()
        return {
            "id": configuration_id,
            "object": self.kind,
            "active": True,
            "application": None,
            "business_profile": {
                "headline": None,
                "privacy_policy_url": None,
                "terms_of_service_url": None,
            },
            "created": now,
            "default_return_url": None,
            "features": {
                "customer_update": {"allowed_updates": ["email"], "enabled": True},
                "invoice_history": {"enabled": True},
                "payment_method_update": {
                    "enabled": True,
                    "payment_method_configuration": None,
                },
                "subscription_cancel": {
                    "cancellation_reason": {"enabled": False, "options": []},
                    "enabled": True,
                    "mode": "at_period_end",
                    "proration_behavior": "none",
                },
                "subscription_pause": {"enabled": False},
                "subscription_update": {
                    "billing_cycle_anchor": None,
                    "default_allowed_updates": [],
                    "enabled": False,
                    "products": [],
                    "proration_behavior": "none",
                    "schedule_at_period_end": {"conditions": []},
                    "trial_update_behavior": "end_trial",
                },
            },
            "is_default": is_default,
            "livemode": False,
            "login_page": {"enabled": False, "url": None},
            "metadata": {},
            "name": None,
            "updated": now,
        }


class PortalSessions(Resource):
    kind = "billing_portal.session"
    noun = "billing_portal.session"
    path = "/v1/billing_portal/sessions"

    def __init__(
        self, core: Core, customers: Customers, configurations: PortalConfigurations
    ) -> None:
        super().__init__(core)
        self._customers = customers
        self._configurations = configurations

    def create(self, params: Params) -> Object:
        values = read(
            params,
            {
                "after_expiration": ignored,
                "configuration": text(),
                "customer": text(),
                "customer_account": refused,
                "flow_data": _FLOW,
                "locale": text(),
                "on_behalf_of": refused,
                "return_url": url,
            },
            required=("customer",),
        )
        store = self.core.store
        customer = self._customers.get_live(values["customer"], "customer", status=400)
        configuration = self._configurations.default

        if configuration_id := values.get("configuration"):
            configuration = self._configurations.get(
                configuration_id, "configuration", status=400
            )

        session_id = store.new_id("billing_portal.session")
        session: Object = {
            "id": session_id,
            "object": "billing_portal.session",
            "configuration": configuration["id"],
            "created": self.core.clock.now(),
            "customer": customer["id"],
            "customer_account": None,
            "flow": self._flow(values.get("flow_data"), customer["id"]),
            "livemode": False,
            "locale": values.get("locale"),
            "on_behalf_of": None,
            "return_url": values.get("return_url")
            or configuration["default_return_url"],
            "url": f"{self.core.base_url}/p/session/{session_id}",
        }
        return store.add(session)

    def _flow(self, flow: Object | None, customer_id: str) -> Object | None:
        if flow is None:
            return None

        kind = flow["type"]
        after = clone(flow.get("after_completion")) or {"type": "portal_homepage"}
        result: Object = {
            "after_completion": {
                "hosted_confirmation": after.get("hosted_confirmation"),
                "redirect": after.get("redirect"),
                "type": after["type"],
            },
            "subscription_cancel": None,
            "subscription_update": None,
            "subscription_update_confirm": None,
            "type": kind,
        }

        if kind == "payment_method_update":
            return result

        details = flow.get(kind)

        if details is None:
            raise parameter_missing(f"flow_data[{kind}]")

        param = f"flow_data[{kind}][subscription]"
        subscription_id = details["subscription"]
        subscription = self.core.store.find("subscription", subscription_id)

        if subscription is None or subscription["customer"] != customer_id:
            raise resource_missing("subscription", subscription_id, param)

        result[kind] = {"subscription": subscription_id}

        if kind == "subscription_cancel":
            result[kind]["retention"] = None
        elif kind == "subscription_update_confirm":
            result[kind]["discounts"] = None
            result[kind]["items"] = [
                self._confirm_item(item, subscription) for item in details["items"]
            ]

        return result

    def _confirm_item(self, item: Object, subscription: Object) -> Object:
        path = "flow_data[subscription_update_confirm][items][0]"
        known = {entry["id"]: entry for entry in subscription["items"]["data"]}

        if item["id"] not in known:
            raise resource_missing("subscription_item", item["id"], f"{path}[id]")

        price_id = item.get("price") or known[item["id"]]["price"]["id"]

        if self.core.store.find("price", price_id) is None:
            raise resource_missing("price", price_id, f"{path}[price]")

        quantity = item.get("quantity") or known[item["id"]]["quantity"]
        return {"id": item["id"], "price": price_id, "quantity": quantity}
