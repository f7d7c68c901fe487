"""The items of a subscription: what they look like, and their periods.

Since basil each item has a period of its own. The items of one subscription share the
``billing_cycle_anchor``, so their periods differ in length only.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from ..object_store import clone
from ..object_store import Object
from ..sandbox_errors import ApiError
from ..world import World


def new_item(
    world: World, subscription_id: str, price: Object, quantity: int
) -> Object:
    """Return an item with a period that has not begun.

    :param price: A recurring price; the item keeps a copy of it.
    :param quantity: How many of it; of a metered price, the item shows none.
    """
    now = world.clock.now()
    item = {
        "id": world.store.new_id("subscription_item"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": now,
        "current_period_start": now,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": clone(price),
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }
    world.store.hidden[item["id"]] = {"subscription": subscription_id}

    if is_metered(price):
        del item["quantity"]

    return item


def is_metered(price: Object) -> bool:
    """Does a price bill what was used, so that it takes no quantity?"""
    recurring = price["recurring"] or {}
    return bool(recurring.get("usage_type") == "metered")


def quantity_of(item: Object) -> int:
    """Return how many units an item bills.

    Simplified: what is metered is never used, so it bills nothing.
    """
    quantity: int = item.get("quantity", 0)
    return quantity


def refuse_quantity(price: Object, quantity: int | None, path: str) -> None:
    """Check that no quantity is given for a metered price.

    :param path: The item of the call, such as ``items[0]``.
    :raises ApiError: If there is one.
    """
    if quantity is not None and is_metered(price):
        raise ApiError(
            "Quantity should not be specified where usage_type is `metered`. Remove"
            f" quantity from `{path}`",
            param=f"{path}[quantity]",
        )


def set_price(item: Object, price: Object) -> None:
    """Give an item another price; its quantity becomes 1, as Stripe has it.

    A metered price has none.
    """
    item["price"] = clone(price)
    item["plan"] = plan_of(price)
    item["quantity"] = 1

    if is_metered(price):
        del item["quantity"]


def interval_of(item: Object) -> tuple[str, int]:
    """Return ``interval`` and ``interval_count`` of an item's price."""
    recurring = item["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def period_end(subscription: Object, pick: Callable[[Sequence[int]], int]) -> int:
    """Return the earliest (``min``) or latest (``max``) period end of the items."""
    return pick([item["current_period_end"] for item in subscription["items"]["data"]])


def plan_of(price: Object) -> Object:
    """Return a price in its old form, which items still carry as ``plan``."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": dict(price["metadata"]),
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }
