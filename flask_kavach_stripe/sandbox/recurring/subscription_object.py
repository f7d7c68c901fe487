"""The shape of a subscription, with every attribute that Stripe's has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..money.item_prices import new_item
from ..object_store import Object
from ..params import merge_metadata
from ..resource import list_object
from ..world import World

UPDATED = "customer.subscription.updated"
FINAL = ("canceled", "incomplete_expired")


def new_subscription(
    world: World,
    customer: Object,
    lines: Sequence[tuple[Object, int]],
    values: dict[str, Any],
    trial_end: int | None,
) -> Object:
    """Return a subscription with a first period that has not begun.

    Its status is ``active`` or ``trialing``; who makes it corrects that if the first
    payment fails.

    :param lines: Prices and quantities.
    :param values: What :data:`.subscription_params.CREATE` reads.
    :param trial_end: Unix seconds; ``None`` without a trial.
    """
    now = world.clock.now()
    subscription_id = world.store.new_id("subscription")
    mode = (values.get("billing_mode") or {}).get("type") or "flexible"
    items = [
        new_item(world, subscription_id, price, quantity) for price, quantity in lines
    ]
    return {
        "id": subscription_id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
        },
        "billing_cycle_anchor": trial_end or now,
        "billing_cycle_anchor_config": None,
        "billing_mode": billing_mode(mode),
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "reason": None,
        },
        "collection_method": "charge_automatically",
        "created": now,
        "currency": lines[0][0]["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": values.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": [],
        "description": values.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": list_object(
            items, f"/v1/subscription_items?subscription={subscription_id}"
        ),
        "latest_invoice": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, values.get("metadata")),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "trialing" if trial_end else "active",
        "status_details": None,
        "test_clock": customer["test_clock"],
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": values.get("trial_settings")
        or {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": now if trial_end else None,
    }


def billing_mode(mode: str) -> Object:
    """Return the attribute for a mode: ``classic`` or ``flexible``."""
    flexible = {"proration_discounts": "included"} if mode == "flexible" else None
    return {"flexible": flexible, "type": mode}
