"""The page of a Checkout session: what is bought, for how much, and the card."""

from __future__ import annotations

from collections.abc import Mapping

from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from ..account import Account
from ..clock import next_boundary
from ..object_store import Object
from ..sandbox_errors import ApiError
from ..sandbox_errors import AuthenticationRequired
from .blueprint import bp
from .blueprint import card_form
from .blueprint import find
from .blueprint import product_name
from .blueprint import reading


@bp.get("/c/pay/<session_id>")
def checkout(session_id: str) -> BaseResponse:
    """Show a session."""
    with reading() as account:
        return checkout_page(account, find(account, "checkout.session", session_id))


@bp.post("/c/pay/<session_id>")
def pay(session_id: str) -> BaseResponse:
    """Pay a session, and go on to the app's success page or to 3-D Secure."""
    with reading() as account:
        session = find(account, "checkout.session", session_id)

        if session["status"] == "expired":
            return checkout_page(account, session)

        if session["status"] == "open":
            wanted = account.checkout.needs_card(session)

            try:
                account.checkout.complete(
                    session,
                    email=request.form.get("email", "").strip(),
                    card=card_form() if wanted else None,
                )
            except AuthenticationRequired:
                return redirect(url_for(".authentication", object_id=session_id), 303)
            except ApiError as error:
                return checkout_page(account, session, error)

        # Otherwise it is complete: the button was pressed twice.

    return to_success(account, session)


@bp.post("/c/pay/<session_id>/code")
def apply_code(session_id: str) -> BaseResponse:
    """Use the promotion code that was typed in; an empty one takes it back."""
    code = request.form.get("promotion_code", "")

    with reading() as account:
        session = find(account, "checkout.session", session_id)

        if session["status"] == "open":
            try:
                account.checkout.apply_promotion_code(session, code)
            except ApiError as error:
                return checkout_page(account, session, code_error=error)

    return redirect(url_for(".checkout", session_id=session_id), 303)


def to_success(account: Account, session: Object) -> BaseResponse:
    """Send the buyer of a complete session back to the app.

    Whoever calls does not hold the lock.
    """
    with account.store.lock:
        event_id = account.store.hidden[session["id"]]["completed_event"]
        target = success_url(session)

    # As Stripe does, so that the success page finds the subscription.
    account.delivery.wait_for(event_id)

    return redirect(target, 303)


def success_url(session: Object) -> str:
    """Return where the buyer goes after paying, with the session's id in it."""
    target: str = session["success_url"]
    return target.replace("{CHECKOUT_SESSION_ID}", session["id"])


def checkout_page(
    account: Account,
    session: Object,
    error: ApiError | None = None,
    form: Mapping[str, str | None] | None = None,
    code_error: ApiError | None = None,
) -> BaseResponse:
    """Show a session, or that it is closed (410 if it has expired).

    :param error: Why it was not paid; then the status is 402.
    :param form: What was typed in, if not in this request.
    :param code_error: Why a promotion code was not taken; then, too.
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
                "name": product_name(account, price),
                "description": product and product["description"],
                "price": price,
                "quantity": quantity,
                "amount": price["unit_amount"] * quantity,
            }
        )

    codes = [entry["promotion_code"] for entry in session["discounts"]]
    code = account.store.find("promotion_code", codes[0] if codes else None)
    recurring = lines[0]["price"]["recurring"]
    page = render_template(
        "sandbox/checkout.html",
        session=session,
        lines=lines,
        error=error,
        code=code and code["code"],
        code_error=code_error,
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
    refused = error or code_error
    return make_response(page, 402 if refused else 200)
