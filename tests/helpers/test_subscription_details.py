"""What a ``Subscription`` knows beside its five fields, and what that costs."""

from __future__ import annotations

import copy
import pickle
import time
from dataclasses import asdict
from dataclasses import fields
from typing import Any

import pytest

from flask_kavach_stripe import Item
from flask_kavach_stripe import Subscription
from tests.vocabulary import at
from tests.vocabulary import END
from tests.vocabulary import event
from tests.vocabulary import FAR
from tests.vocabulary import item
from tests.vocabulary import item_list
from tests.vocabulary import send
from tests.vocabulary import store_subscription
from tests.vocabulary import T

DAY = 86_400
PRICES = {"pro": "price_pro", "storage": {"price": "price_storage", "addon": True}}
FIVE = [
    "id",
    "status",
    "price_id",
    "current_period_end",
    "cancel_at_period_end",
]
DETAILS = [
    "items",
    "quantity",
    "trial_end",
    "created",
    "current_period_start",
    "collection_paused",
]


@pytest.fixture
def shop(make_shop: Any) -> Any:
    made = make_shop(STRIPE_PRICES=PRICES)
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return made


def get(shop: Any, user_id: int = 1) -> Any:
    """The subscription of a user; call it in an app context to read its details."""
    return shop.kavach_stripe.get_subscription(user_id)


def test_all_details_take_one_query(shop: Any) -> None:
    items = item_list(item(1, "price_storage", 5), item(2, "price_pro", 3))
    send(shop, event("created", items=items, trial_end=END, cancel_at=FAR))

    with shop.app.app_context():
        found = get(shop)

        with shop.statements() as statements:
            assert found.id == "sub_1"
            assert found.price == "pro"
            assert statements == []
            assert found.items == (
                Item("si_1", "price_storage", 5, "storage"),
                Item("si_2", "price_pro", 3, "pro"),
            )
            assert found.quantity == 3
            assert found.trial_end == at(END)
            assert found.created == at(T)
            assert found.current_period_start == at(T)
            assert found.collection_paused is False
            assert found.ends_at == at(FAR)

        assert len(statements) == 1


@pytest.mark.parametrize("name", DETAILS)
def test_first_detail_takes_the_query(shop: Any, name: str) -> None:
    store_subscription(shop)

    with shop.app.app_context():
        found = get(shop)

        with shop.statements() as statements:
            getattr(found, name)
            getattr(found, name)

        assert len(statements) == 1


def test_end_of_what_is_not_scheduled_takes_no_query(shop: Any) -> None:
    store_subscription(shop)

    with shop.app.app_context():
        found = get(shop)

        with shop.statements() as statements:
            assert found.ends_at is None
            assert found.is_active

        assert statements == []


def test_listed_subscriptions_take_no_more_queries(shop: Any) -> None:
    store_subscription(shop, "sub_1", quantity=3)
    store_subscription(shop, "sub_2", status="canceled", quantity=4)

    with shop.app.app_context():
        found = shop.kavach_stripe.list_subscriptions(1)

        with shop.statements() as statements:
            assert [each.quantity for each in found] == [3, 4]
            assert [each.collection_paused for each in found] == [False, False]
            assert [each.ends_at for each in found] == [None, None]

        assert statements == []

    assert [each.created for each in found] == [at(T)] * 2  # anywhere


def test_reading_a_detail_writes_nothing(shop: Any) -> None:
    """Without autoflush: what the app has changed is not sent to the database."""
    store_subscription(shop)

    with shop.app.app_context():
        found = get(shop)
        shop.db.session.add(shop.Note(text="not yet"))

        with shop.statements() as statements:
            assert found.quantity == 1

        assert [each[:6] for each in statements] == ["SELECT"]
        shop.db.session.rollback()


@pytest.mark.parametrize("name", DETAILS)
def test_detail_outside_of_an_app_context_names_the_way_out(
    shop: Any, name: str
) -> None:
    store_subscription(shop)

    with shop.app.app_context():
        found = get(shop)

    with pytest.raises(RuntimeError, match="'list_subscriptions'"):
        getattr(found, name)

    assert found.is_active
    assert found.price == "pro"


