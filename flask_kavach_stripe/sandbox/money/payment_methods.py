"""Cards of customers.

A payment method is stored with the number of its test card, which is hidden and decides
what happens when it is charged.

Source: https://docs.stripe.com/api/payment_methods
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from datetime import UTC
from typing import Any

from ..cards import AUTHENTICATION_REQUIRED
from ..cards import CARDS
from ..cards import clean_number
from ..cards import Decline
from ..cards import find_card
from ..cards import NO_CARD
from ..cards import TOKENS
from ..object_store import Object
from ..params import choice
from ..params import ignored
from ..params import integer
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import Spec
from ..params import text
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import resource_missing
from .card_form import CardForm

ADDRESS = mapping(
    {
        name: text()
        for name in ("city", "country", "line1", "line2", "postal_code", "state")
    }
)
_CREATE: Spec = {
    "allow_redisplay": choice("always", "limited", "unspecified"),
    "billing_details": mapping(
        {
            "address": ADDRESS,
            "email": text(512),
            "name": text(),
            "phone": text(),
            "tax_id": ignored,
        }
    ),
    "card": mapping(
        {
            "cvc": text(4),
            "exp_month": integer(1, 12),
            "exp_year": integer(0, 2100),
            "networks": ignored,
            "number": text(40),
        },
        required=("number", "exp_month", "exp_year"),
    ),
    "metadata": metadata,
    # Differs from Stripe: cards are the only kind of payment method.
    "type": choice("card"),
}


class PaymentMethods(Resource):
    """``/v1/payment_methods``: cards, and nothing but cards.

    Events: ``payment_method.attached``, ``payment_method.detached``. Each of Stripe's
    ready payment methods (``pm_card_visa``) becomes a new one when it is attached.

    Simplified: wallets, debits and bank transfers are refused, and no card expires or
    is replaced by itself.
    """

    kind = "payment_method"
    noun = "PaymentMethod"
    path = "/v1/payment_methods"

    # The API

    def create(self, params: Params) -> Object:
        """Keep a card that belongs to no customer yet; it is not charged or checked.

        :raises ApiError: ``incorrect_number`` (402), or a decline for a number that is
            no test card.
        """
        values = read(params, _CREATE, required=("type", "card"))
        card = values["card"]
        year = card["exp_year"] + (2000 if card["exp_year"] < 100 else 0)
        payment_method = self._new(
            card["number"], exp_month=card["exp_month"], exp_year=year
        )
        payment_method["metadata"] = merge_metadata({}, values.get("metadata"))
        details = values.get("billing_details") or {}
        address = details.pop("address", None) or {}
        payment_method["billing_details"].update(details)
        payment_method["billing_details"]["address"].update(address)
        return self.world.store.add(payment_method, number=clean_number(card["number"]))

    def list(self, params: Params) -> Object:
        """Return a page of the cards that customers have, newest first."""
        return self.select(
            params,
            {
                "allow_redisplay": ignored,
                "customer": text(),
                "customer_account": text(),
                "type": text(),
            },
            lambda payment_method, wanted: (
                payment_method["customer"] is not None
                and wanted.get("customer") in (None, payment_method["customer"])
                and wanted.get("type") in (None, payment_method["type"])
            ),
        )

    def list_of_customer(self, params: Params, object_id: str) -> Object:
        """Answer ``GET /v1/customers/<id>/payment_methods``.

        :raises ApiError: ``resource_missing`` (404) for an unknown or deleted customer.
        """
        self._customer(object_id, "id", status=404)
        return self.list({**params, "customer": object_id})

    def attach(self, params: Params, object_id: str) -> Object:
        """Give a card to a customer, if the bank does not refuse it.

        Sends ``payment_method.attached``.

        :raises ApiError: As :meth:`attach_to` does.
        """
        values = read(
            params,
            {"customer": text(), "customer_account": text()},
            required=("customer",),
        )
        self._customer(values["customer"], "customer")
        return self.attach_to(values["customer"], object_id, "id", status=404)

    def detach(self, params: Params, object_id: str) -> Object:
        """Take a card from its customer, for good; nothing is charged to it again.

        Customer and subscriptions that it paid by default lose it: each sends its
        ``updated`` event, and then ``payment_method.detached`` is sent.

        :raises ApiError: If it belongs to no customer.
        """
        read(params, {})
        payment_method = self.get(object_id)
        customer_id = payment_method["customer"]

        if customer_id is None:
            raise ApiError(
                "The payment method you provided is not attached to a customer so"
                " detachment is impossible."
            )

        store = self.world.store
        customer = store.find("customer", customer_id) or {}
        settings = customer.get("invoice_settings") or {}

        if settings.get("default_payment_method") == object_id:
            with self.world.changing(customer, "customer.updated"):
                settings["default_payment_method"] = None

        for subscription in reversed(store.all("subscription")):
            if subscription["default_payment_method"] == object_id:
                with self.world.changing(subscription, "customer.subscription.updated"):
                    subscription["default_payment_method"] = None

        payment_method["customer"] = None
        self.world.emit(
            "payment_method.detached", payment_method, {"customer": customer_id}
        )
        store.hidden[object_id]["detached"] = True
        return payment_method

    # What the other resources do with cards

    def attach_to(
        self, customer_id: str, object_id: str, param: str, *, status: int = 400
    ) -> Object:
        """Give a card to a customer and send ``payment_method.attached``.

        One that the customer has already stays, and sends nothing.

        :param object_id: A payment method, or one of Stripe's tokens for tests.
        :param param: The parameter that held the id, for errors.
        :raises ApiError: ``resource_missing``; a ``card_error`` (402) if the bank
            refuses the card; without a code if it is another customer's or was
            detached.
        """
        store = self.world.store

        if object_id in TOKENS:
            number = TOKENS[object_id]
            payment_method = self._new(number, exp_month=12, exp_year=self._year() + 3)
        else:
            payment_method = self.get(object_id, param, status=status)
            number = store.hidden[object_id]["number"]

            if payment_method["customer"] == customer_id:
                return payment_method

            if payment_method["customer"] or "detached" in store.hidden[object_id]:
                raise ApiError(
                    "The payment method you provided has already been attached to a"
                    " customer; after that it cannot be used with another."
                )

        if (decline := CARDS[number].decline) is not None:
            raise decline.to_error()

        payment_method["customer"] = customer_id

        if object_id in TOKENS:
            store.add(payment_method, number=number)

        self.world.emit("payment_method.attached", payment_method)
        return payment_method

    def add(self, card: CardForm, customer: Object, *, set_up: bool = False) -> Object:
        """Attach a card that was typed in on a page, which has checked it.

        Sends ``payment_method.attached``.

        :param set_up: 3-D Secure was passed on that page.
        """
        month, year = card.read_expiry(self.world.clock.now())
        payment_method = self._new(card.number, exp_month=month, exp_year=year)
        payment_method["allow_redisplay"] = "limited"
        payment_method["billing_details"].update(
            email=customer["email"], name=card.name
        )
        payment_method["customer"] = customer["id"]
        number = clean_number(card.number)
        self.world.store.add(payment_method, number=number, set_up=set_up)
        # Differs from Stripe: no setup intent, also where a card is only kept.
        self.world.emit("payment_method.attached", payment_method)
        return payment_method

    def get_of(self, customer_id: str, object_id: str, param: str) -> Object:
        """Return a card of a customer.

        :raises ApiError: ``resource_missing`` if there is none with this id, or it is
            another customer's.
        """
        payment_method = self.world.store.find(self.kind, object_id)

        if payment_method is None or payment_method["customer"] != customer_id:
            raise resource_missing(self.noun, object_id, param)

        return payment_method

    def default_of(self, subscription: Object) -> str | None:
        """Return the card that pays a subscription: its own, or its customer's."""
        customer = self.world.store.find("customer", subscription["customer"]) or {}
        settings = customer.get("invoice_settings") or {}
        card: str | None = subscription["default_payment_method"]
        return card or settings.get("default_payment_method")

    def would_refuse(
        self, payment_method_id: str | None, *, on_session: bool
    ) -> Decline | None:
        """Return why a charge would fail, or ``None`` if it would succeed.

        Nothing is charged and nothing is changed.

        :param on_session: The cardholder is there.
        """
        if payment_method_id is None:
            return NO_CARD

        hidden = self.world.store.hidden[payment_method_id]
        card = CARDS[hidden["number"]]

        if card.asks(on_session=on_session, set_up=hidden.get("set_up", False)):
            return AUTHENTICATION_REQUIRED

        return card.later

    def pass_authentication(self, payment_method_id: str) -> Decline | None:
        """Note that 3-D Secure was passed, now and for later charges.

        :returns: Why the charge fails all the same, or ``None``.
        """
        hidden = self.world.store.hidden[payment_method_id]
        hidden["set_up"] = True
        return CARDS[hidden["number"]].after

    def _customer(self, customer_id: str, param: str, *, status: int = 400) -> Object:
        """Return a customer that exists.

        :raises ApiError: ``resource_missing``.
        """
        customer = self.world.store.find("customer", customer_id)

        if customer is None or customer.get("deleted"):
            raise resource_missing("customer", customer_id, param, status=status)

        return customer

    def _year(self) -> int:
        """Return the year that the sandbox's clock shows."""
        return datetime.fromtimestamp(self.world.clock.now(), UTC).year

    def _new(self, number: str, *, exp_month: int, exp_year: int) -> Object:
        """Return a payment method that is not stored yet.

        :raises ApiError: If the number is not that of a test card.
        """
        card = find_card(number)
        digits = clean_number(number)
        return {
            "id": self.world.store.new_id("payment_method"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {
                "address": empty_address(),
                "email": None,
                "name": None,
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
                # Differs from Stripe: all test cards are American credit cards.
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
            "created": self.world.clock.now(),
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
        }


def empty_address(country: str | None = None) -> dict[str, Any]:
    """Return an address as Stripe shows one that was never given."""
    return {
        "city": None,
        "country": country,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }
