"""Subscriptions: the calls of the API, and what they may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clock import DAY
from ..core import Core
from ..errors import ApiError
from ..errors import not_simulated
from ..errors import parameter_missing
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
from .cycle import Cycle
from .cycle import FINAL
from .cycle import TRIAL_NOTICE
from .cycle import UPDATED
from .discounts import DISCOUNTS
from .discounts import Discounts
from .items import interval_of
from .items import new_item
from .items import period_end
from .items import set_price
from .payment_methods import PaymentMethods

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
PRORATION_BEHAVIOR = choice("always_invoice", "create_prorations", "none")
BILLING_MODE = mapping({"type": choice("classic", "flexible"), "flexible": ignored})
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
ITEM_SPEC: Spec = {
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
_BOTH: Spec = {
    "add_invoice_items": refused,
    "application_fee_percent": refused,
    "automatic_tax": ignored,
    "billing_schedules": refused,
    "billing_thresholds": refused,
    "cancel_at": either(
        timestamp, choice("min_period_end", "max_period_end", "max_billed_until")
    ),
    "cancel_at_period_end": boolean,
    "collection_method": choice("charge_automatically"),
    "days_until_due": refused,
    "default_payment_method": text(),
    "default_source": refused,
    "default_tax_rates": refused,
    "description": text(500),
    "discounts": DISCOUNTS,
    "invoice_settings": ignored,
    "items": array(mapping(ITEM_SPEC), limit=20),
    "metadata": metadata,
    "off_session": boolean,
    "on_behalf_of": refused,
    "payment_behavior": choice(
        "allow_incomplete",
        "default_incomplete",
        "error_if_incomplete",
        "pending_if_incomplete",
    ),
    "payment_settings": ignored,
    "pending_invoice_item_interval": refused,
    "proration_behavior": PRORATION_BEHAVIOR,
    "transfer_data": refused,
    "trial_end": either(timestamp, choice("now")),
    "trial_from_plan": refused,
    "trial_settings": TRIAL_SETTINGS,
}
CREATE: Spec = {
    **_BOTH,
    "backdate_start_date": refused,
    "billing_cycle_anchor": refused,
    "billing_cycle_anchor_config": refused,
    "billing_mode": BILLING_MODE,
    "currency": text(3),
    "customer": text(),
    "customer_account": refused,
    "trial_period_days": integer(1, 730),
}
UPDATE: Spec = {
    **_BOTH,
    "billing_cycle_anchor": mapping({"type": choice("now", "unchanged")}),
    "cancellation_details": CANCELLATION_DETAILS,
    "pause_collection": mapping(
        {
            "behavior": choice("keep_as_draft", "mark_uncollectible", "void"),
            "resumes_at": timestamp,
        },
        required=("behavior",),
    ),
    "proration_date": timestamp,
}
_AFTER_THE_END = frozenset(("cancellation_details", "metadata"))
_WITH_AN_INVOICE = frozenset(("billing_cycle_anchor", "items", "trial_end"))
_PAUSE: Spec = {
    "bill_for": mapping(
        {
            "outstanding_usage_through": mapping({"type": choice("none", "now")}),
            "unused_time_from": mapping(
                {"type": choice("item_current_period_start", "none", "now")},
                required=("type",),
            ),
        }
    ),
    "invoicing_behavior": choice("invoice", "pending_invoice_item"),
    "type": choice("subscription"),
}
_RESUME: Spec = {
    "billing_cycle_anchor": mapping({"type": choice("now", "unchanged")}),
    "payment_behavior": choice(
        "resume_on_payment_attempt", "resume_on_payment_success"
    ),
    "proration_behavior": PRORATION_BEHAVIOR,
    "proration_date": refused,
}


class Subscriptions(Resource):
    """Simplified: an end in the middle of a period (``cancel_at``) gives nothing back.

    Not simulated, and refused: ``payment_behavior=pending_if_incomplete``, invoices
    that are sent, schedules, metered prices, taxes and one-time items.
    """

    kind = "subscription"
    noun = "subscription"
    path = "/v1/subscriptions"

    def __init__(
        self,
        core: Core,
        cycle: Cycle,
        prices: Prices,
        payment_methods: PaymentMethods,
        discounts: Discounts,
    ) -> None:
        super().__init__(core)
        self._cycle = cycle
        self._prices = prices
        self._payment_methods = payment_methods
        self._discounts = discounts

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
                "test_clock": text(),
            },
            _matches,
        )

    def create(self, params: Params) -> Object:
        """Begin a subscription and have its first invoice paid.

        Without a card that is accepted it is ``incomplete``, or nothing at all with
        ``payment_behavior=error_if_incomplete``.

        Source: https://docs.stripe.com/billing/subscriptions/overview
        """
        values = read(params, CREATE, required=("customer", "items"))
        customer = self.core.store.find("customer", values["customer"])

        if customer is None or customer.get("deleted"):
            raise resource_missing("customer", values["customer"], "customer")

        lines = self._check_create(customer, values)
        behavior = values.get("payment_behavior") or "allow_incomplete"
        on_session = not values.get("off_session")

        with self.core.rehearsal(customer, *self._coupons_of(values)):
            subscription, invoice = self._build(customer, lines, values)
            decline = self._cycle.refusal(subscription, invoice, on_session=on_session)
            card = self._payment_methods.default_of(subscription)

        if decline is not None and behavior != "default_incomplete":
            if card is None:
                raise ApiError(
                    "This customer has no attached payment source or default payment"
                    " method. Please consider adding a default payment method.",
                    code="resource_missing",
                )

            if behavior == "error_if_incomplete":
                raise decline.to_error()

        incomplete = decline is not None or (
            behavior == "default_incomplete" and invoice["total"] > 0
        )
        subscription, invoice = self._build(customer, lines, values)

        if incomplete:
            subscription["status"] = "incomplete"

        self._introduce(customer, subscription)
        self._cycle.collect(
            subscription,
            invoice,
            on_session=on_session,
            attempt=behavior != "default_incomplete",
        )
        self._cycle.schedule(subscription)
        return subscription

    def update(self, params: Params, object_id: str) -> Object:
        subscription = self.get(object_id)
        values = read(params, UPDATE)
        self.check_update(subscription, values)
        self.change(subscription, values)
        return subscription

    def cancel(self, params: Params, object_id: str) -> Object:
        """End a subscription now.

        Simplified: what ``prorate`` gives back without ``invoice_now`` is lost, as
        there is no next invoice.
        """
        subscription = self.get(object_id)
        values = read(
            params,
            {
                "cancellation_details": CANCELLATION_DETAILS,
                "invoice_now": boolean,
                "prorate": boolean,
            },
        )

        if subscription["status"] in FINAL:
            raise resource_missing("subscription", object_id, "id", status=404)

        subscription["cancellation_details"].update(
            values.get("cancellation_details") or {}
        )

        if values.get("prorate"):
            items = subscription["items"]["data"]
            self._cycle.prorate(subscription, items, restart=True)

        if values.get("invoice_now"):
            invoice = self._cycle.bill_pending(subscription, "subscription_update")

            if invoice is not None:
                self._cycle.collect(subscription, invoice)

        if subscription["status"] not in FINAL:
            self._cycle.end(subscription)

        return subscription

    def pause(self, params: Params, object_id: str) -> Object:
        """Stop a subscription; what is left of the period is given back.

        Source: https://docs.stripe.com/changelog/endive/2026-09-30/pause-subscription
        """
        subscription = self.get(object_id)
        values = read(params, _PAUSE)
        status = subscription["status"]

        if status not in ("active", "past_due", "trialing"):
            raise ApiError(f"A subscription that is {status} cannot be paused.")

        if subscription["billing_mode"]["type"] == "classic":
            raise ApiError(
                "Only subscriptions with billing_mode=flexible can be paused."
            )

        unused = (values.get("bill_for") or {}).get("unused_time_from") or {}
        self._cycle.credit_pause(subscription, unused.get("type") or "now")
        invoice = None

        if values.get("invoicing_behavior") == "invoice":
            invoice = self._cycle.bill_pending(subscription, "subscription_update")

        self._cycle.pause(subscription, "pause_requested")

        if invoice is not None:
            self._cycle.collect(subscription, invoice)

        self._cycle.schedule(subscription)
        return subscription

    def resume(self, params: Params, object_id: str) -> Object:
        """End a pause: with a new period that begins now, or in the old rhythm."""
        subscription = self.get(object_id)
        values = read(params, _RESUME)

        if subscription["status"] != "paused":
            raise ApiError(
                "You can only resume a subscription that is paused; this one is"
                f" {subscription['status']}."
            )

        items = subscription["items"]["data"]
        behavior = values.get("proration_behavior") or "create_prorations"
        waits = values.get("payment_behavior") == "resume_on_payment_success"
        anchor = (values.get("billing_cycle_anchor") or {}).get("type") or "now"

        with self.core.changing(subscription, UPDATED):
            invoice: Object | None = None

            if anchor == "now":
                subscription["billing_cycle_anchor"] = self.core.clock.now()
                invoice = self._cycle.begin_periods(
                    subscription, items, "subscription_update"
                )
            else:
                self._cycle.resume_period(subscription, prorate=behavior != "none")

                if behavior == "always_invoice":
                    invoice = self._cycle.bill_pending(
                        subscription, "subscription_update"
                    )

            if invoice is None or not waits:
                self._cycle.lift_pause(subscription)
            else:
                hidden = self.core.store.hidden[object_id]
                hidden["resumes_with"] = invoice["id"]

        if subscription["status"] == "active":
            self.core.emit("customer.subscription.resumed", subscription)

        if invoice is not None:
            self._cycle.collect(subscription, invoice, on_session=True)

        self._cycle.schedule(subscription)
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

    def end(self, subscription: Object) -> None:
        """End a subscription now."""
        self._cycle.end(subscription)

    def start(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        *,
        payment_method_id: str | None,
        trial_end: int | None,
        values: dict[str, Any],
        session_id: str | None = None,
    ) -> Object:
        """Begin a subscription whose first payment has succeeded.

        :param lines: Prices and quantities.
        :param values: ``description``, ``metadata``, ``discounts``, ``trial_settings``
            and ``billing_mode`` as they were given.
        :param session_id: The Checkout session that it comes from.
        """
        subscription, invoice = self._build(
            customer,
            lines,
            {
                **values,
                "default_payment_method": payment_method_id,
                "trial_end": trial_end,
                "trial_period_days": None,
            },
            session_id,
        )
        self._introduce(customer, subscription)
        self._cycle.collect(subscription, invoice, collected=True)
        self._cycle.schedule(subscription)
        return subscription

    def rehearse(self, customer: Object, values: dict[str, Any]) -> Object:
        """Return the first invoice of a subscription that is not begun.

        :param values: What :data:`CREATE` reads.
        """
        lines = self._check_create(customer, values)

        with self.core.rehearsal(customer, *self._coupons_of(values)):
            return self._build(customer, lines, values)[1]

    def check_update(self, subscription: Object, values: dict[str, Any]) -> None:
        """Check what an update asks for, before anything is changed.

        :param values: What :data:`UPDATE` reads.
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

        self._check_times(values)
        now, date = self.core.clock.now(), values.get("proration_date")

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

            if (price := self._read_price(change, path)) is not None:
                change["price"] = price["id"]
            elif not change.get("id"):
                raise parameter_missing(f"{path}[price]")

    def change(self, subscription: Object, values: dict[str, Any]) -> None:
        """Do what an update asks for, and bill what is to be billed now.

        :param values: What :meth:`check_update` has checked.
        """
        on_session = not values.get("off_session")

        if values.get("payment_behavior") == "error_if_incomplete":
            decline = None

            with self.core.rehearsal(subscription, *self._coupons_of(values)):
                if (invoice := self.apply(subscription, values)) is not None:
                    decline = self._cycle.refusal(
                        subscription, invoice, on_session=on_session
                    )

            if decline is not None:
                raise decline.to_error()

        was_trialing = subscription["status"] == "trialing"
        notice_due = False

        with self.core.changing(subscription, UPDATED):
            invoice = self.apply(subscription, values)
            trial_end = subscription["trial_end"]
            hidden = self.core.store.hidden[subscription["id"]]

            if "trial_end" in values and trial_end is not None:
                soon = trial_end - TRIAL_NOTICE <= self.core.clock.now()
                notice_due = soon and not (was_trialing and hidden["trial_notice_sent"])
                hidden["trial_notice_sent"] = soon

        if notice_due:
            self._cycle.announce_trial_end(subscription)

        if invoice is not None:
            self._cycle.collect(
                subscription,
                invoice,
                on_session=on_session,
                attempt=values.get("payment_behavior") != "default_incomplete",
            )

        self._cycle.schedule(subscription)

    def apply(self, subscription: Object, values: dict[str, Any]) -> Object | None:
        """Write an update.

        :returns: The draft of an invoice that is to be paid now.
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
            invoice = self._cycle.end_trial(subscription, "subscription_update")
        elif isinstance(trial_end, int):
            if behavior != "none":
                self._cycle.prorate(subscription, before, restart=True)

            self._begin_trial(subscription, trial_end)
        else:
            if behavior != "none":
                at = values.get("proration_date")
                self._cycle.prorate(subscription, before, restart=restart, at=at)

            if restart and subscription["status"] != "paused":
                subscription["billing_cycle_anchor"] = self.core.clock.now()
                invoice = self._cycle.begin_periods(
                    subscription, subscription["items"]["data"], "subscription_update"
                )
            elif behavior == "always_invoice":
                invoice = self._cycle.bill_pending(subscription, "subscription_update")

        self._apply_end(subscription, values)
        return invoice

    def change_items(
        self, subscription: Object, values: dict[str, Any], item: dict[str, Any]
    ) -> None:
        """Change one item, as the calls for single items do.

        :param values: The parameters that are about the subscription.
        :param item: Those about the item.
        """
        update = {**values, "items": [item]}
        self.check_update(subscription, update)
        self.change(subscription, update)

    def cancel_at_period_end_in_portal(self, subscription: Object) -> None:
        """Schedule the end as the customer portal does.

        Flexible billing gets a ``cancel_at`` and ``cancel_at_period_end`` stays
        false; classic billing gets both.

        Source: https://docs.stripe.com/billing/subscriptions/billing-mode/compare
        """
        classic = subscription["billing_mode"]["type"] == "classic"

        with self.core.on_clock_of(subscription):
            with self.core.changing(subscription, UPDATED):
                self._cycle.schedule_end(subscription, period_end(subscription, max))
                subscription["cancel_at_period_end"] = classic

            self._cycle.schedule(subscription)

    def undo_cancel(self, subscription: Object) -> None:
        """Take a scheduled end back."""
        with self.core.on_clock_of(subscription):
            with self.core.changing(subscription, UPDATED):
                self._cycle.unschedule_end(subscription)

            self._cycle.schedule(subscription)

    # The beginning

    def _check_create(
        self, customer: Object, values: dict[str, Any]
    ) -> Sequence[tuple[Object, int]]:
        self._check_times(values)

        if values.get("trial_end") and values.get("trial_period_days"):
            raise ApiError(
                "You may only specify one of these parameters: trial_end,"
                " trial_period_days.",
                param="trial_end",
            )

        if payment_method_id := values.get("default_payment_method"):
            self._payment_methods.get_of(
                customer["id"], payment_method_id, "default_payment_method"
            )

        lines = []

        for index, entry in enumerate(values["items"]):
            price = self._read_price(entry, f"items[{index}]")

            if price is None:
                raise parameter_missing(f"items[{index}][price]")

            quantity = entry.get("quantity")
            lines.append((price, 1 if quantity is None else quantity))

        if len({price["currency"] for price, _ in lines}) > 1:
            raise ApiError("All prices must have the same currency.", param="items")

        self._find_discounts(customer, lines, values)
        return lines

    def _build(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        values: dict[str, Any],
        session_id: str | None = None,
    ) -> tuple[Object, Object]:
        """Make a subscription and the draft of its first invoice; tell nobody."""
        store, now = self.core.store, self.core.clock.now()
        trial_end = values.get("trial_end")

        if trial_end == "now":
            trial_end = None

        if days := values.get("trial_period_days"):
            trial_end = now + days * DAY

        subscription = self._new(customer, lines, values, trial_end)
        store.add(
            subscription,
            billed={},
            pending=[],
            resumes_with=None,
            trial_notice_sent=False,
        )

        for coupon, code in self._find_discounts(customer, lines, values):
            self._discounts.redeem(
                coupon, code, subscription=subscription, session_id=session_id
            )

        items = subscription["items"]["data"]

        for item, entry in zip(items, values.get("items") or (), strict=False):
            item["metadata"] = merge_metadata({}, entry.get("metadata"))

        invoice = self._cycle.begin_periods(subscription, items, "subscription_create")
        self._apply_end(subscription, values)
        return subscription, invoice

    def _introduce(self, customer: Object, subscription: Object) -> None:
        """Tell about a new subscription."""
        if customer["currency"] is None:
            with self.core.changing(customer, "customer.updated"):
                customer["currency"] = subscription["currency"]

        self.core.emit("customer.subscription.created", subscription)
        trial_end = subscription["trial_end"]

        if trial_end is not None and trial_end - TRIAL_NOTICE <= self.core.clock.now():
            self._cycle.announce_trial_end(subscription)

    def _find_discounts(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        values: dict[str, Any],
    ) -> Sequence[tuple[Object, Object | None]]:
        return self._discounts.find(
            values.get("discounts") or (),
            customer=customer,
            currency=lines[0][0]["currency"],
            subtotal=sum(price["unit_amount"] * count for price, count in lines),
        )

    def _coupons_of(self, values: dict[str, Any]) -> Sequence[Object]:
        """Return the coupons and codes that a call counts up."""
        found = []

        for entry in values.get("discounts") or ():
            code = self.core.store.find("promotion_code", entry.get("promotion_code"))
            coupon_id = code["promotion"]["coupon"] if code else entry.get("coupon")
            found += [code, self.core.store.find("coupon", coupon_id)]

        return [obj for obj in found if obj is not None]

    def _new(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        values: dict[str, Any],
        trial_end: int | None,
    ) -> Object:
        now = self.core.clock.now()
        subscription_id = self.core.store.new_id("subscription")
        mode = (values.get("billing_mode") or {}).get("type") or "flexible"
        items = [
            new_item(self.core, subscription_id, price, quantity)
            for price, quantity in lines
        ]
        return {
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
            "default_payment_method": values.get("default_payment_method"),
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
            "status_details": None,
            "test_clock": customer["test_clock"],
            "transfer_data": None,
            "trial_end": trial_end,
            "trial_settings": values.get("trial_settings")
            or {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": now if trial_end else None,
        }

    # Checks and updates

    def _check_times(self, values: dict[str, Any]) -> None:
        if values.get("payment_behavior") == "pending_if_incomplete":
            raise not_simulated("payment_behavior=pending_if_incomplete")

        if "cancel_at" in values and "cancel_at_period_end" in values:
            raise ApiError(
                "You may only specify one of these parameters: cancel_at,"
                " cancel_at_period_end.",
                param="cancel_at",
            )

        for name in ("cancel_at", "trial_end"):
            value = values.get(name)

            if isinstance(value, int) and value <= self.core.clock.now():
                raise ApiError(f"'{name}' must be in the future.", param=name)

    def _read_price(self, entry: dict[str, Any], path: str) -> Object | None:
        """Return the price that an item is to have, if the call names one."""
        price_id = entry.get("price") or entry.get("plan")

        if price_id:
            return self._prices.find_recurring(price_id, f"{path}[price]")

        if entry.get("price_data"):
            return self._prices.add(entry["price_data"], path=f"{path}[price_data]")

        return None

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
                item = new_item(self.core, subscription["id"], price, 1)
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

            if quantity is not None:
                item["quantity"] = quantity

            if "metadata" in change:
                item["metadata"] = merge_metadata(item["metadata"], change["metadata"])

        if not items:
            raise ApiError("A subscription must have at least one item.", param="items")

        return restart

    def _apply_discounts(self, subscription: Object, values: dict[str, Any]) -> None:
        """An empty value clears, an array replaces."""
        if "discounts" not in values:
            return

        entries = values["discounts"] or []
        kept = [entry["discount"] for entry in entries if entry.get("discount")]
        unknown = set(kept) - set(subscription["discounts"])

        if unknown:
            raise resource_missing("discount", min(unknown), "discounts")

        found = self._discounts.find(
            [entry for entry in entries if not entry.get("discount")],
            customer=self.core.store.find("customer", subscription["customer"]),
            currency=subscription["currency"],
            subtotal=sum(
                item["price"]["unit_amount"] * item["quantity"]
                for item in subscription["items"]["data"]
            ),
        )
        subscription["discounts"] = kept

        for coupon, code in found:
            self._discounts.redeem(coupon, code, subscription=subscription)

    def _apply_end(self, subscription: Object, values: dict[str, Any]) -> None:
        if values.get("cancel_at_period_end"):
            self._cycle.schedule_end(subscription, period_end(subscription, min))
            subscription["cancel_at_period_end"] = True
        elif subscription["cancel_at_period_end"] and (
            values.get("cancel_at_period_end") is False
        ):
            # Does not take back a cancel_at: flexible billing's portal sets only that.
            self._cycle.unschedule_end(subscription)

        if "cancel_at" not in values:
            return

        cancel_at = values["cancel_at"]

        if cancel_at is None:
            self._cycle.unschedule_end(subscription)
            return

        if isinstance(cancel_at, str):
            pick = min if cancel_at == "min_period_end" else max
            cancel_at = period_end(subscription, pick)

        self._cycle.schedule_end(subscription, cancel_at)
        subscription["cancel_at_period_end"] = False

    def _begin_trial(self, subscription: Object, trial_end: int) -> None:
        subscription["status"] = "trialing"
        subscription["trial_start"] = (
            subscription["trial_start"] or self.core.clock.now()
        )
        subscription["trial_end"] = trial_end
        subscription["billing_cycle_anchor"] = trial_end

        for item in subscription["items"]["data"]:
            item["current_period_end"] = trial_end


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
        and wanted.get("collection_method") != "send_invoice"
        and wanted.get("customer") in (None, subscription["customer"])
        and price_id in (None, *(item["price"]["id"] for item in items))
        and wanted.get("test_clock") in (None, subscription["test_clock"])
        and in_range(subscription["created"], wanted.get("created"))
        and in_range(period_end(subscription, min), wanted.get("current_period_end"))
        and in_range(
            max(item["current_period_start"] for item in items),
            wanted.get("current_period_start"),
        )
    )
