"""The page of an invoice, at its ``hosted_invoice_url``.

The address may name the portal session that led there, for the way back.
"""

from __future__ import annotations

from flask import abort
from flask import make_response
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from ..account import Account
from ..object_store import Object
from ..sandbox_errors import ApiError
from .blueprint import acting
from .blueprint import bp
from .blueprint import find
from .blueprint import reading


@bp.get("/i/<invoice_id>")
def show_invoice(invoice_id: str) -> BaseResponse:
    """Show an invoice; a draft has no page (404)."""
    with reading() as account:
        return _page(account, find(account, "invoice", invoice_id))


@bp.post("/i/<invoice_id>")
def pay_invoice(invoice_id: str) -> BaseResponse:
    """Pay with the customer's card. The customer is there, for 3-D Secure."""
    refused = None

    with acting() as account:
        invoice = find(account, "invoice", invoice_id)

        if invoice["status"] == "open":
            try:
                with account.world.on_clock_of(invoice):
                    account.paying.pay_invoice({"off_session": "false"}, invoice_id)
            except ApiError as error:
                refused = error

        intent = account.payments.of_invoice(invoice)

        if intent is not None and intent["status"] == "requires_action":
            return redirect(
                url_for(
                    ".authentication", object_id=intent["id"], portal=from_portal()
                ),
                303,
            )

        if refused is not None:
            return _page(account, invoice, refused.message)

    return redirect(invoice_url(invoice_id), 303)


def invoice_url(invoice_id: str) -> str:
    """Return the address of an invoice's page, with the same way back."""
    return url_for(".show_invoice", invoice_id=invoice_id, portal=from_portal())


def from_portal() -> str | None:
    """Return the portal session that led here, as the address says."""
    return request.args.get("portal")


def _page(
    account: Account, invoice: Object, refusal: str | None = None
) -> BaseResponse:
    """Show an invoice.

    :param refusal: Why it could not be paid just now.
    """
    if invoice["status"] == "draft":
        abort(404, "This invoice is a draft: nobody sees it yet.")

    intent = account.payments.of_invoice(invoice) or {}
    last = intent.get("last_payment_error") or {}
    session = account.store.find("billing_portal.session", from_portal())
    page = render_template(
        "sandbox/invoice.html",
        invoice=invoice,
        asks=intent.get("status") == "requires_action" and intent["id"],
        refusal=refusal or (invoice["status"] == "open" and last.get("message")),
        can_pay=invoice["status"] == "open",
        session=session
        if session and session["customer"] == invoice["customer"]
        else None,
    )
    return make_response(page, 402 if refusal else 200)
