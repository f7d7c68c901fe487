"""Send events to an app as Stripe does: signed, and over HTTP.

Nothing is patched: the app verifies the signature, stores the event and runs its
handlers as in production.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from typing import TYPE_CHECKING

from flask import url_for

from ..errors import ConfigurationError
from ..state import get_state
from ..stripe_api.signatures import sign_payload

if TYPE_CHECKING:  # slow to import, and every start of an app would wait for it
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


def post_event(
    client: FlaskClient,
    event: Mapping[str, Any] | bytes,
    *,
    secret: str | None = None,
    timestamp: int | None = None,
) -> TestResponse:
    """Sign an event and post it to the webhook of the client's app.

    :param event: The event, as from :func:`make_event`, or the bytes of a body that is
        perhaps none.
    :param secret: The signing secret; by default the first one of
        ``STRIPE_WEBHOOK_SECRET``.
    :param timestamp: The time of the signature, in Unix seconds; by default now. An old
        one tests ``STRIPE_WEBHOOK_TOLERANCE``.
    :return: The app's response. Its status is 200 if the event is stored and its
        handlers have run.
    :raises ConfigurationError: If there is no signing secret.
    :raises RuntimeError: If the app has no ``KavachStripe``.

    .. versionadded:: 0.1
    """
    app = client.application
    payload = event if isinstance(event, bytes) else json.dumps(event).encode()

    if secret is None:
        secret = _first_secret(app)

    signature = sign_payload(payload, secret, timestamp=timestamp)

    with app.test_request_context():
        url = url_for("kavach_stripe.webhook")

    return client.post(
        url,
        data=payload,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature,
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        },
    )


def _first_secret(app: Flask) -> str:
    """The first signing secret of an app.

    :raises ConfigurationError: If there is none.
    """
    for secret in get_state(app).settings.webhook_secrets:
        return secret

    raise ConfigurationError(
        "'STRIPE_WEBHOOK_SECRET' is not set, so an event cannot be signed. Set it to"
        " any text in the configuration of your tests."
    )
