"""A small client of Stripe's REST API.

Every call to Stripe that this package makes goes through :class:`StripeClient`: it
sends one request, sends it again if Stripe allows that, and returns Stripe's object or
raises a :exc:`.StripeError`.

Source: https://docs.stripe.com/api
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
import logging
import random
import re
import time
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from typing import Final
from typing import Protocol
from urllib.parse import parse_qs
from urllib.parse import unquote
from urllib.parse import urlencode
from urllib.parse import urlsplit

import requests
from urllib3.util import Timeout

from ..errors import APIConnectionError
from ..errors import APIError
from ..errors import AuthenticationError
from ..errors import CardError
from ..errors import ConfigurationError
from ..errors import IdempotencyError
from ..errors import InvalidRequestError
from ..errors import PermissionDeniedError
from ..errors import RateLimitError
from ..errors import StripeError
from .connections import Environment
from .connections import Sessions
from .encoding import encode

#: The ``Stripe-Version`` that this release was written for.
DEFAULT_API_VERSION = "2026-10-28.endive"

logger: Final = logging.getLogger(__name__)

_DISTRIBUTION = "flask-kavach-stripe"
_FORBIDDEN = re.compile(r"[?#\\\x00-\x1f\x7f]")
_API_KEY = re.compile(r"[!-~]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")


class Clock(Protocol):
    """What the client needs of the :mod:`time` module. Tests pass another clock."""

    def time(self) -> float:
        """Return the Unix time, in seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that is never set back."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Block the thread for this long."""
        ...


class StripeResponse(dict[str, Any]):
    """An object or a page of Stripe, as sent, with facts from the headers."""

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        request_id: str | None = None,
        as_of: datetime | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(values)
        #: The id of the request, ``req_...``. Stripe's support asks for it.
        self.request_id = request_id
        #: Stripe's time when the call began, or a little before: the object is at
        #: least as new as this. An aware UTC time of whole seconds, computed as the
        #: ``Date`` header less the duration of the call. ``None`` if the response has
        #: no readable ``Date``.
        self.as_of = as_of
        #: Whether Stripe repeated its answer to an earlier call with the same
        #: idempotency key. The object may have changed since.
        self.replayed = replayed


