"""Profile data, currencies and quantities that Stripe refuses keep nobody from buying,
or are answered with a sentence that a buyer understands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import assert_error
from tests.vocabulary import assert_refused
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import customer_marks
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import error_of
from tests.vocabulary import expect_new_customer
from tests.vocabulary import sent_params

# -- profile data --------------------------------------------------------------------


@pytest.mark.parametrize("email", ["ada", "dev@localhost", "a b@example.com", "@"])
def test_user_with_an_odd_email_buys_and_checkout_asks_for_it(
    make_shop: Any, caplog: pytest.LogCaptureFixture, email: str
) -> None:
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"}, STRIPE_TRIAL_DAYS=0)
    shop.add_user(email=email)

    with connect(shop.app, Sandbox(seed=1)) as stripe:
        stripe.pay(buy(shop).json["sessionId"], email="ada@example.com")
        client = shop.app.extensions["kavach_stripe"].client
        [customer] = client.get("/v1/customers")["data"]

    assert customer["email"] == "ada@example.com"
    assert shop.columns()["subscription_status"] == "active"
    assert "no 'email', which Stripe refuses" in caplog.text


@pytest.mark.parametrize("email", [" ada@example.com", "ada@example.com "])
def test_user_with_a_space_around_the_email_buys(make_shop: Any, email: str) -> None:
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"}, STRIPE_TRIAL_DAYS=0)
    shop.add_user(email=email)

    with connect(shop.app, Sandbox(seed=1)):
        assert buy(shop).status_code == 200


def test_user_with_a_name_of_300_letters_buys(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"}, STRIPE_TRIAL_DAYS=0)
    shop.User.name = "A" * 300
    shop.add_user(email="ada")

    with connect(shop.app, Sandbox(seed=1)):
        assert buy(shop).status_code == 200


@pytest.mark.parametrize("param", ["email", "email[0]"])
def test_refused_value_is_left_out_once(
    newcomer: Any, stripe_api: responses.RequestsMock, param: str
) -> None:
    error = error_of(code="email_invalid", param=param)
    expect_new_customer(stripe_api, status=400, json=error)
    stripe_api.post(CUSTOMERS, json={"id": "cus_ada"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    assert buy(newcomer).status_code == 200
    marks = customer_marks(1)
    assert sent_params(stripe_api, 0) == {"email": "ada@example.com", **marks}
    assert sent_params(stripe_api, 1) == marks
    keys = {
        call.request.headers["Idempotency-Key"]
        for call in stripe_api.calls
        if call.request.url == CUSTOMERS and call.request.method == "POST"
    }
    assert len(keys) == 2


@pytest.mark.parametrize("param", ["metadata[kavach_user_id]", "name", "x", ""])
def test_other_refusal_is_not_tried_again(
    newcomer: Any, stripe_api: responses.RequestsMock, param: str
) -> None:
    error = error_of(code="c", param=param)
    asked = expect_new_customer(stripe_api, status=400, json=error)

    assert_error(buy(newcomer), 400, "c")
    assert asked.call_count == 1


def test_value_that_is_refused_twice_is_no_endless_loop(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    error = error_of(code="email_invalid", param="email")
    asked = expect_new_customer(stripe_api, status=400, json=error)

    assert_error(buy(newcomer), 400, "email_invalid")
    assert asked.call_count == 2


# -- metered prices, blank prices ----------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "is_logged"),
    [({"price": "price_api", "quantity": None}, False), ("price_api", True)],
)
def test_metered_price_is_sold(
    make_shop: Any, caplog: pytest.LogCaptureFixture, entry: Any, is_logged: bool
) -> None:
    shop = make_shop(STRIPE_PRICES={"api": entry}, STRIPE_TRIAL_DAYS=0)
    shop.add_user(email="ada@example.com")
    stripe = Sandbox(seed=1)
    stripe.create_price("price_api", 1, usage_type="metered")

    with connect(shop.app, stripe):
        stripe.pay(buy(shop, {"price": "api"}).json["sessionId"])

    assert shop.columns()["subscription_status"] == "active"
    assert ('STRIPE_PRICES["api"]["quantity"]' in caplog.text) == is_logged


@pytest.mark.parametrize("kind", ["json", "data"])
@pytest.mark.parametrize("field", ["priceId", "price"])
@pytest.mark.parametrize("blank", [" ", "  "])
def test_blank_price_is_an_invalid_field(
    ada: Callable[..., Any], kind: str, field: str, blank: str
) -> None:
    browser = ada().browser(1)
    response = browser.post(CHECKOUT, **{kind: {field: blank}})

    assert_refused(browser, response, kind, 400, "invalid_field", f"'{field}'")


# -- currencies, and Stripe's own sentence -------------------------------------------


def test_second_currency_is_a_sentence_and_a_code(make_shop: Any) -> None:
    shop = make_shop(
        STRIPE_PRICES={
            "storage": {"price": "price_storage", "addon": True},
            "pro": "price_pro",
        },
        STRIPE_TRIAL_DAYS=0,
    )
    shop.add_user(email="ada@example.com")
    stripe = Sandbox(seed=1)
    stripe.create_price("price_pro", 900, currency="eur")

    with connect(shop.app, stripe):
        stripe.pay(buy(shop, {"price": "storage"}).json["sessionId"])
        response = buy(shop, {"price": "pro"})

    assert_error(response, 409, "currency_conflict", "another currency")


@pytest.mark.parametrize(
    "message",
    [
        "You cannot combine currencies on a single customer. This customer has an"
        " active subscription with currency eur.",
        "The currency of the selected prices (eur) does not match the customer currency"
        " (usd).",
    ],
)
def test_each_sentence_about_currencies_is_understood(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, message: str
) -> None:
    error = error_of(message=message)
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=error)

    assert_error(buy(ada()), 409, "currency_conflict")


def test_sentence_of_stripe_is_in_the_log_with_its_request(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stripe_api.post(
        CHECKOUT_SESSIONS,
        status=400,
        json=error_of(message="The sentence.", code="c", param="locale"),
        headers={"Request-Id": "req_123"},
    )

    response = buy(ada())

    assert_error(response, 400, "c", "'locale'")
    assert "The sentence." not in response.text
    assert "The sentence. (request req_123)" in caplog.text
