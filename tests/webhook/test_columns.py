"""The user's columns show the best subscription, on every API version.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

from typing import Any

import pytest
import responses

from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from tests.buyers import shown
from tests.vocabulary import at
from tests.vocabulary import checkout
from tests.vocabulary import END
from tests.vocabulary import event
from tests.vocabulary import items_of
from tests.vocabulary import ok
from tests.vocabulary import payment_failed
from tests.vocabulary import send
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import T
from tests.webhook.api_versions import API_VERSIONS

# -- which subscription ----------------------------------------------------------------


def test_best_subscription_fills_the_columns(shop: Any) -> None:
    shop.post_event(event("created", id="sub_old", status="active", created=T - 99))
    shop.post_event(event("created", id="sub_new", status="past_due", created=T))
    assert shop.columns()["subscription_id"] == "sub_old"
    shop.post_event(event("deleted", 9, id="sub_old", status="canceled"))
    assert shop.columns()["subscription_id"] == "sub_new"
    assert shop.columns()["subscription_status"] == "past_due"


def test_newest_of_equals_fills_the_columns(shop: Any) -> None:
    shop.post_event(event("created", id="sub_b", created=T))
    shop.post_event(event("created", id="sub_a", created=T - 1))
    assert shop.columns()["subscription_id"] == "sub_b"
    shop.post_event(event("created", id="sub_aa", created=T))
    assert shop.columns()["subscription_id"] == "sub_aa"


def test_active_statuses_of_the_app_rank_first(make_shop: Any) -> None:
    shop = make_shop(STRIPE_ACTIVE_STATUSES=["active", "past_due"])
    shop.add_user(stripe_customer_id="cus_ada")
    shop.post_event(event("created", id="sub_1", status="trialing", created=T))
    shop.post_event(event("created", id="sub_2", status="past_due", created=T - 9))
    assert shop.columns()["subscription_id"] == "sub_2"


def test_status_of_the_newest_remains_when_all_have_ended(shop: Any) -> None:
    shop.post_event(event("updated", id="sub_1", status="canceled", created=T))
    shop.post_event(
        event("updated", id="sub_2", status="incomplete_expired", created=T - 9)
    )
    assert shop.columns()["subscription_status"] == "canceled"


def test_end_of_the_old_plan_keeps_the_new_one(shop: Any) -> None:
    """K4: the end of an old subscription took the access that the new one gives."""
    send(
        shop,
        event("created", id="sub_old"),
        event("created", 60, id="sub_new", created=T + 60),
        event("deleted", 61, id="sub_old", status="canceled"),
    )
    assert shown(shop)["id"] == "sub_new"
    assert shown(shop)["status"] == "active"


@pytest.mark.parametrize("last", ["incomplete_expired", "canceled", "incomplete"])
def test_abandoned_second_checkout_keeps_the_first_plan(shop: Any, last: str) -> None:
    """K9: an abandoned second checkout overwrote the paid subscription."""
    send(
        shop,
        event("created", id="sub_paid"),
        event("created", 60, id="sub_2", status="incomplete", created=T + 60),
        event("updated", 90, id="sub_2", status=last, created=T + 60),
    )
    assert shown(shop)["id"] == "sub_paid"
    assert shown(shop)["status"] == "active"


# -- columns that were filled before there were rows -----------------------------------


def test_columns_of_before_become_a_row_without_times(shop: Any) -> None:
    """Moving from KavachOS: the columns are full, the tables are empty."""
    carol = shop.add_user(
        stripe_customer_id="cus_carol",
        stripe_subscription_id="sub_legacy",
        stripe_subscription_status="active",
        stripe_price_id="price_legacy",
        stripe_current_period_end=at(END),
    )
    incomplete = event("created", id="sub_2", customer="cus_carol", status="incomplete")
    ok(shop.post_event(incomplete))
    assert shop.columns(carol)["subscription_id"] == "sub_legacy"
    row = next(row for row in shop.subscriptions if row.id == "sub_legacy")
    assert (row.customer_id, row.status, row.current_period_end) == (
        "cus_carol",
        "active",
        at(END),
    )
    assert items_of(row) == [(None, "price_legacy", None)]
    assert (row.synced_at, row.created, row.trial_end) == (None, None, None)


def test_first_event_applies_over_the_columns_of_before(shop: Any) -> None:
    carol = shop.add_user(
        stripe_customer_id="cus_carol",
        stripe_subscription_id="sub_legacy",
        stripe_subscription_status="past_due",
    )
    shop.post_event(
        event("updated", -9999, id="sub_legacy", customer="cus_carol", price="price_2")
    )
    assert shop.columns(carol)["subscription_status"] == "active"
    assert shop.columns(carol)["price_id"] == "price_2"


def test_payment_failure_applies_over_the_columns_of_before(shop: Any) -> None:
    carol = shop.add_user(
        stripe_customer_id="cus_carol",
        stripe_subscription_id="sub_legacy",
        stripe_subscription_status="active",
    )
    shop.post_event(payment_failed(customer="cus_carol", subscription="sub_legacy"))
    assert shop.columns(carol)["subscription_status"] == "past_due"


# -- API versions ----------------------------------------------------------------------


@pytest.mark.parametrize("api_version", API_VERSIONS)
def test_subscription_of_every_version(shop: Any, api_version: str) -> None:
    sent = make_event(
        "customer.subscription.updated",
        subscription(api_version=api_version),
        created=T,
        api_version=api_version,
        previous_attributes={},
    )
    ok(shop.post_event(sent))
    columns = shop.columns()
    assert columns["current_period_end"] == at(END)
    assert columns["price_id"] == "price_pro"
    assert columns["subscription_status"] == "active"
    assert shop.events[0].api_version == api_version


@pytest.mark.parametrize("api_version", API_VERSIONS[::4])
def test_answer_of_another_version_than_the_webhook(
    shop: Any, stripe_api: responses.RequestsMock, api_version: str
) -> None:
    stripe_api.get(SUB_1, json=subscription(api_version=api_version))
    ok(shop.post_event(checkout()))
    assert shop.columns()["current_period_end"] == at(END)


def test_expanded_customer_and_price(shop: Any) -> None:
    sent = subscription(customer=make_customer("cus_ada"))
    sent["items"]["data"][0]["price"] = {"id": "price_x", "product": {"id": "prod_1"}}
    shop.post_event(make_event("customer.subscription.created", sent, created=T))
    assert shop.columns()["price_id"] == "price_x"


def test_price_as_id_and_as_legacy_plan(shop: Any) -> None:
    sent = subscription()
    sent["items"]["data"][0]["price"] = "price_as_id"
    shop.post_event(make_event("customer.subscription.created", sent, created=T))
    assert shop.columns()["price_id"] == "price_as_id"

    sent["items"]["data"][0] |= {"price": None, "plan": {"id": "plan_old"}}
    shop.post_event(make_event("customer.subscription.updated", sent, created=T + 9))
    assert shop.columns()["price_id"] == "plan_old"


def test_of_several_items_the_first_price_and_the_earliest_end(shop: Any) -> None:
    sent = subscription()
    sent["items"]["data"] = [
        {"price": {"id": "price_first"}, "quantity": 2, "current_period_end": END + 9},
        {"price": {"id": "price_second"}, "quantity": 5, "current_period_end": END - 9},
        {"price": {"id": "price_third"}, "quantity": 7},
    ]
    shop.post_event(make_event("customer.subscription.created", sent, created=T))
    [row] = shop.subscriptions
    assert items_of(row)[0][1:] == ("price_first", 2)
    assert shop.columns()["price_id"] == "price_first"
    assert shop.columns()["current_period_end"] == at(END - 9)


@pytest.mark.parametrize(
    ("cancel_at_period_end", "cancel_at", "scheduled"),
    [(True, END, True), (True, None, True), (False, END, True), (False, None, False)],
)
def test_scheduled_to_cancel_however_stripe_says_it(
    shop: Any, cancel_at_period_end: bool, cancel_at: int | None, scheduled: bool
) -> None:
    shop.post_event(
        event("created", cancel_at_period_end=cancel_at_period_end, cancel_at=cancel_at)
    )
    assert shop.columns()["cancel_at_period_end"] is scheduled


@pytest.mark.parametrize("status", ["from_tomorrow", "x" * 32])
def test_status_that_we_do_not_know_is_stored_and_gives_no_access(
    shop: Any, status: str
) -> None:
    ok(shop.post_event(event("created", status=status)))
    assert shop.columns()["subscription_status"] == status

    with shop.app.app_context():
        assert not shop.kavach_stripe.get_subscription(1).is_active


@pytest.mark.parametrize(
    "api_version", ["2024-12-18.acacia", "2025-03-31.basil", "2026-10-28.endive"]
)
def test_payer_is_subscribed_on_every_api_version(shop: Any, api_version: str) -> None:
    """K1: since basil, the period's end is in the items; payers looked unsubscribed."""
    send(shop, event("created", api_version=api_version))
    assert shown(shop) == {
        "id": "sub_1",
        "status": "active",
        "priceId": "price_pro",
        "currentPeriodEnd": at(END).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cancelAtPeriodEnd": False,
    }


