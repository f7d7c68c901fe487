"""Amounts and times as people read them; used on pages and invoices.

English only: a session's ``locale`` is kept, and changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from datetime import UTC

from .object_store import Object

#: Source: https://docs.stripe.com/currencies#zero-decimal
_ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()
)
_SYMBOLS = {"eur": "€", "gbp": "£", "inr": "₹", "jpy": "¥", "usd": "$"}


def money(amount: int, currency: str) -> str:
    """Return ``$9.00`` or ``9.00 CHF``.

    :param amount: In the currency's smallest unit.
    """
    if currency in _ZERO_DECIMAL:
        number = f"{abs(amount):,}"
    else:
        number = f"{abs(amount) / 100:,.2f}"

    sign = "-" if amount < 0 else ""
    symbol = _SYMBOLS.get(currency)

    if symbol:
        return f"{sign}{symbol}{number}"

    return f"{sign}{number} {currency.upper()}"


def every(price: Object) -> str:
    """Return ``month``, or ``3 months``."""
    recurring = price["recurring"]
    count = recurring["interval_count"]
    interval: str = recurring["interval"]
    return interval if count == 1 else f"{count} {interval}s"


def describe_line(price: Object, quantity: int, name: str, *, free: bool) -> str:
    """Return what a line of an invoice is for."""
    if free:
        return f"Trial period for {name}"

    rate = money(price["unit_amount"], price["currency"])
    return f"{quantity} × {name} (at {rate} / {every(price)})"  # noqa: RUF001


def day(timestamp: int | None) -> str:
    """Return ``3 December 2026``."""
    if timestamp is None:
        return "never"

    moment = datetime.fromtimestamp(timestamp, UTC)
    return f"{moment.day} {moment:%B %Y}"


def moment(timestamp: int | None) -> str:
    """Return ``3 Dec 2026, 14:05:09 UTC``."""
    if timestamp is None:
        return "never"

    when = datetime.fromtimestamp(timestamp, UTC)
    return f"{when.day} {when:%b %Y, %H:%M:%S} UTC"
