"""The resources of one account, put together."""

from __future__ import annotations

from collections.abc import Sequence

from .clock import Clock
from .core import Core
from .delivery import Delivery
from .delivery import Sender
from .faults import Faults
from .idempotency import IdempotencyKeys
from .life import Life
from .rendering import Renderer
from .resources.catalogue import Prices
from .resources.catalogue import Products
from .resources.checkout import CheckoutSessions
from .resources.customers import Customers
from .resources.event_destinations import EventDestinations
from .resources.events import Events
from .resources.events import ThinEvents
from .resources.invoices import Invoices
from .resources.payment_methods import PaymentMethods
from .resources.portal import PortalSessions
from .resources.subscriptions import Subscriptions
from .resources.webhook_endpoints import WebhookEndpoints
from .store import Object
from .store import Store


class Account:
    """One Stripe account in one sandbox.

    :param api_key: The secret key that the API asks for.
    """

    def __init__(
        self,
        api_key: str,
        clock: Clock,
        store: Store,
        faults: Faults,
        send: Sender,
        retry_delays: Sequence[float],
    ) -> None:
        self.api_key = api_key
        self.clock = clock
        self.store = store
        self.core = Core(clock, store, self._deliver)
        self.faults = faults
        self.delivery = Delivery(self.core, faults, send, retry_delays=retry_delays)
        self.idempotency_keys = IdempotencyKeys(clock)

        self.payment_methods = PaymentMethods(self.core)
        self.prices = Prices(self.core)
        self.products = Products(self.core, self.prices)
        self.invoices = Invoices(self.core, self.payment_methods)
        self.subscriptions = Subscriptions(self.core, self.invoices, self.prices)
        self.customers = Customers(self.core, self.subscriptions)
        self.checkout = CheckoutSessions(
            self.core,
            self.prices,
            self.customers,
            self.payment_methods,
            self.subscriptions,
        )
        self.portal = PortalSessions(self.core, self.customers)
        self.events = Events(self.core)
        self.event_destinations = EventDestinations(self.core)
        self.thin_events = ThinEvents(self.core)
        self.webhook_endpoints = WebhookEndpoints(self.core)
        self.life = Life(self.core, self.subscriptions, self.checkout)
        self.renderer = Renderer(self.core, self.checkout)

    def advance_to(self, moment: int) -> None:
        """Move the clock, stopping where something becomes due or is to be sent.

        So a webhook is on its way while its time is the present. Returns when the
        webhooks were sent once. Whoever calls does not hold the lock.

        :raises ValueError: If ``moment`` is past.
        """
        if moment < self.clock.now():
            raise ValueError(
                f"The clock only moves forward: it is {self.clock.now()}, after"
                f" {moment}."
            )

        stop = self.clock.now()

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