class StripeClient:
    """Calls Stripe's API with one key.

    A client is thread-safe, and a forked process opens its own connections. Redirects,
    cookies and ``~/.netrc`` are ignored. The proxies of the environment (such as
    ``HTTPS_PROXY``, ``NO_PROXY``) and its certificates (``REQUESTS_CA_BUNDLE``) are
    read once, when the client is made.

    :param api_key: ``sk_...`` or ``rk_...``. Without one, every call raises
        :exc:`.ConfigurationError`.
    :param api_version: The ``Stripe-Version`` of the requests.
    :param base_url: The URL of Stripe's API, without ``/v1``.
    :param timeout: Seconds to connect and seconds for each read: one number for both,
        a pair, or a :class:`urllib3.Timeout <urllib3.util.Timeout>`.
    :param max_network_retries: How often a call that failed for a passing reason is
        sent again, each time with the same idempotency key.
    :param session: Sends the requests, in place of a session that the client makes. Its
        adapters, proxies and certificates are used, and the environment is not read for
        it here; its headers, auth and cookies are not sent. All threads and processes
        of the app use it.
    :param clock: Measures the calls, and waits between the tries.
    :raises ValueError: If ``base_url``, ``timeout`` or ``max_network_retries`` is not
        usable.
    :raises ConfigurationError: If the environment names certificates that do not exist.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        api_key: str | None,
        *,
        api_version: str = DEFAULT_API_VERSION,
        base_url: str = "https://api.stripe.com",
        timeout: float | tuple[float, float] | Timeout = (3.05, 30),
        max_network_retries: int = 2,
        session: requests.Session | None = None,
        clock: Clock = time,
    ) -> None:
        self._api_key = api_key
        self._clock = clock
        self.api_version = api_version
        self.base_url: str = _checked_base_url(base_url)
        self._sessions = Sessions(session, Environment.read(self.base_url))
        self.timeout: float | tuple[float, float] | Timeout = _checked_timeout(timeout)
        self.max_network_retries: int = _checked_retries(max_network_retries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url} {self.api_version}>"

    def with_options(
        self,
        *,
        timeout: float | tuple[float, float] | Timeout | None = None,
        max_network_retries: int | None = None,
    ) -> StripeClient:
        """Return a copy of this client with other options.

        The copy shares the connections of this client.

        :param timeout: As for the class; ``None`` keeps the timeout.
        :param max_network_retries: As for the class; ``None`` keeps the number.
        :raises ValueError: If an option is not usable.

        .. versionadded:: 0.1
        """
        client = copy.copy(self)

        if timeout is not None:
            client.timeout = _checked_timeout(timeout)

        if max_network_retries is not None:
            client.max_network_retries = _checked_retries(max_network_retries)

        return client

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        stripe_account: str | None = None,
    ) -> StripeResponse:
        """Read an object or one page of a list; ``params`` go into the query string.

        Arguments and errors are those of :meth:`post`; an idempotency key has no
        effect here.

        .. versionadded:: 0.1
        """
        return self._call("GET", path, params, idempotency_key, stripe_account)

    def post(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        stripe_account: str | None = None,
    ) -> StripeResponse:
        """Create or change an object.

        :param path: As Stripe writes it, from ``/v1/`` on. Put ids in with
            :func:`quote_path`.
        :param params: Sent as a form, see :func:`encode`; under ``/v2/`` as JSON.
        :param idempotency_key: Makes Stripe answer a repeated call with its first
            answer, for at least a day. A random one by default.
        :param stripe_account: ``acct_...``, the connected account to act for.
        :return: Stripe's answer, most often the object after the change.
        :raises StripeError: If Stripe refuses the call or does not answer.
        :raises ConfigurationError: If the client has no usable key.
        :raises ValueError: If the value of an argument cannot be sent.
        :raises TypeError: If the type of an argument cannot be sent.

        Source: https://docs.stripe.com/api/idempotent_requests

        .. versionadded:: 0.1
        """
        return self._call("POST", path, params, idempotency_key, stripe_account)

    def delete(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        stripe_account: str | None = None,
    ) -> StripeResponse:
        """Delete or cancel an object; ``params`` go into the query string.

        Arguments and errors are those of :meth:`post`; an idempotency key has no
        effect here.

        .. versionadded:: 0.1
        """
        return self._call("DELETE", path, params, idempotency_key, stripe_account)

    def paginate(
        self, path: str, params: Mapping[str, Any] | None = None
    ) -> Iterator[StripeResponse]:
        """Go through all objects of a list or a search, page after page.

        Each page is read when its first object is asked for. An object has the
        ``request_id`` and the ``as_of`` of its page.

        :param params: The filters. A page of Stripe has 10 objects; ``limit`` makes
            it larger, up to 100. With ``ending_before`` the objects come in reverse,
            oldest first.
        :raises StripeError: As :meth:`get`; also if an answer is not a list.

        Source: https://docs.stripe.com/api/pagination

        .. versionadded:: 0.1
        """
        for page in self.pages(path, params):
            for item in page["data"]:
                yield StripeResponse(item, request_id=page.request_id, as_of=page.as_of)

    def pages(
        self, path: str, params: Mapping[str, Any] | None = None
    ) -> Iterator[StripeResponse]:
        """Go through all pages of a list or a search, for code that works by the page.

        :param params: As for :meth:`paginate`.
        :return: Each page as Stripe sent it, one for each request. With
            ``ending_before`` its ``data`` is reversed.
        :raises APIError: If an answer is not a list, or the list names no next page.
        :raises StripeError: As :meth:`get`.

        .. versionadded:: 0.1
        """
        params = dict(params or {})
        backwards = params.get("ending_before") is not None

        while True:
            page = self.get(path, params)
            objects = page.get("data")

            if not isinstance(objects, list) or not all(
                isinstance(item, dict) for item in objects
            ):
                raise APIError(f"GET {path}: the answer is not a list of objects.")

            if backwards:
                objects.reverse()

            yield page

            if page.get("next_page_url"):  # of /v2/: taken apart, never called
                query = parse_qs(urlsplit(str(page["next_page_url"])).query)
                key, value = "page", query.get("page", [None])[0]
            elif page.get("next_page"):  # of a search
                key, value = "page", page["next_page"]
            elif not page.get("has_more") or not objects:
                return
            else:
                key = "ending_before" if backwards else "starting_after"
                value = objects[-1].get("id")

            if value is None or value == params.get(key):
                raise APIError(f"GET {path}: the list does not name its next page.")

            params[key] = value

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        idempotency_key: str | None,
        stripe_account: str | None,
    ) -> StripeResponse:
        """Send one request, as often as the retries and Stripe allow.

        Every try sends the same bytes, with the same idempotency key: if an earlier try
        did reach Stripe, Stripe answers with the result of that try.

        :return: The answer to the first try that succeeded.
        :raises APIConnectionError: If the last try got no answer.
        :raises StripeError: If Stripe refused, or the body is not a JSON object.
        """
        request = self._prepare(method, path, params, idempotency_key, stripe_account)
        delays = _retry_delays(self.max_network_retries)

        while True:
            delay = next(delays, None)  # None: this is the last try
            started = self._clock.monotonic()

            try:
                response = self._sessions.get().send(
                    request,
                    timeout=self.timeout,  # type: ignore[arg-type]  # lacks Timeout
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                reason = type(error).__name__
                logger.debug("%s %s: %s", method, path, reason)

                if delay is None or not _is_transient(error):
                    raise APIConnectionError(
                        f"{method} {path}: no answer from {self.base_url} ({reason})."
                    ) from error
            else:
                duration = self._clock.monotonic() - started
                request_id = response.headers.get("Request-Id")
                body = _json_object(response)
                logger.debug(
                    "%s %s: %s %s", method, path, response.status_code, request_id
                )

                if body is not None and 200 <= response.status_code < 300:
                    return StripeResponse(
                        body,
                        request_id=request_id,
                        as_of=_as_of(response, duration),
                        replayed=_is_replayed(response),
                    )

                if delay is None or not _may_retry(response, body):
                    raise self._error(f"{method} {path}", response, body)

            self._clock.sleep(delay)

    def _prepare(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        idempotency_key: str | None,
        stripe_account: str | None,
    ) -> requests.PreparedRequest:
        """Build the request that every try sends.

        The session takes no part: it would add headers, cookies and auth of its own.

        :raises ValueError: If the path, a parameter or a header cannot be sent.
        :raises ConfigurationError: If there is no usable key.
        """
        url = self.base_url + _checked_path(path)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Stripe-Version": self.api_version,
            "User-Agent": _user_agent(),
        }
        data = None

        if method != "POST":
            query = urlencode(encode(params or {}))
            url = f"{url}?{query}" if query else url
        elif path.startswith("/v2/"):
            data = json.dumps(params or {}, allow_nan=False)
            headers["Content-Type"] = "application/json"
        else:
            data = urlencode(encode(params or {}))
            headers["Content-Type"] = "application/x-www-form-urlencoded"

        if idempotency_key is None and method == "POST":
            idempotency_key = str(uuid.uuid4())

        for name, value in (
            ("Idempotency-Key", idempotency_key),
            ("Stripe-Account", stripe_account),
        ):
            if value is None:
                continue

            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"{name} must be 1 to 255 ASCII characters.")

            headers[name] = value

        return requests.Request(
            method, url, headers=headers, data=data, auth=self._authorize
        ).prepare()

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key to a request, as an ``auth`` of requests.

        :raises ConfigurationError: If the key is missing or cannot be a key. The key
            itself stays out of the message.
        """
        if self._api_key is None or not self._api_key.strip():
            raise ConfigurationError(
                "'STRIPE_SECRET_KEY' is not set. It is the key that starts with 'sk_'"
                " or 'rk_' in Stripe's Dashboard."
            )

        if not _API_KEY.fullmatch(self._api_key):
            raise ConfigurationError(
                "'STRIPE_SECRET_KEY' has a character that no key has, such as a space"
                " or a line break."
            )

        request.headers["Authorization"] = f"Bearer {self._api_key}"
        return request

    def _error(
        self, call: str, response: requests.Response, body: dict[str, Any] | None
    ) -> StripeError:
        """Turn a response that is not a success into the exception to raise.

        Its texts are Stripe's, but the API key is replaced by ``***``.

        :param call: Method and path, for the message if Stripe sent none.
        :param body: The JSON object in the response, ``None`` if there is none.
        """
        status = response.status_code
        error = _error_object(body)

        def text(name: str) -> str | None:
            value = error.get(name)

            if not isinstance(value, str):
                return None

            return value.replace(self._api_key, "***") if self._api_key else value

        if error:
            fallback = f"{call}: Stripe answered with status {status}."
        else:
            fallback = f"{call}: the answer, with status {status}, is not Stripe's."

        return _error_class(status, error)(
            text("message") or fallback,
            http_status=status,
            type=text("type"),
            code=text("code"),
            param=text("param"),
            decline_code=text("decline_code"),
            request_id=response.headers.get("Request-Id"),
            replayed=_is_replayed(response),
        )


