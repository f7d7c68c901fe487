"""The hosted pages and the dashboard: plain HTML, no JavaScript."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import cast
from typing import Final

from flask import abort
from flask import Blueprint
from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import Response
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from . import wording
from .account import Account
from .api import current_account
from .cards import clean_number
from .clock import DAY
from .clock import next_boundary
from .errors import ApiError
from .errors import AuthenticationRequired
from .faults import ApiFault
from .faults import Fault
from .faults import KINDS
from .faults import WebhookFault
from .resources.checkout import CardForm
from .resources.cycle import FINAL
from .resources.items import period_end
from .store import Object

bp: Final = Blueprint("sandbox", __name__, template_folder="templates")

_EVENTS_SHOWN = 100
_JUMPS = {"hour": 3600, "day": DAY, "week": 7 * DAY}
#: How often a fault strikes: in words, and as :meth:`Faults.add` wants it.
_COUNTS: dict[str, tuple[str, float, float]] = {
    "once": ("once", 1, 1.0),
    "thrice": ("3 times", 3, 1.0),
    "sometimes": ("1 time in 4", math.inf, 0.25),
    "always": ("every time", math.inf, 1.0),
}
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


@bp.app_template_filter("money")
def money(amount: int, currency: str) -> str:
    return wording.money(amount, currency)


bp.add_app_template_filter(wording.day, "day")
bp.add_app_template_filter(wording.moment, "moment")
bp.add_app_template_filter(wording.every, "every")
bp.add_app_template_filter(
    lambda status: _STATUS_WORDS.get(status, status), "status_word"
)


@bp.app_template_filter("fault_words")
def fault_words(kind: str) -> str:
    words = KINDS[kind]
    return words[0].upper() + words[1:]


@bp.app_template_filter("fault_count")
def fault_count(fault: Fault) -> str:
    """Return how often a fault strikes, and how often it has."""
    if fault.probability < 1:
        often = f"{fault.probability:.0%} of the time"
    elif fault.times == math.inf:
        often = "every time"
    else:
        often = f"{fault.times - fault.hits:.0f} more"

    return f"{often}, {fault.hits} so far"


@bp.before_request
def refuse_other_sites() -> None:
    """No other page in the browser may press our buttons."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site") in (
        "cross-site",
        "same-site",
    ):
        abort(403, "This form was sent from another site.")


@bp.after_request
def do_not_store(response: Response) -> Response:
    """Going back must not show a page that is out of date."""
    response.headers["Cache-Control"] = "no-store"
    return response


# Checkout


