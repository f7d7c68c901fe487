"""The shape of a Checkout session, with every attribute that Stripe's has."""

from __future__ import annotations

from typing import Any

from ..clock import DAY
from ..money.payment_methods import empty_address
from ..object_store import Object
from ..params import merge_metadata
from ..world import World


def new_session(
    world: World, customer: Object | None, currency: str, values: dict[str, Any]
) -> Object:
    """Return an open session that costs nothing yet.

    It expires after a day unless the call names another time, and its ``url`` is the
    sandbox's own page.

    :param customer: Who buys, if that is known.
    :param currency: Of the prices.
    :param values: What :data:`.checkout_params.CREATE` reads.
    """
    now = world.clock.now()
    session_id = world.store.new_id("checkout.session")
    email = customer["email"] if customer else values.get("customer_email")
    automatic_tax = values.get("automatic_tax") or {}
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": values.get("allow_promotion_codes"),
        "amount_subtotal": 0,
        "amount_total": 0,
        # Differs from Stripe: "enabled" is what was asked for, but there are no taxes.
        "automatic_tax": {
            "enabled": automatic_tax.get("enabled") == "true",
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_address_collection": values.get("billing_address_collection"),
        "cancel_url": values.get("cancel_url"),
        "client_reference_id": values.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": now,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer and customer["id"],
        "customer_account": None,
        "customer_creation": None if customer else "always",
        "customer_details": customer_details(email, None) if email else None,
        "customer_email": values.get("customer_email"),
        "discounts": [],
        "expires_at": values.get("expires_at") or now + DAY,
        "integration_identifier": values.get("integration_identifier"),
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": values.get("locale"),
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, values.get("metadata")),
        "mode": "subscription",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": values.get("payment_method_collection")
        or "always",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": None,
        },
        # Differs from Stripe: also a trial, which charges nothing, has no setup intent.
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": values.get("submit_type"),
        "subscription": None,
        "success_url": values["success_url"],
        "total_details": {
            "amount_discount": 0,
            "amount_shipping": 0,
            "amount_tax": 0,
        },
        "ui_mode": "hosted_page",
        "url": f"{world.base_url}/c/pay/{session_id}",
        "wallet_options": None,
    }


def customer_details(email: str | None, name: str | None) -> dict[str, Any]:
    """Return what a session shows of its buyer; no address, phone and tax id."""
    return {
        "address": empty_address(),
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
