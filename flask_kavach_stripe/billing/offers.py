"""What a browser may buy: the rules of the checkout endpoint.

A browser may ask for a price, a quantity and a trial. These functions decide by the
app's configuration and the user's subscriptions. The rules bind browsers alone:
the app's own code may call ``create_checkout_session`` with anything that Stripe takes.
"""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from ..catalogue import Price
from ..config import Settings
from ..forms import invalid_field
from ..forms import RequestRefused
from ..forms import shorten
from .selling import is_first_plan

logger: Final = logging.getLogger(__name__)


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


def refuse_long_trial(
    settings: Settings, price: Price, requested_days: int | None
) -> None:
    """Check that a browser asks for no longer trial than it may have.

    The price's own length replaces ``STRIPE_TRIAL_DAYS``.

    :raises RequestRefused: If it does.
    """
    longest = settings.max_requested_trial_days

    if price.trial_days is not None:
        longest = price.trial_days

    if requested_days is not None and requested_days > longest:
        raise _trial_refused(
            f"The field 'trialDays' must be at most {longest}, not {requested_days}."
        )


def grant_trial(
    settings: Settings, user: Any, price: Price, requested_days: int | None
) -> int:
    """The length of the free trial that a user gets, in days.

    Only the first plan of a user has a trial.

    :param requested_days: The days that the browser asks for. ``None`` grants what the
        configuration says: the price's own length, else ``STRIPE_TRIAL_DAYS``.
    :return: 0 for no trial.
    :raises RequestRefused: If the browser asks for a trial that is not its first.
    """
    is_first = is_first_plan(user, price)

    if requested_days is None:
        granted = (
            price.trial_days if price.trial_days is not None else settings.trial_days
        )
        return granted or 0 if is_first else 0

    if requested_days and not is_first:
        raise _trial_refused("A trial is for a first subscription only.")

    return requested_days


def _trial_refused(sentence: str) -> RequestRefused:
    return RequestRefused(sentence, code="trial_not_allowed")
