"""The four endpoints: HTTP in, HTTP out. The rules are elsewhere.

A view reads the request (``forms``, ``origins``), calls ``billing`` or, for a webhook,
``events.receive``, and turns the result into a response. Errors become JSON,
``{"error": "<a sentence>", "code": "<for programs>"}``, through error handlers that
are registered on the blueprint alone: the app's own error pages stay as they are.

The views are functions of this module, so that an app can name one of them, as in
``csrf.exempt(views.webhook)``.
"""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from flask import Blueprint
from flask import current_app
from flask import jsonify
from flask import redirect
from flask import request
from flask import Response
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import RequestEntityTooLarge

from .billing.checkout import start_checkout
from .billing.offers import choose_price
from .billing.offers import grant_trial
from .billing.offers import refuse_second_subscription
from .billing.portal import create_portal_session
from .database.setup import missing_tables
from .errors import APIConnectionError
from .errors import ConfigurationError
from .errors import InvalidPayloadError
from .errors import InvalidRequestError
from .errors import NoCustomerError
from .errors import RateLimitError
from .errors import SignatureVerificationError
from .errors import StripeError
from .errors import UnknownCustomerError
from .events.receive import receive
from .events.run import EnqueueError
from .events.run import HandlerError
from .forms import Fields
from .forms import missing_field
from .forms import RequestRefused
from .guards import find_current_subscription
from .origins import is_cross_site
from .origins import resolve_redirect
from .origins import UntrustedRedirect
from .state import get_state
from .subscriptions import Subscription

logger: Final = logging.getLogger(__name__)

#: The largest body that the webhook endpoint accepts, in bytes.
MAX_WEBHOOK_SIZE: Final = 1024 * 1024

_MAX_QUANTITY: Final = 999_999
_RETRY_AFTER: Final = {"Retry-After": "5"}  # seconds


def checkout() -> ResponseReturnValue:
    """``POST /checkout``: create a Checkout session and answer with its URL.

    The fields of the body are ``priceId`` or ``price`` (a name in ``STRIPE_PRICES``),
    ``quantity``, ``trialDays``, ``metadata``, ``successUrl`` and ``cancelUrl``. They
    are checked before a query looks for the user's subscriptions, and long before
    Stripe creates anything. The trial is checked last, as it depends on those
    subscriptions.

    Commits the open transaction of ``db.session``, and calls Stripe.

    :return: ``{"url": ..., "sessionId": ...}``; for a form, a redirect to that URL.
    :raises RequestRefused: If the user is not logged in, a field is wrong, or the user
        may not buy this.
    :raises NoCustomerError: If the user cannot pay, see :func:`_authenticate_payer`,
        or has no customer and ``STRIPE_AUTO_CREATE_CUSTOMER`` is false.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    user = _authenticate_payer()
    settings = get_state().settings
    fields = Fields(request)
    price_id, name = fields.name("priceId"), fields.name("price")

    if price_id is None and name is None:
        raise missing_field("priceId")

    quantity = fields.integer("quantity", minimum=1, maximum=_MAX_QUANTITY)
    requested_days = fields.integer("trialDays", minimum=0, maximum=10**9)
    metadata = fields.metadata("metadata")
    price = choose_price(settings, price_id=price_id, name=name)
    success_url = _redirect_field(fields, "successUrl")
    cancel_url = _redirect_field(fields, "cancelUrl")
    refuse_second_subscription(user)
    trial_days = grant_trial(settings, user, price, requested_days)
    session = start_checkout(
        user,
        price.id,
        success_url=success_url,
        cancel_url=cancel_url,
        trial_days=trial_days,
        metadata=metadata,
        quantity=quantity or 1,
        params={},
        is_searched=True,
    )

    if fields.is_form:
        return redirect(session.url, 303)

    return jsonify(url=session.url, sessionId=session.id)


def portal() -> ResponseReturnValue:
    """``POST /portal``: create a session of the billing portal, answer with its URL.

    The one field of the body is ``returnUrl``, by default
    ``STRIPE_PORTAL_RETURN_URL``. Commits the open transaction of ``db.session``, and
    calls Stripe.

    :return: ``{"url": ...}``; for a form, a redirect to that URL.
    :raises RequestRefused: If the user is not logged in or the field is wrong.
    :raises NoCustomerError: If the user has no customer, or none any more.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    user = _authenticate_payer()
    fields = Fields(request)
    return_url = _redirect_field(fields, "returnUrl")

    if return_url is None and get_state().settings.portal_return_url is None:
        raise missing_field("returnUrl")

    session = create_portal_session(user, return_url)

    if fields.is_form:
        return redirect(session.url, 303)

    return jsonify(url=session.url)


