"""``POST /auth/stripe/checkout``, from outside."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import UTC
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import parse_qsl

import pytest
import requests
import responses
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect
from flask_wtf.csrf import generate_csrf
from responses.matchers import header_matcher
from responses.matchers import query_param_matcher
from responses.matchers import urlencoded_params_matcher

from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription

CHECKOUT = "/auth/stripe/checkout"
SESSIONS = "https://api.stripe.com/v1/checkout/sessions"
CUSTOMERS = "https://api.stripe.com/v1/customers"
SUBSCRIPTIONS = "https://api.stripe.com/v1/subscriptions"
PAGE = "https://checkout.stripe.com/c/pay/cs_test_1"
SESSION = {"id": "cs_test_1", "object": "checkout.session", "url": PAGE}

#: What every session of user 1 says, if nothing is chosen; without a trial.
PARAMS = {
    "mode": "subscription",
    "customer": "cus_ada",
    "client_reference_id": "1",
    "line_items[0][price]": "price_pro",
    "line_items[0][quantity]": "1",
    "success_url": "http://localhost/?session_id={CHECKOUT_SESSION_ID}",
    "cancel_url": "http://localhost/",
    "metadata[kavach_user_id]": "1",
    "subscription_data[metadata][kavach_user_id]": "1",
}

NO_SUCH_CUSTOMER = {
    "error": {
        "type": "invalid_request_error",
        "code": "resource_missing",
        "param": "customer",
        "message": "No such customer: 'cus_ada'",
    }
}


@pytest.fixture
def ada(keep_shop: Any) -> Callable[..., Any]:
    """Make an app without trials, with one user who has a customer."""

    def make(**config: Any) -> Any:
        shop = keep_shop(**{"STRIPE_TRIAL_DAYS": 0, **config})
        shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
        return shop

    return make


def expect_session(stripe_api: responses.RequestsMock, **params: str) -> None:
    """Answer one request for a session that says exactly this."""
    stripe_api.post(
        SESSIONS,
        json=SESSION,
        match=[urlencoded_params_matcher({**PARAMS, **params})],
    )


def sent(stripe_api: responses.RequestsMock, index: int = -1) -> dict[str, str]:
    """The body of a request to Stripe."""
    return dict(parse_qsl(str(stripe_api.calls[index].request.body)))


def buy(shop: Any, body: Any = None, **kwargs: Any) -> Any:
    """Ask for a session as user 1, for "price_pro" if nothing else is asked for."""
    body = {"priceId": "price_pro"} if body is None else body
    return shop.browser(1).post(CHECKOUT, json=body, **kwargs)


def assert_error(response: Any, status: int, code: str, *words: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert response.json.keys() == {"error", "code"}
    assert response.json["code"] == code
    assert response.json["error"].endswith(".")
    assert " " in response.json["error"]
    assert all(word in response.json["error"] for word in words)


# -- what is sent and answered -------------------------------------------------------


def test_camel_case_fields(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=30)
    expect_session(
        stripe_api,
        **{
            "line_items[0][quantity]": "3",
            "success_url": "https://localhost/done?s={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://localhost/no",
            "subscription_data[trial_period_days]": "9",
            "metadata[plan]": "a&b=c",
            "subscription_data[metadata][plan]": "a&b=c",
        },
    )

    response = buy(
        shop,
        {
            "priceId": "price_pro",
            "successUrl": "https://localhost/done?s={CHECKOUT_SESSION_ID}",
            "cancelUrl": "/no",
            "trialDays": 9,
            "quantity": 3,
            "metadata": {"plan": "a&b=c"},
        },
    )

    assert response.status_code == 200
    assert response.json == {"url": PAGE, "sessionId": "cs_test_1"}
    assert response.headers["Cache-Control"] == "no-store"


def test_snake_case_fields(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=30)
    expect_session(
        stripe_api,
        **{
            "success_url": "http://localhost/done",
            "cancel_url": "http://localhost/no",
            "subscription_data[trial_period_days]": "9",
        },
    )

    response = buy(
        shop,
        {
            "price_id": "price_pro",
            "success_url": "/done",
            "cancel_url": "/no",
            "trial_days": 9,
        },
    )

    assert response.json == {"url": PAGE, "sessionId": "cs_test_1"}


def test_null_is_as_if_not_sent(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api)
    optional = ("price", "successUrl", "cancelUrl", "trialDays", "quantity", "metadata")

    response = buy(ada(), {"priceId": "price_pro"} | dict.fromkeys(optional))

    assert response.status_code == 200


def test_headers_of_the_request(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        SESSIONS,
        json=SESSION,
        match=[
            header_matcher(
                {
                    "Authorization": "Bearer sk_test_of_the_tests",
                    "Stripe-Version": "2025-03-31.basil",
                    "Content-Type": "application/x-www-form-urlencoded",
                }
            )
        ],
    )

    assert buy(ada(STRIPE_API_VERSION="2025-03-31.basil")).status_code == 200
    assert len(stripe_api.calls[0].request.headers["Idempotency-Key"]) >= 32


@pytest.mark.parametrize(
    ("user_id", "requests_sent"),
    [
        pytest.param(1, [SESSIONS], id="a customer"),
        pytest.param(2, [CUSTOMERS, SESSIONS], id="the first time"),
    ],
)
def test_number_of_requests(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    user_id: int,
    requests_sent: list[str],
) -> None:
    shop = ada()
    shop.add_user(email="bob@example.com")
    stripe_api.assert_all_requests_are_fired = False
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob", "object": "customer"})
    stripe_api.post(SESSIONS, json=SESSION)

    response = shop.browser(user_id).post(CHECKOUT, json={"priceId": "price_pro"})

    assert response.status_code == 200
    assert [call.request.url for call in stripe_api.calls] == requests_sent


def test_each_session_has_a_key_of_its_own(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    """A key that depends on what is bought would give a used page for a day."""
    stripe_api.post(SESSIONS, json=SESSION)
    shop = ada()

    buy(shop)
    buy(shop)

    keys = {call.request.headers["Idempotency-Key"] for call in stripe_api.calls}
    assert len(keys) == 2


def test_mimetype_of_the_json_does_not_matter(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api)

    response = (
        ada()
        .browser(1)
        .post(CHECKOUT, data=b'{"priceId": "price_pro"}', content_type="text/plain")
    )

    assert response.json == {"url": PAGE, "sessionId": "cs_test_1"}


def test_browser_cannot_choose_whose_session_it_is(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api)

    response = buy(
        ada(),
        {
            "priceId": "price_pro",
            "customer": "cus_eve",
            "customerId": "cus_eve",
            "client_reference_id": "2",
            "mode": "payment",
            "line_items": [{"price": "price_cheap"}],
            "subscription_data": {"trial_period_days": 700},
        },
    )

    assert response.status_code == 200


def test_browser_cannot_set_our_metadata(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api)

    body = {"priceId": "price_pro", "metadata": {"kavach_user_id": "2"}}

    assert buy(ada(), body).status_code == 200


def test_49_keys_of_metadata_fit_beside_ours(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(SESSIONS, json=SESSION)
    metadata = {f"{'k' * 38}{number:02}": "v" * 500 for number in range(49)}

    assert buy(ada(), {"priceId": "p", "metadata": metadata}).status_code == 200
    assert sum(name.startswith("metadata[") for name in sent(stripe_api)) == 50


# -- forms ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"priceId": "price_pro", "trialDays": "9", "quantity": "3"},
        {"price_id": "price_pro", "trial_days": "9", "quantity": "3"},
        {"price": "pro", "trialDays": "9", "quantity": "3", "successUrl": ""},
    ],
)
def test_form_is_answered_with_a_redirect(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, fields: dict[str, str]
) -> None:
    shop = ada(STRIPE_PRICES={"pro": "price_pro"}, STRIPE_TRIAL_DAYS=9)
    expect_session(
        stripe_api,
        **{
            "line_items[0][quantity]": "3",
            "subscription_data[trial_period_days]": "9",
        },
    )

    response = shop.browser(1).post(CHECKOUT, data=fields)

    assert response.status_code == 303
    assert response.location == PAGE
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({}, "missing_field", "priceId"),
        ({"priceId": ""}, "missing_field", "priceId"),
        ({"priceId": "p", "quantity": "two"}, "invalid_field", "quantity"),
        ({"priceId": "p", "quantity": "1.0"}, "invalid_field", "quantity"),
        ({"priceId": "p", "quantity": " 1"}, "invalid_field", "quantity"),
        ({"priceId": "p", "quantity": "٣"}, "invalid_field", "quantity"),
        ({"priceId": "p", "quantity": "9" * 5000}, "invalid_field", "quantity"),
        ({"priceId": "p", "trialDays": "-1"}, "invalid_field", "trialDays"),
        ({"priceId": "p", "metadata": "{}"}, "invalid_field", "metadata"),
    ],
)
def test_wrong_form_is_refused(
    ada: Callable[..., Any], fields: dict[str, str], code: str, name: str
) -> None:
    response = ada().browser(1).post(CHECKOUT, data=fields)

    assert_error(response, 400, code, f"'{name}'")


# -- who asks ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "data"])
@pytest.mark.parametrize("login_view", [None, "login"])
def test_401_is_never_a_redirect(
    make_shop: Any, kind: str, login_view: str | None
) -> None:
    shop = make_shop()
    shop.app.login_manager.login_view = login_view

    response = shop.browser().post(CHECKOUT, **{kind: {"priceId": "price_pro"}})

    assert_error(response, 401, "authentication_required")
    assert "Location" not in response.headers


def test_401_comes_before_every_other_error(ada: Callable[..., Any]) -> None:
    response = (
        ada().browser().post(CHECKOUT, data=b"\xff", headers={"Origin": "https://x.y"})
    )

    assert_error(response, 401, "authentication_required")


def test_user_who_was_deleted_is_not_logged_in(ada: Callable[..., Any]) -> None:
    shop = ada()
    browser = shop.browser(1)

    with shop.app.app_context():
        shop.db.session.delete(shop.db.session.get(shop.User, 1))
        shop.db.session.commit()

    response = browser.post(CHECKOUT, json={"priceId": "price_pro"})

    assert_error(response, 401, "authentication_required")


def test_get_is_not_allowed(ada: Callable[..., Any]) -> None:
    assert ada().browser(1).get(CHECKOUT).status_code == 405


# -- prices --------------------------------------------------------------------------

NAMES = {"pro": "price_pro", "team": {"price": "price_team", "trial_days": 14}}


@pytest.mark.parametrize(
    ("prices", "body", "bought"),
    [
        (None, {"priceId": "price_any"}, "price_any"),
        ("*", {"priceId": "price_any"}, "price_any"),
        (NAMES, {"priceId": "price_pro"}, "price_pro"),
        (NAMES, {"priceId": "price_team"}, "price_team"),
        (NAMES, {"price": "pro"}, "price_pro"),
        (NAMES, {"price": "team"}, "price_team"),
        (NAMES, {"price": "pro", "priceId": "price_pro"}, "price_pro"),
    ],
)
def test_allowed_price(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    prices: Any,
    body: dict[str, str],
    bought: str,
) -> None:
    stripe_api.post(SESSIONS, json=SESSION)

    assert buy(ada(STRIPE_PRICES=prices), body).status_code == 200
    assert sent(stripe_api)["line_items[0][price]"] == bought


@pytest.mark.parametrize(
    ("prices", "body", "field"),
    [
        (NAMES, {"priceId": "price_other"}, "priceId"),
        (NAMES, {"priceId": "pro"}, "priceId"),
        (NAMES, {"priceId": "PRICE_PRO"}, "priceId"),
        (NAMES, {"priceId": " price_pro"}, "priceId"),
        (NAMES, {"price": "other"}, "price"),
        (NAMES, {"price": "price_pro"}, "price"),
        (NAMES, {"price": "team", "priceId": "price_pro"}, "price"),
        (NAMES, {"price": "other", "priceId": "price_pro"}, "price"),
        ("*", {"price": "pro"}, "price"),
        (None, {"price": "pro"}, "price"),
        ({}, {"priceId": "price_pro"}, "priceId"),
    ],
)
def test_price_that_is_not_for_sale(
    ada: Callable[..., Any], prices: Any, body: dict[str, str], field: str
) -> None:
    response = buy(ada(STRIPE_PRICES=prices), body)

    assert_error(response, 400, "price_not_allowed", f"'{field}'")


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "sk_org_1"])
def test_live_key_sells_what_is_named(ada: Callable[..., Any], key: str) -> None:
    shop = ada(STRIPE_SECRET_KEY=key, STRIPE_PRICES=NAMES)

    assert_error(buy(shop, {"priceId": "price_x"}), 400, "price_not_allowed")


# -- trials --------------------------------------------------------------------------


def trial_of(stripe_api: responses.RequestsMock) -> str | None:
    return sent(stripe_api).get("subscription_data[trial_period_days]")


@pytest.mark.parametrize(
    ("config", "body", "days"),
    [
        pytest.param({"STRIPE_TRIAL_DAYS": None}, {}, None, id="none is granted"),
        pytest.param({"STRIPE_TRIAL_DAYS": 0}, {}, None, id="zero is granted"),
        pytest.param({"STRIPE_TRIAL_DAYS": 7}, {}, "7", id="granted to all prices"),
        pytest.param({"STRIPE_TRIAL_DAYS": 7}, {"trialDays": 7}, "7", id="all asked"),
        pytest.param({"STRIPE_TRIAL_DAYS": 7}, {"trialDays": 3}, "3", id="less asked"),
        pytest.param({"STRIPE_TRIAL_DAYS": 7}, {"trialDays": 0}, None, id="declined"),
        pytest.param({"STRIPE_TRIAL_DAYS": 0}, {"trialDays": 0}, None, id="zero of 0"),
        pytest.param(
            {"STRIPE_TRIAL_DAYS": None}, {"trialDays": 730}, "730", id="open to tests"
        ),
        pytest.param(
            {"STRIPE_TRIAL_DAYS": 7, "STRIPE_PRICES": NAMES},
            {"price": "team"},
            "14",
            id="the price's own",
        ),
        pytest.param(
            {"STRIPE_TRIAL_DAYS": 7, "STRIPE_PRICES": NAMES},
            {"priceId": "price_team"},
            "14",
            id="the price's own, by id",
        ),
        pytest.param(
            {"STRIPE_TRIAL_DAYS": 7, "STRIPE_PRICES": NAMES},
            {"price": "team", "trialDays": 14},
            "14",
            id="the price's own asked",
        ),
        pytest.param(
            {"STRIPE_TRIAL_DAYS": 7, "STRIPE_PRICES": NAMES},
            {"price": "pro"},
            "7",
            id="price without one",
        ),
        pytest.param(
            {
                "STRIPE_TRIAL_DAYS": 7,
                "STRIPE_PRICES": {"pro": {"price": "price_pro", "trial_days": 0}},
            },
            {"price": "pro"},
            None,
            id="price's own is zero",
        ),
        pytest.param(
            {
                "STRIPE_SECRET_KEY": "sk_live_1",
                "STRIPE_TRIAL_DAYS": None,
                "STRIPE_PRICES": NAMES,
            },
            {"price": "team"},
            "14",
            id="the price's own, live",
        ),
        pytest.param(
            {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_TRIAL_DAYS": None},
            {"trialDays": 0},
            None,
            id="nothing asked, live",
        ),
    ],
)
def test_trial(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    config: dict[str, Any],
    body: dict[str, Any],
    days: str | None,
) -> None:
    stripe_api.post(SESSIONS, json=SESSION)
    body = body if "price" in body else {"priceId": "price_pro", **body}

    assert buy(ada(**config), body).status_code == 200
    assert trial_of(stripe_api) == days


@pytest.mark.parametrize(
    ("config", "body"),
    [
        ({"STRIPE_TRIAL_DAYS": 0}, {"trialDays": 1}),
        ({"STRIPE_TRIAL_DAYS": 7}, {"trialDays": 8}),
        ({"STRIPE_TRIAL_DAYS": None}, {"trialDays": 731}),
        ({"STRIPE_TRIAL_DAYS": 730}, {"trialDays": 10**9}),
        (
            {"STRIPE_TRIAL_DAYS": 7, "STRIPE_PRICES": NAMES},
            {"price": "team", "trialDays": 15},
        ),
        (
            {"STRIPE_TRIAL_DAYS": 7, "STRIPE_PRICES": NAMES},
            {"price": "pro", "trialDays": 8},
        ),
        (
            {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_TRIAL_DAYS": None},
            {"trialDays": 1},
        ),
    ],
)
def test_longer_trial_than_granted(
    ada: Callable[..., Any], config: dict[str, Any], body: dict[str, Any]
) -> None:
    body = body if "price" in body else {"priceId": "price_pro", **body}

    assert_error(buy(ada(**config), body), 400, "trial_not_allowed")


def end_subscription(shop: Any) -> None:
    """User 1 had a subscription once."""
    subscription = make_subscription("sub_old", customer="cus_ada", status="canceled")
    event = make_event("customer.subscription.deleted", subscription)
    assert shop.post_event(event).status_code == 200


def forget_status(shop: Any) -> None:
    """Only the row tells of the old subscription."""
    end_subscription(shop)

    with shop.app.app_context():
        shop.db.session.get(shop.User, 1).stripe_subscription_status = None
        shop.db.session.commit()


def forget_row(shop: Any) -> None:
    """Only the columns tell of the old subscription."""
    end_subscription(shop)
    model = shop.app.extensions["kavach_stripe"].subscription_model

    with shop.app.app_context():
        shop.db.session.query(model).delete()
        shop.db.session.commit()


@pytest.mark.parametrize("remember", [end_subscription, forget_status, forget_row])
def test_granted_trial_is_left_out_the_second_time(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    remember: Callable[[Any], None],
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=7)
    remember(shop)
    expect_session(stripe_api)

    assert buy(shop).status_code == 200


@pytest.mark.parametrize("remember", [end_subscription, forget_status, forget_row])
@pytest.mark.parametrize("days", [None, 7])
def test_trial_asked_for_a_second_time_is_refused(
    ada: Callable[..., Any], days: int | None, remember: Callable[[Any], None]
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=days)
    remember(shop)

    response = buy(shop, {"priceId": "price_pro", "trialDays": 1})

    assert_error(response, 400, "trial_not_allowed")


def test_trial_declined_a_second_time_is_no_error(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=7)
    end_subscription(shop)
    expect_session(stripe_api)

    assert buy(shop, {"priceId": "price_pro", "trialDays": 0}).status_code == 200


def test_deleted_customer_gives_no_second_trial(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=7)
    subscription = make_subscription("sub_1", customer="cus_ada", status="trialing")
    shop.post_event(make_event("customer.subscription.created", subscription))
    shop.post_event(make_event("customer.deleted", {"id": "cus_ada"}))
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    expect_session(stripe_api, customer="cus_new")

    assert buy(shop).status_code == 200


# -- redirects -----------------------------------------------------------------------


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
    expect_session(stripe_api, success_url=url, cancel_url=url)
    body = {"priceId": "price_pro", "successUrl": url, "cancelUrl": url}

    assert buy(shop, body).status_code == 200


def test_test_key_opens_redirects(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api, success_url="https://any.example/")
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
    expect_session(stripe_api, success_url=success_url, cancel_url=cancel_url)

    assert buy(shop).status_code == 200


def test_braces_are_escaped_once_only(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(SESSIONS, json=SESSION)

    buy(ada())

    body = str(stripe_api.calls[0].request.body)
    assert "%3Fsession_id%3D%7BCHECKOUT_SESSION_ID%7D" in body


def test_root_url_of_an_app_that_is_mounted_under_a_path(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(
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

    assert_error(response, 403, "cross_site_request")


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
    expect_session(stripe_api)

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
    expect_session(stripe_api)
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
    subscription = make_subscription("sub_1", customer="cus_ada")

    for _ in range(2):
        event = make_event("customer.subscription.created", subscription)
        assert shop.post_event(event).json == {"received": True}

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
    expect_session(stripe_api)
    body = {"priceId": "price_pro"}

    if kind == "json":
        response = browser.post(CHECKOUT, json=body, headers={"X-CSRFToken": token})
    else:
        response = browser.post(CHECKOUT, data={**body, "csrf_token": token})

    assert response.status_code == (200 if kind == "json" else 303)


# -- a subscription already ----------------------------------------------------------

BLOCKING = ["active", "trialing", "past_due", "unpaid", "paused"]
OPEN = ["incomplete", "incomplete_expired", "canceled", "a_new_status"]


def have(shop: Any, status: str) -> None:
    subscription = make_subscription("sub_1", customer="cus_ada", status=status)
    shop.post_event(make_event("customer.subscription.created", subscription))
    assert shop.columns()["subscription_status"] == status


def expect_list(stripe_api: responses.RequestsMock, *subscriptions: Any) -> Any:
    return stripe_api.get(
        SUBSCRIPTIONS,
        json={"object": "list", "data": list(subscriptions), "has_more": False},
        match=[
            query_param_matcher(
                {"customer": "cus_ada", "status": "all", "limit": "100"}
            )
        ],
    )


@pytest.mark.parametrize("status", BLOCKING)
def test_second_subscription_is_refused_when_stripe_confirms(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: str
) -> None:
    shop = ada()
    have(shop, status)
    running = make_subscription("sub_1", customer="cus_ada", status=status)
    asked = expect_list(stripe_api, running)

    assert_error(buy(shop), 409, "already_subscribed")
    assert asked.call_count == 1


@pytest.mark.parametrize("status", BLOCKING)
def test_columns_that_are_behind_do_not_refuse(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: str
) -> None:
    shop = ada()
    have(shop, status)
    ended = make_subscription("sub_1", customer="cus_ada", status="canceled")
    asked = expect_list(stripe_api, ended)
    expect_session(stripe_api)

    assert buy(shop).status_code == 200
    assert asked.call_count == 1
    assert shop.columns()["subscription_status"] == "canceled"


@pytest.mark.parametrize("status", BLOCKING)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"body": requests.ConnectionError("down")}, id="no connection"),
        pytest.param({"body": requests.Timeout("slow")}, id="time-out"),
        pytest.param({"status": 500, "body": "oops"}, id="500"),
        pytest.param({"status": 429, "json": {"error": {"code": "rate"}}}, id="429"),
        pytest.param({"json": {"data": "odd"}}, id="not a list"),
    ],
)
def test_columns_decide_when_stripe_is_down(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    status: str,
    answer: dict[str, Any],
) -> None:
    shop = ada()
    have(shop, status)
    asked = stripe_api.get(SUBSCRIPTIONS, **answer)

    assert_error(buy(shop), 409, "already_subscribed")
    assert asked.call_count == 1
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize("status", OPEN)
def test_other_statuses_do_not_refuse(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: str
) -> None:
    shop = ada()
    have(shop, status)
    expect_session(stripe_api)  # and Stripe is not asked

    assert buy(shop).status_code == 200


def test_active_statuses_do_not_matter_to_the_refusal(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_ACTIVE_STATUSES=["active"])
    have(shop, "paused")
    expect_list(
        stripe_api, make_subscription("sub_1", customer="cus_ada", status="paused")
    )

    assert_error(buy(shop), 409, "already_subscribed")


def test_columns_without_a_row_refuse(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    """As they are after moving from another library."""
    shop = ada()
    shop.add_user(
        email="bob@example.com",
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
    )
    stripe_api.get(SUBSCRIPTIONS, body=requests.ConnectionError("down"))

    response = shop.browser(2).post(CHECKOUT, json={"priceId": "price_pro"})

    assert_error(response, 409, "already_subscribed")


def test_refusal_tells_those_who_want_to_know_what_stripe_said(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()
    have(shop, "active")
    told: list[tuple[str, str]] = []
    shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append((user.email, subscription.status))
    )
    expect_list(
        stripe_api, make_subscription("sub_1", customer="cus_ada", status="unpaid")
    )

    assert_error(buy(shop), 409, "already_subscribed")
    assert told == [("ada@example.com", "unpaid")]


# -- Stripe's errors -----------------------------------------------------------------

SECRET_TEXT = "Text of Stripe that no browser may read."


def error_of(type: str, **other: str) -> dict[str, Any]:
    return {"error": {"type": type, "message": SECRET_TEXT, **other}}


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
    stripe_api.post(SESSIONS, **answer)

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
    stripe_api.post(SESSIONS, body=requests.ConnectionError("down"))

    assert 0 < int(buy(ada()).headers["Retry-After"]) < 60


def test_error_names_the_parameter(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    body = error_of("invalid_request_error", code="c", param="line_items[0][price]")
    stripe_api.post(SESSIONS, status=400, json=body)

    assert_error(buy(ada()), 400, "c", "line_items[0][price]")


def test_key_is_neither_logged_nor_answered(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = "sk_test_of_the_tests"
    stripe_api.post(
        SESSIONS,
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


# -- customers -----------------------------------------------------------------------


@pytest.fixture
def newcomer(keep_shop: Any) -> Any:
    """An app with one user, who has no customer."""
    shop = keep_shop(STRIPE_TRIAL_DAYS=0)
    shop.add_user(email="ada@example.com")
    return shop


def test_customer_is_created_first(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        CUSTOMERS,
        json={"id": "cus_new"},
        match=[
            urlencoded_params_matcher(
                {"email": "ada@example.com", "metadata[kavach_user_id]": "1"}
            )
        ],
    )
    expect_session(stripe_api, customer="cus_new")

    assert buy(newcomer).status_code == 200
    assert newcomer.columns()["customer_id"] == "cus_new"


def test_customer_is_kept_when_the_session_fails(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    stripe_api.post(SESSIONS, status=500, json=error_of("api_error"))
    stripe_api.post(SESSIONS, json=SESSION)

    assert buy(newcomer).status_code == 502
    assert newcomer.columns()["customer_id"] == "cus_new"
    assert buy(newcomer).status_code == 200
    assert sent(stripe_api)["customer"] == "cus_new"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"body": requests.ConnectionError("down")}, 503),
        ({"status": 500, "json": error_of("api_error")}, 502),
        ({"json": {"object": "customer"}}, 502),
        ({"json": {"id": {}}}, 502),
    ],
)
def test_customer_that_cannot_be_created(
    newcomer: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
    status: int,
) -> None:
    stripe_api.post(CUSTOMERS, **answer)

    assert buy(newcomer).status_code == status
    assert newcomer.columns()["customer_id"] is None


def test_customers_are_not_created_if_told_so(make_shop: Any) -> None:
    shop = make_shop(STRIPE_AUTO_CREATE_CUSTOMER=False)
    shop.add_user(email="ada@example.com")

    assert_error(buy(shop), 404, "no_customer")
    assert shop.columns()["customer_id"] is None


def test_customer_that_exists_is_used_if_none_are_created(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_session(stripe_api)

    assert buy(ada(STRIPE_AUTO_CREATE_CUSTOMER=False)).status_code == 200


def test_deleted_customer_is_not_replaced_if_none_are_created(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)
    shop = ada(STRIPE_AUTO_CREATE_CUSTOMER=False)

    assert_error(buy(shop), 404, "no_customer")
    assert shop.columns()["customer_id"] is None


def idempotency_keys(stripe_api: responses.RequestsMock, url: str) -> list[str]:
    return [
        call.request.headers["Idempotency-Key"]
        for call in stripe_api.calls
        if call.request.url == url
    ]


def test_idempotency_key_of_a_customer_is_derived(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Same user, same parameters: same key. Anything else: another one."""
    keys = []

    for config, email in [
        ({}, "ada@example.com"),
        ({}, "ada@example.com"),
        ({}, "ada@example.org"),
        ({"SECRET_KEY": "another"}, "ada@example.com"),
    ]:
        shop = make_shop(**config)
        shop.add_user(email=email)
        stripe_api.post(CUSTOMERS, status=400, json=error_of("x"))
        buy(shop)
        keys.append(idempotency_keys(stripe_api, CUSTOMERS)[-1])

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert not any("ada" in key or "secret" in key for key in keys)


