"""Subscriptions that are made and changed with the API alone."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import bracketed
from .conftest import DAY
from .conftest import NOON
from .conftest import path_of

HOUR = 3600
MONTH = 31 * DAY


def types_since(sandbox: Sandbox, count: int) -> list[str]:
    return [event["type"] for event in sandbox.events[count:]]


def test_create_charges_the_default_card(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer()
    count = len(sandbox.events)
    subscription = api.subscribe(customer, metadata__a="1")
    assert subscription["status"] == "active"
    assert subscription["metadata"] == {"a": "1"}
    assert types_since(sandbox, count) == [
        "customer.updated",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    invoice = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 900)
    assert invoice["billing_reason"] == "subscription_create"


def test_create_without_a_card_is_refused(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer(card=None)
    count = len(sandbox.events)
    status, error = api.error(
        "POST",
        "/v1/subscriptions",
        {"customer": customer["id"], "items[0][price]": "price_pro"},
    )
    assert (status, error["code"]) == (400, "resource_missing")
    assert "no attached payment source" in error["message"]
    assert api.get("/v1/subscriptions", {"status": "all"})["data"] == []
    assert len(sandbox.events) == count


def test_create_with_a_trial_needs_no_card(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer(card=None)
    subscription = api.subscribe(customer, trial_period_days="14")
    assert (subscription["status"], subscription["trial_end"]) == (
        "trialing",
        NOON + 14 * DAY,
    )
    invoice = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert (invoice["status"], invoice["total"]) == ("paid", 0)
    card = {"customer": customer["id"]}
    attached = api.post("/v1/payment_methods/pm_card_visa/attach", card)
    api.change(subscription, default_payment_method=attached["id"])
    sandbox.advance(days=14)
    assert api.again(subscription)["status"] == "active"


def test_trial_end_may_be_a_time(sandbox: Sandbox, api: Api) -> None:
    end = NOON + 5 * DAY
    subscription = api.subscribe(api.customer(), trial_end=str(end))
    assert subscription["items"]["data"][0]["current_period_end"] == end
    sandbox.advance(days=5)
    after = api.again(subscription, "latest_invoice")
    assert after["latest_invoice"]["amount_paid"] == 900
    assert after["items"]["data"][0]["current_period_end"] == end + MONTH


def test_failed_first_payment_is_incomplete_for_23_hours(
    sandbox: Sandbox, api: Api
) -> None:
    customer = api.customer("pm_card_chargeCustomerFail")
    subscription = api.subscribe(customer)
    assert subscription["status"] == "incomplete"
    invoice = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert (invoice["status"], invoice["next_payment_attempt"]) == ("open", None)
    sandbox.advance(seconds=23 * HOUR - 1)
    assert api.again(subscription)["status"] == "incomplete"
    count = len(sandbox.events)
    sandbox.advance(seconds=1)
    assert api.again(subscription)["status"] == "incomplete_expired"
    assert api.again(invoice)["status"] == "void"
    assert types_since(sandbox, count) == [
        "customer.subscription.updated",
        "invoice.voided",
    ]
    sandbox.advance(days=40)
    assert len(sandbox.events) == count + 2


def test_incomplete_becomes_active_when_paid(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer("pm_card_chargeCustomerFail")
    subscription = api.subscribe(customer)
    path = f"/v1/invoices/{subscription['latest_invoice']}/pay"
    status, error = api.error("POST", path)
    assert (status, error["type"]) == (402, "card_error")
    assert (error["code"], error["decline_code"]) == (
        "card_declined",
        "generic_decline",
    )
    paid = api.post(path, {"payment_method": "pm_card_visa"})
    assert (paid["status"], paid["attempt_count"]) == ("paid", 3)
    assert api.again(subscription)["status"] == "active"
    assert sandbox.events[-1]["data"]["previous_attributes"] == {"status": "incomplete"}
    assert api.error("POST", path)[1]["message"] == "Invoice is already paid"


def test_default_incomplete_waits_for_the_payment(api: Api) -> None:
    subscription = api.subscribe(api.customer(), payment_behavior="default_incomplete")
    assert subscription["status"] == "incomplete"
    expand = ("latest_invoice.confirmation_secret", "latest_invoice.payments")
    invoice = api.again(subscription, *expand)["latest_invoice"]
    assert (invoice["status"], invoice["attempt_count"]) == ("open", 0)
    payment = invoice["payments"]["data"][0]["payment"]
    secret = invoice["confirmation_secret"]["client_secret"]
    assert secret.startswith(f"{payment['payment_intent']}_secret_")
    path = f"/v1/payment_intents/{payment['payment_intent']}"
    assert api.get(path)["status"] == "requires_payment_method"
    assert api.post(f"{path}/confirm")["status"] == "succeeded"
    assert api.again(subscription)["status"] == "active"


def test_error_if_incomplete_makes_nothing(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer("pm_card_chargeCustomerFail")
    count = len(sandbox.events)
    params = {
        "customer": customer["id"],
        "items[0][price]": "price_pro",
        "payment_behavior": "error_if_incomplete",
    }
    status, error = api.error("POST", "/v1/subscriptions", params)
    assert (status, error["code"]) == (402, "card_declined")
    assert api.get("/v1/subscriptions", {"status": "all"})["data"] == []
    assert api.get("/v1/invoices")["data"] == []
    assert len(sandbox.events) == count


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"customer": None}, "parameter_missing", "customer"),
        ({"customer": ""}, "parameter_invalid_empty", "customer"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"items__0__price": None}, "parameter_missing", "items"),
        ({"items__0__price": "price_none"}, "resource_missing", "items[0][price]"),
        (
            {"default_payment_method": "pm_none"},
            "resource_missing",
            "default_payment_method",
        ),
        ({"trial_end": str(NOON)}, None, "trial_end"),
        ({"coupon": "x"}, "parameter_unknown", "coupon"),
        (
            {"payment_behavior": "pending_if_incomplete"},
            None,
            "payment_behavior",
        ),
    ],
)
def test_wrong_subscription_is_refused(
    api: Api, params: dict[str, Any], code: str | None, param: str
) -> None:
    wanted = {
        "customer": api.customer()["id"],
        "items__0__price": "price_pro",
        **params,
    }
    sent = {name: value for name, value in wanted.items() if value is not None}
    status, error = api.error("POST", "/v1/subscriptions", bracketed(sent))
    assert (status, error.get("code"), error["param"]) == (400, code, param)


# The end


@pytest.mark.parametrize(("pick", "at"), [("min", MONTH), ("max", 365 * DAY)])
def test_cancel_at_the_end_of_the_shortest_or_longest_period(
    sandbox: Sandbox, api: Api, pick: str, at: int
) -> None:
    sandbox.create_price("price_year", 9000, interval="year")
    subscription = api.subscribe(api.customer(), items__1__price="price_year")
    scheduled = api.change(subscription, cancel_at=f"{pick}_period_end")
    assert scheduled["cancel_at"] == NOON + at
    assert scheduled["cancel_at_period_end"] is False


def test_cancel_at_does_not_follow_the_period(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer())
    api.change(subscription, cancel_at="max_period_end")
    sandbox.advance(days=10)
    moved = api.change(subscription, billing_cycle_anchor__type="now")
    assert moved["cancel_at"] == NOON + MONTH


def test_cancel_at_period_end_follows_the_period(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer())
    scheduled = api.change(subscription, cancel_at_period_end="true")
    assert scheduled["cancel_at"] == NOON + MONTH
    sandbox.advance(days=10)
    moved = api.change(subscription, billing_cycle_anchor__type="now")
    assert moved["cancel_at"] == NOON + (10 + 31) * DAY
    sandbox.advance(days=31)
    assert api.again(subscription)["ended_at"] == NOON + (10 + 31) * DAY


def test_cancel_with_an_invoice_gives_the_rest_back_as_credit(
    sandbox: Sandbox, api: Api
) -> None:
    customer = api.customer()
    subscription = api.subscribe(customer)
    sandbox.advance(seconds=MONTH // 2)
    ended = api.delete(
        path_of(subscription), {"invoice_now": "true", "prorate": "true"}
    )
    assert ended["status"] == "canceled"
    last = api.get(f"/v1/invoices/{ended['latest_invoice']}")
    assert (last["total"], last["amount_due"], last["status"]) == (-450, 0, "paid")
    assert api.again(customer)["balance"] == -450
    again = api.subscribe(customer)
    invoice = api.get(f"/v1/invoices/{again['latest_invoice']}")
    assert (invoice["total"], invoice["amount_paid"]) == (900, 450)
    assert (invoice["starting_balance"], invoice["ending_balance"]) == (-450, 0)
    assert api.again(customer)["balance"] == 0


# After the last try


@pytest.mark.parametrize("status", ["canceled", "unpaid", "past_due"])
def test_account_chooses_what_follows_the_last_try(status: Any) -> None:
    sandbox = Sandbox(
        clock=Clock(NOON), after_retries=status, payment_retry_days=(1, 2)
    )
    api = Api(sandbox)
    sandbox.create_price()
    subscription = api.subscribe(api.customer(), trial_period_days="1")
    failing = {"customer": subscription["customer"]}
    path = "/v1/payment_methods/pm_card_chargeCustomerFail/attach"
    card = api.post(path, failing)["id"]
    api.change(subscription, default_payment_method=card)
    sandbox.advance(days=1 + 1)
    assert api.again(subscription)["status"] == "past_due"
    sandbox.advance(days=2)
    after = api.again(subscription, "latest_invoice")
    assert after["status"] == status
    assert after["latest_invoice"]["attempt_count"] == 3
    assert after["latest_invoice"]["next_payment_attempt"] is None


def test_new_invoice_ends_the_tries_for_the_one_before(
    sandbox: Sandbox, api: Api
) -> None:
    sandbox.create_price("price_week", 300, interval="week")
    session = api.checkout(line_items__0__price="price_week")
    paid = sandbox.pay(session["id"], "4000000000000341")
    sandbox.advance(days=7 + 7)
    wanted = {"subscription": paid["subscription"]}
    newest, before, _ = api.get("/v1/invoices", wanted)["data"]
    assert (before["status"], before["next_payment_attempt"]) == ("open", None)
    assert newest["next_payment_attempt"] == NOON + (14 + 3) * DAY


def test_unpaid_drafts_invoices_until_the_newest_is_paid() -> None:
    sandbox = Sandbox(clock=Clock(NOON), after_retries="unpaid", payment_retry_days=())
    api = Api(sandbox)
    sandbox.create_price()
    subscription = sandbox.pay(api.checkout()["id"], "4000000000000341")["subscription"]
    path = f"/v1/subscriptions/{subscription}"
    sandbox.advance(days=31)
    assert api.get(path)["status"] == "unpaid"
    sandbox.advance(days=28)
    unpaid = api.get(path, {"expand[]": "latest_invoice"})
    draft = unpaid["latest_invoice"]
    assert (draft["status"], draft["attempt_count"]) == ("draft", 0)
    assert [entry["status"] for entry in api.get("/v1/invoices")["data"]] == [
        "draft",
        "open",
        "paid",
    ]
    api.post(f"/v1/invoices/{draft['id']}/pay", {"payment_method": "pm_card_visa"})
    assert api.get(path)["status"] == "active"


def test_wrong_choice_of_the_account_is_refused() -> None:
    wrong: Any = "paused"

    with pytest.raises(ValueError, match="'paused' is not canceled"):
        Sandbox(after_retries=wrong)


# Pauses


def test_pause_gives_back_and_resume_begins_anew(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer())
    sandbox.advance(seconds=MONTH // 2)
    count = len(sandbox.events)
    paused = api.post(f"{path_of(subscription)}/pause")
    assert paused["status"] == "paused"
    assert paused["status_details"] == {
        "paused": {
            "subscription": {"type": "pause_requested"},
            "transitioned_at": NOON + MONTH // 2,
            "type": "subscription",
        }
    }
    assert types_since(sandbox, count) == [
        "customer.subscription.updated",
        "customer.subscription.paused",
    ]
    sandbox.advance(days=90)
    assert len(sandbox.events) == count + 2
    resumed = api.post(f"{path_of(subscription)}/resume")
    now = NOON + MONTH // 2 + 90 * DAY
    assert (resumed["status"], resumed["status_details"]) == ("active", None)
    assert resumed["billing_cycle_anchor"] == now
    assert resumed["items"]["data"][0]["current_period_start"] == now
    invoice = api.get(f"/v1/invoices/{resumed['latest_invoice']}")
    assert [line["amount"] for line in invoice["lines"]["data"]] == [-450, 900]
    assert types_since(sandbox, count + 2)[:3] == [
        "customer.subscription.updated",
        "customer.subscription.resumed",
        "invoice.created",
    ]


def test_resume_in_the_old_rhythm(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer())
    pause = {"bill_for[unused_time_from][type]": "none"}
    api.post(f"{path_of(subscription)}/pause", pause)
    sandbox.advance(days=10)
    unchanged = {"billing_cycle_anchor[type]": "unchanged"}
    resumed = api.post(f"{path_of(subscription)}/resume", unchanged)
    item = resumed["items"]["data"][0]
    assert item["current_period_end"] == NOON + MONTH
    assert resumed["latest_invoice"] == subscription["latest_invoice"]


def test_what_a_pause_gave_back_is_billed_on_resume(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer())
    sandbox.advance(days=10)
    api.post(f"{path_of(subscription)}/pause")
    sandbox.advance(days=11)
    unchanged = {"billing_cycle_anchor[type]": "unchanged"}
    api.post(f"{path_of(subscription)}/resume", unchanged)
    sandbox.advance(days=10)
    renewed = api.again(subscription, "latest_invoice")["latest_invoice"]
    # 21 and 10 of 31 days: 900 x 21/31 = 609.68; 900 x 10/31 = 290.32
    assert [line["amount"] for line in renewed["lines"]["data"]] == [-610, 290, 900]


def test_resume_on_payment_waits_for_the_money(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer()
    subscription = api.subscribe(customer)
    pause = {"bill_for[unused_time_from][type]": "none"}
    api.post(f"{path_of(subscription)}/pause", pause)
    path = "/v1/payment_methods/pm_card_chargeCustomerFail/attach"
    card = api.post(path, {"customer": customer["id"]})
    api.change(subscription, default_payment_method=card["id"])
    waits = {"payment_behavior": "resume_on_payment_success"}
    waiting = api.post(f"{path_of(subscription)}/resume", waits)
    assert waiting["status"] == "paused"
    pay = f"/v1/invoices/{waiting['latest_invoice']}/pay"
    api.post(pay, {"payment_method": "pm_card_visa"})
    assert api.again(subscription)["status"] == "active"


def test_wrong_pauses_are_refused(api: Api) -> None:
    customer = api.customer()
    subscription = api.subscribe(customer)
    path = path_of(subscription)
    assert api.error("POST", f"{path}/resume")[0] == 400
    api.post(f"{path}/pause")
    assert api.error("POST", f"{path}/pause")[0] == 400
    classic = api.subscribe(customer, billing_mode__type="classic")
    status, error = api.error("POST", f"{path_of(classic)}/pause")
    assert (status, "flexible" in error["message"]) == (400, True)


@pytest.mark.parametrize(
    ("behavior", "status"),
    [
        ("keep_as_draft", "draft"),
        ("mark_uncollectible", "uncollectible"),
        ("void", "void"),
    ],
)
def test_paused_collection_keeps_the_status(
    sandbox: Sandbox, api: Api, behavior: str, status: str
) -> None:
    subscription = api.subscribe(api.customer())
    paused = api.change(subscription, pause_collection__behavior=behavior)
    assert paused["pause_collection"] == {"behavior": behavior, "resumes_at": None}
    sandbox.advance(days=31)
    after = api.again(subscription, "latest_invoice")
    assert after["status"] == "active"
    assert after["latest_invoice"]["status"] == status
    assert api.change(subscription, pause_collection="")["pause_collection"] is None
    sandbox.advance(days=28)
    renewed = api.again(subscription, "latest_invoice")
    assert renewed["latest_invoice"]["status"] == "paid"


def test_paused_collection_resumes_at_its_time(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer())
    api.change(
        subscription,
        pause_collection__behavior="void",
        pause_collection__resumes_at=str(NOON + 3 * DAY),
    )
    sandbox.advance(days=4)
    assert api.again(subscription)["pause_collection"] is None
    assert sandbox.events[-1]["created"] == NOON + 3 * DAY


# Items


def test_items_one_by_one(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_seat", 100, product_name="Seat")
    subscription = api.subscribe(api.customer())
    added = api.post(
        "/v1/subscription_items",
        {"subscription": subscription["id"], "price": "price_seat", "quantity": "4"},
    )
    assert (added["price"]["id"], added["quantity"]) == ("price_seat", 4)
    assert added["subscription"] == subscription["id"]
    changed = api.change(added, quantity="2", metadata__a="1")
    assert (changed["quantity"], changed["metadata"]) == (2, {"a": "1"})
    assert api.again(added) == changed
    wanted = {"subscription": subscription["id"]}
    page = api.get("/v1/subscription_items", wanted)
    assert [item["id"] for item in page["data"]] == [
        subscription["items"]["data"][0]["id"],
        added["id"],
    ]
    assert api.delete(path_of(added)) == {
        "id": added["id"],
        "object": "subscription_item",
        "deleted": True,
    }
    assert api.error("GET", path_of(added))[0] == 404
    assert len(api.again(subscription)["items"]["data"]) == 1
    last = subscription["items"]["data"][0]
    assert api.error("DELETE", path_of(last))[0] == 400


def test_list_of_items_needs_a_subscription(api: Api) -> None:
    _, error = api.error("GET", "/v1/subscription_items")
    assert (error["code"], error["param"]) == ("parameter_missing", "subscription")


# Trials


def test_trial_that_is_ended_early_is_announced_at_once(
    sandbox: Sandbox, api: Api
) -> None:
    subscription = api.subscribe(api.customer(), trial_period_days="14")
    count = len(sandbox.events)
    api.change(subscription, trial_end="now")
    types = types_since(sandbox, count)
    assert types.count("customer.subscription.trial_will_end") == 1
    sandbox.advance(days=20)
    after = types_since(sandbox, count)
    assert after.count("customer.subscription.trial_will_end") == 1


def test_trial_that_is_made_longer_is_announced_again(
    sandbox: Sandbox, api: Api
) -> None:
    subscription = api.subscribe(api.customer(), trial_period_days="5")
    sandbox.advance(days=3)
    api.change(subscription, trial_end=str(NOON + 20 * DAY))
    count = len(sandbox.events)
    sandbox.advance(days=14)
    assert types_since(sandbox, count) == [
        "invoice.upcoming",
        "customer.subscription.trial_will_end",
    ]
    assert sandbox.events[-1]["created"] == NOON + 17 * DAY
