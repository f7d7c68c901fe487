"""The resources of one account, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .clock import Clock
from .clock import DAY
from .faults import Faults
from .hosted.checkout_sessions import CheckoutSessions
from .hosted.portal_actions import PortalActions
from .hosted.portal_configurations import PortalConfigurations
from .hosted.portal_rules import PortalRules
from .hosted.portal_sessions import PortalSessions
from .idempotency import IdempotencyKeys
from .money.catalogue import Prices
from .money.catalogue import Products
from .money.charges import Charges
from .money.discounts import Coupons
from .money.discounts import Discounts
from .money.discounts import PromotionCodes
from .money.invoice_payments import InvoicePayments
from .money.invoices import Invoices
from .money.payment_methods import PaymentMethods
from .money.payments import PaymentIntents
from .notifications.delivery import Delivery
from .notifications.delivery import Sender
from .notifications.endpoints import WebhookEndpoints
from .notifications.event_destinations import EventDestinations
from .notifications.event_log import Events
from .notifications.event_log import ThinEvents
from .object_store import Object
from .object_store import Store
from .recurring.collection import Collection
from .recurring.customer_calls import Customers
from .recurring.invoice_actions import InvoiceActions
from .recurring.paying import Paying
from .recurring.pending_updates import PendingUpdates
from .recurring.periods import Periods
from .recurring.previews import Previews
from .recurring.steps import Cycle
from .recurring.subscription_calls import Subscriptions
from .recurring.subscription_items import SubscriptionItems
from .recurring.test_clocks import TestClocks
from .recurring.transitions import Transitions
from .rendering import Renderer
from .timeline import Life
from .world import BillingSettings
from .world import Core

#: A longer way through the years of a subscriber would take minutes.
_FARTHEST = 100 * 365 * DAY


class Account:
    """One Stripe account in one sandbox.

    :param api_key: The secret key that the API asks for.
    :param settings: What the account has chosen in its Dashboard.
    """

    def __init__(
        self,
        api_key: str,
        clock: Clock,
        store: Store,
        faults: Faults,
        send: Sender,
        retry_delays: Sequence[float],
        settings: BillingSettings,
    ) -> None:
        self.api_key = api_key
        self.clock = clock
        self.store = store
        core: Final = Core(clock, store, self._deliver, settings)
        self.core: Final = core
        self.faults = faults
        self.delivery: Final = Delivery(core, faults, send, retry_delays=retry_delays)
        self.idempotency_keys: Final = IdempotencyKeys(clock)

        self.payment_methods: Final = PaymentMethods(core)
        self.prices: Final = Prices(core)
        self.products: Final = Products(core, self.prices)
        self.coupons: Final = Coupons(core)
        self.promotion_codes: Final = PromotionCodes(core)
        self.discounts: Final = Discounts(core, self.promotion_codes)
        self.charges: Final = Charges(core)
        self.payments: Final = PaymentIntents(core, self.payment_methods, self.charges)
        self.invoice_payments: Final = InvoicePayments(core, self.payments)
        self.invoices: Final = Invoices(core, self.payments, self.discounts)
        self.cycle: Final = _cycle(
            core, self.invoices, self.payment_methods, self.discounts
        )
        self.paying: Final = Paying(
            core, self.cycle, self.invoices, self.payments, self.payment_methods
        )
        self.invoice_actions: Final = InvoiceActions(core, self.cycle, self.invoices)
        self.subscriptions: Final = Subscriptions(
            core, self.cycle, self.prices, self.payment_methods, self.discounts
        )
        self.subscription_items: Final = SubscriptionItems(core, self.subscriptions)
        self.customers: Final = Customers(
            core, self.subscriptions, self.payment_methods
        )
        self.previews: Final = Previews(
            core, self.cycle, self.customers, self.subscriptions
        )
        self.checkout: Final = CheckoutSessions(
            core,
            self.prices,
            self.customers,
            self.payment_methods,
            self.subscriptions,
            self.discounts,
            self.promotion_codes,
        )
        self.portal_configurations: Final = PortalConfigurations(core)
        self.portal_rules: Final = PortalRules(core, self.promotion_codes)
        self.portal_sessions: Final = PortalSessions(
            core, self.customers, self.portal_configurations, self.portal_rules
        )
        self.portal: Final = PortalActions(
            core,
            self.portal_configurations,
            self.portal_rules,
            self.customers,
            self.payment_methods,
            self.subscriptions,
            self.previews,
        )
        self.test_clocks: Final = TestClocks(core)
        self.events: Final = Events(core)
        self.event_destinations: Final = EventDestinations(core)
        self.thin_events: Final = ThinEvents(core)
        self.webhook_endpoints: Final = WebhookEndpoints(core)
        self.life: Final = Life(
            core, self.cycle, self.checkout, self.customers, self.test_clocks
        )
        self.renderer: Final = Renderer(core)

    def advance_to(self, moment: int) -> None:
        """Move the clock, stopping where something becomes due or is to be sent.

        So a webhook is on its way while its time is the present. Returns when the
        webhooks were sent once. Whoever calls does not hold the lock.

        :raises ValueError: If ``moment`` is past, or more than 100 years away.
        """
        stop = self.clock.now()

        if moment < stop:
            raise ValueError(
                f"The clock only moves forward: it is {stop}, after {moment}."
            )

        if moment - stop > _FARTHEST:
            raise ValueError(
                f"From {stop} to {moment} are more than 100 years, too many at once."
            )

        while True:
            with self.store.lock:
                self.life.advance(max(0, stop - self.clock.now()))

            self.delivery.drain()

            if stop >= moment:
                return

            now = self.clock.now()
            due = (self.core.next_alarm_at, self.delivery.next_due)
            stop = min([moment, *(at for at in due if at is not None and at > now)])

    def _deliver(self, event: Object) -> None:
        hidden = self.store.hidden[event["id"]]
        hidden["payloads"] = self.renderer.payloads(event, hidden["endpoints"])
        self.delivery.enqueue(event, hidden["endpoints"])


def _cycle(
    core: Core,
    invoices: Invoices,
    payment_methods: PaymentMethods,
    discounts: Discounts,
) -> Cycle:
    """Put the parts of a subscription's life together."""
    pending_updates = PendingUpdates(core, invoices)
    transitions = Transitions(core, invoices, pending_updates)
    collection = Collection(
        core, invoices, payment_methods, pending_updates, transitions
    )
    periods = Periods(core, invoices, discounts)
    return Cycle(
        core, periods, collection, transitions, pending_updates, payment_methods
    )
