"""``StripeClient`` from outside: what it sends, takes, refuses and sends again.

Most tests mock the adapter with ``responses``. What a mock cannot show, such as
connections, time-outs, redirects and ``~/.netrc``, runs against a server on 127.0.0.1.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC
from decimal import Decimal
from enum import Enum
from enum import IntEnum
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from typing import NamedTuple
from urllib.parse import parse_qsl

import pytest
import requests
import responses
from responses.matchers import query_param_matcher
from responses.matchers import request_kwargs_matcher
from responses.matchers import urlencoded_params_matcher
from urllib3.util import Timeout

from flask_kavach_stripe.client import DEFAULT_API_VERSION
from flask_kavach_stripe.client import encode
from flask_kavach_stripe.client import quote_path
from flask_kavach_stripe.client import StripeClient
from flask_kavach_stripe.client import StripeResponse
from flask_kavach_stripe.errors import APIConnectionError
from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.errors import AuthenticationError
from flask_kavach_stripe.errors import CardError
from flask_kavach_stripe.errors import ConfigurationError
from flask_kavach_stripe.errors import IdempotencyError
from flask_kavach_stripe.errors import InvalidRequestError
from flask_kavach_stripe.errors import PermissionDeniedError
from flask_kavach_stripe.errors import RateLimitError
from flask_kavach_stripe.errors import StripeError

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
API = "https://api.stripe.com"


class FakeClock:
    """A clock that stands still, but for its own sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Count(IntEnum):
    ONE = 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(clock: FakeClock) -> StripeClient:
    return StripeClient(KEY, clock=clock)


@pytest.fixture
def stripe_api() -> Iterator[responses.RequestsMock]:
    """Fails on an unexpected request, and on an expected one that was not sent."""
    with responses.RequestsMock() as mock:
        yield mock


def sent(api: responses.RequestsMock, name: str) -> list[str | None]:
    """The values of one header in all requests, in order."""
    return [call.request.headers.get(name) for call in api.calls]


# Encoding


@pytest.mark.parametrize(
    ("params", "pairs"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"a": "x", "b": "y"}, [("a", "x"), ("b", "y")], id="strings"),
        pytest.param({"a": {"b": {"c": 1}}}, [("a[b][c]", "1")], id="mappings"),
        pytest.param(
            {"items": [{"price": "p", "quantity": 2}, {"price": "q"}]},
            [
                ("items[0][price]", "p"),
                ("items[0][quantity]", "2"),
                ("items[1][price]", "q"),
            ],
            id="list of mappings",
        ),
        pytest.param(
            {"expand": ["a", "b"]}, [("expand[0]", "a"), ("expand[1]", "b")], id="list"
        ),
        pytest.param({"a": ("x",)}, [("a[0]", "x")], id="tuple"),
        pytest.param(
            {"a": [["x", "y"]]}, [("a[0][0]", "x"), ("a[0][1]", "y")], id="2d"
        ),
        pytest.param(
            {"a": MappingProxyType({"b": 1})}, [("a[b]", "1")], id="any mapping"
        ),
        pytest.param(
            {"a": True, "b": False}, [("a", "true"), ("b", "false")], id="bool"
        ),
        pytest.param(
            {"a": [True, {"b": False}]},
            [("a[0]", "true"), ("a[1][b]", "false")],
            id="bool in list",
        ),
        pytest.param({"a": None, "b": {"c": None}}, [], id="None"),
        pytest.param({"a": [None, "x"]}, [("a[1]", "x")], id="None in list"),
        pytest.param({"a": ""}, [("a", "")], id="empty string"),
        pytest.param({"a": [], "b": {}, "c": [{}, []]}, [], id="empty list, mapping"),
        pytest.param({"a": 0, "b": -5}, [("a", "0"), ("b", "-5")], id="int"),
        pytest.param(
            {"a": 12.5, "b": 1e-07}, [("a", "12.5"), ("b", "1e-07")], id="float"
        ),
        pytest.param({"a": Decimal("1E+2")}, [("a", "100")], id="Decimal is plain"),
        pytest.param({"a": Decimal("0.10")}, [("a", "0.10")], id="Decimal"),
        pytest.param(
            {"a": Decimal("1E+400")}, [("a", "1" + "0" * 400)], id="large Decimal"
        ),
        pytest.param({"a": Count.ONE}, [("a", "1")], id="IntEnum"),
        pytest.param(
            {"a": datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC)},
            [("a", "1767323045")],
            id="time",
        ),
        pytest.param(
            {"a": datetime(1969, 12, 31, 23, 59, 59, 1, UTC)},
            [("a", "-1")],
            id="time before 1970",
        ),
        pytest.param(
            {"a": [datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))]},
            [("a[0]", "1767315600")],
            id="time of a zone",
        ),
        pytest.param({"a[b]": "x"}, [("a[b]", "x")], id="brackets stay"),
    ],
)
def test_encode(params: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    assert encode(params) == pairs


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(datetime(2026, 1, 1), ValueError, id="naive time"),  # noqa: DTZ001
        pytest.param(float("nan"), ValueError, id="nan"),
        pytest.param(float("-inf"), ValueError, id="inf"),
        pytest.param(Decimal("NaN"), ValueError, id="Decimal nan"),
        pytest.param(Decimal("sNaN"), ValueError, id="signalling nan"),
        pytest.param(Decimal("Infinity"), ValueError, id="Decimal inf"),
        pytest.param("\ud800", ValueError, id="surrogate"),
        pytest.param(b"x", TypeError, id="bytes"),
        pytest.param(bytearray(b"x"), TypeError, id="bytearray"),
        pytest.param({"x"}, TypeError, id="set"),
        pytest.param(iter("x"), TypeError, id="iterator"),
        pytest.param(date(2026, 1, 1), TypeError, id="date"),
        pytest.param(timedelta(1), TypeError, id="timedelta"),
        pytest.param(1j, TypeError, id="complex"),
        pytest.param(Enum, TypeError, id="Enum class"),
        pytest.param(object(), TypeError, id="object"),
    ],
)
def test_encode_refuses_value_and_names_it(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"'items\[1\]\[metadata\]\[x\]'"):
        encode({"items": ["a", {"metadata": {"x": value}}]})


