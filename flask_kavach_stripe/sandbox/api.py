"""The REST API under ``/v1``, and the little that is needed of ``/v2``."""

from __future__ import annotations

import hmac
import json
import logging
from base64 import b64decode
from collections.abc import Callable
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

from flask import Blueprint
from flask import current_app
from flask import Flask
from flask import request
from flask import Response
from werkzeug.exceptions import HTTPException

from .account import Account
from .core import API_VERSION
from .core import RequestInfo
from .errors import ApiError
from .idempotency import Answer
from .params import array
from .params import decode
from .params import text
from .store import Object
from .versions import check_version
from .versions import upgrade_params

Handler = Callable[..., Object]

EXTENSION_KEY = "stripe_sandbox"
KEY_PREFIXES = ("sk_test_", "rk_test_")

logger = logging.getLogger(__name__)
bp = Blueprint("sandbox_api", __name__)

#: Refused before anything was done, so the key may be used again.
_NOT_STORED = frozenset(
    (
        None,
        "parameter_invalid_empty",
        "parameter_invalid_integer",
        "parameter_missing",
        "parameter_unknown",
    )
)


#: Parameters that say whose the call is.
_OWNERS = ("customer", "subscription", "test_clock")


def current_account() -> Account:
    """Return the account of the app that answers."""
    account: Account = current_app.extensions[EXTENSION_KEY]
    return account


def routes(account: Account) -> list[tuple[str, str, Handler]]:
    """Every call that the sandbox knows: method, path, and what answers it."""
    a = account
    table: list[tuple[str, str, Handler]] = [
        (
            "GET",
            "/v1/checkout/sessions/<object_id>/line_items",
            a.checkout.list_line_items,
        ),
        ("POST", "/v1/checkout/sessions/<object_id>/expire", a.checkout.expire),
        ("POST", "/v1/billing_portal/sessions", a.portal.create),
        (
            "GET",
            "/v1/customers/<object_id>/payment_methods",
            a.payment_methods.list_of_customer,
        ),
        ("POST", "/v1/invoices/create_preview", a.previews.create),
        ("GET", "/v1/invoices/<object_id>/lines", a.invoices.list_lines),
        ("POST", "/v1/invoices/<object_id>/pay", a.paying.pay_invoice),
        ("POST", "/v1/payment_intents/<object_id>/confirm", a.paying.confirm),
        ("POST", "/v1/payment_methods/<object_id>/attach", a.payment_methods.attach),
        ("POST", "/v1/payment_methods/<object_id>/detach", a.payment_methods.detach),
        ("DELETE", "/v1/subscriptions/<object_id>", a.subscriptions.cancel),
        ("POST", "/v1/subscriptions/<object_id>/pause", a.subscriptions.pause),
        ("POST", "/v1/subscriptions/<object_id>/resume", a.subscriptions.resume),
        (
            "POST",
            "/v1/test_helpers/test_clocks/<object_id>/advance",
            a.life.advance_test_clock,
        ),
        (
            "DELETE",
            "/v1/test_helpers/test_clocks/<object_id>",
            a.life.delete_test_clock,
        ),
        ("GET", "/v2/core/events/<object_id>", a.thin_events.retrieve),
        *_event_destination_routes(account),
    ]

    for creatable in (
        a.checkout,
        a.coupons,
        a.customers,
        a.payment_methods,
        a.portal_configurations,
        a.prices,
        a.products,
        a.promotion_codes,
        a.subscription_items,
        a.subscriptions,
        a.test_clocks,
        a.webhook_endpoints,
    ):
        table.append(("POST", creatable.path, creatable.create))

    for updatable in (
        a.coupons,
        a.customers,
        a.portal_configurations,
        a.prices,
        a.products,
        a.promotion_codes,
        a.subscription_items,
        a.subscriptions,
        a.webhook_endpoints,
    ):
        table.append(("POST", f"{updatable.path}/<object_id>", updatable.update))

    for deletable in (
        a.coupons,
        a.customers,
        a.products,
        a.subscription_items,
        a.webhook_endpoints,
    ):
        table.append(("DELETE", f"{deletable.path}/<object_id>", deletable.delete))

    for readable in (
        a.checkout,
        a.coupons,
        a.customers,
        a.events,
        a.invoices,
        a.payment_methods,
        a.payments,
        a.portal_configurations,
        a.prices,
        a.products,
        a.promotion_codes,
        a.subscription_items,
        a.subscriptions,
        a.test_clocks,
        a.webhook_endpoints,
    ):
        table.append(("GET", readable.path, readable.list))
        table.append(("GET", f"{readable.path}/<object_id>", readable.retrieve))

    return table


