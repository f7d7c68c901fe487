"""The resources of one account, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .clock import Clock
from .clock import DAY
from .core import BillingSettings
from .core import Core
from .delivery import Delivery
from .delivery import Sender
from .faults import Faults
from .idempotency import IdempotencyKeys
from .life import Life
from .rendering import Renderer
from .resources.catalogue import Prices
from .resources.catalogue import Products
from .resources.charges import Charges
from .resources.checkout import CheckoutSessions
from .resources.collection import Collection
from .resources.customers import Customers
from .resources.cycle import Cycle
from .resources.discounts import Coupons
from .resources.discounts import Discounts
from .resources.discounts import PromotionCodes
from .resources.event_destinations import EventDestinations
from .resources.events import Events
from .resources.events import ThinEvents
from .resources.invoice_actions import InvoiceActions
from .resources.invoice_payments import InvoicePayments
from .resources.invoices import Invoices
from .resources.paying import Paying
from .resources.payment_methods import PaymentMethods
from .resources.payments import PaymentIntents
from .resources.pending_updates import PendingUpdates
from .resources.periods import Periods
from .resources.portal_actions import PortalActions
from .resources.portal_configurations import PortalConfigurations
from .resources.portal_rules import PortalRules
from .resources.portal_sessions import PortalSessions
from .resources.previews import Previews
from .resources.subscription_items import SubscriptionItems
from .resources.subscriptions import Subscriptions
from .resources.test_clocks import TestClocks
from .resources.transitions import Transitions
from .resources.webhook_endpoints import WebhookEndpoints
from .store import Object
from .store import Store

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
