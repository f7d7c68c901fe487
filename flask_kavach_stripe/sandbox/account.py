"""The resources of one account, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .clock import Clock
from .core import Core
from .delivery import Delivery
from .delivery import Sender
from .idempotency import IdempotencyKeys
from .life import Life
from .rendering import Renderer
from .resources.catalogue import Prices
from .resources.catalogue import Products
from .resources.checkout import CheckoutSessions
from .resources.customers import Customers
from .resources.events import Events
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
        send: Sender,
        retry_delays: Sequence[float],
    ) -> None:
        self.api_key = api_key
        self.clock = clock
        self.store = store
        self.core: Final = Core(clock, store, self._deliver)
        self.delivery: Final = Delivery(self.core, send, retry_delays=retry_delays)
        self.idempotency_keys: Final = IdempotencyKeys(clock)

        self.payment_methods: Final = PaymentMethods(self.core)
        self.prices: Final = Prices(self.core)
        self.products: Final = Products(self.core, self.prices)
        self.invoices: Final = Invoices(self.core, self.payment_methods)
        self.subscriptions: Final = Subscriptions(self.core, self.invoices, self.prices)
        self.customers: Final = Customers(self.core, self.subscriptions)
        self.checkout: Final = CheckoutSessions(
            self.core,
            self.prices,
            self.customers,
            self.payment_methods,
            self.subscriptions,
        )
        self.portal: Final = PortalSessions(self.core, self.customers)
        self.events: Final = Events(self.core)
        self.webhook_endpoints: Final = WebhookEndpoints(self.core)
        self.life: Final = Life(self.core, self.subscriptions, self.checkout)
        self.renderer: Final = Renderer(store, self.checkout)

    def _deliver(self, event: Object) -> None:
        self.delivery.enqueue(event, self.store.hidden[event["id"]]["endpoints"])