def _event_destination_routes(account: Account) -> list[tuple[str, str, Handler]]:
    destinations = account.event_destinations
    path = destinations.path
    return [
        ("GET", path, destinations.list),
        ("POST", path, destinations.create),
        ("GET", f"{path}/<object_id>", destinations.retrieve),
        ("POST", f"{path}/<object_id>", destinations.update),
        ("DELETE", f"{path}/<object_id>", destinations.delete),
        ("POST", f"{path}/<object_id>/disable", destinations.disable),
        ("POST", f"{path}/<object_id>/enable", destinations.enable),
    ]


def register_api(app: Flask, account: Account) -> None:
    """Add the API to the sandbox's app."""
    for method, path, handler in routes(account):
        app.add_url_rule(
            path,
            endpoint=f"{method} {path}",
            view_func=_view(handler),
            methods=[method],
            provide_automatic_options=False,
        )

    app.register_blueprint(bp)


def _view(handler: Handler) -> Callable[..., Response]:
    def view(**path_values: str) -> Response:
        return _answer(current_account(), handler, path_values)

    return view


@bp.app_errorhandler(HTTPException)
def handle_http_error(error: HTTPException) -> HTTPException | Response:
    """Stripe's body for a URL that the API does not have."""
    if not request.path.startswith(("/v1/", "/v2/")):
        return error

    account = current_account()
    request_id = account.store.new_id("request")
    api_error = ApiError(
        f"Unrecognized request URL ({request.method}: {request.path}). The sandbox"
        " knows the calls that subscriptions need, not all of Stripe's.",
        status=404 if error.code in (404, 405) else error.code or 400,
    )
    return _respond(account, _error_answer(api_error, request_id))


def _answer(
    account: Account, handler: Handler, path_values: dict[str, str]
) -> Response:
    """Answer one call: authenticate, decode, look the key up, run, render."""
    request_id = account.store.new_id("request")
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    claimed = False

    try:
        _authenticate(account.api_key)
        version = check_version(_version())
        pairs = _read_pairs()

        if key:
            fingerprint = json.dumps([request.method, request.path, sorted(pairs)])
            stored = account.idempotency_keys.begin(key, fingerprint)

            if stored is not None:
                return _respond(account, stored, replayed=True)

            claimed = True

        answer = _run(
            account, handler, path_values, pairs, version, RequestInfo(request_id, key)
        )
    except ApiError as error:
        answer = _error_answer(error, request_id)

        if claimed and key and error.status == 400 and error.code in _NOT_STORED:
            account.idempotency_keys.abandon(key)
            claimed = False
    except Exception:
        logger.exception("The sandbox failed on %s %s", request.method, request.path)
        answer = _error_answer(
            ApiError(
                "The sandbox failed; its log has the traceback.",
                status=500,
                type="api_error",
            ),
            request_id,
        )

    if claimed and key:
        account.idempotency_keys.finish(key, answer)

    return _respond(account, answer)


