"""Invoices that do not exist yet.

Source: https://docs.stripe.com/api/invoices/create_preview
"""

from __future__ import annotations

from typing import Any

from ..money.discounts import DISCOUNTS
from ..money.invoices import preview_of
from ..money.item_prices import period_end
from ..object_store import Object
from ..params import boolean
from ..params import choice
from ..params import ignored
from ..params import LIST_SPEC
from ..params import mapping
from ..params import read
from ..params import refused
from ..params import Spec
from ..params import text
from ..resource import page
from ..resource import Params
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..world import World
from .customer_calls import Customers
from .steps import Steps
from .subscription_calls import Subscriptions
from .subscription_object import FINAL
from .subscription_params import CREATE
from .subscription_params import UPDATE

_DETAILS: Spec = {
    "billing_cycle_anchor": UPDATE["billing_cycle_anchor"],
    "billing_mode": CREATE["billing_mode"],
    "billing_schedules": refused,
    "cancel_at": UPDATE["cancel_at"],
    "cancel_at_period_end": boolean,
    "cancel_now": refused,
    "default_tax_rates": refused,
    "items": UPDATE["items"],
    "proration_behavior": UPDATE["proration_behavior"],
    "proration_date": UPDATE["proration_date"],
    "resume_at": refused,
    "start_date": refused,
    "trial_end": UPDATE["trial_end"],
}
_PREVIEW: Spec = {
    "automatic_tax": ignored,
    "currency": text(3),
    "customer": text(),
    "customer_account": refused,
    "customer_details": refused,
    "discounts": DISCOUNTS,
    "invoice_items": refused,
    "issuer": ignored,
    "on_behalf_of": refused,
    "preview_mode": choice("next"),
    "schedule": refused,
    "schedule_details": refused,
    "subscription": text(),
    "subscription_details": mapping(_DETAILS),
}


class Previews:
    """Does what would happen, looks at the invoice, and undoes it.

    Nothing is stored and no event is sent, but for a price that the call describes
    inline. Schedules, one-time items and customers that are described in the call are
    refused.
    """

    def __init__(
        self,
        world: World,
        steps: Steps,
        customers: Customers,
        subscriptions: Subscriptions,
    ) -> None:
        self._world = world
        self._steps = steps
        self._customers = customers
        self._subscriptions = subscriptions

    def create(self, params: Params) -> Object:
        """Show the next invoice of a subscription, changed or new.

        Without a subscription and without items it is the customer's next renewal. With
        ``always_invoice``, a new interval or ``trial_end=now`` it is the one of the
        change itself, otherwise the one of the next renewal.

        :raises ApiError: ``invoice_upcoming_none`` (404) if there will be no invoice;
            otherwise as the change itself would be refused.

        Source: https://docs.stripe.com/api/invoices/create_preview
        """
        values = read(params, _PREVIEW)
        details = {**(values.get("subscription_details") or {})}

        if "discounts" in values:
            details["discounts"] = values["discounts"]

        if values.get("subscription"):
            subscription = self._subscriptions.get(
                values["subscription"], "subscription", status=400
            )
            return self.of_change(subscription, details)

        if not values.get("customer"):
            raise parameter_missing("customer")

        if not details.get("items"):
            return self.of_change(self._next_of(values["customer"]), details)

        return self._of_new(values["customer"], details)

    def upcoming(self, params: Params) -> Object:
        """The same before basil, where such an invoice had no id.

        Source: https://docs.stripe.com/api/invoices/upcoming?api-version=2025-02-24.acacia
        """
        return preview_of(self.create(params), None)

    def list_upcoming_lines(self, params: Params) -> Object:
        """The lines of :meth:`upcoming`."""
        paging = {name: params[name] for name in LIST_SPEC if name in params}
        rest = {name: params[name] for name in params if name not in LIST_SPEC}
        lines = self.upcoming(rest)["lines"]
        return page(lines["data"], read(paging, LIST_SPEC), lines["url"], "line item")

    def _next_of(self, customer_id: str) -> Object:
        """Return the subscription of a customer that renews first.

        :raises ApiError: ``invoice_upcoming_none`` (404) if none will.
        """
        customer = self._customers.get_live(customer_id, "customer", status=400)
        waiting = [
            subscription
            for subscription in self._subscriptions.of_customer(customer["id"])
            if subscription["status"] in ("active", "past_due", "trialing")
            and subscription["cancel_at"] is None
        ]

        if not waiting:
            raise _nothing_upcoming()

        return min(waiting, key=lambda one: period_end(one, min))

    def of_change(self, subscription: Object, details: dict[str, Any]) -> Object:
        """Show the next invoice of a subscription as it would be after a change.

        :param details: What :data:`.subscription_params.UPDATE` reads.
        :raises ApiError: ``invoice_upcoming_none`` (404) if there will be no invoice.
        """
        if subscription["status"] in FINAL:
            raise _nothing_upcoming()

        details.pop("billing_mode", None)
        changes = self._subscriptions.changes
        changes.check(subscription, details)

        with self._steps.rehearsal(subscription, *changes.coupons_of(details)):
            invoice = changes.apply(subscription, details)

            if invoice is None:
                invoice = self._steps.draft_upcoming(subscription)

            if invoice is None:
                raise _nothing_upcoming()

            return self._show(invoice)

    def _of_new(self, customer_id: str, details: dict[str, Any]) -> Object:
        """Show the first invoice of a subscription that is not started."""
        customer = self._customers.get_live(customer_id, "customer", status=400)

        with self._world.on_clock_of(customer):
            return self._show(self._subscriptions.starting.rehearse(customer, details))

    def _show(self, invoice: Object) -> Object:
        """Return a draft as a preview with an id, less the customer's credit."""
        customer = self._world.store.find("customer", invoice["customer"])
        return preview_of(
            invoice, customer, self._world.store.new_id("upcoming_invoice")
        )


def _nothing_upcoming() -> ApiError:
    """Return Stripe's error for a subscription without a next invoice."""
    return ApiError(
        "No upcoming invoices for customer", status=404, code="invoice_upcoming_none"
    )
