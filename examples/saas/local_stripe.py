"""The configuration that makes the app talk to a local Stripe."""

from __future__ import annotations

from typing import Any

from flask_kavach_stripe.sandbox import Sandbox

from .config import STRIPE_PRICES

#: What the plans cost a month, in cents.
AMOUNTS = {"pro": 900, "team": 2900}


def set_up(sandbox: Sandbox, app_url: str) -> dict[str, Any]:
    """Do what one does in Stripe's Dashboard: make the prices and the webhook endpoint.

    :param sandbox: A started one.
    :param app_url: Where the app is, without a slash at the end.
    :returns: What to give to ``create_app``.
    """
    for name, amount in AMOUNTS.items():
        sandbox.create_price(
            STRIPE_PRICES[name], unit_amount=amount, product_name=name.capitalize()
        )

    return {
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_SECRET_KEY": sandbox.api_key,
        "STRIPE_WEBHOOK_SECRET": sandbox.create_webhook_endpoint(
            f"{app_url}/auth/stripe/webhook"
        ),
        "SANDBOX_URL": sandbox.url,
    }
