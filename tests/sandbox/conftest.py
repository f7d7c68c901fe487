"""A sandbox without sockets, and what its tests ask of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import Client
from werkzeug.test import TestResponse

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

#: 15 January 2026, 12:00 UTC
NOON = 1768478400
DAY = 86_400


@dataclass
class Hook:
    """A webhook endpoint that keeps what it gets and answers what it is told."""

    answers: list[int] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.received.append(json.loads(body))
        self.bodies.append(body)
        self.headers.append(headers)
        return self.answers.pop(0) if self.answers else 200

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.received]


class Api:
    """Calls the sandbox's API, form-encoded as Stripe's clients do it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._client = Client(sandbox.wsgi_app)

    def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        sent = {"Authorization": f"Bearer {self.sandbox.api_key}", **(headers or {})}

        if method == "POST":
            return self._client.post(path, data=dict(params or {}), headers=sent)

        return self._client.open(
            path, method=method, query_string=dict(params or {}), headers=sent
        )

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._json(self.call("GET", path, params))

    def post(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._json(self.call("POST", path, params))

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._json(self.call("DELETE", path, params))

    def error(
        self, method: str, path: str, params: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return status and ``error`` of a call that is refused."""
        response = self.call(method, path, params)
        assert response.json is not None
        assert response.status_code >= 400, response.json
        error: dict[str, Any] = response.json["error"]
        return response.status_code, error

    def checkout(self, **params: Any) -> Any:
        """Create a Checkout session for ``price_pro``; ``__`` stands for brackets."""
        return self.post("/v1/checkout/sessions", checkout_params(**params))

    def customer(self, card: str | None = "pm_card_visa", **params: Any) -> Any:
        """Create a customer whose default payment method is the card."""
        if card is not None:
            params["payment_method"] = card
            params["invoice_settings__default_payment_method"] = card

        return self.post("/v1/customers", bracketed(params))

    def subscribe(self, customer: Any, **params: Any) -> Any:
        """Create a subscription to ``price_pro``; ``__`` stands for brackets."""
        wanted = {"customer": customer["id"], "items__0__price": "price_pro", **params}
        return self.post("/v1/subscriptions", bracketed(wanted))

    def change(self, obj: Any, **params: Any) -> Any:
        """Update an object; ``__`` stands for brackets."""
        return self.post(path_of(obj), bracketed(params))

    def portal(self, customer: Any, **params: Any) -> str:
        """Create a portal session and return the path of its page; ``__`` stands for
        brackets."""
        wanted = {"return_url": "https://shop.test/account", **bracketed(params)}
        wanted["customer"] = customer["id"] if isinstance(customer, dict) else customer
        return page_path(self.post("/v1/billing_portal/sessions", wanted)["url"])

    def again(self, obj: Any, *expand: str) -> Any:
        """Read an object as it is now."""
        return self.get(
            path_of(obj), {f"expand[{i}]": path for i, path in enumerate(expand)}
        )

    @staticmethod
    def _json(response: TestResponse) -> Any:
        assert response.status_code == 200, response.text
        return response.json


def checkout_params(**params: Any) -> dict[str, Any]:
    result: dict[str, Any] = {
        "mode": "subscription",
        "line_items[0][price]": "price_pro",
        "line_items[0][quantity]": "1",
        "success_url": "https://shop.test/ok?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.test/pricing",
    }

    result |= bracketed(params)
    return {key: value for key, value in result.items() if value is not None}


def bracketed(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``items__0__price`` as ``items[0][price]``."""
    result = {}

    for name, value in params.items():
        first, *rest = name.split("__")
        result[first + "".join(f"[{part}]" for part in rest)] = value

    return result


def path_of(obj: Any) -> str:
    """The path of an object in the API."""
    kind = obj["object"].replace(".", "/")
    return f"/v1/{kind}s/{obj['id']}"


def page_path(url: str) -> str:
    """The path of a hosted page."""
    return urlsplit(url).path


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def sandbox(hook: Hook) -> Sandbox:
    """Stands still at noon, sells one price for 9 dollars a month, and is not served:
    webhooks go to ``hook``."""
    sandbox = Sandbox(clock=Clock(NOON), send=hook, retry_delays=(0.0, 0.0))
    sandbox.create_price()
    sandbox.create_webhook_endpoint("https://shop.test/hook")
    return sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    return Api(sandbox)


@pytest.fixture
def browser(sandbox: Sandbox) -> Client:
    """Opens the hosted pages."""
    return Client(sandbox.wsgi_app)


@pytest.fixture
def subscribe(sandbox: Sandbox, api: Api) -> Callable[..., Any]:
    """Buy ``price_pro`` and return the subscription."""

    def subscribe(card: str | None = "4242424242424242", **params: Any) -> Any:
        session = sandbox.pay(api.checkout(**params)["id"], card)
        return api.get(f"/v1/subscriptions/{session['subscription']}")

    return subscribe
