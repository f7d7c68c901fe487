"""What ``StripeClient`` sends, and the arguments that it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses
from responses.matchers import query_param_matcher
from responses.matchers import request_kwargs_matcher
from responses.matchers import urlencoded_params_matcher
from urllib3.util import Timeout

from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.errors import ConfigurationError
from flask_kavach_stripe.stripe_api.client import DEFAULT_API_VERSION
from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import BASE
from tests.client.wire import FakeClock
from tests.client.wire import KEY
from tests.client.wire import sent
from tests.client.wire import Server


def test_post(client: StripeClient, stripe_api: responses.RequestsMock) -> None:
    stripe_api.post(
        f"{BASE}/v1/checkout/sessions",
        json={"id": "cs_1", "url": None},
        match=[
            urlencoded_params_matcher(
                {"line_items[0][price]": "price_1", "name": "Zoë & Söhne"}
            )
        ],
    )
    session = client.post(
        "/v1/checkout/sessions",
        {"line_items": [{"price": "price_1"}], "name": "Zoë & Söhne"},
    )

    assert session == {"id": "cs_1", "url": None}
    headers = stripe_api.calls[0].request.headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Stripe-Version"] == DEFAULT_API_VERSION
    assert headers["User-Agent"].startswith("flask-kavach-stripe")
    assert "Stripe-Account" not in headers


def test_post_without_params(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(f"{BASE}/v1/subscriptions/sub_1/pause", json={})
    client.post("/v1/subscriptions/sub_1/pause")

    request = stripe_api.calls[0].request
    assert not request.body
    assert request.headers["Content-Length"] == "0"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_send_a_query(
    method: str, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.add(
        method,
        f"{BASE}/v1/subscriptions/sub_1",
        json={"id": "sub_1"},
        match=[query_param_matcher({"expand[0]": "customer", "prorate": "true"})],
    )
    call = client.get if method == "GET" else client.delete
    assert call(
        "/v1/subscriptions/sub_1", {"expand": ["customer"], "prorate": True}
    ) == {"id": "sub_1"}

    request = stripe_api.calls[0].request
    assert request.body is None
    assert "Content-Type" not in request.headers
    assert "Idempotency-Key" not in request.headers


def test_v2_post_is_json(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(f"{BASE}/v2/core/accounts", json={"id": "acct_1"})
    client.post("/v2/core/accounts", {"a": [{"b": 1}], "clear": None})

    request = stripe_api.calls[0].request
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body or "") == {"a": [{"b": 1}], "clear": None}


def test_arguments_become_headers(stripe_api: responses.RequestsMock) -> None:
    stripe_api.post("http://stripe.test/x/v1/customers", json={})
    client = StripeClient(
        "rk_test_1", api_version="2025-03-31.basil", base_url="http://stripe.test/x/"
    )
    client.post("/v1/customers", idempotency_key="key 1", stripe_account="acct_1")

    headers = stripe_api.calls[0].request.headers
    assert headers["Authorization"] == "Bearer rk_test_1"
    assert headers["Stripe-Version"] == "2025-03-31.basil"
    assert headers["Idempotency-Key"] == "key 1"
    assert headers["Stripe-Account"] == "acct_1"


def test_every_post_has_its_own_idempotency_key(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(f"{BASE}/v1/customers", json={})

    for _ in range(3):
        client.post("/v1/customers")

    keys = sent(stripe_api, "Idempotency-Key")
    assert all(keys)
    assert len(set(keys)) == 3


@pytest.mark.parametrize("value", ["", " ", "x" * 256, "é", "a\r\nX-Other: b", " a"])
@pytest.mark.parametrize("name", ["idempotency_key", "stripe_account"])
def test_header_arguments_are_checked(
    name: str, value: str, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    """A blank idempotency key would be no protection, silently."""
    header = name.replace("_", "-").title()

    with pytest.raises(ValueError, match=header):
        client.post("/v1/customers", None, **{name: value})


@pytest.mark.parametrize(
    ("path", "url"),
    [
        pytest.param("/v1/customers/cus é", "/v1/customers/cus%20%C3%A9", id="unusual"),
        pytest.param("/v1/customers/50%", "/v1/customers/50%25", id="percent"),
        pytest.param("/v1/customers/a%2Fb%3F", "/v1/customers/a%2Fb%3F", id="quoted"),
        pytest.param("/v1/customers/..a", "/v1/customers/..a", id="dots and more"),
        pytest.param("/v1/customers/a@b:c", "/v1/customers/a@b:c", id="at, colon"),
        pytest.param(
            "/v1/customers/%252E%252E", "/v1/customers/%252E%252E", id="twice"
        ),
    ],
)
def test_path_on_the_wire(path: str, url: str, server: Server) -> None:
    server.client().get(path)
    assert server.requests[0].path == url


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1",
        "/v1/",
        "v1/customers",
        "/v3/customers",
        "//evil.example/v1/customers",
        "@evil.example/v1/customers",
        "https://evil.example/v1/customers",
        "/v1//customers",
        "/v1/subscriptions/",
        "/v1/customers/../prices",
        "/v1/customers/./cus_1",
        "/v1/customers/..",
        "/v1/customers/%2e%2E/prices",
        "/v1/customers?limit=1",
        "/v1/customers#x",
        "/v1/customers\\..\\prices",
        "/v1/customers/cus_1\r\nX: y",
        "/v1/customers/cus_1\x00",
        "/v1/customers/\x7f",
    ],
)
def test_path_refused(
    path: str, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    """Each of these would reach another host, another endpoint or another object."""
    for call in (client.get, client.post, client.delete):
        with pytest.raises(ValueError, match="not a path of the API"):
            call(path)


@pytest.mark.parametrize("key", [None, "", "  ", "\n"])
def test_missing_key_is_reported_by_the_first_call(
    key: str | None, stripe_api: responses.RequestsMock
) -> None:
    client = StripeClient(key)

    with pytest.raises(ConfigurationError, match="'STRIPE_SECRET_KEY' is not set"):
        client.get("/v1/customers")


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.stripe.com",
        "ftp://api.stripe.com",
        "https://",
        "https://user:hunter2@api.stripe.com",
        "https://api.stripe.com?x=1",
        "https://api.stripe.com#x",
        "https://api.stripe\n.com",
    ],
)
def test_base_url_is_checked(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        StripeClient(KEY, base_url=base_url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [None, 0, -1, (3, None), (0, 3), True, "soon"])
def test_timeout_is_checked(timeout: Any) -> None:
    with pytest.raises(ValueError):
        StripeClient(KEY, timeout=timeout)


def test_negative_retries_are_refused() -> None:
    with pytest.raises(ValueError, match="max_network_retries"):
        StripeClient(KEY, max_network_retries=-1)

    with pytest.raises(ValueError, match="max_network_retries"):
        StripeClient(KEY).with_options(max_network_retries=-1)


@pytest.mark.parametrize("timeout", [(3.05, 30), 8, Timeout(total=8)])
def test_timeout_and_tls_checks_reach_the_adapter(
    timeout: Any, stripe_api: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    stripe_api.get(
        f"{BASE}/v1/customers",
        json={},
        match=[request_kwargs_matcher({"timeout": timeout, "verify": True})],
    )
    StripeClient(KEY, timeout=timeout).get("/v1/customers")


def test_with_options(stripe_api: responses.RequestsMock, clock: FakeClock) -> None:
    stripe_api.get(f"{BASE}/v1/customers", status=500, json={})
    client = StripeClient(KEY, clock=clock, timeout=20, max_network_retries=3)
    quick = client.with_options(timeout=8, max_network_retries=0)

    with pytest.raises(APIError):
        quick.get("/v1/customers")

    assert len(stripe_api.calls) == 1
    assert quick.timeout == 8
    assert (client.timeout, client.max_network_retries) == (20, 3)
    assert quick.with_options().timeout == 8
