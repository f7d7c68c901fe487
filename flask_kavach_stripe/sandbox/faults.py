"""Faults on demand: of webhooks on their way, and of calls of the API.

A fault of a webhook is asked for where the webhook is put in the queue (``delay``,
``duplicate``, ``reorder``) or where it is sent (the others). A fault of a call stands
before the whole WSGI app, so it also strikes before a wrong key is noticed.
"""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from typing import Final
from typing import get_args
from typing import Literal
from wsgiref.types import StartResponse
from wsgiref.types import WSGIApplication
from wsgiref.types import WSGIEnvironment

from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from .sandbox_errors import ApiError
from .versions.known_versions import check_version

WebhookFault = Literal[
    "concurrent",
    "delay",
    "drop",
    "duplicate",
    "old_version",
    "reorder",
    "wrong_secret",
]
ApiFault = Literal[
    "disconnect", "lock_timeout", "rate_limit", "server_error", "timeout"
]

#: Every kind of fault, in words.
KINDS: dict[str, str] = {
    "concurrent": "the webhook comes twice at the same moment",
    "delay": "the webhook comes later",
    "drop": "the webhook does not arrive; only a retry brings it",
    "duplicate": "the webhook comes twice",
    "old_version": "the webhook has the shape of an old API version",
    "reorder": "the webhook comes after some of the following ones",
    "wrong_secret": "the webhook is signed with another secret",
    "disconnect": "the API closes the connection without an answer",
    "lock_timeout": "the API answers 429: the object is in use",
    "rate_limit": "the API answers 429: too many requests",
    "server_error": "the API answers 500",
    "timeout": "the API does not answer in time",
}

#: The oldest version that the extension promises to read.
OLD_VERSION = "2024-12-18.acacia"

#: Set in the environ by callers in the same process: they meet a time-out at once.
IN_PROCESS = "flask_kavach_stripe.in_process"

_API_FAULTS = get_args(ApiFault)
_DEFAULT_SECONDS = {"delay": 3600.0, "timeout": 60.0}


class HangUp(ConnectionError):
    """The caller is left without an answer.

    A server that meets it closes the connection.

    :param is_timeout: Whether the caller ran into its own time-out; otherwise it sees a
        closed connection.
    """

    def __init__(self, is_timeout: bool) -> None:
        super().__init__("A fault of the sandbox: no answer.")
        self.is_timeout = is_timeout


