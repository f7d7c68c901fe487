"""Errors, for a terminal: what is wrong and what to do, in one line."""

from __future__ import annotations

from ..errors import APIConnectionError
from ..errors import AuthenticationError
from ..errors import KavachStripeError
from ..errors import PermissionDeniedError
from ..errors import StripeError


def explain(error: KavachStripeError) -> str:
    """What is wrong and what to do, for a terminal.

    Where Stripe refuses the key, its own words could show a part of it.
    """
    if isinstance(error, AuthenticationError):
        return (
            "Stripe refuses the key of 'STRIPE_SECRET_KEY'. Copy it again from Stripe's"
            " Dashboard."
        )

    if isinstance(error, PermissionDeniedError):
        return (
            "The key of 'STRIPE_SECRET_KEY' may not do this. Give it the permission in"
            " Stripe's Dashboard."
        )

    if isinstance(error, APIConnectionError):
        return f"{error} Check the network and 'STRIPE_API_BASE'."

    if isinstance(error, StripeError):
        return f"Stripe answered with an error: {error}"

    return str(error)
