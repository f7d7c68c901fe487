"""The exceptions that an app meets, and nothing about HTTP responses or terminals.

``views`` turns them into responses, ``cli`` into messages. ``except KavachStripeError``
catches all of them.

.. code-block:: text

    KavachStripeError
    ├── ConfigurationError                  a STRIPE_* key or the set-up is wrong
    ├── SignatureVerificationError          a webhook that Stripe did not sign
    │   └── InvalidPayloadError             signed, but not an event
    ├── NoCustomerError                     the user has no Stripe customer
    ├── UnknownCustomerError                the key's account has no such customer
    ├── RunningSubscriptionError            the user to delete is still charged
    ├── CheckoutSessionMismatch             the session is another user's
    ├── AlreadySubscribedError              the user has a running plan
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
    """Base of all errors of this extension.

    Mistakes in calling it stay :exc:`TypeError`, :exc:`ValueError` or
    :exc:`RuntimeError`, as in Flask.
    """


class ConfigurationError(KavachStripeError, RuntimeError):
    """A ``STRIPE_*`` key is missing or wrong, or a part of the set-up is not found.

    It is also a :exc:`RuntimeError`, as Flask's own errors about the set-up are.
    """


class SignatureVerificationError(KavachStripeError):
    """The signature of a webhook is missing, wrong or too old."""


class InvalidPayloadError(SignatureVerificationError):
    """The webhook is signed, but its body is not one of Stripe's events."""


class NoCustomerError(KavachStripeError):
    """The user has no Stripe customer, or there is no such user."""


class UnknownCustomerError(KavachStripeError):
    """The account of the secret key does not know the user's Stripe customer.

    The customer has not ended: another account's key, a key of the other mode, and test
    data that were wiped all look like this. Nothing was stored.

    .. versionadded:: 0.1
    """


class RunningSubscriptionError(KavachStripeError):
    """A user is deleted with a subscription that Stripe would go on charging for.

    Raised by a flush. Roll the whole transaction back.

    .. versionadded:: 0.1
    """


class CheckoutSessionMismatch(KavachStripeError):
    """The Checkout session belongs to another user or to another application."""


class AlreadySubscribedError(KavachStripeError):
    """The user has a running plan already, and a second one is not sold.

    Stripe was asked before.
    """


class StripeError(KavachStripeError):
    """Stripe refused a request or did not answer it.

    The parameters become attributes of the same names. Each but ``replayed`` is
    ``None`` if Stripe did not send it.

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
        #: The HTTP status of Stripe's response, ``None`` if there was no response.
        self.http_status = http_status
        #: Stripe's ``error.type``, such as ``"invalid_request_error"``.
        self.type = type
        #: Stripe's ``error.code``, such as ``"resource_missing"``.
        self.code = code
        #: The parameter that Stripe complains about.
        self.param = param
        #: The issuer's reason for a declined card.
        self.decline_code = decline_code
        #: The id of the request, ``req_...``, which Stripe's support asks for.
        self.request_id = request_id
        #: Whether Stripe repeated a stored answer to the same idempotency key.
        self.replayed = replayed

    def __str__(self) -> str:
        if self.request_id is None:
            return self.message

        return f"{self.message} (request {self.request_id})"


class APIConnectionError(StripeError):
    """Stripe could not be reached, or did not answer in time.

    Stripe may still have done what it was asked to do. The same idempotency key makes
    it safe to ask again.
    """

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
    """Stripe failed, or the answer was not Stripe's, such as a proxy's HTML page."""


#: Errors that every further call to Stripe would raise, too. A command that works on
#: many users stops at the first one.
FATAL_ERRORS: Final = (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitError,
)