@dataclass(eq=False)
class Fault:
    """Something that goes wrong, as :meth:`Faults.add` describes it."""

    kind: WebhookFault | ApiFault
    on: str
    times: float
    probability: float
    seconds: float
    api_version: str
    lost: Literal["answer", "request"]

    #: How often it has struck.
    hits: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it has struck as often as ``times`` says."""
        return self.hits >= self.times


class Faults:
    """The faults that are waiting to strike.

    :param seed: With the same seed, the same calls and events meet the same faults.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(  # noqa: S311  (faults of a test double)
            None if seed is None else f"faults of {seed}"
        )
        self._faults: list[Fault] = []
        #: How often any fault has struck.
        self.hits: int = 0
        #: Ends the waiting of those who were left without an answer.
        self.stopped: Final = threading.Event()

    def add(
        self,
        kind: WebhookFault | ApiFault,
        on: str = "*",
        *,
        times: float | None = None,
        probability: float = 1.0,
        seconds: float | None = None,
        api_version: str = OLD_VERSION,
        lost: Literal["answer", "request"] = "answer",
    ) -> Fault:
        """Let something go wrong.

        For webhooks: ``concurrent`` (twice at the same moment), ``delay``, ``drop``,
        ``duplicate``, ``old_version``, ``reorder`` and ``wrong_secret``. For calls of
        the API: ``disconnect``, ``lock_timeout``, ``rate_limit``, ``server_error`` and
        ``timeout``.

        .. code-block:: python

            sandbox.faults.add("drop", "customer.subscription.updated")
            sandbox.faults.add("server_error", "GET /v1/subscriptions/*", times=2)
            sandbox.faults.add("duplicate", probability=0.1)

        :param on: What it strikes: an event type, or method and path of a call; ``*``
            stands for any text.
        :param times: How often it strikes; by default once, and without end where
            ``probability`` is given. ``math.inf`` is always.
        :param probability: How likely it strikes where it may.
        :param seconds: Of a ``delay``, by the sandbox's clock (or real ones while
            it is served), by default an hour. Of a ``timeout``, for how long a served
            sandbox keeps the caller waiting, by default a minute; in the same process
            it is over at once.
        :param api_version: Of an ``old_version``.
        :param lost: Of a ``disconnect`` or a ``timeout``: whether Stripe did what it
            was asked for, and the ``"answer"`` was lost, or never got the
            ``"request"``.
        :raises ValueError: If an argument has no such value.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}.")

        if not 0 < probability <= 1:
            raise ValueError(f"'probability' must be in (0, 1], not {probability}.")

        if lost not in ("answer", "request"):
            raise ValueError(f"'lost' must be 'answer' or 'request', not {lost!r}.")

        is_call, strikes_calls = " " in on or "/" in on, kind in _API_FAULTS

        if on != "*" and is_call is not strikes_calls:
            example = "GET /v1/subscriptions/*" if strikes_calls else "invoice.paid"
            raise ValueError(f"{kind!r} strikes such as {example!r}, never {on!r}.")

        if times is None:
            times = 1 if probability == 1 else math.inf

        if seconds is None:
            seconds = _DEFAULT_SECONDS.get(kind, 0.0)

        if not times > 0:
            raise ValueError(f"'times' must be more than 0, not {times}.")

        if not seconds >= 0:
            raise ValueError(f"'seconds' must not be negative, as {seconds} is.")

        try:
            check_version(api_version)
        except ApiError as error:
            raise ValueError(str(error)) from error

        fault = Fault(kind, on, times, probability, seconds, api_version, lost)

        with self._lock:
            self._faults.append(fault)

        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault back; one that is over does no harm."""
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def clear(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._faults.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing goes wrong in this block."""
        with self._lock:
            faults, self._faults = self._faults, []

        try:
            yield
        finally:
            with self._lock:
                self._faults = faults + self._faults

    def __iter__(self) -> Iterator[Fault]:
        """The faults that may still strike."""
        with self._lock:
            return iter([fault for fault in self._faults if not fault.is_over])

    def strike(self, kinds: Iterable[str], subject: str) -> Fault | None:
        """Return the fault that strikes here and now, if one does.

        The oldest that fits strikes, and only one. It is counted at once.

        :param kinds: Those that can strike here.
        :param subject: The event type, or method and path.
        """
        if not self._faults:  # as nearly always
            return None

        kinds = set(kinds)

        with self._lock:
            for fault in self._faults:
                if (
                    fault.kind in kinds
                    and not fault.is_over
                    and fnmatchcase(subject, fault.on)
                    and (
                        fault.probability == 1
                        or self._random.random() < fault.probability
                    )
                ):
                    fault.hits += 1
                    self.hits += 1
                    return fault

        return None

    def between(self, low: float, high: float) -> float:
        """Return a random number, from the same seed as the chances of the faults."""
        with self._lock:
            return self._random.uniform(low, high)

    def wrap(self, app: WSGIApplication) -> WSGIApplication:
        """Put the faults of the API before a WSGI app.

        Errors are answered in Stripe's shape: 429 ``lock_timeout``, 429 ``rate_limit``
        with ``Stripe-Rate-Limited-Reason``, 500 ``api_error``. A ``disconnect`` or
        ``timeout`` raises :exc:`HangUp` through the server: after the app has done its
        work if the fault says that the answer is lost, before it if the request is.
        """

        def faulty(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            """Answer a request with a fault if one strikes, or else with the app."""
            path = environ.get("PATH_INFO", "")
            fault = None

            if path.startswith(("/v1/", "/v2/")):
                call = f"{environ['REQUEST_METHOD']} {path}"
                fault = self.strike(_API_FAULTS, call)

            if fault is None:
                return app(environ, start)

            if fault.kind in _ERRORS:
                return _error_response(fault.kind)(environ, start)

            if fault.lost == "answer":
                run_wsgi_app(app, environ, buffered=True)

            is_timeout = fault.kind == "timeout"

            if is_timeout and not environ.get(IN_PROCESS):
                self.stopped.wait(fault.seconds)

            raise HangUp(is_timeout)

        return faulty


_ERRORS: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "lock_timeout": (
        429,
        {},
        {
            "code": "lock_timeout",
            "message": "This object cannot be accessed right now because another API"
            " request is accessing it.",
        },
    ),
    "rate_limit": (
        429,
        {"Stripe-Rate-Limited-Reason": "global-rate"},
        {"code": "rate_limit", "message": "Request rate limit exceeded."},
    ),
    "server_error": (
        500,
        {},
        {"message": "An unknown error occurred.", "type": "api_error"},
    ),
}


def _error_response(kind: str) -> Response:
    """Return an error that is not kept for the idempotency key: nothing was begun."""
    status, headers, values = _ERRORS[kind]
    error = ApiError(
        values["message"],
        status=status,
        type=values.get("type", "invalid_request_error"),
        code=values.get("code"),
    )
    response = Response(
        json.dumps(error.to_body("req_fault"), indent=2),
        status=status,
        content_type="application/json",
    )
    response.headers["Request-Id"] = "req_fault"
    response.headers.extend(headers)
    return response
