"""Cards of customers, and charging them."""

from __future__ import annotations

import hashlib
from typing import Any

from ..cards import CARDS
from ..cards import clean_number
from ..cards import Decline
from ..cards import find_card
from ..store import Object
from .base import Resource

NO_CARD = Decline(
    "There is no payment method to charge.", code="payment_method_missing"
)


class PaymentMethods(Resource):
    kind = "payment_method"
    noun = "PaymentMethod"
    path = "/v1/payment_methods"

    def add(
        self,
        number: str,
        *,
        customer_id: str,
        exp_month: int,
        exp_year: int,
        email: str | None,
        name: str | None,
    ) -> Object:
        """Attach a card to a customer."""
        card = find_card(number)
        digits = clean_number(number)
        payment_method = {
            "id": self.core.store.new_id("payment_method"),
            "object": "payment_method",
            "allow_redisplay": "limited",
            "billing_details": {
                "address": empty_address(),
                "email": email,
                "name": name,
                "phone": None,
                "tax_id": None,
            },
            "card": {
                "brand": card.brand,
                "checks": {
                    "address_line1_check": None,
                    "address_postal_code_check": None,
                    "cvc_check": "pass",
                },
                "country": "US",
                "display_brand": card.brand,
                "exp_month": exp_month,
                "exp_year": exp_year,
                "fingerprint": hashlib.sha256(digits.encode()).hexdigest()[:16],
                "funding": "credit",
                "generated_from": None,
                "last4": digits[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "created": self.core.clock.now(),
            "customer": customer_id,
            "customer_account": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
        }
        self.core.store.add(payment_method, number=digits)
        self.core.emit("payment_method.attached", payment_method)
        return payment_method

    def charge_later(self, payment_method_id: str | None) -> Decline | None:
        """Charge a card that was entered earlier.

        :returns: Why it is refused, or ``None`` if it pays.
        """
        if payment_method_id is None:
            return NO_CARD

        number = self.core.store.hidden[payment_method_id]["number"]
        return CARDS[number].later


def empty_address(country: str | None = None) -> dict[str, Any]:
    return {
        "city": None,
        "country": country,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }
