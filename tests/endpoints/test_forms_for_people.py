"""A person who pressed a button of a form never sees JSON.

The buttons stand on pages of the app. When one fails, the person is back on that page,
and the next page shows one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses
from flask import get_flashed_messages
from flask_login import login_user
from flask_wtf.csrf import CSRFError
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import HTTPException

from tests.vocabulary import assert_error
from tests.vocabulary import assert_sent_back
from tests.vocabulary import become
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import error_of
from tests.vocabulary import expect_list
from tests.vocabulary import flashed
from tests.vocabulary import PORTAL
from tests.vocabulary import SECRET_TEXT
from tests.vocabulary import SUBSCRIPTION
from tests.vocabulary import subscription
from tests.vocabulary import WEBHOOK

FORM = {"price": "pro"}
PRICES = {"pro": "price_pro", "team": "price_team"}
PAGE = {"Referer": "http://localhost/pricing?year=1"}


@pytest.fixture
def shop(keep_shop: Any) -> Any:
    """An app that sells two prices, to Ada, who has a customer."""
    shop = keep_shop(STRIPE_PRICES=PRICES, STRIPE_TRIAL_DAYS=0)
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


def selling(make_shop: Any, **config: Any) -> Any:
    """As ``shop``, with a configuration of its own."""
    shop = make_shop(**{"STRIPE_PRICES": PRICES, "STRIPE_TRIAL_DAYS": 0, **config})
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


# -- what can fail -------------------------------------------------------------------


def test_subscriber_is_back_on_the_pricing_page_with_a_sentence(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    become(shop, "active")
    expect_list(stripe_api, subscription())
    browser = shop.browser(1)

    answer = browser.post(CHECKOUT, data=FORM, headers=PAGE)

    words = ("There is a subscription already.",)
    assert_sent_back(browser, answer, *words, to="/pricing?year=1")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("stripe", "words"),
    [
        ({"body": requests.ConnectionError("down")}, "Try again in a moment."),
        ({"status": 429, "json": error_of()}, "Try again in a moment."),
        ({"status": 401, "json": error_of()}, "Stripe could not do this."),
        ({"status": 400, "json": error_of()}, "Stripe refused the request."),
    ],
)
def test_stripe_fails(
    shop: Any, stripe_api: responses.RequestsMock, stripe: Any, words: str
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, **stripe)
    browser = shop.browser(1)

    answer = browser.post(CHECKOUT, data=FORM, headers=PAGE)

    assert SECRET_TEXT not in answer.text
    assert_sent_back(browser, answer, words, to="/pricing?year=1")


def test_no_key_is_set(make_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    browser = selling(make_shop, STRIPE_SECRET_KEY=None).browser(1)

    answer = browser.post(CHECKOUT, data=FORM, headers=PAGE)

    assert_sent_back(browser, answer, "not set up correctly", to="/pricing?year=1")


def test_table_is_missing(make_shop: Any) -> None:
    shop = selling(make_shop)
    browser = shop.browser(1)

    with shop.app.app_context():
        shop.app.extensions["kavach_stripe"].subscription_model.__table__.drop(
            shop.db.engine
        )

    answer = browser.post(CHECKOUT, data=FORM, headers=PAGE)

    assert_sent_back(browser, answer, "not set up correctly", to="/pricing?year=1")


def test_multipart_form(shop: Any) -> None:
    browser = shop.browser(1)

    answer = browser.post(
        CHECKOUT,
        data={"price": "gold"},
        content_type="multipart/form-data",
        headers=PAGE,
    )

    assert_sent_back(browser, answer, "'gold'", to="/pricing?year=1")


def test_page_shows_the_sentence(shop: Any) -> None:
    """By Flask's ``get_flashed_messages``, as in any template."""
    browser = shop.browser(1)
    browser.post(CHECKOUT, data={"price": "gold"})

    with browser:
        browser.get("/nowhere")
        assert get_flashed_messages(category_filter=["error"]) == [
            "There is no price named 'gold'. Known: 'pro', 'team'."
        ]


def test_form_without_a_price_names_the_field_of_forms(shop: Any) -> None:
    browser = shop.browser(1)

    answer = browser.post(CHECKOUT, data={"csrf_token": "x"})

    assert_sent_back(browser, answer, "The field 'price' is missing.")


