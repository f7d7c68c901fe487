"""Updates of subscriptions: what they may ask for, and how they are written.

Source: https://docs.stripe.com/billing/subscriptions/change
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..money.discounts import Discounts
from ..money.item_prices import interval_of
from ..money.item_prices import new_item
from ..money.item_prices import period_end
from ..money.item_prices import quantity_of
from ..money.item_prices import refuse_quantity
from ..money.item_prices import set_price
from ..money.payment_methods import PaymentMethods
from ..money.products_and_prices import Prices
from ..object_store import clone
from ..object_store import Object
from ..params import merge_metadata
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..sandbox_errors import resource_missing
from ..world import World
from .steps import Steps
from .subscription_object import FINAL

_AFTER_THE_END = frozenset(("cancellation_details", "metadata"))
_WITH_AN_INVOICE = frozenset(("billing_cycle_anchor", "items", "trial_end"))


class Changes:
    """Checks and writes what a call asks of a subscription; sends no events.

    :class:`.Subscriptions` calls :meth:`check`, then :meth:`apply` inside an
    ``updated`` event, then has the invoice paid. Previews do the same in a rehearsal.
    """

    def __init__(
        self,
        world: World,
        steps: Steps,
        prices: Prices,
        payment_methods: PaymentMethods,
        discounts: Discounts,
    ) -> None:
        self._world = world
        self._steps = steps
        self._periods = steps.periods
        self._transitions = steps.transitions
        self._prices = prices
        self._payment_methods = payment_methods
        self._discounts = discounts

    def check(self, subscription: Object, values: dict[str, Any]) -> None:
        """Check what an update asks for, before anything is changed.

        Replaces ``plan`` and ``price_data`` of the items by the id of a price.

        :param values: What :data:`.subscription_params.UPDATE` reads.
        :raises ApiError: For an ended subscription, except its metadata; for a change
            with an invoice while the first one is not paid; for times that are past;
            for a card, item or price that does not exist or is not the customer's.
        """
        status = subscription["status"]

        if status in FINAL and not values.keys() <= _AFTER_THE_END:
            raise ApiError(
                "A canceled subscription can only update its cancellation_details and"
                " metadata."
            )

        if status == "incomplete" and values.keys() & _WITH_AN_INVOICE:
            raise ApiError(
                "You cannot update a subscription in `incomplete` status in a way that"
                " results in a new invoice."
            )

        if values.get("payment_behavior") == "pending_if_incomplete":
            self._steps.pending_updates.check(values)

        self.check_times(values)
        now, date = self._world.clock.now(), values.get("proration_date")

        if date is not None and not all(
            item["current_period_start"] <= date <= item["current_period_end"]
            for item in subscription["items"]["data"]
        ):
            raise ApiError(
                "The `proration_date` must be in the current period.",
                param="proration_date",
            )

        resumes_at = (values.get("pause_collection") or {}).get("resumes_at")

        if resumes_at is not None and resumes_at <= now:
            raise ApiError(
                "'resumes_at' must be in the future.",
                param="pause_collection[resumes_at]",
            )

        if payment_method_id := values.get("default_payment_method"):
            self._payment_methods.get_of(
                subscription["customer"], payment_method_id, "default_payment_method"
            )

        known = {item["id"] for item in subscription["items"]["data"]}

        for index, change in enumerate(values.get("items") or ()):
            path = f"items[{index}]"

            if change.get("id") and change["id"] not in known:
                raise resource_missing("subscription_item", change["id"], f"{path}[id]")

            if (price := self.read_price(change, path)) is not None:
                change["price"] = price["id"]
            elif not change.get("id"):
                raise parameter_missing(f"{path}[price]")

    def apply(self, subscription: Object, values: dict[str, Any]) -> Object | None:
        """Write an update.

        A new interval, or ``billing_cycle_anchor=now``, begins new periods now and
        bills them. Otherwise changed items are prorated: on the next invoice with
        ``create_prorations``, on one of their own with ``always_invoice``, not at all
        with ``none``. A new ``trial_end`` begins a trial, and ``now`` ends one.

        :param values: What :meth:`check` has checked.
        :returns: The draft of an invoice that is to be paid now.
        :raises ApiError: If no item is left, or a discount cannot be used.
        """
        before = clone(subscription["items"]["data"])
        behavior = values.get("proration_behavior") or "create_prorations"
        restart = self._apply_items(subscription, values.get("items") or ())
        anchor = (values.get("billing_cycle_anchor") or {}).get("type")

        if "metadata" in values:
            subscription["metadata"] = merge_metadata(
                subscription["metadata"], values["metadata"]
            )

        for name in ("default_payment_method", "description"):
            if name in values:
                subscription[name] = values[name]

        if "pause_collection" in values:
            pause = values["pause_collection"]
            subscription["pause_collection"] = pause and {
                "behavior": pause["behavior"],
                "resumes_at": pause.get("resumes_at"),
            }

        if values.get("trial_settings"):
            subscription["trial_settings"] = values["trial_settings"]

        subscription["cancellation_details"].update(
            values.get("cancellation_details") or {}
        )
        self._apply_discounts(subscription, values)
        trialing = subscription["status"] == "trialing"
        trial_end = values.get("trial_end")
        restart = (restart or anchor == "now") and not trialing
        invoice = None

        if trial_end == "now" and trialing:
            invoice = self._periods.end_trial(subscription, "subscription_update")
        elif isinstance(trial_end, int):
            if behavior != "none":
                self._periods.prorate(subscription, before, restart=True)

            self._begin_trial(subscription, trial_end)
        else:
            if behavior != "none":
                at = values.get("proration_date")
                self._periods.prorate(subscription, before, restart=restart, at=at)

            if restart and subscription["status"] != "paused":
                subscription["billing_cycle_anchor"] = self._world.clock.now()
                invoice = self._periods.begin_periods(
                    subscription, subscription["items"]["data"], "subscription_update"
                )
            elif behavior == "always_invoice":
                invoice = self._periods.bill_pending(
                    subscription, "subscription_update"
                )

        self.apply_end(subscription, values)
        return invoice

    def check_times(self, values: dict[str, Any]) -> None:
        """Check when a subscription or its trial is to end.

        :raises ApiError: If that is past, or said twice.
        """
        if "cancel_at" in values and "cancel_at_period_end" in values:
            raise ApiError(
                "You may only specify one of these parameters: cancel_at,"
                " cancel_at_period_end.",
                param="cancel_at",
            )

        for name in ("cancel_at", "trial_end"):
            value = values.get(name)

            if isinstance(value, int) and value <= self._world.clock.now():
                raise ApiError(f"'{name}' must be in the future.", param=name)

    def read_price(self, entry: dict[str, Any], path: str) -> Object | None:
        """Return the price that an item is to have, if the call names one.

        An inline ``price_data`` makes a new price, with its events.

        :param path: The parameter of the item, ``items[0]``.
        :raises ApiError: If the price cannot be sold to a subscription.
        """
        price_id = entry.get("price") or entry.get("plan")

        if price_id:
            return self._prices.find_recurring(price_id, f"{path}[price]")

        if entry.get("price_data"):
            return self._prices.add(entry["price_data"], path=f"{path}[price_data]")

        return None

    def find_discounts(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        values: dict[str, Any],
    ) -> Sequence[tuple[Object, Object | None]]:
        """Return the coupons and codes that a new subscription asks for.

        :param lines: Prices and quantities.
        :raises ApiError: If one of them may not be used.
        """
        return self._discounts.find(
            values.get("discounts") or (),
            customer=customer,
            currency=lines[0][0]["currency"],
            subtotal=sum(price["unit_amount"] * count for price, count in lines),
        )

    def coupons_of(self, values: dict[str, Any]) -> Sequence[Object]:
        """Return the coupons and codes that a call counts up."""
        objects = []

        for entry in values.get("discounts") or ():
            code = self._world.store.find("promotion_code", entry.get("promotion_code"))
            coupon_id = code["promotion"]["coupon"] if code else entry.get("coupon")
            objects += [code, self._world.store.find("coupon", coupon_id)]

        return [obj for obj in objects if obj is not None]

    def _apply_items(
        self, subscription: Object, changes: Sequence[dict[str, Any]]
    ) -> bool:
        """Write changed items.

        :returns: Whether an interval changed, so that new periods begin now.
        """
        items = subscription["items"]["data"]
        restart = False

        for change in changes:
            quantity = change.get("quantity")

            if not change.get("id"):
                price = self._prices.get(change["price"])
                item = new_item(self._world, subscription["id"], price, 1)
                item["current_period_end"] = period_end(subscription, min)
                item["current_period_start"] = max(
                    other["current_period_start"] for other in items
                )
                items.append(item)
            else:
                item = next(item for item in items if item["id"] == change["id"])

                if change.get("deleted"):
                    items.remove(item)
                    continue

                if change.get("price") and change["price"] != item["price"]["id"]:
                    before = interval_of(item)
                    set_price(item, self._prices.get(change["price"]))
                    restart = restart or interval_of(item) != before

            refuse_quantity(item["price"], quantity, "items")

            if quantity is not None:
                item["quantity"] = quantity

            if "metadata" in change:
                item["metadata"] = merge_metadata(item["metadata"], change["metadata"])

        if not items:
            raise ApiError("A subscription must have at least one item.", param="items")

        return restart

    def _apply_discounts(self, subscription: Object, values: dict[str, Any]) -> None:
        """Write the discounts: an empty value clears them, an array replaces them.

        An entry with ``discount`` keeps one that the subscription has.

        :raises ApiError: ``resource_missing`` if it has no such discount.
        """
        if "discounts" not in values:
            return

        entries = values["discounts"] or []
        kept = [entry["discount"] for entry in entries if entry.get("discount")]
        unknown = set(kept) - set(subscription["discounts"])

        if unknown:
            raise resource_missing("discount", min(unknown), "discounts")

        coupons = self._discounts.find(
            [entry for entry in entries if not entry.get("discount")],
            customer=self._world.store.find("customer", subscription["customer"]),
            currency=subscription["currency"],
            subtotal=sum(
                item["price"]["unit_amount"] * quantity_of(item)
                for item in subscription["items"]["data"]
            ),
        )
        subscription["discounts"] = kept

        for coupon, code in coupons:
            self._discounts.redeem(coupon, code, subscription=subscription)

    def apply_end(self, subscription: Object, values: dict[str, Any]) -> None:
        """Schedule the end that a call asks for, or take it back.

        ``cancel_at_period_end`` sets ``cancel_at`` to the first period end of an item.
        ``cancel_at`` takes Unix seconds, ``min_period_end`` or ``max_period_end``.
        """
        if values.get("cancel_at_period_end"):
            self._transitions.schedule_end(subscription, period_end(subscription, min))
            subscription["cancel_at_period_end"] = True
        elif subscription["cancel_at_period_end"] and (
            values.get("cancel_at_period_end") is False
        ):
            # Does not take back a cancel_at: flexible billing's portal sets only that.
            self._transitions.unschedule_end(subscription)

        if "cancel_at" not in values:
            return

        cancel_at = values["cancel_at"]

        if cancel_at is None:
            self._transitions.unschedule_end(subscription)
            return

        if isinstance(cancel_at, str):
            pick = min if cancel_at == "min_period_end" else max
            cancel_at = period_end(subscription, pick)

        self._transitions.schedule_end(subscription, cancel_at)
        subscription["cancel_at_period_end"] = False

    def _begin_trial(self, subscription: Object, trial_end: int) -> None:
        """Make the time until ``trial_end`` free; the periods begin anew after it."""
        subscription["status"] = "trialing"
        subscription["trial_start"] = (
            subscription["trial_start"] or self._world.clock.now()
        )
        subscription["trial_end"] = trial_end
        subscription["billing_cycle_anchor"] = trial_end

        for item in subscription["items"]["data"]:
            item["current_period_end"] = trial_end