@pytest.mark.parametrize("missing", [None, [], {}])
def test_payer_without_a_period_end_is_subscribed(shop: Any, missing: Any) -> None:
    """K1: a subscription without a period's end was taken for none."""
    sent = event("created")
    sent["data"]["object"]["items"] = missing
    send(shop, sent)
    assert shown(shop)["status"] == "active"
    assert shown(shop)["currentPeriodEnd"] is None


# -- what a user sees ------------------------------------------------------------------


def test_cancellation_in_the_portal_is_shown(shop: Any) -> None:
    """K17: under flexible billing the portal sets ``cancel_at``, and nothing else."""
    send(shop, event("created"), event("updated", 60, cancel_at=END))
    assert shown(shop)["cancelAtPeriodEnd"] is True
    send(shop, event("updated", 90))
    assert shown(shop)["cancelAtPeriodEnd"] is False


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_end_can_be_seen(shop: Any, status: str) -> None:
    """K19: after the cancellation, "canceled" was nowhere to be seen."""
    send(shop, event("created"), event("deleted", 60, status=status))
    assert shown(shop) is None
    assert shop.columns()["subscription_status"] == status

    with shop.app.app_context():
        [found] = shop.kavach_stripe.list_subscriptions(1)
        assert (found.id, found.status) == ("sub_1", status)


@pytest.mark.parametrize("status", ["paused", "unpaid", "incomplete", "past_due"])
def test_status_that_gives_no_access_can_be_seen(shop: Any, status: str) -> None:
    """K19: the list of statuses lacked some, and nothing handled ``unpaid``."""
    send(shop, event("created", status=status))
    assert shown(shop)["status"] == status
