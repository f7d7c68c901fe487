"""A user whom Stripe would go on charging is not deleted."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe import RunningSubscriptionError
from tests.vocabulary import event
from tests.vocabulary import send
from tests.vocabulary import store_subscription


def delete(shop: Any, *, is_expired: bool = False) -> None:
    with shop.app.app_context():
        user = shop.db.session.get(shop.User, 1)

        if is_expired:
            shop.db.session.expire(user)

        shop.db.session.delete(user)
        shop.db.session.commit()


def count_users(shop: Any) -> int:
    return len(shop.rows(shop.User))


@pytest.mark.parametrize("is_expired", [False, True])
def test_subscriber_cannot_be_deleted(kept_shop: Any, is_expired: bool) -> None:
    store_subscription(kept_shop)

    with pytest.raises(RunningSubscriptionError, match=r"'sub_1'.*'delete_customer'"):
        delete(kept_shop, is_expired=is_expired)

    assert count_users(kept_shop) == 1
    assert kept_shop.columns()["subscription_status"] == "active"


def test_check_takes_no_query(kept_shop: Any) -> None:
    store_subscription(kept_shop)

    with kept_shop.app.app_context():
        user = kept_shop.db.session.get(kept_shop.User, 1)
        kept_shop.db.session.delete(user)

        with kept_shop.statements() as statements:
            with pytest.raises(RunningSubscriptionError):
                kept_shop.db.session.flush()

    assert statements == []


@pytest.mark.parametrize("ever_subscribed", [False, True])
def test_user_who_is_not_charged_can_be_deleted(
    kept_shop: Any, ever_subscribed: bool
) -> None:
    if ever_subscribed:
        store_subscription(kept_shop)
        send(kept_shop, event("deleted", 60, status="canceled"))

    delete(kept_shop)

    assert count_users(kept_shop) == 0


def test_protection_can_be_switched_off(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PROTECT_BILLED=False)
    shop.add_user(stripe_customer_id="cus_ada")
    store_subscription(shop)

    delete(shop)

    assert count_users(shop) == 0


def test_two_apps_decide_for_themselves(make_shop: Any) -> None:
    """The check is registered once for all apps of a process."""
    shops = [make_shop(STRIPE_PROTECT_BILLED=value) for value in (False, True)]

    for shop in shops:
        shop.add_user(stripe_customer_id="cus_ada")
        store_subscription(shop)

    delete(shops[0])

    with pytest.raises(RunningSubscriptionError):
        delete(shops[1])
