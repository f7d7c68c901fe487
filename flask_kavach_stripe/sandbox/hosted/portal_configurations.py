"""Configurations of the customer portal: which features it has, for which prices.

Source: https://docs.stripe.com/api/customer_portal/configurations
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Final

from ..object_store import clone
from ..object_store import Object
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
from ..recurring.subscription_params import FEEDBACK
from ..recurring.subscription_params import PRORATION_BEHAVIOR
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import resource_missing
from ..world import World

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
                            "options": array(choice(*FEEDBACK)),
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
                                "adjustable_quantity": mapping(
                                    {
                                        "enabled": boolean,
                                        "maximum": integer(1),
                                        "minimum": integer(0),
                                    },
                                    required=("enabled",),
                                ),
                                "prices": array(text()),
                                "product": text(),
                            },
                            required=("prices", "product"),
                        )
                    ),
                    "proration_behavior": PRORATION_BEHAVIOR,
                    # Stripe would make a subscription schedule of it.
                    "schedule_at_period_end": refused,
                    "trial_update_behavior": choice("continue_trial", "end_trial"),
                }
            ),
        }
    ),
    "login_page": ignored,
    "metadata": metadata,
    "name": text(),
}


#: The default configuration, as of an account that has switched everything on.
_EVERYTHING: Final[dict[str, Any]] = {
    "customer_update": {
        "allowed_updates": ["address", "email", "name", "phone"],
        "enabled": True,
    },
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True},
    "subscription_pause": {"enabled": True},
    "subscription_update": {
        "default_allowed_updates": ["price", "promotion_code", "quantity"],
        "enabled": True,
        "proration_behavior": "always_invoice",
    },
}


class PortalConfigurations(Resource):
    """``/v1/billing_portal/configurations``: what the portal lets customers do.

    The default one allows everything, and offers all prices that are active and
    recurring: also those that are made later, until a call names ``products``. Any
    other one allows what it says. (A new account of Stripe's must save the default one
    in its Dashboard first; here it is always there.)

    Events: ``billing_portal.configuration.created``, ``.updated``.

    Not simulated, and refused: changes that wait for the end of the period.
    """

    kind = "billing_portal.configuration"
    noun = "configuration"
    path = "/v1/billing_portal/configurations"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        default = self._new(world.store.new_id(self.kind), is_default=True)
        world.store.add(default, offers_all=True)
        self._default_id: str = default["id"]
        self._write(default, {"features": clone(_EVERYTHING)})

    @property
    def default(self) -> Object:
        """The configuration of sessions that name none."""
        return self.get(self._default_id)

    def get(self, object_id: str, param: str = "id", *, status: int = 404) -> Object:
        """Return a configuration, with the products that it offers at this moment.

        :raises ApiError: ``resource_missing``.
        """
        configuration = super().get(object_id, param, status=status)

        if self.world.store.hidden[object_id]["offers_all"]:
            update = configuration["features"]["subscription_update"]
            update["products"] = self._all_products()

        return configuration

    def create(self, params: Params) -> Object:
        """Keep a configuration; what it does not mention is disabled.

        Sends ``billing_portal.configuration.created``.

        :raises ApiError: As :meth:`_check` does.
        """
        values = read(params, _CONFIGURATION, required=("features",))
        self._check(values)
        configuration = self._new(self.world.store.new_id(self.kind), is_default=False)
        self.world.store.add(configuration, offers_all=False)
        self._write(configuration, values)
        self.world.emit("billing_portal.configuration.created", configuration)
        return configuration

    def update(self, params: Params, object_id: str) -> Object:
        """Change what a call mentions, feature by feature.

        Sends ``billing_portal.configuration.updated``.

        :raises ApiError: As :meth:`_check` does, or to deactivate the default one.
        """
        configuration = self.get(object_id)
        values = read(params, {**_CONFIGURATION, "active": boolean})
        self._check(values)

        if configuration["is_default"] and values.get("active") is False:
            raise ApiError(
                "The default configuration cannot be deactivated.", param="active"
            )

        with self.world.changing(configuration, "billing_portal.configuration.updated"):
            if values.get("active") is not None:
                configuration["active"] = values["active"]

            self._write(configuration, values)
            configuration["updated"] = self.world.clock.now()

        return configuration

    def list(self, params: Params) -> Object:
        """Return a page of the configurations, by ``active`` and ``is_default``."""
        self.get(self._default_id)
        return self.select(
            params,
            {"active": boolean, "is_default": boolean},
            lambda configuration, wanted: all(
                wanted.get(name) in (None, configuration[name])
                for name in ("active", "is_default")
            ),
        )

    def _check(self, values: dict[str, Any]) -> None:
        """Check that the prices exist, and are of the products that they stand with.

        :raises ApiError: ``resource_missing``, or without a code for a price that is
            paid once or of another product.
        """
        update = (values.get("features") or {}).get("subscription_update") or {}
        path = "features[subscription_update][products]"

        for index, product in enumerate(update.get("products") or ()):
            if self.world.store.find("product", product["product"]) is None:
                param = f"{path}[{index}][product]"
                raise resource_missing("product", product["product"], param)

            for position, price_id in enumerate(product["prices"]):
                price = self.world.store.find("price", price_id)
                param = f"{path}[{index}][prices][{position}]"

                if price is None:
                    raise resource_missing("price", price_id, param)

                if price["product"] != product["product"] or not price["recurring"]:
                    raise ApiError(
                        f"The price {price_id} is not a recurring price of the product"
                        f" {product['product']}.",
                        param=param,
                    )

    def _write(self, configuration: Object, values: dict[str, Any]) -> None:
        """Write what a call mentions."""
        for name in ("default_return_url", "name"):
            if name in values:
                configuration[name] = values[name]

        if "metadata" in values:
            configuration["metadata"] = merge_metadata(
                configuration["metadata"], values["metadata"]
            )

        configuration["business_profile"].update(values.get("business_profile") or {})

        for name, feature in (values.get("features") or {}).items():
            self._write_feature(configuration, name, dict(feature or {}))

    def _write_feature(
        self, configuration: Object, name: str, given: dict[str, Any]
    ) -> None:
        """Write one feature; named products end the offer of everything."""
        target = configuration["features"][name]
        reason = given.pop("cancellation_reason", None) or {}
        reason.pop("feedback_options", None)
        target.get("cancellation_reason", {}).update(reason)

        if "products" in given:
            self.world.hidden_of(configuration)["offers_all"] = False
            given["products"] = [
                _product(entry["product"], entry["prices"], entry)
                for entry in given["products"] or ()
            ]

        target.update(given)

    def _all_products(self) -> Sequence[Object]:
        """Return what there is to sell, in the order in which it was made."""
        prices: dict[str, list[str]] = {}

        for price in reversed(self.world.store.all("price")):
            product = self.world.store.find("product", price["product"]) or {}

            if price["active"] and price["recurring"] and product.get("active"):
                prices.setdefault(price["product"], []).append(price["id"])

        return [_product(product_id, ids, {}) for product_id, ids in prices.items()]

    def _new(self, configuration_id: str, *, is_default: bool) -> Object:
        """Return a configuration that allows nothing."""
        now = self.world.clock.now()
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
                "customer_update": {"allowed_updates": [], "enabled": False},
                "invoice_history": {"enabled": False},
                "payment_method_update": {
                    "enabled": False,
                    "payment_method_configuration": None,
                },
                "subscription_cancel": {
                    "cancellation_reason": {"enabled": False, "options": []},
                    "enabled": False,
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


def _product(product_id: str, price_ids: Sequence[str], entry: Object) -> Object:
    """Return a product as a configuration shows it, with its limits of quantity."""
    quantity = entry.get("adjustable_quantity") or {"enabled": True}
    minimum = quantity.get("minimum")
    return {
        "adjustable_quantity": {
            "enabled": quantity["enabled"],
            "maximum": quantity.get("maximum"),
            "minimum": 1 if minimum is None else minimum,
        },
        "prices": list(price_ids),
        "product": product_id,
    }
