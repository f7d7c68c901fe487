"""What happens to subscriptions because time passes: events, statuses, retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import NOON

Subscribe = Callable[..., Any]
MONTH = 31 * DAY


def types_since(sandbox: Sandbox, count: int) -> list[str]:
    return [event["type"] for event in sandbox.events[count:]]


def path_of(subscription: Any) -> str:
    return f"/v1/subscriptions/{subscription['id']}"


def test_renewal(sandbox: Sandbox, api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe()
    count = len(sandbox.events)
    sandbox.advance(days=31)
    assert types_since(sandbox, count) == [
        "invoice.upcoming",
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    renewed = api.get(path_of(subscription), {"expand[]": "latest_invoice"})
    item = renewed["items"]["data"][0]
    assert renewed["status"] == "active"
    assert item["current_period_start"] == NOON + MONTH
    assert item["current_period_end"] == NOON + MONTH + 28 * DAY
    assert renewed["latest_invoice"]["billing_reason"] == "subscription_cycle"
    assert renewed["latest_invoice"]["amount_paid"] == 900


def test_renewal_event_has_the_old_items_whole(
    sandbox: Sandbox, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    count = len(sandbox.events)
    sandbox.advance(days=31)
    previous = sandbox.events[count + 1]["data"]["previous_attributes"]
    assert previous == {
        "items": {"data": subscription["items"]["data"]},
        "latest_invoice": subscription["latest_invoice"],
    }


def test_things_happen_in_the_order_of_time(
    sandbox: Sandbox, subscribe: Subscribe
) -> None:
    subscribe()
    sandbox.advance(days=10)
    subscribe()
    sandbox.advance(days=365)
    created = [event["created"] for event in sandbox.events]
    assert created == sorted(created)
    renewals = [
        event
        for event in sandbox.events
        if event["type"] == "invoice.paid"
        and event["data"]["object"]["billing_reason"] == "subscription_cycle"
    ]
    assert len(renewals) == 12 + 12


def test_time_that_passes_by_itself_counts_too() -> None:
    sandbox = Sandbox(clock=Clock())
    api = Api(sandbox)
    sandbox.create_price()
    session = api.checkout()
    sandbox.clock.advance(2 * DAY)  # nobody told the sandbox
    path = f"/v1/checkout/sessions/{session['id']}"
    assert api.get(path)["status"] == "expired"
    assert sandbox.events[-1]["created"] == session["expires_at"]
    assert sandbox.clock.now() >= time.time() + 2 * DAY - 2


def test_trial_ends_with_the_first_payment(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe(subscription_data__trial_period_days="14")
    count = len(sandbox.events)
    sandbox.advance(days=11)
    assert types_since(sandbox, count) == [
        "invoice.upcoming",
        "customer.subscription.trial_will_end",
    ]
    sandbox.advance(days=3)
    after = api.get(path_of(subscription), {"expand[]": "latest_invoice"})
    assert after["status"] == "active"
    assert after["billing_cycle_anchor"] == NOON + 14 * DAY
    assert after["items"]["data"][0]["current_period_end"] == NOON + (14 + 30) * DAY
    assert after["latest_invoice"]["amount_paid"] == 900
    updated = sandbox.events[count + 2]
    assert updated["data"]["previous_attributes"]["status"] == "trialing"


def test_short_trial_is_announced_at_once(
    sandbox: Sandbox, subscribe: Subscribe
) -> None:
    subscribe(subscription_data__trial_period_days="2")
    notices = [
        event
        for event in sandbox.events
        if event["type"] == "customer.subscription.trial_will_end"
    ]
    assert [event["created"] for event in notices] == [NOON]


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")],
)
def test_trial_that_ends_without_a_card(
    sandbox: Sandbox, api: Api, subscribe: Subscribe, behavior: str, status: str
) -> None:
    end_behavior = "subscription_data__trial_settings__end_behavior"
    subscription = subscribe(
        card=None,
        payment_method_collection="if_required",
        subscription_data__trial_period_days="7",
        **{f"{end_behavior}__missing_payment_method": behavior},
    )
    sandbox.advance(days=7)
    assert api.get(path_of(subscription))["status"] == status


# The end


def test_cancel_at_period_end(sandbox: Sandbox, api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe()
    sandbox.advance(days=3)
    scheduled = api.post(path_of(subscription), {"cancel_at_period_end": "true"})
    assert scheduled["cancel_at_period_end"] is True
    assert scheduled["cancel_at"] == NOON + MONTH
    assert scheduled["canceled_at"] == NOON + 3 * DAY
    assert scheduled["status"] == "active"
    count = len(sandbox.events)
    sandbox.advance(days=28)
    assert types_since(sandbox, count) == ["customer.subscription.deleted"]
    ended = sandbox.events[-1]["data"]["object"]
    assert (ended["status"], ended["ended_at"]) == ("canceled", NOON + MONTH)
    assert ended["canceled_at"] == NOON + 3 * DAY
    sandbox.advance(days=365)
    assert len(sandbox.events) == count + 1


def test_cancel_can_be_taken_back(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    api.post(path_of(subscription), {"cancel_at_period_end": "true"})
    kept = api.post(path_of(subscription), {"cancel_at_period_end": "false"})
    assert kept["cancel_at"] is None
    assert kept["canceled_at"] is None
    assert kept["cancellation_details"]["reason"] is None
    sandbox.advance(days=40)
    assert api.get(path_of(subscription))["status"] == "active"


def test_cancel_at_a_time_in_the_middle(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    at = NOON + 10 * DAY
    scheduled = api.post(path_of(subscription), {"cancel_at": str(at)})
    assert (scheduled["cancel_at"], scheduled["cancel_at_period_end"]) == (at, False)
    sandbox.advance(days=11)
    assert api.get(path_of(subscription))["ended_at"] == at


def test_cancel_at_is_taken_back_by_an_empty_value_only(
    api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    api.post(path_of(subscription), {"cancel_at": "max_period_end"})
    still = api.post(path_of(subscription), {"cancel_at_period_end": "false"})
    assert still["cancel_at"] == NOON + MONTH
    kept = api.post(path_of(subscription), {"cancel_at": ""})
    assert kept["cancel_at"] is None


def test_both_ways_to_cancel_in_one_call_are_refused(
    api: Api, subscribe: Subscribe
) -> None:
    both = {"cancel_at": "", "cancel_at_period_end": "false"}
    assert api.error("POST", path_of(subscribe()), both)[0] == 400


def test_cancel_now(sandbox: Sandbox, api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe()
    sandbox.advance(days=3)
    ended = api.delete(path_of(subscription))
    assert (ended["status"], ended["ended_at"]) == ("canceled", NOON + 3 * DAY)
    assert sandbox.events[-1]["type"] == "customer.subscription.deleted"
    assert api.error("DELETE", path_of(subscription))[0] == 404
    assert api.error("POST", path_of(subscription), {"cancel_at": ""})[0] == 400
    metadata = api.post(path_of(subscription), {"metadata[a]": "1"})["metadata"]
    assert metadata == {"a": "1"}


def test_cancel_ends_the_tries_to_be_paid(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe("4000000000000341")
    sandbox.advance(days=31)
    ended = api.delete(path_of(subscription))
    invoice = api.get(f"/v1/invoices/{ended['latest_invoice']}")
    assert (invoice["status"], invoice["auto_advance"]) == ("open", False)
    assert invoice["next_payment_attempt"] is None


def test_list_leaves_canceled_ones_out_unless_asked(
    api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    api.delete(path_of(subscription))
    assert api.get("/v1/subscriptions")["data"] == []

    for status in ("all", "canceled", "ended"):
        data = api.get("/v1/subscriptions", {"status": status})["data"]
        assert [found["id"] for found in data] == [subscription["id"]]


def test_list_of_one_customer(api: Api, subscribe: Subscribe) -> None:
    first, second = subscribe(), subscribe()
    data = api.get("/v1/subscriptions", {"customer": first["customer"]})["data"]
    assert [found["id"] for found in data] == [first["id"]] != [second["id"]]
    _, error = api.error("GET", "/v1/subscriptions", {"customer": "cus_none"})
    assert (error["code"], error["param"]) == ("resource_missing", "customer")


# Failed payments

FAILS_LATER = "4000000000000341"


def test_failed_renewal_is_past_due(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe(FAILS_LATER)
    count = len(sandbox.events)
    sandbox.advance(days=31)
    assert types_since(sandbox, count) == [
        "invoice.upcoming",
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ]
    assert sandbox.events[-1]["data"]["previous_attributes"] == {"status": "active"}
    after = api.get(path_of(subscription), {"expand[]": "latest_invoice"})
    assert after["status"] == "past_due"
    invoice = after["latest_invoice"]
    assert (invoice["status"], invoice["attempt_count"]) == ("open", 1)
    assert invoice["next_payment_attempt"] == NOON + MONTH + 3 * DAY


def test_after_the_last_try_the_subscription_ends(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe(FAILS_LATER)
    sandbox.advance(days=31 + 3 + 5 + 7)
    ended = api.get(path_of(subscription), {"expand[]": "latest_invoice"})
    assert ended["status"] == "canceled"
    assert ended["cancellation_details"]["reason"] == "payment_failed"
    assert ended["latest_invoice"]["attempt_count"] == 4
    assert ended["latest_invoice"]["next_payment_attempt"] is None


def test_a_new_card_pays_at_the_next_try(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    customer = api.post("/v1/customers", {"email": "a@example.com"})["id"]
    failing = subscribe(FAILS_LATER, customer=customer)
    good = subscribe(customer=customer)
    sandbox.advance(days=31)
    assert api.get(path_of(failing))["status"] == "past_due"
    card = {"default_payment_method": good["default_payment_method"]}
    api.post(path_of(failing), card)
    sandbox.advance(days=3)
    assert api.get(path_of(failing))["status"] == "active"


def test_card_of_another_customer_is_refused(api: Api, subscribe: Subscribe) -> None:
    card = {"default_payment_method": subscribe()["default_payment_method"]}
    assert api.error("POST", path_of(subscribe()), card)[0] == 400


# Changes


def test_new_price_resets_the_quantity_unless_sent(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    sandbox.create_price("price_team", 2900, product_name="Team")
    subscription = subscribe(line_items__0__quantity="5")
    item_id = subscription["items"]["data"][0]["id"]
    change = {
        "items[0][id]": item_id,
        "items[0][price]": "price_team",
        "proration_behavior": "none",
    }
    item = api.post(path_of(subscription), change)["items"]["data"][0]
    assert (item["id"], item["price"]["id"], item["quantity"]) == (
        item_id,
        "price_team",
        1,
    )
    change["items[0][quantity]"] = "5"
    api.post(path_of(subscription), change)
    sandbox.advance(days=31)
    invoice = api.get("/v1/invoices", {"subscription": subscription["id"]})["data"][0]
    assert invoice["total"] == 5 * 2900


def test_price_with_another_interval_begins_a_new_period(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    sandbox.create_price("price_year", 9000, interval="year")
    subscription = subscribe()
    sandbox.advance(days=10)
    item_id = subscription["items"]["data"][0]["id"]
    changed = api.post(
        path_of(subscription),
        {"items[0][id]": item_id, "items[0][price]": "price_year"},
    )
    item = changed["items"]["data"][0]
    assert item["current_period_start"] == NOON + 10 * DAY
    assert item["current_period_end"] == NOON + (10 + 365) * DAY
    latest = api.get(f"/v1/invoices/{changed['latest_invoice']}")
    assert latest["billing_reason"] == "subscription_update"
    assert [line["amount"] for line in latest["lines"]["data"]] == [-610, 9000]


def test_item_without_id_is_added(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    sandbox.create_price("price_team", 2900, product_name="Team")
    subscription = subscribe()
    changed = api.post(path_of(subscription), {"items[0][price]": "price_team"})
    first, second = changed["items"]["data"]
    assert (first["price"]["id"], second["price"]["id"]) == ("price_pro", "price_team")
    assert second["current_period_end"] == first["current_period_end"]


def test_last_item_cannot_be_removed(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    count = len(sandbox.events)
    item_id = subscription["items"]["data"][0]["id"]
    change = {"items[0][id]": item_id, "items[0][deleted]": "true"}
    assert api.error("POST", path_of(subscription), change)[0] == 400
    assert api.get(path_of(subscription)) == subscription
    assert len(sandbox.events) == count


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"items[0][id]": "si_none"}, "items[0][id]"),
        ({"items[0][price]": "price_none"}, "items[0][price]"),
        ({"items[0][quantity]": "2"}, "items[0][price]"),
        ({"cancel_at": str(NOON - 1)}, "cancel_at"),
        ({"trial_end": str(NOON)}, "trial_end"),
        ({"pause_collection[behavior]": "x"}, "pause_collection[behavior]"),
        ({"billing_cycle_anchor": "now"}, "billing_cycle_anchor"),
        ({"coupon": "x"}, "coupon"),
    ],
)
def test_wrong_update_is_refused(
    api: Api, subscribe: Subscribe, params: dict[str, str], param: str
) -> None:
    subscription = subscribe()
    status, error = api.error("POST", path_of(subscription), params)
    assert (status, error["param"]) == (400, param)
    assert api.get(path_of(subscription)) == subscription


def test_trial_ended_early(sandbox: Sandbox, api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe(subscription_data__trial_period_days="14")
    sandbox.advance(days=1)
    after = api.post(path_of(subscription), {"trial_end": "now"})
    assert after["status"] == "active"
    assert after["trial_end"] == after["billing_cycle_anchor"] == NOON + DAY
    assert after["items"]["data"][0]["current_period_end"] == NOON + DAY + MONTH
    assert api.get(f"/v1/invoices/{after['latest_invoice']}")["amount_paid"] == 900


def test_a_year_of_several_subscribers(sandbox: Sandbox, api: Api) -> None:
    for _ in range(10):
        sandbox.pay(api.checkout()["id"])

    sandbox.advance(days=366)
    page = api.get("/v1/invoices", {"limit": "100"})
    assert page["has_more"] is True
    cycles = [
        event
        for event in sandbox.events
        if event["type"] == "invoice.paid"
        and event["data"]["object"]["billing_reason"] == "subscription_cycle"
    ]
    assert len(cycles) == 10 * 12


def test_renewal_is_announced_a_week_before(
    sandbox: Sandbox, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    sandbox.advance(days=60)
    upcoming = [e for e in sandbox.events if e["type"] == "invoice.upcoming"]
    assert [e["created"] for e in upcoming] == [NOON + 24 * DAY, NOON + 52 * DAY]
    invoice = upcoming[0]["data"]["object"]
    assert "id" not in invoice
    assert (invoice["amount_due"], invoice["status"]) == (900, "draft")
    assert (
        invoice["parent"]["subscription_details"]["subscription"]
        == (subscription["id"])
    )


def test_renewal_that_does_not_come_is_not_announced(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    api.change(subscribe(), cancel_at_period_end="true")
    sandbox.advance(days=60)
    assert "invoice.upcoming" not in [event["type"] for event in sandbox.events]
