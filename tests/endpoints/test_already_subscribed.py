"""The checkout endpoint sells no second subscription.

Stripe is asked before it sells, and before it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses

from tests.vocabulary import assert_error
from tests.vocabulary import become
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import expect_list
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS

BLOCKING = ["active", "trialing", "past_due", "unpaid", "paused"]
OPEN = ["incomplete", "incomplete_expired", "canceled", "a_new_status"]


@pytest.mark.parametrize("status", BLOCKING)
def test_second_subscription_is_refused_when_stripe_confirms(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: str
) -> None:
    shop = ada()
    become(shop, status)
    running = subscription(status=status)
    asked = expect_list(stripe_api, running)

    assert_error(buy(shop), 409, "already_subscribed")
    assert asked.call_count == 1


@pytest.mark.parametrize("status", BLOCKING)
def test_columns_that_are_behind_do_not_refuse(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: str
) -> None:
    shop = ada()
    become(shop, status)
    ended = subscription(status="canceled")
    asked = expect_list(stripe_api, ended)
    expect_checkout_session(stripe_api)

    assert buy(shop).status_code == 200
    assert asked.call_count == 1
    assert shop.columns()["subscription_status"] == "canceled"


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        pytest.param({"body": requests.ConnectionError("down")}, 503, id="no answer"),
        pytest.param({"body": requests.Timeout("slow")}, 503, id="time-out"),
        pytest.param({"status": 500, "body": "oops"}, 502, id="500"),
        pytest.param(
            {"status": 429, "json": {"error": {"code": "rate"}}}, 503, id="429"
        ),
        pytest.param({"json": {"data": "odd"}}, 502, id="not a list"),
    ],
)
@pytest.mark.parametrize("status", ["active", "canceled"])
def test_nothing_is_sold_while_stripe_cannot_be_asked(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
    refusal: int,
    status: str,
) -> None:
    shop = ada()
    become(shop, status)
    asked = stripe_api.get(SUBSCRIPTIONS, **answer)
    code = {503: "stripe_unavailable", 502: "stripe_error"}[refusal]

    assert_error(buy(shop), refusal, code)
    assert asked.call_count == 1
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize("status", OPEN)
def test_other_statuses_do_not_refuse(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: str
) -> None:
    shop = ada()
    become(shop, status)
    expect_list(stripe_api, subscription(status=status))
    expect_checkout_session(stripe_api)

    assert buy(shop).status_code == 200


def test_active_statuses_do_not_matter_to_the_refusal(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada(STRIPE_ACTIVE_STATUSES=["active"])
    become(shop, "paused")
    expect_list(stripe_api, subscription(status="paused"))

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
    running = subscription("sub_bob", customer="cus_bob")
    stripe_api.get(SUBSCRIPTIONS, json={"data": [running], "has_more": False})

    response = shop.browser(2).post(CHECKOUT, json={"priceId": "price_pro"})

    assert_error(response, 409, "already_subscribed")


def test_refusal_tells_those_who_want_to_know_what_stripe_said(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()
    become(shop, "active")
    told: list[tuple[str, str]] = []
    shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append((user.email, subscription.status))
    )
    expect_list(stripe_api, subscription(status="unpaid"))

    assert_error(buy(shop), 409, "already_subscribed")
    assert told == [("ada@example.com", "unpaid")]
