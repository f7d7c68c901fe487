"""The sandbox as one object: in a thread of this process, or as a WSGI app.

:class:`Sandbox` is what tests and examples hold. It takes the place of Stripe's
Dashboard, of the person in front of a hosted page, and of time; everything else goes
through the API. Each public method takes the store's lock for itself and gives it back
before webhooks are sent.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from datetime import datetime
from datetime import timedelta
from types import TracebackType
from typing import Any
from typing import Final
from typing import Self

import requests
from flask import Flask
from flask import request
from flask import Response

from .account import Account
from .cards import number_of
from .clock import Clock
from .clock import to_timestamp
from .faults import Faults
from .faults import IN_PROCESS
from .money.card_form import CardForm
from .notifications.delivery import Attempt
from .notifications.delivery import RETRY_DELAYS
from .notifications.delivery import send_over_http
from .notifications.delivery import Sender
from .object_store import Object
from .object_store import Store
from .pages import bp as pages_bp
from .sandbox_errors import ApiError
from .sandbox_errors import AuthenticationRequired
from .sandbox_errors import SandboxError
from .sandbox_errors import UndeliveredError
from .web.adapter import WsgiAdapter
from .web.api import EXTENSION_KEY
from .web.api import KEY_PREFIXES
from .web.api import register_api
from .web.live_mode import live_key_of
from .web.serving import HttpServer
from .web.visitors import is_cross_site
from .web.visitors import is_local
from .world import AfterRetries
from .world import BillingSettings


class Sandbox:
    """A local Stripe: the API, the hosted pages, webhooks, and a clock.

    .. code-block:: python

        with Sandbox() as sandbox:
            sandbox.create_price("price_pro", unit_amount=900)
            app.config["STRIPE_SECRET_KEY"] = sandbox.api_key
            app.config["STRIPE_API_BASE"] = sandbox.url
            app.config["STRIPE_WEBHOOK_SECRET"] = sandbox.create_webhook_endpoint(
                "http://127.0.0.1:5000/auth/stripe/webhook"
            )

    All of it is in memory and gone with the process.

    :param secret_key: The API key that it accepts, ``sk_test_...`` or ``rk_test_...``.
    :param seed: With the same seed, the same calls make the same ids and meet the same
        :attr:`faults`. ``None`` makes new ones in every run; use that beside a database
        that outlives the sandbox, or its rows meet ids that they know from the last
        run.
    :param clock: The source of time; by default real time, which :meth:`advance` moves
        ahead of.
    :param send: Brings webhooks to their URL; by default over HTTP.
    :param retry_delays: Seconds before each further attempt to deliver a webhook: real
        ones while it is served, otherwise those of its clock.
    :param after_retries: The status of a subscription after the last attempt to charge
        its invoice has failed: ``canceled``, ``unpaid``, or still ``past_due``. In
        Stripe's Dashboard it is a setting of the account.
    :param payment_retry_days: After how many days each further attempt to charge comes.
    :raises ValueError: For a key of another form, or settings that Stripe does not
        have.
    :raises TypeError: For a clock of another type.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        secret_key: str = "sk_test_sandbox",  # noqa: S107  (made up, and public)
        seed: int | None = 0,
        clock: Clock | None = None,
        *,
        send: Sender = send_over_http,
        retry_delays: Sequence[float] = RETRY_DELAYS,
        after_retries: AfterRetries = "canceled",
        payment_retry_days: Sequence[int] = BillingSettings.retry_days,
    ) -> None:
        if not secret_key.startswith(KEY_PREFIXES):
            raise ValueError(
                "The sandbox's secret key must begin with 'sk_test_' or 'rk_test_'."
            )

        if clock is not None and not isinstance(clock, Clock):
            raise TypeError(
                "The clock is a Clock of the sandbox, for example Clock(1768478400),"
                f" not {clock!r}."
            )

        self.api_key = secret_key
        self.clock: Clock = clock or Clock()
        #: What goes wrong on demand.
        self.faults: Final = Faults(seed)
        self._account = Account(
            secret_key,
            self.clock,
            Store(seed),
            self.faults,
            send,
            retry_delays,
            BillingSettings(tuple(payment_retry_days), after_retries),
        )
        #: Whether webhooks that fail, with no fault to blame, raise an error here.
        self._raises_failures = False
        self._failures: list[Attempt] = []
        #: Whether it is served to this machine only.
        self._is_local = False
        self._server: HttpServer | None = None

        #: The Flask app that serves the API and the pages.
        self.app: Final = Flask(__name__)
        self.app.extensions[EXTENSION_KEY] = self._account
        self.app.before_request(self._refuse_other_sites)
        self.app.register_blueprint(pages_bp)
        register_api(self.app, self._account)
        self.app.wsgi_app = self.faults.wrap(  # type: ignore[assignment, method-assign]  # as Flask's
            self.app.wsgi_app  # documentation wants it
        )

    @property
    def live_key(self) -> str:
        """A key of the account's live mode, which is empty.

        For tests of an app that goes live with the database of its tests. Nothing can
        be created with it.
        """
        return live_key_of(self.api_key)

    @property
    def wsgi_app(self) -> Flask:
        """The same app, for servers and test clients."""
        return self.app

    @property
    def url(self) -> str:
        """Where the sandbox is, without a slash at the end: ``STRIPE_API_BASE``."""
        return self._account.world.base_url

    @property
    def events(self) -> Sequence[Object]:
        """All events, oldest first. To be read, not to be changed."""
        with self._account.store.lock:
            return list(reversed(self._account.store.all("event")))

    def on_attempt(self, listener: Callable[[Attempt], object]) -> None:
        """Have a function called with every attempt to deliver a webhook.

        It is called in the thread that delivers. There is one such function; the last
        one that was given counts.
        """
        self._account.delivery.on_attempt = listener

    def attempts(self, event_id: str) -> Sequence[Attempt]:
        """Return the attempts to deliver an event, oldest first.

        :raises KeyError: If there is no such event.
        """
        with self._account.store.lock:
            return list(self._account.store.hidden[event_id]["attempts"])

    def _refuse_other_sites(self) -> Response | None:
        """Answer 403 to other sites in the developer's browser.

        None of them may press a button, call the API, or, under a name of its own that
        leads here, read a page. Calls in the same process are not asked for their host.
        """
        if request.method == "POST" and is_cross_site(request):
            return Response("This form was sent from another site.\n", 403)

        if (
            self._is_local
            and IN_PROCESS not in request.environ
            and not is_local(request.host)
        ):
            return Response(f"The sandbox is at {self.url}.\n", 403)

        return None

    # In the same process

    def mount(self, session: requests.Session) -> None:
        """Have the requests of a session answered here, whatever host they name."""
        adapter = WsgiAdapter(self.app)

        for prefix in list(session.adapters):
            session.mount(prefix, adapter)

    @contextmanager
    def delivering(
        self,
        send: Sender,
        url: str,
        secret: str,
        api_version: str | None = None,
    ) -> Iterator[None]:
        """Have an endpoint in this process for a while, and be strict about it.

        All webhooks go there by ``send``. An answer other than 2xx raises
        :exc:`UndeliveredError` from whatever made the webhooks go out, :meth:`pay`,
        :meth:`advance`, :meth:`deliver` or :meth:`resend`, unless one of the
        :attr:`faults` is to blame.

        :raises SandboxError: If there is such an endpoint: one would get the webhooks
            of the other.
        """
        if self._raises_failures:
            raise SandboxError(
                "The sandbox is connected to an app already; make another one."
            )

        store, delivery = self._account.store, self._account.delivery
        before = delivery.send, delivery.on_attempt, self._raises_failures

        with store.lock:
            endpoint = self._create_endpoint(url, ["*"], api_version, secret)

        hits = 0

        def counting(url: str, body: bytes, headers: Mapping[str, str]) -> int:
            """Send, and remember how many faults had struck before."""
            nonlocal hits
            hits = self.faults.hits
            return send(url, body, headers)

        def remember(attempt: Attempt) -> None:
            """Keep a failed attempt, unless a fault struck while it was under way."""
            if not (attempt.succeeded or attempt.fault or self.faults.hits > hits):
                self._failures.append(attempt)

        delivery.send, delivery.on_attempt = counting, remember
        self._raises_failures = True

        try:
            yield
        finally:
            delivery.send, delivery.on_attempt, self._raises_failures = before
            self._failures.clear()

            # A test of an app may have deleted it, as the Dashboard does.
            with store.lock, suppress(ApiError):
                self._account.webhook_endpoints.delete({}, endpoint["id"])

    def deliver(self) -> None:
        """Send every webhook that waits, delayed ones and retries too, now.

        For a sandbox that is not served: one that is does so by itself.
        """
        self._account.delivery.wait_idle()
        self._raise_failures()

    def resend(self, event_id: str) -> None:
        """Send an event once more to its endpoints, as the Dashboard does.

        Returns when it was sent. No fault strikes it, and retries that are planned
        stay planned.

        :raises KeyError: If there is no such event.
        """
        with self._account.store.lock:
            endpoints = self._account.store.hidden[event_id]["endpoints"]

        self._account.delivery.resend(event_id, endpoints)
        self._raise_failures()

    def _raise_failures(self) -> None:
        """Raise the failed attempts since the last time, where the app must take all.

        :raises UndeliveredError: If there are any, inside :meth:`delivering`.
        """
        failures = self._failures[:]
        self._failures.clear()

        if failures and self._raises_failures:
            raise UndeliveredError(failures)

    # Running it

    def start(self, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Serve in a thread until :meth:`stop`.

        :param port: 0 takes a free one; :attr:`url` then says which.
        :raises PortInUseError: If the port cannot be had; the message says why.
        :raises SandboxError: If it is running already.
        """
        if self._server is not None:
            raise SandboxError(f"The sandbox is running already, at {self.url}.")

        self._server = HttpServer(self.app, host, port)
        self.faults.stopped.clear()
        self._account.world.base_url = self._server.url
        self._is_local = is_local(host)
        self._server.start()
        self._account.delivery.start()
        return self

    def stop(self) -> None:
        """End the server and the webhooks; once more does nothing."""
        if self._server is None:
            return

        self._account.delivery.stop()
        self.faults.stopped.set()
        self._server.stop()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # What a person does in Stripe's Dashboard and on its pages

    def create_webhook_endpoint(
        self,
        url: str,
        enabled_events: Sequence[str] = ("*",),
        *,
        api_version: str | None = None,
        secret: str | None = None,
    ) -> str:
        """Have events sent to a URL.

        :param enabled_events: Event types; ``*`` stands for all of them.
        :param api_version: The version that shapes the events; by default the newest.
        :param secret: The signing secret; by default a new one.
        :returns: The signing secret, ``whsec_...``.
        :raises ApiError: For types or a version that there are not.
        """
        with self._account.store.lock:
            endpoint = self._create_endpoint(url, enabled_events, api_version, secret)

        return secret or str(endpoint["secret"])

    def create_thin_destination(
        self, url: str, enabled_events: Sequence[str] = ("*",)
    ) -> str:
        """Have thin events sent to a URL: they only name the object they are about.

        :param enabled_events: Thin event types, ``v1.invoice.paid``; ``*`` stands for
            all of them.
        :returns: The signing secret, ``whsec_...``.
        :raises ApiError: For types that there are not.
        """
        params = {
            "enabled_events": _indexed(enabled_events),
            "event_payload": "thin",
            "include": _indexed(["webhook_endpoint.signing_secret"]),
            "name": url,
            "type": "webhook_endpoint",
            "webhook_endpoint": {"url": url},
        }

        with self._account.store.lock:
            destination = self._account.event_destinations.create(params)

        secret: str = destination["webhook_endpoint"]["signing_secret"]
        return secret

    def _create_endpoint(
        self,
        url: str,
        enabled_events: Sequence[str],
        api_version: str | None,
        secret: str | None,
    ) -> Object:
        """Create an endpoint as the API does, with a signing secret of one's own.

        The lock is held.
        """
        params: dict[str, Any] = {
            "url": url,
            "enabled_events": _indexed(enabled_events),
        }

        if api_version is not None:
            params["api_version"] = api_version

        endpoint = self._account.webhook_endpoints.create(params)

        if secret is not None:
            self._account.store.hidden[endpoint["id"]]["secret"] = secret

        return endpoint

    def has_price(self, id: str) -> bool:
        """Whether there is a price with this id."""
        with self._account.store.lock:
            return self._account.store.find("price", id) is not None

    def create_price(
        self,
        id: str = "price_pro",
        unit_amount: int = 900,
        currency: str = "usd",
        interval: str = "month",
        product_name: str = "Pro",
        usage_type: str = "licensed",
    ) -> Object:
        """Sell something.

        :param unit_amount: In the currency's smallest unit.
        :param interval: ``day``, ``week``, ``month`` or ``year``.
        :param usage_type: ``metered`` for a price that takes no quantity. As nothing is
            used in the sandbox, it bills nothing.
        :raises ApiError: For what Stripe would refuse, such as ``9.99``.
        :raises SandboxError: If there is a price with this id.
        """
        with self._account.store.lock:
            if self._account.store.find("price", id) is not None:
                raise SandboxError(f"There is a price with the id {id!r} already.")

            price = self._account.prices.create(
                {
                    "currency": currency,
                    "product_data": {"name": product_name},
                    "recurring": {"interval": interval, "usage_type": usage_type},
                    "unit_amount": str(unit_amount),
                },
                price_id=id,
            )
            return self._account.renderer.render(price)

    def pay(
        self,
        checkout_session_id: str,
        card: str | None = "4242424242424242",
        *,
        email: str = "buyer@example.com",
        authenticate: bool | None = None,
    ) -> Object:
        """Pay a Checkout session as a person does on its page.

        Returns when the webhooks about it were sent once.

        :param card: The number of a test card, or a payment method that Stripe has
            ready for tests, ``pm_card_visa``; ``None`` where no card is asked for.
        :param email: The address that is typed in; a known customer keeps its own.
        :param authenticate: Whether 3-D Secure is passed if the bank asks for it.
        :returns: The session.
        :raises AuthenticationRequired: If the bank asks and ``authenticate`` is
            ``None``: the page that answers is still open.
        :raises ApiError: If the card is declined or the session is not open.
        :raises TypeError: For a session in place of its id, a card that is no string.
        :raises ValueError: For a card that is another word.
        """
        _check_id(checkout_session_id, "Checkout session")
        form = None if card is None else CardForm(number_of(card))
        account = self._account

        with account.store.lock:
            account.timeline.catch_up()
            session = account.checkout.get(checkout_session_id)

            try:
                account.checkout.complete(session, email=email, card=form)
            except AuthenticationRequired:
                if authenticate is None:
                    raise

                account.checkout.authenticate(session, approved=authenticate)

            paid = account.renderer.render(session)

        account.delivery.drain()
        self._raise_failures()
        return paid

    def authenticate(self, invoice_id: str, *, approved: bool = True) -> Object:
        """Answer the 3-D Secure that the payment of an invoice waits for.

        Returns when the webhooks about it were sent once.

        :param approved: Whether it is passed.
        :returns: The invoice: paid, or open if 3-D Secure or the charge failed.
        :raises ApiError: If its payment does not wait for 3-D Secure.
        :raises TypeError: For an invoice in place of its id.
        """
        _check_id(invoice_id, "invoice")
        account = self._account

        with account.store.lock:
            account.timeline.catch_up()
            invoice = account.invoices.get(invoice_id)
            account.paying.authenticate(invoice, approved=approved)
            answered = account.renderer.render(invoice)

        account.delivery.drain()
        self._raise_failures()
        return answered

    # Time

    def advance(self, days: float = 0, *, hours: float = 0, seconds: float = 0) -> None:
        """Move the clock, and let happen what becomes due on the way.

        The clock stops at each of these moments until the webhooks about it were sent
        once.

        :raises ValueError: If it would move back, or more than 100 years at once.
        """
        step = timedelta(days=days, hours=hours, seconds=seconds)
        self.advance_to(self.clock.now() + int(step.total_seconds()))

    def advance_to(self, moment: datetime | int) -> None:
        """Move the clock to a time.

        :param moment: Unix seconds or an aware ``datetime``.
        :raises ValueError: If that is past or more than 100 years away, or the
            datetime has no time zone.
        """
        self._account.advance_to(to_timestamp(moment))
        self._raise_failures()

    def wait_idle(self, timeout: float = 30.0) -> bool:
        """Wait until no webhook is to be sent any more, retries included.

        Where the sandbox is not served, send them as :meth:`deliver` does.

        :returns: Whether that was so before the time was up.
        """
        return self._account.delivery.wait_idle(timeout)


def _check_id(value: str, noun: str) -> None:
    """Refuse an object where its id is wanted.

    :raises TypeError: If ``value`` is no string.
    """
    if not isinstance(value, str):
        kind = type(value).__name__
        raise TypeError(f"The id of the {noun} is wanted, a string; not a {kind}.")


def _indexed(values: Sequence[str]) -> dict[str, str]:
    """A list as decoded parameters have it."""
    return {str(index): value for index, value in enumerate(values)}
