"""The base of all pages: the lock, the templates' filters, errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from typing import Final

from flask import abort
from flask import Blueprint
from flask import make_response
from flask import render_template
from flask import request
from flask import Response
from werkzeug.wrappers import Response as BaseResponse

from .. import wording
from ..account import Account
from ..money.card_form import CardForm
from ..money.item_prices import period_end
from ..money.item_prices import quantity_of
from ..object_store import Object
from ..recurring.subscription_object import FINAL
from ..sandbox_errors import ApiError
from ..web.api import current_account

bp: Final = Blueprint("sandbox", __name__, template_folder="templates")

_STATUS_WORDS = {
    "active": "Active",
    "canceled": "Canceled",
    "incomplete": "Incomplete",
    "incomplete_expired": "Expired",
    "past_due": "Past due",
    "paused": "Paused",
    "trialing": "Trial",
    "unpaid": "Unpaid",
}

bp.add_app_template_filter(wording.money, "money")
bp.add_app_template_filter(wording.day, "day")
bp.add_app_template_filter(wording.moment, "moment")
bp.add_app_template_filter(wording.every, "every")
bp.add_app_template_filter(
    lambda status: _STATUS_WORDS.get(status, status), "status_word"
)


@bp.after_request
def do_not_store(response: Response) -> Response:
    """Keep pages out of caches: going back must not show an old one."""
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.errorhandler(ApiError)
def show_refusal(error: ApiError) -> BaseResponse:
    """Say why something was not done, where no form is shown again."""
    page = render_template("sandbox/refused.html", error=error)
    return make_response(page, error.status)


@contextmanager
def reading() -> Iterator[Account]:
    """Hold the account's lock, with all that is due by now done."""
    account = current_account()

    with account.store.lock:
        account.timeline.catch_up()
        yield account


@contextmanager
def acting() -> Iterator[Account]:
    """The same for a button: after it, the webhooks of what it did are sent."""
    with reading() as account:
        yield account

    account.delivery.drain()


def find(account: Account, kind: str, object_id: str) -> Object:
    """Return an object, or answer 404."""
    obj = account.store.find(kind, object_id)

    if obj is None or obj.get("deleted"):
        abort(404, f"There is no {kind} with the id {object_id}.")

    return obj


def card_form() -> CardForm:
    """Return the card that was typed in."""
    form = request.form
    return CardForm(
        number=form.get("card_number", ""),
        expiry=form.get("card_expiry", ""),
        cvc=form.get("card_cvc", ""),
        name=form.get("card_name", "").strip() or None,
    )


def product_name(account: Account, price: Object) -> str:
    """Return the name of what a price is for, also if that was deleted."""
    product = account.store.find("product", price["product"])
    name: str = product["name"] if product else price["product"]
    return name


def describe(account: Account, subscription: Object) -> dict[str, Any]:
    """Return what the templates show of a subscription."""
    store = account.store
    customer = store.find("customer", subscription["customer"]) or {}
    card = store.find(
        "payment_method", account.payment_methods.default_of(subscription)
    )
    items = subscription["items"]["data"]
    return {
        "subscription": subscription,
        "name": " + ".join(product_name(account, item["price"]) for item in items),
        "price": items[0]["price"],
        "quantity": quantity_of(items[0]),
        "ends": subscription["status"] in FINAL,
        "period_end": period_end(subscription, min),
        "card": card and card["card"],
        "email": customer.get("email"),
    }
