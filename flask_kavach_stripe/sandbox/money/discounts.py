"""Coupons, promotion codes, and the discounts that they give.

A *coupon* says how much is taken off, for how long. A *promotion code* is a word that a
customer types in to get a coupon. A *discount* is a coupon that a subscription has.

Source: https://docs.stripe.com/billing/subscriptions/coupons
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arithmetic import deductions
from ..clock import add_interval
from ..object_store import clone
from ..object_store import Object
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import decimal
from ..params import in_range
from ..params import integer
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import refused
from ..params import Spec
from ..params import text
from ..params import time_range
from ..params import timestamp
from ..resource import deleted
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..sandbox_errors import resource_missing
from ..world import World

#: What ``discounts`` accepts on a Checkout session or a subscription.
DISCOUNTS = array(
    mapping({"coupon": text(), "discount": text(), "promotion_code": text()}), limit=20
)
_COUPON: Spec = {
    "amount_off": integer(1, 99_999_999),
    # Stripe's, but it changes what is paid in ways that are not simulated.
    "applies_to": refused,
    "currency": text(3),
    "currency_options": refused,
    "duration": choice("forever", "once", "repeating"),
    "duration_in_months": integer(1, 1200),
    "id": text(),
    "max_redemptions": integer(1),
    "metadata": metadata,
    "name": text(40),
    "percent_off": decimal(0, 100),
    "redeem_by": timestamp,
}
_PROMOTION_CODE: Spec = {
    "active": boolean,
    "code": text(500),
    "customer": text(),
    "customer_account": refused,
    "expires_at": timestamp,
    "max_redemptions": integer(1),
    "metadata": metadata,
    "promotion": mapping(
        {"coupon": text(), "type": choice("coupon")}, required=("type",)
    ),
    "restrictions": mapping(
        {
            "currency_options": refused,
            "first_time_transaction": boolean,
            "minimum_amount": integer(1),
            "minimum_amount_currency": text(3),
        }
    ),
}


class Coupons(Resource):
    """``/v1/coupons``.

    Events: ``coupon.created``, ``coupon.updated``, ``coupon.deleted``. Coupons for some
    products only (``applies_to``) or in several currencies are refused.
    """

    kind = "coupon"
    noun = "coupon"
    path = "/v1/coupons"

    def create(self, params: Params) -> Object:
        """Keep a new coupon and send ``coupon.created``.

        :raises ApiError: Without one of ``percent_off`` and ``amount_off``, or with
            both; for ``amount_off`` without a ``currency``; for a
            ``duration_in_months`` without ``duration=repeating``, or the reverse;
            ``resource_already_exists`` for an ``id`` that is taken.
        """
        values = read(params, _COUPON)
        coupon_id = values.get("id") or self.world.store.new_id(self.kind)
        duration = values.get("duration") or "once"

        if ("percent_off" in values) == ("amount_off" in values):
            raise ApiError(
                "You must pass either `percent_off` or `amount_off`, not both.",
                param="percent_off",
            )

        if "amount_off" in values and not values.get("currency"):
            raise parameter_missing("currency")

        if (duration == "repeating") != ("duration_in_months" in values):
            raise ApiError(
                "`duration_in_months` goes with `duration=repeating`, and with no"
                " other.",
                param="duration_in_months",
            )

        if self.world.store.find(self.kind, coupon_id) is not None:
            raise ApiError(
                f"Coupon already exists: {coupon_id}",
                code="resource_already_exists",
                param="id",
            )

        coupon = {
            "id": coupon_id,
            "object": "coupon",
            "amount_off": values.get("amount_off"),
            "created": self.world.clock.now(),
            "currency": (values.get("currency") or "").lower() or None,
            "duration": duration,
            "duration_in_months": values.get("duration_in_months"),
            "livemode": False,
            "max_redemptions": values.get("max_redemptions"),
            "metadata": merge_metadata({}, values.get("metadata")),
            "name": values.get("name"),
            "percent_off": values.get("percent_off"),
            "redeem_by": values.get("redeem_by"),
            "times_redeemed": 0,
            "valid": True,
        }
        self.world.store.add(coupon)
        self.world.emit("coupon.created", coupon)
        return coupon

    def list(self, params: Params) -> Object:
        """Return a page of the coupons, newest first, filtered by ``created``."""
        return self.select(
            params,
            {"created": time_range},
            lambda coupon, wanted: in_range(coupon["created"], wanted.get("created")),
        )

    def update(self, params: Params, object_id: str) -> Object:
        """Change name or metadata; what a coupon takes off cannot be changed.

        Sends ``coupon.updated``.
        """
        coupon = self.get(object_id)
        values = read(params, {"metadata": metadata, "name": text(40)})

        with self.world.changing(coupon, "coupon.updated"):
            if "name" in values:
                coupon["name"] = values["name"]

            if "metadata" in values:
                coupon["metadata"] = merge_metadata(
                    coupon["metadata"], values["metadata"]
                )

        return coupon

    def delete(self, params: Params, object_id: str) -> Object:
        """Delete a coupon: no one gets it any more, and those who have it keep it.

        Sends ``coupon.deleted``.
        """
        read(params, {})
        coupon = self.get(object_id)
        self.world.store.remove(self.kind, object_id)
        self.world.emit("coupon.deleted", coupon)
        return deleted(self.kind, object_id)


class PromotionCodes(Resource):
    """``/v1/promotion_codes``: words that give a coupon, with limits.

    Events: ``promotion_code.created``, ``promotion_code.updated``. A code cannot be
    deleted, only made inactive.
    """

    kind = "promotion_code"
    noun = "promotion code"
    path = "/v1/promotion_codes"

    def create(self, params: Params) -> Object:
        """Keep a new code and send ``promotion_code.created``.

        Without a ``code``, the end of its id becomes one.

        :raises ApiError: ``resource_missing`` for an unknown coupon or customer,
            ``resource_already_exists`` if an active code is spelled the same.
        """
        values = read(params, _PROMOTION_CODE, required=("promotion",))
        store = self.world.store
        coupon_id = values["promotion"].get("coupon")

        if coupon_id is None:
            raise parameter_missing("promotion[coupon]")

        if store.find("coupon", coupon_id) is None:
            raise resource_missing("coupon", coupon_id, "promotion[coupon]")

        code_id = store.new_id(self.kind)
        code = values.get("code") or code_id[-8:].upper()

        if self.find_active(code) is not None:
            raise ApiError(
                f"An active promotion code with `code: {code}` already exists.",
                code="resource_already_exists",
                param="code",
            )

        customer_id = values.get("customer")

        if customer_id and store.find("customer", customer_id) is None:
            raise resource_missing("customer", customer_id, "customer")

        limits = values.get("restrictions") or {}
        promotion_code = {
            "id": code_id,
            "object": "promotion_code",
            "active": values.get("active") is not False,
            "code": code,
            "created": self.world.clock.now(),
            "customer": customer_id,
            "customer_account": None,
            "expires_at": values.get("expires_at"),
            "livemode": False,
            "max_redemptions": values.get("max_redemptions"),
            "metadata": merge_metadata({}, values.get("metadata")),
            "promotion": {"coupon": coupon_id, "type": "coupon"},
            "restrictions": {
                "first_time_transaction": bool(limits.get("first_time_transaction")),
                "minimum_amount": limits.get("minimum_amount"),
                "minimum_amount_currency": limits.get("minimum_amount_currency"),
            },
            "times_redeemed": 0,
        }
        store.add(promotion_code)
        self.world.emit("promotion_code.created", promotion_code)
        return promotion_code

    def list(self, params: Params) -> Object:
        """Return a page of the codes, newest first.

        Filtered by ``active``, ``code``, ``coupon``, ``created`` and ``customer``. The
        ``code`` must have the right case here, unlike on a page.
        """
        return self.select(
            params,
            {
                "active": boolean,
                "code": text(500),
                "coupon": text(),
                "created": time_range,
                "customer": text(),
                "customer_account": text(),
            },
            lambda code, wanted: (
                wanted.get("active") in (None, code["active"])
                and wanted.get("code") in (None, code["code"])
                and wanted.get("coupon") in (None, code["promotion"]["coupon"])
                and wanted.get("customer") in (None, code["customer"])
                and in_range(code["created"], wanted.get("created"))
            ),
        )

    def update(self, params: Params, object_id: str) -> Object:
        """Change metadata, or whether a code is active.

        Sends ``promotion_code.updated``.
        """
        promotion_code = self.get(object_id)
        values = read(
            params, {"active": boolean, "metadata": metadata, "restrictions": refused}
        )

        with self.world.changing(promotion_code, "promotion_code.updated"):
            if values.get("active") is not None:
                promotion_code["active"] = values["active"]

            if "metadata" in values:
                promotion_code["metadata"] = merge_metadata(
                    promotion_code["metadata"], values["metadata"]
                )

        return promotion_code

    def find_active(self, code: str) -> Object | None:
        """Return the active code with this spelling, in upper or lower case."""
        for promotion_code in self.world.store.all(self.kind):
            if promotion_code["active"] and (
                promotion_code["code"].lower() == code.lower()
            ):
                return promotion_code

        return None


class Discounts:
    """The discounts of subscriptions, and their part of invoices.

    A coupon for one invoice waits for the first one that asks for money: a trial does
    not use it up.

    Simplified: discounts of whole customers and of single items are refused, and no
    ``customer.discount.*`` events are sent; the subscription's own event shows them.

    :param codes: The promotion codes of the account.
    """

    def __init__(self, world: World, codes: PromotionCodes) -> None:
        self._world = world
        self._codes = codes

    def find(
        self,
        entries: Sequence[dict[str, Any]],
        *,
        customer: Object | None,
        currency: str,
        subtotal: int,
        path: str = "discounts",
    ) -> Sequence[tuple[Object, Object | None]]:
        """Return the coupons that may be used, each with its promotion code.

        Nothing is counted up yet; that is :meth:`redeem`.

        :param entries: What :data:`DISCOUNTS` reads.
        :param customer: The customer who uses them, if already known.
        :param currency: Of what is bought: an ``amount_off`` must be in the same.
        :param subtotal: The price of what is bought, in the currency's smallest unit.
        :param path: The parameter that held the entries, for errors.
        :raises ApiError: ``resource_missing`` if one is unknown, ``coupon_expired`` if
            it is used up or over, or without a code if it is not for this customer or
            currency.
        """
        coupons = []

        for index, entry in enumerate(entries):
            where = f"{path}[{index}]"
            code = None

            if entry.get("promotion_code"):
                code = self._codes.get(
                    entry["promotion_code"], f"{where}[promotion_code]", status=400
                )
                self.check_code(
                    code,
                    customer=customer,
                    subtotal=subtotal,
                    param=f"{where}[promotion_code]",
                )
                coupon_id = code["promotion"]["coupon"]
            elif entry.get("coupon"):
                coupon_id = entry["coupon"]
            else:
                raise parameter_missing(f"{where}[coupon]")

            coupon = self._world.store.find("coupon", coupon_id)

            if coupon is None:
                raise resource_missing("coupon", coupon_id, f"{where}[coupon]")

            self._check_coupon(coupon, currency, f"{where}[coupon]")
            coupons.append((coupon, code))

        return coupons

    def check_code(
        self, code: Object, *, customer: Object | None, subtotal: int, param: str
    ) -> None:
        """Check that a promotion code may be used.

        :param subtotal: The price of what is bought, against ``minimum_amount``.
        :param param: The parameter that held the code, for the error.
        :raises ApiError: If it is inactive, expired or used up, for another customer,
            for a larger order, or for a first purchase only.
        """
        limits = code["restrictions"]
        owner = code["customer"]
        customer_id: str | None = customer["id"] if customer else None
        reason = None

        if not code["active"] or _is_past(code["expires_at"], self._world.clock.now()):
            reason = "This promotion code is expired or inactive."
        elif _is_used_up(code):
            reason = "This promotion code has been redeemed too often."
        elif owner is not None and owner != customer_id:
            reason = "This promotion code is for another customer."
        elif subtotal < (limits["minimum_amount"] or 0):
            reason = "The order is below the minimum of this promotion code."
        elif limits["first_time_transaction"] and self._has_paid(customer_id):
            reason = "This promotion code is for a first purchase only."

        if reason is not None:
            raise ApiError(reason, param=param)

    def redeem(
        self,
        coupon: Object,
        code: Object | None,
        *,
        subscription: Object,
        session_id: str | None = None,
    ) -> Object:
        """Give a subscription what a coupon takes off, and count coupon and code up.

        Either is no longer ``valid``, or ``active``, when its ``max_redemptions`` is
        reached.

        :param session_id: The Checkout session in which it was used.
        :returns: The discount, which ends after the coupon's months if it has any.
        """
        now = self._world.clock.now()
        months = coupon["duration_in_months"]
        discount = {
            "id": self._world.store.new_id("discount"),
            "object": "discount",
            "checkout_session": session_id,
            "customer": subscription["customer"],
            "customer_account": None,
            "end": months and add_interval(now, "month", months),
            "invoice": None,
            "invoice_item": None,
            "promotion_code": code and code["id"],
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": now,
            "subscription": subscription["id"],
            "subscription_item": None,
        }
        coupon["times_redeemed"] += 1
        coupon["valid"] = not _is_used_up(coupon)

        if code is not None:
            code["times_redeemed"] += 1
            code["active"] = code["active"] and not _is_used_up(code)

        # A deleted coupon goes on taking its part off.
        self._world.store.add(discount, coupon=clone(coupon))
        subscription["discounts"].append(discount["id"])
        return discount

    def active(self, subscription: Object) -> Sequence[Object]:
        """Return the discounts of a subscription, without those that have ended."""
        now = self._world.clock.now()
        discounts = [
            self._world.store.find("discount", discount_id)
            for discount_id in subscription["discounts"]
        ]
        return [
            discount
            for discount in discounts
            if discount is not None and not _is_past(discount["end"], now)
        ]

    def use(self, subscription: Object) -> None:
        """Take away the discounts that are over after an invoice.

        Those are the ones of ``duration=once``, and the ones that have ended.
        """
        subscription["discounts"] = [
            discount["id"]
            for discount in self.active(subscription)
            if self._coupon_of(discount)["duration"] != "once"
        ]

    def deduct(
        self, discounts: Sequence[Object], amounts: Sequence[int]
    ) -> Sequence[Sequence[int]]:
        """Return what each discount takes off each amount.

        :param amounts: In the currency's smallest unit. The second discount sees what
            the first has left.
        :returns: For each discount, one deduction for each amount.
        """
        left = list(amounts)
        result = []

        for discount in discounts:
            taken = deductions(self._coupon_of(discount), left)
            left = [amount - part for amount, part in zip(left, taken, strict=True)]
            result.append(taken)

        return result

    def _coupon_of(self, discount: Object) -> Object:
        """Return a discount's coupon as it was when it was redeemed."""
        coupon: Object = self._world.hidden_of(discount)["coupon"]
        return coupon

    def _check_coupon(self, coupon: Object, currency: str, param: str) -> None:
        """Check that a coupon may still be used, in this currency.

        :raises ApiError: If not.
        """
        if (
            not coupon["valid"]
            or _is_used_up(coupon)
            or _is_past(coupon["redeem_by"], self._world.clock.now())
        ):
            raise ApiError(
                f"Coupon {coupon['id']} is used up or expired.",
                code="coupon_expired",
                param=param,
            )

        if coupon["currency"] not in (None, currency) and coupon["amount_off"]:
            raise ApiError(
                f"The coupon {coupon['id']} is in {coupon['currency']}, the price in"
                f" {currency}.",
                param=param,
            )

    def _has_paid(self, customer_id: str | None) -> bool:
        """Has the customer ever paid an invoice that asked for money?"""
        return any(
            invoice["customer"] == customer_id and invoice["amount_paid"] > 0
            for invoice in self._world.store.all("invoice")
        )


def _is_past(timestamp: int | None, now: int) -> bool:
    """Is there a time, and has it come?"""
    return timestamp is not None and timestamp <= now


def _is_used_up(obj: Object) -> bool:
    """Has a coupon or code been redeemed as often as it may?"""
    limit: int | None = obj["max_redemptions"]
    return limit is not None and obj["times_redeemed"] >= limit
