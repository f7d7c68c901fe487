"""``get_subscription`` and ``list_subscriptions`` never ask Stripe."""

from __future__ import annotations

from typing import Any

from flask_kavach_stripe import Subscription
from tests.vocabulary import at
from tests.vocabulary import FAR
from tests.vocabulary import store_subscription


def test_get_subscription(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    shop.add_user(stripe_customer_id="cus_ada")
    store_subscription(
        shop,
        status="trialing",
        price="price_pro",
        current_period_end=FAR,
        cancel_at_period_end=True,
    )

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)

    assert found == Subscription("sub_1", "trialing", "price_pro", at(FAR), True)
    assert found.price == "pro"
    assert found.is_active
    assert found.on_trial
    assert found.on_grace_period
    assert not found.past_due
    assert not found.canceled


def test_get_subscription_costs_no_query(kept_shop: Any, context: None) -> None:
    store_subscription(kept_shop)
    user = kept_shop.db.session.get(kept_shop.User, 1)
    get_subscription = kept_shop.kavach_stripe.get_subscription
    kept_shop.db.session.rollback()

    with kept_shop.statements() as statements:
        user = kept_shop.db.session.get(kept_shop.User, 1)
        assert get_subscription(user) is not None
        assert get_subscription(1) is not None
        assert get_subscription("1") is not None
        assert get_subscription(99) is None

    assert len(statements) == 2, "loading user 1, and looking for user 99"


def test_active_statuses_decide_what_is_active(make_shop: Any) -> None:
    shop = make_shop(STRIPE_ACTIVE_STATUSES=["active", "past_due"])
    shop.add_user(stripe_customer_id="cus_ada")
    store_subscription(
        shop, status="past_due", cancel_at_period_end=True, current_period_end=FAR
    )

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)

    assert found.is_active
    assert found.past_due
    assert found.on_grace_period


def test_list_subscriptions(kept_shop: Any, user: Any) -> None:
    kept_shop.add_user(stripe_customer_id="cus_bob")
    store_subscription(kept_shop, "sub_old", created=1_700_000_000)
    store_subscription(kept_shop, "sub_ended", status="canceled")
    store_subscription(kept_shop, "sub_due", status="past_due")
    store_subscription(kept_shop, "sub_new", created=1_700_000_009)
    store_subscription(kept_shop, "sub_bob", customer="cus_bob")
    kept_shop.db.session.rollback()

    with kept_shop.statements() as statements:
        found = kept_shop.kavach_stripe.list_subscriptions(user)

    assert [each.id for each in found] == ["sub_new", "sub_old", "sub_due", "sub_ended"]
    assert found[0] == kept_shop.kavach_stripe.get_subscription(user)
    assert found[-1].canceled
    assert len(statements) == 2, "the user and the rows"


def test_list_subscriptions_knows_what_only_the_columns_say(
    kept_shop: Any, context: None
) -> None:
    kept_shop.add_user(
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
    )
    [found] = kept_shop.kavach_stripe.list_subscriptions(2)

    assert found == kept_shop.kavach_stripe.get_subscription(2)
