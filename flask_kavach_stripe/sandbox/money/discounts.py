"""Coupons, promotion codes, and the discounts that they give."""

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
    kind = "coupon"
    noun = "coupon"
    path = "/v1/coupons"

    def create(self, params: Params) -> Object:
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
        return self.select(
            params,
            {"created": time_range},
            lambda coupon, wanted: in_range(coupon["created"], wanted.get("created")),
        )

    def update(self, params: Params, object_id: str) -> Object:
        """What a coupon takes off cannot be changed."""
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
        """Nobody gets it any more; those who have it keep it."""
        read(params, {})
        coupon = self.get(object_id)
        self.world.store.remove(self.kind, object_id)
        self.world.emit("coupon.deleted", coupon)
        return deleted(self.kind, object_id)


class PromotionCodes(Resource):
    kind = "promotion_code"
    noun = "promotion code"
    path = "/v1/promotion_codes"

    def create(self, params: Params) -> Object:
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
        """Return the code that customers type in; its case does not matter."""
        for promotion_code in self.world.store.all(self.kind):
            if promotion_code["active"] and (
                promotion_code["code"].lower() == code.lower()
            ):
                return promotion_code

        return None


class Discounts:
    """What coupons take off subscriptions and their invoices.

    Discounts of whole customers and of single items are not simulated. A coupon for
    one invoice waits for the first one that asks for money: a trial does not use it
    up.

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

        :param entries: What :data:`DISCOUNTS` reads.
        :param customer: Who wants to use them, if that is known.
        :param subtotal: What they are to be used on.
        :raises ApiError: If one of them is unknown, used up or not for this customer.
        """
        found = []

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
            found.append((coupon, code))

        return found

    def check_code(
        self, code: Object, *, customer: Object | None, subtotal: int, param: str
    ) -> None:
        """Check that a promotion code may be used.

        :raises ApiError: If not.
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
        """Give a subscription what a coupon takes off."""
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
        found = [
            self._world.store.find("discount", discount_id)
            for discount_id in subscription["discounts"]
        ]
        return [
            discount
            for discount in found
            if discount is not None and not _is_past(discount["end"], now)
        ]

    def use(self, subscription: Object) -> None:
        """Take away the discounts that are over after an invoice."""
        subscription["discounts"] = [
            discount["id"]
            for discount in self.active(subscription)
            if self._coupon_of(discount)["duration"] != "once"
        ]

    def deduct(
        self, discounts: Sequence[Object], amounts: Sequence[int]
    ) -> Sequence[Sequence[int]]:
        """Return what each discount takes off each amount, one after the other."""
        left = list(amounts)
        result = []

        for discount in discounts:
            taken = deductions(self._coupon_of(discount), left)
            left = [amount - part for amount, part in zip(left, taken, strict=True)]
            result.append(taken)

        return result

    def _coupon_of(self, discount: Object) -> Object:
        coupon: Object = self._world.store.hidden[discount["id"]]["coupon"]
        return coupon

    def _check_coupon(self, coupon: Object, currency: str, param: str) -> None:
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
        return any(
            invoice["customer"] == customer_id and invoice["amount_paid"] > 0
            for invoice in self._world.store.all("invoice")
        )


def _is_past(timestamp: int | None, now: int) -> bool:
    return timestamp is not None and timestamp <= now


def _is_used_up(obj: Object) -> bool:
    limit: int | None = obj["max_redemptions"]
    return limit is not None and obj["times_redeemed"] >= limit
