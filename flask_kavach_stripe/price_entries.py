"""Read ``STRIPE_PRICES``: a :class:`.Catalogue`, or a sentence about what is wrong.

Each sentence names the entry, its key and the value:
``STRIPE_PRICES["team"]["trial_days"] must be ..., not "14".``
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from typing import TypeGuard

from .catalogue import ANY_QUANTITY
from .catalogue import Catalogue
from .catalogue import Price
from .catalogue import Quantities
from .errors import ConfigurationError
from .urls import UNSAFE

#: The largest ``trial_period_days`` that Stripe accepts.
MAX_TRIAL_DAYS: Final = 730

#: The largest quantity that browsers may ask for.
MAX_QUANTITY: Final = 999_999

#: Ids and keys of Stripe have no other characters.
VISIBLE_ASCII: Final = re.compile(r"[!-~]+")


def read_catalogue(key: str, value: object) -> Catalogue:
    """Read all entries.

    :param key: The name of the value, for sentences: ``STRIPE_PRICES``.
    :raises ConfigurationError: If an entry is wrong, or two of them share a price id or
        a name. An entry without a price id, such as an unset environment variable, is
        no error: it is not for sale.
    """
    if not isinstance(value, Mapping):
        raise wrong(key, value, "None, '*' or a dict of names and prices")

    prices: dict[str, Price] = {}
    unset: list[str] = []

    for name, entry in value.items():
        if not isinstance(name, str) or not name or UNSAFE.search(name):
            raise wrong(key, name, "a dict with texts as names")

        price = read_entry(f"{key}[{_show(name)}]", entry)

        if price is None:
            unset.append(name)
        else:
            prices[name] = price

    _check_unique(key, prices)
    return Catalogue(prices, tuple(unset))


def read_entry(key: str, value: object) -> Price | None:
    """Read one entry.

    :param key: The place of the entry, for sentences: ``STRIPE_PRICES["team"]``.
    :return: ``None`` if its price id is ``None`` or blank.
    :raises ConfigurationError: If it is wrong.
    """
    if value is None or isinstance(value, str | list | tuple):
        value = {"price": value}

    if not isinstance(value, Mapping):
        raise wrong(key, value, "a price id, a list of price ids or a dict")

    if "price" not in value:
        raise ConfigurationError(f"{key} has no 'price'.")

    for unknown in value.keys() - _KEYS:
        raise ConfigurationError(
            f"{key} has the key {_show(unknown)}. The keys of an entry are"
            f" {', '.join(map(repr, sorted(_KEYS)))}."
        )

    ids = _read_ids(f'{key}["price"]', value["price"])
    trial_days = read_trial_days(f'{key}["trial_days"]', value.get("trial_days"))
    quantity = _read_quantity(f'{key}["quantity"]', value.get("quantity", ANY_QUANTITY))
    addon = value.get("addon", False)

    if not isinstance(addon, bool):
        raise wrong(f'{key}["addon"]', addon, "True or False")

    return Price(ids, trial_days, quantity, addon) if ids else None


_KEYS: Final = frozenset({"price", "trial_days", "quantity", "addon"})


def _read_ids(key: str, value: object) -> tuple[str, ...]:
    ids = value if isinstance(value, list | tuple) else [value]

    if len(ids) == 1 and (ids[0] is None or ids[0] == "" or str(ids[0]).isspace()):
        return ()

    if not ids:
        raise wrong(key, value, "a price id, 'price_...', or a list of them")

    texts: list[str] = []

    for price_id in ids:
        if not isinstance(price_id, str) or not VISIBLE_ASCII.fullmatch(price_id):
            raise wrong(key, price_id, "a price id, 'price_...', or a list of them")

        if price_id.startswith("prod_"):
            raise ConfigurationError(
                f"{key} is {_show(price_id)}, a product. Give the id of one of its"
                " prices, 'price_...'."
            )

        texts.append(price_id)

    if len(set(texts)) < len(texts):
        raise ConfigurationError(f"{key} names a price id twice.")

    return tuple(texts)


def read_trial_days(key: str, value: object) -> int | None:
    """Read a trial's length in days.

    :raises ConfigurationError: If Stripe would refuse it.
    """
    if value is None:
        return None

    if not is_integer(value) or not 0 <= value <= MAX_TRIAL_DAYS:
        raise wrong(key, value, f"a whole number of days from 0 to {MAX_TRIAL_DAYS}")

    return value


def _read_quantity(key: str, value: object) -> Quantities | None:
    if value is None or isinstance(value, Quantities):
        return value

    if is_integer(value) and 0 < value <= MAX_QUANTITY:
        return Quantities(value, value)

    if isinstance(value, list | tuple) and len(value) == 2:
        minimum, maximum = value

        if is_integer(minimum) and is_integer(maximum):
            if 0 < minimum <= maximum <= MAX_QUANTITY:
                return Quantities(minimum, maximum)

    raise wrong(
        key,
        value,
        "a whole number from 1, a pair of them (minimum, maximum), or None for a"
        " metered price",
    )


def _check_unique(key: str, prices: Mapping[str, Price]) -> None:
    """Check that each text means one price.

    Guards take names and ids, and a subscription finds its name by its price id.
    """
    owners: dict[str, str] = {}

    for name, price in prices.items():
        for text in (name, *price.ids):
            if owners.setdefault(text, name) != name:
                raise ConfigurationError(
                    f"{key} uses {_show(text)} for both {_show(owners[text])} and"
                    f" {_show(name)}."
                )


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is an integer; to ``isinstance`` alone, ``True`` is one as well."""
    return isinstance(value, int) and not isinstance(value, bool)


def wrong(key: str, value: object, expected: str) -> ConfigurationError:
    """The error of a wrong value."""
    return ConfigurationError(f"{key} must be {expected}, not {_show(value)}.")


def _show(value: object) -> str:
    """A value as one would write it; text in the quotation marks of the places."""
    return (
        json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    )
