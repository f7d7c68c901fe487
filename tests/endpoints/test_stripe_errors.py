"""The browser gets a code, the log Stripe's text, when a checkout fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses

from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import error_of
from tests.vocabulary import SECRET_TEXT


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        pytest.param(
            {
                "status": 400,
                "json": error_of(
                    "invalid_request_error",
                    code="resource_missing",
                    param="line_items[0][price]",
                ),
            },
            400,
            "resource_missing",
            id="no such price",
        ),
        pytest.param(
            {"status": 404, "json": error_of("invalid_request_error", code="odd")},
            400,
            "odd",
            id="404",
        ),
        pytest.param(
            {"status": 400, "json": error_of("idempotency_error")},
            502,
            "stripe_error",
            id="idempotency",
        ),
        pytest.param(
            {"status": 401, "json": error_of("invalid_request_error")},
            502,
            "stripe_error",
            id="bad key",
        ),
        pytest.param(
            {"status": 402, "json": error_of("card_error", code="card_declined")},
            502,
            "stripe_error",
            id="card",
        ),
        pytest.param(
            {"status": 403, "json": error_of("invalid_request_error")},
            502,
            "stripe_error",
            id="no permission",
        ),
        pytest.param(
            {"status": 409, "json": error_of("invalid_request_error", code="x")},
            502,
            "stripe_error",
            id="409",
        ),
        pytest.param(
            {"status": 500, "json": error_of("api_error")},
            502,
            "stripe_error",
            id="500",
        ),
        pytest.param(
            {"status": 502, "body": "<html>"}, 502, "stripe_error", id="no JSON"
        ),
        pytest.param(
            {"status": 302, "headers": {"Location": "https://evil.example"}},
            502,
            "stripe_error",
            id="redirect",
        ),
        pytest.param({"body": "[]"}, 502, "stripe_error", id="not an object"),
        pytest.param({"json": {}}, 502, "stripe_error", id="not a session"),
        pytest.param(
            {"status": 429, "json": error_of("invalid_request_error", code="x")},
            503,
            "stripe_unavailable",
            id="rate limit",
        ),
        pytest.param(
            {
                "status": 400,
                "json": error_of("invalid_request_error", code="rate_limit"),
            },
            503,
            "stripe_unavailable",
            id="rate limit as 400",
        ),
        pytest.param(
            {"body": requests.ConnectionError(SECRET_TEXT)},
            503,
            "stripe_unavailable",
            id="no connection",
        ),
        pytest.param(
            {"body": requests.exceptions.SSLError(SECRET_TEXT)},
            503,
            "stripe_unavailable",
            id="TLS",
        ),
        pytest.param(
            {"body": requests.ReadTimeout(SECRET_TEXT)},
            503,
            "stripe_unavailable",
            id="time-out",
        ),
    ],
)
def test_error_of_stripe(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    answer: dict[str, Any],
    status: int,
    code: str,
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, **answer)

    response = buy(ada())

    assert_error(response, status, code)
    assert SECRET_TEXT not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)
    logged = [r for r in caplog.records if r.name.startswith("flask_kavach_stripe")]
    assert any(record.levelno >= logging.ERROR for record in logged)

    if answer.get("json"):
        assert SECRET_TEXT in caplog.text


def test_retry_after_is_in_seconds(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, body=requests.ConnectionError("down"))

    assert 0 < int(buy(ada()).headers["Retry-After"]) < 60


def test_error_names_the_parameter(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    body = error_of("invalid_request_error", code="c", param="line_items[0][price]")
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=body)

    assert_error(buy(ada()), 400, "c", "line_items[0][price]")


def test_key_is_neither_logged_nor_answered(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = "sk_test_of_the_tests"
    stripe_api.post(
        CHECKOUT_SESSIONS,
        status=401,
        json={"error": {"type": "x", "message": f"Invalid API Key provided: {key}"}},
    )
    caplog.set_level(logging.DEBUG)

    response = buy(ada())

    assert_error(response, 502, "stripe_error")
    assert "Invalid API Key provided" in caplog.text
    assert key not in caplog.text + response.text


@pytest.mark.parametrize("key", [None, "", "  "])
def test_missing_key(
    ada: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    key: str | None,
) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    shop = ada(STRIPE_SECRET_KEY=key)

    assert_error(buy(shop), 502, "stripe_error")
    assert "'STRIPE_SECRET_KEY' is not set" in caplog.text
