"""The parameters of subscriptions: simulated, ignored or refused.

Previews, Checkout and the portal read the same parameters in other places.

Source: https://docs.stripe.com/api/subscriptions
"""

from __future__ import annotations

from typing import Final

from ..money.discounts import DISCOUNTS
from ..money.products_and_prices import PRICE_DATA_SPEC
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import either
from ..params import ignored
from ..params import integer
from ..params import mapping
from ..params import metadata
from ..params import refused
from ..params import Spec
from ..params import text
from ..params import timestamp

PRORATION_BEHAVIOR = choice("always_invoice", "create_prorations", "none")
BILLING_MODE = mapping({"type": choice("classic", "flexible"), "flexible": ignored})
#: Why customers cancel.
FEEDBACK: Final = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
CANCELLATION_DETAILS = mapping(
    {"comment": text(), "feedback": choice(*FEEDBACK), "feedback_option": ignored}
)
TRIAL_SETTINGS = mapping(
    {
        "end_behavior": mapping(
            {"missing_payment_method": choice("cancel", "create_invoice", "pause")},
            required=("missing_payment_method",),
        )
    },
    required=("end_behavior",),
)
ITEM_SPEC: Spec = {
    "billing_thresholds": refused,
    "clear_usage": ignored,
    "current_trial": refused,
    "deleted": boolean,
    "discounts": refused,
    "id": text(),
    "metadata": metadata,
    "plan": text(),
    "price": text(),
    "price_data": mapping(PRICE_DATA_SPEC, required=("currency",)),
    "quantity": integer(0, 1_000_000),
    "tax_rates": refused,
}
#: What both creation and update take. What is refused changes who is paid, when or how
#: much, and is not simulated; what is ignored changes how things look.
_BOTH: Spec = {
    # One-time items on the next invoice.
    "add_invoice_items": refused,
    "application_fee_percent": refused,
    "automatic_tax": ignored,  # Differs from Stripe: there are no taxes.
    "billing_schedules": refused,
    "billing_thresholds": refused,
    "cancel_at": either(
        timestamp, choice("min_period_end", "max_period_end", "max_billed_until")
    ),
    "cancel_at_period_end": boolean,
    # Not simulated: invoices that are sent and paid by hand.
    "collection_method": choice("charge_automatically"),
    "days_until_due": refused,
    "default_payment_method": text(),
    "default_source": refused,
    "default_tax_rates": refused,
    "description": text(500),
    "discounts": DISCOUNTS,
    "invoice_settings": ignored,
    "items": array(mapping(ITEM_SPEC), limit=20),
    "metadata": metadata,
    "off_session": boolean,
    "on_behalf_of": refused,
    "payment_behavior": choice(
        "allow_incomplete",
        "default_incomplete",
        "error_if_incomplete",
        "pending_if_incomplete",
    ),
    "payment_settings": ignored,
    "pending_invoice_item_interval": refused,
    "proration_behavior": PRORATION_BEHAVIOR,
    "transfer_data": refused,
    "trial_end": either(timestamp, choice("now")),
    "trial_from_plan": refused,
    "trial_settings": TRIAL_SETTINGS,
}
#: ``POST /v1/subscriptions``.
CREATE: Spec = {
    **_BOTH,
    # Not simulated: another beginning of the subscription or of its first period.
    "backdate_start_date": refused,
    "billing_cycle_anchor": refused,
    "billing_cycle_anchor_config": refused,
    "billing_mode": BILLING_MODE,
    "currency": text(3),
    "customer": text(),
    "customer_account": refused,
    "trial_period_days": integer(1, 730),
}
#: ``POST /v1/subscriptions/<id>``.
UPDATE: Spec = {
    **_BOTH,
    "billing_cycle_anchor": mapping({"type": choice("now", "unchanged")}),
    "cancellation_details": CANCELLATION_DETAILS,
    "pause_collection": mapping(
        {
            "behavior": choice("keep_as_draft", "mark_uncollectible", "void"),
            "resumes_at": timestamp,
        },
        required=("behavior",),
    ),
    "proration_date": timestamp,
}
#: ``POST /v1/subscriptions/<id>/pause``, since endive.
PAUSE: Spec = {
    "bill_for": mapping(
        {
            "outstanding_usage_through": mapping({"type": choice("none", "now")}),
            "unused_time_from": mapping(
                {"type": choice("item_current_period_start", "none", "now")},
                required=("type",),
            ),
        }
    ),
    "invoicing_behavior": choice("invoice", "pending_invoice_item"),
    "type": choice("subscription"),
}
#: ``POST /v1/subscriptions/<id>/resume``.
RESUME: Spec = {
    "billing_cycle_anchor": mapping({"type": choice("now", "unchanged")}),
    "payment_behavior": choice(
        "resume_on_payment_attempt", "resume_on_payment_success"
    ),
    "proration_behavior": PRORATION_BEHAVIOR,
    "proration_date": refused,
}
