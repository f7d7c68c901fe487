"""Products and prices.

Amounts are whole numbers in the currency's smallest unit. Prices are ``per_unit``:
tiers, currency options and amounts that the buyer chooses are refused. Metered prices
can be sold, and bill nothing, as usage is not simulated.

Source: https://docs.stripe.com/products-prices/how-products-and-prices-work
"""

from __future__ import annotations

from typing import Any

from ..object_store import Object
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import ignored
from ..params import in_range
from ..params import integer
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import Reader
from ..params import refused
from ..params import Spec
from ..params import text
from ..params import time_range
from ..resource import deleted
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..sandbox_errors import resource_missing
from ..world import World

RECURRING: Reader = mapping(
    {
        "interval": choice("day", "week", "month", "year"),
        "interval_count": integer(1, 1095),
        "trial_period_days": integer(1, 730),
        # Differs from Stripe: what is metered is never used, so it bills nothing.
        "usage_type": choice("licensed", "metered"),
        "meter": text(),
    },
    required=("interval",),
)
PRODUCT_DATA_SPEC: Spec = {
    "id": text(),
    "active": boolean,
    "name": text(),
    "description": text(40_000),
    "images": array(text(), limit=8),
    "metadata": metadata,
    "statement_descriptor": text(22),
    "tax_code": text(),
    "tax_details": ignored,
    "unit_label": text(12),
}
PRICE_DATA_SPEC: Spec = {
    "currency": text(3),
    "product": text(),
    "product_data": mapping(PRODUCT_DATA_SPEC, required=("name",)),
    "recurring": RECURRING,
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
    "unit_amount": integer(0, 99_999_999),
    "unit_amount_decimal": refused,
}


_PRODUCT_UPDATE: Spec = {
    **{name: reader for name, reader in PRODUCT_DATA_SPEC.items() if name != "id"},
    "default_price": text(),
    "marketing_features": ignored,
    "package_dimensions": ignored,
    "shippable": boolean,
    "url": text(),
}
_PRODUCT_CREATE: Spec = {
    **PRODUCT_DATA_SPEC,
    "default_price_data": mapping(PRICE_DATA_SPEC, required=("currency",)),
    "marketing_features": ignored,
    "package_dimensions": ignored,
    "shippable": boolean,
    "type": choice("good", "service"),
    "url": text(),
}


class Products(Resource):
    """``/v1/products``: what is sold; prices say for how much.

    Events: ``product.created``, ``product.updated``, ``product.deleted``.
    """

    kind = "product"
    noun = "product"
    path = "/v1/products"

    def __init__(self, world: World, prices: Prices) -> None:
        super().__init__(world)
        self._prices = prices

    def create(self, params: Params) -> Object:
        """Keep a new product, with a first price if ``default_price_data`` has one.

        Sends ``product.created``, then ``price.created`` if there is a price.

        :raises ApiError: ``resource_already_exists`` if the ``id`` is taken.
        """
        values = read(params, _PRODUCT_CREATE, required=("name",))
        default_price = values.pop("default_price_data", None)
        product = self._prices.add_product(values)

        if default_price is not None:
            price = self._prices.add(
                {**default_price, "product": product["id"]}, path="default_price_data"
            )
            product["default_price"] = price["id"]

        return product

    def update(self, params: Params, object_id: str) -> Object:
        """Change a product.

        Sends ``product.updated``. An empty ``name`` or ``active`` leaves the value as
        it is.

        :raises ApiError: If ``default_price`` is a price of another product.
        """
        product = self.get(object_id)
        values = read(params, _PRODUCT_UPDATE)

        for name in ("marketing_features", "package_dimensions", "tax_details"):
            values.pop(name, None)

        if price_id := values.get("default_price"):
            if self._prices.get(price_id, "default_price", status=400)["product"] != (
                object_id
            ):
                raise ApiError(
                    f"The price {price_id} is of another product.",
                    param="default_price",
                )

        with self.world.changing(product, "product.updated"):
            _write(product, values, ("active", "name"))

            product["updated"] = self.world.clock.now()

        return product

    def delete(self, params: Params, object_id: str) -> Object:
        """Delete a product, which must not have prices, and send ``product.deleted``.

        :raises ApiError: If it has any: prices cannot be deleted, so it stays for good.
        """
        read(params, {})
        product = self.get(object_id)

        if any(
            price["product"] == object_id for price in self.world.store.all("price")
        ):
            raise ApiError(
                "This product cannot be deleted because it has one or more"
                " user-created prices."
            )

        self.world.store.remove(self.kind, object_id)
        self.world.emit("product.deleted", product)
        return deleted(self.kind, object_id)

    def list(self, params: Params) -> Object:
        """Return a page of the products, newest first.

        Filtered by ``active``, ``created`` and ``ids``.
        """
        return self.select(
            params,
            {
                "active": boolean,
                "created": time_range,
                "ids": array(text()),
                "shippable": boolean,
                "type": choice("good", "service"),
                "url": text(),
            },
            lambda product, wanted: (
                product["active"] == wanted.get("active", product["active"])
                and in_range(product["created"], wanted.get("created"))
                and product["id"] in (wanted.get("ids") or [product["id"]])
            ),
        )


