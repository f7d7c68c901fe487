"""Checkout sessions with ``mode=subscription``.

:mod:`..pages.checkout_pages` has the page; :meth:`.Sandbox.pay` does the same without
one.

Source: https://docs.stripe.com/billing/subscriptions/checkout
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arithmetic import deductions
from ..cards import AUTHENTICATION_FAILED
from ..cards import find_card
from ..clock import DAY
from ..money.card_form import CardForm
from ..money.discounts import Discounts
from ..money.discounts import PromotionCodes
from ..money.item_prices import is_metered
from ..money.item_prices import refuse_quantity
from ..money.payment_methods import PaymentMethods
from ..money.products_and_prices import Prices
from ..object_store import clone
from ..object_store import Object
from ..params import choice
from ..params import in_range
from ..params import LIST_SPEC
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import text
from ..params import time_range
from ..recurring.customer_calls import Customers
from ..recurring.subscription_calls import Subscriptions
from ..resource import list_object
from ..resource import page
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import AuthenticationRequired
from ..sandbox_errors import parameter_missing
from ..world import World
from .checkout_object import customer_details
from .checkout_object import new_session
from .checkout_params import CREATE


class CheckoutSessions(Resource):
    """``/v1/checkout/sessions``, and the buttons of the hosted page.

    A session that is paid sends, in this order: ``customer.created`` for a new
    customer, ``payment_method.attached``, ``customer.subscription.created``, the events
    of the invoice, and last ``checkout.session.completed``. One that is not sends
    ``checkout.session.expired`` in the end. ``line_items`` is included with
    ``expand[]``.

    Simplified: one-off payments, setups, shipping, taxes and optional items are
    refused, and so are the embedded and the custom page; each session is paid with a
    card that is typed in, as saved cards are not offered.
    """

    kind = "checkout.session"
    noun = "checkout.session"
    path = "/v1/checkout/sessions"

    def __init__(
        self,
        world: World,
        prices: Prices,
        customers: Customers,
        payment_methods: PaymentMethods,
        subscriptions: Subscriptions,
        discounts: Discounts,
        promotion_codes: PromotionCodes,
    ) -> None:
        super().__init__(world)
        self._prices = prices
        self._customers = customers
        self._payment_methods = payment_methods
        self._subscriptions = subscriptions
        self._discounts = discounts
        self._promotion_codes = promotion_codes
        world.included["checkout.session", "line_items"] = lambda session: list_object(
            self._items_of(session["id"])[:10], self.line_items_url(session["id"])
        )

    # The API

    def create(self, params: Params) -> Object:
        """Open a session; an alarm closes it at ``expires_at``.

        :raises ApiError: As :meth:`_check` does, or for a line, customer or discount
            that cannot be used. ``sandbox_not_simulated`` for another ``mode``.
        """
        values = read(params, CREATE)
        self._check(values)
        store = self.world.store
        lines = self._read_lines(values["line_items"])
        customer = (
            self._customers.get_live(values["customer"], "customer", status=400)
            if values.get("customer")
            else None
        )
        data = values.get("subscription_data") or {}

        if customer is not None:
            self._subscriptions.starting.check_currency(
                customer, lines[0][0]["currency"]
            )

        session = new_session(self.world, customer, lines[0][0]["currency"], values)
        store.add(session, subscription_data=data, lines=lines, line_items=[])
        self._use_discounts(session, values.get("discounts") or ())
        self.world.set_alarm(session["expires_at"], session)
        return session

    def list(self, params: Params) -> Object:
        """Return a page of the sessions, newest first.

        Filtered by ``created``, ``customer``, ``customer_details[email]``, ``status``
        and ``subscription``.
        """
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
        """Answer ``GET /v1/checkout/sessions/<id>/line_items``."""
        self.get(object_id)
        wanted = read(params, LIST_SPEC)
        return page(
            self._items_of(object_id),
            wanted,
            self.line_items_url(object_id),
            "line item",
        )

    def update(self, params: Params, object_id: str) -> Object:
        """Change the metadata, the only thing that the sandbox lets change.

        No event is sent.
        """
        session = self.get(object_id)
        values = read(params, {"metadata": metadata})

        if "metadata" in values:
            session["metadata"] = merge_metadata(
                session["metadata"], values["metadata"]
            )

        return session

    def expire(self, params: Params, object_id: str) -> Object:
        """Close an open session and send ``checkout.session.expired``.

        :raises ApiError: If it is not open.
        """
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
        """Return the path of a session's line items."""
        return f"{self.path}/{session_id}/line_items"

    # The hosted page and time

    def lines_of(self, session: Object) -> Sequence[tuple[Object, int]]:
        """Return the prices and quantities that are being bought."""
        lines: Sequence[tuple[Object, int]]
        lines = self.world.hidden_of(session)["lines"]
        return lines

    def trial_end_of(self, session: Object) -> int | None:
        """Return when the trial would end if the session were paid now."""
        data = self.world.hidden_of(session)["subscription_data"]

        if data.get("trial_period_days"):
            return self.world.clock.now() + int(data["trial_period_days"]) * DAY

        trial_end: int | None = data.get("trial_end")
        return trial_end

    def needs_card(self, session: Object) -> bool:
        """Does the page ask for a card?

        Always, unless ``payment_method_collection`` says ``if_required`` and there is
        nothing to pay today.
        """
        always: bool = session["payment_method_collection"] == "always"
        return always or session["amount_total"] > 0

    def expire_now(self, session: Object) -> None:
        """Close a session that is still open, and send ``checkout.session.expired``."""
        if session["status"] != "open":
            return

        session["status"] = "expired"
        session["url"] = None
        self.world.emit("checkout.session.expired", session)

    def apply_promotion_code(self, session: Object, code: str) -> None:
        """Use a code that the buyer has typed in; an empty one takes it back.

        :raises ApiError: If the session does not ask for codes, or this one is unknown
            or not for this buyer.
        """
        self._check_open(session)

        if not session["allow_promotion_codes"]:
            raise ApiError("This Checkout Session does not take promotion codes.")

        with self.world.on_clock_of(session):
            if not code.strip():
                self._use_discounts(session, ())
                return

            promotion_code = self._promotion_codes.find_active(code.strip())

            if promotion_code is None:
                raise ApiError("This code is invalid.", param="promotion_code")

            self._use_discounts(session, [{"promotion_code": promotion_code["id"]}])

    def complete(
        self, session: Object, *, email: str | None, card: CardForm | None
    ) -> None:
        """Pay: make what was bought, and close the session.

        In Stripe's order: the customer, the card, the subscription, its invoice, and
        last the session. A refused card makes nothing.

        :param email: The buyer's address; that of a known customer wins.
        :param card: ``None`` only where :meth:`needs_card` says so.
        :raises AuthenticationRequired: If the bank asks for 3-D Secure; then
            :meth:`authenticate` goes on.
        :raises ApiError: If the session is closed, an address or card is missing, or
            the card is refused (402).

        Source: https://docs.stripe.com/billing/subscriptions/checkout
        """
        self._check_open(session)

        with self.world.on_clock_of(session):
            if card is None:
                if self.needs_card(session):
                    raise ApiError("A card is needed.", param="card")

                self._finish(session, email, None)
                return

            if card.check(self.world.clock.now()).asks(on_session=True, set_up=False):
                self._buyer_email(session, email)
                self.world.hidden_of(session)["waiting"] = (email, card)
                raise AuthenticationRequired(self.authentication_url(session))

            self._finish(session, email, card)

    def waits_for_authentication(self, session: Object) -> bool:
        """Does the payment of an open session wait for 3-D Secure?"""
        waits = "waiting" in self.world.hidden_of(session)
        return waits and session["status"] == "open"

    def authentication_url(self, session: Object) -> str:
        """Return the page on which 3-D Secure is passed or failed."""
        return f"{self.world.base_url}/authenticate/{session['id']}"

    def authenticate(self, session: Object, *, approved: bool) -> None:
        """Go on with a payment that waits for 3-D Secure.

        :param approved: The buyer passed it.
        :raises ApiError: If not, if the card is refused all the same, or if nothing
            waits. The session then is open, for another card.
        """
        self._check_open(session)
        hidden = self.world.hidden_of(session)

        if "waiting" not in hidden:
            raise ApiError("This Checkout Session does not wait for 3-D Secure.")

        email, card = hidden.pop("waiting")

        if not approved:
            raise AUTHENTICATION_FAILED.to_error()

        after = find_card(card.number).after

        if after is not None and session["amount_total"] > 0:
            raise after.to_error()

        with self.world.on_clock_of(session):
            self._finish(session, email, card, set_up=True)

    def _check_open(self, session: Object) -> None:
        """Check that a session is open.

        :raises ApiError: If not.
        """
        if session["status"] != "open":
            raise ApiError(
                "This Checkout Session is no longer open:"
                f" its status is {session['status']}."
            )

    def _finish(
        self,
        session: Object,
        email: str | None,
        card: CardForm | None,
        *,
        set_up: bool = False,
    ) -> None:
        """Make what was bought and write it into the session, with the events of both.

        :param set_up: 3-D Secure was passed for the card.
        """
        hidden = self.world.hidden_of(session)
        self._find_discounts(session, hidden["discounts"])
        customer = self._buyer(session, email, card)
        payment_method_id = None

        if card is not None:
            payment_method_id = self._payment_methods.add(
                card, customer, set_up=set_up
            )["id"]

        subscription = self._subscriptions.starting.start_paid(
            customer,
            hidden["lines"],
            payment_method_id=payment_method_id,
            trial_end=self.trial_end_of(session),
            values={**hidden["subscription_data"], "discounts": hidden["discounts"]},
            session_id=session["id"],
        )
        session["customer"] = customer["id"]
        session["customer_details"] = customer_details(
            customer["email"], card.name if card else customer["name"]
        )
        session["invoice"] = subscription["latest_invoice"]
        session["payment_status"] = (
            "paid" if session["amount_total"] > 0 else "no_payment_required"
        )
        session["status"] = "complete"
        session["subscription"] = subscription["id"]
        session["url"] = None
        event = self.world.emit("checkout.session.completed", session)
        hidden["completed_event"] = event["id"]

    def _buyer(
        self, session: Object, email: str | None, card: CardForm | None
    ) -> Object:
        """Return the customer who buys: the session's own, or a new one."""
        if session["customer"]:
            customer = self._customers.get_live(
                session["customer"], "customer", status=400
            )

            if customer["email"] is None and email:
                with self.world.changing(customer, "customer.updated"):
                    customer["email"] = email

            return customer

        return self._customers.add(
            {
                "email": self._buyer_email(session, email),
                "name": card.name if card else None,
            }
        )

    def _buyer_email(self, session: Object, email: str | None) -> str | None:
        """Return the address of a new customer.

        :raises ApiError: If there is none.
        """
        address: str | None = session["customer_email"] or email

        if not address and not session["customer"]:
            raise ApiError("An e-mail address is needed.", param="email")

        return address

    # Checks

    def _check(self, values: dict[str, Any]) -> None:
        """Check the rules that bind several parameters.

        :raises ApiError: For the first one that is broken.
        """
        data = values.get("subscription_data") or {}
        now = self.world.clock.now()

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
        """Return the prices and quantities that a call names.

        :raises ApiError: For a price that cannot be sold, a line without a quantity, or
            lines in several currencies.
        """
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

            refuse_quantity(price, line.get("quantity"), path)

            if not line.get("quantity") and not is_metered(price):
                raise parameter_missing(f"{path}[quantity]")

            lines.append((price, line.get("quantity") or 0))

        if len({price["currency"] for price, _ in lines}) > 1:
            raise ApiError(
                "All prices on a Checkout Session must have the same currency.",
                param="line_items",
            )

        return lines

    def _find_discounts(
        self, session: Object, entries: Sequence[dict[str, Any]]
    ) -> Sequence[tuple[Object, Object | None]]:
        """Return the coupons that a session may use, each with its code."""
        lines = self.lines_of(session)
        return self._discounts.find(
            entries,
            customer=self.world.store.find("customer", session["customer"]),
            currency=session["currency"],
            subtotal=sum(price["unit_amount"] * quantity for price, quantity in lines),
        )

    def _use_discounts(
        self, session: Object, entries: Sequence[dict[str, Any]]
    ) -> None:
        """Write down what is to be paid, with these discounts and no others.

        :raises ApiError: If one of them may not be used; then nothing is changed.
        """
        coupons = self._find_discounts(session, entries)
        hidden = self.world.hidden_of(session)
        lines = self.lines_of(session)
        data = hidden["subscription_data"]
        trial = bool(data.get("trial_period_days") or data.get("trial_end"))
        full = [price["unit_amount"] * quantity for price, quantity in lines]
        amounts = [0 if trial else amount for amount in full]
        off = [0 for _ in amounts]

        for coupon, _ in coupons:
            left = [amount - part for amount, part in zip(amounts, off, strict=True)]
            taken = deductions(coupon, left)
            off = [one + other for one, other in zip(off, taken, strict=True)]

        hidden["discounts"] = list(entries)
        hidden["line_items"] = [
            self._line_item(price, quantity, amount, part)
            for (price, quantity), amount, part in zip(lines, amounts, off, strict=True)
        ]
        session["amount_subtotal"] = sum(full)
        session["amount_total"] = sum(amounts) - sum(off)
        session["total_details"]["amount_discount"] = sum(off)
        session["discounts"] = [
            {
                "coupon": None if code else coupon["id"],
                "promotion_code": code and code["id"],
            }
            for coupon, code in coupons
        ]

    def _line_item(
        self, price: Object, quantity: int, amount: int, discount: int
    ) -> Object:
        """Return one line of a session, with what discounts take off it."""
        product = self.world.store.find("product", price["product"])
        return {
            "id": self.world.store.new_id("item"),
            "object": "item",
            "adjustable_quantity": None,
            "amount_discount": discount,
            "amount_subtotal": amount,
            "amount_tax": 0,
            "amount_total": amount - discount,
            "currency": price["currency"],
            "description": product["name"] if product else None,
            "metadata": {},
            "price": clone(price),
            "quantity": None if is_metered(price) else quantity,
        }

    def _items_of(self, session_id: str) -> Sequence[Object]:
        """Return the lines of a session, which the API shows on request only."""
        items: Sequence[Object] = self.world.store.hidden[session_id]["line_items"]
        return items
