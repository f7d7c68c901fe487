"""Checkout sessions with ``mode=subscription``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
from typing import Any

from ..cards import Decline
from ..cards import find_card
from ..clock import DAY
from ..core import Core
from ..errors import ApiError
from ..errors import parameter_missing
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import ignored
from ..params import in_range
from ..params import integer
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import refused
from ..params import removed
from ..params import Spec
from ..params import text
from ..params import time_range
from ..params import timestamp
from ..params import url
from ..store import clone
from ..store import Object
from .base import list_object
from .base import page
from .base import Params
from .base import Resource
from .catalogue import PRICE_DATA_SPEC
from .catalogue import Prices
from .customers import Customers
from .payment_methods import empty_address
from .payment_methods import PaymentMethods
from .subscriptions import Subscriptions
from .subscriptions import TRIAL_SETTINGS

_CVC = re.compile(r"[0-9]{3,4}", re.ASCII)
_EXPIRY = re.compile(r"\s*([0-9]{1,2})\s*/\s*([0-9]{2}|20[0-9]{2})\s*", re.ASCII)

_CREATE: Spec = {
    "adaptive_pricing": ignored,
    "after_expiration": ignored,
    "allow_promotion_codes": boolean,
    "allowed_payment_method_types": ignored,
    "automatic_tax": ignored,
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
    "customer_email": text(512),
    "customer_update": ignored,
    "discounts": refused,
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
    "mode": choice("payment", "setup", "subscription"),
    "name_collection": ignored,
    "optional_items": refused,
    "origin_context": ignored,
    "payment_intent_data": refused,
    "payment_method_collection": choice("always", "if_required"),
    "payment_method_configuration": ignored,
    "payment_method_data": ignored,
    "payment_method_options": ignored,
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
            "billing_mode": mapping(
                {"type": choice("classic", "flexible"), "flexible": ignored}
            ),
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
    "ui_mode": choice("hosted_page"),
    "wallet_options": ignored,
}


@dataclass(frozen=True)
class CardForm:
    """What a buyer types into the hosted page.

    :param expiry: ``MM / YY``.
    """

    number: str
    expiry: str = "12 / 49"
    cvc: str = "123"
    name: str | None = None


class CheckoutSessions(Resource):
    kind = "checkout.session"
    noun = "checkout.session"
    path = "/v1/checkout/sessions"

    def __init__(
        self,
        core: Core,
        prices: Prices,
        customers: Customers,
        payment_methods: PaymentMethods,
        subscriptions: Subscriptions,
    ) -> None:
        super().__init__(core)
        self._prices = prices
        self._customers = customers
        self._payment_methods = payment_methods
        self._subscriptions = subscriptions

    # The API

    def create(self, params: Params) -> Object:
        values = read(params, _CREATE)
        self._check(values)
        store, now = self.core.store, self.core.clock.now()
        lines = self._read_lines(values["line_items"])
        customer = (
            self._customers.get_live(values["customer"], "customer", status=400)
            if values.get("customer")
            else None
        )
        subtotal = sum(price["unit_amount"] * quantity for price, quantity in lines)
        data = values.get("subscription_data") or {}
        trial = data.get("trial_period_days") or data.get("trial_end")
        total = 0 if trial else subtotal
        session_id = store.new_id("checkout.session")
        email = customer["email"] if customer else values.get("customer_email")
        automatic_tax = values.get("automatic_tax") or {}
        session: Object = {
            "id": session_id,
            "object": "checkout.session",
            "adaptive_pricing": {"enabled": False},
            "after_expiration": None,
            "allow_promotion_codes": values.get("allow_promotion_codes"),
            "amount_subtotal": subtotal,
            "amount_total": total,
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
            "currency": lines[0][0]["currency"],
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
            "customer_details": _customer_details(email, None) if email else None,
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
            "url": f"{self.core.base_url}/c/pay/{session_id}",
            "wallet_options": None,
        }
        store.add(
            session,
            subscription_data=data,
            lines=lines,
            line_items=[
                self._line_item(price, quantity, free=total == 0 < subtotal)
                for price, quantity in lines
            ],
        )
        self.core.set_alarm(session["expires_at"], session)
        return session

    def list(self, params: Params) -> Object:
        return self.select(
            params,
            {
                "created": time_range,
                "customer": text(),
                "customer_account": text(),
                "customer_details": mapping({"email": text()}),
                "payment_intent": text(),
                "payment_link": text(),
                "status": choice("complete", "expired", "open"),
                "subscription": text(),
            },
            lambda session, wanted: (
                all(
                    session[name] == (wanted.get(name) or session[name])
                    for name in ("customer", "status", "subscription")
                )
                and (wanted.get("customer_details") or {}).get("email")
                in (None, (session["customer_details"] or {}).get("email"))
                and in_range(session["created"], wanted.get("created"))
            ),
        )

    def list_line_items(self, params: Params, object_id: str) -> Object:
        self.get(object_id)
        wanted = read(
            params,
            {
                "limit": integer(1, 100),
                "starting_after": text(),
                "ending_before": text(),
            },
        )
        items = self.core.store.hidden[object_id]["line_items"]
        return page(items, wanted, self.line_items_url(object_id), "line item")

    def expire(self, params: Params, object_id: str) -> Object:
        session = self.get(object_id)
        read(params, {})

        if session["status"] != "open":
            raise ApiError(
                "Only Checkout Sessions with a status in ['open'] can be expired. This"
                f" Checkout Session has a status of {session['status']}.",
                param="session",
            )

        self.expire_now(session)
        return session

    def line_items_url(self, session_id: str) -> str:
        return f"{self.path}/{session_id}/line_items"

    # The hosted page and time

    def lines_of(self, session: Object) -> Sequence[tuple[Object, int]]:
        """Return the prices and quantities that are being bought."""
        lines: Sequence[tuple[Object, int]]
        lines = self.core.store.hidden[session["id"]]["lines"]
        return lines

    def trial_end_of(self, session: Object) -> int | None:
        """Return when the trial would end if the session were paid now."""
        data = self.core.store.hidden[session["id"]]["subscription_data"]

        if data.get("trial_period_days"):
            return self.core.clock.now() + int(data["trial_period_days"]) * DAY

        trial_end: int | None = data.get("trial_end")
        return trial_end

    def needs_card(self, session: Object) -> bool:
        always: bool = session["payment_method_collection"] == "always"
        return always or session["amount_total"] > 0

    def expire_now(self, session: Object) -> None:
        """Close a session that is still open."""
        if session["status"] != "open":
            return

        session["status"] = "expired"
        session["url"] = None
        self.core.emit("checkout.session.expired", session)

    def complete(
        self, session: Object, *, email: str | None, card: CardForm | None
    ) -> None:
        """Pay: make what was bought, and close the session.

        In Stripe's order: the customer, the card, the subscription, its invoice, and
        last the session. A refused card makes nothing.

        :param email: The buyer's address; a known customer's own one wins.
        :raises ApiError: If the session is closed or the card is refused.

        Source: https://docs.stripe.com/billing/subscriptions/checkout
        """
        if session["status"] != "open":
            raise ApiError(
                "This Checkout Session is no longer open:"
                f" its status is {session['status']}."
            )

        expiry = (12, 2049)

        if card is None and self.needs_card(session):
            raise ApiError("A card is needed.", param="card")

        if card is not None:
            expiry = self._check_card(card)

        hidden = self.core.store.hidden[session["id"]]
        customer = self._buyer(session, email, card)
        payment_method_id = None

        if card is not None:
            payment_method_id = self._payment_methods.add(
                card.number,
                customer_id=customer["id"],
                exp_month=expiry[0],
                exp_year=expiry[1],
                email=customer["email"],
                name=card.name,
            )["id"]

        subscription = self._subscriptions.start(
            customer,
            hidden["lines"],
            payment_method_id=payment_method_id,
            trial_end=self.trial_end_of(session),
            values=hidden["subscription_data"],
        )
        session["customer"] = customer["id"]
        session["customer_details"] = _customer_details(
            customer["email"], card.name if card else customer["name"]
        )
        session["invoice"] = subscription["latest_invoice"]
        session["payment_status"] = (
            "paid" if session["amount_total"] > 0 else "no_payment_required"
        )
        session["status"] = "complete"
        session["subscription"] = subscription["id"]
        session["url"] = None
        event = self.core.emit("checkout.session.completed", session)
        hidden["completed_event"] = event["id"]

    def _buyer(
        self, session: Object, email: str | None, card: CardForm | None
    ) -> Object:
        if session["customer"]:
            customer = self._customers.get_live(
                session["customer"], "customer", status=400
            )

            if customer["email"] is None and email:
                with self.core.changing(customer, "customer.updated"):
                    customer["email"] = email

            return customer

        email = session["customer_email"] or email

        if not email:
            raise ApiError("An e-mail address is needed.", param="email")

        return self._customers.add(
            {"email": email, "name": card.name if card else None}
        )

    def _check_card(self, card: CardForm) -> tuple[int, int]:
        """Check a card as the bank would.

        :returns: Month and year of its expiry.
        :raises ApiError: If it is refused.
        """
        found = find_card(card.number)
        match = _EXPIRY.fullmatch(card.expiry)

        if match is None or not 1 <= int(match[1]) <= 12:
            raise Decline(
                "Your card's expiration date is incomplete or invalid: write it as"
                " MM / YY.",
                code="invalid_expiry_month",
            ).to_error()

        month, year = int(match[1]), int(match[2]) % 100 + 2000
        today = datetime.fromtimestamp(self.core.clock.now(), UTC)

        if (year, month) < (today.year, today.month):
            raise Decline(
                "Your card's expiration date is in the past.",
                code="invalid_expiry_year",
            ).to_error()

        if not _CVC.fullmatch(card.cvc.strip()):
            raise Decline(
                "Your card's security code is incomplete: it has 3 or 4 digits.",
                code="invalid_cvc",
            ).to_error()

        if found.decline is not None:
            raise found.decline.to_error()

        return month, year

    # Checks

    def _check(self, values: dict[str, Any]) -> None:
        """The rules that bind several parameters."""
        data = values.get("subscription_data") or {}
        now = self.core.clock.now()

        if (mode := values.get("mode") or "payment") != "subscription":
            raise ApiError(
                f"The sandbox simulates mode=subscription only, not mode={mode}.",
                code="sandbox_not_simulated",
                param="mode",
            )

        for name in ("line_items", "success_url"):
            if not values.get(name):
                raise parameter_missing(name)

        for one, other in (
            ("customer", "customer_email"),
            ("allow_promotion_codes", "discounts"),
        ):
            if values.get(one) is not None and values.get(other) is not None:
                raise ApiError(
                    f"You may only specify one of these parameters: {one}, {other}.",
                    param=one,
                )

        if values.get("customer_creation"):
            raise ApiError(
                "`customer_creation` can only be used in `payment` and `setup` mode.",
                param="customer_creation",
            )

        if values.get("customer_update") and not values.get("customer"):
            raise ApiError(
                "`customer_update` can only be used with `customer`.",
                param="customer_update",
            )

        expires_at = values.get("expires_at")

        if expires_at is not None and not now + 1800 <= expires_at <= now + DAY:
            raise ApiError(
                "`expires_at` must be 30 minutes to 24 hours after the session is"
                " created.",
                param="expires_at",
            )

        if "trial_end" in data and "trial_period_days" in data:
            raise ApiError(
                "You may only specify one of these parameters: trial_end,"
                " trial_period_days.",
                param="subscription_data[trial_end]",
            )

        if data.get("trial_end") is not None and data["trial_end"] < now + 2 * DAY:
            raise ApiError(
                "The `trial_end` date has to be at least 2 days in the future.",
                param="subscription_data[trial_end]",
            )

    def _read_lines(
        self, line_items: Sequence[dict[str, Any]]
    ) -> Sequence[tuple[Object, int]]:
        lines = []

        for index, line in enumerate(line_items):
            path = f"line_items[{index}]"

            if line.get("price"):
                price_id = line["price"]
            elif line.get("price_data"):
                price_id = self._prices.add(
                    line["price_data"], path=f"{path}[price_data]"
                )["id"]
            else:
                raise parameter_missing(f"{path}[price]")

            price = self._prices.find_recurring(price_id, f"{path}[price]")

            if not line.get("quantity"):
                raise parameter_missing(f"{path}[quantity]")

            lines.append((price, line["quantity"]))

        if len({price["currency"] for price, _ in lines}) > 1:
            raise ApiError(
                "All prices on a Checkout Session must have the same currency.",
                param="line_items",
            )

        return lines

    def _line_item(self, price: Object, quantity: int, *, free: bool) -> Object:
        product = self.core.store.find("product", price["product"])
        subtotal = price["unit_amount"] * quantity
        return {
            "id": self.core.store.new_id("item"),
            "object": "item",
            "adjustable_quantity": None,
            "amount_discount": 0,
            "amount_subtotal": 0 if free else subtotal,
            "amount_tax": 0,
            "amount_total": 0 if free else subtotal,
            "currency": price["currency"],
            "description": product["name"] if product else None,
            "metadata": {},
            "price": clone(price),
            "quantity": quantity,
        }

    def included_line_items(self, session_id: str) -> Object:
        """The list that ``expand[]=line_items`` includes."""
        items = self.core.store.hidden[session_id]["line_items"]
        return list_object(items[:10], self.line_items_url(session_id))


def _customer_details(email: str | None, name: str | None) -> dict[str, Any]:
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
