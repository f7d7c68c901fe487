"""The errors of the sandbox.

:exc:`ApiError` is an answer of the API, in Stripe's shape, and is also raised in Python
by the methods of :class:`.Sandbox` that stand for a call or a page. The other
exceptions are for the person who runs the sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Protocol

#: Codes without an entry on Stripe's page about codes; the last one is our own.
#: Source: https://docs.stripe.com/error-codes
_WITHOUT_PAGE = frozenset(
    (
        "payment_method_missing",
        "price_inactive",
        "property_forbidden",
        "sandbox_not_simulated",
    )
)


class SandboxError(Exception):
    """Base of all errors that the sandbox raises in Python."""


class PortInUseError(SandboxError):
    """The sandbox cannot listen on the host and port that it was given."""


class FailedAttempt(Protocol):
    """An attempt to deliver a webhook that the app did not take.

    :class:`.Attempt` fits; this module stands below it.
    """

    @property
    def event_id(self) -> str: ...
    @property
    def event_type(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def error(self) -> str | None: ...


class UndeliveredError(SandboxError):
    """The app did not take webhooks that it was sent; its log says why.

    They will be sent again, as Stripe does it.
    """

    def __init__(self, attempts: Sequence[FailedAttempt]) -> None:
        lines = [
            f"{attempt.event_type} ({attempt.event_id}):"
            f" {attempt.error or f'status {attempt.status}'}"
            for attempt in attempts
        ]
        super().__init__(
            "The app did not take every webhook; its log says why.\n" + "\n".join(lines)
        )
        #: The attempts that failed.
        self.attempts: list[FailedAttempt] = list(attempts)


class ApiError(SandboxError):
    """An error that the API answers with, in the shape of Stripe's errors.

    :param message: The sentence for the developer.
    :param status: The HTTP status.
    :param type: One of Stripe's four: ``invalid_request_error``, ``card_error``,
        ``idempotency_error``, ``api_error``.
    :param code: Stripe's machine-readable code.
    :param param: The parameter it is about, in brackets: ``items[0][price]``.
    :param decline_code: Why the bank declined the card.

    Source: https://docs.stripe.com/api/errors
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.decline_code = decline_code

    def to_body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON that Stripe would send.

        :param request_id: The ``Request-Id`` of the answer.
        """
        error: dict[str, Any] = {}

        if self.code is not None:
            error["code"] = self.code

        if self.code is not None and self.code not in _WITHOUT_PAGE:
            error["doc_url"] = (
                f"https://docs.stripe.com/error-codes#{self.code.replace('_', '-')}"
            )

        if self.decline_code is not None:
            error["decline_code"] = self.decline_code

        error["message"] = self.message

        if self.param is not None:
            error["param"] = self.param

        error["request_log_url"] = (
            f"https://dashboard.stripe.com/test/logs/{request_id}?t=0"
        )
        error["type"] = self.type
        return {"error": error}


class AuthenticationRequired(ApiError):
    """The bank asks for 3-D Secure: the card is neither accepted nor refused yet.

    :param url: The page on which it is passed or failed.
    """

    def __init__(self, url: str) -> None:
        super().__init__(
            "This card asks for 3-D Secure: pass it, or fail it, to go on.",
            status=402,
            type="card_error",
            code="authentication_required",
        )
        self.url = url


def resource_missing(
    noun: str, object_id: str, param: str, *, status: int = 400
) -> ApiError:
    """An id has no object behind it.

    :param noun: What Stripe's messages call the kind of object.
    :param param: The parameter that held the id.
    :param status: 404 for the id in the path, 400 for one in a parameter.
    """
    return ApiError(
        f"No such {noun}: '{object_id}'",
        status=status,
        code="resource_missing",
        param=param,
    )


def parameter_missing(param: str) -> ApiError:
    """A parameter that the call needs was not sent."""
    return ApiError(
        f"Missing required param: {param}.", code="parameter_missing", param=param
    )


def parameter_empty(param: str) -> ApiError:
    """A parameter that cannot be unset was sent empty."""
    return ApiError(
        f"You passed an empty string for '{param}'. We assume empty values are an"
        f" attempt to unset a parameter; however '{param}' cannot be unset.",
        code="parameter_invalid_empty",
        param=param,
    )


def parameter_unknown(param: str, *others: str) -> ApiError:
    """The call has no such parameter, in this API version.

    :param others: Further ones, for the message.
    """
    names = ", ".join((param, *others))
    plural = "s" if others else ""
    return ApiError(
        f"Received unknown parameter{plural}: {names}",
        code="parameter_unknown",
        param=param,
    )


def not_simulated(param: str) -> ApiError:
    """Stripe knows the parameter, but the sandbox does not simulate it.

    It moves money, and no answer is better than a wrong one. The code is the sandbox's
    own.
    """
    return ApiError(
        f"Stripe accepts '{param}', but the sandbox does not simulate it.",
        code="sandbox_not_simulated",
        param=param,
    )
