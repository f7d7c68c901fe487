"""An app that is mounted below a path, as ``/shop``, and its configured paths.

A path of the configuration is one of the app. A path that the app's code or a browser
gives is one of the site: what ``url_for`` says has the ``/shop`` in it already.
"""

from __future__ import annotations

from typing import Any

import pytest
import responses
from flask import url_for

from tests.vocabulary import assert_sent_back
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import PORTAL
from tests.vocabulary import PORTAL_SESSION
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import sent_params

SITE = "https://a.example"
#: Werkzeug's test client makes ``SCRIPT_NAME`` of the path.
MOUNTED = {"base_url": f"{SITE}/shop"}


@pytest.fixture
def shop(make_shop: Any) -> Any:
    shop = make_shop(
        STRIPE_SUCCESS_URL="/welcome?session_id={CHECKOUT_SESSION_ID}",
        STRIPE_CANCEL_URL="/plans",
        STRIPE_PORTAL_RETURN_URL="/account",
        STRIPE_TRUSTED_ORIGINS=[],
    )
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    shop.app.add_url_rule("/welcome", "welcome", lambda: "welcome")
    return shop


@pytest.fixture
def browser(shop: Any) -> Any:
    browser = shop.app.test_client()
    browser.post("/login/1", **MOUNTED)
    return browser


def sent(stripe_api: responses.RequestsMock) -> dict[str, str]:
    """What Stripe was sent in a request for a session of either kind."""
    params = sent_params(stripe_api)
    return {name: params[name] for name in params if name.endswith("_url")}


@pytest.fixture
def stripe(stripe_api: responses.RequestsMock) -> responses.RequestsMock:
    """A Stripe that makes any session."""
    stripe_api.assert_all_requests_are_fired = False
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    stripe_api.post(PORTAL_SESSIONS, json=PORTAL_SESSION)
    return stripe_api


def test_buyer_comes_back_into_the_app(
    browser: Any, stripe: responses.RequestsMock
) -> None:
    browser.post(CHECKOUT, json={"priceId": "price_pro"}, **MOUNTED)

    assert sent(stripe) == {
        "success_url": f"{SITE}/shop/welcome?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{SITE}/shop/plans",
    }


def test_portal_leads_back_into_the_app(
    browser: Any, stripe: responses.RequestsMock
) -> None:
    browser.post(PORTAL, json={}, **MOUNTED)

    assert sent(stripe) == {"return_url": f"{SITE}/shop/account"}


def test_path_of_a_browser_is_one_of_the_site(
    browser: Any, stripe: responses.RequestsMock
) -> None:
    fields = {"successUrl": "/shop/welcome", "cancelUrl": "/elsewhere"}
    browser.post(CHECKOUT, json={"priceId": "price_pro", **fields}, **MOUNTED)

    assert sent(stripe) == {
        "success_url": f"{SITE}/shop/welcome",
        "cancel_url": f"{SITE}/elsewhere",
    }


def test_path_of_url_for_is_not_prefixed_twice(
    shop: Any, stripe: responses.RequestsMock
) -> None:
    with shop.app.test_request_context("/", **MOUNTED):
        shop.kavach_stripe.create_checkout_session(
            1, "price_pro", success_url=url_for("welcome"), cancel_url="/elsewhere"
        )

    assert sent(stripe) == {
        "success_url": f"{SITE}/shop/welcome",
        "cancel_url": f"{SITE}/elsewhere",
    }


def test_absolute_urls_of_the_configuration_stay(
    make_shop: Any, stripe: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_SUCCESS_URL=f"{SITE}/a", STRIPE_CANCEL_URL=f"{SITE}/b")
    shop.add_user(stripe_customer_id="cus_ada")

    with shop.app.test_request_context("/", **MOUNTED):
        shop.kavach_stripe.create_checkout_session(1, "price_pro")

    assert sent(stripe) == {"success_url": f"{SITE}/a", "cancel_url": f"{SITE}/b"}


def test_outside_of_a_request_the_application_root_counts(
    shop: Any, stripe: responses.RequestsMock
) -> None:
    shop.app.config.update(SERVER_NAME="a.example", APPLICATION_ROOT="/shop")

    with shop.app.app_context():
        shop.kavach_stripe.create_checkout_session(1, "price_pro")

    assert sent(stripe)["cancel_url"] == "http://a.example/shop/plans"


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL])
def test_get_leads_into_the_app(browser: Any, path: str) -> None:
    assert browser.get(path, **MOUNTED).location == "/shop/plans"


def test_form_that_fails_leads_into_the_app(browser: Any) -> None:
    answer = browser.post(PORTAL, data={"returnUrl": "//evil.example"}, **MOUNTED)

    assert answer.location == "/shop/account"


@pytest.mark.parametrize(
    ("referer", "place"),
    [("/shop/pricing", "/shop/pricing"), (f"/shop{CHECKOUT}", "/shop/plans")],
)
def test_form_that_fails_knows_the_page_it_is_on(
    shop: Any, referer: str, place: str
) -> None:
    browser = shop.app.test_client()
    browser.post("/login/1")
    headers = {"Referer": f"http://localhost{referer}"}

    answer = browser.post(
        CHECKOUT,
        data={"csrf_token": "x"},
        headers=headers,
        environ_overrides={"SCRIPT_NAME": "/shop"},
    )

    assert_sent_back(browser, answer, to=place)
