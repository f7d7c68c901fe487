"""Write parameters as Stripe reads them: ids in paths, and nested values in forms.

The client encodes every form and query string with :func:`encode`. Code that calls the
client builds its paths with :func:`quote_path`.

Source: https://docs.stripe.com/api
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from decimal import Decimal
from typing import Any
from urllib.parse import quote

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def quote_path(template: str, *ids: str) -> str:
    """Put ids into a path, each as one quoted segment.

    >>> quote_path("/v1/subscriptions/{}", "sub_1")
    '/v1/subscriptions/sub_1'

    :param template: The path, with ``{}`` in place of each id.
    :raises TypeError: If an id is not a string.
    :raises ValueError: If an id is empty or has only dots: the path would then address
        another object.

    .. versionadded:: 0.1
    """
    for value in ids:
        if not isinstance(value, str):
            raise TypeError(f"An id must be a string, not {value!r}.")

        if not value.strip("."):
            raise ValueError(f"{value!r} is not an id.")

    return template.format(*(quote(value, safe="") for value in ids))


def encode(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Flatten ``params`` to the pairs of a form, as Stripe writes them.

    >>> encode({"items": [{"price": "price_1"}], "prorate": True})
    [('items[0][price]', 'price_1'), ('prorate', 'true')]

    ``None`` is left out at every level, and empty lists and mappings send nothing: to
    clear a field at Stripe, send ``""``. Times must be aware; they are sent as whole
    Unix seconds.

    :return: The names and values in the order of ``params``, not yet URL-encoded.
    :raises TypeError: If Stripe has no form for the type of a value, or a key is not a
        string. The message of each error names the parameter.
    :raises ValueError: If a number is not finite, a time is naive, or a string has lone
        surrogates and so is not Unicode.

    .. versionadded:: 0.1
    """
    return list(_pairs(params, ""))


def _pairs(
    value: Mapping[str, Any] | list[Any] | tuple[Any, ...], name: str
) -> Iterator[tuple[str, str]]:
    """Yield the pairs of one mapping or list, and of all within it.

    :param name: The parameter that holds ``value``, such as ``items[0]``; empty at the
        top.
    """
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        inner = f"{name}[{key}]" if name else str(key)

        if isinstance(value, Mapping) and not isinstance(key, str):
            raise TypeError(f"The key of '{inner}' is not a string.")

        if isinstance(item, (Mapping, list, tuple)):
            yield from _pairs(item, inner)
        elif item is not None:
            yield inner, _scalar(item, inner)


def _scalar(value: object, name: str) -> str:
    """Write a single value as Stripe reads it.

    The order of the checks matters: a ``bool`` is an ``int``, and the members of many
    enums are texts or numbers.

    :param name: The parameter, for messages.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"'{name}' is not Unicode text.") from error

        return value

    if isinstance(value, bool):
        return "true" if value else "false"

    if isinstance(value, int):
        return str(int(value))  # int(): str() of an enum's member may be its name

    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))

    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"

    if isinstance(value, (float, Decimal)):
        raise ValueError(f"'{name}' is not a finite number.")

    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"'{name}' is a time without a time zone.")

        return str((value - _EPOCH) // timedelta(seconds=1))

    raise TypeError(f"'{name}' cannot be sent as {type(value).__name__}.")
