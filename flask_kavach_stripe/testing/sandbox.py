"""An app and a sandbox in one process: no socket, no thread, no waiting.

The app's requests reach the sandbox through an adapter of ``requests``; the sandbox's
webhooks reach the app through Werkzeug's test client.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from flask import current_app
from flask import Flask
from flask import has_app_context
from flask import url_for

from ..sandbox import Sandbox
from ..state import get_state
from ..state import make_client
from ..state import State

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: The signing secret for an app that has none.
_SECRET = "whsec_sandbox"  # noqa: S105  (made up, and public)
#: What a price costs by default, in cents.
_AMOUNT = 900


@contextmanager
def connect(
    app: Flask,
    sandbox: Sandbox,
    *,
    api_version: str | None = None,
    amounts: Mapping[str, int] | None = None,
) -> Iterator[Sandbox]:
    """Let an app and a sandbox talk to each other, in this process.

    The app's client calls the sandbox, with the sandbox's key, and never reaches the
    network. Webhooks reach the app through its test client, each in an app context of
    its own, as in production. They wait until :meth:`.Sandbox.pay`,
    :meth:`.Sandbox.advance` or :meth:`.Sandbox.deliver` sends them: never while a view
    or a helper of the app is at work.

    The test may have an app context open. Before each webhook, the ``db.session`` of
    that context is committed, so that the webhook sees what the test wrote. After the
    webhook, all objects in it are expired, so that the test sees what the webhook
    wrote.

    If the app answers a webhook with anything but 2xx, the call that sent the webhook
    raises :exc:`~flask_kavach_stripe.sandbox.UndeliveredError`, unless one of the
    sandbox's faults was the reason.

    If ``SERVER_NAME`` is not set, it is ``localhost`` meanwhile, so that a test can
    create a Checkout session outside of a request. Prices in ``STRIPE_PRICES`` that the
    sandbox does not have are created, for 9 dollars a month. If the app names no price,
    ``price_pro`` is created.

    At the end, the app has its former settings and client again.

    :param app: The app, after ``init_app``.
    :param api_version: The version of the webhooks; by default the newest one.
    :param amounts: Other monthly amounts than 9 dollars, in cents, by the prices' names
        in ``STRIPE_PRICES``.
    :raises ValueError: If ``amounts`` has a name that ``STRIPE_PRICES`` has not.
    :raises RuntimeError: If the app has no ``KavachStripe``.

    .. versionadded:: 0.1
    """
    state = get_state(app)
    settings, client = state.settings, state.client
    server_name = app.config["SERVER_NAME"]

    with app.test_request_context():
        webhook_url = url_for("kavach_stripe.webhook", _external=True)

    secret = (settings.webhook_secrets or (_SECRET,))[0]
    names = dict(settings.catalogue.names)
    create_prices(sandbox, names, amounts or {})

    with requests.Session() as session:
        session.trust_env = False
        sandbox.mount(session)
        connected = replace(
            settings, secret_key=sandbox.api_key, webhook_secrets=(secret,)
        )
        state.use(
            connected,
            make_client(connected, session),
            lambda: datetime.fromtimestamp(sandbox.clock.now(), UTC),
        )
        app.config["SERVER_NAME"] = server_name or "localhost"
        try:
            sender = _Sender(app, state)

            with sandbox.delivering(sender, webhook_url, secret, api_version):
                yield sandbox
        finally:
            state.use(settings, client)
            app.config["SERVER_NAME"] = server_name


def create_prices(
    sandbox: Sandbox, names: Mapping[str, str], amounts: Mapping[str, int]
) -> None:
    """Create the prices of an app in a sandbox, unless it has them.

    :param names: The prices' names, by price id. If it is empty, one price is created,
        ``price_pro`` with the name ``pro``.
    :param amounts: Monthly amounts in cents, by name; by default 900.
    :raises ValueError: If there is an amount for a name that ``names`` has not.
    """
    names = names or {"price_pro": "pro"}

    if unknown := amounts.keys() - names.values():
        raise ValueError(
            f"There is an amount for {', '.join(map(repr, sorted(unknown)))}, but the"
            f" prices of the app are {', '.join(map(repr, names.values()))}."
        )

    for price_id, name in names.items():
        if not sandbox.has_price(price_id):
            amount = amounts.get(name, _AMOUNT)
            sandbox.create_price(price_id, amount, product_name=name.title())


class _Sender:
    """Posts the sandbox's webhooks to an app, each in a context of its own.

    It commits and expires the session of the context that the test has open, as
    :func:`connect` describes.

    :return: Called with a URL, a body and headers, it returns the HTTP status.
    """

    def __init__(self, app: Flask, state: State) -> None:
        self._app = app
        self._state = state

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        session = self._open_session()

        if session is not None:
            session.commit()

        # A context without Flask's own variables: the request gets a new app context.
        status = Context().run(self._post, url, body, headers)

        if session is not None:
            session.expire_all()

        return status

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        parts = urlsplit(url)
        root = self._app.config["APPLICATION_ROOT"].rstrip("/")
        response = self._app.test_client(use_cookies=False).post(
            parts.path.removeprefix(root),
            base_url=f"{parts.scheme}://{parts.netloc}{root}",
            data=body,
            headers=dict(headers),
        )
        response.close()
        return response.status_code

    def _open_session(self) -> Session | None:
        """The session of the app context that the test has open.

        :return: ``None`` if there is no context, or the context is of another app.
        """
        if (
            not has_app_context() or current_app._get_current_object() is not self._app  # type: ignore[attr-defined]  # a proxy
        ):
            return None

        return self._state.session
