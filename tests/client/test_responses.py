"""What ``StripeClient`` makes of Stripe's answers."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import UTC

import pytest
import requests
import responses

from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.stripe_api.client import StripeClient
from flask_kavach_stripe.stripe_api.client import StripeResponse
from tests.client.wire import BASE
from tests.client.wire import FakeClock


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

    stripe_api.add_callback("GET", f"{BASE}/v1/balance", callback=answer)
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
    stripe_api.get(f"{BASE}/v1/balance", status=500, json={})
    stripe_api.get(
        f"{BASE}/v1/balance", json={}, headers={"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}
    )

    assert client.get("/v1/balance").as_of == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert clock.slept


def test_response_is_a_dict_with_a_request_id(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{BASE}/v1/balance", json={"id": "x"}, headers={"request-id": "req_1"}
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
    stripe_api.get(f"{BASE}/v1/balance", status=status, json={})
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
    stripe_api.get(f"{BASE}/v1/balance", status=status, body=body)

    with pytest.raises(APIError, match=f"GET /v1/balance.*{status}") as caught:
        client.get("/v1/balance")

    assert caught.value.http_status == status
    assert "hunter2" not in str(caught.value)
    assert len(stripe_api.calls) == 1