@pytest.mark.parametrize("listed", [True, False])
def test_subscription_without_a_row_has_what_the_columns_say(
    shop: Any, listed: bool
) -> None:
    user_id = shop.add_user(
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
        stripe_price_id="price_pro",
        stripe_current_period_end=at(FAR),
        stripe_cancel_at_period_end=True,
    )

    with shop.app.app_context():
        [found] = (
            shop.kavach_stripe.list_subscriptions(user_id)
            if listed
            else [get(shop, user_id)]
        )
        assert found.items == (Item(None, "price_pro", None, "pro"),)
        assert found.quantity is None
        assert (found.trial_end, found.created) == (None, None)
        assert (found.current_period_start, found.collection_paused) == (None, None)
        assert found.ends_at == at(FAR)


def test_only_the_five_fields_are_compared_and_shown(shop: Any) -> None:
    store_subscription(shop)
    plain = Subscription("sub_1", "active", "price_pro", at(END), False)

    with shop.app.app_context():
        found = get(shop)
        assert found.quantity == 1

    assert found == plain
    assert repr(found) == repr(plain)
    assert hash(found) == hash(plain)
    assert asdict(found) == asdict(plain)
    assert list(asdict(found)) == [field.name for field in fields(found)] == FIVE


def test_pickle_and_copy_know_the_five_fields(shop: Any) -> None:
    store_subscription(shop)

    with shop.app.app_context():
        found = get(shop)
        assert found.quantity == 1

    for copied in (
        pickle.loads(pickle.dumps(found)),  # noqa: S301
        copy.deepcopy(found),
    ):
        assert copied == found

        with pytest.raises(RuntimeError, match="'list_subscriptions'"):
            copied.quantity  # noqa: B018


def test_paused_collection_is_active(shop: Any) -> None:
    store_subscription(shop, pause_collection={"behavior": "void"})

    with shop.app.app_context():
        found = get(shop)
        assert found.collection_paused is True
        assert found.is_active


# -- when it ends ----------------------------------------------------------------------


@pytest.mark.parametrize("days", [10, 365])
def test_day_of_the_end_may_be_other_than_the_periods(shop: Any, days: int) -> None:
    now = int(time.time())
    cancel_at = now + days * DAY
    store_subscription(shop, current_period_end=now + 30 * DAY, cancel_at=cancel_at)

    with shop.app.app_context():
        found = get(shop)
        assert found.ends_at == at(cancel_at)
        assert found.current_period_end == at(now + 30 * DAY)
        assert found.on_grace_period


def test_end_is_that_of_the_period_if_no_day_is_set(shop: Any) -> None:
    store_subscription(shop, current_period_end=FAR, cancel_at_period_end=True)

    with shop.app.app_context():
        assert get(shop).ends_at == at(FAR)


@pytest.mark.parametrize(
    ("hours", "is_active"),
    [(-60 * 24, False), (-25, False), (-23, True), (-1, True), (1, True)],
)
@pytest.mark.parametrize("key", ["current_period_end", "cancel_at"])
def test_scheduled_end_that_is_past_by_a_day_is_no_access(
    shop: Any, key: str, hours: int, is_active: bool
) -> None:
    """The webhook of the end was lost."""
    end = int(time.time()) + hours * 3600
    values: dict[str, Any] = {key: end}

    if key == "current_period_end":
        values["cancel_at_period_end"] = True

    store_subscription(shop, **values)

    with shop.app.app_context():
        assert get(shop).is_active is is_active
        assert get(shop).on_grace_period is is_active


@pytest.mark.parametrize("status", ["active", "trialing"])
def test_renewal_that_is_late_stays_access(shop: Any, status: str) -> None:
    store_subscription(shop, status=status, current_period_end=T - 60 * DAY)

    with shop.app.app_context():
        assert get(shop).is_active


def test_end_in_a_year_outlives_the_end_of_the_period(shop: Any) -> None:
    """The renewal is late, and the day of the end has not come."""
    now = int(time.time())
    store_subscription(
        shop, current_period_end=now - 9 * DAY, cancel_at=now + 365 * DAY
    )

    with shop.app.app_context():
        assert get(shop).is_active
