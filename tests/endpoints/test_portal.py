"""``POST /auth/stripe/portal`` leads into the customer portal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses
from responses.matchers import header_matcher
from responses.matchers import urlencoded_params_matcher

from tests.vocabulary import assert_error
from tests.vocabulary import assert_refused
from tests.vocabulary import customer_of_other_mode
from tests.vocabulary import error_of
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import expect_unknown_customer
from tests.vocabulary import no_such_customer
from tests.vocabulary import PORTAL
from tests.vocabulary import PORTAL_PAGE
from tests.vocabulary import PORTAL_SESSION
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import SECRET_TEXT
from tests.vocabulary import store_subscription


def expect_session(stripe_api: responses.RequestsMock, return_url: str) -> None:
    """Answer one request for a session that says exactly this."""
    body = {"customer": "cus_ada", "return_url": return_url}
    stripe_api.post(
        PORTAL_SESSIONS, json=PORTAL_SESSION, match=[urlencoded_params_matcher(body)]
    )


def enter(shop: Any, body: Any = None, **kwargs: Any) -> Any:
    body = {"returnUrl": "/account"} if body is None else body
    return shop.browser(1).post(PORTAL, json=body, **kwargs)


@pytest.mark.parametrize("field", ["returnUrl", "return_url"])
def test_session(
    kept_shop: Any, stripe_api: responses.RequestsMock, field: str
) -> None:
    expect_session(stripe_api, "http://localhost/account")

    response = enter(kept_shop, {field: "/account"})

    assert response.status_code == 200
    assert response.json == {"url": PORTAL_PAGE}
    assert response.headers["Cache-Control"] == "no-store"


def test_headers_of_the_request(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    expected = {
        "Authorization": "Bearer sk_test_of_the_tests",
        "Stripe-Version": "2026-10-28.endive",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    stripe_api.post(
        PORTAL_SESSIONS, json=PORTAL_SESSION, match=[header_matcher(expected)]
    )

    assert enter(kept_shop).status_code == 200
    assert stripe_api.calls[0].request.headers["Idempotency-Key"]


@pytest.mark.parametrize("field", ["returnUrl", "return_url"])
def test_form_is_answered_with_a_redirect(
    kept_shop: Any, stripe_api: responses.RequestsMock, field: str
) -> None:
    expect_session(stripe_api, "http://localhost/account")

    response = kept_shop.browser(1).post(PORTAL, data={field: "/account"})

    assert response.status_code == 303
    assert response.location == PORTAL_PAGE
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "post",
    [
        pytest.param({}, id="no body"),
        pytest.param({"json": {}}, id="empty object"),
        pytest.param({"json": {"returnUrl": None}}, id="null"),
        pytest.param({"data": {"csrf": "1"}}, id="form"),
    ],
)
def test_configured_return_url(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, post: dict[str, Any]
) -> None:
    shop = ada(STRIPE_PORTAL_RETURN_URL="/billing")
    expect_session(stripe_api, "http://localhost/billing")

    assert shop.browser(1).post(PORTAL, **post).status_code in (200, 303)


def test_configured_return_url_needs_no_trust(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(
        STRIPE_PORTAL_RETURN_URL="https://spa.example/a", STRIPE_TRUSTED_ORIGINS=[]
    )
    expect_session(stripe_api, "https://spa.example/a")

    assert enter(shop, {}).status_code == 200


def test_browser_wins_over_the_configured_return_url(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api, "http://localhost/account")

    assert enter(ada(STRIPE_PORTAL_RETURN_URL="/billing")).status_code == 200


@pytest.mark.parametrize(
    "post", [{}, {"json": {}}, {"json": {"returnUrl": ""}}, {"data": {"returnUrl": ""}}]
)
def test_missing_return_url(kept_shop: Any, post: dict[str, Any]) -> None:
    browser = kept_shop.browser(1)

    response = browser.post(PORTAL, **post)

    kind = "data" if "data" in post else "json"
    assert_refused(browser, response, kind, 400, "missing_field", "'returnUrl'")


def test_401_is_never_a_redirect(make_shop: Any) -> None:
    """For a program, that is; a form leads to the log-in."""
    shop = make_shop()
    shop.app.login_manager.login_view = "login"

    response = shop.browser().post(PORTAL, json={"returnUrl": "/account"})

    assert_error(response, 401, "authentication_required")
    assert "Location" not in response.headers


@pytest.mark.parametrize("kind", ["json", "data"])
def test_user_without_a_customer(kept_shop: Any, kind: str) -> None:
    """Stripe is not called."""
    user_id = kept_shop.add_user(email="bob@example.com")

    browser = kept_shop.browser(user_id)

    response = browser.post(PORTAL, **{kind: {"returnUrl": "/"}})

    assert_refused(browser, response, kind, 404, "no_customer", "no customer")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "/\\evil.example",
        "https://localhost@evil.example/",
        "account",
    ],
)
@pytest.mark.parametrize("kind", ["json", "data"])
def test_untrusted_redirect(ada: Callable[..., Any], url: str, kind: str) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])

    browser = shop.browser(1)

    response = browser.post(PORTAL, **{kind: {"returnUrl": url}})

    assert_refused(browser, response, kind, 400, "untrusted_redirect", "'returnUrl'")
    assert response.location in (None, "/")


@pytest.mark.parametrize("url", ["https://spa.example/a?b=c#d", "https://localhost/"])
def test_trusted_redirect(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, url: str
) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])
    expect_session(stripe_api, url)

    assert enter(shop, {"returnUrl": url}).status_code == 200


def test_live_key_closes_redirects(ada: Callable[..., Any]) -> None:
    response = enter(
        ada(STRIPE_SECRET_KEY="rk_live_1"), {"returnUrl": "https://any.example"}
    )

    assert_error(response, 400, "untrusted_redirect")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_post_from_another_site_is_refused(
    kept_shop: Any, headers: dict[str, str]
) -> None:
    assert_error(enter(kept_shop, headers=headers), 403, "cross_site_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://spa.example"},
    ],
)
def test_post_from_our_or_a_trusted_site_passes(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    headers: dict[str, str],
) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])
    expect_session(stripe_api, "http://localhost/account")

    assert enter(shop, headers=headers).status_code == 200


def test_browser_cannot_choose_the_customer(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api, "http://localhost/account")
    body = {
        "returnUrl": "/account",
        "customer": "cus_eve",
        "customerId": "cus_eve",
        "configuration": "bpc_1",
    }

    assert enter(kept_shop, body).status_code == 200


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        pytest.param(
            {
                "status": 400,
                "json": error_of(code="url_invalid", param="return_url"),
            },
            400,
            "url_invalid",
            id="refused",
        ),
        pytest.param(
            {
                "status": 400,
                "json": error_of(),
            },
            400,
            "invalid_request",
            id="refused without a code",
        ),
        pytest.param(
            {"status": 401, "json": {"error": {"message": SECRET_TEXT}}},
            502,
            "stripe_error",
            id="bad key",
        ),
        pytest.param(
            {"status": 500, "json": {"error": {"message": SECRET_TEXT}}},
            502,
            "stripe_error",
            id="500",
        ),
        pytest.param({"json": {"id": 1}}, 502, "stripe_error", id="not a session"),
        pytest.param(
            {"status": 429, "json": {"error": {"message": SECRET_TEXT}}},
            503,
            "stripe_unavailable",
            id="rate limit",
        ),
        pytest.param(
            {"body": requests.ConnectTimeout(SECRET_TEXT)},
            503,
            "stripe_unavailable",
            id="time-out",
        ),
    ],
)
def test_error_of_stripe(
    kept_shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    answer: dict[str, Any],
    status: int,
    code: str,
) -> None:
    stripe_api.post(PORTAL_SESSIONS, **answer)

    response = enter(kept_shop)

    assert_error(response, status, code)
    assert SECRET_TEXT not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    assert (SECRET_TEXT in caplog.text) == ("error" in answer.get("json", {}))


def test_missing_key(
    ada: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)

    assert_error(enter(ada(STRIPE_SECRET_KEY=None)), 502, "stripe_error")
    assert "'STRIPE_SECRET_KEY' is not set" in caplog.text


def test_deleted_customer_is_forgotten(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop)
    stripe_api.post(PORTAL_SESSIONS, status=400, json=no_such_customer())
    expect_deleted_customer(stripe_api)

    assert_error(enter(kept_shop), 404, "no_customer")
    columns = kept_shop.columns()
    assert columns["customer_id"] is None
    assert columns["subscription_id"] is None
    assert columns["subscription_status"] == "canceled"
    assert [row.status for row in kept_shop.subscriptions] == ["canceled"]


def test_customer_of_the_other_mode_is_kept(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    before = kept_shop.columns()
    stripe_api.post(PORTAL_SESSIONS, status=400, json=customer_of_other_mode())
    expect_unknown_customer(stripe_api)

    assert_error(enter(kept_shop), 409, "unknown_customer")
    assert kept_shop.columns() == before
