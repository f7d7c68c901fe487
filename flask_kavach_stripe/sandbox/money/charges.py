"""Charges: what a bank answered to one attempt to pay a payment intent.

Source: https://docs.stripe.com/api/charges
"""

from __future__ import annotations

from ..cards import Decline
from ..object_store import clone
from ..object_store import Object
from ..params import in_range
from ..params import text
from ..params import time_range
from ..resource import Params
from ..resource import Resource


class Charges(Resource):
    """``/v1/charges``: read only; :class:`.PaymentIntents` makes them.

    Simplified: there are no refunds, disputes, receipts and balance transactions, and
    no ``charge.*`` events. The events of the invoice say the same.
    """

    kind = "charge"
    noun = "charge"
    path = "/v1/charges"

    def list(self, params: Params) -> Object:
        """Return a page of the charges, newest first.

        Filtered by ``created``, ``customer`` and ``payment_intent``. No charge has a
        ``transfer_group``, so a list for one is empty.
        """
        return self.select(
            params,
            {
                "created": time_range,
                "customer": text(),
                "payment_intent": text(),
                "transfer_group": text(),
            },
            lambda charge, wanted: (
                wanted.get("customer") in (None, charge["customer"])
                and wanted.get("payment_intent") in (None, charge["payment_intent"])
                and not wanted.get("transfer_group")
                and in_range(charge["created"], wanted.get("created"))
            ),
        )

    def add(
        self, intent: Object, payment_method: Object, decline: Decline | None
    ) -> Object:
        """Note what the bank answered.

        :param intent: The payment; its ``amount`` is charged in full.
        :param payment_method: The card, copied as it is now.
        :param decline: Why the bank refused; ``None`` if it paid.
        :returns: A charge of the status ``succeeded`` or ``failed``.
        """
        paid = decline is None
        amount = intent["amount"]
        charge: Object = {
            "id": self.world.store.new_id(self.kind),
            "object": self.kind,
            "amount": amount,
            "amount_captured": amount if paid else 0,
            # Differs from Stripe: no refunds, and no disputes.
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": None,
            "billing_details": clone(payment_method["billing_details"]),
            "calculated_statement_descriptor": None,
            "captured": paid,
            "created": self.world.clock.now(),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": decline and decline.code,
            "failure_message": decline and decline.message,
            "fraud_details": {},
            "livemode": False,
            "metadata": {},
            "on_behalf_of": None,
            "outcome": _outcome(decline),
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": payment_method["id"],
            "payment_method_details": _details(payment_method["card"], amount),
            "receipt_email": None,
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "shipping": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "succeeded" if paid else "failed",
            "transfer_data": None,
            "transfer_group": None,
        }
        return self.world.store.add(charge)


def _outcome(decline: Decline | None) -> Object:
    """Return Stripe's ``outcome``: the reason of a refusal, or that all is well."""
    reason = decline and (decline.decline_code or decline.code)
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": reason,
        "seller_message": "The bank refused it." if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def _details(card: Object, amount: int) -> Object:
    """Return the card as it was when it was charged."""
    kept = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
        "regulated_status",
        "wallet",
    )
    return {
        "card": {
            **{name: clone(card[name]) for name in kept},
            "amount_authorized": amount,
            "authorization_code": None,
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "overcapture": {
                "maximum_amount_capturable": amount,
                "status": "unavailable",
            },
            "three_d_secure": None,
            "transaction_link_id": None,
        },
        "type": "card",
    }