def _is_replayed(response: requests.Response) -> bool:
    """Whether Stripe repeated an answer.

    Source: https://docs.stripe.com/api/idempotent_requests
    """
    return response.headers.get("Idempotent-Replayed") == "true"


def _checked_base_url(base_url: str) -> str:
    """Return the URL without slashes at its end.

    :raises ValueError: If it is not an http or https URL, or has credentials, a query
        or a fragment.
    """
    parts = urlsplit(base_url)

    # The value stays out of the message, as it may hold a password.
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or "@" in parts.netloc
        or _FORBIDDEN.search(base_url)
    ):
        raise ValueError(
            "'base_url' must be an http or https URL with a host, and without"
            " credentials, query or fragment."
        )

    return base_url.rstrip("/")


def _checked_timeout(
    timeout: float | tuple[float, float] | Timeout,
) -> float | tuple[float, float] | Timeout:
    """Return the timeout unchanged.

    :raises ValueError: If a part of it is ``None``, which requests takes for no timeout
        at all, or is not more than 0.
    """
    if not isinstance(timeout, Timeout):
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)

        if connect is None or read is None:
            raise ValueError("'timeout' must not be None, which would wait for ever.")

        Timeout(connect=connect, read=read)  # raises ValueError for what is not > 0

    return timeout


def _checked_retries(max_network_retries: int) -> int:
    if max_network_retries < 0:
        raise ValueError("'max_network_retries' must not be negative.")

    return max_network_retries


def _checked_path(path: str) -> str:
    """Return ``path`` unless a part of it could change which object is addressed.

    An unusual character that changes nothing, such as a space, is left to requests,
    which quotes it. Requests also decodes ``%2E``, so an escaped dot counts as a dot.

    :raises ValueError: If the path is not one of the API.
    """
    segments = path.split("/")[2:]

    if (
        not path.startswith(("/v1/", "/v2/"))
        or _FORBIDDEN.search(path)
        or any(not unquote(segment).strip(".") for segment in segments)
    ):
        raise ValueError(
            f"{path!r} is not a path of the API. It starts with '/v1/' or '/v2/' and"
            " has no query and no empty or dot-only segments."
        )

    return path


def _retry_delays(retries: int) -> Iterator[float]:
    """Yield the seconds to wait before each retry.

    They are those of Stripe's own libraries: 0.5, then 0.5 to 1, 1 to 2, 2 to 4
    seconds, from then on 2.5 to 5. They are random so that the processes of an app do
    not call again all at once.
    """
    for retry in range(retries):
        longest = min(0.5 * 2**retry, 5.0)
        yield max(0.5, random.uniform(longest / 2, longest))  # noqa: S311 (no secret)


