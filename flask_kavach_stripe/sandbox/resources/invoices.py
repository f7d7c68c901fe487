"""Invoices of subscriptions, and the attempts to have them paid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clock import DAY
from ..core import Core
from ..params import choice
from ..params import in_range
from ..params import text
from ..params import time_range
from ..store import Object
from ..wording import describe_line
from .base import list_object
from .base import Params
from .base import Resource
from .payment_methods import PaymentMethods

#: After how many days a failed payment is tried again; then the subscription ends.
#: (Stripe's default is "smart retries" within two weeks; the real days are not public.)
RETRY_DAYS = (3, 5, 7)


class Invoices(Resource):
    kind = "invoice"
    noun = "invoice"
    path = "/v1/invoices"

    def __init__(self, core: Core, payment_methods: PaymentMethods) -> None:
        super().__init__(core)
        self._payment_methods = payment_methods

    def list(self, params: Params) -> Object:
        return self.select(
            params,
            {
                "collection_method": choice("charge_automatically", "send_invoice"),
                "created": time_range,
                "customer": text(),
                "customer_account": text(),
                "due_date": time_range,
                "status": choice("draft", "open", "paid", "uncollectible", "void"),
                "subscription": text(),
            },
            lambda invoice, wanted: (
                invoice["customer"] == (wanted.get("customer") or invoice["customer"])
                and invoice["status"] == (wanted.get("status") or invoice["status"])
                and wanted.get("subscription") in (None, subscription_of(invoice))
                and in_range(invoice["created"], wanted.get("created"))
            ),
        )

    def of_customer(self, customer_id: str) -> Sequence[Object]:
        """Return the invoices of a customer, newest first."""
        return [
            invoice
            for invoice in self.core.store.all("invoice")
            if invoice["customer"] == customer_id
        ]

    def draft(
        self,
        subscription: Object,
        reason: str,
        items: Sequence[Object],
        *,
        period_start: int,
        free: bool = False,
    ) -> Object:
        """Make the invoice for one period of some items; it is not yet announced.

        :param reason: The ``billing_reason``.
        :param items: The subscription's items that begin a period.
        :param period_start: Start of the period that has just ended.
        :param free: The period is a trial.
        """
        store, now = self.core.store, self.core.clock.now()
        customer = store.find("customer", subscription["customer"])
        invoice_id = store.new_id("invoice")
        lines = [
            self._line(invoice_id, subscription, item, free=free) for item in items
        ]
        total = sum(line["amount"] for line in lines)
        invoice: Object = {
            "id": invoice_id,
            "object": "invoice",
            "account_country": "US",
            "account_name": "Sandbox",
            "account_tax_ids": None,
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_remaining": total,
            "amount_shipping": 0,
            "application": None,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "automatically_finalizes_at": None,
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": subscription["currency"],
            "custom_fields": None,
            "customer": subscription["customer"],
            "customer_account": None,
            "customer_address": customer and customer["address"],
            "customer_email": customer and customer["email"],
            "customer_name": customer and customer["name"],
            "customer_phone": customer and customer["phone"],
            "customer_shipping": customer and customer["shipping"],
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": None,
            "discounts": [],
            "due_date": None,
            "effective_at": None,
            "ending_balance": None,
            "footer": None,
            "from_invoice": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "issuer": {"type": "self"},
            "last_finalization_error": None,
            "latest_revision": None,
            "lines": list_object(lines, f"/v1/invoices/{invoice_id}/lines"),
            "livemode": False,
            "metadata": {},
            "next_payment_attempt": None,
            "number": None,
            "on_behalf_of": None,
            "parent": {
                "quote_details": None,
                "subscription_details": {
                    "metadata": dict(subscription["metadata"]),
                    "subscription": subscription["id"],
                },
                "type": "subscription_details",
            },
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "period_end": now,
            "period_start": period_start,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": None,
            "rendering": None,
            "shipping_cost": None,
            "shipping_details": None,
            "starting_balance": 0,
            "statement_descriptor": None,
            "status": "draft",
            "status_transitions": {
                "finalized_at": None,
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "test_clock": None,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            "webhooks_delivered_at": None,
        }
        return store.add(invoice)

    def settle(
        self, invoice: Object, subscription: Object, *, first: bool = False
    ) -> bool:
        """Announce a draft, finalise it and try to have it paid.

        Stripe leaves a renewal's draft alone for an hour; here all of it happens at
        once.

        :param first: The card was just entered and accepted for this amount.
        :returns: Whether it is paid.
        """
        self.core.emit("invoice.created", invoice)
        invoice["number"] = self._next_number(invoice["customer"])
        invoice["status"] = "open"
        invoice["effective_at"] = self.core.clock.now()
        invoice["status_transitions"]["finalized_at"] = self.core.clock.now()
        invoice["ending_balance"] = 0
        invoice["webhooks_delivered_at"] = self.core.clock.now()
        self.core.emit("invoice.finalized", invoice)
        return self.attempt(invoice, subscription, first=first)

    def attempt(
        self, invoice: Object, subscription: Object, *, first: bool = False
    ) -> bool:
        """Try to have an open invoice paid."""
        now = self.core.clock.now()
        decline = None

        if not first and invoice["amount_due"] > 0:
            decline = self._payment_methods.charge_later(self._card_of(subscription))

        invoice["attempted"] = True

        if invoice["amount_due"] > 0:
            invoice["attempt_count"] += 1

        if decline is None:
            invoice["auto_advance"] = False
            invoice["status"] = "paid"
            invoice["amount_paid"] = invoice["amount_due"]
            invoice["amount_remaining"] = 0
            invoice["next_payment_attempt"] = None
            invoice["status_transitions"]["paid_at"] = now
            self.core.emit("invoice.paid", invoice)
            self.core.emit("invoice.payment_succeeded", invoice)
            return True

        retries = invoice["attempt_count"] - 1

        if retries < len(RETRY_DAYS):
            invoice["next_payment_attempt"] = now + RETRY_DAYS[retries] * DAY
        else:
            invoice["next_payment_attempt"] = None
            invoice["auto_advance"] = False

        self.core.emit("invoice.payment_failed", invoice)
        return False

    def _card_of(self, subscription: Object) -> str | None:
        if subscription["default_payment_method"]:
            return str(subscription["default_payment_method"])

        customer = self.core.store.find("customer", subscription["customer"])
        settings = customer["invoice_settings"] if customer else {}
        card: str | None = settings.get("default_payment_method")
        return card

    def _next_number(self, customer_id: str) -> str | None:
        customer = self.core.store.find("customer", customer_id)

        if customer is None:
            return None

        number = customer["next_invoice_sequence"]
        customer["next_invoice_sequence"] += 1
        return f"{customer['invoice_prefix']}-{number:04}"

    def _line(
        self, invoice_id: str, subscription: Object, item: Object, *, free: bool
    ) -> dict[str, Any]:
        store, price = self.core.store, item["price"]
        product = store.find("product", price["product"])
        name = product["name"] if product else price["product"]
        amount = 0 if free else price["unit_amount"] * item["quantity"]
        return {
            "id": store.new_id("line_item"),
            "object": "line_item",
            "amount": amount,
            "currency": price["currency"],
            "description": describe_line(price, item["quantity"], name, free=free),
            "discount_amounts": [],
            "discountable": True,
            "discounts": [],
            "invoice": invoice_id,
            "livemode": False,
            "metadata": dict(subscription["metadata"]),
            "parent": {
                "invoice_item_details": None,
                "subscription_item_details": {
                    "invoice_item": None,
                    "proration": False,
                    "proration_details": {"credited_items": None},
                    "subscription": subscription["id"],
                    "subscription_item": item["id"],
                },
                "type": "subscription_item_details",
            },
            "period": {
                "start": item["current_period_start"],
                "end": item["current_period_end"],
            },
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]},
                "type": "price_details",
                "unit_amount_decimal": "0" if free else price["unit_amount_decimal"],
            },
            "quantity": item["quantity"],
            "quantity_decimal": str(item["quantity"]),
            "subscription": subscription["id"],
            "subtotal": amount,
            "taxes": [],
        }


def subscription_of(invoice: Object) -> str | None:
    parent = invoice["parent"] or {}
    details = parent.get("subscription_details") or {}
    subscription_id: str | None = details.get("subscription")
    return subscription_id
