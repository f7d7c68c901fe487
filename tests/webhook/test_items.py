"""Rows hold all items that Stripe says, and the ledger says what changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from responses.matchers import query_param_matcher

from tests.vocabulary import at
from tests.vocabulary import checkout
from tests.vocabulary import END
from tests.vocabulary import event
from tests.vocabulary import expect_list
from tests.vocabulary import FAR
from tests.vocabulary import item
from tests.vocabulary import item_list
from tests.vocabulary import MONTH
from tests.vocabulary import on_change
from tests.vocabulary import run_well
from tests.vocabulary import send
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTION_ITEMS
from tests.vocabulary import T

PRICES = {
    "pro": ["price_pro", "price_old"],
    "team": "price_team",
    "storage": {"price": "price_storage", "addon": True},
}
PRO, STORAGE = item(1, "price_pro"), item(2, "price_storage", 5)


@pytest.fixture
def shop(make_shop: Any) -> Any:
    made = make_shop(STRIPE_PRICES=PRICES)
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return made


@pytest.fixture
def changes(shop: Any) -> list[str]:
    """What ``on_subscription_change`` was called with."""
    noted: list[str] = []

    @on_change(shop)
    def note(user: Any, found: Any) -> None:
        noted.append(f"{found.id} {found.status} {found.price} x {found.quantity}")

    return noted


def change_of(shop: Any, number: int = -1) -> Any:
    """What the ledger says of an event, by default of the last one."""
    change = shop.events[number].change
    return None if change is None else json.loads(change)


# -- rows ------------------------------------------------------------------------------


def test_row_has_all_items_in_stripes_order(shop: Any) -> None:
    metered = item(3, "price_metered", None)
    send(shop, event("created", items=item_list(STORAGE, metered, PRO)))

    [row] = shop.subscriptions
    assert json.loads(row.items) == [
        {"id": "si_2", "price": "price_storage", "quantity": 5},
        {"id": "si_3", "price": "price_metered", "quantity": None},
        {"id": "si_1", "price": "price_pro", "quantity": 1},
    ]


def test_row_knows_day_of_the_end_and_pause(shop: Any) -> None:
    send(shop, event("created", cancel_at=FAR, pause_collection={"behavior": "void"}))
    [row] = shop.subscriptions
    assert (row.cancel_at, row.cancel_at_period_end) == (at(FAR), True)
    assert (row.collection_paused, row.status) == (True, "active")

    send(shop, event("updated", 60, cancel_at=None, pause_collection=None))
    [row] = shop.subscriptions
    assert (row.cancel_at, row.cancel_at_period_end) == (None, False)
    assert row.collection_paused is False


def test_ended_subscription_has_no_day_of_the_end(shop: Any) -> None:
    send(shop, event("created", cancel_at=FAR))
    send(shop, event("deleted", 60, status="canceled", cancel_at=FAR))

    assert shop.subscriptions[0].cancel_at is None


def test_period_begins_and_ends_with_the_same_item(shop: Any) -> None:
    soon = {"current_period_start": T + 7, "current_period_end": END - 9}
    items = item_list(PRO, item(2, "price_storage", **soon))
    send(shop, event("created", items=items))

    [row] = shop.subscriptions
    assert row.current_period_start == at(T + 7)
    assert row.current_period_end == at(END - 9)


def test_period_of_older_versions_has_a_beginning(shop: Any) -> None:
    send(shop, event("created", api_version="2024-12-18.acacia"))
    assert shop.subscriptions[0].current_period_start == at(T)


# -- more items than an event shows ----------------------------------------------------


def expect_items(
    stripe_api: responses.RequestsMock, *items: Any, after: str | None = None
) -> None:
    """Answer one request for the list of the items of a subscription."""
    query = {"subscription": "sub_1", "limit": "100"}

    if after is not None:
        query["starting_after"] = after

    stripe_api.get(
        SUBSCRIPTION_ITEMS,
        json=item_list(*items, has_more=after is None and len(items) == 1),
        match=[query_param_matcher(query)],
    )


@pytest.mark.parametrize("kind", ["created", "updated"])
def test_rest_of_a_long_list_of_items_is_read_from_stripe(
    shop: Any, stripe_api: responses.RequestsMock, kind: str
) -> None:
    shown = item_list(STORAGE, has_more=True)
    stripe_api.get(SUB_1, json=subscription(items=shown))
    expect_items(stripe_api, STORAGE)
    expect_items(stripe_api, PRO, after="si_2")
    send(shop, event(kind, items=shown))

    [row] = shop.subscriptions
    assert [each["id"] for each in json.loads(row.items)] == ["si_2", "si_1"]
    assert shop.columns()["price_id"] == "price_pro"


def test_late_event_with_a_long_list_of_items_asks_nobody(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    send(shop, event("created"))
    send(shop, event("updated", 60))
    send(shop, event("updated", 20, items=item_list(STORAGE, has_more=True)))

    assert len(stripe_api.calls) == 0
    assert shop.columns()["price_id"] == "price_pro"


def test_end_of_a_subscription_with_many_items_asks_nobody(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    send(shop, event("created"))
    shown = item_list(PRO, has_more=True)
    send(shop, event("deleted", 60, status="canceled", items=shown))

    assert len(stripe_api.calls) == 0
    assert shop.columns()["subscription_status"] == "canceled"


def test_sync_reads_the_rest_of_a_long_list_of_items(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_list(stripe_api, subscription(items=item_list(STORAGE, has_more=True)))
    expect_items(stripe_api, STORAGE, PRO)

    with shop.app.app_context():
        found = shop.kavach_stripe.sync_subscription(1)

    assert found.price == "pro"
    assert len(json.loads(shop.subscriptions[0].items)) == 2


def test_sync_of_all_reads_the_rest_of_a_long_list_of_items(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shown = subscription(items=item_list(STORAGE, has_more=True))
    stripe_api.get(
        SUB_1.removesuffix("/sub_1"), json=item_list(shown), headers={"Date": "x"}
    )
    expect_items(stripe_api, STORAGE, PRO)
    run_well(shop, "sync")

    assert shop.columns()["price_id"] == "price_pro"


# -- which item counts -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        pytest.param(["price_storage", "price_pro"], "price_pro", id="addon first"),
        pytest.param(["price_x", "price_team"], "price_team", id="unknown one first"),
        pytest.param(["price_team", "price_pro"], "price_team", id="two plans"),
        pytest.param(["price_old"], "price_old", id="older price"),
        pytest.param(["price_x", "price_storage"], "price_x", id="no plan: first"),
        pytest.param(["price_storage", "price_x"], "price_storage", id="addon, other"),
        pytest.param([], None, id="none"),
    ],
)
def test_first_plan_counts_else_the_first_item(
    shop: Any, prices: list[str], expected: str | None
) -> None:
    items = [item(number, price, number + 1) for number, price in enumerate(prices)]
    send(shop, event("created", items=item_list(*items)))
    assert shop.columns()["price_id"] == expected

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)
        number = prices.index(expected) + 1 if expected else None
        assert found.quantity == number


# -- which subscription counts ---------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "addon", "expected"),
    [
        pytest.param("active", "active", "sub_plan", id="both give access"),
        pytest.param("trialing", "active", "sub_plan", id="trial of the plan"),
        pytest.param("past_due", "active", "sub_addon", id="plan gives no access"),
        pytest.param("incomplete", "past_due", "sub_plan", id="none gives access"),
        pytest.param("canceled", "past_due", "sub_addon", id="plan has ended"),
    ],
)
def test_plan_comes_before_a_newer_addon(
    shop: Any, plan: str, addon: str, expected: str
) -> None:
    send(
        shop,
        event("created", id="sub_plan", status=plan),
        event(
            "created",
            id="sub_addon",
            status=addon,
            created=T + 9,
            items=item_list(STORAGE),
        ),
    )
    assert shop.columns()["subscription_id"] == expected


# -- what changed ----------------------------------------------------------------------


def test_ledger_says_before_and_after(shop: Any) -> None:
    send(shop, event("created", items=item_list(PRO), trial_end=END))
    before = {
        "id": "sub_1",
        "status": "active",
        "price_id": "price_pro",
        "quantity": 1,
        "items": [["si_1", "price_pro", 1]],
        "current_period_start": T,
        "current_period_end": END,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "collection_paused": False,
        "trial_end": END,
        "created": T,
    }
    first = change_of(shop)
    assert (first["before"], first["after"]) == (None, before)

    more = item_list(item(1, "price_pro", 8))
    send(shop, event("updated", 60, items=more, trial_end=END))
    second = change_of(shop)
    assert second["before"] == before
    items = [["si_1", "price_pro", 8]]
    assert second["after"] == {**before, "quantity": 8, "items": items}

    send(shop, event("deleted", 90, status="canceled", items=more, trial_end=END))
    last = change_of(shop)
    assert (last["before"], last["after"]) == (second["after"], None)


def test_ledger_says_nothing_where_nothing_changed(shop: Any) -> None:
    send(shop, event("created"), event("updated", 60), event("updated", -60))
    assert [row.change is None for row in shop.events] == [False, True, True]


def test_seats_bought_in_the_portal_are_a_change(shop: Any, changes: list[str]) -> None:
    send(shop, event("created", quantity=3), event("updated", 60, quantity=8))
    assert changes == ["sub_1 active pro x 3", "sub_1 active pro x 8"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"items": item_list(PRO, STORAGE)}, id="another item"),
        pytest.param({"pause_collection": {"behavior": "void"}}, id="pause"),
        pytest.param({"trial_end": FAR}, id="trial"),
        pytest.param({"cancel_at": FAR}, id="day of the end"),
    ],
)
def test_what_a_subscription_says_is_a_change(
    shop: Any, changes: list[str], changed: dict[str, Any]
) -> None:
    send(shop, event("created", items=item_list(PRO)))
    send(shop, event("updated", 60, **{"items": item_list(PRO), **changed}))
    assert len(changes) == 2


def test_beginning_of_period_and_creation_alone_are_no_change(
    shop: Any, changes: list[str]
) -> None:
    moved = item(1, "price_pro", current_period_start=T + 5)
    send(shop, event("created", items=item_list(PRO)))
    send(shop, event("updated", 60, items=item_list(moved), created=T - MONTH))

    assert shop.subscriptions[0].current_period_start == at(T + 5)
    assert len(changes) == 1
    assert change_of(shop) is None


def test_addon_that_is_a_subscription_of_its_own_begins_and_ends(
    shop: Any, changes: list[str]
) -> None:
    addon: dict[str, Any] = {"id": "sub_2", "items": item_list(STORAGE)}
    send(shop, event("created"), event("created", 30, **addon))
    begun = change_of(shop)
    assert changes == ["sub_1 active pro x 1"] * 2
    assert begun["before"] == begun["after"]
    assert begun["access"]["before"] == [["price_pro", 1]]
    assert begun["access"]["after"] == [["price_pro", 1], ["price_storage", 5]]

    send(shop, event("deleted", 60, status="canceled", **addon))
    assert changes == ["sub_1 active pro x 1"] * 3


def test_addon_that_gives_no_access_is_no_change(shop: Any, changes: list[str]) -> None:
    addon: dict[str, Any] = {"id": "sub_2", "status": "incomplete"}
    addon["items"] = item_list(STORAGE)
    send(shop, event("created"), event("created", 30, **addon))
    assert changes == ["sub_1 active pro x 1"]


def test_what_was_unknown_before_is_no_change(shop: Any, changes: list[str]) -> None:
    """Columns that were filled before there were rows know one price."""
    shop.add_user(
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
        stripe_price_id="price_pro",
        stripe_current_period_end=at(END),
    )
    bobs: dict[str, Any] = {"id": "sub_bob", "customer": "cus_bob", "quantity": 3}
    send(shop, event("updated", **bobs))
    assert changes == []
    assert change_of(shop) is None

    send(shop, event("updated", 60, **{**bobs, "quantity": 4}))
    assert changes == ["sub_bob active pro x 4"]


def test_upgrade_that_replaces_an_item_is_one_change(
    shop: Any, changes: list[str]
) -> None:
    send(shop, event("created", items=item_list(PRO)))
    send(shop, event("updated", 60, items=item_list(STORAGE, item(3, "price_team"))))

    assert changes[-1] == "sub_1 active team x 1"
    assert shop.columns()["price_id"] == "price_team"


def test_completed_checkout_links_a_user_with_a_blank_customer_id(
    make_shop: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES)
    shop.add_user(stripe_customer_id="")
    stripe_api.get(SUB_1, json=subscription())
    send(shop, checkout(client_reference_id="1"))

    assert shop.columns()["customer_id"] == "cus_ada"
    assert shop.columns()["subscription_status"] == "active"


def test_blank_customer_id_is_none(make_shop: Callable[..., Any]) -> None:
    """A form's default: the buyer is linked, and gets what was bought."""
    shop = make_shop()
    shop.add_user(stripe_customer_id="", stripe_subscription_id="")

    with shop.app.app_context():
        assert shop.kavach_stripe.get_customer_id(1) is None
        assert shop.kavach_stripe.get_subscription(1) is None
        assert shop.kavach_stripe.list_subscriptions(1) == []
