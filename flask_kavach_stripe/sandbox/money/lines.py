"""Lines of invoices: the periods of items, and prorations.

Amounts are in the currency's smallest unit; credits are negative.

Source: https://docs.stripe.com/api/invoice-line-item
"""

from __future__ import annotations

from typing import Any

from .. import wording
from ..arithmetic import share
from ..object_store import Object
from ..world import World
from .item_prices import quantity_of


class Lines:
    """Makes lines; the invoice that takes them writes its id into them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def period(self, subscription: Object, item: Object, *, free: bool) -> Object:
        """Return the line for an item's current period, before discounts.

        :param free: The period is a trial: its amount is 0.
        """
        price = item["price"]
        quantity = quantity_of(item)
        amount = 0 if free else price["unit_amount"] * quantity
        name = self._product_name(price)
        line = self._line(
            subscription,
            item,
            amount=amount,
            description=wording.describe_line(
                price, quantity_of(item), name, free=free
            ),
            start=item["current_period_start"],
        )
        line["pricing"]["unit_amount_decimal"] = (
            "0" if free else price["unit_amount_decimal"]
        )
        line["parent"] = {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        }
        return line

    def unused(
        self, subscription: Object, item: Object, billed: int, at: int
    ) -> Object | None:
        """Return the credit for the rest of an item's period.

        :param billed: What was billed for the whole period, without what discounts took
            off.
        :param at: When the rest begins, in Unix seconds.
        :returns: ``None`` if there is nothing to give back.
        """
        start, end = item["current_period_start"], item["current_period_end"]

        if end <= start or at >= end:
            return None

        amount = share(billed, end - at, end - start)
        return self._proration(subscription, item, -amount, at, "Unused time on")

    def remaining(self, subscription: Object, item: Object, at: int) -> Object | None:
        """Return the debit for the rest of an item's period.

        :param at: When the rest begins, in Unix seconds.
        :returns: ``None`` if it costs nothing.
        """
        start, end = item["current_period_start"], item["current_period_end"]

        if end <= start or at >= end:
            return None

        amount = share(
            item["price"]["unit_amount"] * quantity_of(item), end - at, end - start
        )
        return self._proration(subscription, item, amount, at, "Remaining time on")

    def _proration(
        self, subscription: Object, item: Object, amount: int, at: int, what: str
    ) -> Object | None:
        """Return a line for part of a period, as Stripe words and files it.

        :param what: How its description begins.
        :returns: ``None`` for an amount of 0.
        """
        if amount == 0:
            return None

        name = self._product_name(item["price"])
        count = f"{quantity_of(item)} × " if quantity_of(item) != 1 else ""  # noqa: RUF001
        line = self._line(
            subscription,
            item,
            amount=amount,
            description=f"{what} {count}{name} after {wording.day(at)}",
            start=at,
        )
        # A credit already is what was paid, so no discount makes it smaller.
        line["discountable"] = amount > 0
        line["parent"] = {
            "invoice_item_details": {
                "invoice_item": self._world.store.new_id("invoiceitem"),
                "proration": True,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
        return line

    def _product_name(self, price: Object) -> str:
        """Return the name of what a price is for, also if that was deleted."""
        product = self._world.store.find("product", price["product"])
        name: str = product["name"] if product else price["product"]
        return name

    def _line(
        self,
        subscription: Object,
        item: Object,
        *,
        amount: int,
        description: str,
        start: int,
    ) -> dict[str, Any]:
        """Return what both kinds of lines have in common."""
        price = item["price"]
        return {
            "id": self._world.store.new_id("line_item"),
            "object": "line_item",
            "amount": amount,
            "currency": price["currency"],
            "description": description,
            "discount_amounts": [],
            "discountable": True,
            "discounts": [],
            "invoice": None,
            "livemode": False,
            "metadata": dict(subscription["metadata"]),
            "parent": None,
            "period": {"start": start, "end": item["current_period_end"]},
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]},
                "type": "price_details",
                "unit_amount_decimal": price["unit_amount_decimal"],
            },
            "quantity": quantity_of(item),
            "quantity_decimal": str(quantity_of(item)),
            "subscription": subscription["id"],
            "subtotal": amount,
            "taxes": [],
        }


def item_of(line: Object) -> str | None:
    """Return the item that a line bills for a whole period; none for a proration."""
    details = line["parent"]["subscription_item_details"] or {}
    item_id: str | None = details.get("subscription_item")
    return item_id


def net(line: Object) -> int:
    """Return the amount of a line less its discounts."""
    amount: int = line["amount"]
    taken: int = sum(entry["amount"] for entry in line["discount_amounts"])
    return amount - taken
