"""What stands in front of an app in development or production, and is not known to it.

A front end on another port is named with the key that lets it in. A proxy without
``ProxyFix`` is named in the log, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses
from werkzeug.middleware.proxy_fix import ProxyFix

from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import sent_params

VITE = {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site"}

# -- another port --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "data"])
def test_front_end_on_another_port_is_named_with_the_key(
    ada: Callable[..., Any], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    browser = ada().browser(1)

    answer = browser.post(CHECKOUT, headers=VITE, **{kind: {"priceId": "price_pro"}})

    sentence = answer.json["error"] if kind == "json" else answer.text
    assert answer.status_code == 403

    for text in (sentence, caplog.text):
        assert "'http://localhost:5173'" in text
        assert "'STRIPE_TRUSTED_ORIGINS'" in text


def test_what_the_sentence_says_helps(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    shop = ada(STRIPE_TRUSTED_ORIGINS=["http://localhost:5173"])

    assert buy(shop, headers=VITE).status_code == 200


def test_live_key_names_the_other_site_in_the_log_alone(
    ada: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    shop = ada(STRIPE_SECRET_KEY="sk_live_1")

    answer = buy(shop, headers={"Origin": "https://evil.example"})

    assert_error(answer, 403, "cross_site_request")
    assert answer.json["error"] == "This request comes from another site."
    assert "'https://evil.example'" in caplog.text
    assert "'STRIPE_TRUSTED_ORIGINS'" in caplog.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_browser_that_does_not_name_the_other_site(
    ada: Callable[..., Any], headers: dict[str, str]
) -> None:
    answer = buy(ada(), headers=headers)

    assert_error(answer, 403, "cross_site_request", "does not say from which one")


# -- a proxy -------------------------------------------------------------------------


@pytest.fixture
def shop(make_shop: Any, stripe_api: responses.RequestsMock) -> Any:
    """An app at ``http://127.0.0.1:8000``, with a Stripe that makes any session."""
    stripe_api.assert_all_requests_are_fired = False
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    shop = make_shop(STRIPE_TRIAL_DAYS=0, STRIPE_SUCCESS_URL="/welcome")
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


def buy_through_proxy(
    shop: Any, headers: dict[str, str], base_url: str = "http://127.0.0.1:8000"
) -> Any:
    browser = shop.app.test_client()
    browser.post("/login/1", base_url=base_url)
    return browser.post(
        CHECKOUT, json={"priceId": "price_pro"}, base_url=base_url, headers=headers
    )


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "ProxyFix" in message]


@pytest.mark.parametrize(
    ("headers", "base_url"),
    [
        (FORWARDED, "http://127.0.0.1:8000"),
        ({"X-Forwarded-Host": "shop.example"}, "http://127.0.0.1:8000"),
        ({"X-Forwarded-Proto": "https"}, "http://shop.example"),
        ({"X-Forwarded-Proto": "http, https"}, "http://shop.example"),
    ],
)
def test_proxy_that_the_app_does_not_know_is_named(
    shop: Any, caplog: pytest.LogCaptureFixture, headers: Any, base_url: str
) -> None:
    buy_through_proxy(shop, headers, base_url)

    [warning] = warnings(caplog)
    assert f"{base_url}/welcome" in warning
    assert all(name in warning for name in headers)


def test_proxy_is_named_once(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert buy_through_proxy(shop, FORWARDED).status_code == 200

    assert len(warnings(caplog)) == 1


def test_old_browser_that_is_refused_behind_a_proxy(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It sends ``Origin`` alone, which is not the address that the app sees."""
    answer = buy_through_proxy(shop, {**FORWARDED, "Origin": "https://shop.example"})

    assert_error(answer, 403, "cross_site_request")
    [warning] = warnings(caplog)
    assert "http://127.0.0.1:8000/" in warning


@pytest.mark.parametrize(
    ("headers", "base_url"),
    [
        ({}, "http://127.0.0.1:8000"),
        (FORWARDED, "https://shop.example"),
        ({"X-Forwarded-Host": "SHOP.example:443"}, "https://shop.example"),
        ({"X-Forwarded-Proto": "http"}, "http://127.0.0.1:8000"),
        ({"X-Forwarded-Host": "a\\b"}, "http://127.0.0.1:8000"),
        ({"X-Forwarded-Proto": "gopher"}, "http://127.0.0.1:8000"),
    ],
)
def test_proxy_that_says_nothing_else_is_not_named(
    shop: Any, caplog: pytest.LogCaptureFixture, headers: Any, base_url: str
) -> None:
    assert buy_through_proxy(shop, headers, base_url).status_code == 200
    assert warnings(caplog) == []


def test_proxy_fix_needs_no_warning(
    shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop.app.wsgi_app = ProxyFix(shop.app.wsgi_app, x_proto=1, x_host=1)

    assert buy_through_proxy(shop, FORWARDED).status_code == 200
    assert sent_params(stripe_api)["success_url"] == "https://shop.example/welcome"
    assert warnings(caplog) == []
