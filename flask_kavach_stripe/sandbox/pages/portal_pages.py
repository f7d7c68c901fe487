"""The customer portal: overview, end and pauses, price and quantity, customer.

A page of one customer's session never shows or changes another customer's objects: that
answers 404.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort
from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from ..account import Account
from ..hosted.portal_rules import Choice
from ..object_store import Object
from ..params import decode
from ..recurring.subscription_object import FINAL
from ..sandbox_errors import ApiError
from ..sandbox_errors import AuthenticationRequired
from .blueprint import acting
from .blueprint import bp
from .blueprint import card_form
from .blueprint import describe
from .blueprint import find
from .blueprint import product_name
from .blueprint import reading

_SUBSCRIPTION = "/p/session/<session_id>/subscriptions/<subscription_id>"


@bp.get("/p/session/<session_id>")
def portal(session_id: str) -> BaseResponse:
    """Show the first page, or go to the flow that the session is for."""
    with reading() as account:
        session = find(account, "billing_portal.session", session_id)

        if "home" not in request.args and (url := _flow_url(account, session)):
            return redirect(url)

        features = account.portal.features(session)
        customer = find(account, "customer", session["customer"])
        page = render_template(
            "sandbox/portal.html",
            session=session,
            customer=customer,
            features=features,
            subscriptions=[
                {
                    **describe(account, subscription),
                    "may": account.portal_rules.allowed(features, subscription),
                }
                for subscription in account.store.all("subscription")
                if subscription["customer"] == customer["id"]
            ],
            invoices=[
                invoice
                for invoice in account.invoices.of_customer(customer["id"])
                if invoice["status"] != "draft"
            ],
        )
        return make_response(page)


def _flow_url(account: Account, session: Object) -> str | None:
    """Return the page that a session's flow leads to, if there is still one."""
    flow = session["flow"]

    if flow is None:
        return None

    if flow["type"] == "payment_method_update":
        return url_for(".card", session_id=session["id"])

    details = flow[flow["type"]]
    ids = {
        "session_id": session["id"],
        "subscription_id": details["subscription"],
    }

    if flow["type"] == "subscription_update":
        return url_for(".choose_price", **ids)

    if flow["type"] == "subscription_update_confirm":
        wanted = {name: details["items"][0][name] for name in ("price", "quantity")}
        return url_for(".confirm_price", **ids, **wanted)

    subscription = find(account, "subscription", details["subscription"])

    if subscription["status"] in FINAL or subscription["cancel_at"]:
        return None

    return url_for(".confirm_cancel", **ids)


def after_completion(session: Object, *kinds: str) -> BaseResponse:
    """Go where the app wants it when a flow is done, or to the portal's first page.

    :param kinds: The flows that what was done just now completes.
    """
    flow = session["flow"] or {}
    after = flow["after_completion"] if flow.get("type") in kinds else {}

    if after.get("type") == "redirect":
        return redirect(after["redirect"]["return_url"], 303)

    if after.get("type") == "hosted_confirmation":
        return redirect(url_for(".done", session_id=session["id"]), 303)

    return _home(session)


@bp.get("/p/session/<session_id>/done")
def done(session_id: str) -> BaseResponse:
    """Say that a flow is complete."""
    with reading() as account:
        session = find(account, "billing_portal.session", session_id)
        after = (session["flow"] or {}).get("after_completion") or {}
        confirmation = after.get("hosted_confirmation") or {}
        page = render_template(
            "sandbox/done.html",
            session=session,
            message=confirmation.get("custom_message"),
        )
        return make_response(page)


# The end, and pauses


@bp.get(f"{_SUBSCRIPTION}/cancel")
def confirm_cancel(session_id: str, subscription_id: str) -> BaseResponse:
    """Ask whether to cancel, and why if the configuration wants to know."""
    with reading() as account:
        session, subscription = _find_both(account, session_id, subscription_id)
        features = account.portal.features(session)
        rules = account.portal_rules.require(features, "subscription_cancel")

        if not account.portal_rules.allowed(features, subscription).cancel:
            return _home(session)

        page = render_template(
            "sandbox/cancel.html",
            session=session,
            entry=describe(account, subscription),
            rules=rules,
        )
        return make_response(page)


@bp.post(f"{_SUBSCRIPTION}/cancel")
def cancel(session_id: str, subscription_id: str) -> BaseResponse:
    """End the subscription, now or with its period."""
    with acting() as account:
        session, subscription = _find_both(account, session_id, subscription_id)
        account.portal.cancel(session, subscription, request.form.to_dict())

    return after_completion(session, "subscription_cancel")


@bp.post(f"{_SUBSCRIPTION}/<any(keep, pause, resume):action>")
def act(session_id: str, subscription_id: str, action: str) -> BaseResponse:
    """Do what needs no question before."""
    with acting() as account:
        session, subscription = _find_both(account, session_id, subscription_id)
        actions = {
            "keep": account.portal.keep,
            "pause": account.portal.pause,
            "resume": account.portal.resume,
        }
        actions[action](session, subscription)
        return _home(session)


# Price and quantity: choose, see what it costs, confirm


@bp.get(f"{_SUBSCRIPTION}/price")
def choose_price(session_id: str, subscription_id: str) -> BaseResponse:
    """Show which prices and quantities there are to choose."""
    with reading() as account:
        session, subscription = _find_both(account, session_id, subscription_id)
        account.portal_rules.require(
            account.portal.features(session), "subscription_update"
        )
        return _choice_page(account, session, subscription)


