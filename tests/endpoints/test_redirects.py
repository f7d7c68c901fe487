"""The checkout endpoint follows no untrusted redirect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses

from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import expect_checkout_session


@pytest.mark.parametrize("field", ["successUrl", "cancelUrl", "success_url"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "/\\evil.example",
        "https://localhost@evil.example/",
        "http://localhost:5000/",
        "https://localhost/\n",
        "account",
        "ftp://localhost/",
    ],
)
def test_untrusted_redirect(ada: Callable[..., Any], field: str, url: str) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])
    camel_case = field.replace("_u", "U")

    response = buy(shop, {"priceId": "price_pro", field: url})

    assert_error(response, 400, "untrusted_redirect", f"'{camel_case}'")


@pytest.mark.parametrize("url", ["https://spa.example/a?b=c#d", "https://localhost/"])
def test_trusted_redirect(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, url: str
) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])
    expect_checkout_session(stripe_api, success_url=url, cancel_url=url)
    body = {"priceId": "price_pro", "successUrl": url, "cancelUrl": url}

    assert buy(shop, body).status_code == 200


def test_test_key_opens_redirects(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api, success_url="https://any.example/")
    body = {"priceId": "price_pro", "successUrl": "https://any.example/"}

    assert buy(ada(), body).status_code == 200


def test_live_key_closes_redirects(ada: Callable[..., Any]) -> None:
    shop = ada(STRIPE_SECRET_KEY="sk_live_1")
    body = {"priceId": "price_pro", "successUrl": "https://any.example/"}

    assert_error(buy(shop, body), 400, "untrusted_redirect")


@pytest.mark.parametrize(
    ("config", "success_url", "cancel_url"),
    [
        (
            {"STRIPE_SUCCESS_URL": "/ok?s={CHECKOUT_SESSION_ID}"},
            "http://localhost/ok?s={CHECKOUT_SESSION_ID}",
            "http://localhost/",
        ),
        (
            {
                "STRIPE_SUCCESS_URL": "https://spa.example/ok?s=%7BCHECKOUT_SESSION_ID%7D",
                "STRIPE_CANCEL_URL": "https://spa.example/no",
            },
            "https://spa.example/ok?s={CHECKOUT_SESSION_ID}",
            "https://spa.example/no",
        ),
    ],
)
def test_configured_urls_are_used(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    config: dict[str, Any],
    success_url: str,
    cancel_url: str,
) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=[], **config)
    expect_checkout_session(stripe_api, success_url=success_url, cancel_url=cancel_url)

    assert buy(shop).status_code == 200


def test_braces_are_escaped_once_only(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    buy(ada())

    [body] = [str(call.request.body) for call in stripe_api.calls if call.request.body]
    assert "%3Fsession_id%3D%7BCHECKOUT_SESSION_ID%7D" in body


def test_root_url_of_an_app_that_is_mounted_under_a_path(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(
        stripe_api,
        success_url="https://shop.example/app/?session_id={CHECKOUT_SESSION_ID}",
        cancel_url="https://shop.example/app/",
    )
    shop = ada()
    browser = shop.app.test_client()
    base_url = "https://shop.example/app"
    browser.post("/login/1", base_url=base_url)

    response = browser.post(CHECKOUT, json={"priceId": "price_pro"}, base_url=base_url)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "host",
    ["shop.example:99999", "shop.example:", "a b", "shop..example", "%2f", "[::"],
)
def test_malformed_host_is_refused(ada: Callable[..., Any], host: str) -> None:
    browser = ada().app.test_client()
    browser.post("/login/1")
    cookie = browser.get_cookie("session")
    assert cookie is not None

    response = browser.post(
        CHECKOUT,
        json={"priceId": "price_pro"},
        headers={"Host": host, "Cookie": f"session={cookie.value}"},
    )

    assert response.status_code in (400, 401)
