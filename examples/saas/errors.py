"""Pages for what goes wrong."""

from __future__ import annotations

from flask import current_app
from flask import Flask
from flask import render_template
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from flask_kavach_stripe import CheckoutSessionMismatch
from flask_kavach_stripe import StripeError


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, show_http_error)
    app.register_error_handler(CSRFError, show_csrf_error)
    app.register_error_handler(StripeError, show_stripe_error)
    app.register_error_handler(CheckoutSessionMismatch, show_mismatch)


def show_http_error(error: HTTPException) -> ResponseReturnValue:
    return _page(error.name, error.description or "", error.code or 500)


def show_csrf_error(error: CSRFError) -> ResponseReturnValue:
    return _page("This form is too old", "Go back, load the page again and retry.", 400)


def show_stripe_error(error: StripeError) -> ResponseReturnValue:
    # Stripe's text is for those who run the app.
    current_app.logger.error("Stripe failed: %s", error)
    return _page("Stripe does not answer", "Nothing was changed. Try again soon.", 503)


def show_mismatch(error: CheckoutSessionMismatch) -> ResponseReturnValue:
    return _page("This is not yours", "Another account has paid this.", 403)


def _page(title: str, text: str, status: int) -> ResponseReturnValue:
    return render_template("error.html", title=title, text=text), status
