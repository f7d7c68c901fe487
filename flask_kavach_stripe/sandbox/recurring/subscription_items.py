"""Items of subscriptions, one at a time.

Source: https://docs.stripe.com/api/subscription_items
"""

from __future__ import annotations

from typing import Any

from ..object_store import Object
from ..params import ignored
from ..params import LIST_SPEC
from ..params import read
from ..params import Spec
from ..params import text
from ..resource import deleted
from ..resource import page
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import resource_missing
from ..world import World
from .subscription_calls import Subscriptions
from .subscription_params import ITEM_SPEC
from .subscription_params import UPDATE

#: Parameters of these calls that are about the whole subscription.
_SHARED = (
    "off_session",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
)
_CHANGE: Spec = {
    **{name: UPDATE[name] for name in _SHARED},
    **{
        name: reader
        for name, reader in ITEM_SPEC.items()
        if name not in ("clear_usage", "deleted", "id")
    },
}


class SubscriptionItems(Resource):
    """``/v1/subscription_items``.

    Items are kept in their subscription: each call is an update of that, with its
    events (``customer.subscription.updated``), its prorations and its errors.
    """

    kind = "subscription_item"
    noun = "subscription_item"
    path = "/v1/subscription_items"

    def __init__(self, world: World, subscriptions: Subscriptions) -> None:
        super().__init__(world)
        self._subscriptions = subscriptions

    def get(self, object_id: str, param: str = "id", *, status: int = 404) -> Object:
        """Return an item of any subscription.

        :raises ApiError: ``resource_missing``, also for an item that was deleted.
        """
        for item in self._owner(object_id)["items"]["data"]:
            if item["id"] == object_id:
                result: Object = item
                return result

        raise resource_missing(self.noun, object_id, param, status=status)

    def list(self, params: Params) -> Object:
        """Return a page of a subscription's items, in the order of their making.

        :raises ApiError: ``parameter_missing`` without a ``subscription``.
        """
        wanted = read(
            params, {**LIST_SPEC, "subscription": text()}, required=("subscription",)
        )
        subscription = self._subscription(wanted["subscription"])
        items = subscription["items"]["data"]
        return page(items, wanted, self.path, self.noun)

    def create(self, params: Params) -> Object:
        """Add an item to a subscription; the rest of the period is prorated."""
        values = read(
            params,
            {**_CHANGE, "subscription": text()},
            required=("subscription",),
        )
        subscription = self._subscription(values.pop("subscription"))
        self._change(subscription, values, {})
        added: Object = subscription["items"]["data"][-1]
        return added

    def update(self, params: Params, object_id: str) -> Object:
        """Change price, quantity or metadata of an item."""
        self.get(object_id)
        values = read(params, _CHANGE)
        self._change(self._owner(object_id), values, {"id": object_id})
        return self.get(object_id)

    def delete(self, params: Params, object_id: str) -> Object:
        """Take an item out of its subscription.

        :raises ApiError: If it is the only one.
        """
        self.get(object_id)
        values = read(
            params,
            {
                **{name: UPDATE[name] for name in _SHARED},
                "clear_usage": ignored,
            },
        )
        values.pop("clear_usage", None)
        change = {"id": object_id, "deleted": True}
        self._change(self._owner(object_id), values, change)
        return deleted(self.kind, object_id)

    def _change(
        self, subscription: Object, values: dict[str, Any], item: dict[str, Any]
    ) -> None:
        """Update the subscription with the change of one item."""
        shared = {name: values.pop(name) for name in _SHARED if name in values}
        self._subscriptions.change_items(subscription, shared, {**values, **item})

    def _owner(self, item_id: str) -> Object:
        """Return the subscription of an item.

        :raises ApiError: ``resource_missing`` (404) if no subscription ever had it.
        """
        hidden = self.world.store.hidden.get(item_id) or {}
        owner = self.world.store.find("subscription", hidden.get("subscription"))

        if owner is None:
            raise resource_missing(self.noun, item_id, "id", status=404)

        return owner

    def _subscription(self, subscription_id: str) -> Object:
        """Return the subscription that a parameter names.

        :raises ApiError: ``resource_missing`` (400).
        """
        return self._subscriptions.get(subscription_id, "subscription", status=400)