_PRICE_UPDATE: Spec = {
    "active": boolean,
    "currency_options": refused,
    "lookup_key": text(200),
    "metadata": metadata,
    "nickname": text(),
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
    "transfer_lookup_key": boolean,
}
_PRICE_CREATE: Spec = {
    **PRICE_DATA_SPEC,
    "active": boolean,
    "billing_scheme": choice("per_unit"),
    "currency_options": refused,
    "custom_unit_amount": refused,
    "lookup_key": text(200),
    "metadata": metadata,
    "nickname": text(),
    "tiers": refused,
    "tiers_mode": refused,
    "transfer_lookup_key": boolean,
    "transform_quantity": refused,
}


class Prices(Resource):
    """``/v1/prices``: what a product costs, and how often.

    Events: ``price.created``, ``price.updated``.
    """

    kind = "price"
    noun = "price"
    path = "/v1/prices"

    def create(self, params: Params, price_id: str | None = None) -> Object:
        """Keep a new price and send ``price.created``.

        :param price_id: The id that it gets; no call of the API can choose it.
        :raises ApiError: As :meth:`add` does, or if its ``lookup_key`` is taken.
        """
        values = read(params, _PRICE_CREATE, required=("currency",))
        self._check_lookup_key(values)
        return self.add(values, price_id=price_id)

    def update(self, params: Params, object_id: str) -> Object:
        """Change what a price is called, or whether it is for sale.

        What it costs cannot be changed, so ``unit_amount`` is an unknown parameter.
        Subscriptions keep a price that is made inactive. Sends ``price.updated``.
        """
        price = self.get(object_id)
        values = read(params, _PRICE_UPDATE)
        self._check_lookup_key(values, price)
        values.pop("transfer_lookup_key", None)

        with self.world.changing(price, "price.updated"):
            _write(price, values, ("active", "tax_behavior"))

        return price

    def _check_lookup_key(
        self, values: dict[str, Any], price: Object | None = None
    ) -> None:
        """Check that no other price has the lookup key, or take it from that one.

        Only ``transfer_lookup_key`` takes it; the other price then sends
        ``price.updated``.

        :raises ApiError: If another price has it.
        """
        for other in self.world.store.all(self.kind):
            if (
                values.get("lookup_key")
                and other["lookup_key"] == values["lookup_key"]
                and other is not price
            ):
                if not values.get("transfer_lookup_key"):
                    raise ApiError(
                        f"A price ({other['id']}) already uses that lookup key.",
                        param="lookup_key",
                    )

                with self.world.changing(other, "price.updated"):
                    other["lookup_key"] = None

    def list(self, params: Params) -> Object:
        """Return a page of the prices, newest first.

        Filtered by ``active``, ``created``, ``currency``, ``lookup_keys``, ``product``
        and ``type``; ``recurring`` is accepted and changes nothing.
        """
        return self.select(
            params,
            {
                "active": boolean,
                "created": time_range,
                "currency": text(3),
                "lookup_keys": array(text(), limit=10),
                "product": text(),
                "recurring": ignored,
                "type": choice("one_time", "recurring"),
            },
            lambda price, wanted: (
                in_range(price["created"], wanted.get("created"))
                and price["lookup_key"]
                in (wanted.get("lookup_keys") or [price["lookup_key"]])
                and all(
                    price[name] == wanted.get(name, price[name])
                    for name in ("active", "currency", "product", "type")
                )
            ),
        )

    def find_recurring(self, price_id: str, param: str) -> Object:
        """Return a price that a subscription can have.

        :param param: The parameter that held the id, for errors.
        :raises ApiError: ``resource_missing`` if there is none, ``price_inactive``, or
            without a code if it is paid once.
        """
        price = self.world.store.find("price", price_id)

        if price is None:
            raise resource_missing("price", price_id, param)

        if not price["active"]:
            raise ApiError(
                f"The price {price_id} is inactive, so it cannot be sold.",
                code="price_inactive",
                param=param,
            )

        if price["type"] != "recurring":
            raise ApiError(
                f"The price {price_id} is paid once; a subscription needs a recurring"
                " price.",
                param=param,
            )

        return price

    def add(
        self, values: dict[str, Any], *, path: str = "", price_id: str | None = None
    ) -> Object:
        """Keep a new price, and its product if that is described inline.

        Sends ``product.created`` for an inline product, then ``price.created``.

        :param values: What :data:`PRICE_DATA_SPEC` reads.
        :param path: The parameter that described the price, for errors.
        :param price_id: The id that it gets, if not a new one.
        :raises ApiError: ``parameter_missing`` without ``unit_amount`` or a product,
            ``resource_missing`` for an unknown product.
        """

        def param(name: str) -> str:
            """Return the full name of a parameter of the price."""
            return f"{path}[{name}]" if path else name

        store, now = self.world.store, self.world.clock.now()

        if values.get("unit_amount") is None:
            raise parameter_missing(param("unit_amount"))

        if values.get("product"):
            if store.find("product", values["product"]) is None:
                raise resource_missing("product", values["product"], param("product"))

            product_id = values["product"]
        elif values.get("product_data"):
            product_id = self.add_product(values["product_data"])["id"]
        else:
            raise parameter_missing(param("product"))

        recurring = values.get("recurring")
        price = {
            "id": price_id or store.new_id("price"),
            "object": "price",
            "active": values.get("active") is not False,
            "billing_scheme": "per_unit",
            "created": now,
            "currency": values["currency"].lower(),
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": values.get("lookup_key"),
            "metadata": merge_metadata({}, values.get("metadata")),
            "nickname": values.get("nickname"),
            "product": product_id,
            "recurring": recurring
            and {
                "interval": recurring["interval"],
                "interval_count": recurring.get("interval_count") or 1,
                "meter": recurring.get("meter"),
                "trial_period_days": recurring.get("trial_period_days"),
                "usage_type": recurring.get("usage_type") or "licensed",
            },
            "tax_behavior": values.get("tax_behavior") or "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": values["unit_amount"],
            "unit_amount_decimal": str(values["unit_amount"]),
        }
        store.add(price)
        self.world.emit("price.created", price)
        return price

    def add_product(self, values: dict[str, Any]) -> Object:
        """Keep a new product and send ``product.created``.

        :param values: What :data:`PRODUCT_DATA_SPEC` reads, checked.
        :raises ApiError: ``resource_already_exists`` if the ``id`` is taken.
        """
        store, now = self.world.store, self.world.clock.now()
        product_id = values.get("id") or store.new_id("product")

        if store.find("product", product_id) is not None:
            raise ApiError(
                f"Product already exists: {product_id}",
                code="resource_already_exists",
                param="id",
            )

        product = {
            "id": product_id,
            "object": "product",
            "active": values.get("active") is not False,
            "created": now,
            "default_price": None,
            "description": values.get("description"),
            "images": values.get("images") or [],
            "livemode": False,
            "marketing_features": [],
            "metadata": merge_metadata({}, values.get("metadata")),
            "name": values["name"],
            "package_dimensions": None,
            "shippable": values.get("shippable"),
            "statement_descriptor": values.get("statement_descriptor"),
            "tax_code": values.get("tax_code"),
            "type": values.get("type") or "service",
            "unit_label": values.get("unit_label"),
            "updated": now,
            "url": values.get("url"),
        }
        store.add(product)
        self.world.emit("product.created", product)
        return product


def _write(obj: Object, values: dict[str, Any], never_empty: tuple[str, ...]) -> None:
    """Write the values of an update into an object.

    :param never_empty: Attributes that an empty value leaves as they are.
    """
    for name, value in values.items():
        if name == "metadata":
            obj["metadata"] = merge_metadata(obj["metadata"], value)
        elif name in obj and (value is not None or name not in never_empty):
            obj[name] = [] if name == "images" and value is None else value
