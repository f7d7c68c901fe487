"""Which exception an answer raises, and what it says."""

from __future__ import annotations

import pytest
import responses

from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.errors import AuthenticationError
from flask_kavach_stripe.errors import CardError
from flask_kavach_stripe.errors import IdempotencyError
from flask_kavach_stripe.errors import InvalidRequestError
from flask_kavach_stripe.errors import PermissionDeniedError
from flask_kavach_stripe.errors import RateLimitError
from flask_kavach_stripe.errors import StripeError
from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import BASE
from tests.client.wire import KEY


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
    stripe_api.post(f"{BASE}/v1/customers", status=status, json={"error": error})

    with pytest.raises(StripeError) as caught:
        StripeClient(KEY, max_network_retries=0).post("/v1/customers")

    assert type(caught.value) is expected
    assert caught.value.http_status == status
    assert str(status) in str(caught.value)  # as Stripe gave no message


def test_error_attributes(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        f"{BASE}/v1/subscriptions",
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
        f"{BASE}/v1/customers", status=400, json={"error": {"a": 1}}, headers=headers
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
    stripe_api.get(f"{BASE}/v1/balance", status=400, json={"error": error})

    with pytest.raises(StripeError, match="GET /v1/balance") as caught:
        client.get("/v1/balance")

    assert not caught.value.code
    assert caught.value.type is None


def test_oauth_error(client: StripeClient, stripe_api: responses.RequestsMock) -> None:
    stripe_api.post(
        f"{BASE}/v1/oauth",
        status=400,
        json={"error": "invalid_grant", "error_description": "No such code."},
    )

    with pytest.raises(InvalidRequestError, match=r"No such code\.") as caught:
        client.post("/v1/oauth")

    assert caught.value.code == "invalid_grant"
