"""What a change did to a user's subscription: before and after. Pure.

The ledger keeps it as JSON, and a user's ``on_subscription_change`` handlers run if
there is a difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .catalogue import Access
from .customer_state import CustomerState

#: What the user's columns say; all that is known of a subscription without a row.
_COLUMNS = (
    "id",
    "status",
    "price_id",
    "current_period_end",
    "cancel_at_period_end",
)
#: Said with the others, but not a difference by itself.
_UNCOMPARED = ("created", "current_period_start")


def describe_difference(
    before: CustomerState, after: CustomerState, access: Access
) -> str | None:
    """Compare what an app sees of a customer.

    That is the subscription that counts, and the items of all subscriptions that give
    access: an add-on may be a subscription of its own. What was unknown before is no
    difference.

    :return: JSON with ``before`` and ``after``, each a subscription or ``null``, and
        their ``access``, lists of price ids and quantities. ``None`` if nothing is
        different.
    """
    old, new = _describe(before, access), _describe(after, access)
    old_access, new_access = _items(before, access), _items(after, access)
    # A subscription that only the columns named: its items are not known.
    is_adopted = len(before.known) > len(before.rows)

    if _is_same(old, new, is_adopted) and (is_adopted or old_access == new_access):
        return None

    return json.dumps(
        {
            "before": old,
            "after": new,
            "access": {"before": old_access, "after": new_access},
        }
    )


def _is_same(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, is_adopted: bool
) -> bool:
    if old is None or new is None:
        return old is new

    names = _COLUMNS if is_adopted else [key for key in old if key not in _UNCOMPARED]
    return all(old[name] == new[name] for name in names)


def _describe(customer: CustomerState, access: Access) -> dict[str, Any] | None:
    """The subscription that counts, with Unix seconds for times."""
    ranked = customer.best_first(access)

    if not ranked or ranked[0].has_ended:
        return None

    state = ranked[0]
    item = access.catalogue.main_item(state.items)
    return {
        "id": state.id,
        "status": state.status,
        "price_id": None if item is None else item.price_id,
        "quantity": None if item is None else item.quantity,
        "items": [list(item) for item in state.items],
        "current_period_start": _seconds(state.current_period_start),
        "current_period_end": _seconds(state.current_period_end),
        "cancel_at": _seconds(state.cancel_at),
        "cancel_at_period_end": state.cancel_at_period_end,
        "collection_paused": state.collection_paused,
        "trial_end": _seconds(state.trial_end),
        "created": _seconds(state.created),
    }


def _items(customer: CustomerState, access: Access) -> list[list[Any]]:
    """The items that give access, without their ids, in an order of their own."""
    items = (
        [item.price_id, item.quantity]
        for stored in customer.known.values()
        if stored.state.status in access.active_statuses
        for item in stored.state.items
    )
    return sorted(items, key=repr)  # `None` is not less than a number


def _seconds(time: Any) -> int | None:
    return None if time is None else int(time.timestamp())
