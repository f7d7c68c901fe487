"""The parameters of a Checkout session: simulated, ignored or refused.

Source: https://docs.stripe.com/api/checkout/sessions/create
"""

from __future__ import annotations

from ..money.discounts import DISCOUNTS
from ..money.products_and_prices import PRICE_DATA_SPEC
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import email
from ..params import ignored
from ..params import integer
from ..params import mapping
from ..params import metadata
from ..params import refused
from ..params import removed
from ..params import Spec
from ..params import text
from ..params import timestamp
from ..params import url
from ..recurring.subscription_params import BILLING_MODE
from ..recurring.subscription_params import TRIAL_SETTINGS

#: What is refused changes who buys, what, or for how much, and is not simulated. What
#: is ignored changes how the page looks. :meth:`.CheckoutSessions.create` knows which
#: parameters are required, and which exclude each other.
CREATE: Spec = {
    "adaptive_pricing": ignored,
    "after_expiration": ignored,
    "allow_promotion_codes": boolean,
    "allowed_payment_method_types": ignored,
    "automatic_tax": ignored,  # Differs from Stripe: there are no taxes.
    "billing_address_collection": choice("auto", "required"),
    "branding_settings": ignored,
    "cancel_url": url,
    "client_reference_id": text(200),
    "consent_collection": ignored,
    "currency": text(3),
    "custom_fields": ignored,
    "custom_text": ignored,
    "customer": text(),
    "customer_account": refused,
    "customer_creation": text(),
    "customer_email": email,
    "customer_update": ignored,
    "discounts": DISCOUNTS,
    "excluded_payment_method_types": ignored,
    "expires_at": timestamp,
    "integration_identifier": text(),
    "invoice_creation": refused,
    "line_items": array(
        mapping(
            {
                "adjustable_quantity": ignored,
                "metadata": metadata,
                "price": text(),
                "price_data": mapping(PRICE_DATA_SPEC, required=("currency",)),
                "quantity": integer(1, 1_000_000),
                "tax_rates": refused,
            }
        ),
        limit=20,
    ),
    "locale": text(),
    "managed_payments": refused,
    "metadata": metadata,
    # Only "subscription" is simulated; the others get an error that says so.
    "mode": choice("payment", "setup", "subscription"),
    "name_collection": ignored,
    "optional_items": refused,
    "origin_context": ignored,
    "payment_intent_data": refused,
    "payment_method_collection": choice("always", "if_required"),
    "payment_method_configuration": ignored,
    "payment_method_data": ignored,
    "payment_method_options": ignored,
    # Only older versions have it; see :mod:`..versions.upgrades`.
    "payment_method_types": removed,
    "permissions": ignored,
    "phone_number_collection": ignored,
    "redirect_on_completion": refused,
    "return_url": refused,
    "saved_payment_method_options": ignored,
    "setup_intent_data": refused,
    "shipping_address_collection": refused,
    "shipping_options": refused,
    "submit_type": text(),
    "subscription_data": mapping(
        {
            "application_fee_percent": refused,
            "billing_cycle_anchor": refused,
            "billing_cycle_anchor_config": refused,
            "billing_mode": BILLING_MODE,
            "default_tax_rates": refused,
            "description": text(500),
            "invoice_settings": ignored,
            "metadata": metadata,
            "on_behalf_of": refused,
            "pending_invoice_item_interval": refused,
            "proration_behavior": choice("create_prorations", "none"),
            "transfer_data": refused,
            "trial_end": timestamp,
            "trial_period_days": integer(1, 730),
            "trial_settings": TRIAL_SETTINGS,
        }
    ),
    "success_url": url,
    "tax_id_collection": ignored,
    # Not simulated: the embedded page and the custom one.
    "ui_mode": choice("hosted_page"),
    "wallet_options": ignored,
}
