"""What a browser may buy: the rules of the checkout endpoint.

A browser may ask for a price, a trial and a second subscription. These functions decide
by the app's configuration and the user's subscriptions. The rules bind browsers alone:
the app's own code may call ``create_checkout_session`` with anything that Stripe takes.
"""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from ..catalogue import Price
from ..config import Settings
from ..errors import StripeError
from ..forms import invalid_field
from ..forms import RequestRefused
from ..forms import shorten
from ..state import get_state
from .refresh import sync_subscription
from .stored_subscriptions import has_ever_subscribed
from .stored_subscriptions import list_rows
from .users import find_user

logger: Final = logging.getLogger(__name__)

#: A user with a subscription of one of these statuses would pay for two after a second
#: checkout.
_BLOCKING_STATUSES: Final = frozenset(
    {"active", "trialing", "past_due", "unpaid", "paused"}
)


def choose_price(
    settings: Settings, *, price_id: str | None, name: str | None
) -> Price:
    """The price that a browser names, by its id or by its name in ``STRIPE_PRICES``.

    An older id of an entry gives access, and is not for sale.

    :param name: If given, it decides; ``price_id`` must then be absent or fit to it.
    :return: The price in ``STRIPE_PRICES``, with its own trial. If the configuration
        allows any price, also another one, without a trial of its own.
    :raises RequestRefused: If the price is not for sale.
    """
    if name is not None:
        price = settings.prices.get(name)

        if price is not None and price_id in (None, price.id):
            return price

        if price is not None:
            raise _price_refused(
                f"The fields 'price' and 'priceId' name two prices: {shorten(name)} and"
                f" {shorten(price_id)}."
            )

        raise _unknown_price(settings, f"There is no price named {shorten(name)}.")

    price = settings.catalogue.find(price_id)

    if price is not None and price.id == price_id:
        return price

    if price_id is None or price is not None or not settings.any_price:
        sentence = f"The price {shorten(price_id)} in 'priceId' is not for sale here."
        raise _unknown_price(settings, sentence)

    return Price((price_id,))


def choose_quantity(price: Price, requested: int | None) -> int | None:
    """The quantity to buy, by the rule of the price.

    :param requested: What the browser asks for, ``None`` if it asks for none.
    :return: ``None`` for a metered price: Stripe takes no quantity for it.
    :raises RequestRefused: If the price is not sold in this quantity.
    """
    if price.quantity is None:
        return None

    try:
        return price.quantity.choose(requested)
    except ValueError as error:
        raise invalid_field("quantity", str(price.quantity), requested) from error


def _unknown_price(settings: Settings, sentence: str) -> RequestRefused:
    """The refusal of a price that is not in ``STRIPE_PRICES``, with the names there.

    With a live key they are in the log alone: what a shop does not show, such as the
    price of one customer, is no business of a browser.
    """
    names = ", ".join(map(repr, settings.prices))
    known = f"Known: {names}." if names else "'STRIPE_PRICES' has no names."

    if settings.livemode:
        logger.warning("A browser asked for what is not sold. %s %s", sentence, known)
        return _price_refused(sentence)

    return _price_refused(f"{sentence} {known}")


def _price_refused(sentence: str) -> RequestRefused:
    return RequestRefused(sentence, code="price_not_allowed")


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
        raise _trial_refused(
            f"The field 'trialDays' must be at most {longest}, not {requested_days}."
        )

    if requested_days and not is_first:
        raise _trial_refused("A trial is for a first subscription only.")

    return requested_days


def _trial_refused(sentence: str) -> RequestRefused:
    return RequestRefused(sentence, code="trial_not_allowed")


def refuse_second_subscription(user: Any) -> None:
    """Check that a user has no subscription that is still running.

    Our rows may be behind Stripe. So before refusing, the subscriptions are read from
    Stripe, stored and committed. If Stripe does not answer, our rows decide.

    :raises RequestRefused: If the user has one, with HTTP status 409.
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
    """Whether a second checkout would make the user pay twice, by our rows alone.

    Add-ons alone are no subscription to a plan.
    """
    state = get_state()
    state.session.flush()
    instance = find_user(state, user)
    rows = [] if instance is None else list_rows(state, instance)
    return any(
        row.status in _BLOCKING_STATUSES
        and state.settings.catalogue.has_plan(row.items)
        for row in rows
    )