def subscription() -> ResponseReturnValue:
    """``GET /subscription``: answer with the subscription of the logged-in user.

    Only reads the user's columns; neither writes nor calls Stripe.

    :return: ``{"subscription": {...}}``, ``null`` if no subscription is running or the
        user is not of the model that pays.
    :raises RequestRefused: If the user is not logged in.
    """
    _authenticate()
    current = find_current_subscription()
    return jsonify(subscription=None if current is None else _to_json(current))


def webhook() -> ResponseReturnValue:
    """``POST /webhook``: store an event from Stripe and run the app's handlers.

    Stripe sends an event again unless the answer is 2xx: 200 if the event is stored and
    its handlers have run or are in the queue, 500 if a handler raised, 503 if the queue
    or Stripe could not be reached. :func:`.receive` describes the transactions.

    :return: ``{"received": true}``, also for a duplicate and for an event without
        handlers.
    :raises SignatureVerificationError: If Stripe did not sign the body, answered with
        400.
    :raises RequestEntityTooLarge: If the body is larger than :data:`MAX_WEBHOOK_SIZE`.
    """
    # One byte more than is allowed, because Werkzeug truncates a chunked body silently.
    request.max_content_length = MAX_WEBHOOK_SIZE + 1
    payload = request.get_data()

    if len(payload) > MAX_WEBHOOK_SIZE:
        raise RequestEntityTooLarge

    try:
        receive(get_state(), payload, request.headers.get("Stripe-Signature"))
    except HandlerError:
        return _error("A handler of this event failed.", "handler_failed", 500)
    except EnqueueError as error:
        logger.error("An event has to be sent again. %s", error, exc_info=error)
        return _unavailable("queue_unavailable")
    except (ConfigurationError, StripeError) as error:
        logger.error("An event has to be sent again, as Stripe failed: %s", error)
        return _unavailable("stripe_unavailable")

    return jsonify(received=True)


def create_blueprint() -> Blueprint:
    """A new blueprint ``kavach_stripe``, with the endpoints and their error handlers.

    One part reaches beyond the endpoints: ``current_subscription``, in all templates of
    the app.
    """
    bp = Blueprint("kavach_stripe", __name__)
    bp.post("/checkout")(checkout)
    bp.post("/portal")(portal)
    bp.get("/subscription")(subscription)
    bp.post("/webhook")(webhook)
    bp.url_value_preprocessor(_exempt_webhook)
    bp.after_request(_forbid_caching)
    bp.app_context_processor(_template_context)
    bp.register_error_handler(RequestRefused, _handle_refusal)
    bp.register_error_handler(UntrustedRedirect, _handle_untrusted_redirect)
    bp.register_error_handler(NoCustomerError, _handle_no_customer)
    bp.register_error_handler(UnknownCustomerError, _handle_unknown_customer)
    bp.register_error_handler(SignatureVerificationError, _handle_signature)
    bp.register_error_handler(ConfigurationError, _handle_configuration)
    bp.register_error_handler(StripeError, _handle_stripe)
    bp.register_error_handler(SQLAlchemyError, _handle_database)
    bp.register_error_handler(HTTPException, _handle_http)
    return bp


def _authenticate() -> Any:
    """The logged-in user, of whatever model.

    :raises RequestRefused: With status 401 if nobody is logged in. ``login_required``
        would redirect as soon as the app sets ``login_view``, which no JSON client
        expects.
    :raises RuntimeError: If the app has no ``LoginManager``.
    """
    if not hasattr(current_app, "login_manager"):
        raise RuntimeError("No Flask-Login is registered. Call 'LoginManager(app)'.")

    if not current_user.is_authenticated:
        raise RequestRefused(
            "Log in first.", code="authentication_required", status=401
        )

    return current_user._get_current_object()


def _authenticate_payer() -> Any:
    """The logged-in user of a request that may spend money.

    :raises RequestRefused: With status 401 if nobody is logged in, with 403 if another
        site made the browser send the request.
    :raises NoCustomerError: If the user is of another model than the one that pays,
        such as an administrator.
    """
    user, state = _authenticate(), get_state()

    if is_cross_site(request, state.settings):
        raise RequestRefused(
            "This request comes from another site.",
            code="cross_site_request",
            status=403,
        )

    if not isinstance(user, state.payers.user_model):
        raise NoCustomerError(f"{type(user).__name__!r} is not the model that pays.")

    return user


def _redirect_field(fields: Fields, name: str) -> str | None:
    """The URL in a field, made absolute; ``None`` if the field is missing.

    :raises RequestRefused: If the URL leads to another site than those allowed. The
        sentence names the field, which the :exc:`.UntrustedRedirect` cannot.
    """
    url = fields.text(name)

    if url is None:
        return None

    try:
        return resolve_redirect(url, settings=get_state().settings)
    except UntrustedRedirect as error:
        raise RequestRefused(
            f"The field '{name}' is refused. {error}", code="untrusted_redirect"
        ) from error


