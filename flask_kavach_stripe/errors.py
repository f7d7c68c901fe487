"""The exceptions that an app meets.

.. code-block:: text

    KavachStripeError
    ├── ConfigurationError                  a STRIPE_* key or the set-up is wrong
    ├── SignatureVerificationError          a webhook that Stripe did not sign
    │   └── InvalidPayloadError             signed, but not an event
    ├── NoCustomerError                     the user has no Stripe customer
    ├── CheckoutSessionMismatch             the session is another user's
    └── StripeError                         Stripe answered with an error
        ├── APIConnectionError              no answer from Stripe
        ├── AuthenticationError             401
        ├── CardError                       402
        ├── PermissionDeniedError           403
        ├── InvalidRequestError             400 and 404
        ├── IdempotencyError                400, a key used for two requests
        ├── RateLimitError                  429
        └── APIError                        the rest, and answers that are not JSON
"""

from __future__ import annotations

from typing import Final


class KavachStripeError(Exception):
    """Base of all errors that this extension raises on its own account."""


class ConfigurationError(KavachStripeError, RuntimeError):
    """A ``STRIPE_*`` key is missing or wrong, or a part of the set-up is not found.

    A :exc:`RuntimeError` too, as Flask's own set-up mistakes are.
    """


class SignatureVerificationError(KavachStripeError):
    """The webhook request is not from Stripe, or cannot be shown to be."""


class InvalidPayloadError(SignatureVerificationError):
    """The webhook's bytes are signed, but they are not an event."""


class NoCustomerError(KavachStripeError):
    """The user has no Stripe customer, or is not known at all."""


class CheckoutSessionMismatch(KavachStripeError):
    """The Checkout session belongs to another user or to another application."""


class StripeError(KavachStripeError):
    """Stripe refused a request or did not answer it.

    :param message: Stripe's text. It is written for developers; show customers your
        own.

    Source: https://docs.stripe.com/api/errors
    """

    #: Whether the same request, with the same idempotency key, may succeed later.
    should_retry = False

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        request_id: str | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(message)
        #: Stripe's text, without our key.
        self.message = message
        #: The status of the response, ``None`` if there was none.
        self.http_status = http_status
        #: Stripe's ``error.type``, such as ``"invalid_request_error"``.
        self.type = type
        #: Stripe's ``error.code``, such as ``"resource_missing"``.
        self.code = code
        #: The parameter that Stripe complains about.
        self.param = param
        #: The issuer's reason for a declined card.
        self.decline_code = decline_code
        #: ``req_...``, what Stripe's support asks for.
        self.request_id = request_id
        #: Whether Stripe repeated a stored answer to the same idempotency key.
        self.replayed = replayed

    def __str__(self) -> str:
        if self.request_id is None:
            return self.message

        return f"{self.message} (request {self.request_id})"


class APIConnectionError(StripeError):
    """Stripe could not be reached, or the answer did not come in time."""

    should_retry = True


class AuthenticationError(StripeError):
    """The secret key is wrong, expired or revoked."""


class CardError(StripeError):
    """The card was declined."""


class PermissionDeniedError(StripeError):
    """The restricted key lacks a permission."""


class InvalidRequestError(StripeError):
    """A parameter is wrong, or there is no such object."""


class IdempotencyError(StripeError):
    """An idempotency key was used again with other parameters."""


class RateLimitError(StripeError):
    """Too many requests, or the object is locked by another one."""

    should_retry = True


class APIError(StripeError):
    """Stripe failed, or what answered was not Stripe."""


#: What the next call to Stripe would meet, too.
FATAL_ERRORS: Final = (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitError,
)
