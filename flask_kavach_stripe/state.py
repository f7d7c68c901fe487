"""What one app has: its settings, its client, its tables.

``init_app`` makes one :class:`State` for each app. Everything below the views takes it
as an argument and finds the rest through it, so two apps in one process never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any
from typing import Final

import requests
from flask import current_app
from flask import Flask
from flask import has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from urllib3 import Timeout

from .config import Settings
from .customer_state import SubscriptionColumns
from .database.keys import Keys
from .database.ledger import Ledger
from .database.models import StripeEventMixin
from .database.models import StripeSubscriptionMixin
from .database.models import StripeUserMixin
from .database.payers import Payers
from .database.rows import SubscriptionRows
from .database.setup import find_model
from .database.writes import Sender
from .errors import ConfigurationError
from .marks import Marker
from .registry import HandlerRegistry
from .stripe_api.client import StripeClient
from .stripe_api.objects import now as utc_now
from .stripe_api.objects import SubscriptionState
from .subscription import Subscription

EXTENSION_KEY: Final = "kavach_stripe"

#: The longest time that one call to Stripe may take in a webhook, in seconds.
WEBHOOK_TIMEOUT: Final = 8


def make_client(
    settings: Settings, session: requests.Session | None = None
) -> StripeClient:
    """Build the client for an app's settings. It sends nothing yet.

    :param session: The session that sends the requests, such as one that leads to a
        local sandbox. By default the client opens its own.
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
    """The extension's part of one app, in ``app.extensions["kavach_stripe"]``.

    :param registry: The handlers, shared by all apps of one ``KavachStripe``.
    :param enqueue: Takes the ids of events, and their handlers run elsewhere. ``None``:
        they run in the webhook.
    :param user_model: ``None`` for the one class with the mixin, which may be defined
        later.
    """

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
        self.enqueue = enqueue
        self.event_model = event_model
        self.subscription_model = subscription_model
        self._user_model = user_model
        self.ledger: Final = Ledger(event_model)
        self.rows: Final = SubscriptionRows(subscription_model, self.ledger)
        self.sender: Final = Sender()
        self.use(settings, client)

    def use(
        self,
        settings: Settings,
        client: StripeClient,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Set or replace the settings and the client together.

        Tests connect an app that is running to a sandbox, and back again.
        """
        self.settings = settings
        self.client = client
        #: The current time; of a sandbox, where tests connect one.
        self.now = now
        #: Tries once and briefly: a webhook should be answered before Stripe gives the
        #: delivery up. If the call fails, Stripe sends the event again.
        self.webhook_client: StripeClient = client.with_options(
            timeout=Timeout(total=WEBHOOK_TIMEOUT), max_network_retries=0
        )

    @property
    def session(self) -> Session:
        """The session of the current app context, the same that the app uses."""
        return self.db.session()

    @cached_property
    def payers(self) -> Payers:
        """The users who pay, in the table of the user model.

        Built at the first use, as the user model may be defined after ``init_app``. An
        error is not kept: the next use looks for the model again.

        :raises ConfigurationError: If no model has the mixin, if several have, or if
            the primary key is not one column.
        """
        user_model = self._user_model or find_model(self.db, StripeUserMixin)

        if user_model is None:
            raise ConfigurationError(
                "No model with 'StripeUserMixin' is mapped. Add the mixin to your user"
                " model, and import that model before the first request."
            )

        return Payers(Keys(user_model), self.rows, self.ledger)

    @property
    def marker(self) -> Marker:
        """Makes and checks marks, with the current app's ``SECRET_KEY``.

        Read at each use, as an app may set the key after ``init_app``.
        """
        fallbacks = current_app.config.get("SECRET_KEY_FALLBACKS") or ()
        secrets = [secret for secret in (current_app.secret_key, *fallbacks) if secret]
        return Marker(secrets, self.payers.table_name)

    @property
    def models(self) -> tuple[type[Any], ...]:
        """The models of the three tables: users, events, subscriptions."""
        return self.payers.user_model, self.event_model, self.subscription_model

    def describe(
        self, columns: SubscriptionColumns, row: SubscriptionState | None = None
    ) -> Subscription | None:
        """The object that apps get for a user's columns.

        It knows the app's ``STRIPE_ACTIVE_STATUSES`` and ``STRIPE_PRICES``, which the
        columns do not.

        :param row: The subscription's row, if it was read already. Else the object
            reads it when it has to.
        :return: ``None`` if the columns name no subscription, as after the last one
            has ended.
        """
        return Subscription.describe(
            columns, self.settings.access, self.now(), row or read_row
        )

    def describe_state(
        self, known: SubscriptionState, *, has_row: bool = True
    ) -> Subscription | None:
        """The object that apps get for a row, also of a subscription that has ended.

        :param has_row: ``False`` if it was made of the user's columns alone.
        """
        columns = SubscriptionColumns.of(known, self.settings.catalogue)
        return Subscription.describe(
            columns, self.settings.access, self.now(), known if has_row else None
        )


def read_row(subscription_id: str) -> SubscriptionState | None:
    """Read the row of a subscription, in the current app. One query, without autoflush.

    :return: ``None`` if there is no row: the columns were filled before there were any.
    :raises RuntimeError: Outside of an app context.
    """
    if not has_app_context():
        raise RuntimeError(
            f"The row of subscription {subscription_id!r} is read when it is needed,"
            " which takes an app context. 'list_subscriptions' gives subscriptions that"
            " know their rows."
        )

    state = get_state()

    with state.session.no_autoflush:
        return state.rows.find(state.session, subscription_id)


def get_state(app: Flask | None = None) -> State:
    """The state of an app, by default of the current app.

    :raises RuntimeError: If the app has no ``KavachStripe``, or if no app is given and
        there is no app context.
    """
    try:
        state: State = (app or current_app).extensions[EXTENSION_KEY]
    except KeyError:
        raise RuntimeError(
            "The Flask app is not registered with 'KavachStripe'. Did you"
            " forget to call 'init_app'?"
        ) from None

    return state
