"""Calls that finalise invoices and give them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api

Subscribe = Callable[..., Any]
FAILS_LATER = "4000000000000341"


def invoice_of(api: Api, subscription: Any) -> Any:
    return api.again(subscription, "latest_invoice")["latest_invoice"]


@pytest.fixture
def past_due(sandbox: Sandbox, api: Api, subscribe: Subscribe) -> Any:
    subscription = subscribe(FAILS_LATER)
    sandbox.advance(days=31)
    assert api.again(subscription)["status"] == "past_due"
    return subscription


def test_draft_is_finalized_and_then_paid(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    api.change(subscription, pause_collection__behavior="keep_as_draft")
    sandbox.advance(days=31)
    draft = invoice_of(api, subscription)
    assert draft["status"] == "draft"
    path = f"/v1/invoices/{draft['id']}"
    final = api.post(f"{path}/finalize")
    assert (final["status"], final["amount_due"]) == ("open", 900)
    assert final["number"]
    assert sandbox.events[-1]["type"] == "invoice.finalized"
    assert api.post(f"{path}/pay")["status"] == "paid"


def test_draft_that_asks_for_nothing_is_paid_when_it_is_final(
    sandbox: Sandbox, api: Api
) -> None:
    api.post("/v1/coupons", {"id": "FREE", "percent_off": "100", "duration": "forever"})
    subscription = api.subscribe(api.customer(), discounts__0__coupon="FREE")
    api.change(subscription, pause_collection__behavior="keep_as_draft")
    sandbox.advance(days=31)
    draft = invoice_of(api, subscription)
    assert api.post(f"/v1/invoices/{draft['id']}/finalize")["status"] == "paid"


@pytest.mark.parametrize("action", ["finalize", "void", "mark_uncollectible"])
def test_paid_invoice_stays_paid(api: Api, subscribe: Subscribe, action: str) -> None:
    invoice = invoice_of(api, subscribe())
    path = f"/v1/invoices/{invoice['id']}"
    status, error = api.error("POST", f"{path}/{action}")
    assert status == 400
    assert "this one is paid" in error["message"]
    assert api.get(path) == invoice


def test_uncollectible_invoice_is_as_good_as_paid(
    sandbox: Sandbox, api: Api, past_due: Any
) -> None:
    invoice = invoice_of(api, past_due)
    closed = api.post(f"/v1/invoices/{invoice['id']}/mark_uncollectible")
    assert closed["status"] == "uncollectible"
    assert closed["status_details"] == {"uncollectible": {"reason": "user_forgiven"}}
    assert api.again(past_due)["status"] == "active"
    types = [event["type"] for event in sandbox.events[-2:]]
    assert types == ["invoice.marked_uncollectible", "customer.subscription.updated"]


def test_void_invoice_is_as_if_it_had_never_been(
    sandbox: Sandbox, api: Api, past_due: Any
) -> None:
    """The invoice before it was paid."""
    invoice = invoice_of(api, past_due)
    closed = api.post(f"/v1/invoices/{invoice['id']}/void")
    assert (closed["status"], closed["amount_remaining"]) == ("void", 0)
    assert api.again(past_due)["status"] == "active"
    sandbox.advance(days=20)
    assert api.again(past_due)["status"] == "active"


def test_void_first_invoice_ends_the_subscription(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer("pm_card_chargeCustomerFail")
    subscription = api.subscribe(customer)
    api.post(f"/v1/invoices/{subscription['latest_invoice']}/void")
    assert api.again(subscription)["status"] == "incomplete_expired"
    types = [event["type"] for event in sandbox.events]
    assert types.count("invoice.voided") == 1


def test_cancel_of_an_incomplete_subscription(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer("pm_card_chargeCustomerFail"))
    assert subscription["status"] == "incomplete"
    ended = api.delete(f"/v1/subscriptions/{subscription['id']}")
    assert ended["status"] == "incomplete_expired"
    assert ended["canceled_at"] == ended["ended_at"] == sandbox.clock.now()
    invoice = invoice_of(api, subscription)
    assert invoice["status"] == "void"
    updated, voided = sandbox.events[-2:]
    assert (updated["type"], voided["type"]) == (
        "customer.subscription.updated",
        "invoice.voided",
    )
    assert updated["data"]["previous_attributes"]["status"] == "incomplete"
    status, error = api.error("DELETE", f"/v1/subscriptions/{subscription['id']}")
    assert (status, error["code"]) == (404, "resource_missing")


def test_invoice_is_updated_without_changing_its_amount(
    sandbox: Sandbox, api: Api, past_due: Any
) -> None:
    invoice = invoice_of(api, past_due)
    changed = api.change(invoice, metadata__a="1", auto_advance="false")
    assert changed == {**invoice, "metadata": {"a": "1"}, "auto_advance": False}
    assert sandbox.events[-1]["type"] == "invoice.updated"
