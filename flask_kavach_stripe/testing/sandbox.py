"""An app and a sandbox in one process: no socket, no thread, no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import replace
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

#: The signing secret where the app has none.
_SECRET = "whsec_sandbox"  # noqa: S105  (made up, and public)
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
    network. Webhooks go into the app through its test client, each in an app context
    of its own, as in production. They wait until :meth:`.Sandbox.pay`,
    :meth:`.Sandbox.advance` or :meth:`.Sandbox.deliver` sends them: never while a view
    or a helper of the app is at work.

    An open app context does no harm: before a webhook its ``db.session`` is
    committed, so that the webhook sees what the test wrote; after it everything loaded
    there is read anew.

    A webhook that the app does not take raises
    :exc:`~flask_kavach_stripe.sandbox.UndeliveredError` where it was sent from, unless
    one of the sandbox's faults is to blame.

    ``SERVER_NAME`` is ``localhost`` where it is not set, so that a test can make a
    Checkout session outside of a request. Prices in ``STRIPE_PRICES`` that the sandbox
    does not have are created, for 9 dollars a month; where the app names none, it is
    ``price_pro``.

    :param app: After ``init_app``.
    :param api_version: Of the webhooks; by default the newest one.
    :param amounts: What prices cost if not 9 dollars, in cents, by their names in
        ``STRIPE_PRICES``.
    :raises ValueError: If there is no such name.
    :raises RuntimeError: If the app has no ``KavachStripe``.

    .. versionadded:: 0.1
    """
    state = get_state(app)
    settings, client = state.settings, state.client
    server_name = app.config["SERVER_NAME"]

    with app.test_request_context():
        webhook_url = url_for("kavach_stripe.webhook", _external=True)

    secret = (settings.webhook_secrets or (_SECRET,))[0]
    names = {price.id: name for name, price in settings.prices.items()}
    create_prices(sandbox, names, amounts or {})

    with requests.Session() as session:
        session.trust_env = False
        sandbox.mount(session)
        connected = replace(
            settings, secret_key=sandbox.api_key, webhook_secrets=(secret,)
        )
        state.use(connected, make_client(connected, session))
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
    """Sell what an app sells.

    :param names: By price id; nothing stands for ``price_pro``.
    :param amounts: In cents, by name.
    :raises ValueError: If an amount is for a name that there is not.
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
    """Posts webhooks to an app."""

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
        response = self._app.test_client(use_cookies=False).post(
            parts.path,
            base_url=f"{parts.scheme}://{parts.netloc}",
            data=body,
            headers=dict(headers),
        )
        response.close()
        return response.status_code

    def _open_session(self) -> Session | None:
        """The session of the app context that the test has open."""
        if (
            not has_app_context() or current_app._get_current_object() is not self._app  # type: ignore[attr-defined]  # a proxy
        ):
            return None

        return self._state.session
