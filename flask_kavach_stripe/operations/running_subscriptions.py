"""Running subscriptions as Stripe lists them, with the amounts that they charge.

For the commands that show a person what costs money, and those that belong to nobody.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from ..state import State
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


def find_unclaimed(
    state: State,
    subscriptions: Iterable[Mapping[str, Any]],
    known: Collection[str],
) -> tuple[list[Running], int]:
    """Find the running subscriptions that belong to nobody here. No query.

    :param subscriptions: As Stripe lists them.
    :param known: The customers that our users have.
    :return: The orphans, which have our mark; and how many have none. The latter are
        probably those of other apps.
    """
    orphans, unmarked = [], 0

    for running in map(read_running, subscriptions):
        if running is None or running.customer_id in known:
            continue

        user_id = state.marker.read(running.metadata, running.customer_id)

        if user_id is None:
            unmarked += 1
        else:
            orphans.append(running._replace(user_id=user_id))

    return orphans, unmarked


def _amount(item: Mapping[str, Any]) -> str:
    """Say what an item charges: a metered one without quantity, a tiered one by id."""
    price = as_mapping(item.get("price"))
    recurring = as_mapping(price.get("recurring"))
    every = str(recurring.get("interval"))

    if (interval_count := recurring.get("interval_count", 1)) != 1:
        every = f"{interval_count} {every}s"

    amount, quantity = price.get("unit_amount"), item.get("quantity")
    unit = price.get("id") if amount is None else f"{amount} {price.get('currency')}"
    return f"{'' if quantity is None else f'{quantity} x '}{unit}/{every}"
