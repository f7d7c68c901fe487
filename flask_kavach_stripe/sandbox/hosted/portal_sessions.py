"""Sessions of the customer portal, and the flows that they lead to.

Source: https://docs.stripe.com/api/customer_portal/sessions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..object_store import Object
from ..params import array
from ..params import choice
from ..params import ignored
from ..params import integer
from ..params import mapping
from ..params import read
from ..params import refused
from ..params import text
from ..params import url
from ..recurring.customer_calls import Customers
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..sandbox_errors import resource_missing
from ..world import World
from .portal_configurations import PortalConfigurations
from .portal_rules import Features
from .portal_rules import PortalRules

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
                "hosted_confirmation": mapping({"custom_message": text(500)}),
            },
            required=("type",),
        ),
        # Not simulated as a flow; the portal's first page has the button.
        "subscription_pause": refused,
    },
    required=("type",),
)


#: The feature that each flow is about.
_FEATURES: Final[Mapping[str, str]] = {
    "payment_method_update": "payment_method_update",
    "subscription_cancel": "subscription_cancel",
    "subscription_update": "subscription_update",
    "subscription_update_confirm": "subscription_update",
}


class PortalSessions(Resource):
    """``/v1/billing_portal/sessions``: creation is the only call.

    Simplified: a session does not expire, as Stripe's does.
    """

    kind = "billing_portal.session"
    noun = "billing_portal.session"
    path = "/v1/billing_portal/sessions"

    def __init__(
        self,
        world: World,
        customers: Customers,
        configurations: PortalConfigurations,
        rules: PortalRules,
    ) -> None:
        super().__init__(world)
        self._customers = customers
        self._configurations = configurations
        self._rules = rules

    def create(self, params: Params) -> Object:
        """Open a session of the portal for a customer; no event is sent.

        :raises ApiError: ``resource_missing`` for an unknown customer or configuration;
            otherwise as :meth:`_flow` does.
        """
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
        store = self.world.store
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
            "created": self.world.clock.now(),
            "customer": customer["id"],
            "customer_account": None,
            "flow": self._flow(
                values.get("flow_data"), customer["id"], configuration["features"]
            ),
            "livemode": False,
            "locale": values.get("locale"),
            "on_behalf_of": None,
            "return_url": values.get("return_url")
            or configuration["default_return_url"],
            "url": f"{self.world.base_url}/p/session/{session_id}",
        }
        return store.add(session, waiting=None)

    def _flow(
        self, flow: Object | None, customer_id: str, features: Features
    ) -> Object | None:
        """Check a flow: the configuration must allow what it leads to.

        :returns: The ``flow`` that the session shows.
        :raises ApiError: If the feature is disabled, a parameter is missing, or the
            subscription is not the customer's.

        Source: https://docs.stripe.com/customer-management/portal-deep-links
        """
        if flow is None:
            return None

        kind = flow["type"]
        after = flow.get("after_completion") or {"type": "portal_homepage"}

        if after["type"] == "redirect" and not after.get("redirect"):
            raise parameter_missing("flow_data[after_completion][redirect]")

        if not features[_FEATURES[kind]]["enabled"]:
            raise ApiError(
                f"The flow {kind} needs the feature {_FEATURES[kind]}, which is"
                " disabled in the portal configuration.",
                param="flow_data[type]",
            )

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
        subscription = self.world.store.find("subscription", subscription_id)

        if subscription is None or subscription["customer"] != customer_id:
            raise resource_missing("subscription", subscription_id, param)

        result[kind] = {"subscription": subscription_id}

        if kind == "subscription_cancel":
            result[kind]["retention"] = None
        elif kind == "subscription_update_confirm":
            result[kind]["discounts"] = None
            result[kind]["items"] = [
                self._confirm_item(features, item, subscription)
                for item in details["items"]
            ]

        return result

    def _confirm_item(
        self, features: Features, item: Object, subscription: Object
    ) -> Object:
        """Check the change that a flow asks the customer to confirm.

        :raises ApiError: ``resource_missing`` for an unknown item or price, or if the
            configuration does not offer the change.
        """
        path = "flow_data[subscription_update_confirm][items][0]"
        known = {entry["id"] for entry in subscription["items"]["data"]}
        price_id = item.get("price")

        if item["id"] not in known:
            raise resource_missing("subscription_item", item["id"], f"{path}[id]")

        if price_id and self.world.store.find("price", price_id) is None:
            raise resource_missing("price", price_id, f"{path}[price]")

        wanted = {
            name: str(item[name]) for name in ("price", "quantity") if item.get(name)
        }
        choice = self._rules.choose(features, subscription, wanted)
        return {
            "id": item["id"],
            "price": choice.price["id"],
            "quantity": choice.quantity,
        }
