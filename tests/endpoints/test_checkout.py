"""``POST /auth/stripe/checkout`` takes fields and forms.

What Stripe is sent for them, what is answered, and who may ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses
from responses.matchers import header_matcher

from tests.vocabulary import assert_error
from tests.vocabulary import assert_sent_back
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_PAGE
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import sent_params

# -- what is sent and answered -------------------------------------------------------


def test_camel_case_fields(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=30)
    expect_checkout_session(
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
    assert response.json == {"url": CHECKOUT_PAGE, "sessionId": "cs_test_1"}
    assert response.headers["Cache-Control"] == "no-store"


def test_snake_case_fields(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=30)
    expect_checkout_session(
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

    assert response.json == {"url": CHECKOUT_PAGE, "sessionId": "cs_test_1"}


def test_null_is_as_if_not_sent(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api)
    optional = ("price", "successUrl", "cancelUrl", "trialDays", "quantity", "metadata")

    response = buy(ada(), {"priceId": "price_pro"} | dict.fromkeys(optional))

    assert response.status_code == 200


def test_headers_of_the_request(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        CHECKOUT_SESSIONS,
        json=CHECKOUT_SESSION,
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
    [key] = session_keys(stripe_api)
    assert len(key) >= 32


def session_keys(stripe_api: responses.RequestsMock) -> list[str]:
    """The idempotency keys of the sessions that were asked for."""
    return [
        call.request.headers["Idempotency-Key"]
        for call in stripe_api.calls
        if call.request.method == "POST" and call.request.url == CHECKOUT_SESSIONS
    ]


def test_each_session_has_a_key_of_its_own(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    """A key that depends on what is bought would give a used page for a day."""
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    shop = ada()

    buy(shop)
    buy(shop)

    assert len(set(session_keys(stripe_api))) == 2


def test_mimetype_of_the_json_does_not_matter(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api)

    response = (
        ada()
        .browser(1)
        .post(CHECKOUT, data=b'{"priceId": "price_pro"}', content_type="text/plain")
    )

    assert response.json == {"url": CHECKOUT_PAGE, "sessionId": "cs_test_1"}


def test_browser_cannot_choose_whose_session_it_is(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api)

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
    expect_checkout_session(stripe_api)

    body = {"priceId": "price_pro", "metadata": {"kavach_user_id": "2"}}

    assert buy(ada(), body).status_code == 200


def test_47_keys_of_metadata_fit_beside_ours(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    metadata = {f"{'k' * 38}{number:02}": "v" * 500 for number in range(47)}

    assert buy(ada(), {"priceId": "p", "metadata": metadata}).status_code == 200
    assert sum(name.startswith("metadata[") for name in sent_params(stripe_api)) == 50


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
    expect_checkout_session(
        stripe_api,
        **{
            "line_items[0][quantity]": "3",
            "subscription_data[trial_period_days]": "9",
        },
    )

    response = shop.browser(1).post(CHECKOUT, data=fields)

    assert response.status_code == 303
    assert response.location == CHECKOUT_PAGE
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "words", "name"),
    [
        ({"csrf_token": "x"}, "missing", "price"),
        ({"priceId": ""}, "missing", "price"),
        ({"priceId": "p", "quantity": "two"}, "must be", "quantity"),
        ({"priceId": "p", "quantity": "1.0"}, "must be", "quantity"),
        ({"priceId": "p", "quantity": " 1"}, "must be", "quantity"),
        ({"priceId": "p", "quantity": "٣"}, "must be", "quantity"),
        ({"priceId": "p", "quantity": "9" * 5000}, "must be", "quantity"),
        ({"priceId": "p", "trialDays": "-1"}, "must be", "trialDays"),
        ({"priceId": "p", "metadata": "{}"}, "must be", "metadata"),
    ],
)
def test_wrong_form_is_refused(
    ada: Callable[..., Any], fields: dict[str, str], words: str, name: str
) -> None:
    browser = ada().browser(1)

    response = browser.post(CHECKOUT, data=fields)

    assert_sent_back(browser, response, words, f"'{name}'")


# -- who asks ------------------------------------------------------------------------


@pytest.mark.parametrize("login_view", [None, "login"])
def test_401_is_never_a_redirect(make_shop: Any, login_view: str | None) -> None:
    """For a program, that is; a form leads to the log-in."""
    shop = make_shop()
    shop.app.login_manager.login_view = login_view

    response = shop.browser().post(CHECKOUT, json={"priceId": "price_pro"})

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


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_allowed(ada: Callable[..., Any], method: str) -> None:
    assert ada().browser(1).open(CHECKOUT, method=method).status_code == 405