@bp.get(f"{_SUBSCRIPTION}/price/confirm")
def confirm_price(session_id: str, subscription_id: str) -> BaseResponse:
    """Show what a change costs. The address says what is wanted."""
    with reading() as account:
        session, subscription = _find_both(account, session_id, subscription_id)
        account.portal_rules.require(
            account.portal.features(session), "subscription_update"
        )

        try:
            choice = _read_choice(account, session, subscription, request.args)
            return _confirm_page(account, session, subscription, choice)
        except ApiError as error:
            return _choice_page(account, session, subscription, error)


@bp.post(f"{_SUBSCRIPTION}/price/confirm")
def change_price(session_id: str, subscription_id: str) -> BaseResponse:
    """Make the change that was confirmed."""
    with acting() as account:
        session, subscription = _find_both(account, session_id, subscription_id)
        choice = _read_choice(account, session, subscription, request.form)

        try:
            account.portal.update(session, subscription, choice)
        except ApiError as error:
            return _confirm_page(account, session, subscription, choice, error)

    return after_completion(
        session, "subscription_update", "subscription_update_confirm"
    )


def _read_choice(
    account: Account, session: Object, subscription: Object, form: Mapping[str, str]
) -> Choice:
    """Return what was chosen, if it is offered.

    :raises ApiError: If not.
    """
    wanted = {
        name: form[name]
        for name in ("price", "promotion_code", "quantity")
        if name in form
    }
    features = account.portal.features(session)
    return account.portal_rules.choose(features, subscription, wanted)


def _choice_page(
    account: Account,
    session: Object,
    subscription: Object,
    error: ApiError | None = None,
) -> BaseResponse:
    """Show what there is to choose.

    :param error: Why a choice was refused.
    """
    features = account.portal.features(session)
    offers = account.portal_rules.offers(features, subscription)
    allowed = features["subscription_update"]["default_allowed_updates"]
    item = subscription["items"]["data"][0]
    page = render_template(
        "sandbox/price.html",
        session=session,
        entry=describe(account, subscription),
        offers=[(offer, product_name(account, offer.price)) for offer in offers],
        wanted={
            "price": request.args.get("price", item["price"]["id"]),
            "quantity": request.args.get("quantity", item["quantity"]),
            "promotion_code": request.args.get("promotion_code", ""),
        },
        asks_quantity=any(offer.minimum < offer.maximum for offer in offers),
        asks_code="promotion_code" in allowed,
        error=error,
    )
    return make_response(page, error.status if error else 200)


def _confirm_page(
    account: Account,
    session: Object,
    subscription: Object,
    choice: Choice,
    error: ApiError | None = None,
) -> BaseResponse:
    """Show what a change costs.

    :param error: Why it was not made.
    """
    page = render_template(
        "sandbox/confirm.html",
        session=session,
        entry=describe(account, subscription),
        choice=choice,
        code=request.values.get("promotion_code", ""),
        name=product_name(account, choice.price),
        preview=account.portal.preview(session, subscription, choice),
        ends_trial=account.portal.ends_trial(session, subscription),
        error=error,
    )
    return make_response(page, error.status if error else 200)


# The customer


@bp.get("/p/session/<session_id>/card")
def card(session_id: str) -> BaseResponse:
    """Ask for a new card."""
    with reading() as account:
        session = find(account, "billing_portal.session", session_id)
        account.portal_rules.require(
            account.portal.features(session), "payment_method_update"
        )
        return card_page(session)


@bp.post("/p/session/<session_id>/card")
def change_card(session_id: str) -> BaseResponse:
    """Take a new card, or go on to 3-D Secure."""
    with acting() as account:
        session = find(account, "billing_portal.session", session_id)

        try:
            account.portal.change_card(session, card_form())
        except AuthenticationRequired:
            return redirect(url_for(".authentication", object_id=session_id), 303)
        except ApiError as error:
            return card_page(session, error)

    return after_completion(session, "payment_method_update")


def card_page(
    session: Object,
    error: ApiError | None = None,
    form: Mapping[str, Any] | None = None,
) -> BaseResponse:
    """Ask for a card.

    :param error: Why the one before was refused.
    :param form: What was typed in, if not in this request.
    """
    page = render_template(
        "sandbox/card.html",
        session=session,
        error=error,
        form=request.form if form is None else form,
    )
    return make_response(page, error.status if error else 200)


@bp.get("/p/session/<session_id>/details")
def details(session_id: str) -> BaseResponse:
    """Ask for the details that the configuration lets a customer change."""
    with reading() as account:
        session = find(account, "billing_portal.session", session_id)
        features = account.portal.features(session)
        rules = account.portal_rules.require(features, "customer_update")
        page = render_template(
            "sandbox/details.html",
            session=session,
            customer=find(account, "customer", session["customer"]),
            allowed=rules["allowed_updates"],
        )
        return make_response(page)


@bp.post("/p/session/<session_id>/details")
def change_details(session_id: str) -> BaseResponse:
    """Change the details. The form's fields are named as the API's parameters."""
    with acting() as account:
        session = find(account, "billing_portal.session", session_id)
        params = decode(request.form.items(multi=True))
        account.portal.update_customer(session, params)
        return _home(session)


def _home(session: Object) -> BaseResponse:
    """Go to the first page of the portal."""
    return redirect(url_for(".portal", session_id=session["id"], home=1), 303)


def _find_both(
    account: Account, session_id: str, subscription_id: str
) -> tuple[Object, Object]:
    """Return a session and a subscription of its customer, or answer 404."""
    session = find(account, "billing_portal.session", session_id)
    subscription = find(account, "subscription", subscription_id)

    if subscription["customer"] != session["customer"]:
        abort(404)

    return session, subscription
