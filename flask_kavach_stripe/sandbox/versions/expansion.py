"""``expand[]``: which attributes of an object lead to other objects.

The paths that a call wants expanded are checked against these tables before anything is
done, so that a path that leads nowhere changes nothing.

Source: https://docs.stripe.com/expand
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from typing import Final
from typing import NamedTuple

from ..sandbox_errors import ApiError

MAX_DEPTH = 4

#: By kind of object: the attributes that lead to an object, to its id, or to a list of
#: these, and the kind of it. What the sandbox never has is there, too: it stays null.
_ATTRIBUTES: Final[Mapping[str, Mapping[str, str]]] = {
    "billing_portal.configuration": {
        "application": "application",
    },
    "billing_portal.session": {
        "configuration": "billing_portal.configuration",
    },
    "charge": {
        "application": "application",
        "application_fee": "application_fee",
        "balance_transaction": "balance_transaction",
        "customer": "customer",
        "failure_balance_transaction": "balance_transaction",
        "on_behalf_of": "account",
        "payment_intent": "payment_intent",
        "review": "review",
        "source_transfer": "transfer",
    },
    "checkout.session": {
        "customer": "customer",
        "discounts.coupon": "coupon",
        "discounts.promotion_code": "promotion_code",
        "invoice": "invoice",
        "line_items.data": "item",
        "payment_intent": "payment_intent",
        "payment_link": "payment_link",
        "setup_intent": "setup_intent",
        "subscription": "subscription",
    },
    "customer": {
        "default_source": "source",
        "discount": "discount",
        "invoice_settings.default_payment_method": "payment_method",
        "subscriptions.data": "subscription",
        "test_clock": "test_helpers.test_clock",
    },
    "discount": {
        "customer": "customer",
        "promotion_code": "promotion_code",
    },
    "invoice": {
        "account_tax_ids": "tax_id",
        "application": "application",
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": "source",
        "discounts": "discount",
        "latest_revision": "invoice",
        "lines.data": "line_item",
        "on_behalf_of": "account",
        "test_clock": "test_helpers.test_clock",
        "total_discount_amounts.discount": "discount",
    },
    "invoice_payment": {
        "invoice": "invoice",
        "payment.charge": "charge",
        "payment.payment_intent": "payment_intent",
    },
    "item": {
        "price": "price",
    },
    "line_item": {
        "discount_amounts.discount": "discount",
        "discounts": "discount",
        "subscription": "subscription",
    },
    "payment_intent": {
        "application": "application",
        "customer": "customer",
        "latest_charge": "charge",
        "on_behalf_of": "account",
        "payment_method": "payment_method",
        "review": "review",
        "source": "source",
    },
    "payment_method": {
        "customer": "customer",
    },
    "plan": {
        "product": "product",
    },
    "price": {
        "product": "product",
    },
    "product": {
        "default_price": "price",
        "tax_code": "tax_code",
    },
    "promotion_code": {
        "customer": "customer",
    },
    "subscription": {
        "application": "application",
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": "source",
        "discounts": "discount",
        "items.data": "subscription_item",
        "latest_invoice": "invoice",
        "on_behalf_of": "account",
        "pending_setup_intent": "setup_intent",
        "pending_update.subscription_items": "subscription_item",
        "schedule": "subscription_schedule",
        "test_clock": "test_helpers.test_clock",
    },
    "subscription_item": {
        "discounts": "discount",
        "plan": "plan",
        "price": "price",
    },
}


class _Change(NamedTuple):
    """The attributes that led to an object before a version, and since it."""

    version: str
    kind: str
    before: Mapping[str, str]
    after: Mapping[str, str]


_CHANGES: Final = (
    _Change(
        "2025-03-31.basil",
        "invoice",
        {
            "charge": "charge",
            "discount": "discount",
            "payment_intent": "payment_intent",
            "quote": "quote",
            "subscription": "subscription",
        },
        {
            "confirmation_secret": "confirmation_secret",
            "parent.subscription_details.subscription": "subscription",
            "payments.data": "invoice_payment",
        },
    ),
    _Change(
        "2025-03-31.basil",
        "line_item",
        {"plan": "plan", "price": "price"},
        {"pricing.price_details.price": "price"},
    ),
    _Change("2025-03-31.basil", "charge", {"invoice": "invoice"}, {}),
    _Change("2025-03-31.basil", "payment_intent", {"invoice": "invoice"}, {}),
    _Change("2025-03-31.basil", "subscription", {"discount": "discount"}, {}),
    _Change(
        "2025-09-30.clover",
        "discount",
        {"coupon": "coupon"},
        {"source.coupon": "coupon"},
    ),
    _Change(
        "2025-09-30.clover",
        "promotion_code",
        {"coupon": "coupon"},
        {"promotion.coupon": "coupon"},
    ),
)


class Hop(NamedTuple):
    """One name of a path; ``kind`` says which object stands behind an id."""

    name: str
    kind: str | None


def parse_path(path: str, kind: str, version: str) -> Sequence[Hop]:
    """Return the hops that a path of ``expand[]`` goes through.

    :param kind: The kind of object that is answered with; ``list of ...`` for a list.
    :param version: The API version that gives the answer its shape.
    :raises ApiError: If it is longer than Stripe allows, or leads to nothing.
    """
    names = path.split(".")

    if len(names) > MAX_DEPTH + (names[0] == "data"):
        raise ApiError(
            f"You cannot expand more than {MAX_DEPTH} levels of a property: {path}.",
            param="expand",
        )

    hops: list[Hop] = []

    while names:
        attribute, leads_to = _next(names, kind, version)

        if leads_to is None:
            raise ApiError(
                f"This property cannot be expanded ({path}).", param="expand"
            )

        taken, names = names[: len(attribute)], names[len(attribute) :]
        hops += [Hop(name, None) for name in taken[:-1]]
        hops.append(Hop(taken[-1], leads_to if len(taken) == len(attribute) else None))
        kind = leads_to

    return hops


def _next(
    names: Sequence[str], kind: str, version: str
) -> tuple[Sequence[str], str | None]:
    """Return the attribute that a path begins with, or ends in the middle of."""
    for attribute, leads_to in _attributes(kind, version):
        if all(one == other for one, other in zip(attribute, names, strict=False)):
            return attribute, leads_to

    return (), None


@cache
def _attributes(kind: str, version: str) -> Sequence[tuple[Sequence[str], str]]:
    """Return the attributes of a kind that lead somewhere, split at their dots."""
    if kind.startswith("list of "):
        return [(("data",), kind.removeprefix("list of "))]

    attributes = dict(_ATTRIBUTES.get(kind, {}))

    for change in _CHANGES:
        if change.kind == kind:
            attributes |= change.before if version < change.version else change.after

    return [(tuple(path.split(".")), leads_to) for path, leads_to in attributes.items()]
