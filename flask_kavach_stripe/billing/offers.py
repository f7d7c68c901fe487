"""What a browser may buy: the rules of the checkout endpoint.

They bind browsers only; the app's own code may do anything that Stripe allows.
"""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from ..config import Price
from ..config import Settings
from ..errors import StripeError
from ..forms import RequestRefused
from .lookup import has_ever_subscribed
from .lookup import list_subscriptions
from .refresh import sync_subscription

logger: Final = logging.getLogger(__name__)

#: With one of these, a second checkout would charge twice.
_BLOCKING_STATUSES: Final = frozenset(
    {"active", "trialing", "past_due", "unpaid", "paused"}
)


def choose_price(
    settings: Settings, *, price_id: str | None, name: str | None
) -> Price:
    """The price that a browser names, by its id or by its name in ``STRIPE_PRICES``.

    :raises RequestRefused: If it is not on the list.
    """
    if name is not None:
        price = settings.prices.get(name)

        if price is not None and price_id in (None, price.id):
            return price

        raise _price_refused("price")

    for price in settings.prices.values():
        if price.id == price_id:
            return price

    if price_id is None or not settings.any_price:
        raise _price_refused("priceId")

    return Price(price_id, None)


def _price_refused(field: str) -> RequestRefused:
    return RequestRefused(
        f"The field '{field}' names a price that is not for sale here.",
        code="price_not_allowed",
    )


def grant_trial(
    settings: Settings, user: Any, price: Price, requested_days: int | None
) -> int:
    """The days of trial that a user gets.

    :param requested_days: What the browser asks for; ``None`` for what we grant.
    :raises RequestRefused: If it asks for more than it may have.
    """
    is_first = not has_ever_subscribed(user)

    if requested_days is None:
        granted = (
            price.trial_days if price.trial_days is not None else settings.trial_days
        )
        return granted or 0 if is_first else 0

    longest = settings.max_requested_trial_days

    if price.trial_days is not None:
        longest = price.trial_days

    if requested_days > longest:
        raise _trial_refused(f"The field 'trialDays' must be at most {longest}.")

    if requested_days and not is_first:
        raise _trial_refused("A trial is for a first subscription only.")

    return requested_days


def _trial_refused(sentence: str) -> RequestRefused:
    return RequestRefused(sentence, code="trial_not_allowed")


def refuse_second_subscription(user: Any) -> None:
    """Check that a user has no subscription yet.

    Before refusing, Stripe is asked: our columns may be behind. If it does not answer,
    they decide.

    :raises RequestRefused: If there is one.
    """
    if not _is_subscribed(user):
        return

    try:
        sync_subscription(user)
    except StripeError as error:
        logger.warning("The columns decide, as Stripe could not be asked: %s", error)

    if _is_subscribed(user):
        raise RequestRefused(
            "There is a subscription already. Manage it in the billing portal.",
            code="already_subscribed",
            status=409,
        )


def _is_subscribed(user: Any) -> bool:
    return any(each.status in _BLOCKING_STATUSES for each in list_subscriptions(user))
