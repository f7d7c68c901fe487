"""What the checkout endpoint sells: by the entries of ``STRIPE_PRICES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses

from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import checkout_marks
from tests.vocabulary import CHECKOUT_PARAMS
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import event
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import expect_list
from tests.vocabulary import expect_new_customer
from tests.vocabulary import item
from tests.vocabulary import item_list
from tests.vocabulary import send
from tests.vocabulary import sent_params
from tests.vocabulary import store_subscription
from tests.vocabulary import subscription

PRICES: dict[str, Any] = {
    "pro": ["price_pro", "price_old"],
    "team": {"price": "price_team", "quantity": (2, 50)},
    "pack": {"price": "price_pack", "quantity": 5},
    "api": {"price": "price_api", "quantity": None},
    "storage": {"price": "price_storage", "addon": True},
    "unset": None,
}
STORAGE = item_list(item(1, "price_storage"))


@pytest.fixture
def shop(ada: Callable[..., Any]) -> Any:
    return ada(STRIPE_PRICES=PRICES)


@pytest.mark.parametrize("body", [{"price": "pro"}, {"priceId": "price_pro"}])
def test_first_id_is_sold(
    shop: Any, stripe_api: responses.RequestsMock, body: dict[str, Any]
) -> None:
    expect_checkout_session(stripe_api)
    assert buy(shop, body).status_code == 200


@pytest.mark.parametrize(
    "body", [{"priceId": "price_old"}, {"price": "pro", "priceId": "price_old"}]
)
def test_older_id_is_not_for_sale(shop: Any, body: dict[str, Any]) -> None:
    assert_error(buy(shop, body), 400, "price_not_allowed")


@pytest.mark.parametrize("prices", ["*", None])
def test_any_id_is_for_sale_where_nothing_is_listed(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, prices: Any
) -> None:
    expect_checkout_session(stripe_api, **{"line_items[0][price]": "price_old"})
    answer = buy(ada(STRIPE_PRICES=prices), {"priceId": "price_old"})
    assert answer.status_code == 200


def test_entry_without_an_id_is_not_for_sale(shop: Any) -> None:
    assert_error(buy(shop, {"price": "unset"}), 400, "price_not_allowed")


# -- quantities ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked", "sold"),
    [
        pytest.param("pro", None, "1", id="any: one"),
        pytest.param("pro", 7, "7", id="any: as asked"),
        pytest.param("pro", 999_999, "999999", id="any: very many"),
        pytest.param("team", None, "2", id="pair: the minimum"),
        pytest.param("team", 2, "2", id="pair: from the minimum"),
        pytest.param("team", 50, "50", id="pair: to the maximum"),
        pytest.param("pack", None, "5", id="fixed"),
        pytest.param("pack", 5, "5", id="fixed, as asked"),
        pytest.param("api", None, None, id="metered: none is sent"),
    ],
)
def test_quantity_that_is_sold(
    shop: Any,
    stripe_api: responses.RequestsMock,
    name: str,
    asked: int | None,
    sold: str | None,
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    body = {"price": name} if asked is None else {"price": name, "quantity": asked}
    assert buy(shop, body).status_code == 200

    expected = {
        **CHECKOUT_PARAMS,
        **checkout_marks("cus_ada"),
        "metadata[kavach_sale]": "plan",
        "line_items[0][price]": f"price_{name}",
    }
    del expected["line_items[0][quantity]"]

    if sold is not None:
        expected["line_items[0][quantity]"] = sold

    assert sent_params(stripe_api) == expected


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        pytest.param("team", 1, "from 2 to 50", id="below the minimum"),
        pytest.param("team", 51, "from 2 to 50", id="above the maximum"),
        pytest.param("pack", 4, "5", id="another than the fixed one"),
        pytest.param("pack", 1, "5", id="one"),
    ],
)
def test_quantity_that_is_not_sold(
    shop: Any, name: str, asked: int, words: str
) -> None:
    answer = buy(shop, {"price": name, "quantity": asked})
    assert_error(answer, 400, "invalid_field", "quantity", words)


# -- add-ons ---------------------------------------------------------------------------


def test_addon_alone_is_not_already_subscribed(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(shop, items=STORAGE)
    expect_list(stripe_api, subscription(items=STORAGE))
    expect_checkout_session(stripe_api)

    assert buy(shop, {"price": "pro"}).status_code == 200


def test_plan_beside_an_addon_is_already_subscribed(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    items = item_list(item(1, "price_storage"), item(2, "price_pro"))
    store_subscription(shop, items=items)
    expect_list(stripe_api, subscription(items=items))

    assert_error(buy(shop, {"price": "pro"}), 409, "already_subscribed")


def test_plan_behind_a_newer_addon_is_already_subscribed(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Of two subscriptions, the columns name one."""
    store_subscription(shop, "sub_1", status="past_due")
    store_subscription(shop, "sub_2", items=STORAGE)
    assert shop.columns()["subscription_id"] == "sub_2"
    addon = subscription(id="sub_2", items=STORAGE)
    expect_list(stripe_api, subscription(status="past_due"), addon)

    assert_error(buy(shop, {"price": "pro"}), 409, "already_subscribed")


@pytest.mark.parametrize(
    ("items", "days"),
    [
        pytest.param(STORAGE, "14", id="an add-on"),
        pytest.param(item_list(item(1, "price_pro")), None, id="a plan"),
        pytest.param(item_list(item(1, "price_other")), None, id="not in the list"),
    ],
)
def test_trial_is_for_a_first_plan(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    items: Any,
    days: str | None,
) -> None:
    shop = ada(STRIPE_PRICES=PRICES, STRIPE_TRIAL_DAYS=14)
    send(shop, event("created", items=items))
    send(shop, event("deleted", 60, status="canceled", items=items))
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    assert buy(shop, {"price": "pro"}).status_code == 200
    sent = sent_params(stripe_api)
    assert sent.get("subscription_data[trial_period_days]") == days


def test_blank_customer_id_is_replaced_by_the_buyers_customer(
    keep_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """A form's default. The buyer pays, and gets what was bought."""
    shop = keep_shop(STRIPE_TRIAL_DAYS=0, STRIPE_PRICES=PRICES)
    shop.add_user(email="ada@example.com", stripe_customer_id="")
    expect_new_customer(stripe_api, json={"id": "cus_ada", "object": "customer"})
    expect_checkout_session(stripe_api)

    assert buy(shop, {"price": "pro"}).status_code == 200
    assert shop.columns()["customer_id"] == "cus_ada"

    send(shop, event("created"))
    assert shop.columns()["subscription_status"] == "active"