def test_long_sentence_fits_in_the_session(shop: Any) -> None:
    """A browser drops a cookie of more than 4093 bytes, and the sentence with it."""
    browser = shop.browser(1)

    answer = browser.post(CHECKOUT, data={"price": "x" * 5000})

    assert_sent_back(browser, answer, "xxx...xxx")


def test_script_that_asks_for_json_gets_json(shop: Any) -> None:
    headers = {**PAGE, "Accept": "application/json"}

    answer = shop.browser(1).post(CHECKOUT, data={"price": "gold"}, headers=headers)

    assert_error(answer, 400, "price_not_allowed", "'gold'")


def test_webhook_answers_a_form_with_json(shop: Any) -> None:
    answer = shop.browser(1).post(WEBHOOK, data=FORM, headers=PAGE)

    assert_error(answer, 400, "invalid_signature")


def test_app_without_a_session_sends_the_person_back(
    make_shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Without ``SECRET_KEY`` Flask cannot flash; the log has the sentence."""
    shop = selling(make_shop)
    shop.app.config["SECRET_KEY"] = None
    shop.app.login_manager.request_loader(
        lambda request: shop.db.session.get(shop.User, 1)
    )

    answer = shop.app.test_client().post(CHECKOUT, data={"price": "gold"}, headers=PAGE)

    assert (answer.status_code, answer.location) == (303, "/pricing?year=1")
    assert "SECRET_KEY" in caplog.text
    assert "'gold'" in caplog.text


# -- where the person is sent --------------------------------------------------------


@pytest.mark.parametrize(
    ("referer", "place"),
    [
        ("http://localhost/pricing", "/pricing"),
        ("https://localhost/pricing", "/pricing"),  # TLS ends at a proxy
        ("http://localhost", "/"),
        ("http://localhost/a?next=//evil.example", "/a?next=//evil.example"),
        ("http://localhost/a#b", "/a"),
        ("http://localhost:5000/pricing", "/plans"),
        ("https://evil.example/pricing", "/plans"),
        ("http://localhost//evil.example", "/plans"),
        ("http://localhost/\\evil.example", "/plans"),
        ("http://localhost@evil.example/", "/plans"),
        ("http://localhost?a=b", "/plans"),
        ("/pricing", "/plans"),
        ("about:blank", "/plans"),
        ("", "/plans"),
        (None, "/plans"),
        (f"http://localhost{CHECKOUT}", "/plans"),
        (f"http://localhost{CHECKOUT}?a=b", "/plans"),
        (f"http://localhost{PORTAL}", "/plans"),
        (f"http://localhost{SUBSCRIPTION}", "/plans"),
        ("http://localhost/hook", "/plans"),
    ],
)
def test_page_that_the_form_is_on(
    keep_shop: Any, referer: str | None, place: str
) -> None:
    shop = keep_shop(STRIPE_CANCEL_URL="/plans", STRIPE_WEBHOOK_PATHS="/hook")
    shop.add_user()
    browser = shop.browser(1)
    headers = {} if referer is None else {"Referer": referer}

    answer = browser.post(CHECKOUT, data={"price": "gold"}, headers=headers)

    assert_sent_back(browser, answer, to=place)


@pytest.mark.parametrize(
    ("path", "fields", "config", "place"),
    [
        (CHECKOUT, {}, {}, "/"),
        (CHECKOUT, {}, {"STRIPE_CANCEL_URL": "/plans"}, "/plans"),
        (CHECKOUT, {"cancelUrl": "/here"}, {}, "http://localhost/here"),
        (
            CHECKOUT,
            {"cancel_url": "/here"},
            {"STRIPE_CANCEL_URL": "/plans"},
            "http://localhost/here",
        ),
        (CHECKOUT, {"cancelUrl": "https://evil.example"}, {}, "/"),
        (CHECKOUT, {"cancelUrl": "//evil.example"}, {}, "/"),
        (CHECKOUT, {"returnUrl": "/here"}, {}, "/"),
        (PORTAL, {"returnUrl": "/here"}, {}, "http://localhost/here"),
        (PORTAL, {}, {"STRIPE_PORTAL_RETURN_URL": "/account"}, "/account"),
        (PORTAL, {}, {"STRIPE_CANCEL_URL": "/plans"}, "/plans"),
        (PORTAL, {}, {"STRIPE_CANCEL_URL": "https://a.example"}, "https://a.example"),
        (PORTAL, {}, {}, "/"),
    ],
)
def test_browser_that_does_not_say_where_it_was(
    keep_shop: Any, path: str, fields: Any, config: Any, place: str
) -> None:
    shop = keep_shop(STRIPE_TRUSTED_ORIGINS=[], **config)
    shop.add_user()
    browser = shop.browser(1)

    answer = browser.post(path, data={"price": "gold", **fields})

    assert_sent_back(browser, answer, to=place)


# -- who is not let in ---------------------------------------------------------------


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL])
def test_logged_out_person_gets_to_the_log_in(make_shop: Any, path: str) -> None:
    shop = selling(make_shop)
    shop.app.login_manager.login_view = "log_in"
    shop.app.add_url_rule("/log-in", "log_in", lambda: "log in")

    answer = shop.browser().post(path, data=FORM, headers=PAGE)

    assert answer.status_code == 302
    assert answer.location == f"/log-in?next={path.replace('/', '%2F')}"


def test_log_in_leads_on_to_a_page(make_shop: Any) -> None:
    """By Flask-Login's ``next``, which is a ``GET`` of the checkout."""
    shop = selling(make_shop, STRIPE_SUBSCRIPTION_VIEW="pricing")
    shop.app.login_manager.login_view = "log_in"
    shop.app.add_url_rule("/pricing", "pricing", lambda: "the prices")

    def log_in() -> str:
        login_user(shop.db.session.get(shop.User, 1))
        return "in"

    shop.app.add_url_rule("/log-in", "log_in", log_in)
    browser = shop.browser()
    answer = browser.post(CHECKOUT, data=FORM)
    after = answer.location.partition("next=")[2].replace("%2F", "/")
    browser.get("/log-in")

    assert browser.get(after, follow_redirects=True).text == "the prices"


@pytest.mark.parametrize(
    ("result", "status"), [("teapot", 200), (("teapot", 418), 418)]
)
def test_app_that_answers_logged_out_people_itself(
    make_shop: Any, result: Any, status: int
) -> None:
    shop = selling(make_shop)
    shop.app.login_manager.unauthorized_handler(lambda: result)

    answer = shop.browser().post(CHECKOUT, data=FORM)

    assert (answer.status_code, answer.text) == (status, "teapot")


def test_app_without_a_log_in_page(make_shop: Any) -> None:
    answer = selling(make_shop).browser().post(CHECKOUT, data=FORM)

    assert (answer.status_code, answer.mimetype) == (401, "text/html")


def test_own_page_of_an_app_without_a_log_in_page(make_shop: Any) -> None:
    shop = selling(make_shop)
    shop.app.register_error_handler(401, lambda error: ("Who are you?", 401))

    assert shop.browser().post(CHECKOUT, data=FORM).text == "Who are you?"


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL])
def test_post_from_another_site_is_a_plain_403(shop: Any, path: str) -> None:
    browser = shop.browser(1)
    headers = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}

    answer = browser.post(path, data=FORM, headers=headers)

    assert (answer.status_code, answer.mimetype) == (403, "text/plain")
    assert flashed(browser) == []


