"""What a change in the middle of a period costs, to the cent."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.arithmetic import deductions
from flask_kavach_stripe.sandbox.arithmetic import share

from .conftest import Api
from .conftest import DAY
from .conftest import NOON

MONTH = 31 * DAY


@pytest.fixture
def subscription(sandbox: Sandbox, api: Api) -> Any:
    """Nine dollars a month; a third of the month has passed, and a bit."""
    sandbox.create_price("price_team", 2900, product_name="Team")
    sandbox.create_price("price_year", 9000, interval="year")
    subscription = api.subscribe(api.customer())
    sandbox.advance(days=10)
    return subscription


def switch(
    subscription: Any, price: str | None = None, **params: Any
) -> dict[str, Any]:
    """The parameters that change the price of the only item."""
    item = {"items__0__id": subscription["items"]["data"][0]["id"]}

    if price is not None:
        item["items__0__price"] = price

    return {**item, **params}


def amounts(api: Api, subscription: Any) -> list[int]:
    latest = api.again(subscription, "latest_invoice")["latest_invoice"]
    return [line["amount"] for line in latest["lines"]["data"]]


@pytest.mark.parametrize(
    ("amount", "part", "whole", "expected"),
    [
        (900, 21, 31, 610),
        (-900, 21, 31, -610),
        (5, 1, 2, 3),
        (-5, 1, 2, -3),
        (1, 1, 3, 0),
    ],
)
def test_share_is_rounded_half_away_from_zero(
    amount: int, part: int, whole: int, expected: int
) -> None:
    assert share(amount, part, whole) == expected


def test_new_price_is_billed_with_the_next_invoice(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    changed = api.change(subscription, **switch(subscription, "price_team"))
    assert changed["latest_invoice"] == subscription["latest_invoice"]
    item = changed["items"]["data"][0]
    assert item["current_period_end"] == NOON + MONTH
    sandbox.advance(days=21)
    invoice = api.again(subscription, "latest_invoice")["latest_invoice"]
    credit, debit, period = invoice["lines"]["data"]
    # 21 of 31 days: 900 x 21/31 = 609.68; 2900 x 21/31 = 1964.52
    assert [line["amount"] for line in (credit, debit, period)] == [-610, 1965, 2900]
    assert invoice["amount_paid"] == 4255
    assert credit["period"] == {"start": NOON + 10 * DAY, "end": NOON + MONTH}
    details = credit["parent"]["invoice_item_details"]
    assert details["proration"] is True
    assert details["subscription"] == subscription["id"]
    assert credit["pricing"]["price_details"]["price"] == "price_pro"
    assert debit["description"] == "Remaining time on Team after 25 January 2026"
    assert [line["discountable"] for line in (credit, debit)] == [False, True]
    of_item = period["parent"]["subscription_item_details"]
    assert (of_item["proration"], of_item["subscription_item"]) == (False, item["id"])


def test_new_price_is_billed_at_once_if_asked_for(api: Api, subscription: Any) -> None:
    change = switch(subscription, "price_team", proration_behavior="always_invoice")
    changed = api.change(subscription, **change)
    invoice = api.get(f"/v1/invoices/{changed['latest_invoice']}")
    assert invoice["billing_reason"] == "subscription_update"
    assert (invoice["total"], invoice["status"]) == (1355, "paid")
    assert amounts(api, subscription) == [-610, 1965]


def test_no_proration_if_asked_for(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    change = switch(subscription, "price_team", proration_behavior="none")
    api.change(subscription, **change)
    sandbox.advance(days=21)
    assert amounts(api, subscription) == [2900]


def test_quantity_is_prorated(sandbox: Sandbox, api: Api, subscription: Any) -> None:
    api.change(subscription, **switch(subscription, items__0__quantity="3"))
    sandbox.advance(days=21)
    # 2700 x 21/31 = 1829.03
    assert amounts(api, subscription) == [-610, 1829, 2700]


def test_two_changes_in_one_period(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    api.change(subscription, **switch(subscription, "price_team"))
    sandbox.advance(days=10)
    api.change(subscription, **switch(subscription, "price_pro"))
    sandbox.advance(days=11)
    # 11 of 31 days: 2900 x 11/31 = 1029.03; 900 x 11/31 = 319.35
    assert amounts(api, subscription) == [-610, 1965, -1029, 319, 900]


def test_change_and_back_at_once_costs_nothing(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    api.change(subscription, **switch(subscription, "price_team"))
    api.change(subscription, **switch(subscription, "price_pro"))
    sandbox.advance(days=21)
    assert sum(amounts(api, subscription)) == 900


def test_downgrade_at_once_becomes_credit(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    customer = api.get(f"/v1/customers/{subscription['customer']}")
    change = switch(subscription, items__0__quantity="0")
    api.change(subscription, **change, proration_behavior="always_invoice")
    invoice = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert (invoice["total"], invoice["amount_due"], invoice["ending_balance"]) == (
        -610,
        0,
        -610,
    )
    assert api.again(customer)["balance"] == -610


def test_new_interval_is_billed_at_once_less_the_rest(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    changed = api.change(subscription, **switch(subscription, "price_year"))
    assert changed["billing_cycle_anchor"] == NOON + 10 * DAY
    assert amounts(api, subscription) == [-610, 9000]
    sandbox.advance(days=365)
    assert amounts(api, subscription) == [9000]


def test_new_anchor_is_billed_at_once_less_the_rest(
    api: Api, subscription: Any
) -> None:
    changed = api.change(subscription, billing_cycle_anchor__type="now")
    item = changed["items"]["data"][0]
    assert item["current_period_start"] == NOON + 10 * DAY
    assert amounts(api, subscription) == [-610, 900]


def test_date_of_proration(sandbox: Sandbox, api: Api, subscription: Any) -> None:
    change = switch(
        subscription, "price_team", proration_date=str(NOON + 15 * DAY + DAY // 2)
    )
    api.change(subscription, **change)
    sandbox.advance(days=21)
    assert amounts(api, subscription) == [-450, 1450, 2900]
    change["proration_date"] = str(NOON)
    status, error = api.error(
        "POST", f"/v1/subscriptions/{subscription['id']}", {"proration_date": str(NOON)}
    )
    assert (status, error["param"]) == (400, "proration_date")


def test_added_and_removed_items(sandbox: Sandbox, api: Api, subscription: Any) -> None:
    added = api.change(subscription, items__0__price="price_team")
    second = added["items"]["data"][1]["id"]
    sandbox.advance(days=10)
    removal = {"items__0__id": second, "items__0__deleted": "true"}
    api.change(subscription, **removal)
    sandbox.advance(days=11)
    assert amounts(api, subscription) == [1965, -1029, 900]


def test_trial_is_not_prorated(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_team", 2900)
    subscription = api.subscribe(api.customer(), trial_period_days="10")
    sandbox.advance(days=5)
    api.change(subscription, **switch(subscription, "price_team"))
    sandbox.advance(days=5)
    assert amounts(api, subscription) == [2900]


def test_change_that_cannot_be_paid_makes_it_past_due_or_nothing(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    failing = {"customer": subscription["customer"]}
    path = "/v1/payment_methods/pm_card_chargeCustomerFail/attach"
    card = api.post(path, failing)["id"]
    api.change(subscription, default_payment_method=card)
    before = api.again(subscription)
    count = len(sandbox.events)
    change = switch(subscription, "price_team", proration_behavior="always_invoice")
    strict = {**change, "payment_behavior": "error_if_incomplete"}
    response = api.call(
        "POST",
        f"/v1/subscriptions/{subscription['id']}",
        {
            "items[0][id]": strict["items__0__id"],
            "items[0][price]": "price_team",
            "proration_behavior": "always_invoice",
            "payment_behavior": "error_if_incomplete",
        },
    )
    assert response.status_code == 402
    assert api.again(subscription) == before
    assert len(sandbox.events) == count
    assert api.change(subscription, **change)["status"] == "past_due"


# Previews


def preview(api: Api, subscription: Any, **params: Any) -> Any:
    wanted = {"subscription": subscription["id"]}

    for name, value in params.items():
        first, *rest = name.split("__")
        inside = "".join(f"[{part}]" for part in rest)
        wanted[f"subscription_details[{first}]{inside}"] = value

    return api.post("/v1/invoices/create_preview", wanted)


def test_preview_is_what_then_happens(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    before, count = api.again(subscription), len(sandbox.events)
    change = switch(subscription, "price_team", proration_behavior="always_invoice")
    shown = preview(api, subscription, **change)
    assert shown["id"].startswith("upcoming_in_")
    assert [line["amount"] for line in shown["lines"]["data"]] == [-610, 1965]
    assert (shown["amount_due"], shown["status"]) == (1355, "draft")
    assert api.again(subscription) == before
    assert len(sandbox.events) == count
    assert len(api.get("/v1/invoices")["data"]) == 1
    api.change(subscription, **change)
    assert amounts(api, subscription) == [-610, 1965]


def test_preview_leaves_no_trace_in_the_ids_that_follow() -> None:
    def next_customer(*, preview_first: bool) -> Any:
        sandbox = Sandbox(clock=Clock(NOON))
        api = Api(sandbox)
        sandbox.create_price()
        subscription = api.subscribe(api.customer())

        if preview_first:
            preview(api, subscription)

        return api.customer(card=None)["id"]

    assert next_customer(preview_first=True) == next_customer(preview_first=False)


def test_preview_of_the_next_renewal(api: Api, subscription: Any) -> None:
    upcoming = preview(api, subscription)
    assert (upcoming["total"], upcoming["billing_reason"]) == (900, "upcoming")
    assert upcoming["lines"]["data"][0]["period"]["start"] == NOON + MONTH
    changed = preview(api, subscription, **switch(subscription, "price_team"))
    assert [line["amount"] for line in changed["lines"]["data"]] == [-610, 1965, 2900]


def test_preview_of_a_new_subscription(api: Api) -> None:
    params = {
        "customer": api.customer(card=None)["id"],
        "subscription_details[items][0][price]": "price_pro",
        "subscription_details[items][0][quantity]": "2",
    }
    assert api.post("/v1/invoices/create_preview", params)["total"] == 1800
    assert api.get("/v1/subscriptions")["data"] == []


def test_nothing_is_upcoming_after_the_end(api: Api, subscription: Any) -> None:
    api.change(subscription, cancel_at_period_end="true")
    status, error = api.error(
        "POST", "/v1/invoices/create_preview", {"subscription": subscription["id"]}
    )
    assert (status, error["code"]) == (404, "invoice_upcoming_none")


def test_lines_of_an_invoice_have_pages(api: Api, subscription: Any) -> None:
    api.change(subscription, **switch(subscription, "price_year"))
    latest = api.again(subscription)["latest_invoice"]
    path = f"/v1/invoices/{latest}/lines"
    first = api.get(path, {"limit": "1"})
    assert (len(first["data"]), first["has_more"], first["url"]) == (1, True, path)


# Fixed and relative discounts


@pytest.mark.parametrize(
    ("coupon", "expected"),
    [
        ({"percent_off": 33.3, "amount_off": None}, [333, 0, 167]),
        ({"percent_off": None, "amount_off": 100}, [67, 0, 33]),
        ({"percent_off": None, "amount_off": 9999}, [1000, 0, 500]),
    ],
)
def test_what_a_coupon_takes_off(coupon: dict[str, Any], expected: list[int]) -> None:
    assert deductions(coupon, [1000, -700, 500]) == expected


def test_preview_does_not_end_the_tries_to_be_paid(sandbox: Sandbox, api: Api) -> None:
    session = sandbox.pay(api.checkout()["id"], "4000000000000341")
    sandbox.advance(days=31)
    unpaid = api.get(f"/v1/subscriptions/{session['subscription']}")
    invoice = api.get(f"/v1/invoices/{unpaid['latest_invoice']}")
    assert invoice["next_payment_attempt"] is not None
    preview(api, unpaid)
    assert api.again(invoice) == invoice


def test_preview_does_not_use_a_coupon_up(api: Api, subscription: Any) -> None:
    coupon = {"id": "ONE", "percent_off": "10", "duration": "once"}
    api.post("/v1/coupons", {**coupon, "max_redemptions": "1"})
    params = {"subscription": subscription["id"], "discounts[0][coupon]": "ONE"}
    api.post("/v1/invoices/create_preview", params)
    assert api.get("/v1/coupons/ONE")["times_redeemed"] == 0
