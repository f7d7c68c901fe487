"""What one app has: its settings, its client, its tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any
from typing import Final
from typing import TypeVar

import requests
from flask import current_app
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import inspect
from sqlalchemy.orm import Session
from urllib3 import Timeout

from .accounts import Accounts
from .client import StripeClient
from .config import Settings
from .errors import ConfigurationError
from .ledger import Ledger
from .models import StripeEventMixin
from .models import StripeSubscriptionMixin
from .models import StripeUserMixin
from .subscriptions import Subscription
from .subscriptions import SubscriptionColumns
from .subscriptions import UNKNOWN_STATUS
from .webhooks import HandlerRegistry
from .writes import Sender

EXTENSION_KEY: Final = "kavach_stripe"

#: Seconds that reading from Stripe may take in a webhook.
WEBHOOK_TIMEOUT: Final = 8

M = TypeVar("M")


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
    def accounts(self) -> Accounts:
        """The users and their subscriptions. The model may be defined late."""
        user_model = self._user_model or find_model(self.db, StripeUserMixin)

        if user_model is None:
            raise ConfigurationError(
                "No model with 'StripeUserMixin' is mapped. Add the mixin to your user"
                " model, and import that model before the first request."
            )

        return Accounts(user_model, self.subscription_model, self.ledger)

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


def find_model(db: SQLAlchemy, mixin: type[M]) -> type[M] | None:
    """The one class with a mixin that is mapped on a database.

    :raises ConfigurationError: If there are two. Subclasses of a candidate do not
        count.
    """
    classes = [
        mapper.class_
        for mapper in db.Model.registry.mappers  # type: ignore[attr-defined]  # see below
        if issubclass(mapper.class_, mixin)
    ]
    candidates = [
        model
        for model in classes
        if not any(model is not other and issubclass(model, other) for other in classes)
    ]

    if len(candidates) > 1:
        names = ", ".join(sorted(repr(model.__name__) for model in candidates))
        raise ConfigurationError(
            f"Several models have {mixin.__name__!r}: {names}. Tell 'KavachStripe'"
            " which one to use."
        )

    return candidates[0] if candidates else None


def missing_tables(state: State) -> list[str]:
    """The tables and columns of ours that the database does not have."""
    engine_of = state.session.get_bind
    missing = []

    for model in (
        state.accounts.user_model,
        state.event_model,
        state.subscription_model,
    ):
        inspector = inspect(engine_of(mapper=inspect(model)))
        table = inspect(model).local_table
        name, schema = table.name, table.schema

        if not inspector.has_table(name, schema=schema):
            missing.append(name)
            continue

        present = {column["name"] for column in inspector.get_columns(name, schema)}
        missing += [
            f"{name}.{column.name}"
            for column in table.columns
            if column.name not in present
        ]

    return missing


def get_state() -> State:
    """The state of the current app.

    :raises RuntimeError: Outside of an app context, or if the app has no
        ``KavachStripe``.
    """
    return get_state_of(current_app)


def get_state_of(app: Flask) -> State:
    """The state of an app.

    :raises RuntimeError: If it has no ``KavachStripe``.
    """
    try:
        state: State = app.extensions[EXTENSION_KEY]
    except KeyError:
        raise RuntimeError(
            "The Flask app is not registered with 'KavachStripe'. Did you"
            " forget to call 'init_app'?"
        ) from None

    return state
