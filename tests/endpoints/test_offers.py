"""Checkout sells what is for sale, and grants the trials of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses

from flask_kavach_stripe.testing import make_event
from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import event
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import expect_new_customer
from tests.vocabulary import send
from tests.vocabulary import sent_params
from tests.vocabulary import store_subscription

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
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    assert buy(ada(STRIPE_PRICES=prices), body).status_code == 200
    assert sent_params(stripe_api)["line_items[0][price]"] == bought


@pytest.mark.parametrize(
    ("prices", "body", "words"),
    [
        (NAMES, {"priceId": "price_other"}, "'priceId'"),
        (NAMES, {"priceId": "pro"}, "'priceId'"),
        (NAMES, {"priceId": "PRICE_PRO"}, "'priceId'"),
        (NAMES, {"priceId": " price_pro"}, "'priceId'"),
        (NAMES, {"price": "other"}, "price named 'other'"),
        (NAMES, {"price": "price_pro"}, "price named 'price_pro'"),
        (NAMES, {"price": "team", "priceId": "price_pro"}, "'price' and 'priceId'"),
        (NAMES, {"price": "other", "priceId": "price_pro"}, "price named 'other'"),
        ("*", {"price": "pro"}, "price named 'pro'"),
        (None, {"price": "pro"}, "price named 'pro'"),
        ({}, {"priceId": "price_pro"}, "'priceId'"),
    ],
)
def test_price_that_is_not_for_sale(
    ada: Callable[..., Any], prices: Any, body: dict[str, str], words: str
) -> None:
    response = buy(ada(STRIPE_PRICES=prices), body)

    assert_error(response, 400, "price_not_allowed", words)


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "sk_org_1"])
def test_live_key_sells_what_is_named(ada: Callable[..., Any], key: str) -> None:
    shop = ada(STRIPE_SECRET_KEY=key, STRIPE_PRICES=NAMES)

    assert_error(buy(shop, {"priceId": "price_x"}), 400, "price_not_allowed")


# -- trials --------------------------------------------------------------------------


def trial_of(stripe_api: responses.RequestsMock) -> str | None:
    return sent_params(stripe_api).get("subscription_data[trial_period_days]")


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
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
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
    send(shop, event("deleted", id="sub_old", status="canceled"))


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
    expect_checkout_session(stripe_api)

    assert buy(shop).status_code == 200


@pytest.mark.parametrize("remember", [end_subscription, forget_status, forget_row])
@pytest.mark.parametrize("days", [None, 7])
def test_trial_asked_for_a_second_time_is_refused(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    days: int | None,
    remember: Callable[[Any], None],
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
    expect_checkout_session(stripe_api)

    assert buy(shop, {"priceId": "price_pro", "trialDays": 0}).status_code == 200


def test_deleted_customer_gives_no_second_trial(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_TRIAL_DAYS=7)
    store_subscription(shop, status="trialing")
    shop.post_event(make_event("customer.deleted", {"id": "cus_ada"}))
    expect_new_customer(stripe_api, json={"id": "cus_new"})
    expect_checkout_session(stripe_api, customer="cus_new")

    assert buy(shop).status_code == 200
