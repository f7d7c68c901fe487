"""The REST API under ``/v1``, and the little that is needed of ``/v2``.

A call is answered in this order: key, version, parameters, ``Idempotency-Key``,
``expand[]``, the call itself on the clock of its customer, and the JSON of the answer.
All errors have Stripe's body.

Simplified: there is one account with one key. ``Stripe-Account``, permissions of
restricted keys and rate limits are not simulated, except as faults.
"""

from __future__ import annotations

import hmac
import json
import logging
from base64 import b64decode
from collections.abc import Iterator
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any
from typing import Final

from flask import Blueprint
from flask import current_app
from flask import Flask
from flask import request
from flask import Response
from werkzeug.exceptions import HTTPException

from ..account import Account
from ..idempotency import Answer
from ..object_store import Object
from ..params import array
from ..params import decode
from ..params import text
from ..sandbox_errors import ApiError
from ..versions.expansion import parse_path
from ..versions.known_versions import check_version
from ..versions.upgrades import upgrade_params
from ..world import API_VERSION
from ..world import RequestInfo
from .live_mode import answer_live
from .live_mode import live_key_of
from .routes import find_route
from .routes import Route

EXTENSION_KEY = "stripe_sandbox"
KEY_PREFIXES = ("sk_test_", "rk_test_")

logger: Final = logging.getLogger(__name__)
bp: Final = Blueprint("sandbox_api", __name__)

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


#: Parameters that name the object that a call is about.
_OWNERS = ("customer", "subscription", "test_clock")


def current_account() -> Account:
    """Return the account of the app that answers."""
    account: Account = current_app.extensions[EXTENSION_KEY]
    return account


def register_api(app: Flask, account: Account) -> None:
    """Add the API to the sandbox's app.

    ``OPTIONS`` is not answered by Flask: it is another unknown call.
    """

    def answer(version: int, path: str) -> Response:
        """Answer any call of the API."""
        route = find_route(request.method, request.path)
        return _not_found(account) if route is None else _answer(account, route)

    # One rule for all calls: the map of those is made once for each process.
    app.add_url_rule(
        "/v<int(max=2):version>/<path:path>",
        view_func=answer,
        methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
        provide_automatic_options=False,
    )
    app.register_blueprint(bp)


@bp.app_errorhandler(HTTPException)
def handle_http_error(error: HTTPException) -> HTTPException | Response:
    """Answer with Stripe's body for a URL that the API does not have."""
    if not request.path.startswith(("/v1/", "/v2/")):
        return error

    status = error.code or 400
    return _not_found(current_account(), 404 if status == 405 else status)


def _not_found(account: Account, status: int = 404) -> Response:
    """Answer a request that reaches no call."""
    request_id = account.store.new_id("request")
    return _respond(account, _error_answer(_unrecognized(status), request_id))


def _unrecognized(status: int = 404) -> ApiError:
    """Return the error for a call that the sandbox does not have."""
    return ApiError(
        f"Unrecognized request URL ({request.method}: {request.path}). The sandbox"
        " knows the calls that subscriptions need, not all of Stripe's.",
        status=status,
    )


def _answer(account: Account, route: Route) -> Response:
    """Answer one call: authenticate, decode, look the key up, run, render.

    An answer belongs to its ``Idempotency-Key`` from then on, errors included, unless
    the call was refused before anything was done.
    """
    request_id = account.store.new_id("request")
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    claimed = False

    try:
        is_live = _authenticate(account.api_key)
        version = check_version(_version())

        if not route.call.is_in(version):
            raise _unrecognized()

        pairs = _read_pairs()

        if is_live:
            result = answer_live(account.store, route.call, route.values, decode(pairs))
            return _respond(account, Answer(200, json.dumps(result), request_id))

        if key:
            fingerprint = json.dumps([request.method, request.path, sorted(pairs)])
            stored = account.idempotency_keys.begin(key, fingerprint)

            if stored is not None:
                return _respond(account, stored, replayed=True)

            claimed = True

        answer = _run(account, route, pairs, version, RequestInfo(request_id, key))
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
    route: Route,
    pairs: list[tuple[str, str]],
    version: str,
    info: RequestInfo,
) -> Answer:
    """Do what a call asks for, with the lock held, and write the answer.

    What was due by now happens before it, in its own time.

    :raises ApiError: As the handler does, or for a parameter or an ``expand[]`` path
        that there is not.
    """
    params = decode(pairs)
    paths = array(text())(params.pop("expand", {}), "expand") or []
    expand = [parse_path(path or "", route.call.answers, version) for path in paths]
    upgrade_params(route.call.method, route.call.path, params, version)

    with account.store.lock:
        account.timeline.catch_up()
        account.world.request = info

        try:
            with account.world.on_clock_of(_named(account, params, route.values)):
                handler = route.call.handler_of(account)
                result = handler(params, *route.values)
        finally:
            account.world.request = None

        body = json.dumps(account.renderer.render(result, expand, version), indent=2)

    return Answer(200, body, info.id)


def _named(
    account: Account, params: dict[str, Any], ids: Sequence[str]
) -> Object | None:
    """Return the object that a call is about: it happens on the clock of that.

    :param ids: Those in the path.
    """
    for object_id in [*ids, *(params.get(name) for name in _OWNERS)]:
        if isinstance(object_id, str):
            hidden = account.store.hidden.get(object_id) or {}
            obj = account.store.find_any(hidden.get("subscription") or object_id)

            if obj is not None:
                return obj

    return None


def _respond(account: Account, answer: Answer, *, replayed: bool = False) -> Response:
    """Send an answer, with Stripe's headers.

    :param replayed: It was given before, to the same ``Idempotency-Key``.
    """
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
    """Return the version that the request asks for, else the newest one."""
    return request.headers.get("Stripe-Version", "").strip() or API_VERSION


def _error_answer(error: ApiError, request_id: str) -> Answer:
    """Return an error as an answer."""
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
    """Return a body of the API's second version, as pairs like those of the first.

    :raises ApiError: If it is no JSON object.
    """
    body = request.get_json(silent=True) if request.content_length else {}

    if not isinstance(body, dict):
        raise ApiError("Invalid request: the body must be a JSON object.")

    return list(_flatten(body))


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Write JSON as names with brackets and values in form encoding."""
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)

        for name, entry in entries:
            yield from _flatten(entry, f"{path}[{name}]" if path else str(name))
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    else:
        yield path, "" if value is None else str(value)


def _authenticate(api_key: str) -> bool:
    """Accept the sandbox's secret key, as a bearer token or as the user of Basic.

    :return: Whether it is the live key that belongs to the secret key.
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

    if hmac.compare_digest(given.encode(), live_key_of(api_key).encode()):
        return True

    if not hmac.compare_digest(given.encode(), api_key.encode()):
        raise ApiError(
            f"Invalid API Key provided: {_masked(given)}. This is a sandbox; it"
            f" takes only its own key, which begins with {_masked(api_key)}.",
            status=401,
        )

    return False


def _masked(key: str) -> str:
    """Return the beginning of a key, which may stand in a message."""
    return f"{key[:8]}***" if key.startswith(KEY_PREFIXES) else "***"
