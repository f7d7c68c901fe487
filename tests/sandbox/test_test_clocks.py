"""Test clocks: customers whose time is their own."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON

#: 1 March 2027, 00:00 UTC
MARCH = 1803859200
MONTH = 31 * DAY


@pytest.fixture
def clock(api: Api) -> Any:
    params = {"frozen_time": str(MARCH), "name": "A year"}
    return api.post("/v1/test_helpers/test_clocks", params)


def path_of(clock: Any) -> str:
    return f"/v1/test_helpers/test_clocks/{clock['id']}"


def advance(api: Api, clock: Any, seconds: int) -> Any:
    now = api.get(path_of(clock))["frozen_time"]
    to = {"frozen_time": str(now + seconds)}
    return api.post(f"{path_of(clock)}/advance", to)


def test_customer_lives_on_the_clock(sandbox: Sandbox, api: Api, clock: Any) -> None:
    customer = api.customer(test_clock=clock["id"])
    assert (customer["test_clock"], customer["created"]) == (clock["id"], MARCH)
    count = len(sandbox.events)
    subscription = api.subscribe(customer)
    assert subscription["test_clock"] == clock["id"]
    item = subscription["items"]["data"][0]
    assert item["current_period_end"] == MARCH + MONTH
    invoice = api.again(subscription, "latest_invoice.test_clock")["latest_invoice"]
    assert invoice["test_clock"] == clock
    assert {event["created"] for event in sandbox.events[count:]} == {MARCH}
    assert sandbox.clock.now() == NOON


def test_advance_renews_on_the_way(sandbox: Sandbox, api: Api, clock: Any) -> None:
    subscription = api.subscribe(api.customer(test_clock=clock["id"]))
    count = len(sandbox.events)
    advanced = advance(api, clock, MONTH + DAY)
    assert (advanced["status"], advanced["frozen_time"]) == (
        "ready",
        MARCH + MONTH + DAY,
    )
    events = sandbox.events[count:]
    types = [event["type"] for event in events]
    assert types[0] == "test_helpers.test_clock.advancing"
    assert types[-1] == "test_helpers.test_clock.ready"
    paid = next(event for event in events if event["type"] == "invoice.paid")
    assert paid["created"] == MARCH + MONTH
    after = api.again(subscription)
    assert after["items"]["data"][0]["current_period_start"] == MARCH + MONTH
    assert sandbox.clock.now() == NOON


def test_webhooks_do_not_wait_for_the_sandboxs_own_clock(
    sandbox: Sandbox, api: Api, hook: Hook, clock: Any
) -> None:
    """The test clock is a year ahead of it."""
    api.subscribe(api.customer(test_clock=clock["id"]))
    advance(api, clock, MONTH)
    sandbox.advance(seconds=1)
    assert hook.received[-1]["id"] == sandbox.events[-1]["id"]
    assert {event["pending_webhooks"] for event in sandbox.events} == {0}


def test_two_clocks_do_not_move_each_other(
    sandbox: Sandbox, api: Api, clock: Any
) -> None:
    on_clock = api.subscribe(api.customer(test_clock=clock["id"]))
    usual = api.subscribe(api.customer())
    sandbox.advance(days=31)
    assert api.again(on_clock)["latest_invoice"] == on_clock["latest_invoice"]
    renewed = api.again(usual)["latest_invoice"]
    assert renewed != usual["latest_invoice"]
    advance(api, clock, MONTH)
    assert api.again(on_clock)["latest_invoice"] != on_clock["latest_invoice"]
    assert api.again(usual)["latest_invoice"] == renewed


def test_changes_happen_at_the_clocks_time(api: Api, clock: Any) -> None:
    subscription = api.subscribe(api.customer(test_clock=clock["id"]))
    advance(api, clock, DAY)
    scheduled = api.change(subscription, cancel_at_period_end="true")
    assert scheduled["canceled_at"] == MARCH + DAY
    item = subscription["items"]["data"][0]
    api.change(item, quantity="2")
    lines = api.post(
        "/v1/invoices/create_preview",
        {
            "subscription": subscription["id"],
            "subscription_details[cancel_at_period_end]": "false",
            "subscription_details[proration_behavior]": "always_invoice",
        },
    )["lines"]["data"]
    # 30 of 31 days: 900 x 30/31 = 870.97; 1800 x 30/31 = 1741.94
    assert [line["amount"] for line in lines] == [-871, 1742]


def test_checkout_on_a_clock(sandbox: Sandbox, api: Api, clock: Any) -> None:
    customer = api.customer(card=None, test_clock=clock["id"])
    session = api.checkout(customer=customer["id"])
    assert session["created"] == MARCH
    paid = sandbox.pay(session["id"])
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    assert subscription["created"] == MARCH
    left = api.checkout(customer=customer["id"])
    sandbox.advance(days=2)
    assert api.again(left)["status"] == "open"
    advance(api, clock, DAY)
    assert api.again(left)["status"] == "expired"


def test_lists_show_them_to_those_who_ask(api: Api, clock: Any) -> None:
    customer = api.customer(test_clock=clock["id"])
    subscription = api.subscribe(customer)
    assert api.get("/v1/customers")["data"] == []
    assert api.get("/v1/subscriptions")["data"] == []
    assert api.get("/v1/invoices")["data"] == []
    by_clock, by_customer = {"test_clock": clock["id"]}, {"customer": customer["id"]}

    for path, params in (
        ("/v1/customers", by_clock),
        ("/v1/subscriptions", by_clock),
        ("/v1/subscriptions", by_customer),
        ("/v1/invoices", by_customer),
        ("/v1/invoices", {"subscription": subscription["id"]}),
    ):
        assert len(api.get(path, params)["data"]) == 1, path


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "only moves forward"),
        (0, "only moves forward"),
        (MONTH + 30 * DAY + 1, "two intervals"),
    ],
)
def test_how_far_a_clock_moves(api: Api, clock: Any, seconds: int, words: str) -> None:
    api.subscribe(api.customer(test_clock=clock["id"]))
    to = {"frozen_time": str(MARCH + seconds)}
    status, error = api.error("POST", f"{path_of(clock)}/advance", to)
    assert (status, error["param"]) == (400, "frozen_time")
    assert words in error["message"]
    assert api.get(path_of(clock)) == clock


def test_deleted_clock_takes_its_customers_along(
    sandbox: Sandbox, api: Api, clock: Any
) -> None:
    customer = api.customer(test_clock=clock["id"])
    subscription = api.subscribe(customer)
    assert api.delete(path_of(clock))["deleted"] is True
    assert api.error("GET", path_of(clock))[0] == 404
    assert api.again(customer)["deleted"] is True
    assert api.again(subscription)["status"] == "canceled"
    assert api.get("/v1/test_helpers/test_clocks")["data"] == []


def test_unknown_clock_is_refused(api: Api) -> None:
    status, error = api.error("POST", "/v1/customers", {"test_clock": "clock_none"})
    assert (status, error["code"], error["param"]) == (
        400,
        "resource_missing",
        "test_clock",
    )
