"""Subscriptions: what they are, and each step that they can take.

*When* a step is due is asked of :meth:`Subscriptions.next_step`; :mod:`..life` takes
the steps in the order of time.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from ..clock import DAY
from ..clock import next_boundary
from ..core import Core
from ..errors import ApiError
from ..errors import resource_missing
from ..params import array
from ..params import boolean
from ..params import choice
from ..params import either
from ..params import ignored
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
from ..store import clone
from ..store import Object
from .base import list_object
from .base import Params
from .base import Resource
from .catalogue import PRICE_DATA_SPEC
from .catalogue import Prices
from .invoices import Invoices

UPDATED = "customer.subscription.updated"
FINAL = ("canceled", "incomplete_expired")
STATUSES = (
    "active",
    "canceled",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)
TRIAL_NOTICE = 3 * DAY


class Step(NamedTuple):
    """What happens to a subscription if nobody does anything."""

    #: Unix seconds.
    at: int
    #: What it is, for people.
    what: str
    take: Callable[[Object], None]


CANCELLATION_DETAILS = mapping(
    {
        "comment": text(),
        "feedback": choice(
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        ),
        "feedback_option": ignored,
    }
)
TRIAL_SETTINGS = mapping(
    {
        "end_behavior": mapping(
            {"missing_payment_method": choice("cancel", "create_invoice", "pause")},
            required=("missing_payment_method",),
        )
    },
    required=("end_behavior",),
)
_UPDATE: Spec = {
    "add_invoice_items": refused,
    "application_fee_percent": refused,
    "automatic_tax": ignored,
    "billing_cycle_anchor": mapping({"type": choice("now", "unchanged")}),
    "billing_schedules": refused,
    "billing_thresholds": refused,
    "cancel_at": either(
        timestamp, choice("min_period_end", "max_period_end", "max_billed_until")
    ),
    "cancel_at_period_end": boolean,
    "cancellation_details": CANCELLATION_DETAILS,
    "collection_method": choice("charge_automatically"),
    "days_until_due": refused,
    "default_payment_method": text(),
    "default_source": refused,
    "default_tax_rates": refused,
    "description": text(500),
    "discounts": refused,
    "invoice_settings": ignored,
    "items": array(
        mapping(
            {
                "billing_thresholds": refused,
                "clear_usage": ignored,
                "current_trial": refused,
                "deleted": boolean,
                "discounts": refused,
                "id": text(),
                "metadata": metadata,
                "plan": text(),
                "price": text(),
                "price_data": mapping(PRICE_DATA_SPEC, required=("currency",)),
                "quantity": integer(0, 1_000_000),
                "tax_rates": refused,
            }
        ),
        limit=20,
    ),
    "metadata": metadata,
    "off_session": boolean,
    "on_behalf_of": refused,
    "pause_collection": refused,
    "payment_behavior": ignored,
    "payment_settings": ignored,
    "pending_invoice_item_interval": refused,
    "proration_behavior": choice("always_invoice", "create_prorations", "none"),
    "proration_date": timestamp,
    "transfer_data": refused,
    "trial_end": either(timestamp, choice("now")),
    "trial_from_plan": refused,
    "trial_settings": TRIAL_SETTINGS,
}


class Subscriptions(Resource):
    kind = "subscription"
    noun = "subscription"
    path = "/v1/subscriptions"

    def __init__(self, core: Core, invoices: Invoices, prices: Prices) -> None:
        super().__init__(core)
        self._invoices = invoices
        self._prices = prices

    # The API

    def list(self, params: Params) -> Object:
        customer_id = params.get("customer")

        if customer_id and self.core.store.find("customer", customer_id) is None:
            raise resource_missing("customer", customer_id, "customer")

        return self.select(
            params,
            {
                "automatic_tax": ignored,
                "collection_method": choice("charge_automatically", "send_invoice"),
                "created": time_range,
                "current_period_end": time_range,
                "current_period_start": time_range,
                "customer": text(),
                "customer_account": text(),
                "plan": text(),
                "price": text(),
                "status": choice(*STATUSES, "all", "ended"),
                "test_clock": refused,
            },
            _matches,
        )

    def update(self, params: Params, object_id: str) -> Object:
        subscription = self.get(object_id)
        values = read(params, _UPDATE)
        self._check_update(subscription, values)

        invoice = None

        with self.core.changing(subscription, UPDATED):
            if self._apply_update(subscription, values):
                invoice = self._begin_periods(
                    subscription, subscription["items"]["data"], "subscription_update"
                )

        if invoice is not None:
            self._collect(subscription, invoice)

        self.schedule(subscription)
        return subscription

    def cancel(self, params: Params, object_id: str) -> Object:
        """End a subscription now."""
        subscription = self.get(object_id)
        values = read(
            params,
            {
                "cancellation_details": CANCELLATION_DETAILS,
                "invoice_now": ignored,
                "prorate": ignored,
            },
        )

        if subscription["status"] in FINAL:
            raise resource_missing("subscription", object_id, "id", status=404)

        subscription["cancellation_details"].update(
            values.get("cancellation_details") or {}
        )
        self.end(subscription)
        return subscription

    # What the other resources do with subscriptions

    def of_customer(self, customer_id: str) -> Sequence[Object]:
        """Return a customer's subscriptions that have not ended, newest first."""
        return [
            subscription
            for subscription in self.core.store.all("subscription")
            if subscription["customer"] == customer_id
            and subscription["status"] not in FINAL
        ]

    def start(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        *,
        payment_method_id: str | None,
        trial_end: int | None,
        values: dict[str, Any],
    ) -> Object:
        """Begin a subscription whose first payment has succeeded.

        :param lines: Prices and quantities.
        :param values: ``description``, ``metadata``, ``trial_settings`` and
            ``billing_mode`` as they were given.
        """
        store, now = self.core.store, self.core.clock.now()
        subscription_id = store.new_id("subscription")
        mode = (values.get("billing_mode") or {}).get("type") or "flexible"
        items = [
            self._new_item(subscription_id, price, quantity)
            for price, quantity in lines
        ]
        subscription: Object = {
            "id": subscription_id,
            "object": "subscription",
            "application": None,
            "application_fee_percent": None,
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
            },
            "billing_cycle_anchor": trial_end or now,
            "billing_cycle_anchor_config": None,
            "billing_mode": {
                "flexible": (
                    {"proration_discounts": "included"} if mode == "flexible" else None
                ),
                "type": mode,
            },
            "billing_schedules": [],
            "billing_thresholds": None,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": {
                "comment": None,
                "feedback": None,
                "reason": None,
            },
            "collection_method": "charge_automatically",
            "created": now,
            "currency": lines[0][0]["currency"],
            "customer": customer["id"],
            "customer_account": None,
            "days_until_due": None,
            "default_payment_method": payment_method_id,
            "default_source": None,
            "default_tax_rates": [],
            "description": values.get("description"),
            "discounts": [],
            "ended_at": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "items": list_object(
                items, f"/v1/subscription_items?subscription={subscription_id}"
            ),
            "latest_invoice": None,
            "livemode": False,
            "managed_payments": {"enabled": False},
            "metadata": merge_metadata({}, values.get("metadata")),
            "next_pending_invoice_item_invoice": None,
            "on_behalf_of": None,
            "pause_collection": None,
            "payment_settings": {
                "payment_method_options": None,
                "payment_method_types": None,
                "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": now,
            "status": "trialing" if trial_end else "active",
            "test_clock": None,
            "transfer_data": None,
            "trial_end": trial_end,
            "trial_settings": values.get("trial_settings")
            or {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": now if trial_end else None,
        }
        store.add(subscription, trial_notice_sent=False)

        if customer["currency"] is None:
            with self.core.changing(customer, "customer.updated"):
                customer["currency"] = subscription["currency"]

        invoice = self._begin_periods(subscription, items, "subscription_create")
        self.core.emit("customer.subscription.created", subscription)
        self._invoices.settle(invoice, subscription, first=True)

        if trial_end is not None and trial_end - TRIAL_NOTICE <= now:
            self._announce_trial_end(subscription)

        self.schedule(subscription)
        return subscription

    def cancel_at_period_end_in_portal(self, subscription: Object) -> None:
        """Schedule the end as the customer portal does.

        Flexible billing gets a ``cancel_at`` and ``cancel_at_period_end`` stays
        false; classic billing gets both.

        Source: https://docs.stripe.com/billing/subscriptions/billing-mode/compare
        """
        classic = subscription["billing_mode"]["type"] == "classic"

        with self.core.changing(subscription, UPDATED):
            self._schedule_cancel(subscription, period_end(subscription, max))
            subscription["cancel_at_period_end"] = classic

        self.schedule(subscription)

    def undo_cancel(self, subscription: Object) -> None:
        """Take a scheduled end back."""
        with self.core.changing(subscription, UPDATED):
            self._unschedule_cancel(subscription)

        self.schedule(subscription)

    def end(
        self, subscription: Object, *, reason: str = "cancellation_requested"
    ) -> None:
        """End a subscription now."""
        now = self.core.clock.now()
        subscription["cancel_at_period_end"] = False
        subscription["cancel_at"] = None
        subscription["cancellation_details"]["reason"] = reason
        subscription["canceled_at"] = now
        self._finish(subscription)

    # Time

    def schedule(self, subscription: Object) -> None:
        """Have the subscription looked at when its next step is due."""
        if (step := self.next_step(subscription)) is not None:
            self.core.set_alarm(step.at, subscription)

    def next_step(self, subscription: Object) -> Step | None:
        """Return what happens next, and when.

        Of two steps at the same time the end comes first: there is no last renewal.
        """
        status = subscription["status"]

        if status in FINAL:
            return None

        steps: list[Step] = []

        if subscription["cancel_at"] is not None:
            steps.append(
                Step(subscription["cancel_at"], "end of the subscription", self._finish)
            )

        if status == "trialing":
            if not self.core.store.hidden[subscription["id"]]["trial_notice_sent"]:
                notice = subscription["trial_end"] - TRIAL_NOTICE
                steps.append(Step(notice, "trial reminder", self._announce_trial_end))

            steps.append(
                Step(subscription["trial_end"], "end of the trial", self._end_trial)
            )
        elif status in ("active", "past_due", "unpaid"):
            invoice = self.core.store.find("invoice", subscription["latest_invoice"])

            if invoice is not None and invoice["next_payment_attempt"] is not None:
                retry: int = invoice["next_payment_attempt"]
                steps.append(Step(retry, "next try to be paid", self._retry))

            steps.append(Step(period_end(subscription, min), "renewal", self._renew))

        return min(steps, key=lambda step: step.at, default=None)

    def _announce_trial_end(self, subscription: Object) -> None:
        self.core.store.hidden[subscription["id"]]["trial_notice_sent"] = True
        self.core.emit("customer.subscription.trial_will_end", subscription)

    def _end_trial(self, subscription: Object) -> None:
        customer = self.core.store.find("customer", subscription["customer"])
        has_card = subscription["default_payment_method"] or (
            customer and customer["invoice_settings"]["default_payment_method"]
        )
        behavior = subscription["trial_settings"]["end_behavior"]
        without_card = None if has_card else behavior["missing_payment_method"]

        if without_card == "cancel":
            self.end(subscription)
            return

        if without_card == "pause":
            with self.core.changing(subscription, UPDATED):
                subscription["status"] = "paused"

            self.core.emit("customer.subscription.paused", subscription)
            return

        with self.core.changing(subscription, UPDATED):
            subscription["status"] = "active"
            subscription["billing_cycle_anchor"] = subscription["trial_end"]
            invoice = self._begin_periods(
                subscription, subscription["items"]["data"], "subscription_cycle"
            )

        self._collect(subscription, invoice)

    def _renew(self, subscription: Object) -> None:
        now = self.core.clock.now()
        ended = [
            item
            for item in subscription["items"]["data"]
            if item["current_period_end"] <= now
        ]

        with self.core.changing(subscription, UPDATED):
            invoice = self._begin_periods(subscription, ended, "subscription_cycle")

        self._collect(subscription, invoice)

    def _retry(self, subscription: Object) -> None:
        invoice = self._invoices.get(subscription["latest_invoice"])
        self._after_attempt(
            subscription, invoice, self._invoices.attempt(invoice, subscription)
        )

    def _begin_periods(
        self, subscription: Object, items: Sequence[Object], reason: str
    ) -> Object:
        """Move items to the period that begins now, and draft the invoice for it."""
        now = self.core.clock.now()
        trial_end = subscription["trial_end"]
        free = subscription["status"] == "trialing"
        before = min((item["current_period_start"] for item in items), default=now)

        for item in items:
            recurring = item["price"]["recurring"]
            item["current_period_start"] = now
            item["current_period_end"] = (
                trial_end
                if free
                else next_boundary(
                    subscription["billing_cycle_anchor"],
                    recurring["interval"],
                    recurring["interval_count"],
                    now,
                )
            )

        invoice = self._invoices.draft(
            subscription, reason, items, period_start=before, free=free
        )
        subscription["latest_invoice"] = invoice["id"]
        return invoice

    def _collect(self, subscription: Object, invoice: Object) -> None:
        paid = self._invoices.settle(invoice, subscription)
        self._after_attempt(subscription, invoice, paid)

    def _after_attempt(self, subscription: Object, invoice: Object, paid: bool) -> None:
        """Draw the conclusion from an attempt to be paid."""
        with self.core.changing(subscription, UPDATED):
            subscription["status"] = "active" if paid else "past_due"

        if not paid and invoice["next_payment_attempt"] is None:
            self.end(subscription, reason="payment_failed")

    def _finish(self, subscription: Object) -> None:
        subscription["status"] = "canceled"
        subscription["ended_at"] = self.core.clock.now()
        invoice = self.core.store.find("invoice", subscription["latest_invoice"])

        if invoice is not None and invoice["status"] == "open":
            invoice["auto_advance"] = False
            invoice["next_payment_attempt"] = None

        self.core.emit("customer.subscription.deleted", subscription)

    # Updates

    def _check_update(self, subscription: Object, values: dict[str, Any]) -> None:
        allowed_when_ended = {"metadata", "cancellation_details"}

        if subscription["status"] in FINAL and not values.keys() <= allowed_when_ended:
            raise ApiError(
                "A canceled subscription can only update its cancellation_details and"
                " metadata."
            )

        if "cancel_at" in values and "cancel_at_period_end" in values:
            raise ApiError(
                "You may only specify one of these parameters: cancel_at,"
                " cancel_at_period_end.",
                param="cancel_at",
            )

        cancel_at = values.get("cancel_at")

        if isinstance(cancel_at, int) and cancel_at <= self.core.clock.now():
            raise ApiError("'cancel_at' must be in the future.", param="cancel_at")

        trial_end = values.get("trial_end")

        if isinstance(trial_end, int) and trial_end <= self.core.clock.now():
            raise ApiError("'trial_end' must be in the future.", param="trial_end")

        payment_method_id = values.get("default_payment_method")

        if payment_method_id:
            found = self.core.store.find("payment_method", payment_method_id)

            if found is None or found["customer"] != subscription["customer"]:
                raise resource_missing(
                    "PaymentMethod", payment_method_id, "default_payment_method"
                )

        for index, change in enumerate(values.get("items") or ()):
            self._check_item(subscription, change, f"items[{index}]")

    def _check_item(
        self, subscription: Object, change: dict[str, Any], path: str
    ) -> None:
        known = {item["id"] for item in subscription["items"]["data"]}

        if change.get("id") and change["id"] not in known:
            raise resource_missing("subscription_item", change["id"], f"{path}[id]")

        if change.get("plan"):
            change["price"] = change.pop("plan")

        if change.get("price"):
            self._prices.find_recurring(change["price"], f"{path}[price]")
        elif change.get("price_data"):
            price = self._prices.add(change["price_data"], path=f"{path}[price_data]")
            change["price"] = price["id"]
        elif not change.get("id"):
            raise ApiError(
                "A new item needs a price.",
                code="parameter_missing",
                param=f"{path}[price]",
            )

    def _apply_update(self, subscription: Object, values: dict[str, Any]) -> bool:
        """Write an update.

        :returns: Whether a new period begins now.
        """
        bill = self._apply_items(subscription, values.get("items") or ())

        if "metadata" in values:
            subscription["metadata"] = merge_metadata(
                subscription["metadata"], values["metadata"]
            )

        for name in ("default_payment_method", "description"):
            if name in values:
                subscription[name] = values[name]

        if values.get("trial_settings"):
            subscription["trial_settings"] = values["trial_settings"]

        subscription["cancellation_details"].update(
            values.get("cancellation_details") or {}
        )

        if (trial_end := values.get("trial_end")) is not None:
            bill = self._apply_trial_end(subscription, trial_end) or bill
        elif (values.get("billing_cycle_anchor") or {}).get("type") == "now":
            bill = True

        if bill and subscription["status"] != "trialing":
            subscription["billing_cycle_anchor"] = self.core.clock.now()

        if values.get("cancel_at_period_end"):
            self._schedule_cancel(subscription, period_end(subscription, min))
            subscription["cancel_at_period_end"] = True
        elif subscription["cancel_at_period_end"] and (
            values.get("cancel_at_period_end") is False
        ):
            # Does not take back a cancel_at: flexible billing's portal sets only that.
            self._unschedule_cancel(subscription)

        if "cancel_at" in values:
            cancel_at = values["cancel_at"]

            if cancel_at is None:
                self._unschedule_cancel(subscription)
            else:
                if isinstance(cancel_at, str):
                    pick = min if cancel_at == "min_period_end" else max
                    cancel_at = period_end(subscription, pick)

                self._schedule_cancel(subscription, cancel_at)
                subscription["cancel_at_period_end"] = False

        return bill

    def _apply_items(
        self, subscription: Object, changes: Sequence[dict[str, Any]]
    ) -> bool:
        """Write changed items. No proration: the next invoice has the new price.

        :returns: Whether the interval changed, so that a new period begins now.
        """
        items = subscription["items"]["data"]
        bill = False

        for change in changes:
            quantity = change.get("quantity")

            if not change.get("id"):
                price = clone(self._prices.get(change["price"]))
                item = self._new_item(subscription["id"], price, quantity or 1)
                item["current_period_start"] = self.core.clock.now()
                item["current_period_end"] = period_end(subscription, min)
                items.append(item)
                continue

            item = next(item for item in items if item["id"] == change["id"])

            if change.get("deleted"):
                items.remove(item)
                continue

            if change.get("price") and change["price"] != item["price"]["id"]:
                old = item["price"]["recurring"]
                item["price"] = clone(self._prices.get(change["price"]))
                item["plan"] = plan_of(item["price"])
                item["quantity"] = 1  # Stripe: unless the call says how many
                new = item["price"]["recurring"]
                bill = bill or any(
                    old[name] != new[name] for name in ("interval", "interval_count")
                )

            if quantity is not None:
                item["quantity"] = quantity

            if "metadata" in change:
                item["metadata"] = merge_metadata(item["metadata"], change["metadata"])

        if not items:
            raise ApiError("A subscription must have at least one item.", param="items")

        return bill and subscription["status"] != "trialing"

    def _apply_trial_end(self, subscription: Object, trial_end: int | str) -> bool:
        now = self.core.clock.now()

        if isinstance(trial_end, int):
            subscription["status"] = "trialing"
            subscription["trial_start"] = subscription["trial_start"] or now
            subscription["trial_end"] = trial_end
            subscription["billing_cycle_anchor"] = trial_end

            for item in subscription["items"]["data"]:
                item["current_period_end"] = trial_end

            return False

        if subscription["status"] != "trialing":
            return False

        subscription["status"] = "active"
        subscription["trial_end"] = now
        return True

    def _schedule_cancel(self, subscription: Object, at: int) -> None:
        subscription["cancel_at"] = at
        subscription["canceled_at"] = self.core.clock.now()
        subscription["cancellation_details"]["reason"] = "cancellation_requested"

    def _unschedule_cancel(self, subscription: Object) -> None:
        subscription["cancel_at"] = None
        subscription["cancel_at_period_end"] = False
        subscription["canceled_at"] = None
        subscription["cancellation_details"].update(
            comment=None, feedback=None, reason=None
        )

    def _new_item(self, subscription_id: str, price: Object, quantity: int) -> Object:
        now = self.core.clock.now()
        return {
            "id": self.core.store.new_id("subscription_item"),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": now,
            "current_period_end": now,
            "current_period_start": now,
            "discounts": [],
            "metadata": {},
            "plan": plan_of(price),
            "price": clone(price),
            "quantity": quantity,
            "subscription": subscription_id,
            "tax_rates": [],
        }


def period_end(subscription: Object, pick: Callable[[Sequence[int]], int]) -> int:
    """Return the earliest (``min``) or latest (``max``) period end of the items."""
    return pick([item["current_period_end"] for item in subscription["items"]["data"]])


def plan_of(price: Object) -> Object:
    """The price in its old form, which items still carry."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": dict(price["metadata"]),
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": "licensed",
    }


def _matches(subscription: Object, wanted: Params) -> bool:
    status = wanted.get("status")
    items = subscription["items"]["data"]
    price_id = wanted.get("price") or wanted.get("plan")

    if status is None:
        right_status = subscription["status"] != "canceled"
    elif status == "ended":
        right_status = subscription["status"] in FINAL
    else:
        right_status = status in ("all", subscription["status"])

    return (
        right_status
        and wanted.get("customer") in (None, subscription["customer"])
        and price_id in (None, *(item["price"]["id"] for item in items))
        and in_range(subscription["created"], wanted.get("created"))
        and in_range(period_end(subscription, min), wanted.get("current_period_end"))
        and in_range(
            max(item["current_period_start"] for item in items),
            wanted.get("current_period_start"),
        )
    )
