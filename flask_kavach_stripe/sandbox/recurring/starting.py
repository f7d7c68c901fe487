"""How subscriptions start: by a call of the API, or from a Checkout session.

Source: https://docs.stripe.com/billing/subscriptions/overview
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clock import DAY
from ..money.discounts import Discounts
from ..money.item_prices import is_metered
from ..money.item_prices import refuse_quantity
from ..money.payment_methods import PaymentMethods
from ..object_store import Object
from ..params import merge_metadata
from ..sandbox_errors import ApiError
from ..sandbox_errors import parameter_missing
from ..world import World
from .changes import Changes
from .steps import Steps
from .steps import TRIAL_NOTICE
from .subscription_object import FINAL
from .subscription_object import new_subscription


class Starting:
    """Makes subscriptions, and has their first invoice paid.

    The order of events: ``customer.updated`` if the customer has no currency yet,
    ``customer.subscription.created``, ``customer.subscription.trial_will_end`` for a
    trial of three days or less, then the events of the first invoice.
    """

    def __init__(
        self,
        world: World,
        steps: Steps,
        changes: Changes,
        payment_methods: PaymentMethods,
        discounts: Discounts,
    ) -> None:
        self._world = world
        self._steps = steps
        self._collection = steps.collection
        self._changes = changes
        self._payment_methods = payment_methods
        self._discounts = discounts

    def start(self, customer: Object, values: dict[str, Any]) -> Object:
        """Start a subscription that a call asks for.

        It is rehearsed first, to know what its first invoice costs and whether the card
        pays it: the status in ``customer.subscription.created`` depends on that.

        :param values: What :data:`.subscription_params.CREATE` reads.
        :raises ApiError: If an item or time is wrong; ``resource_missing`` if there is
            no card for an invoice; a ``card_error`` (402) with
            ``payment_behavior=error_if_incomplete``.
        """
        lines = self._check_create(customer, values)
        behavior = values.get("payment_behavior") or "allow_incomplete"
        on_session = not values.get("off_session")

        with self._world.rehearsal(customer, *self._changes.coupons_of(values)):
            subscription, invoice = self._build(customer, lines, values)
            decline = self._collection.refusal(
                subscription, invoice, on_session=on_session
            )
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
        self._collection.collect(
            subscription,
            invoice,
            on_session=on_session,
            attempt=behavior != "default_incomplete",
        )
        self._steps.schedule(subscription)
        return subscription

    def start_paid(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        *,
        payment_method_id: str | None,
        trial_end: int | None,
        values: dict[str, Any],
        session_id: str | None = None,
    ) -> Object:
        """Start a subscription with a first payment that has succeeded.

        :param lines: Prices and quantities.
        :param payment_method_id: The card that pays the renewals, if one was asked for.
        :param trial_end: Unix seconds; ``None`` without a trial.
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
        self._collection.collect(subscription, invoice, collected=True)
        self._steps.schedule(subscription)
        return subscription

    def rehearse(self, customer: Object, values: dict[str, Any]) -> Object:
        """Return the first invoice of a subscription that is not started.

        :param values: What :data:`.subscription_params.CREATE` reads.
        :raises ApiError: As :meth:`start` does, except for cards.
        """
        lines = self._check_create(customer, values)

        with self._world.rehearsal(customer, *self._changes.coupons_of(values)):
            return self._build(customer, lines, values)[1]

    def _check_create(
        self, customer: Object, values: dict[str, Any]
    ) -> Sequence[tuple[Object, int]]:
        """Check what a new subscription asks for.

        :returns: Prices and quantities.
        :raises ApiError: For times that are past or said twice; for a card, price or
            discount that cannot be used; for items in several currencies.
        """
        self._changes.check_times(values)

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
            price = self._changes.read_price(entry, f"items[{index}]")

            if price is None:
                raise parameter_missing(f"items[{index}][price]")

            quantity = entry.get("quantity")
            refuse_quantity(price, quantity, f"items[{index}]")
            default = 0 if is_metered(price) else 1
            lines.append((price, default if quantity is None else quantity))

        if len({price["currency"] for price, _ in lines}) > 1:
            raise ApiError("All prices must have the same currency.", param="items")

        self.check_currency(customer, lines[0][0]["currency"])
        self._changes.find_discounts(customer, lines, values)
        return lines

    def check_currency(self, customer: Object, currency: str) -> None:
        """Check that a customer pays in one currency.

        :raises ApiError: If a running subscription has another one. As Stripe's, it has
            no code.
        """
        for subscription in self._world.store.all("subscription"):
            if (
                subscription["customer"] == customer["id"]
                and subscription["status"] not in FINAL
                and subscription["currency"] != currency
            ):
                raise ApiError(
                    "You cannot combine currencies on a single customer. This customer"
                    " has an active subscription, subscription schedule, discount,"
                    " quote, or invoice item with currency"
                    f" {subscription['currency']}."
                )

    def _build(
        self,
        customer: Object,
        lines: Sequence[tuple[Object, int]],
        values: dict[str, Any],
        session_id: str | None = None,
    ) -> tuple[Object, Object]:
        """Make a subscription and the draft of its first invoice; no event is sent."""
        store, now = self._world.store, self._world.clock.now()
        trial_end = values.get("trial_end")

        if trial_end == "now":
            trial_end = None

        if days := values.get("trial_period_days"):
            trial_end = now + days * DAY

        subscription = new_subscription(self._world, customer, lines, values, trial_end)
        store.add(
            subscription,
            billed={},
            pending=[],
            pending_update=None,
            resumes_with=None,
            trial_notice_sent=False,
            upcoming_announced=None,
        )

        for coupon, code in self._changes.find_discounts(customer, lines, values):
            self._discounts.redeem(
                coupon, code, subscription=subscription, session_id=session_id
            )

        items = subscription["items"]["data"]

        for item, entry in zip(items, values.get("items") or (), strict=False):
            item["metadata"] = merge_metadata({}, entry.get("metadata"))

        invoice = self._steps.periods.begin_periods(
            subscription, items, "subscription_create"
        )
        self._changes.apply_end(subscription, values)
        return subscription, invoice

    def _introduce(self, customer: Object, subscription: Object) -> None:
        """Send the events of a new subscription."""
        if customer["currency"] is None:
            with self._world.changing(customer, "customer.updated"):
                customer["currency"] = subscription["currency"]

        self._world.emit("customer.subscription.created", subscription)
        trial_end = subscription["trial_end"]

        if (
            trial_end is not None
            and trial_end - TRIAL_NOTICE <= self._world.clock.now()
        ):
            self._steps.announce_trial_end(subscription)
