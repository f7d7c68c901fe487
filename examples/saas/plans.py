"""What is for sale. Names and amounts are Stripe's, so that nobody pays another one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flask import current_app

from .extensions import kavach_stripe

#: What each plan contains, by its name in ``STRIPE_PRICES``.
CONTENTS = {
    "pro": ["The next 14 nights at a glance", "What to look at in each"],
    "team": ["Everything in Pro", "The nights as a file for your own tools"],
}

_SYMBOLS = {"eur": "€", "gbp": "£", "usd": "$"}


@dataclass(frozen=True)
class Plan:
    """A price, as the pages show it."""

    name: str
    title: str
    amount: str
    every: str
    contents: list[str]


def read_plans() -> list[Plan]:
    """All plans.

    :raises StripeError: If Stripe refuses, or does not answer.
    """
    prices = current_app.config["STRIPE_PRICES"]
    return [_read_plan(name, price_id) for name, price_id in prices.items()]


def find_plan(price_id: str | None) -> Plan | None:
    """The plan with a price, ``None`` if it is not for sale here."""
    for name, own_id in current_app.config["STRIPE_PRICES"].items():
        if own_id == price_id:
            return _read_plan(name, own_id)

    return None


@cache  # an amount of Stripe's never changes: there is a new price instead
def _read_plan(name: str, price_id: str) -> Plan:
    price = kavach_stripe.client.get(f"/v1/prices/{price_id}", {"expand": ["product"]})
    return Plan(
        name=name,
        title=price["product"]["name"],
        amount=format_amount(price["unit_amount"], price["currency"]),
        every=price["recurring"]["interval"],
        contents=CONTENTS[name],
    )


def format_amount(amount: int, currency: str) -> str:
    """``$9``, ``$9.50``; for currencies with a hundredth."""
    number = f"{amount / 100:,.2f}".removesuffix(".00")
    symbol = _SYMBOLS.get(currency)
    return f"{number} {currency.upper()}" if symbol is None else f"{symbol}{number}"
