"""Keep an app from deleting a user whom Stripe would go on charging."""

from __future__ import annotations

from typing import Any
from typing import Final

from flask import current_app
from flask import has_app_context
from sqlalchemy import event

from ..database.models import StripeUserMixin
from ..errors import RunningSubscriptionError
from ..state import EXTENSION_KEY
from ..state import get_state

_BEFORE_DELETE: Final = "before_delete"


def protect_billed_users() -> None:
    """Have every flush refuse to delete a user with a running subscription.

    It holds for all models with :class:`.StripeUserMixin`, those defined later
    included. Calling it again changes nothing.
    """
    if not event.contains(StripeUserMixin, _BEFORE_DELETE, _refuse):
        event.listen(StripeUserMixin, _BEFORE_DELETE, _refuse, propagate=True)


def _refuse(mapper: Any, connection: Any, user: Any) -> None:
    """Refuse the deletion by the columns alone, without a query of its own.

    :raises RunningSubscriptionError: If the user's columns name a subscription, unless
        ``STRIPE_PROTECT_BILLED`` of the current app is false.
    """
    if not user.stripe_subscription_id or not _is_protected():
        return

    raise RunningSubscriptionError(
        f"The {type(user).__name__!r} with the customer {user.stripe_customer_id!r} has"
        f" the subscription {user.stripe_subscription_id!r}, which Stripe would go on"
        " charging for. End it first, in Stripe's Dashboard or with"
        " 'delete_customer', and roll this transaction back."
    )


def _is_protected() -> bool:
    """Whether the current app protects its users. Without an app: they are."""
    if not has_app_context() or EXTENSION_KEY not in current_app.extensions:
        return True

    return get_state().settings.protect_billed
