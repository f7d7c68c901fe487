"""The checkout endpoint refuses posts from other sites.

Also beside Flask-WTF, which leaves the webhook alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect
from flask_wtf.csrf import generate_csrf

from flask_kavach_stripe.testing import make_event
from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import event
from tests.vocabulary import expect_checkout_session

# -- cross-site requests -------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://blog.localhost"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:5000"},
    ],
)
@pytest.mark.parametrize("kind", ["json", "data"])
def test_post_from_another_site_is_refused(
    ada: Callable[..., Any], headers: dict[str, str], kind: str
) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])

    response = shop.browser(1).post(
        CHECKOUT, headers=headers, **{kind: {"priceId": "price_pro"}}
    )

    if kind == "json":
        assert_error(response, 403, "cross_site_request")
    else:
        assert (response.status_code, response.mimetype) == (403, "text/plain")
        assert "another site" in response.text


def test_test_key_does_not_open_posts_from_other_sites(ada: Callable[..., Any]) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=None)

    assert_error(
        buy(shop, headers={"Origin": "https://evil.example"}), 403, "cross_site_request"
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://localhost"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://spa.example"},
        {"Origin": "http://localhost"},
        {"Origin": "https://spa.example"},
    ],
)
def test_post_from_our_or_a_trusted_site_passes(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    headers: dict[str, str],
) -> None:
    shop = ada(STRIPE_TRUSTED_ORIGINS=["https://spa.example"])
    expect_checkout_session(stripe_api)

    assert buy(shop, headers=headers).status_code == 200


def test_user_of_a_request_loader_needs_no_cookie(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """A mobile app with a token may post from wherever it is."""
    shop = make_shop(STRIPE_TRIAL_DAYS=0)
    shop.add_user(stripe_customer_id="cus_ada")

    def load(request: Any) -> Any:
        return shop.db.session.get(shop.User, int(request.headers["X-Token"]))

    shop.app.login_manager.request_loader(load)
    expect_checkout_session(stripe_api)
    headers = {"X-Token": "1", "Origin": "https://elsewhere.example"}

    response = shop.app.test_client().post(
        CHECKOUT, json={"priceId": "price_pro"}, headers=headers
    )

    assert response.status_code == 200


# -- Flask-WTF -----------------------------------------------------------------------


def protect(make_shop: Any, order: str) -> tuple[Any, FlaskClient, str]:
    """An app with ``CSRFProtect``, a logged-in browser and its token."""
    shop = make_shop(
        prepare=CSRFProtect if order == "before" else None, STRIPE_TRIAL_DAYS=0
    )

    if order == "after":
        CSRFProtect(shop.app)

    shop.app.add_url_rule("/token", view_func=generate_csrf)
    shop.app.add_url_rule("/own", view_func=lambda: "own", methods=["POST"])
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    browser = shop.app.test_client()

    with browser.session_transaction() as session:
        session["_user_id"] = "1"

    return shop, browser, browser.get("/token").text


@pytest.mark.parametrize("order", ["before", "after"])
def test_csrf_protection_exempts_the_webhook(make_shop: Any, order: str) -> None:
    shop, _, _ = protect(make_shop, order)

    for _ in range(2):
        assert shop.post_event(event("created")).json == {"received": True}

    assert shop.columns()["subscription_id"] == "sub_1"


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("path", [CHECKOUT, "/auth/stripe/portal", "/own"])
def test_csrf_protection_exempts_the_webhook_alone(
    make_shop: Any, order: str, path: str
) -> None:
    shop, browser, _ = protect(make_shop, order)
    shop.post_event(make_event("invoice.paid", {"id": "in_1"}))

    assert browser.post(path, json={"priceId": "price_pro"}).status_code == 400


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("kind", ["json", "data"])
def test_csrf_token_opens_checkout(
    make_shop: Any, stripe_api: responses.RequestsMock, order: str, kind: str
) -> None:
    _, browser, token = protect(make_shop, order)
    expect_checkout_session(stripe_api)
    body = {"priceId": "price_pro"}

    if kind == "json":
        response = browser.post(CHECKOUT, json=body, headers={"X-CSRFToken": token})
    else:
        response = browser.post(CHECKOUT, data={**body, "csrf_token": token})

    assert response.status_code == (200 if kind == "json" else 303)
