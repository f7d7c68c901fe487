"""The shape of an invoice, with every attribute that Stripe's has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..object_store import Object
from ..resource import list_object
from ..world import World


def new_invoice(
    world: World,
    invoice_id: str,
    subscription: Object,
    reason: str,
    lines: Sequence[Object],
    *,
    discounts: Sequence[Object],
    taken: Sequence[dict[str, Any]],
    period_start: int,
) -> Object:
    """Return a draft of an invoice for a subscription.

    :param invoice_id: Given, as the lines name it already.
    :param reason: The ``billing_reason``: ``subscription_create``,
        ``subscription_cycle``, ``subscription_update``, or ``upcoming`` for a preview.
    :param lines: Their amounts, in the currency's smallest unit, make the ``subtotal``.
    :param discounts: Those of the subscription that are active now.
    :param taken: What each of the discounts takes off the lines.
    :param period_start: Start of the period that has just ended: ``period_start`` and
        ``period_end`` of an invoice look back, those of its lines ahead.
    """
    now = world.clock.now()
    customer = world.store.find("customer", subscription["customer"])
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(entry["amount"] for entry in taken)
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "account_tax_ids": None,
        "amount_due": max(0, total),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": max(0, total),
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        # Differs from Stripe: no taxes, whatever "automatic_tax" asks for.
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        # Differs from Stripe: a renewal's draft does not wait for an hour.
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
        "discounts": [discount["id"] for discount in discounts],
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
        "status_details": None,
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "test_clock": subscription["test_clock"],
        "total": total,
        "total_discount_amounts": taken,
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }
