"""The extension object: wires the parts to an app.

:class:`KavachStripe` keeps what all apps share: the handlers and the arguments of its
constructor. What one app has is a :class:`.State` in ``app.extensions``, so that one
``KavachStripe`` can serve several apps of a factory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import requests
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from .billing import checkout
from .billing import customers
from .billing import portal
from .billing import refresh
from .billing import stored_subscriptions
from .billing import success
from .billing.user_deletion import protect_billed_users
from .cli.group import stripe_cli
from .config import Settings
from .database.models import StripeEventMixin
from .database.models import StripeSubscriptionMixin
from .database.models import StripeUserMixin
from .database.setup import own_model
from .errors import ConfigurationError
from .events import retry
from .events.receive import receive
from .events.run import raising_handlers_error
from .registry import H
from .registry import HandlerRegistry
from .registry import S
from .registry import SubscriptionHandler
from .state import EXTENSION_KEY
from .state import get_state
from .state import make_client
from .state import State
from .stripe_api.client import StripeClient
from .stripe_api.event import Event
from .views import add_webhook_paths
from .views import create_blueprint


class KavachStripe:
    """Stripe subscriptions for the users of a Flask app.

    :param app: Calls :meth:`init_app` at once.
    :param db: The Flask-SQLAlchemy object; by default the one of the app.
    :param user_model: The model of the users who pay; by default the one class with
        :class:`.StripeUserMixin` on this ``db``.
    :param event_model: Your own class with :class:`.StripeEventMixin`. By default the
        one such class on this ``db``, or else a class that :meth:`init_app` defines.
    :param subscription_model: Your own class with :class:`.StripeSubscriptionMixin`, by
        default found or defined in the same way.
    :param on_subscription_change: A function to register with
        :meth:`on_subscription_change`.
    :param enqueue: Passed on to :meth:`init_app`.
    :param http_session: A session of your own that sends the requests to Stripe, with
        its adapters, proxies and certificates. By default the extension makes one, with
        the proxies and the certificates of the environment.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        app: Flask | None = None,
        db: SQLAlchemy | None = None,
        user_model: type[StripeUserMixin] | None = None,
        *,
        event_model: type[StripeEventMixin] | None = None,
        subscription_model: type[StripeSubscriptionMixin] | None = None,
        on_subscription_change: SubscriptionHandler | None = None,
        enqueue: Callable[[str], object] | None = None,
        http_session: requests.Session | None = None,
    ) -> None:
        self._enqueue = enqueue
        self._http_session = http_session
        self._db = db
        self._user_model = user_model
        self._event_model = event_model
        self._subscription_model = subscription_model
        self._registry = HandlerRegistry()

        if on_subscription_change is not None:
            self._registry.on_subscription_change(on_subscription_change)

        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: Flask,
        db: SQLAlchemy | None = None,
        user_model: type[StripeUserMixin] | None = None,
        *,
        enqueue: Callable[[str], object] | None = None,
    ) -> None:
        """Set up an app: read its configuration, define the two tables, add the
        endpoints and the ``flask stripe`` commands.

        Call it after ``SQLAlchemy(app)`` and ``LoginManager(app)``. The user model may
        be defined later. Neither the database nor Stripe is reached.

        :param db: As for the constructor; here it counts for this app alone.
        :param user_model: As for the constructor; here it counts for this app alone.
        :param enqueue: Called with the id of each stored event that has handlers to
            run, so that a worker runs them with :meth:`process_event`. Without
            ``enqueue`` they run before the webhook is answered. If ``enqueue`` raises,
            the webhook is answered with 503, and Stripe sends the event again.
        :raises ConfigurationError: If a ``STRIPE_*`` key is wrong, there is no
            Flask-SQLAlchemy, or two classes have the same mixin.
        :raises RuntimeError: If the app has a ``KavachStripe`` already.
        """
        if EXTENSION_KEY in app.extensions:
            raise RuntimeError("A 'KavachStripe' is already registered on this app.")

        settings = Settings.from_app(app)
        db = db or self._db or app.extensions.get("sqlalchemy")

        if db is None:
            raise ConfigurationError(
                "No Flask-SQLAlchemy is registered on this app. Call 'init_app' after"
                " 'SQLAlchemy(app)', or give it as 'db'."
            )

        app.extensions[EXTENSION_KEY] = State(
            settings,
            make_client(settings, self._http_session),
            db,
            self._registry,
            enqueue=enqueue or self._enqueue,
            user_model=user_model or self._user_model,
            event_model=self._event_model or own_model(db, StripeEventMixin),
            subscription_model=self._subscription_model
            or own_model(db, StripeSubscriptionMixin),
        )
        self._registry.count_app()
        protect_billed_users()
        app.register_blueprint(create_blueprint(), url_prefix=settings.url_prefix)
        add_webhook_paths(app, settings.webhook_paths)
        app.cli.add_command(stripe_cli)

    @property
    def client(self) -> StripeClient:
        """The client of the current app, for calls of Stripe that have no helper here.

        :raises RuntimeError: Outside of an app context.
        """
        return get_state().client

    # -- handlers ----------------------------------------------------------------

    def on(self, *event_types: str) -> Callable[[H], H]:
        """Register a function that is called with each event of some types.

        .. code-block:: python

            @kavach_stripe.on("invoice.paid", "customer.subscription.*")
            def remember(event): ...

        Handlers run after the user's columns are committed, in order of registration
        and in one transaction of their own: what they write to ``db.session`` is
        written once, however often Stripe sends the event. If a handler raises, the
        writes of all handlers of this event are rolled back, the webhook is answered
        with 500, and Stripe sends the event again.

        Register handlers at module level. If the same definition is registered again,
        as in an app factory that is called twice, the new function replaces the former
        one, with a warning in the log.

        :param event_types: Stripe's types; ``*`` stands for any text. A type that
            Stripe does not have is a warning in the log, which names the nearest one.
        :return: A decorator that returns the function as it is.
        :raises TypeError: If no type is given, as in ``@kavach_stripe.on``.
        :raises ConfigurationError: By the decorator, if the function is ``async`` and
            ``asgiref`` is not installed.

        .. versionadded:: 0.1
        """
        return self._registry.on(*event_types)

    def on_subscription_change(self, handler: S) -> S:
        """Register a function that is called when a user's subscription has changed.

        It is called as ``handler(user, subscription)``, with the subscription as it is
        now, which may be newer than the event. If no subscription is running any more,
        it gets the one that ended. For transactions, errors and a second registration,
        the rules of :meth:`on` hold.

        :return: The function as it is.
        :raises ConfigurationError: If the function is ``async`` and ``asgiref`` is not
            installed.

        .. versionadded:: 0.1
        """
        return self._registry.on_subscription_change(handler)

    def handle_webhook(self, payload: bytes, signature: str) -> Event:
        """Verify a webhook, store its event and run the handlers, as the endpoint does.

        For tests, and for events that arrive in another way than over HTTP. Commits the
        open transaction of ``db.session``, then the event, then the handlers' writes.

        :param payload: The raw body. Parsing and dumping it again changes the bytes and
            breaks the signature.
        :param signature: The ``Stripe-Signature`` header.
        :return: The event, also if it was stored before.
        :raises SignatureVerificationError: If the webhook is not from Stripe.
        :raises StripeError: If Stripe had to be asked and gave no answer.

        A handler's exception is raised unchanged, after its writes were rolled back.

        .. versionadded:: 0.1
        """
        with raising_handlers_error():
            return receive(get_state(), payload, signature)

    def process_event(self, event_id: str) -> bool:
        """Run the handlers of an event that the webhook passed to ``enqueue``.

        Any number of workers may call it, any number of times: what the handlers write
        to ``db.session`` is written once. Commits the open transaction of
        ``db.session``, then the handlers' writes.

        :param event_id: The id that ``enqueue`` was called with.
        :return: Whether the handlers ran now; ``False`` if they had run before, or if
            the event is not in the ledger any more.
        :raises StripeError: If the object of a thin event could not be read.

        A handler's exception is recorded in the ledger and raised unchanged, so that
        the queue tries again.

        .. versionadded:: 0.1
        """
        with raising_handlers_error():
            return retry.process_event(get_state(), event_id)

    # -- helpers -----------------------------------------------------------------

    create_customer: Final = staticmethod(customers.create_customer)
    get_customer_id: Final = staticmethod(customers.get_customer_id)
    create_checkout_session: Final = staticmethod(checkout.create_checkout_session)
    create_portal_session: Final = staticmethod(portal.create_portal_session)
    get_subscription: Final = staticmethod(stored_subscriptions.get_subscription)
    list_subscriptions: Final = staticmethod(stored_subscriptions.list_subscriptions)
    sync_subscription: Final = staticmethod(refresh.sync_subscription)
    complete_checkout: Final = staticmethod(success.complete_checkout)