def test_two_users_have_different_keys(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop()

    for user_id in (1, 2):
        shop.add_user(email="same@example.com")
        stripe_api.post(CUSTOMERS, status=400, json=error_of("x"))
        shop.browser(user_id).post(CHECKOUT, json={"priceId": "p"})

    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 2


@pytest.mark.parametrize("status", [400, 404])
def test_deleted_customer_is_replaced(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: int
) -> None:
    shop = ada()
    have(shop, "incomplete")
    stripe_api.post(SESSIONS, status=status, json=NO_SUCH_CUSTOMER)
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    expect_session(stripe_api, customer="cus_new")

    assert buy(shop).status_code == 200
    columns = shop.columns()
    assert columns["customer_id"] == "cus_new"
    assert columns["subscription_id"] is None
    assert columns["subscription_status"] == "canceled"
    assert [row.status for row in shop.subscriptions] == ["canceled"]


def test_replacement_has_a_key_of_its_own(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Stripe would replay the customer that is gone."""
    shop = make_shop()
    shop.add_user(email="ada@example.com")
    stripe_api.post(CUSTOMERS, json={"id": "cus_1"})
    stripe_api.post(SESSIONS, json=SESSION)
    stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)
    stripe_api.post(CUSTOMERS, json={"id": "cus_2"})
    stripe_api.post(SESSIONS, json=SESSION)

    assert buy(shop).status_code == 200
    assert buy(shop).status_code == 200
    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 2
    assert shop.columns()["customer_id"] == "cus_2"


def test_customer_is_replaced_three_times_at_most(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()

    for number in range(1, 4):
        stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)
        stripe_api.post(CUSTOMERS, json={"id": f"cus_{number}"})

    stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)

    assert_error(buy(shop), 400, "resource_missing")
    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 3
    assert len(set(idempotency_keys(stripe_api, SESSIONS))) == 4


def test_third_replacement_may_work(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()

    for number in range(1, 4):
        stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)
        stripe_api.post(CUSTOMERS, json={"id": f"cus_{number}"})

    expect_session(stripe_api, customer="cus_3")

    assert buy(shop).status_code == 200
    assert shop.columns()["customer_id"] == "cus_3"


@pytest.mark.parametrize(("key", "mode"), [("test", "live"), ("live", "test")])
def test_customer_of_the_other_mode_is_kept(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, key: str, mode: str
) -> None:
    shop = ada()
    have(shop, "incomplete")
    before = shop.columns()
    error = {
        **NO_SUCH_CUSTOMER["error"],
        "message": f"No such customer: 'cus_ada'; a similar object exists in {mode}"
        f" mode, but a {key} mode key was used to make this request.",
    }
    stripe_api.post(SESSIONS, status=400, json={"error": error})

    assert_error(buy(shop), 400, "resource_missing")
    assert shop.columns() == before
    assert [row.status for row in shop.subscriptions] == ["incomplete"]


@pytest.mark.parametrize(
    "change",
    [
        {"param": "line_items[0][price]"},
        {"param": "discounts[0][coupon]"},
        {"code": "parameter_invalid"},
    ],
)
def test_other_missing_things_leave_the_customer(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    change: dict[str, str],
) -> None:
    shop = ada()
    before = shop.columns()
    error = {**NO_SUCH_CUSTOMER["error"], **change}
    stripe_api.post(SESSIONS, status=400, json={"error": error})

    assert_error(buy(shop), 400, error["code"])
    assert shop.columns() == before


def test_replayed_error_is_retried_once_under_a_fresh_key(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        CUSTOMERS,
        status=500,
        json=error_of("api_error"),
        headers={"Idempotent-Replayed": "true"},
    )
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    expect_session(stripe_api, customer="cus_new")

    assert buy(newcomer).status_code == 200
    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 2
    assert sent(stripe_api, 0) == sent(stripe_api, 1)


def test_replayed_error_is_retried_only_once(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    answer = stripe_api.post(
        CUSTOMERS,
        status=400,
        json=error_of("invalid_request_error", code="email_invalid"),
        headers={"Idempotent-Replayed": "true"},
    )

    assert_error(buy(newcomer), 400, "email_invalid")
    assert answer.call_count == 2
    assert newcomer.columns()["customer_id"] is None


# -- two at a time -------------------------------------------------------------------


class FakeStripe:
    """A server that keeps what an idempotency key made, as Stripe does."""

    def __init__(self, *, refuse_parallel: bool) -> None:
        self.refuse_parallel = refuse_parallel
        self.customers: dict[str, str] = {}
        self.session_customers: list[str] = []
        self.refusals = 0
        #: Two requests for a customer wait for each other here.
        self.meeting = threading.Barrier(2)
        self._in_flight: set[str] = set()
        self._lock = threading.Lock()

    def create_customer(self, key: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if self.refuse_parallel and key in self._in_flight:
                self.refusals += 1
                parallel = True
            else:
                self._in_flight.add(key)
                parallel = False

        try:
            self.meeting.wait(2)
        except threading.BrokenBarrierError:
            pass  # a retry, which comes alone

        if parallel:
            self.meeting.abort()
            code = "idempotency_key_in_use"
            return 409, {"error": {"type": "invalid_request_error", "code": code}}

        with self._lock:
            self._in_flight.discard(key)
            new_id = f"cus_{len(self.customers) + 1}"
            return 200, {"id": self.customers.setdefault(key, new_id)}

    def create_session(self, params: dict[str, list[str]]) -> dict[str, Any]:
        with self._lock:
            self.session_customers += params["customer"]

        return SESSION


@pytest.fixture
def run_stripe() -> Iterator[Callable[[FakeStripe], str]]:
    """Serve a fake Stripe on this machine."""
    servers: list[ThreadingHTTPServer] = []

    def run(fake: FakeStripe) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                params = parse_qs(self.rfile.read(length).decode())
                status: int
                body: dict[str, Any]

                if self.path == "/v1/customers":
                    status, body = fake.create_customer(self.headers["Idempotency-Key"])
                else:
                    status, body = 200, fake.create_session(params)

                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield run

    for server in servers:
        server.shutdown()
        server.server_close()


def buy_in_parallel(shop: Any) -> list[int]:
    browsers = [shop.browser(1) for _ in range(2)]
    statuses: list[int] = []

    def run(browser: FlaskClient) -> None:
        response = browser.post(CHECKOUT, json={"priceId": "price_pro"})
        statuses.append(response.status_code)

    threads = [threading.Thread(target=run, args=[each]) for each in browsers]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join(20)

    return statuses


@pytest.mark.parametrize("refuse_parallel", [False, True])
def test_parallel_checkouts_make_one_customer(
    make_shop: Any,
    run_stripe: Callable[[FakeStripe], str],
    refuse_parallel: bool,
) -> None:
    """Also where Stripe refuses a key that another request is using."""
    stripe = FakeStripe(refuse_parallel=refuse_parallel)
    shop = make_shop(STRIPE_API_BASE=run_stripe(stripe), STRIPE_MAX_NETWORK_RETRIES=2)
    shop.add_user(email="ada@example.com")

    assert buy_in_parallel(shop) == [200, 200]
    assert list(stripe.customers.values()) == ["cus_1"]
    assert stripe.session_customers == ["cus_1", "cus_1"]
    assert stripe.refusals == int(refuse_parallel)
    assert shop.columns()["customer_id"] == "cus_1"


def test_loser_of_a_race_uses_the_customer_of_the_winner(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    """The other one asked with another e-mail address, so with another key."""

    def create(request: Any) -> tuple[int, dict[str, str], str]:
        with newcomer.app.app_context():
            newcomer.db.session.get(newcomer.User, 1).stripe_customer_id = "cus_first"
            newcomer.db.session.commit()

        return 200, {}, '{"id": "cus_second"}'

    stripe_api.add_callback("POST", CUSTOMERS, callback=create)
    expect_session(stripe_api, customer="cus_first")

    assert buy(newcomer).status_code == 200
    assert newcomer.columns()["customer_id"] == "cus_first"


def test_ended_rows_of_a_replaced_customer_say_when(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()
    have(shop, "incomplete")
    stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    stripe_api.post(SESSIONS, json=SESSION)

    buy(shop)

    [row] = shop.subscriptions
    assert row.customer_id == "cus_ada"
    assert row.ended_at is None or row.ended_at <= datetime.now(UTC)
