"""The four endpoints: HTTP in, HTTP out. The rules are elsewhere.

A view reads the request (``forms``, ``origins``), calls ``billing`` or, for a webhook,
``events.receive``, and turns the result into a response. Errors are answered in
``answers``.

The views are functions of this module, so that an app can name one of them, as in
``csrf.exempt(views.webhook)``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from typing import Final

from flask import abort
from flask import Blueprint
from flask import current_app
from flask import Flask
from flask import jsonify
from flask import make_response
from flask import redirect
from flask import request
from flask import Response
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import RequestEntityTooLarge

from .answers import answer_database
from .answers import BLUEPRINT
from .answers import error_answer
from .answers import is_from_person
from .answers import redirect_visitor
from .answers import register_error_handlers
from .answers import unavailable
from .billing.checkout import open_page
from .billing.checkout import page_urls
from .billing.offers import choose_price
from .billing.offers import choose_quantity
from .billing.offers import grant_trial
from .billing.offers import refuse_long_trial
from .billing.portal import create_portal_session
from .billing.selling import must_be_only_plan
from .billing.selling import refuse_second_plan
from .config import Settings
from .errors import ConfigurationError
from .errors import InvalidPayloadError
from .errors import NoCustomerError
from .errors import SignatureVerificationError
from .errors import StripeError
from .events.receive import receive
from .events.run import EnqueueError
from .events.run import HandlerError
from .forms import Fields
from .forms import missing_field
from .forms import RequestRefused
from .guards import find_current_subscription
from .guards import find_login_manager
from .origins import is_cross_site
from .origins import resolve_redirect
from .origins import UntrustedRedirect
from .origins import warn_of_proxy
from .price_entries import MAX_QUANTITY
from .state import get_state
from .subscription import Subscription
from .urls import origin_of

logger: Final = logging.getLogger(__name__)

#: The largest body that the webhook endpoint accepts, in bytes.
MAX_WEBHOOK_SIZE: Final = 1024 * 1024


def checkout() -> ResponseReturnValue:
    """``POST /checkout``: create a Checkout session and answer with its URL.

    The fields of the body are ``priceId`` or ``price`` (a name in ``STRIPE_PRICES``),
    ``quantity``, ``trialDays``, ``metadata``, ``successUrl`` and ``cancelUrl``. They
    are checked before Stripe is asked for the user's subscriptions, and long before it
    creates anything. Whether this is a first plan, which may have a trial, is known
    last.

    Commits the open transaction of ``db.session``, and calls Stripe. ``GET`` only
    redirects, see :func:`.redirect_visitor`.

    :return: ``{"url": ..., "sessionId": ...}``; for a form, a redirect to that URL.
    :raises RequestRefused: If the user is not logged in, a field is wrong, or the user
        may not buy this.
    :raises AlreadySubscribedError: If the user has a running plan.
    :raises NoCustomerError: If the user cannot pay, see :func:`_authenticate_payer`,
        or has no customer and ``STRIPE_AUTO_CREATE_CUSTOMER`` is false.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    if request.method != "POST":
        return redirect_visitor()

    user = _authenticate_payer()
    settings = get_state().settings
    fields = Fields(request)
    price_id, name = fields.name("priceId"), fields.name("price")

    if price_id is None and name is None:
        raise missing_field("price" if fields.is_form else "priceId")

    quantity = fields.integer("quantity", minimum=1, maximum=MAX_QUANTITY)
    requested_days = fields.integer("trialDays", minimum=0, maximum=10**9)
    metadata = fields.metadata("metadata")
    price = choose_price(settings, price_id=price_id, name=name)
    quantity = choose_quantity(price, quantity)
    refuse_long_trial(settings, price, requested_days)
    urls = page_urls(
        _redirect_field(fields, "successUrl"), _redirect_field(fields, "cancelUrl")
    )
    is_only_plan = must_be_only_plan(price, allow_second=False)

    if is_only_plan:
        refuse_second_plan(user)

    session = open_page(
        user,
        price.id,
        urls=urls,
        trial_days=grant_trial(settings, user, price, requested_days),
        metadata=metadata,
        quantity=quantity,
        is_only_plan=is_only_plan,
        params={},
    )

    if fields.is_form:
        return redirect(session.url, 303)

    return jsonify(url=session.url, sessionId=session.id)