@pytest.mark.parametrize("key", [1, None, b"x", ("x",)])
def test_encode_refuses_key_that_is_no_string(key: Any) -> None:
    with pytest.raises(TypeError, match=r"'metadata\[.+\]'"):
        encode({"metadata": {key: "x"}})


def test_quote_path() -> None:
    assert quote_path("/v1/prices") == "/v1/prices"
    assert quote_path("/v1/subscriptions/{}/pause", "sub_1") == (
        "/v1/subscriptions/sub_1/pause"
    )
    assert quote_path("/v1/a/{}/b/{}", "x/../y", "é ?#%{}") == (
        "/v1/a/x%2F..%2Fy/b/%C3%A9%20%3F%23%25%7B%7D"
    )


@pytest.mark.parametrize("value", ["", ".", "..", "...."])
def test_quote_path_refuses_what_names_another_path(value: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        quote_path("/v1/customers/{}", value)


@pytest.mark.parametrize("value", [None, 1, b"cus_1"])
def test_quote_path_refuses_what_is_no_string(value: Any) -> None:
    with pytest.raises(TypeError, match="must be a string"):
        quote_path("/v1/customers/{}", value)


# Requests


def test_post(client: StripeClient, stripe_api: responses.RequestsMock) -> None:
    stripe_api.post(
        f"{API}/v1/checkout/sessions",
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
    stripe_api.post(f"{API}/v1/subscriptions/sub_1/pause", json={})
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
        f"{API}/v1/subscriptions/sub_1",
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
    stripe_api.post(f"{API}/v2/core/accounts", json={"id": "acct_1"})
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
    stripe_api.post(f"{API}/v1/customers", json={})

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
    "key", ["sk_test_ab\ncd", "sk_test_abcd\r\n", "sk_test_ab cd", "sk_test_abcdé"]
)
def test_malformed_key_is_not_echoed(
    key: str, stripe_api: responses.RequestsMock
) -> None:
    client = StripeClient(key)

    with pytest.raises(ConfigurationError, match="'STRIPE_SECRET_KEY'") as caught:
        client.post("/v1/customers")

    text = "".join(traceback.format_exception(caught.value))
    assert "sk_test_ab" not in text


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
    timeout: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{API}/v1/customers",
        json={},
        match=[request_kwargs_matcher({"timeout": timeout, "verify": True})],
    )
    StripeClient(KEY, timeout=timeout).get("/v1/customers")


def test_with_options(stripe_api: responses.RequestsMock, clock: FakeClock) -> None:
    stripe_api.get(f"{API}/v1/customers", status=500, json={})
    client = StripeClient(KEY, clock=clock, timeout=20, max_network_retries=3)
    quick = client.with_options(timeout=8, max_network_retries=0)

    with pytest.raises(APIError):
        quick.get("/v1/customers")

    assert len(stripe_api.calls) == 1
    assert quick.timeout == 8
    assert (client.timeout, client.max_network_retries) == (20, 3)
    assert quick.with_options().timeout == 8


# Responses


