"""Changes of subscriptions that wait for a payment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clock import HOUR
from ..money.invoices import Invoices
from ..money.item_prices import period_end
from ..object_store import clone
from ..object_store import Object
from ..sandbox_errors import ApiError
from ..world import World
from .subscription_object import UPDATED

#: What a change may ask for that waits for its payment, and what each item may.
_PARAMS = frozenset(
    (
        "billing_cycle_anchor",
        "cancel_at_period_end",
        "items",
        "off_session",
        "payment_behavior",
        "proration_behavior",
        "proration_date",
        "trial_end",
    )
)
_ITEM_PARAMS = frozenset(("deleted", "id", "plan", "price", "price_data", "quantity"))
#: What is written when the payment came.
_ATTRIBUTES = (
    "billing_cycle_anchor",
    "cancel_at",
    "cancel_at_period_end",
    "canceled_at",
    "cancellation_details",
    "discounts",
    "items",
    "status",
    "trial_end",
    "trial_start",
)
#: A later change of these takes the place of one that waits.
# Differs from Stripe: the list is the sandbox's own.
_CONFLICTS = frozenset(
    (
        "billing_cycle_anchor",
        "cancel_at",
        "cancel_at_period_end",
        "discounts",
        "items",
        "trial_end",
    )
)
_EXPIRES_AFTER = 23 * HOUR


class PendingUpdates:
    """Keeps changes with ``pending_if_incomplete`` until they are paid.

    The subscription goes on as it was. The payment of the invoice writes the change and
    sends ``customer.subscription.updated`` and ``.pending_update_applied``. Without it
    the change is dropped and the invoice voided: after 23 hours, or at the end of the
    trial or the period. That sends ``customer.subscription.updated`` and
    ``.pending_update_expired``. Another change of the same things drops it, too, and so
    do the end of the subscription and giving the invoice up.

    Source: https://docs.stripe.com/billing/subscriptions/pending-updates-reference
    """

    def __init__(self, world: World, invoices: Invoices) -> None:
        self._world = world
        self._invoices = invoices

    def check(self, values: dict[str, Any]) -> None:
        """Check that a change is one of those that can wait.

        :raises ApiError: If it asks for more.
        """
        unknown = [name for name in values if name not in _PARAMS]
        items: Sequence[dict[str, Any]] = values.get("items") or ()

        for index, item in enumerate(items):
            unknown += [
                f"items[{index}][{name}]" for name in item if name not in _ITEM_PARAMS
            ]

        if unknown:
            raise ApiError(
                "With `payment_behavior=pending_if_incomplete` you cannot pass"
                f" {', '.join(sorted(unknown))}.",
                param=min(unknown),
            )

    def hold(
        self, subscription: Object, before: Object, hidden: Object, values: Any
    ) -> None:
        """Take a change back that was just written, and keep it until it is paid.

        :param before: The subscription before the change.
        :param hidden: What was hidden of it then.
        :param values: What the call asked for.
        """
        wanted, store = clone(subscription), self._world.store
        kept = {
            "attributes": {name: wanted[name] for name in _ATTRIBUTES},
            "hidden": clone(store.hidden[subscription["id"]]),
            "invoice": wanted["latest_invoice"],
        }
        subscription.clear()
        subscription.update(before)
        subscription["latest_invoice"] = wanted["latest_invoice"]
        subscription["pending_update"] = {
            "billing_cycle_anchor": _changed(before, wanted, "billing_cycle_anchor"),
            "cancel_at_period_end": values.get("cancel_at_period_end"),
            "expires_at": self._expires_at(before),
            "subscription_items": (
                clone(wanted["items"]["data"]) if values.get("items") else None
            ),
            "trial_end": _changed(before, wanted, "trial_end"),
            "trial_from_plan": None,
        }
        store.hidden[subscription["id"]] = {**hidden, "pending_update": kept}

    def waits_for(self, subscription: Object, invoice: Object) -> bool:
        """Does a change of the subscription wait for this invoice to be paid?"""
        kept = self._kept(subscription)
        return kept is not None and kept["invoice"] == invoice["id"]

    def apply(self, subscription: Object) -> None:
        """Write the change that waited, as the invoice is paid."""
        kept = self._kept(subscription)
        assert kept is not None  # noqa: S101  (waits_for() said so)

        with self._world.changing(subscription, UPDATED):
            subscription.update(kept["attributes"])
            subscription["pending_update"] = None
            self._world.hidden_of(subscription).update(
                billed=kept["hidden"]["billed"],
                pending=kept["hidden"]["pending"],
                pending_update=None,
            )

        self._world.emit("customer.subscription.pending_update_applied", subscription)

    def expire(self, subscription: Object) -> None:
        """Drop what waits, if something does, and void its invoice."""
        kept = self._kept(subscription)

        if kept is None:
            return

        with self._world.changing(subscription, UPDATED):
            subscription["pending_update"] = None
            self._world.hidden_of(subscription)["pending_update"] = None

        self._world.emit("customer.subscription.pending_update_expired", subscription)
        invoice = self._invoices.get(kept["invoice"])

        if invoice["status"] == "open":
            self._invoices.close(invoice, "void")

    def expire_before(self, subscription: Object, values: dict[str, Any]) -> None:
        """Drop what waits if a call wants other changes of the same things."""
        if values.keys() & _CONFLICTS:
            self.expire(subscription)

    def _kept(self, subscription: Object) -> Any:
        """Return the change that waits, or ``None``."""
        return self._world.hidden_of(subscription).get("pending_update")

    def _expires_at(self, subscription: Object) -> int:
        """Return when a change that begins to wait now is dropped.

        The periods of a trial end with it, so their end is the end of the trial.
        """
        latest = self._world.clock.now() + _EXPIRES_AFTER
        return min(latest, period_end(subscription, min))


def _changed(before: Object, after: Object, name: str) -> Any:
    """Return a new value if it is new, as ``pending_update`` shows it."""
    return None if before[name] == after[name] else after[name]
