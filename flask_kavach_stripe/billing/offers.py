"""What a browser may buy: the rules of the checkout endpoint.

A browser may ask for a price, a quantity and a trial. These functions decide by the
app's configuration and the user's subscriptions. The rules bind browsers alone:
the app's own code may call ``create_checkout_session`` with anything that Stripe takes.
"""

from __future__ import annotations

from typing import Any

from ..catalogue import Price
from ..config import Settings
from ..forms import invalid_field
from ..forms import RequestRefused
from .selling import is_first_plan


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

        raise _price_refused("price")

    price = settings.catalogue.find(price_id)

    if price is not None and price.id == price_id:
        return price

    if price_id is None or price is not None or not settings.any_price:
        raise _price_refused("priceId")

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
        raise invalid_field("quantity", f"{price.quantity}") from error


def _price_refused(field: str) -> RequestRefused:
    return RequestRefused(
        f"The field '{field}' names a price that is not for sale here.",
        code="price_not_allowed",
    )


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
        raise _trial_refused(f"The field 'trialDays' must be at most {longest}.")


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