# -- errors of others ----------------------------------------------------------------


def protected(make_shop: Any) -> Any:
    shop = selling(make_shop)
    CSRFProtect(shop.app)
    return shop


def log_in(shop: Any) -> Any:
    browser = shop.app.test_client()

    with browser.session_transaction() as session:
        session["_user_id"] = "1"

    return browser


def test_stale_csrf_token_is_no_json(make_shop: Any) -> None:
    answer = log_in(protected(make_shop)).post(CHECKOUT, data=FORM, headers=PAGE)

    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert "CSRF token is missing" in answer.text


@pytest.mark.parametrize("kind", [CSRFError, 400, HTTPException, Exception])
def test_stale_csrf_token_is_the_apps_affair(make_shop: Any, kind: Any) -> None:
    """Whether it has a page for these errors, for the status, or for all errors."""
    shop = protected(make_shop)
    shop.app.register_error_handler(
        kind, lambda error: (f"Too late: {type(error).__name__}", 400)
    )

    answer = log_in(shop).post(CHECKOUT, data=FORM)

    assert (answer.status_code, answer.text) == (400, "Too late: CSRFError")


def test_stale_csrf_token_in_json_stays_json(make_shop: Any) -> None:
    answer = log_in(protected(make_shop)).post(CHECKOUT, json=FORM)

    assert_error(answer, 400, "bad_request", "CSRF")


