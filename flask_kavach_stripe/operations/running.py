"""Running subscriptions as Stripe lists them, with the amounts that they charge.

For the commands that show a person what costs money.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from ..stripe_api.objects import as_mapping
from ..stripe_api.objects import read_subscription


class Running(NamedTuple):
    """A subscription that has not ended."""

    id: str
    customer_id: str
    status: str
    #: What its items charge, such as ``2 x 900 usd/month``. Amounts are in the
    #: currency's smallest unit, as Stripe writes them.
    amounts: str
    metadata: Mapping[str, Any]
    #: The user in a good mark, as text.
    user_id: str | None = None


def read_running(subscription: Mapping[str, Any]) -> Running | None:
    """Read a subscription of Stripe's list; ``None`` if it has ended."""
    state = read_subscription(subscription)

    if state is None or state.has_ended:
        return None

    items = as_mapping(subscription.get("items")).get("data")
    amounts = [_amount(as_mapping(item)) for item in items or ()]
    return Running(
        state.id,
        state.customer_id,
        state.status,
        " + ".join(amounts),
        as_mapping(subscription.get("metadata")),
    )


def _amount(item: Mapping[str, Any]) -> str:
    """Say what an item charges: a metered one without quantity, a tiered one by id."""
    price = as_mapping(item.get("price"))
    interval = as_mapping(price.get("recurring"))
    count = interval.get("interval_count", 1)
    every = f"{count} {interval.get('interval')}s" if count != 1 else None
    amount = price.get("unit_amount")
    unit = price.get("id") if amount is None else f"{amount} {price.get('currency')}"
    quantity = item.get("quantity")
    times = "" if quantity is None else f"{quantity} x "
    return f"{times}{unit}/{every or interval.get('interval')}"
