"""What a browser may buy: the rules of the checkout endpoint.

A browser may ask for a price, a trial and a second subscription. These functions decide
by the app's configuration and the user's subscriptions. The rules bind browsers alone:
the app's own code may call ``create_checkout_session`` with anything that Stripe takes.
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
from .relink import BLOCKING_STATUSES
from .relink import relink_user

logger: Final = logging.getLogger(__name__)


def choose_price(
    settings: Settings, *, price_id: str | None, name: str | None
) -> Price:
    """The price that a browser names, by its id or by its name in ``STRIPE_PRICES``.

    :param name: If given, it decides; ``price_id`` must then be absent or fit to it.
    :return: The price in ``STRIPE_PRICES``, with its own trial. If the configuration
        allows any price, also another one, without a trial of its own.
    :raises RequestRefused: If the price is not for sale.
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
    """The length of the free trial that a user gets, in days.

    Only a user that never had a subscription gets a trial. The price's own length
    replaces ``STRIPE_TRIAL_DAYS``, both as the default and as the longest trial that a
    browser may ask for.

    :param requested_days: The days that the browser asks for. ``None`` grants what the
        configuration says.
    :return: 0 for no trial.
    :raises RequestRefused: If the browser asks for more days than it may have.
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
    """Check that a user has no subscription that is still running.

    A user without a customer is linked to the one that was made for this user before,
    if there is one. Our rows may be behind Stripe. So before refusing, the
    subscriptions are read from Stripe, stored and committed. If Stripe does not answer
    then, our rows decide.

    :raises RequestRefused: If the user has one, with HTTP status 409.
    :raises NoCustomerError: If there is no such user.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe could not be asked for the user's customer.
    """
    is_synced = relink_user(user)

    if not _is_subscribed(user):
        return

    try:
        if not is_synced:
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
    """Whether a second checkout would make the user pay twice, by our rows alone."""
    return any(
        subscription.status in BLOCKING_STATUSES
        for subscription in list_subscriptions(user)
    )
