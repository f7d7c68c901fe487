"""The key is in no error, log line or repr of ``StripeClient``."""

from __future__ import annotations

import logging
import traceback

import pytest
import requests
import responses

from flask_kavach_stripe.errors import AuthenticationError
from flask_kavach_stripe.errors import ConfigurationError
from flask_kavach_stripe.stripe_api.client import DEFAULT_API_VERSION
from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import BASE
from tests.client.wire import KEY


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


def test_key_is_scrubbed_from_stripes_text(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{BASE}/v1/balance",
        status=401,
        json={"error": {"message": f"Bad key {KEY}!", "param": KEY, "code": KEY}},
    )

    with pytest.raises(AuthenticationError, match=r"Bad key \*\*\*!") as caught:
        client.get("/v1/balance")

    error = caught.value
    assert KEY not in repr(error) + repr(vars(error)) + repr(error.args)


def test_key_is_in_no_repr(client: StripeClient) -> None:
    for text in (repr(client), str(client), f"{client.with_options(timeout=1)}"):
        assert text == f"<StripeClient {BASE} {DEFAULT_API_VERSION}>"


def test_log_has_no_params_and_no_key(
    client: StripeClient,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="flask_kavach_stripe")
    stripe_api.get(f"{BASE}/v1/customers", body=requests.ConnectionError(KEY))
    stripe_api.get(
        f"{BASE}/v1/customers", json={"email": "ann@x"}, headers={"Request-Id": "req_1"}
    )
    client.get("/v1/customers", {"email": "ann@x"})

    assert [record.getMessage() for record in caplog.records] == [
        "GET /v1/customers: ConnectionError",
        "GET /v1/customers: 200 req_1",
    ]
    assert all(record.levelno == logging.DEBUG for record in caplog.records)