@pytest.mark.parametrize(
    ("headers", "duration", "as_of"),
    [
        pytest.param({"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}, 0.0, 5, id="at once"),
        pytest.param({"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}, 0.1, 4, id="0.1 s"),
        pytest.param({"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}, 2.0, 3, id="2 s"),
        pytest.param({"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}, 2.9, 2, id="2.9 s"),
        pytest.param({"Date": "Fri, 02 Jan 2026 05:04:05 +0200"}, 0.0, 5, id="zone"),
        pytest.param({"Date": "Fri, 02 Jan 2026 03:04:05 -0000"}, 0.0, 5, id="-0000"),
        pytest.param({}, 0.0, None, id="no header"),
        pytest.param({"Date": ""}, 0.0, None, id="blank"),
        pytest.param({"Date": "yesterday"}, 0.0, None, id="no date"),
        pytest.param({"Date": "Fri, 99 Jan 2026 03:04:05 GMT"}, 0.0, None, id="99th"),
        pytest.param({"Date": "Mon, 01 Jan 0001 00:00:00 GMT"}, 9.0, 2, id="year 1"),
        pytest.param({"Date": "Fri, 31 Dec 9999 23:59:59 -2359"}, 0.0, None, id="9999"),
    ],
)
def test_as_of_is_the_date_less_the_duration(
    headers: dict[str, str],
    duration: float,
    as_of: int | None,
    client: StripeClient,
    clock: FakeClock,
    stripe_api: responses.RequestsMock,
) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        clock.now += duration
        return 200, headers, "{}"

    stripe_api.add_callback("GET", f"{API}/v1/balance", callback=answer)
    response = client.get("/v1/balance")

    if as_of is None:
        assert response.as_of is None
    elif "0001" in headers["Date"]:
        assert response.as_of == datetime(2000, 12, 31, 23, 59, 51, tzinfo=UTC)
    else:
        assert response.as_of == datetime(2026, 1, 2, 3, 4, as_of, tzinfo=UTC)
        assert response.as_of.utcoffset() == timedelta(0)


def test_as_of_counts_the_last_try_only(
    client: StripeClient, clock: FakeClock, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/balance", status=500, json={})
    stripe_api.get(
        f"{API}/v1/balance", json={}, headers={"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}
    )

    assert client.get("/v1/balance").as_of == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert clock.slept


def test_response_is_a_dict_with_a_request_id(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{API}/v1/balance", json={"id": "x"}, headers={"request-id": "req_1"}
    )
    response = client.get("/v1/balance")

    assert isinstance(response, StripeResponse)
    assert isinstance(response, dict)
    assert response == {"id": "x"}
    assert response.request_id == "req_1"


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_2xx_is_success(
    status: int, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/balance", status=status, json={})
    assert client.get("/v1/balance") == {}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>hunter2</html>", id="HTML"),
        pytest.param(b'{"id": "hunter2', id="cut off"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"hunter2"', id="string"),
        pytest.param(b'{"id": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"a": ' + b"1" * 5000 + b"}", id="long number"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 429])
def test_answer_that_is_no_json_object(
    status: int, body: bytes, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/balance", status=status, body=body)

    with pytest.raises(APIError, match=f"GET /v1/balance.*{status}") as caught:
        client.get("/v1/balance")

    assert caught.value.http_status == status
    assert "hunter2" not in str(caught.value)
    assert len(stripe_api.calls) == 1


# Errors


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        pytest.param(
            400, {"type": "invalid_request_error"}, InvalidRequestError, id="400"
        ),
        pytest.param(404, {"code": "resource_missing"}, InvalidRequestError, id="404"),
        pytest.param(
            400, {"type": "idempotency_error"}, IdempotencyError, id="400 key"
        ),
        pytest.param(400, {"code": "rate_limit"}, RateLimitError, id="400 rate limit"),
        pytest.param(
            401, {"type": "invalid_request_error"}, AuthenticationError, id="401"
        ),
        pytest.param(402, {"type": "card_error"}, CardError, id="402"),
        pytest.param(
            403, {"type": "invalid_request_error"}, PermissionDeniedError, id="403"
        ),
        pytest.param(429, {"code": "rate_limit"}, RateLimitError, id="429"),
        pytest.param(409, {"code": "idempotency_key_in_use"}, APIError, id="409"),
        pytest.param(424, {"type": "api_error"}, APIError, id="424"),
        pytest.param(500, {"type": "api_error"}, APIError, id="500"),
        pytest.param(503, {"type": "api_error"}, APIError, id="503"),
        pytest.param(418, {"type": "unheard_of"}, APIError, id="418"),
        pytest.param(400, {}, APIError, id="400 without error"),
    ],
)
def test_error_class(
    status: int,
    error: dict[str, str],
    expected: type[StripeError],
    stripe_api: responses.RequestsMock,
) -> None:
    stripe_api.post(f"{API}/v1/customers", status=status, json={"error": error})

    with pytest.raises(StripeError) as caught:
        StripeClient(KEY, max_network_retries=0).post("/v1/customers")

    assert type(caught.value) is expected
    assert caught.value.http_status == status
    assert str(status) in str(caught.value)  # as Stripe gave no message


def test_error_attributes(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        f"{API}/v1/subscriptions",
        status=402,
        headers={"Request-Id": "req_1", "Idempotent-Replayed": "true"},
        json={
            "error": {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": "insufficient_funds",
                "param": "default_payment_method",
                "message": "Your card has insufficient funds.",
            }
        },
    )

    with pytest.raises(CardError) as caught:
        client.post("/v1/subscriptions")

    error = caught.value
    assert error.message == "Your card has insufficient funds."
    assert error.http_status == 402
    assert error.type == "card_error"
    assert error.code == "card_declined"
    assert error.decline_code == "insufficient_funds"
    assert error.param == "default_payment_method"
    assert error.request_id == "req_1"
    assert error.replayed
    assert str(error) == "Your card has insufficient funds. (request req_1)"


@pytest.mark.parametrize("replayed", [None, "false", ""])
def test_error_that_is_not_replayed(
    replayed: str | None, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    headers = {} if replayed is None else {"Idempotent-Replayed": replayed}
    stripe_api.post(
        f"{API}/v1/customers", status=400, json={"error": {"a": 1}}, headers=headers
    )

    with pytest.raises(InvalidRequestError) as caught:
        client.post("/v1/customers")

    assert not caught.value.replayed
    assert caught.value.request_id is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param(1, id="number"),
        pytest.param("", id="empty string"),
        pytest.param({"message": 1, "code": [], "type": {}, "param": None}, id="types"),
    ],
)
def test_odd_error_object(
    error: object, client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/balance", status=400, json={"error": error})

    with pytest.raises(StripeError, match="GET /v1/balance") as caught:
        client.get("/v1/balance")

    assert not caught.value.code
    assert caught.value.type is None


def test_oauth_error(client: StripeClient, stripe_api: responses.RequestsMock) -> None:
    stripe_api.post(
        f"{API}/v1/oauth",
        status=400,
        json={"error": "invalid_grant", "error_description": "No such code."},
    )

    with pytest.raises(InvalidRequestError, match=r"No such code\.") as caught:
        client.post("/v1/oauth")

    assert caught.value.code == "invalid_grant"


def test_key_is_scrubbed_from_stripes_text(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{API}/v1/balance",
        status=401,
        json={"error": {"message": f"Bad key {KEY}!", "param": KEY, "code": KEY}},
    )

    with pytest.raises(AuthenticationError, match=r"Bad key \*\*\*!") as caught:
        client.get("/v1/balance")

    error = caught.value
    assert KEY not in repr(error) + repr(vars(error)) + repr(error.args)


def test_key_is_in_no_repr(client: StripeClient) -> None:
    for text in (repr(client), str(client), f"{client.with_options(timeout=1)}"):
        assert text == f"<StripeClient {API} {DEFAULT_API_VERSION}>"


def test_log_has_no_params_and_no_key(
    client: StripeClient,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="flask_kavach_stripe")
    stripe_api.get(f"{API}/v1/customers", body=requests.ConnectionError(KEY))
    stripe_api.get(
        f"{API}/v1/customers", json={"email": "ann@x"}, headers={"Request-Id": "req_1"}
    )
    client.get("/v1/customers", {"email": "ann@x"})

    assert [record.getMessage() for record in caplog.records] == [
        "GET /v1/customers: ConnectionError",
        "GET /v1/customers: 200 req_1",
    ]
    assert all(record.levelno == logging.DEBUG for record in caplog.records)


# Retries


@pytest.mark.parametrize(
    ("status", "headers", "error", "again"),
    [
        pytest.param(409, {}, {}, True, id="409"),
        pytest.param(500, {}, {}, True, id="500"),
        pytest.param(503, {}, {}, True, id="503"),
        pytest.param(599, {}, {}, True, id="599"),
        pytest.param(429, {}, {"code": "lock_timeout"}, True, id="429 lock"),
        pytest.param(429, {}, {"code": "rate_limit"}, False, id="429 rate limit"),
        pytest.param(429, {"Retry-After": "1"}, {}, False, id="429 Retry-After"),
        pytest.param(400, {}, {"code": "lock_timeout"}, False, id="400"),
        pytest.param(400, {}, {"type": "idempotency_error"}, False, id="400 key"),
        pytest.param(401, {}, {}, False, id="401"),
        pytest.param(402, {}, {}, False, id="402"),
        pytest.param(404, {}, {}, False, id="404"),
        pytest.param(424, {}, {}, False, id="424"),
        pytest.param(302, {}, {}, False, id="302"),
        pytest.param(500, {"Stripe-Should-Retry": "false"}, {}, False, id="500 no"),
        pytest.param(409, {"Stripe-Should-Retry": "false"}, {}, False, id="409 no"),
        pytest.param(400, {"Stripe-Should-Retry": "true"}, {}, True, id="400 yes"),
        pytest.param(429, {"Stripe-Should-Retry": "true"}, {}, True, id="429 yes"),
        pytest.param(
            429,
            {"Stripe-Should-Retry": "false"},
            {"code": "lock_timeout"},
            False,
            id="429 lock, no",
        ),
        pytest.param(500, {"Stripe-Should-Retry": "maybe"}, {}, True, id="500 maybe"),
        pytest.param(400, {"Stripe-Should-Retry": "maybe"}, {}, False, id="400 maybe"),
    ],
)
def test_which_answers_are_retried(
    status: int,
    headers: dict[str, str],
    error: dict[str, str],
    again: bool,
    client: StripeClient,
    stripe_api: responses.RequestsMock,
) -> None:
    stripe_api.post(
        f"{API}/v1/customers", status=status, json={"error": error}, headers=headers
    )

    if again:
        stripe_api.post(f"{API}/v1/customers", json={"id": "cus_1"})
        assert client.post("/v1/customers") == {"id": "cus_1"}
        return

    with pytest.raises(StripeError):
        client.post("/v1/customers")

    assert len(stripe_api.calls) == 1


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(requests.ConnectionError("x"), True, id="connection"),
        pytest.param(requests.ConnectTimeout("x"), True, id="connect time-out"),
        pytest.param(requests.ReadTimeout("x"), True, id="read time-out"),
        pytest.param(requests.exceptions.ChunkedEncodingError("x"), True, id="cut off"),
        pytest.param(requests.exceptions.ProxyError("x"), True, id="proxy"),
        pytest.param(requests.exceptions.SSLError("x"), False, id="TLS"),
        pytest.param(requests.exceptions.InvalidURL("x"), False, id="URL"),
        pytest.param(requests.exceptions.ContentDecodingError("x"), False, id="gzip"),
    ],
)
def test_which_failures_are_retried(
    error: requests.RequestException,
    again: bool,
    client: StripeClient,
    stripe_api: responses.RequestsMock,
) -> None:
    stripe_api.post(f"{API}/v1/customers", body=error)

    if again:
        stripe_api.post(f"{API}/v1/customers", json={"id": "cus_1"})
        assert client.post("/v1/customers") == {"id": "cus_1"}
        return

    with pytest.raises(APIConnectionError, match=type(error).__name__) as caught:
        client.post("/v1/customers")

    assert caught.value.__cause__ is error
    assert caught.value.http_status is None
    assert caught.value.should_retry


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_number_of_tries(
    retries: int, clock: FakeClock, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/balance", status=500, json={})

    with pytest.raises(APIError):
        StripeClient(KEY, clock=clock, max_network_retries=retries).get("/v1/balance")

    assert len(stripe_api.calls) == retries + 1
    assert len(clock.slept) == retries


def test_last_try_decides_the_error(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/balance", status=500, json={})
    stripe_api.get(f"{API}/v1/balance", body=requests.ConnectionError("x"))
    stripe_api.get(f"{API}/v1/balance", status=404, json={"error": {"code": "x"}})

    with pytest.raises(InvalidRequestError):
        client.get("/v1/balance")


def test_retries_keep_key_and_body(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(f"{API}/v1/customers", status=500, json={})
    stripe_api.post(f"{API}/v1/customers", body=requests.ReadTimeout("x"))
    stripe_api.post(f"{API}/v1/customers", json={"id": "cus_1"})
    client.post("/v1/customers", {"name": "Ann"})

    assert [call.request.body for call in stripe_api.calls] == ["name=Ann"] * 3
    keys = sent(stripe_api, "Idempotency-Key")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


def test_back_off(clock: FakeClock, stripe_api: responses.RequestsMock) -> None:
    stripe_api.get(f"{API}/v1/balance", status=500, json={})
    client = StripeClient(KEY, clock=clock, max_network_retries=7)

    for _ in range(20):
        clock.slept.clear()

        with pytest.raises(APIError):
            client.get("/v1/balance")

        assert clock.slept[0] == 0.5

        for seconds, longest in zip(clock.slept[1:], [1, 2, 4, 5, 5, 5], strict=True):
            assert longest / 2 <= seconds <= longest


def test_back_off_is_random(
    clock: FakeClock, stripe_api: responses.RequestsMock
) -> None:
    """Clients that failed together must not come back together."""
    stripe_api.get(f"{API}/v1/balance", status=500, json={})
    client = StripeClient(KEY, clock=clock, max_network_retries=9)

    with pytest.raises(APIError):
        client.get("/v1/balance")

    assert len(set(clock.slept)) > 6


# Pages


def page(*ids: str, has_more: bool = False, **more: Any) -> dict[str, Any]:
    data = [{"id": value} for value in ids]
    return {"object": "list", "data": data, "has_more": has_more, **more}


def test_paginate(client: StripeClient, stripe_api: responses.RequestsMock) -> None:
    for cursor, answer in (
        ({}, page("c", "b", has_more=True)),
        ({"starting_after": "b"}, page("a")),
    ):
        stripe_api.get(
            f"{API}/v1/subscriptions",
            json=answer,
            match=[query_param_matcher({"status": "all", **cursor})],
        )

    params = {"status": "all"}
    found = client.paginate("/v1/subscriptions", params)
    assert [item["id"] for item in found] == ["c", "b", "a"]
    assert params == {"status": "all"}


def test_paginate_asks_only_as_far_as_needed(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/prices", json=page("b", "a", has_more=True))
    found = client.paginate("/v1/prices")
    assert not stripe_api.calls

    assert next(found) == {"id": "b"}
    assert len(stripe_api.calls) == 1


def test_paginate_backwards(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    for cursor, answer in (
        ("a", page("c", "b", has_more=True)),
        ("c", page("d")),
    ):
        stripe_api.get(
            f"{API}/v1/events",
            json=answer,
            match=[query_param_matcher({"ending_before": cursor})],
        )

    found = client.paginate("/v1/events", {"ending_before": "a"})
    assert [item["id"] for item in found] == ["b", "c", "d"]


def test_pages_tell_their_time(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    first = {"Date": "Thu, 15 Jan 2026 12:00:00 GMT"}
    stripe_api.get(
        f"{API}/v1/prices", json=page("c", "b", has_more=True), headers=first
    )
    stripe_api.get(
        f"{API}/v1/prices",
        json=page("a"),
        match=[query_param_matcher({"starting_after": "b"})],
    )

    found = list(client.pages("/v1/prices"))

    assert [[item["id"] for item in each["data"]] for each in found] == [
        ["c", "b"],
        ["a"],
    ]
    assert found[0].as_of is not None
    assert found[0].as_of.date() == date(2026, 1, 15)
    assert found[1].as_of is None


@pytest.mark.parametrize(
    ("path", "first"),
    [
        pytest.param(
            "/v1/customers/search",
            page("b", next_page="p2", has_more=True),
            id="search",
        ),
        pytest.param(
            "/v2/core/accounts",
            {"data": [{"id": "b"}], "next_page_url": "//evil.example/?page=p2"},
            id="v2",
        ),
    ],
)
def test_paginate_by_page(
    path: str,
    first: dict[str, Any],
    client: StripeClient,
    stripe_api: responses.RequestsMock,
) -> None:
    """The URL in an answer is not called, only its ``page`` is taken."""
    for cursor, answer in (({}, first), ({"page": "p2"}, page("a"))):
        stripe_api.get(
            API + path,
            json=answer,
            match=[query_param_matcher({"query": "x", **cursor})],
        )

    found = client.paginate(path, {"query": "x"})
    assert [item["id"] for item in found] == ["b", "a"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="no list"),
        pytest.param({"data": None}, id="null"),
        pytest.param({"data": {"id": "a"}}, id="mapping"),
        pytest.param({"data": ["a"]}, id="list of strings"),
        pytest.param(page("a", has_more=True), id="same page again"),
        pytest.param({"data": [{}], "has_more": True}, id="no id"),
        pytest.param({"data": [], "next_page_url": "/v2/x"}, id="no page in URL"),
    ],
)
def test_paginate_answer_that_is_no_page(
    answer: dict[str, Any], client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/prices", json=answer)

    with pytest.raises(APIError, match="GET /v1/prices"):
        list(client.paginate("/v1/prices"))

    assert len(stripe_api.calls) <= 2


def test_paginate_empty(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/prices", json=page(has_more=True))
    assert list(client.paginate("/v1/prices")) == []


# On the wire


class Received(NamedTuple):
    """One request as the server read it."""

    port: int  # of the client, so one number is one connection
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """Answers with ``answers``, byte for byte, then with empty objects.

    An empty answer closes the connection, ``None`` keeps it open and says nothing.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[Received] = []
        self.answers: list[bytes | None] = []
        self.over = threading.Event()

    def client(self, **options: Any) -> StripeClient:
        options.setdefault("clock", FakeClock())
        return StripeClient(KEY, base_url=self.url, **options)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(
            Received(
                self.client_address[1],
                self.command,
                self.path,
                dict(self.headers.items()),
                body,
            )
        )
        answers = self.server.answers
        answer = answers.pop(0) if answers else http(json.dumps({"path": self.path}))

        if answer is None:
            self.server.over.wait(10)

        self.wfile.write(answer or b"")
        self.close_connection = not answer or b"Connection: close" in answer

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def http(body: str = "{}", *headers: str, status: str = "200 OK") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body)
    return "\r\n".join(lines).encode("latin-1")


@contextmanager
def serve() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[Server]:
    with serve() as server:
        yield server


def test_request_on_the_wire(server: Server) -> None:
    answer = server.client().post("/v1/customers", {"metadata": {"a": "b c"}})

    assert answer == {"path": "/v1/customers"}
    (request,) = server.requests
    assert request.method == "POST"
    assert parse_qsl(request.body.decode()) == [("metadata[a]", "b c")]
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_query_on_the_wire(server: Server) -> None:
    value = "a&b=c+d %/?#é~%2E"
    server.client().get("/v1/customers", {"email": value, "expand": ["x"]})

    path, _, query = server.requests[0].path.partition("?")
    assert path == "/v1/customers"
    assert parse_qsl(query) == [("email", value), ("expand[0]", "x")]


def test_quoted_id_stays_one_segment(server: Server) -> None:
    client = server.client()

    for value in ("../../v1/payouts", "a?b#c", "a\\..\\b", "a\r\nb", "é", "%2e%2e"):
        client.get(quote_path("/v1/customers/{}", value))
        path = server.requests[-1].path
        assert path.startswith("/v1/customers/")
        assert path.count("/") == 3


def test_connection_is_used_again(server: Server) -> None:
    client = server.client()
    client.get("/v1/a")
    client.with_options(timeout=5).get("/v1/b")
    server.answers.append(http('{"error": {}}', status="404 Not Found"))

    with pytest.raises(StripeError):
        client.get("/v1/c")

    client.post("/v1/d")
    assert len({request.port for request in server.requests}) == 1


def test_closed_connection_is_opened_again(server: Server) -> None:
    server.answers += [http("{}", "Connection: close")]
    client = server.client(max_network_retries=0)
    client.get("/v1/a")
    client.get("/v1/b")

    assert len({request.port for request in server.requests}) == 2


def test_connection_closed_instead_of_an_answer(server: Server) -> None:
    server.answers += [b"", b""]
    server.client().post("/v1/customers")

    assert len(server.requests) == 3
    assert len({item.headers["Idempotency-Key"] for item in server.requests}) == 1


def test_answer_cut_off(server: Server) -> None:
    """Half an object is no answer, even if it happened to be JSON."""
    server.answers += [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{}"
    ]
    assert server.client().get("/v1/balance") == {"path": "/v1/balance"}
    assert len(server.requests) == 2


def test_no_answer_in_time(server: Server) -> None:
    server.answers += [None, None]
    clock = FakeClock()
    client = server.client(timeout=(5, 0.05), max_network_retries=1, clock=clock)
    started = time.monotonic()

    with pytest.raises(APIConnectionError, match=r"GET /v1/balance.*ReadTimeout"):
        client.get("/v1/balance", {"email": "ann@x"})

    assert time.monotonic() - started < 5
    assert len(clock.slept) == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    client = StripeClient(
        KEY, base_url=f"http://127.0.0.1:{port}", clock=FakeClock(), timeout=5
    )

    with pytest.raises(APIConnectionError, match="GET /v1/customers") as caught:
        client.get("/v1/customers", {"email": "ann@x"})

    assert "ann@x" not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_tls_error_is_not_retried(server: Server) -> None:
    """The server speaks no TLS."""
    clock = FakeClock()
    client = StripeClient(
        KEY, base_url=server.url.replace("http:", "https:"), clock=clock, timeout=5
    )

    with pytest.raises(APIConnectionError, match="SSLError"):
        client.get("/v1/balance")

    assert clock.slept == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}", id="lengths"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\nConnection: close\r\n\r\n",
            id="length",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", id="chunks"
        ),
        pytest.param(http("{}", "Content-Encoding: gzip"), id="gzip"),
        pytest.param(http("{}", "X: " + "x" * 70_000), id="long header"),
        pytest.param(http("{}", *["X: y"] * 200), id="200 headers"),
        pytest.param(http("", status="204 No Content"), id="204"),
        pytest.param(http("{}", "Location: /v1/x", status="302 Found"), id="302"),
        pytest.param(http("{}", "Location: http://[", status="302 Found"), id="302 ["),
        pytest.param(http("{}", "Location: \xff", status="302 Found"), id="302 bytes"),
        pytest.param(http("{}", status="304 Not Modified"), id="304"),
    ],
)
def test_odd_answer_is_a_stripe_error(answer: bytes, server: Server) -> None:
    server.answers += [answer]

    with pytest.raises(StripeError):
        server.client(max_network_retries=0, timeout=5).get("/v1/balance")

    assert len(server.requests) == 1


@pytest.mark.parametrize("own_session", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(
    status: int, own_session: bool, server: Server, other_server: Server
) -> None:
    """Or the key would go to whoever can make Stripe's name point elsewhere."""
    location = f"Location: {other_server.url}/v1/balance"
    server.answers += [http("{}", location, status=f"{status} Moved")]

    with requests.Session() as session:
        client = server.client(session=None if own_session else session)

        with pytest.raises(APIError) as caught:
            client.get("/v1/balance")

    assert caught.value.http_status == status
    assert len(server.requests) == 1
    assert other_server.requests == []


@pytest.mark.parametrize("own_session", [True, False])
def test_netrc_is_ignored(
    own_session: bool,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (".netrc", "_netrc"):
        path = tmp_path / name
        path.write_text("machine 127.0.0.1 login ann password hunter2\n")
        path.chmod(0o600)

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert requests.utils.get_netrc_auth(server.url) == ("ann", "hunter2")

    with requests.Session() as session:
        server.client(session=None if own_session else session).get("/v1/balance")

    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_proxies_of_the_environment_are_ignored(
    server: Server, other_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other_server.url)

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    assert requests.utils.get_environ_proxies(server.url)
    server.client().get("/v1/balance")
    assert len(server.requests) == 1
    assert other_server.requests == []


@pytest.mark.parametrize("own_session", [True, False])
def test_cookies_are_not_sent_back(own_session: bool, server: Server) -> None:
    server.answers += [http("{}", "Set-Cookie: a=b; Path=/")]

    with requests.Session() as session:
        client = server.client(session=None if own_session else session)
        client.get("/v1/a")
        client.get("/v1/b")

    assert len(server.requests) == 2
    assert all("Cookie" not in request.headers for request in server.requests)


def test_given_session_is_used_but_adds_nothing(server: Server) -> None:
    class Counting(requests.Session):
        count = 0

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            self.count += 1
            return super().send(*args, **kwargs)

    with Counting() as session:
        session.auth = ("ann", "hunter2")
        session.headers["X-Other"] = "x"
        session.cookies.set("a", "b", domain="127.0.0.1", path="/")
        client = server.client(session=session)
        client.get("/v1/a")
        client.with_options(timeout=1).get("/v1/b")
        assert session.count == 2

    for request in server.requests:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert not request.headers.keys() & {"X-Other", "Cookie"}


def test_threads_get_their_own_answers(server: Server) -> None:
    client = server.client(max_network_retries=0)
    paths = [f"/v1/customers/cus_{number}" for number in range(120)]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(client.get, paths))

    assert [answer["path"] for answer in answers] == paths
    assert len({request.port for request in server.requests}) <= 12


def test_connection_is_not_shared_across_a_fork(server: Server) -> None:
    """Parent and child would read each other's answers."""
    script = """
import os, sys
from flask_kavach_stripe.client import StripeClient

client = StripeClient("sk_test_1", base_url=sys.argv[1], max_network_retries=0)
client.get("/v1/parent/before")
other = client.with_options(timeout=5)
child = os.fork()

if child == 0:
    ok = other.get("/v1/child/1")["path"] == "/v1/child/1"
    ok = ok and client.get("/v1/child/2")["path"] == "/v1/child/2"
    os._exit(0 if ok else 1)

assert os.waitpid(child, 0)[1] == 0
assert client.get("/v1/parent/after")["path"] == "/v1/parent/after"
"""
    subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", script, server.url],
        check=True,
        timeout=20,
        cwd=Path(__file__).parent.parent,
    )
    ports = {request.path: request.port for request in server.requests}
    assert ports["/v1/parent/before"] == ports["/v1/parent/after"]
    assert ports["/v1/child/1"] == ports["/v1/child/2"]
    assert ports["/v1/child/1"] != ports["/v1/parent/before"]