@bp.get("/c/pay/<session_id>")
def checkout(session_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        return _checkout_page(account, _find(account, "checkout.session", session_id))


@bp.post("/c/pay/<session_id>")
def pay(session_id: str) -> BaseResponse:
    account = current_account()
    form = request.form

    with account.store.lock:
        account.life.catch_up()
        session = _find(account, "checkout.session", session_id)

        if session["status"] == "expired":
            return _checkout_page(account, session)

        if session["status"] == "open":
            card = CardForm(
                number=form.get("card_number", ""),
                expiry=form.get("card_expiry", ""),
                cvc=form.get("card_cvc", ""),
                name=form.get("card_name", "").strip() or None,
            )
            wanted = account.checkout.needs_card(session)

            try:
                account.checkout.complete(
                    session,
                    email=form.get("email", "").strip(),
                    card=card if wanted else None,
                )
            except AuthenticationRequired:
                return redirect(url_for(".authentication", object_id=session_id), 303)
            except ApiError as error:
                return _checkout_page(account, session, error)

        # Otherwise it is complete: the button was pressed twice.

    return _to_success(account, session)


def _to_success(account: Account, session: Object) -> BaseResponse:
    """Send the buyer of a complete session back to the app."""
    with account.store.lock:
        event_id = account.store.hidden[session["id"]]["completed_event"]
        target = success_url(session)

    # As Stripe does, so that the success page finds the subscription.
    account.delivery.wait_for(event_id)

    return redirect(target, 303)


def success_url(session: Object) -> str:
    """Return where the buyer goes after paying."""
    target: str = session["success_url"]
    return target.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _checkout_page(
    account: Account,
    session: Object,
    error: ApiError | None = None,
    form: Mapping[str, str | None] | None = None,
) -> BaseResponse:
    """Show a session.

    :param error: Why it was not paid.
    :param form: What was typed in, if not in this request.
    """
    if session["status"] != "open":
        page = render_template(
            "sandbox/closed.html",
            session=session,
            success_url=success_url(session),
        )
        return make_response(page, 410 if session["status"] == "expired" else 200)

    lines = []
    trial_end = account.checkout.trial_end_of(session)

    for price, quantity in account.checkout.lines_of(session):
        product = account.store.find("product", price["product"])
        lines.append(
            {
                "name": product["name"] if product else price["product"],
                "description": product and product["description"],
                "price": price,
                "quantity": quantity,
                "amount": price["unit_amount"] * quantity,
            }
        )

    recurring = lines[0]["price"]["recurring"]
    page = render_template(
        "sandbox/checkout.html",
        session=session,
        lines=lines,
        error=error,
        form=request.form if form is None else form,
        needs_card=account.checkout.needs_card(session),
        trial_end=trial_end,
        renews_at=trial_end
        or next_boundary(
            account.clock.now(),
            recurring["interval"],
            recurring["interval_count"],
            account.clock.now(),
        ),
        email=(session["customer_details"] or {}).get("email"),
    )
    return make_response(page, 402 if error else 200)


# 3-D Secure, and the page of an invoice


@bp.get("/authenticate/<object_id>")
def authentication(object_id: str) -> BaseResponse:
    """Ask as the cardholder's bank does: for a session, or an invoice's payment."""
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        session, invoice = _waiting(account, object_id)

        if session is not None:
            if not account.checkout.waits_for_authentication(session):
                return redirect(url_for(".checkout", session_id=object_id))

            _, card = account.store.hidden[object_id]["waiting"]
            last4 = clean_number(card.number)[-4:]
            amount, currency = session["amount_total"], session["currency"]
        else:
            intent = account.payments.get(object_id)

            if intent["status"] != "requires_action":
                return redirect(url_for(".show_invoice", invoice_id=invoice["id"]))

            payment_method = _find(account, "payment_method", intent["payment_method"])
            last4 = payment_method["card"]["last4"]
            amount, currency = intent["amount"], intent["currency"]

        page = render_template(
            "sandbox/authenticate.html", amount=amount, currency=currency, last4=last4
        )
        return make_response(page)


@bp.post("/authenticate/<object_id>")
def authenticate(object_id: str) -> BaseResponse:
    account = current_account()
    answer = request.form.get("answer")

    if answer not in ("complete", "fail"):
        abort(400, "The answer is 'complete' or 'fail'.")

    approved = answer == "complete"

    with account.store.lock:
        account.life.catch_up()
        session, invoice = _waiting(account, object_id)

        if session is not None:
            if account.checkout.waits_for_authentication(session):
                email, card = account.store.hidden[object_id]["waiting"]

                try:
                    account.checkout.authenticate(session, approved=approved)
                except ApiError as error:
                    form = {"email": email, "card_name": card.name}
                    return _checkout_page(account, session, error, form)

            if session["status"] != "complete":
                return redirect(url_for(".checkout", session_id=object_id), 303)
        elif account.payments.get(object_id)["status"] == "requires_action":
            account.paying.authenticate(invoice, approved=approved)

    if session is not None:
        return _to_success(account, session)

    account.delivery.drain()
    return redirect(url_for(".show_invoice", invoice_id=invoice["id"]), 303)


def _waiting(account: Account, object_id: str) -> tuple[Object | None, Object]:
    """Return the Checkout session with an id, or the invoice of a payment intent."""
    if (session := account.store.find("checkout.session", object_id)) is not None:
        return session, {}

    intent = _find(account, "payment_intent", object_id)
    return None, _find(account, "invoice", account.payments.invoice_of(intent))


@bp.get("/i/<invoice_id>")
def show_invoice(invoice_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        return _invoice_page(account, _find(account, "invoice", invoice_id))


@bp.post("/i/<invoice_id>")
def pay_invoice(invoice_id: str) -> BaseResponse:
    """Pay with the customer's card, who is there."""
    account = current_account()
    refused = None

    with account.store.lock:
        account.life.catch_up()
        invoice = _find(account, "invoice", invoice_id)

        if invoice["status"] == "open":
            try:
                with account.core.on_clock_of(invoice):
                    account.paying.pay_invoice({"off_session": "false"}, invoice_id)
            except ApiError as error:
                refused = error

        intent = account.payments.of_invoice(invoice)
        asks = intent is not None and intent["status"] == "requires_action"

    account.delivery.drain()

    if asks and intent is not None:
        return redirect(url_for(".authentication", object_id=intent["id"]), 303)

    if refused is not None:
        with account.store.lock:
            return _invoice_page(account, invoice, refused.message)

    return redirect(url_for(".show_invoice", invoice_id=invoice_id), 303)


def _invoice_page(
    account: Account, invoice: Object, refusal: str | None = None
) -> BaseResponse:
    """Show an invoice.

    :param refusal: Why it could not be paid just now.
    """
    if invoice["status"] == "draft":
        abort(404, "This invoice is a draft: nobody sees it yet.")

    intent = account.payments.of_invoice(invoice) or {}
    last = intent.get("last_payment_error") or {}
    page = render_template(
        "sandbox/invoice.html",
        invoice=invoice,
        asks=intent.get("status") == "requires_action" and intent["id"],
        refusal=refusal or (invoice["status"] == "open" and last.get("message")),
        can_pay=invoice["status"] == "open",
    )
    return make_response(page, 402 if refusal else 200)


# The customer portal


@bp.get("/p/session/<session_id>")
def portal(session_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        session = _find(account, "billing_portal.session", session_id)
        flow = session["flow"]

        if flow and flow["type"] == "payment_method_update":
            if "home" not in request.args:
                return redirect(url_for(".card_form", session_id=session_id))
        elif flow and flow["type"] != "subscription_cancel":
            if "home" not in request.args:
                changed = flow[flow["type"]]["subscription"]
                return redirect(
                    url_for(
                        ".price_form", session_id=session_id, subscription_id=changed
                    )
                )
        elif flow and "home" not in request.args:
            cancel = flow["subscription_cancel"]["subscription"]
            subscription = _find(account, "subscription", cancel)

            if subscription["status"] not in FINAL and not subscription["cancel_at"]:
                return redirect(
                    url_for(
                        ".confirm_cancel",
                        session_id=session_id,
                        subscription_id=cancel,
                    )
                )

        customer = _find(account, "customer", session["customer"])
        page = render_template(
            "sandbox/portal.html",
            session=session,
            customer=customer,
            subscriptions=[
                {
                    **_describe(account, subscription),
                    "prices": _prices_for(account, session, subscription),
                }
                for subscription in account.store.all("subscription")
                if subscription["customer"] == session["customer"]
            ],
            invoices=[
                invoice
                for invoice in account.invoices.of_customer(session["customer"])
                if invoice["status"] != "draft"
            ],
        )
        return make_response(page)


@bp.get("/p/session/<session_id>/subscriptions/<subscription_id>/cancel")
def confirm_cancel(session_id: str, subscription_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        session, subscription = _of_portal(account, session_id, subscription_id)

        if subscription["status"] in FINAL or subscription["cancel_at"]:
            return redirect(url_for(".portal", session_id=session_id))

        page = render_template(
            "sandbox/cancel.html",
            session=session,
            entry=_describe(account, subscription),
        )
        return make_response(page)


@bp.post("/p/session/<session_id>/subscriptions/<subscription_id>/cancel")
def cancel(session_id: str, subscription_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        session, subscription = _of_portal(account, session_id, subscription_id)

        if subscription["status"] not in FINAL and not subscription["cancel_at"]:
            account.subscriptions.cancel_at_period_end_in_portal(subscription)

        after = (session["flow"] or {}).get("after_completion") or {}

    account.delivery.drain()

    if after.get("type") == "redirect":
        return redirect(after["redirect"]["return_url"], 303)

    return redirect(url_for(".portal", session_id=session_id), 303)


@bp.post("/p/session/<session_id>/subscriptions/<subscription_id>/keep")
def keep(session_id: str, subscription_id: str) -> BaseResponse:
    """Take a scheduled end back."""
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        _, subscription = _of_portal(account, session_id, subscription_id)

        if subscription["status"] not in FINAL:
            account.subscriptions.undo_cancel(subscription)

    account.delivery.drain()
    return redirect(url_for(".portal", session_id=session_id, home=1), 303)


@bp.post("/p/session/<session_id>/subscriptions/<subscription_id>/resume")
def resume(session_id: str, subscription_id: str) -> BaseResponse:
    """End a pause, of the subscription or of its payments."""
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        _, subscription = _of_portal(account, session_id, subscription_id)

        with account.core.on_clock_of(subscription):
            if subscription["status"] == "paused":
                account.subscriptions.resume({}, subscription_id)
            elif subscription["pause_collection"]:
                account.subscriptions.change(subscription, {"pause_collection": None})

    account.delivery.drain()
    return redirect(url_for(".portal", session_id=session_id, home=1), 303)


@bp.get("/p/session/<session_id>/subscriptions/<subscription_id>/price")
def price_form(session_id: str, subscription_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        session, subscription = _of_portal(account, session_id, subscription_id)
        return _price_page(account, session, subscription)


@bp.post("/p/session/<session_id>/subscriptions/<subscription_id>/price")
def change_price(session_id: str, subscription_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        session, subscription = _of_portal(account, session_id, subscription_id)
        wanted = request.form.get("price")
        offered = _prices_for(account, session, subscription)

        if wanted not in {price["id"] for price, _ in offered}:
            abort(400, "This price is not offered.")

        rules = _features(account, session)["subscription_update"]
        item = {"id": subscription["items"]["data"][0]["id"], "price": wanted}
        values = {
            "payment_behavior": "error_if_incomplete",
            "proration_behavior": rules["proration_behavior"],
        }

        if (
            subscription["status"] == "trialing"
            and rules["trial_update_behavior"] == "end_trial"
        ):
            values["trial_end"] = "now"

        try:
            with account.core.on_clock_of(subscription):
                account.subscriptions.change_items(subscription, values, item)
        except ApiError as error:
            return _price_page(account, session, subscription, error)

    account.delivery.drain()
    return _after_flow(session)


@bp.get("/p/session/<session_id>/card")
def card_form(session_id: str) -> BaseResponse:
    account = current_account()

    with account.store.lock:
        return _card_page(_find(account, "billing_portal.session", session_id))


@bp.post("/p/session/<session_id>/card")
def change_card(session_id: str) -> BaseResponse:
    """Have a new card pay everything from now on.

    Simplified: a card that asks for 3-D Secure asks at the next payment, not here.
    """
    account = current_account()
    form = request.form

    with account.store.lock:
        account.life.catch_up()
        session = _find(account, "billing_portal.session", session_id)
        customer = _find(account, "customer", session["customer"])
        card = CardForm(
            number=form.get("card_number", ""),
            expiry=form.get("card_expiry", ""),
            cvc=form.get("card_cvc", ""),
            name=form.get("card_name", "").strip() or None,
        )

        with account.core.on_clock_of(customer):
            try:
                account.checkout.check_card(card)
            except ApiError as error:
                return _card_page(session, error)

            month, year = account.checkout.read_expiry(card)
            card_id = account.payment_methods.add(
                card.number,
                customer_id=customer["id"],
                exp_month=month,
                exp_year=year,
                email=customer["email"],
                name=card.name,
            )["id"]

            with account.core.changing(customer, "customer.updated"):
                customer["invoice_settings"]["default_payment_method"] = card_id

            # One with a card of its own would go on with the old one.
            for subscription in account.subscriptions.of_customer(customer["id"]):
                if subscription["default_payment_method"]:
                    account.subscriptions.change(
                        subscription, {"default_payment_method": card_id}
                    )

    account.delivery.drain()
    return _after_flow(session)


def _after_flow(session: Object) -> BaseResponse:
    """Go where the app wants it, or to the portal's first page."""
    after = (session["flow"] or {}).get("after_completion") or {}

    if after.get("type") == "redirect":
        return redirect(after["redirect"]["return_url"], 303)

    return redirect(url_for(".portal", session_id=session["id"], home=1), 303)


def _features(account: Account, session: Object) -> Object:
    configuration = account.portal_configurations.get(session["configuration"])
    features: Object = configuration["features"]
    return features


def _prices_for(
    account: Account, session: Object, subscription: Object
) -> Sequence[tuple[Object, str]]:
    """Return the prices that a customer may change to, each with its product's name.

    Those of the configuration; with the default one, that names none, all recurring
    ones, so that there is something to try.
    """
    configuration = account.portal_configurations.get(session["configuration"])
    rules = configuration["features"]["subscription_update"]
    items = subscription["items"]["data"]
    named = {
        price_id
        for product in rules["products"] or ()
        for price_id in product["prices"]
    }

    if (
        not (rules["enabled"] or configuration["is_default"])
        or len(items) != 1
        or subscription["status"] not in ("active", "past_due", "trialing")
    ):
        return []

    found = []

    for price in reversed(account.store.all("price")):
        if (
            price["active"]
            and price["recurring"]
            and price["currency"] == subscription["currency"]
            and price["id"] != items[0]["price"]["id"]
            and (price["id"] in named or (configuration["is_default"] and not named))
        ):
            product = account.store.find("product", price["product"])
            found.append((price, product["name"] if product else price["product"]))

    return found


def _price_page(
    account: Account,
    session: Object,
    subscription: Object,
    error: ApiError | None = None,
) -> BaseResponse:
    rules = _features(account, session)["subscription_update"]
    page = render_template(
        "sandbox/price.html",
        session=session,
        entry=_describe(account, subscription),
        prices=_prices_for(account, session, subscription),
        ends_trial=subscription["status"] == "trialing"
        and rules["trial_update_behavior"] == "end_trial",
        error=error,
    )
    return make_response(page, 402 if error else 200)


def _card_page(session: Object, error: ApiError | None = None) -> BaseResponse:
    page = render_template(
        "sandbox/card.html", session=session, error=error, form=request.form
    )
    return make_response(page, 402 if error else 200)


def _of_portal(
    account: Account, session_id: str, subscription_id: str
) -> tuple[Object, Object]:
    session = _find(account, "billing_portal.session", session_id)
    subscription = _find(account, "subscription", subscription_id)

    if subscription["customer"] != session["customer"]:
        abort(404)

    return session, subscription


# The dashboard


@bp.get("/")
def dashboard() -> str:
    account = current_account()

    with account.store.lock:
        account.life.catch_up()
        store = account.store
        return render_template(
            "sandbox/dashboard.html",
            api_key=account.api_key,
            url=account.core.base_url,
            now=account.clock.now(),
            next_step=account.life.next_step(),
            jumps=_jumps(account),
            faults=[(_fault_key(fault), fault) for fault in account.faults],
            fault_kinds=KINDS,
            fault_counts=_COUNTS,
            customers=[
                customer
                for customer in store.all("customer")
                if not customer.get("deleted")
            ],
            subscriptions=[
                _describe(account, subscription)
                for subscription in store.all("subscription")
            ],
            open_sessions=[
                session
                for session in store.all("checkout.session")
                if session["status"] == "open"
            ],
            endpoints=store.all("webhook_endpoint"),
            events=[
                (event, store.hidden[event["id"]])
                for event in store.all("event")[:_EVENTS_SHOWN]
            ],
            event_count=len(store.all("event")),
        )


@bp.post("/clock")
def move_clock() -> BaseResponse:
    account = current_account()
    jump = request.form.get("jump", "")

    with account.store.lock:
        account.life.catch_up()
        now = account.clock.now()

        if jump in _JUMPS:
            moment = now + _JUMPS[jump]
        else:
            known = {name: at for name, _, at in _jumps(account)}

            if jump not in ("next", "renewal", "trial"):
                abort(400, "Unknown jump.")

            moment = known.get(jump, now)

    account.advance_to(max(moment, account.clock.now()))
    account.delivery.drain()
    return redirect(url_for(".dashboard"), 303)


def _jumps(account: Account) -> Sequence[tuple[str, str, int]]:
    """Return name, words and time of what the clock can be moved to."""
    moments: dict[str, list[int]] = {"renewal": [], "trial": []}

    for subscription in account.store.all("subscription"):
        end = subscription["cancel_at"]

        if subscription["test_clock"] is not None:
            continue

        if subscription["status"] == "trialing":
            name, at = "trial", subscription["trial_end"]
        elif subscription["status"] in ("active", "past_due", "unpaid"):
            name, at = "renewal", period_end(subscription, min)
        else:
            continue

        if end is None or end > at:
            moments[name].append(at)

    words = {"renewal": "next renewal", "trial": "end of the trial"}
    found = [(name, words[name], min(ats)) for name, ats in moments.items() if ats]
    step = account.life.next_step()

    if step is not None:
        is_there = step.what in ("renewal", "end of the trial")
        what = "" if is_there else step.what
        found.insert(0, ("next", what, step.at))

    return found


# Faults, on the dashboard


@bp.post("/faults")
def add_fault() -> BaseResponse:
    account = current_account()
    kind = request.form.get("kind", "")
    count = request.form.get("count", "once")
    on = request.form.get("on", "").strip() or "*"

    if kind not in KINDS or count not in _COUNTS:
        abort(400, "Unknown fault.")

    _, times, probability = _COUNTS[count]

    try:
        account.faults.add(
            cast(WebhookFault | ApiFault, kind),
            on,
            times=times,
            probability=probability,
        )
    except ValueError as error:
        abort(400, str(error))

    return redirect(url_for(".dashboard", _anchor="faults"), 303)


@bp.post("/faults/remove")
def remove_fault() -> BaseResponse:
    """Take one fault back, or all of them if none is named."""
    faults = current_account().faults
    key = request.form.get("fault")

    if key is None:
        faults.clear()

    for fault in faults:
        if _fault_key(fault) == key:
            faults.remove(fault)

    return redirect(url_for(".dashboard", _anchor="faults"), 303)


def _fault_key(fault: Fault) -> str:
    return f"{id(fault):x}"


# Events, on the dashboard


@bp.post("/events/<event_id>/resend")
def resend(event_id: str) -> BaseResponse:
    """Send an event once more to the endpoints that it was for."""
    account = current_account()

    with account.store.lock:
        _find(account, "event", event_id)
        endpoints = account.store.hidden[event_id]["endpoints"]

    account.delivery.resend(event_id, endpoints)

    if request.form.get("back") == "event":
        return redirect(url_for(".show_event", event_id=event_id), 303)

    return redirect(url_for(".dashboard", _anchor=event_id), 303)


@bp.get("/events/<event_id>")
def show_event(event_id: str) -> str:
    account = current_account()

    with account.store.lock:
        event = _find(account, "event", event_id)
        return render_template(
            "sandbox/event.html",
            event=event,
            attempts=account.store.hidden[event_id]["attempts"],
            endpoints=account.store.hidden[event_id]["endpoints"],
        )


def _find(account: Account, kind: str, object_id: str) -> Object:
    obj = account.store.find(kind, object_id)

    if obj is None or obj.get("deleted"):
        abort(404, f"There is no {kind} with the id {object_id}.")

    return obj


def _describe(account: Account, subscription: Object) -> dict[str, Any]:
    """Return what the templates show of a subscription."""
    store = account.store
    customer = store.find("customer", subscription["customer"]) or {}
    card = store.find("payment_method", subscription["default_payment_method"])
    names = []

    for item in subscription["items"]["data"]:
        product = store.find("product", item["price"]["product"])
        names.append(product["name"] if product else item["price"]["product"])

    first = subscription["items"]["data"][0]
    return {
        "subscription": subscription,
        "name": " + ".join(names),
        "price": first["price"],
        "quantity": first["quantity"],
        "ends": subscription["status"] in FINAL,
        "period_end": period_end(subscription, min),
        "card": card and card["card"],
        "email": customer.get("email"),
    }
