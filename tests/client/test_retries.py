"""What is sent again, how often and when: a retry never charges twice."""

from __future__ import annotations

import pytest
import requests
import responses

from flask_kavach_stripe.errors import APIConnectionError
from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.errors import InvalidRequestError
from flask_kavach_stripe.errors import StripeError
from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import BASE
from tests.client.wire import FakeClock
from tests.client.wire import KEY
from tests.client.wire import sent


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
        f"{BASE}/v1/customers", status=status, json={"error": error}, headers=headers
    )

    if again:
        stripe_api.post(f"{BASE}/v1/customers", json={"id": "cus_1"})
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
    stripe_api.post(f"{BASE}/v1/customers", body=error)

    if again:
        stripe_api.post(f"{BASE}/v1/customers", json={"id": "cus_1"})
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
    stripe_api.get(f"{BASE}/v1/balance", status=500, json={})

    with pytest.raises(APIError):
        StripeClient(KEY, clock=clock, max_network_retries=retries).get("/v1/balance")

    assert len(stripe_api.calls) == retries + 1
    assert len(clock.slept) == retries


def test_last_try_decides_the_error(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{BASE}/v1/balance", status=500, json={})
    stripe_api.get(f"{BASE}/v1/balance", body=requests.ConnectionError("x"))
    stripe_api.get(f"{BASE}/v1/balance", status=404, json={"error": {"code": "x"}})

    with pytest.raises(InvalidRequestError):
        client.get("/v1/balance")


def test_retries_keep_key_and_body(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(f"{BASE}/v1/customers", status=500, json={})
    stripe_api.post(f"{BASE}/v1/customers", body=requests.ReadTimeout("x"))
    stripe_api.post(f"{BASE}/v1/customers", json={"id": "cus_1"})
    client.post("/v1/customers", {"name": "Ann"})

    assert [call.request.body for call in stripe_api.calls] == ["name=Ann"] * 3
    keys = sent(stripe_api, "Idempotency-Key")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


def test_back_off(clock: FakeClock, stripe_api: responses.RequestsMock) -> None:
    stripe_api.get(f"{BASE}/v1/balance", status=500, json={})
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
    stripe_api.get(f"{BASE}/v1/balance", status=500, json={})
    client = StripeClient(KEY, clock=clock, max_network_retries=9)

    with pytest.raises(APIError):
        client.get("/v1/balance")

    assert len(set(clock.slept)) > 6