def _to_json(current: Subscription) -> dict[str, Any]:
    """A subscription as KavachOS's clients expect it: camel case, times in UTC."""
    end = current.current_period_end
    return {
        "id": current.id,
        "status": current.status,
        "priceId": current.price_id,
        "currentPeriodEnd": end and end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cancelAtPeriodEnd": current.cancel_at_period_end,
    }


def _template_context() -> dict[str, Any]:
    """The variable ``current_subscription``, for every template of the app.

    The app's error pages are templates, too. If the database fails, the variable is
    ``None`` and the error is logged, so that an error page can still be rendered.
    """
    try:
        current = find_current_subscription()
    except (ConfigurationError, SQLAlchemyError) as error:
        logger.warning("There is no 'current_subscription': %s", type(error).__name__)
        current = None

    return {"current_subscription": current}


def _exempt_webhook(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Exempt the webhook from Flask-WTF's CSRF protection: Stripe sends no token.

    The other endpoints keep the protection. Flask calls this function before any
    ``before_request`` function, and so before the protection, whichever of the two
    extensions was initialised first.
    """
    csrf = current_app.extensions.get("csrf")

    if csrf is not None:
        csrf.exempt(webhook)


def _forbid_caching(response: Response) -> Response:
    """Keep every answer out of caches: it belongs to one user."""
    response.headers["Cache-Control"] = "no-store"
    return response


# -- errors --------------------------------------------------------------------------


def _error(
    sentence: str, code: str, status: int, headers: dict[str, str] | None = None
) -> ResponseReturnValue:
    """The JSON of every error.

    :param sentence: A fixed text of ours, or one about a field. Texts of Stripe and of
        the database go to the log, never to the browser.
    :param code: What programs compare; ``docs/errors.rst`` lists all codes.
    :param status: The HTTP status.
    """
    return jsonify(error=sentence, code=code), status, headers or {}


def _unavailable(code: str) -> ResponseReturnValue:
    """503 with ``Retry-After``, for a failure that may be over in a moment."""
    return _error("Try again in a moment.", code, 503, _RETRY_AFTER)


def _handle_refusal(error: RequestRefused) -> ResponseReturnValue:
    return _error(str(error), error.code, error.status)


def _handle_untrusted_redirect(error: UntrustedRedirect) -> ResponseReturnValue:
    """400 for a request with a malformed ``Host`` header.

    The app's own redirect URLs are often paths, and :func:`.absolute_url` completes
    them with that header. URLs from the body never come here: :func:`_redirect_field`
    refuses them.
    """
    return _error(str(error), "untrusted_redirect", 400)


def _handle_no_customer(error: NoCustomerError) -> ResponseReturnValue:
    return _error("This user has no customer at Stripe.", "no_customer", 404)


def _handle_unknown_customer(error: UnknownCustomerError) -> ResponseReturnValue:
    """409: the customer may be there again, with the right key. The log says more."""
    return _error(
        "The billing data of this account are not known to Stripe under the present"
        " key.",
        "unknown_customer",
        409,
    )


def _handle_signature(error: SignatureVerificationError) -> ResponseReturnValue:
    """400 with the error's sentence, which Stripe's Dashboard shows at the delivery."""
    logger.warning("A webhook was rejected: %s", error)
    is_signed = isinstance(error, InvalidPayloadError)
    code = "invalid_json" if is_signed else "invalid_signature"
    return _error(str(error), code, 400)


def _handle_configuration(error: ConfigurationError) -> ResponseReturnValue:
    logger.error("%s", error)
    return _error("Billing is not set up correctly.", "stripe_error", 502)


def _handle_stripe(error: StripeError) -> ResponseReturnValue:
    """Log Stripe's text and answer with a sentence of our own.

    400 for a parameter that Stripe refuses, 503 if another try may succeed, 502 for
    everything else, such as a wrong key. Stripe's ``code`` and the name of the
    parameter reach the browser, Stripe's message does not.
    """
    logger.error("Stripe failed: %s", error)

    if isinstance(error, InvalidRequestError):
        refused = "the request" if error.param is None else f"'{error.param}'"
        return _error(
            f"Stripe refused {refused}.", error.code or "invalid_request", 400
        )

    if isinstance(error, APIConnectionError | RateLimitError):
        return _unavailable("stripe_unavailable")

    return _error("Stripe could not do this.", "stripe_error", 502)


def _handle_database(error: SQLAlchemyError) -> ResponseReturnValue:
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
        return _error("Billing is not set up correctly.", "missing_table", 500)

    logger.error("The database failed: %s", _summarise(error))
    return _unavailable("database_unavailable")


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


def _handle_http(error: HTTPException) -> ResponseReturnValue:
    """Errors of Flask and Werkzeug as JSON, such as 413 ``request_entity_too_large``.

    Only those that a view of this blueprint raises, or a function that Flask runs
    before it; a wrong method or path is answered before Flask knows the blueprint.
    """
    code = error.name.lower().replace(" ", "_")
    return _error(error.description or error.name, code, error.code or 500)
