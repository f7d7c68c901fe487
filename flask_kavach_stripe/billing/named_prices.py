"""Find the entry of ``STRIPE_PRICES`` that the app's own code names."""

from __future__ import annotations

from difflib import get_close_matches

from ..catalogue import Catalogue
from ..catalogue import Price
from ..errors import ConfigurationError


def find_named(catalogue: Catalogue, price: str) -> Price | None:
    """The entry with a name.

    :param price: A name in ``STRIPE_PRICES``, or a price id.
    :return: ``None`` for an id: one in an entry, or any ``price_...``.
    :raises ConfigurationError: If it is neither, or if the entry has no price id yet. A
        name with a typo would sell nothing, and keep out every subscriber.
    """
    entry = catalogue.prices.get(price)

    if entry is not None:
        return entry

    if price in catalogue.unset:
        raise ConfigurationError(f"'STRIPE_PRICES' has no price id for {price!r} yet.")

    if price in catalogue.names or price.startswith("price_"):
        return None

    names = ", ".join(map(repr, catalogue.prices)) or "none"
    nearest = get_close_matches(price, catalogue.prices, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigurationError(
        f"'STRIPE_PRICES' has no price named {price!r}. Names there: {names}.{hint}"
    )
