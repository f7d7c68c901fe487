"""3-D Secure: the page of the cardholder's bank, with its two buttons.

Three things can wait for it, each a :class:`Question`: the payment of a Checkout
session, a new card in the portal, and the payment of an invoice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import Protocol

from flask import abort
from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from ..account import Account
from ..cards import clean_number
from ..object_store import Object
from ..sandbox_errors import ApiError
from .blueprint import bp
from .blueprint import find
from .blueprint import reading
from .checkout_pages import checkout_page
from .checkout_pages import to_success
from .invoice_pages import invoice_url
from .portal_pages import after_completion
from .portal_pages import card_page


class Question(Protocol):
    """Something that waits for the cardholder's answer to the bank."""

    def waits(self) -> bool:
        """Is the answer still wanted?"""
        ...

    def details(self) -> dict[str, Any]:
        """Return what the page shows: ``last4``, and ``amount`` and ``currency`` of a
        payment."""
        ...

    def answer(self, *, approved: bool) -> BaseResponse | None:
        """Go on with what waited.

        :returns: The page that says why not, if it does not go on.
        """
        ...

    def leave(self) -> BaseResponse:
        """Return to where the question came from; the lock is not held."""
        ...


@bp.get("/authenticate/<object_id>")
def authentication(object_id: str) -> BaseResponse:
    """Ask as the bank does: about a Checkout session, a card in the portal, or the
    payment of an invoice."""
    with reading() as account:
        question = _find_question(account, object_id)

        if question.waits():
            page = render_template("sandbox/authenticate.html", **question.details())
            return make_response(page)

    return question.leave()


@bp.post("/authenticate/<object_id>")
def authenticate(object_id: str) -> BaseResponse:
    """Take the answer of the cardholder, once, and return to where it came from."""
    answer = request.form.get("answer")

    if answer not in ("complete", "fail"):
        abort(400, "The answer is 'complete' or 'fail'.")

    with reading() as account:
        question = _find_question(account, object_id)

        if question.waits():
            refusal = question.answer(approved=answer == "complete")

            if refusal is not None:
                return refusal

    return question.leave()


def _find_question(account: Account, object_id: str) -> Question:
    """Return what waits behind the id in an address, or answer 404."""
    store = account.store

    if (session := store.find("checkout.session", object_id)) is not None:
        return _CheckoutQuestion(account, session)

    if (session := store.find("billing_portal.session", object_id)) is not None:
        return _CardQuestion(account, session)

    return _InvoiceQuestion(account, find(account, "payment_intent", object_id))


@dataclass(frozen=True)
class _CheckoutQuestion:
    """The payment of a Checkout session."""

    account: Account
    session: Object

    def waits(self) -> bool:
        return self.account.checkout.waits_for_authentication(self.session)

    def details(self) -> dict[str, Any]:
        _, card = self.account.store.hidden[self.session["id"]]["waiting"]
        return {
            "last4": clean_number(card.number)[-4:],
            "amount": self.session["amount_total"],
            "currency": self.session["currency"],
        }

    def answer(self, *, approved: bool) -> BaseResponse | None:
        email, card = self.account.store.hidden[self.session["id"]]["waiting"]

        try:
            self.account.checkout.authenticate(self.session, approved=approved)
        except ApiError as error:
            form = {"email": email, "card_name": card.name}
            return checkout_page(self.account, self.session, error, form)

        return None

    def leave(self) -> BaseResponse:
        if self.session["status"] == "complete":
            return to_success(self.account, self.session)

        return redirect(url_for(".checkout", session_id=self.session["id"]), 303)


@dataclass(frozen=True)
class _CardQuestion:
    """A new card in the portal."""

    account: Account
    session: Object

    def waits(self) -> bool:
        return self.account.portal.waiting_card(self.session) is not None

    def details(self) -> dict[str, Any]:
        card = self.account.portal.waiting_card(self.session)
        return {"last4": card and clean_number(card.number)[-4:]}

    def answer(self, *, approved: bool) -> BaseResponse | None:
        card = self.account.portal.waiting_card(self.session)

        try:
            self.account.portal.authenticate(self.session, approved=approved)
        except ApiError as error:
            form = {"card_name": card and card.name}
            return card_page(self.session, error, form)

        return None

    def leave(self) -> BaseResponse:
        self.account.delivery.drain()
        return after_completion(self.session, "payment_method_update")


@dataclass(frozen=True)
class _InvoiceQuestion:
    """The payment of an invoice, by its payment intent."""

    account: Account
    intent: Object

    @property
    def invoice(self) -> Object:
        """The invoice that is paid."""
        invoice_id = self.account.payments.invoice_of(self.intent)
        return find(self.account, "invoice", invoice_id)

    def waits(self) -> bool:
        return bool(self.intent["status"] == "requires_action")

    def details(self) -> dict[str, Any]:
        card = find(self.account, "payment_method", self.intent["payment_method"])
        return {
            "last4": card["card"]["last4"],
            "amount": self.intent["amount"],
            "currency": self.intent["currency"],
        }

    def answer(self, *, approved: bool) -> BaseResponse | None:
        self.account.paying.authenticate(self.invoice, approved=approved)
        return None

    def leave(self) -> BaseResponse:
        self.account.delivery.drain()
        return redirect(invoice_url(self.invoice["id"]), 303)
