"""The items of a subscription: what they look like, and their periods.

Since basil each item has a period of its own. The items of one subscription share the
``billing_cycle_anchor``, so their periods differ in length only.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from ..object_store import clone
from ..object_store import Object
from ..world import World


def new_item(
    world: World, subscription_id: str, price: Object, quantity: int
) -> Object:
    """Return an item with a period that has not begun.

    :param price: A recurring price; the item keeps a copy of it.
    :param quantity: How many of it.
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
    return item


def set_price(item: Object, price: Object) -> None:
    """Give an item another price; its quantity becomes 1, as Stripe has it."""
    item["price"] = clone(price)
    item["plan"] = plan_of(price)
    item["quantity"] = 1


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
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": "licensed",
    }
