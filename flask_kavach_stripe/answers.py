"""How the endpoints answer a failure: programs with JSON, people with a page.

A program gets ``{"error": "<a sentence>", "code": "<for programs>"}``. A person has
pressed a button of a form, and is sent back to the page with that button; the sentence
is flashed there, with the category ``error``.

``views`` has the errors of the checkout and the portal answered by handlers that are
registered on the blueprint alone: the app's own error pages stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from typing import Final

from flask import Blueprint
from flask import current_app
from flask import flash
from flask import jsonify
from flask import redirect
from flask import Request
from flask import request
from flask import Response
from flask import session
from flask import url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from .database.setup import missing_tables
from .errors import AlreadySubscribedError
from .errors import APIConnectionError
from .errors import ConfigurationError
from .errors import InvalidRequestError
from .errors import NoCustomerError
from .errors import RateLimitError
from .errors import StripeError
from .errors import UnknownCustomerError
from .forms import Fields
from .forms import is_form
from .forms import RequestRefused
from .origins import app_path
from .origins import own_path
from .origins import resolve_redirect
from .origins import UntrustedRedirect
from .state import get_state

logger: Final = logging.getLogger(__name__)

BLUEPRINT: Final = "kavach_stripe"

_RETRY_AFTER: Final = {"Retry-After": "5"}  # seconds

#: The endpoints that a form may post to, each with its field for the way back.
_RETURN_FIELDS: Final = {
    f"{BLUEPRINT}.checkout": "cancelUrl",
    f"{BLUEPRINT}.portal": "returnUrl",
}


def prefers_json(request: Request) -> bool:
    """Whether the client accepts JSON rather than HTML.

    A client that accepts both alike, as ``*/*`` does, gets text.
    """
    best = request.accept_mimetypes.best_match(
        ("text/html", "application/json"), default="text/html"
    )
    return best == "application/json"


def is_from_person(request: Request) -> bool:
    """Whether a person pressed a button of a form that posts to one of our endpoints.

    A script that posts a form and asks for JSON is a program.
    """
    return (
        request.endpoint in _RETURN_FIELDS
        and is_form(request)
        and not prefers_json(request)
    )


def error_answer(
    sentence: str, code: str, status: int, headers: dict[str, str] | None = None
) -> ResponseReturnValue:
    """The answer to a request that failed: JSON, or for a person the page before.

    :param sentence: A fixed text of ours, or one about a field. Texts of Stripe and of
        the database go to the log, never to the browser.
    :param code: What programs compare; ``docs/errors.rst`` lists all codes.
    :param status: The HTTP status of the JSON.
    """
    if not is_from_person(request):
        return jsonify(error=sentence, code=code), status, headers or {}

    if code == "cross_site_request":  # the page before is another site's
        return Response(f"{sentence}\n", status, mimetype="text/plain")

    if current_app.session_interface.is_null_session(session):
        logger.warning(
            "This was not flashed, as the app has no 'SECRET_KEY': %s", sentence
        )
    else:
        flash(sentence, "error")

    return redirect(_page_before(), 303)


def unavailable(code: str) -> ResponseReturnValue:
    """503 with ``Retry-After``, for a failure that may be over in a moment."""
    return error_answer("Try again in a moment.", code, 503, _RETRY_AFTER)


def redirect_visitor() -> ResponseReturnValue:
    """The answer to ``GET`` on the checkout and the portal, which only take ``POST``.

    Flask-Login's ``next`` leads there after a log-in. The visitor is sent to
    ``STRIPE_SUBSCRIPTION_VIEW``, else to ``STRIPE_CANCEL_URL``, else to the root.
    """
    settings = get_state().settings

    if settings.subscription_view is not None:
        return redirect(url_for(settings.subscription_view), 303)

    return redirect(app_path(settings.cancel_url or "/"), 303)


def _page_before() -> str:
    """Where a person goes back to, after a form that failed.

    :return: The page of ours that the form is on, by ``Referer``. Else the place that
        the form names for the way back, if it may; else the configured one; else the
        app's root.
    """
    path = own_path(request.referrer)

    if path is not None and path.partition("?")[0] not in _own_endpoints():
        return path

    settings = get_state().settings
    field = _RETURN_FIELDS[request.endpoint or ""]

    # The body may be what failed. Then it names no place.
    with suppress(HTTPException, RequestRefused, UntrustedRedirect):
        url = Fields(request).text(field)

        if url is not None:
            return resolve_redirect(url, settings=settings)

    if field == "returnUrl" and settings.portal_return_url is not None:
        return app_path(settings.portal_return_url)

    return app_path(settings.cancel_url or "/")


def _own_endpoints() -> set[str]:
    """The paths of our own endpoints, as a browser knows them."""
    return {
        f"{request.script_root}{rule.rule}"
        for rule in current_app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] == BLUEPRINT
    }


# -- one answer for each error ---------------------------------------------------------


def register_error_handlers(bp: Blueprint) -> None:
    """Have the blueprint answer the errors of its views."""
    bp.register_error_handler(RequestRefused, _answer_refusal)
    bp.register_error_handler(UntrustedRedirect, _answer_untrusted_redirect)
    bp.register_error_handler(NoCustomerError, _answer_no_customer)
    bp.register_error_handler(UnknownCustomerError, _answer_unknown_customer)
    bp.register_error_handler(AlreadySubscribedError, _answer_already_subscribed)
    bp.register_error_handler(ConfigurationError, _answer_configuration)
    bp.register_error_handler(StripeError, _answer_stripe)
    bp.register_error_handler(SQLAlchemyError, answer_database)
    bp.register_error_handler(HTTPException, _answer_http)


def _answer_refusal(error: RequestRefused) -> ResponseReturnValue:
    return error_answer(str(error), error.code, error.status)


def _answer_untrusted_redirect(error: UntrustedRedirect) -> ResponseReturnValue:
    """400 for a request with a malformed ``Host`` header.

    The app's own redirect URLs are often paths, and :func:`.absolute_url` completes
    them with that header. URLs from the body never come here: the views refuse them.
    """
    return error_answer(str(error), "untrusted_redirect", 400)


def _answer_no_customer(error: NoCustomerError) -> ResponseReturnValue:
    return error_answer("This user has no customer at Stripe.", "no_customer", 404)


def _answer_unknown_customer(error: UnknownCustomerError) -> ResponseReturnValue:
    """409: the customer may be there again, with the right key. The log says more."""
    return error_answer(
        "The billing data of this account are not known to Stripe under the present"
        " key.",
        "unknown_customer",
        409,
    )


def _answer_already_subscribed(error: AlreadySubscribedError) -> ResponseReturnValue:
    sentence = "There is a subscription already. Manage it in the billing portal."
    return error_answer(sentence, "already_subscribed", 409)


def _answer_configuration(error: ConfigurationError) -> ResponseReturnValue:
    logger.error("%s", error)
    return error_answer("Billing is not set up correctly.", "stripe_error", 502)


def _answer_stripe(error: StripeError) -> ResponseReturnValue:
    """Log Stripe's text and answer with a sentence of our own.

    400 for a parameter that Stripe refuses, 503 if another try may succeed, 502 for
    everything else, such as a wrong key. Stripe's ``code`` and the name of the
    parameter reach the browser, Stripe's message does not.
    """
    logger.error("Stripe failed: %s", error)

    if isinstance(error, InvalidRequestError):
        if _is_currency_conflict(error):
            return error_answer(
                "This account pays in another currency. Choose a price in that one.",
                "currency_conflict",
                409,
            )

        refused = "the request" if error.param is None else f"'{error.param}'"
        return error_answer(
            f"Stripe refused {refused}.", error.code or "invalid_request", 400
        )

    if isinstance(error, APIConnectionError | RateLimitError):
        return unavailable("stripe_unavailable")

    return error_answer("Stripe could not do this.", "stripe_error", 502)


def _is_currency_conflict(error: InvalidRequestError) -> bool:
    """Whether a customer would pay in two currencies, which Stripe does not allow.

    Stripe has no code for it, but two sentences: about "combining currencies", and
    about a price whose currency "does not match the customer currency".
    """
    message = error.message.lower()
    return "combine currencies" in message or "customer currency" in message


def answer_database(error: SQLAlchemyError) -> ResponseReturnValue:
    """Log a database error without its parameters, which are the customers' data.

    Rolls back. Then the tables are looked at, as a migration that was not run is the
    likeliest reason: 500 if a table or a column is missing, else 503.
    """
    state = get_state()
    state.session.rollback()

    try:
        missing = missing_tables(state.session, state.models)
    except SQLAlchemyError:
        missing = []

    if missing:
        logger.error(
            "The database lacks %s. Run 'flask db migrate' and 'flask db upgrade'.",
            ", ".join(missing),
        )
        return error_answer("Billing is not set up correctly.", "missing_table", 500)

    logger.error("The database failed: %s", _summarise(error))
    return unavailable("database_unavailable")


def _summarise(error: SQLAlchemyError) -> str:
    """The classes of a database error, its code and its statement.

    The driver's own text is left out: it quotes values, such as the key that is there
    twice.
    """
    if not isinstance(error, DBAPIError):
        return type(error).__name__

    driver_error = error.orig
    code = getattr(driver_error, "sqlstate", None)  # PostgreSQL's drivers

    if code is None and driver_error is not None:  # MySQL's have a number among `args`
        code = next((arg for arg in driver_error.args if isinstance(arg, int)), None)

    return (
        f"{type(error).__name__} ({type(driver_error).__name__}, code {code})"
        f" in {error.statement!r}"
    )


def _answer_http(error: HTTPException) -> ResponseReturnValue:
    """Errors of Flask and Werkzeug as JSON, such as 413 ``request_entity_too_large``.

    Only those that a view of this blueprint raises, or a function that Flask runs
    before it; a wrong method or path is answered before Flask knows the blueprint. A
    person gets the app's own error page. Flask has looked for the app's handler of the
    status before it came here, but not for one of all HTTP errors.
    """
    if is_from_person(request):
        handler = _find_general_handler(error)
        return error if handler is None else current_app.ensure_sync(handler)(error)

    code = error.name.lower().replace(" ", "_")
    return error_answer(error.description or error.name, code, error.code or 500)


def _find_general_handler(error: HTTPException) -> Callable[[Any], Any] | None:
    """The app's handler for all HTTP errors, or for all errors, if it has one."""
    handlers = current_app.error_handler_spec[None][None]
    classes = type(error).__mro__
    return next((handlers[each] for each in classes if each in handlers), None)