def _run(
    account: Account,
    handler: Handler,
    path_values: dict[str, str],
    pairs: list[tuple[str, str]],
    version: str,
    info: RequestInfo,
) -> Answer:
    params = decode(pairs)
    paths = array(text())(params.pop("expand", {}), "expand") or []
    expand = [path or "" for path in paths]
    rule = request.url_rule
    upgrade_params(request.method, rule.rule if rule else "", params, version)

    with account.store.lock:
        account.life.catch_up()
        account.core.request = info

        try:
            with account.core.on_clock_of(_named(account, params, path_values)):
                result = handler(params, **path_values)
        finally:
            account.core.request = None

        body = json.dumps(account.renderer.render(result, expand, version), indent=2)

    return Answer(200, body, info.id)


def _named(
    account: Account, params: dict[str, Any], path_values: dict[str, str]
) -> Object | None:
    """Return the object that a call is about: it happens on the clock of that."""
    ids = [*path_values.values(), *(params.get(name) for name in _OWNERS)]

    for object_id in ids:
        if isinstance(object_id, str):
            hidden = account.store.hidden.get(object_id) or {}
            found = account.store.find_any(hidden.get("subscription") or object_id)

            if found is not None:
                return found

    return None


def _respond(account: Account, answer: Answer, *, replayed: bool = False) -> Response:
    with account.store.lock:
        now = account.clock.now()

    response = Response(
        answer.body, status=answer.status, content_type="application/json"
    )
    # From the sandbox's clock, as the times in events are.
    response.headers["Date"] = formatdate(now, usegmt=True)
    response.headers["Request-Id"] = answer.request_id
    response.headers["Stripe-Version"] = _version()

    if key := request.headers.get("Idempotency-Key"):
        response.headers["Idempotency-Key"] = key

    if replayed:
        response.headers["Idempotent-Replayed"] = "true"

    return response


def _version() -> str:
    """The version that the request asks for, else the account's own one."""
    return request.headers.get("Stripe-Version", "").strip() or API_VERSION


def _error_answer(error: ApiError, request_id: str) -> Answer:
    body = json.dumps(error.to_body(request_id), indent=2)
    return Answer(error.status, body, request_id)


def _read_pairs() -> list[tuple[str, str]]:
    """Return the parameters: of the body for a POST, else of the query string.

    :raises ApiError: If a body is not form-encoded, or for ``/v2`` not JSON.
    """
    pairs: list[tuple[str, str]] = list(request.args.items(multi=True))

    if request.method == "POST" and request.path.startswith("/v2/"):
        pairs += _json_pairs()
    elif request.method == "POST":
        if request.content_length and request.mimetype not in (
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ):
            raise ApiError(
                "Invalid request (check that your POST content type is"
                " application/x-www-form-urlencoded)."
            )

        pairs += request.form.items(multi=True)

    return pairs


def _json_pairs() -> list[tuple[str, str]]:
    """A body of the API's second version, as pairs like those of the first."""
    body = request.get_json(silent=True) if request.content_length else {}

    if not isinstance(body, dict):
        raise ApiError("Invalid request: the body must be a JSON object.")

    return list(_flatten(body))


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)

        for name, entry in entries:
            yield from _flatten(entry, f"{path}[{name}]" if path else str(name))
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    else:
        yield path, "" if value is None else str(value)


def _authenticate(api_key: str) -> None:
    """Accept the sandbox's secret key, as a bearer token or as the user of Basic.

    :raises ApiError: For any other key.
    """
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    credentials = credentials.strip()

    if scheme.lower() == "basic":
        try:
            given = b64decode(credentials).decode().partition(":")[0]
        except ValueError:
            given = ""
    elif scheme.lower() == "bearer":
        given = credentials
    else:
        given = ""

    if not given:
        raise ApiError(
            "You did not provide an API key. Send it in the Authorization header,"
            " as 'Bearer YOUR_SECRET_KEY'.",
            status=401,
        )

    if not hmac.compare_digest(given.encode(), api_key.encode()):
        raise ApiError(
            f"Invalid API Key provided: {_masked(given)}. This is a sandbox; it"
            f" takes only its own key, which begins with {_masked(api_key)}.",
            status=401,
        )


def _masked(key: str) -> str:
    return f"{key[:8]}***" if key.startswith(KEY_PREFIXES) else "***"
