"""What one app has: its settings, its client, its tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any
from typing import Final

import requests
from flask import current_app
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from urllib3 import Timeout

from .config import Settings
from .database.keys import Keys
from .database.ledger import Ledger
from .database.models import StripeEventMixin
from .database.models import StripeSubscriptionMixin
from .database.models import StripeUserMixin
from .database.payers import Payers
from .database.rows import SubscriptionRows
from .database.setup import find_model
from .database.statements import Sender
from .errors import ConfigurationError
from .registry import HandlerRegistry
from .stripe_api.client import StripeClient
from .subscriptions import Subscription
from .subscriptions import SubscriptionColumns
from .subscriptions import UNKNOWN_STATUS

EXTENSION_KEY: Final = "kavach_stripe"

#: Seconds that reading from Stripe may take in a webhook.
WEBHOOK_TIMEOUT: Final = 8


def make_client(
    settings: Settings, session: requests.Session | None = None
) -> StripeClient:
    """The client of an app.

    :param session: What sends the requests, in place of a session of its own.
    """
    return StripeClient(
        settings.secret_key,
        api_version=settings.api_version,
        base_url=settings.api_base,
        timeout=settings.timeout,
        max_network_retries=settings.max_network_retries,
        session=session,
    )


class State:
    """The extension's part of one app, in ``app.extensions["kavach_stripe"]``."""

    def __init__(
        self,
        settings: Settings,
        client: StripeClient,
        db: SQLAlchemy,
        registry: HandlerRegistry,
        *,
        enqueue: Callable[[str], object] | None,
        user_model: type[Any] | None,
        event_model: type[StripeEventMixin],
        subscription_model: type[StripeSubscriptionMixin],
    ) -> None:
        self.db = db
        self.registry = registry
        #: Takes the ids of events whose handlers run elsewhere.
        self.enqueue = enqueue
        self.event_model = event_model
        self.subscription_model = subscription_model
        self._user_model = user_model
        self.ledger: Final = Ledger(event_model)
        self.rows: Final = SubscriptionRows(subscription_model, self.ledger)
        self.sender: Final = Sender()
        self.use(settings, client)

    def use(self, settings: Settings, client: StripeClient) -> None:
        """Talk to this Stripe from now on; tests put another one in its place."""
        self.settings = settings
        self.client = client
        #: One try, so that a webhook is answered before Stripe stops waiting.
        self.webhook_client: StripeClient = client.with_options(
            timeout=Timeout(total=WEBHOOK_TIMEOUT), max_network_retries=0
        )

    @property
    def session(self) -> Session:
        """The session of the current app context."""
        return self.db.session()

    @cached_property
    def payers(self) -> Payers:
        """The users who pay. Their model may be defined after ``init_app``.

        :raises ConfigurationError: If there is no such model.
        """
        user_model = self._user_model or find_model(self.db, StripeUserMixin)

        if user_model is None:
            raise ConfigurationError(
                "No model with 'StripeUserMixin' is mapped. Add the mixin to your user"
                " model, and import that model before the first request."
            )

        return Payers(Keys(user_model), self.rows, self.ledger)

    @property
    def models(self) -> tuple[type[Any], ...]:
        """The models of the three tables."""
        return self.payers.user_model, self.event_model, self.subscription_model

    def describe(self, columns: SubscriptionColumns) -> Subscription | None:
        """What the columns say, for the app; ``None`` if they name no subscription."""
        if columns.subscription_id is None:
            return None

        return Subscription(
            id=columns.subscription_id,
            status=columns.status or UNKNOWN_STATUS,
            price_id=columns.price_id,
            current_period_end=columns.current_period_end,
            cancel_at_period_end=columns.cancel_at_period_end,
            active_statuses=self.settings.active_statuses,
            price_names=self.settings.price_names,
        )


def get_state(app: Flask | None = None) -> State:
    """The state of an app, by default of the current one.

    :raises RuntimeError: If the app has no ``KavachStripe``, or none is given outside
        of an app context.
    """
    try:
        state: State = (app or current_app).extensions[EXTENSION_KEY]
    except KeyError:
        raise RuntimeError(
            "The Flask app is not registered with 'KavachStripe'. Did you"
            " forget to call 'init_app'?"
        ) from None

    return state
