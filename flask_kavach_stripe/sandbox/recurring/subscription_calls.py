"""Subscriptions: the calls of the API, and what they may ask for.

Source: https://docs.stripe.com/api/subscriptions
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Final

from ..cards import Decline
from ..money.discounts import Discounts
from ..money.item_prices import period_end
from ..money.payment_methods import PaymentMethods
from ..money.products_and_prices import Prices
from ..object_store import clone
from ..object_store import Object
from ..params import boolean
from ..params import choice
from ..params import ignored
from ..params import in_range
from ..params import read
from ..params import text
from ..params import time_range
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import resource_missing
from ..world import World
from .changes import Changes
from .starting import Starting
from .steps import Steps
from .steps import TRIAL_NOTICE
from .subscription_object import billing_mode
from .subscription_object import FINAL
from .subscription_object import UPDATED
from .subscription_params import BILLING_MODE
from .subscription_params import CANCELLATION_DETAILS
from .subscription_params import CREATE
from .subscription_params import PAUSE
from .subscription_params import RESUME
from .subscription_params import UPDATE

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


class Subscriptions(Resource):
    """``/v1/subscriptions``, and what other modules do with subscriptions.

    Events: ``customer.subscription.created``, ``.updated``, ``.deleted``, ``.paused``,
    ``.resumed``, ``.trial_will_end``, ``.pending_update_applied`` and
    ``.pending_update_expired``. The event of a change comes before the events of the
    invoice that the change brings.

    Simplified: an end in the middle of a period (``cancel_at``) gives nothing back.

    Not simulated, and refused: invoices that are sent, schedules, usage, taxes
    and one-time items.
    """

    kind = "subscription"
    noun = "subscription"
    path = "/v1/subscriptions"

    def __init__(
        self,
        world: World,
        steps: Steps,
        prices: Prices,
        payment_methods: PaymentMethods,
        discounts: Discounts,
    ) -> None:
        super().__init__(world)
        self._periods = steps.periods
        self._transitions = steps.transitions
        self._collection = steps.collection
        self._steps = steps
        self.changes: Final = Changes(world, steps, prices, payment_methods, discounts)
        self.starting: Final = Starting(
            world, steps, self.changes, payment_methods, discounts
        )

    # The API

    def list(self, params: Params) -> Object:
        """Return a page of the subscriptions, newest first.

        Without a ``status`` all but canceled ones, as at Stripe; ``all`` and ``ended``
        are words for several. ``current_period_start`` and ``current_period_end`` are
        those of the subscription as a whole.

        :raises ApiError: ``resource_missing`` for an unknown ``customer``.
        """
        customer_id = params.get("customer")

        if customer_id and self.world.store.find("customer", customer_id) is None:
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
        """Start a subscription and have its first invoice paid.

        If the card is refused, the subscription is ``incomplete`` for 23 hours, or does
        not come to be with ``payment_behavior=error_if_incomplete``.

        :raises ApiError: ``resource_missing`` for an unknown or deleted customer;
            otherwise as :meth:`.Starting.start` does.

        Source: https://docs.stripe.com/billing/subscriptions/overview
        """
        values = read(params, CREATE, required=("customer", "items"))

        if values.get("payment_behavior") == "pending_if_incomplete":
            raise ApiError(
                "`payment_behavior=pending_if_incomplete` is for updates only.",
                param="payment_behavior",
            )

        customer = self.world.store.find("customer", values["customer"])

        if customer is None or customer.get("deleted"):
            raise resource_missing("customer", values["customer"], "customer")

        return self.starting.start(customer, values)

    def update(self, params: Params, object_id: str) -> Object:
        """Change a subscription, and bill what is to be billed now.

        :raises ApiError: As :meth:`.Changes.check` and :meth:`change` do.
        """
        subscription = self.get(object_id)
        values = read(params, UPDATE)
        self.changes.check(subscription, values)
        self.change(subscription, values)
        return subscription

    def cancel(self, params: Params, object_id: str) -> Object:
        """End a subscription now.

        Sends the events of the last invoice with ``invoice_now``, then
        ``customer.subscription.deleted``.

        Simplified: what ``prorate`` gives back without ``invoice_now`` is lost, as
        there is no next invoice.

        :raises ApiError: ``resource_missing`` (404) if it has ended already.
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

        # Differs from Stripe: without "invoice_now" it keeps the credit for the next
        # invoice of the customer; here the credit is lost.
        if values.get("prorate"):
            items = subscription["items"]["data"]
            self._periods.prorate(subscription, items, restart=True)

        if values.get("invoice_now"):
            invoice = self._periods.bill_pending(subscription, "subscription_update")

            if invoice is not None:
                self._collection.collect(subscription, invoice)

        if subscription["status"] not in FINAL:
            self._transitions.end(subscription)

        return subscription

    def migrate(self, params: Params, object_id: str) -> Object:
        """Change classic billing into flexible one; there is no way back.

        Sends ``customer.subscription.updated``.

        :raises ApiError: If it has ended.

        Source: https://docs.stripe.com/api/subscriptions/migrate
        """
        subscription = self.get(object_id)
        read(params, {"billing_mode": BILLING_MODE}, required=("billing_mode",))

        if subscription["status"] in FINAL:
            raise ApiError("A canceled subscription cannot be migrated.")

        with self.world.changing(subscription, UPDATED):
            subscription["billing_mode"] = billing_mode("flexible")

        return subscription

    def pause(self, params: Params, object_id: str) -> Object:
        """Stop a subscription; what is left of the period is given back.

        Sends ``customer.subscription.updated`` and ``.paused``, then the events of the
        invoice with ``invoicing_behavior=invoice``.

        :raises ApiError: If it is not running, or has classic billing.

        Source: https://docs.stripe.com/changelog/endive/2026-09-30/pause-subscription
        """
        subscription = self.get(object_id)
        values = read(params, PAUSE)
        status = subscription["status"]

        if status not in ("active", "past_due", "trialing"):
            raise ApiError(f"A subscription that is {status} cannot be paused.")

        if subscription["billing_mode"]["type"] == "classic":
            raise ApiError(
                "Only subscriptions with billing_mode=flexible can be paused."
            )

        unused = (values.get("bill_for") or {}).get("unused_time_from") or {}
        self._periods.credit_pause(subscription, unused.get("type") or "now")
        invoice = None

        if values.get("invoicing_behavior") == "invoice":
            invoice = self._periods.bill_pending(subscription, "subscription_update")

        self._transitions.pause(subscription, "pause_requested")

        if invoice is not None:
            self._collection.collect(subscription, invoice)

        self._steps.schedule(subscription)
        return subscription

    def resume(self, params: Params, object_id: str) -> Object:
        """End a pause: with a new period that begins now, or in the old rhythm.

        Sends ``customer.subscription.updated`` and ``.resumed``, then the events of the
        invoice; with ``resume_on_payment_success`` the payment comes first.

        :raises ApiError: If it is not paused.
        """
        subscription = self.get(object_id)
        values = read(params, RESUME)

        if subscription["status"] != "paused":
            raise ApiError(
                "You can only resume a subscription that is paused; this one is"
                f" {subscription['status']}."
            )

        items = subscription["items"]["data"]
        behavior = values.get("proration_behavior") or "create_prorations"
        waits = values.get("payment_behavior") == "resume_on_payment_success"
        anchor = (values.get("billing_cycle_anchor") or {}).get("type") or "now"

        with self.world.changing(subscription, UPDATED):
            invoice: Object | None = None

            if anchor == "now":
                subscription["billing_cycle_anchor"] = self.world.clock.now()
                invoice = self._periods.begin_periods(
                    subscription, items, "subscription_update"
                )
            else:
                self._periods.resume_period(subscription, prorate=behavior != "none")

                if behavior == "always_invoice":
                    invoice = self._periods.bill_pending(
                        subscription, "subscription_update"
                    )

            if invoice is None or not waits:
                self._transitions.lift_pause(subscription)
            else:
                hidden = self.world.store.hidden[object_id]
                hidden["resumes_with"] = invoice["id"]

        if subscription["status"] == "active":
            self.world.emit("customer.subscription.resumed", subscription)

        if invoice is not None:
            self._collection.collect(subscription, invoice, on_session=True)

        self._steps.schedule(subscription)
        return subscription

    # What the other resources do with subscriptions

    def of_customer(self, customer_id: str) -> Sequence[Object]:
        """Return a customer's subscriptions that have not ended, newest first."""
        return [
            subscription
            for subscription in self.world.store.all("subscription")
            if subscription["customer"] == customer_id
            and subscription["status"] not in FINAL
        ]

    def end(self, subscription: Object) -> None:
        """End a subscription now, as its customer is deleted."""
        self._transitions.end(subscription)

    def change(self, subscription: Object, values: dict[str, Any]) -> None:
        """Do what an update asks for, and bill what is to be billed now.

        Sends ``customer.subscription.updated`` if anything is new, then the events of
        the invoice if there is one.

        :param values: What :meth:`.Changes.check` has checked.
        :raises ApiError: A ``card_error`` (402) with ``error_if_incomplete`` if the
            card is refused. Then nothing is changed.
        """
        on_session = not values.get("off_session")
        behavior = values.get("payment_behavior") or "allow_incomplete"
        waits = False

        if behavior in ("error_if_incomplete", "pending_if_incomplete"):
            decline = self._rehearse_change(subscription, values, on_session)
            waits = decline is not None

            if decline is not None and behavior == "error_if_incomplete":
                raise decline.to_error()

        self._steps.pending_updates.expire_before(subscription, values)
        was_trialing = subscription["status"] == "trialing"
        notice_due = False

        with self.world.changing(subscription, UPDATED):
            hidden = self.world.hidden_of(subscription)
            before = clone(subscription), clone(hidden)
            invoice = self.changes.apply(subscription, values)
            trial_end = subscription["trial_end"]

            if waits:
                self._steps.pending_updates.hold(subscription, *before, values)
            elif "trial_end" in values and trial_end is not None:
                soon = trial_end - TRIAL_NOTICE <= self.world.clock.now()
                notice_due = soon and not (was_trialing and hidden["trial_notice_sent"])
                hidden["trial_notice_sent"] = soon

        if notice_due:
            self._steps.announce_trial_end(subscription)

        if invoice is not None:
            self._collection.collect(
                subscription,
                invoice,
                on_session=on_session,
                attempt=behavior != "default_incomplete",
            )

        self._steps.schedule(subscription)

    def _rehearse_change(
        self, subscription: Object, values: dict[str, Any], on_session: bool
    ) -> Decline | None:
        """Return why the invoice of a change, if it has one, could not be paid."""
        coupons = self.changes.coupons_of(values)

        with self._steps.rehearsal(subscription, *coupons):
            invoice = self.changes.apply(subscription, values)

            if invoice is None:
                return None

            return self._collection.refusal(
                subscription, invoice, on_session=on_session
            )

    def change_items(
        self, subscription: Object, values: dict[str, Any], item: dict[str, Any]
    ) -> None:
        """Change one item, as the calls for single items do.

        :param values: The parameters that are about the subscription.
        :param item: Those about the item.
        """
        update = {**values, "items": [item]}
        self.changes.check(subscription, update)
        self.change(subscription, update)

    def cancel_at_period_end_in_portal(
        self, subscription: Object, details: dict[str, Any]
    ) -> None:
        """Schedule the end as the customer portal does.

        Flexible billing gets a ``cancel_at`` and ``cancel_at_period_end`` stays false;
        classic billing gets both.

        :param details: Why: ``feedback`` and ``comment``, as far as they were given.

        Source: https://docs.stripe.com/billing/subscriptions/billing-mode/compare
        """
        classic = subscription["billing_mode"]["type"] == "classic"

        with self.world.on_clock_of(subscription):
            with self.world.changing(subscription, UPDATED):
                self._transitions.schedule_end(
                    subscription, period_end(subscription, max)
                )
                subscription["cancel_at_period_end"] = classic
                subscription["cancellation_details"].update(details)

            self._steps.schedule(subscription)

    def undo_cancel(self, subscription: Object) -> None:
        """Take a scheduled end back, as the customer portal does."""
        with self.world.on_clock_of(subscription):
            with self.world.changing(subscription, UPDATED):
                self._transitions.unschedule_end(subscription)

            self._steps.schedule(subscription)


def _matches(subscription: Object, wanted: Params) -> bool:
    """Does a subscription fit the filters of a list?"""
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