def _is_transient(error: requests.RequestException) -> bool:
    """Whether a request that got no answer may get one the next time.

    A certificate that is not trusted stays untrusted: it is not tried again.
    """
    return isinstance(
        error,
        (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,  # the answer broke off
        ),
    ) and not isinstance(error, requests.exceptions.SSLError)


def _may_retry(response: requests.Response, body: dict[str, Any] | None) -> bool:
    """Whether Stripe allows us to send the same request again.

    ``Stripe-Should-Retry`` decides. Without that header the status does: 409, 5xx, and
    429 if another request holds the object.

    Source: https://docs.stripe.com/error-low-level
    """
    advice = response.headers.get("Stripe-Should-Retry")

    if advice in {"true", "false"}:
        return advice == "true"

    if response.status_code == 429:
        # `lock_timeout`: another request holds the object for a moment. Any other 429
        # is the rate limit, which a retry would only prolong.
        return _error_object(body).get("code") == "lock_timeout"

    return response.status_code == 409 or response.status_code >= 500


def _json_object(response: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object in a response, ``None`` if the body is anything else."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return None

    return body if isinstance(body, dict) else None


def _error_object(body: dict[str, Any] | None) -> dict[str, Any]:
    """Return the ``error`` of an answer, empty if the answer is not one of Stripe's.

    Stripe's OAuth endpoints send ``error`` and ``error_description`` as two texts. They
    become ``code`` and ``message``, as in every other error.
    """
    error = (body or {}).get("error")

    if isinstance(error, str):  # of an OAuth endpoint
        return {"code": error, "message": (body or {}).get("error_description", error)}

    return error if isinstance(error, dict) else {}


def _error_class(status: int, error: dict[str, Any]) -> type[StripeError]:
    """Choose the exception for a status and Stripe's ``error`` object.

    An answer without an ``error`` comes from a proxy or a wrong address. Its status
    does not mean what it means at Stripe, so it is an :exc:`.APIError`.

    Source: https://docs.stripe.com/api/errors
    """
    if not error:
        return APIError

    if status == 429 or (status == 400 and error.get("code") == "rate_limit"):
        return RateLimitError

    if status in {400, 404}:
        if error.get("type") == "idempotency_error":
            return IdempotencyError

        return InvalidRequestError

    return {401: AuthenticationError, 402: CardError, 403: PermissionDeniedError}.get(
        status, APIError
    )


def _as_of(response: requests.Response, duration: float) -> datetime | None:
    """Return :attr:`StripeResponse.as_of`: the ``Date`` less the seconds of the call.

    Stripe writes ``Date`` when it answers. The object may have been read at any time
    during the call, so only the time of its beginning is certain.
    """
    try:
        date = parsedate_to_datetime(response.headers["Date"])

        if date.tzinfo is None:  # "-0000": UTC, from a place unknown
            date = date.replace(tzinfo=UTC)

        date = date.astimezone(UTC) - timedelta(seconds=duration)
    except (KeyError, ValueError, OverflowError):
        return None

    return date.replace(microsecond=0)


@cache
def _user_agent() -> str:
    """Return the name and the version of this package, as installed."""
    try:
        return f"{_DISTRIBUTION}/{importlib.metadata.version(_DISTRIBUTION)}"
    except importlib.metadata.PackageNotFoundError:  # not installed, only on the path
        return _DISTRIBUTION
