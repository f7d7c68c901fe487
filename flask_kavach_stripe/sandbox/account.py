"""The parts of one Stripe account, put together.

This is the only module that knows all of them. The API finds its handlers here by name,
and the pages call the same objects.
"""

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
from .money.charges import Charges
from .money.discounts import Coupons
from .money.discounts import Discounts
from .money.discounts import PromotionCodes
from .money.invoice_payments import InvoicePayments
from .money.invoices import Invoices
from .money.payment_methods import PaymentMethods
from .money.payments import PaymentIntents
from .money.products_and_prices import Prices
from .money.products_and_prices import Products
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
from .recurring.steps import Steps
from .recurring.subscription_calls import Subscriptions
from .recurring.subscription_items import SubscriptionItems
from .recurring.test_clocks import TestClocks
from .recurring.transitions import Transitions
from .rendering import Renderer
from .timeline import Timeline
from .world import BillingSettings
from .world import World

#: A longer way through the years of a subscriber would take minutes.
_FARTHEST = 100 * 365 * DAY


class Account:
    """One Stripe account in one sandbox.

    Each attribute is a kind of object with the calls of its API, or a part that several
    kinds share. The order of construction is the order of dependence: money,
    subscriptions, customers, hosted pages, events.

    :param api_key: The secret key that the API asks for.
    :param send: Brings webhooks to their URL.
    :param retry_delays: Seconds before each further attempt to deliver a webhook.
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
        world: Final = World(clock, store, self._deliver, settings)
        self.world: Final = world
        self.faults = faults
        self.delivery: Final = Delivery(world, faults, send, retry_delays=retry_delays)
        self.idempotency_keys: Final = IdempotencyKeys(clock)

        self.payment_methods: Final = PaymentMethods(world)
        self.prices: Final = Prices(world)
        self.products: Final = Products(world, self.prices)
        self.coupons: Final = Coupons(world)
        self.promotion_codes: Final = PromotionCodes(world)
        self.discounts: Final = Discounts(world, self.promotion_codes)
        self.charges: Final = Charges(world)
        self.payments: Final = PaymentIntents(world, self.payment_methods, self.charges)
        self.invoice_payments: Final = InvoicePayments(world, self.payments)
        self.invoices: Final = Invoices(world, self.payments, self.discounts)
        self.steps: Final = _steps(
            world, self.invoices, self.payment_methods, self.discounts
        )
        self.paying: Final = Paying(
            world, self.steps, self.invoices, self.payments, self.payment_methods
        )
        self.invoice_actions: Final = InvoiceActions(world, self.steps, self.invoices)
        self.subscriptions: Final = Subscriptions(
            world, self.steps, self.prices, self.payment_methods, self.discounts
        )
        self.subscription_items: Final = SubscriptionItems(world, self.subscriptions)
        self.customers: Final = Customers(
            world, self.subscriptions, self.payment_methods
        )
        self.previews: Final = Previews(
            world, self.steps, self.customers, self.subscriptions
        )
        self.checkout: Final = CheckoutSessions(
            world,
            self.prices,
            self.customers,
            self.payment_methods,
            self.subscriptions,
            self.discounts,
            self.promotion_codes,
        )
        self.portal_configurations: Final = PortalConfigurations(world)
        self.portal_rules: Final = PortalRules(world, self.promotion_codes)
        self.portal_sessions: Final = PortalSessions(
            world, self.customers, self.portal_configurations, self.portal_rules
        )
        self.portal: Final = PortalActions(
            world,
            self.portal_configurations,
            self.portal_rules,
            self.customers,
            self.payment_methods,
            self.subscriptions,
            self.previews,
        )
        self.test_clocks: Final = TestClocks(world)
        self.events: Final = Events(world)
        self.event_destinations: Final = EventDestinations(world)
        self.thin_events: Final = ThinEvents(world)
        self.webhook_endpoints: Final = WebhookEndpoints(world)
        self.timeline: Final = Timeline(
            world, self.steps, self.checkout, self.customers, self.test_clocks
        )
        self.renderer: Final = Renderer(world)

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
                self.timeline.advance(max(0, stop - self.clock.now()))

            self.delivery.drain()

            if stop >= moment:
                return

            now = self.clock.now()
            due = (self.world.next_alarm_at, self.delivery.next_due)
            stop = min([moment, *(at for at in due if at is not None and at > now)])

    def _deliver(self, event: Object) -> None:
        """Write a new event for each of its endpoints, and put it in the queue.

        The store's lock is held. Nothing is sent here.
        """
        hidden = self.store.hidden[event["id"]]
        hidden["payloads"] = self.renderer.payloads(event, hidden["endpoints"])
        self.delivery.enqueue(event, hidden["endpoints"])


def _steps(
    world: World,
    invoices: Invoices,
    payment_methods: PaymentMethods,
    discounts: Discounts,
) -> Steps:
    """Put together what subscriptions do by themselves."""
    pending_updates = PendingUpdates(world, invoices)
    transitions = Transitions(world, invoices, pending_updates)
    collection = Collection(
        world, invoices, payment_methods, pending_updates, transitions
    )
    periods = Periods(world, invoices, discounts)
    return Steps(
        world, periods, collection, transitions, pending_updates, payment_methods
    )
