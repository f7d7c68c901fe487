"""The package offers what the contract names, and explains it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import flask_kavach_stripe
from flask_kavach_stripe import testing

#: Everything that the docs promise.
PUBLIC = {
    "AlreadySubscribedError",
    # What an app is made of
    "KavachStripe",
    "StripeUserMixin",
    "StripeEventMixin",
    "StripeSubscriptionMixin",
    "subscription_required",
    "current_subscription",
    "leave_to_worker",
    # What it is given
    "CheckoutSession",
    "Event",
    "Item",
    "PortalSession",
    "StripeClient",
    "StripeResponse",
    "Subscription",
    # What it may have to catch
    "APIConnectionError",
    "APIError",
    "AuthenticationError",
    "CardError",
    "CheckoutSessionMismatch",
    "ConfigurationError",
    "IdempotencyError",
    "InvalidRequestError",
    "KavachStripeError",
    "NoCustomerError",
    "PermissionDeniedError",
    "RateLimitError",
    "RunningSubscriptionError",
    "SignatureVerificationError",
    "StripeError",
    "UnknownCustomerError",
}

HELPERS = {
    "create_customer",
    "get_customer_id",
    "create_checkout_session",
    "create_portal_session",
    "get_subscription",
    "list_subscriptions",
    "sync_subscription",
    "complete_checkout",
    "handle_webhook",
    "process_event",
    "client",
    "init_app",
    "on",
    "on_subscription_change",
}

STRIPE_ERRORS = {
    "APIConnectionError",
    "APIError",
    "AuthenticationError",
    "CardError",
    "IdempotencyError",
    "InvalidRequestError",
    "PermissionDeniedError",
    "RateLimitError",
}


def test_all() -> None:
    assert set(flask_kavach_stripe.__all__) == PUBLIC
    assert len(flask_kavach_stripe.__all__) == len(PUBLIC)


@pytest.mark.parametrize("module", [flask_kavach_stripe, testing])
def test_all_is_sorted_and_there(module: Any) -> None:
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_nothing_else_looks_public() -> None:
    names = {
        name
        for name, value in vars(flask_kavach_stripe).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }

    assert names == PUBLIC


def test_methods_of_the_extension() -> None:
    names = {name for name in vars(flask_kavach_stripe.KavachStripe) if name[0] != "_"}

    assert names == HELPERS


@pytest.mark.parametrize("name", sorted(STRIPE_ERRORS))
def test_stripe_errors(name: str) -> None:
    error = getattr(flask_kavach_stripe, name)

    assert issubclass(error, flask_kavach_stripe.StripeError)


@pytest.mark.parametrize(
    "name", sorted(n for n in PUBLIC if n.endswith(("Error", "Mismatch")))
)
def test_one_base_of_all_errors(name: str) -> None:
    error = getattr(flask_kavach_stripe, name)

    assert issubclass(error, flask_kavach_stripe.KavachStripeError)
    assert (name in STRIPE_ERRORS) == (
        issubclass(error, flask_kavach_stripe.StripeError) and name != "StripeError"
    )


def test_attributes_of_an_error() -> None:
    error = flask_kavach_stripe.CardError(
        "Declined.",
        http_status=402,
        type="card_error",
        code="card_declined",
        param="source",
        decline_code="lost_card",
        request_id="req_1",
    )

    assert (error.http_status, error.type, error.code, error.param) == (
        402,
        "card_error",
        "card_declined",
        "source",
    )
    assert (error.decline_code, error.request_id, error.message) == (
        "lost_card",
        "req_1",
        "Declined.",
    )
    assert str(error) == "Declined. (request req_1)"


def documented() -> Iterator[Any]:
    """Every public class and function, and their public methods and properties."""
    for module in (flask_kavach_stripe, testing):
        for name in module.__all__:
            if name == "current_subscription":  # a proxy; it shows what it stands for
                continue

            value = getattr(module, name)
            yield pytest.param(value, id=f"{module.__name__}.{name}")

            if not inspect.isclass(value):
                continue

            for attribute, member in vars(value).items():
                if attribute.startswith("_"):
                    continue

                member = getattr(member, "__func__", member)

                if inspect.isfunction(member) or isinstance(member, property):
                    yield pytest.param(
                        member, id=f"{module.__name__}.{name}.{attribute}"
                    )


@pytest.mark.parametrize("value", list(documented()))
def test_docstring(value: Any) -> None:
    first_line = (value.__doc__ or "").partition("\n")[0]

    assert first_line.strip()
    assert not first_line.startswith(" ")
    # The dataclass decorator writes "CheckoutSession(id: str, url: str)" by itself.
    assert not first_line.startswith(f"{getattr(value, '__name__', '?')}(")
