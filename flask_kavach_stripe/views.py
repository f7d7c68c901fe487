"""The four endpoints: HTTP in, HTTP out. The rules are elsewhere."""

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

from .billing.checkout import create_checkout_session
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

#: The largest webhook that is read, in bytes.
MAX_WEBHOOK_SIZE: Final = 1024 * 1024

_MAX_QUANTITY: Final = 999_999
_RETRY_AFTER: Final = {"Retry-After": "5"}  # seconds


def checkout() -> ResponseReturnValue:
    """Create a Checkout session and say where it is."""
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
    session = create_checkout_session(
        user,
        price.id,
        success_url=success_url,
        cancel_url=cancel_url,
        trial_days=trial_days,
        metadata=metadata,
        quantity=quantity or 1,
    )

    if fields.is_form:
        return redirect(session.url, 303)

    return jsonify(url=session.url, sessionId=session.id)


def portal() -> ResponseReturnValue:
    """Create a session of the billing portal and say where it is."""
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
    """Say what the logged-in user has."""
    _authenticate()
    found = find_current_subscription()
    return jsonify(subscription=None if found is None else _to_json(found))


def webhook() -> ResponseReturnValue:
    """Take an event from Stripe."""
    request.max_content_length = MAX_WEBHOOK_SIZE + 1
    payload = request.get_data()

    if len(payload) > MAX_WEBHOOK_SIZE:  # a body in chunks is cut without a word
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
    """The blueprint ``kavach_stripe`` of one app."""
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
    bp.register_error_handler(SignatureVerificationError, _handle_signature)
    bp.register_error_handler(ConfigurationError, _handle_configuration)
    bp.register_error_handler(StripeError, _handle_stripe)
    bp.register_error_handler(SQLAlchemyError, _handle_database)
    bp.register_error_handler(HTTPException, _handle_http)
    return bp


def _authenticate() -> Any:
    """The logged-in user."""
    if not hasattr(current_app, "login_manager"):
        raise RuntimeError("No Flask-Login is registered. Call 'LoginManager(app)'.")

    if not current_user.is_authenticated:
        raise RequestRefused(
            "Log in first.", code="authentication_required", status=401
        )

    return current_user._get_current_object()


def _authenticate_payer() -> Any:
    """The logged-in user, who can pay and whose browser no other site sent here."""
    user, state = _authenticate(), get_state()

    if is_cross_site(request, state.settings):
        raise RequestRefused(
            "This request comes from another site.",
            code="cross_site_request",
            status=403,
        )

    if not isinstance(user, state.payers.user_model):
        raise NoCustomerError(f"A {type(user).__name__!r} is not one of those who pay.")

    return user


def _redirect_field(fields: Fields, name: str) -> str | None:
    url = fields.text(name)

    if url is None:
        return None

    try:
        return resolve_redirect(url, settings=get_state().settings)
    except UntrustedRedirect as error:
        raise RequestRefused(
            f"The field '{name}' is refused. {error}", code="untrusted_redirect"
        ) from error


def _to_json(found: Subscription) -> dict[str, Any]:
    end = found.current_period_end
    return {
        "id": found.id,
        "status": found.status,
        "priceId": found.price_id,
        "currentPeriodEnd": end and end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cancelAtPeriodEnd": found.cancel_at_period_end,
    }


def _template_context() -> dict[str, Any]:
    """What every template gets; error pages, too, where there may be no database."""
    try:
        found = find_current_subscription()
    except (ConfigurationError, SQLAlchemyError) as error:
        logger.warning("There is no 'current_subscription': %s", type(error).__name__)
        found = None

    return {"current_subscription": found}


def _exempt_webhook(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Let Stripe, which knows no token, pass Flask-WTF's CSRF protection.

    Done here, as Flask calls this before any ``before_request`` function: it does not
    matter which of the two extensions was initialised first.
    """
    csrf = current_app.extensions.get("csrf")

    if csrf is not None:
        csrf.exempt(webhook)


def _forbid_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


# -- errors --------------------------------------------------------------------------


def _error(
    sentence: str, code: str, status: int, headers: dict[str, str] | None = None
) -> ResponseReturnValue:
    return jsonify(error=sentence, code=code), status, headers or {}


def _unavailable(code: str) -> ResponseReturnValue:
    return _error("Try again in a moment.", code, 503, _RETRY_AFTER)


def _handle_refusal(error: RequestRefused) -> ResponseReturnValue:
    return _error(str(error), error.code, error.status)


def _handle_untrusted_redirect(error: UntrustedRedirect) -> ResponseReturnValue:
    """The app's own root URL, asked for under a malformed host."""
    return _error(str(error), "untrusted_redirect", 400)


def _handle_no_customer(error: NoCustomerError) -> ResponseReturnValue:
    return _error("This user has no customer at Stripe.", "no_customer", 404)


def _handle_signature(error: SignatureVerificationError) -> ResponseReturnValue:
    logger.warning("A webhook was rejected: %s", error)
    is_payload = isinstance(error, InvalidPayloadError)
    return _error(
        str(error), "invalid_json" if is_payload else "invalid_signature", 400
    )


def _handle_configuration(error: ConfigurationError) -> ResponseReturnValue:
    logger.error("%s", error)
    return _error("Billing is not set up correctly.", "stripe_error", 502)


def _handle_stripe(error: StripeError) -> ResponseReturnValue:
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
    """Log what failed without its parameters, which are the customers' data."""
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
    if not isinstance(error, DBAPIError):
        return type(error).__name__

    original = error.orig
    code = getattr(original, "sqlstate", None)  # PostgreSQL's drivers

    if code is None and original is not None:
        code = next((arg for arg in original.args if isinstance(arg, int)), None)

    return (
        f"{type(error).__name__} ({type(original).__name__}, code {code})"
        f" in {error.statement!r}"
    )


def _handle_http(error: HTTPException) -> ResponseReturnValue:
    code = error.name.lower().replace(" ", "_")
    return _error(error.description or error.name, code, error.code or 500)
