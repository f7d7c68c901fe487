"""Guards look at all items of all subscriptions that give access."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flask_kavach_stripe import subscription_required
from tests.vocabulary import event
from tests.vocabulary import item
from tests.vocabulary import item_list
from tests.vocabulary import send
from tests.vocabulary import store_subscription
from tests.vocabulary import T

PRICES = {
    "pro": ["price_new", "price_old"],
    "team": "price_team",
    "storage": {"price": "price_storage", "addon": True},
}
PRO, STORAGE = item(1, "price_new"), item(2, "price_storage")


@pytest.fixture
def shop(make_shop: Any) -> Any:
    """An app with a page for each price, and one for every subscriber."""
    made = make_shop(STRIPE_PRICES=PRICES)
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")

    for name in (*PRICES, "price_new", "price_old"):
        guarded = subscription_required(name)(lambda: "the page")
        made.app.add_url_rule(f"/{name}", name, guarded)

    everyone = subscription_required(lambda: "the page")
    made.app.add_url_rule("/any", "any", everyone)
    return made


def opens(shop: Any, *names: str) -> dict[str, bool]:
    """Which pages open for Ada."""
    browser = shop.browser(1)
    answers = {name: browser.get(f"/{name}").status_code for name in names}
    assert set(answers.values()) <= {200, 402}
    return {name: status == 200 for name, status in answers.items()}


@pytest.mark.parametrize("items", [(STORAGE, PRO), (PRO, STORAGE)])
def test_plan_and_addon_open_in_any_order(shop: Any, items: tuple[Any, ...]) -> None:
    store_subscription(shop, items=item_list(*items))
    assert opens(shop, "pro", "storage", "team", "any") == {
        "pro": True,
        "storage": True,
        "team": False,
        "any": True,
    }


def test_upgrade_that_replaces_an_item_opens(shop: Any) -> None:
    send(shop, event("created", items=item_list(PRO)))
    send(shop, event("updated", 60, items=item_list(STORAGE, item(3, "price_team"))))

    assert opens(shop, "pro", "team", "storage") == {
        "pro": False,
        "team": True,
        "storage": True,
    }


def test_addon_of_its_own_opens_what_it_is_for(shop: Any) -> None:
    store_subscription(shop, "sub_1", items=item_list(PRO))
    store_subscription(shop, "sub_2", items=item_list(STORAGE), created=T + 9)
    assert opens(shop, "pro", "storage") == {"pro": True, "storage": True}

    send(shop, event("updated", 60, id="sub_2", status="unpaid"))
    send(shop, event("deleted", 90, id="sub_2", status="canceled"))
    assert opens(shop, "pro", "storage") == {"pro": True, "storage": False}


def test_addon_alone_opens_no_plan(shop: Any) -> None:
    store_subscription(shop, items=item_list(STORAGE))
    assert opens(shop, "pro", "storage") == {"pro": False, "storage": True}


def test_items_of_a_subscription_without_access_open_nothing(shop: Any) -> None:
    store_subscription(shop, status="past_due", items=item_list(STORAGE, PRO))
    assert opens(shop, "pro", "storage", "any") == {
        "pro": False,
        "storage": False,
        "any": False,
    }


@pytest.mark.parametrize("price", ["price_new", "price_old"])
def test_older_price_opens_what_its_name_opens(shop: Any, price: str) -> None:
    store_subscription(shop, price=price)
    assert opens(shop, "pro", price, "team") == {
        "pro": True,
        price: True,
        "team": False,
    }


def test_id_opens_for_that_price_alone(shop: Any) -> None:
    store_subscription(shop, price="price_old")
    assert opens(shop, "price_new", "price_old") == {
        "price_new": False,
        "price_old": True,
    }


def test_matching_price_in_the_columns_takes_no_query(shop: Any) -> None:
    store_subscription(shop, items=item_list(PRO, STORAGE))
    browser = shop.browser(1)

    with shop.statements() as statements:
        assert browser.get("/pro").status_code == 200

    assert len(statements) == 1, "the user"


def test_blank_subscription_id_opens_nothing(shop: Any) -> None:
    user_id = shop.add_user(
        stripe_customer_id="",
        stripe_subscription_id="",
        stripe_subscription_status="active",
        stripe_price_id="price_new",
    )
    assert shop.browser(user_id).get("/any").status_code == 402
    assert shop.browser(user_id).get("/pro").status_code == 402


def test_end_that_is_past_opens_nothing(shop: Any) -> None:
    end = int(time.time()) - 60 * 86_400
    store_subscription(
        shop,
        items=item_list(item(1, "price_new", current_period_end=end), STORAGE),
        cancel_at=end,
    )
    assert opens(shop, "pro", "storage", "any") == {
        "pro": False,
        "storage": False,
        "any": False,
    }


def test_end_that_is_past_closes_no_other_subscription(shop: Any) -> None:
    """The webhook of the plan's end was lost, and the add-on goes on."""
    end = int(time.time()) - 60 * 86_400
    store_subscription(
        shop,
        items=item_list(item(1, "price_new", current_period_end=end)),
        cancel_at=end,
    )
    store_subscription(shop, "sub_2", items=item_list(STORAGE))

    assert opens(shop, "pro", "storage", "any") == {
        "pro": False,
        "storage": True,
        "any": True,
    }
