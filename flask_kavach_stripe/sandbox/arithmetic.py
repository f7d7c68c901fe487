"""Shares of amounts, exact to the smallest unit of a currency.

Fractions, never floats: a proration or a percentage must come out to the same cent in
every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .object_store import Object


def share(amount: int, part: int | Fraction, whole: int) -> int:
    """Return ``part`` of ``whole`` parts of an amount, rounded half away from zero."""
    exact = Fraction(abs(amount)) * Fraction(part) / whole
    rounded = int(exact + Fraction(1, 2))
    return rounded if amount >= 0 else -rounded


def deductions(coupon: Object, amounts: Sequence[int]) -> list[int]:
    """Return what a coupon takes off each of some amounts.

    A percentage is rounded for each of them. A fixed amount is spread over them in
    proportion; it takes off what there is, and no more. Negative amounts are credits,
    and nothing is taken off them.

    :param coupon: A coupon with ``percent_off``, or with ``amount_off`` in the
        currency's smallest unit.
    :param amounts: In the currency's smallest unit.
    :returns: One deduction for each amount, zero or more.
    """
    positive = [max(0, amount) for amount in amounts]
    total = sum(positive)

    if coupon["percent_off"] is not None:
        percent = Fraction(str(coupon["percent_off"]))
        return [share(amount, percent, 100) for amount in positive]

    left = min(coupon["amount_off"], total)
    result = []

    for amount in positive:
        part = share(left, amount, total) if total else 0
        result.append(part)
        left -= part
        total -= amount

    return result