def test_form_that_is_too_large_is_the_apps_affair(make_shop: Any) -> None:
    shop = selling(make_shop, MAX_CONTENT_LENGTH=10)
    shop.app.register_error_handler(413, lambda error: ("Too much.", 413))

    answer = shop.browser(1).post(CHECKOUT, data={"price": "x" * 100})

    assert (answer.status_code, answer.text) == (413, "Too much.")


# -- GET -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL])
@pytest.mark.parametrize("user_id", [None, 1])
@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({}, "/"),
        ({"STRIPE_CANCEL_URL": "/plans"}, "/plans"),
        ({"STRIPE_CANCEL_URL": "https://a.example/b"}, "https://a.example/b"),
        ({"STRIPE_SUBSCRIPTION_VIEW": "pricing"}, "/pricing"),
        (
            {"STRIPE_CANCEL_URL": "/plans", "STRIPE_SUBSCRIPTION_VIEW": "pricing"},
            "/pricing",
        ),
    ],
)
def test_get_leads_to_a_page(
    make_shop: Any, path: str, user_id: int | None, config: Any, place: str
) -> None:
    shop = selling(make_shop, **config)
    shop.app.add_url_rule("/pricing", "pricing", lambda: "the prices")

    answer = shop.browser(user_id).get(path, headers=PAGE)

    assert (answer.status_code, answer.location) == (303, place)
    assert answer.headers["Cache-Control"] == "no-store"


# -- sentences -----------------------------------------------------------------------


def buy(shop: Any, **fields: Any) -> Any:
    return shop.browser(1).post(CHECKOUT, json=fields)


def test_sentence_names_the_prices_that_there_are(shop: Any) -> None:
    assert buy(shop, price="prp").json == {
        "error": "There is no price named 'prp'. Known: 'pro', 'team'.",
        "code": "price_not_allowed",
    }


def test_live_key_keeps_the_names_in_the_log(
    make_shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop = selling(make_shop, STRIPE_SECRET_KEY="sk_live_1")

    for field, sentence in {
        "price": "There is no price named 'prp'.",
        "priceId": "The price 'prp' in 'priceId' is not for sale here.",
    }.items():
        assert buy(shop, **{field: "prp"}).json["error"] == sentence
        assert caplog.messages[-1].endswith(f"{sentence} Known: 'pro', 'team'.")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"priceId": "price_x"},
            "The price 'price_x' in 'priceId' is not for sale here. Known: 'pro',"
            " 'team'.",
        ),
        (
            {"price": "pro", "priceId": "price_team"},
            "The fields 'price' and 'priceId' name two prices: 'pro' and 'price_team'.",
        ),
        (
            {"price": "pro", "quantity": "two"},
            "The field 'quantity' must be a whole number from 1 to 999999, not 'two'.",
        ),
        ({"price": ["pro"]}, "The field 'price' must be a text, not ['pro']."),
        (
            {"price": "pro", "trialDays": 3},
            "The field 'trialDays' must be at most 0, not 3.",
        ),
    ],
)
def test_sentence_names_what_was_sent(
    shop: Any, fields: dict[str, Any], sentence: str
) -> None:
    assert buy(shop, **fields).json["error"] == sentence


@pytest.mark.parametrize("prices", ["*", None, {}])
def test_shop_without_names(keep_shop: Callable[..., Any], prices: Any) -> None:
    shop = keep_shop(STRIPE_PRICES=prices)
    shop.add_user()

    assert buy(shop, price="pro").json["error"] == (
        "There is no price named 'pro'. 'STRIPE_PRICES' has no names."
    )
