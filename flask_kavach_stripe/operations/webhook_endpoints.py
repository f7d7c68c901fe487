"""The webhook endpoints at Stripe: URLs, and the event types that each is sent.

*Endpoint* is here always Stripe's object, never one of Flask's endpoints.

Source: https://docs.stripe.com/api/webhook_endpoints
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final
from urllib.parse import SplitResult
from urllib.parse import urlsplit

from flask import current_app
from flask import url_for

from ..errors import APIError
from ..errors import KavachStripeError
from ..events.effects import EFFECTS
from ..registry import HandlerRegistry
from ..registry import matches
from ..state import State
from ..stripe_api.client import StripeClient
from ..stripe_api.client import StripeResponse
from ..stripe_api.objects import read_text

#: Stands for all events, in our patterns and at Stripe.
ALL: Final = "*"

_PATH = "/v1/webhook_endpoints"


def webhook_path() -> str:
    """The path of the current app's webhook, such as ``/auth/stripe/webhook``.

    It has the app's ``APPLICATION_ROOT`` in front, as a request from outside has.
    """
    with current_app.test_request_context():
        return url_for("kavach_stripe.webhook", _external=False)


def needed_events(registry: HandlerRegistry) -> frozenset[str]:
    """The event types that the app needs: those with an effect on our rows, and those
    for which the app has a handler.

    Patterns such as ``invoice.*`` are not in it, see :func:`choose_events`.
    """
    return registry.event_types.union(EFFECTS)


def choose_events(registry: HandlerRegistry, named: Collection[str]) -> list[str]:
    """Choose the event types that a new endpoint is sent: exactly the handled ones.

    Stripe takes event types in full, and ``*`` for all, but no pattern such as
    ``invoice.*``. So the operator names at least one type for each such pattern.

    :param named: The event types that the operator names, in addition to
        :func:`needed_events`.
    :return: Sorted; ``["*"]`` if a handler takes all events.
    :raises KavachStripeError: If no named type matches a handler's pattern.
    """
    open_patterns = sorted(
        pattern
        for pattern in registry.patterns
        if not any(matches(event_type, pattern) for event_type in named)
    )

    if ALL in open_patterns:
        return [ALL]

    if open_patterns:
        pattern = open_patterns[0]
        raise KavachStripeError(
            f"A handler is on {pattern!r}, and Stripe takes event types in full only."
            " Name each that you want with '--event', such as '--event"
            f" {pattern.replace('*', 'paid')}'."
        )

    return sorted(needed_events(registry).union(named))


def check_url(state: State, url: str) -> str:
    """Check a URL to which Stripe should send events, and return it.

    :raises ValueError: If the URL is not absolute, or is not https with a live key.

    Source: https://docs.stripe.com/webhooks#webhook-endpoint-def
    """
    parts = urlsplit(url)  # raises ValueError, too

    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{url!r} is no absolute URL, such as 'https://shop.example"
            f"{webhook_path()}'."
        )

    if state.settings.livemode and parts.scheme != "https":
        raise ValueError(
            f"{url!r}: with a live key, Stripe sends events to https only."
        )

    return url


def create_endpoint(
    state: State, url: str, events: Sequence[str]
) -> tuple[StripeResponse, str]:
    """Create an endpoint at Stripe, in the API version of our own requests.

    :param url: The URL to which Stripe sends the events.
    :param events: The event types, or ``["*"]``.
    :return: The endpoint and its signing secret, ``whsec_...``. Stripe shows the secret
        only in this answer.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    params = {
        "url": url,
        "enabled_events": events,
        "api_version": state.settings.api_version,
    }
    endpoint = state.client.post(_PATH, params)
    secret = read_text(endpoint.get("secret"))

    if secret is None:
        raise APIError("Stripe's answer has no signing secret.")

    return endpoint, secret


def list_endpoints(client: StripeClient) -> Iterator[StripeResponse]:
    """Read all endpoints of the Stripe account, also those of other apps."""
    return client.paginate(_PATH, {"limit": 100})


def path_of(endpoint: Mapping[str, Any]) -> str | None:
    """The path of an endpoint's URL, ``None`` if it has no URL."""
    url = _split_url(endpoint)
    return None if url is None else url.path


def location_of(endpoint: Mapping[str, Any]) -> str:
    """The URL of an endpoint, without the parts that may hold a secret.

    :return: Scheme, host, port and path, without user, password and query. ``?`` if
        there is no URL.
    """
    url = _split_url(endpoint)

    if url is None:
        return "?"

    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def _split_url(endpoint: Mapping[str, Any]) -> SplitResult | None:
    """The parts of an endpoint's URL, ``None`` if it is missing or malformed."""
    url = endpoint.get("url")

    try:
        return urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return None