def portal() -> ResponseReturnValue:
    """``POST /portal``: create a session of the billing portal, answer with its URL.

    The one field of the body is ``returnUrl``, by default
    ``STRIPE_PORTAL_RETURN_URL``. Commits the open transaction of ``db.session``, and
    calls Stripe. ``GET`` only redirects, see :func:`.redirect_visitor`.

    :return: ``{"url": ...}``; for a form, a redirect to that URL.
    :raises RequestRefused: If the user is not logged in or the field is wrong.
    :raises NoCustomerError: If the user has no customer, or none any more.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    if request.method != "POST":
        return redirect_visitor()

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

    An app may add a URL of its own for this view, beside ``STRIPE_WEBHOOK_PATHS``. No
    error handler of the blueprint is at work there, so the view answers its errors
    itself: 400 if Stripe did not sign the body.

    :return: ``{"received": true}``, also for a duplicate and for an event without
        handlers.
    :raises RequestEntityTooLarge: If the body is larger than :data:`MAX_WEBHOOK_SIZE`.
    """
    # One byte more than is allowed, because Werkzeug truncates a chunked body silently.
    request.max_content_length = MAX_WEBHOOK_SIZE + 1
    payload = request.get_data()

    if len(payload) > MAX_WEBHOOK_SIZE:
        raise RequestEntityTooLarge

    try:
        receive(get_state(), payload, request.headers.get("Stripe-Signature"))
    except SignatureVerificationError as error:
        return _refuse_signature(error)
    except HandlerError:
        return error_answer("A handler of this event failed.", "handler_failed", 500)
    except EnqueueError as error:
        logger.error("An event has to be sent again. %s", error, exc_info=error)
        return unavailable("queue_unavailable")
    except (ConfigurationError, StripeError) as error:
        cause = ", as Stripe failed:" if isinstance(error, StripeError) else "."
        logger.error("An event has to be sent again%s %s", cause, error)
        return unavailable("stripe_unavailable")
    except SQLAlchemyError as error:
        return answer_database(error)

    return jsonify(received=True)


#: So that ``app.add_url_rule("/hook", view_func=views.webhook)`` takes no ``GET``.
webhook.methods = ("POST",)  # type: ignore[attr-defined]  # Flask reads it


def _refuse_signature(error: SignatureVerificationError) -> ResponseReturnValue:
    """400 with the error's sentence, which Stripe's Dashboard shows at the delivery."""
    logger.warning("A webhook was rejected: %s", error)
    is_signed = isinstance(error, InvalidPayloadError)
    code = "invalid_json" if is_signed else "invalid_signature"
    return error_answer(str(error), code, 400)


def create_blueprint() -> Blueprint:
    """A new blueprint ``kavach_stripe``, with the endpoints and their error handlers.

    Two parts reach beyond the endpoints: ``current_subscription``, in all templates of
    the app, and the exemption of the webhook, at whatever URL the app put it.
    """
    bp = Blueprint(BLUEPRINT, __name__)
    bp.add_url_rule("/checkout", view_func=checkout, methods=["GET", "POST"])
    bp.add_url_rule("/portal", view_func=portal, methods=["GET", "POST"])
    bp.get("/subscription")(subscription)
    bp.post("/webhook")(webhook)
    bp.app_url_value_preprocessor(_exempt_webhook)
    bp.after_request(_forbid_caching)
    bp.app_context_processor(_template_context)
    register_error_handlers(bp)
    return bp


def add_webhook_paths(app: Flask, paths: Iterable[str]) -> None:
    """Have the webhook answer at further paths of an app, ``STRIPE_WEBHOOK_PATHS``.

    They belong to the blueprint's endpoint. Its ``url_for`` stays the first path.
    """
    for path in paths:
        app.add_url_rule(path, f"{BLUEPRINT}.webhook", webhook, methods=["POST"])


def _authenticate() -> Any:
    """The logged-in user, of whatever model.

    :raises HTTPException: If nobody is logged in and a person sent a form: with the
        response of Flask-Login's ``unauthorized()``, such as a redirect to the log-in.
    :raises RequestRefused: With status 401 if nobody is logged in otherwise. No JSON
        client expects a redirect.
    :raises RuntimeError: If the app has no ``LoginManager``.
    """
    login_manager = find_login_manager()

    if login_manager is None:
        raise RuntimeError("No Flask-Login is registered. Call 'LoginManager(app)'.")

    if not current_user.is_authenticated:
        if is_from_person(request):
            abort(make_response(login_manager.unauthorized()))

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
        raise _cross_site_refusal(state.settings)

    if not isinstance(user, state.payers.user_model):
        raise NoCustomerError(f"{type(user).__name__!r} is not the model that pays.")

    return user


def _cross_site_refusal(settings: Settings) -> RequestRefused:
    """The refusal of a post from another site, which may be the app's own front end.

    The log names the origin and the key that would let it in. So does the sentence,
    unless the key is a live one: then the other site may well be an attacker's.
    """
    warn_of_proxy(request, f"{request.scheme}://{request.host}/")
    sentence = "This request comes from another site."
    origin = origin_of(request.headers.get("Origin", ""))

    if origin is None:
        hint = "The browser does not say from which one."
    else:
        hint = (
            f"If {origin!r} is your front end, add it to 'STRIPE_TRUSTED_ORIGINS'; a"
            " trusted site may post in the name of your users."
        )

    logger.warning("A request was refused: it comes from another site. %s", hint)
    sentence = sentence if settings.livemode else f"{sentence} {hint}"
    return RequestRefused(sentence, code="cross_site_request", status=403)


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
    extensions was initialised first. It does so for each request of the app, as the
    webhook may have a URL outside of the blueprint.
    """
    csrf = current_app.extensions.get("csrf")

    if csrf is not None:
        csrf.exempt(webhook)


def _forbid_caching(response: Response) -> Response:
    """Keep every answer out of caches: it belongs to one user."""
    response.headers["Cache-Control"] = "no-store"
    return response
