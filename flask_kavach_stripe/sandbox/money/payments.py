"""Payments of invoices: the outcome of the attempts to charge a card.

Source: https://docs.stripe.com/payments/paymentintents/lifecycle
"""

from __future__ import annotations

from typing import Any

from ..cards import AUTHENTICATION_FAILED
from ..cards import AUTHENTICATION_REQUIRED
from ..cards import Decline
from ..cards import NO_CARD
from ..object_store import Object
from ..params import in_range
from ..params import text
from ..params import time_range
from ..resource import Params
from ..resource import Resource
from ..world import World
from .charges import Charges
from .payment_methods import PaymentMethods

#: With these the bank was not asked for the money.
_NO_CHARGE = (AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED, NO_CARD)


class PaymentIntents(Resource):
    """``/v1/payment_intents``: one for each invoice that asks for money.

    Its ``status`` is the state of the payment: ``requires_payment_method`` after a
    refusal, ``requires_action`` while the bank waits for 3-D Secure, ``succeeded``, or
    ``canceled`` with its invoice. Each answer of the bank leaves a charge.
    ``confirmation_secret`` of an invoice is included with ``expand[]``.

    Simplified: it has no ``payment_intent.*`` events. The events of the invoice say the
    same.
    """

    kind = "payment_intent"
    noun = "payment_intent"
    path = "/v1/payment_intents"

    def __init__(
        self, world: World, payment_methods: PaymentMethods, charges: Charges
    ) -> None:
        super().__init__(world)
        self._payment_methods = payment_methods
        self._charges = charges
        world.included["invoice", "confirmation_secret"] = self._secret_of

    def list(self, params: Params) -> Object:
        """Return a page of the payments, newest first.

        Filtered by ``created`` and ``customer``.
        """
        return self.select(
            params,
            {"created": time_range, "customer": text(), "customer_account": text()},
            lambda intent, wanted: (
                wanted.get("customer") in (None, intent["customer"])
                and in_range(intent["created"], wanted.get("created"))
            ),
        )

    def add(self, invoice: Object) -> Object:
        """Begin the payment of an invoice: ``requires_payment_method``."""
        intent_id = self.world.store.new_id("payment_intent")
        secret = self.world.store.new_id("client_secret")
        intent: Object = {
            "id": intent_id,
            "object": "payment_intent",
            "amount": invoice["amount_due"],
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": intent_id + secret,
            "confirmation_method": "automatic",
            "created": self.world.clock.now(),
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "customer_account": None,
            "description": "Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update",
            "excluded_payment_method_types": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "managed_payments": {"enabled": False},
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": "off_session",
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
        }
        return self.world.store.add(intent, invoice=invoice["id"])

    def of_invoice(self, invoice: Object) -> Object | None:
        """Return the payment of an invoice.

        :returns: ``None`` for a draft, and for an invoice that asks for nothing.
        """
        intent_id = self.world.hidden_of(invoice)["payment_intent"]
        return self.world.store.find(self.kind, intent_id)

    def invoice_of(self, intent: Object) -> str:
        """Return the id of the invoice that a payment is for."""
        invoice_id: str = self.world.hidden_of(intent)["invoice"]
        return invoice_id

    def attempt(
        self, intent: Object, payment_method_id: str | None, *, on_session: bool
    ) -> Decline | None:
        """Charge a card.

        :param on_session: The cardholder is there, and could pass 3-D Secure.
        :returns: Why that failed, or ``None`` if the money is there.
        """
        decline = self._payment_methods.would_refuse(
            payment_method_id, on_session=on_session
        )
        self._conclude(intent, payment_method_id, decline)
        return decline

    def succeed(self, intent: Object, payment_method_id: str | None) -> None:
        """Note that the card paid, on a page that asked the bank itself."""
        self._conclude(intent, payment_method_id, None)

    def resolve(self, intent: Object, *, approved: bool) -> Decline | None:
        """End the wait for 3-D Secure.

        :param approved: The cardholder passed it.
        :returns: Why the payment failed, or ``None`` if the money is there.
        """
        payment_method_id: str = intent["payment_method"]
        decline: Decline | None = AUTHENTICATION_FAILED

        if approved:
            decline = self._payment_methods.pass_authentication(payment_method_id)

        self._conclude(intent, payment_method_id, decline)
        return decline

    def cancel(self, intent: Object) -> None:
        """Cancel a payment that has not succeeded."""
        if intent["status"] not in ("canceled", "succeeded"):
            intent["status"] = "canceled"
            intent["canceled_at"] = self.world.clock.now()
            intent["next_action"] = None

    def authentication_url(self, intent: Object) -> str:
        """Return the page on which 3-D Secure is passed or failed."""
        return f"{self.world.base_url}/authenticate/{intent['id']}"

    def _conclude(
        self, intent: Object, payment_method_id: str | None, decline: Decline | None
    ) -> None:
        """Write down what the bank answered to an attempt.

        :param decline: Why it failed; ``None`` if the money is there.
        """
        asks = decline is AUTHENTICATION_REQUIRED
        intent["next_action"] = None
        intent["last_payment_error"] = None
        intent["payment_method"] = payment_method_id

        # Differs from Stripe: neither the payment nor the charge sends an event.
        if payment_method_id is not None and decline not in _NO_CHARGE:
            card = self._payment_methods.get(payment_method_id)
            charge = self._charges.add(intent, card, decline)
            intent["latest_charge"] = charge["id"]

        if decline is None:
            intent["status"] = "succeeded"
            intent["amount_received"] = intent["amount"]
            return

        if asks:
            intent["status"] = "requires_action"
            intent["next_action"] = {
                "redirect_to_url": {
                    "return_url": None,
                    "url": self.authentication_url(intent),
                },
                "type": "redirect_to_url",
            }
            return

        intent["status"] = "requires_payment_method"
        intent["payment_method"] = None

        if decline is not NO_CARD:
            intent["last_payment_error"] = {
                "code": decline.code,
                "decline_code": decline.decline_code,
                "message": decline.message,
                "type": "card_error",
            }

    def _secret_of(self, invoice: Object) -> dict[str, Any] | None:
        """Return an invoice's ``confirmation_secret``, for Stripe.js."""
        intent = self.of_invoice(invoice)
        return intent and {
            "client_secret": intent["client_secret"],
            "type": "payment_intent",
        }
