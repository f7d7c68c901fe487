"""``payment_behavior``: what an update does whose payment fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import NOON

HOUR = 3600
APPLIED = "customer.subscription.pending_update_applied"
EXPIRED = "customer.subscription.pending_update_expired"
UPDATED = "customer.subscription.updated"


@pytest.fixture
def subscription(sandbox: Sandbox, api: Api) -> Any:
    """Paid once with a card that is refused from then on; ten days old."""
    sandbox.create_price("price_team", unit_amount=3000, product_name="Team")
    sandbox.create_price("price_year", unit_amount=9000, interval="year")
    session = sandbox.pay(api.checkout()["id"], "4000000000000341")
    sandbox.advance(days=10)
    return api.get(f"/v1/subscriptions/{session['subscription']}")


def upgrade(api: Api, subscription: Any, **params: str) -> Any:
    """Ask for the dearer price, billed at once, if it can be paid."""
    wanted = {
        "items__0__id": subscription["items"]["data"][0]["id"],
        "items__0__price": "price_team",
        "payment_behavior": "pending_if_incomplete",
        "proration_behavior": "always_invoice",
        **params,
    }
    return api.change(subscription, **wanted)


def price_of(subscription: Any) -> str:
    price: str = subscription["items"]["data"][0]["price"]["id"]
    return price


def types_since(sandbox: Sandbox, count: int) -> Sequence[str]:
    return [event["type"] for event in sandbox.events[count:]]


def pay(api: Api, subscription: Any) -> Any:
    """Pay the latest invoice with a card that works."""
    path = f"/v1/invoices/{subscription['latest_invoice']}/pay"
    return api.post(path, {"payment_method": "pm_card_visa"})


def test_update_that_is_not_paid_waits(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    count = len(sandbox.events)
    held = upgrade(api, subscription)
    pending = held["pending_update"]
    assert (price_of(held), held["status"]) == ("price_pro", "active")
    assert pending["expires_at"] == NOON + 10 * DAY + 23 * HOUR
    (item,) = pending["subscription_items"]
    assert item["price"]["id"] == "price_team"
    assert held == {
        **subscription,
        "latest_invoice": held["latest_invoice"],
        "pending_update": pending,
    }
    invoice = api.get(f"/v1/invoices/{held['latest_invoice']}")
    # 21 of 31 days of the difference
    assert (invoice["amount_due"], invoice["status"]) == (1422, "open")
    assert types_since(sandbox, count) == [
        UPDATED,
        "invoice.created",
        "invoice.finalized",
        "invoice.payment_failed",
    ]


def test_update_that_is_paid_at_once_does_not_wait(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_team", unit_amount=3000)
    changed = upgrade(api, api.subscribe(api.customer()))
    assert (price_of(changed), changed["pending_update"]) == ("price_team", None)


def test_update_without_an_invoice_does_not_wait(api: Api, subscription: Any) -> None:
    changed = upgrade(api, subscription, proration_behavior="create_prorations")
    assert (price_of(changed), changed["pending_update"]) == ("price_team", None)


def test_payment_applies_what_waits(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    held = upgrade(api, subscription)
    count = len(sandbox.events)
    pay(api, held)
    changed = api.again(subscription)
    assert (price_of(changed), changed["pending_update"]) == ("price_team", None)
    assert types_since(sandbox, count)[1:] == [
        "invoice.paid",
        "invoice.payment_succeeded",
        UPDATED,
        APPLIED,
    ]
    sandbox.advance(days=21)
    renewal = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert renewal["total"] == 3000


def test_3d_secure_applies_what_waits(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_team", unit_amount=3000)
    session = sandbox.pay(api.checkout()["id"], "4000002760003184", authenticate=True)
    held = upgrade(api, api.get(f"/v1/subscriptions/{session['subscription']}"))
    assert held["pending_update"] is not None
    sandbox.authenticate(held["latest_invoice"])
    assert price_of(api.again(held)) == "price_team"


def test_second_refusal_changes_nothing(api: Api, subscription: Any) -> None:
    held = upgrade(api, subscription)
    status, _ = api.error("POST", f"/v1/invoices/{held['latest_invoice']}/pay")
    assert status == 402
    assert api.again(subscription) == held


def test_what_waits_is_dropped_after_23_hours(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    held = upgrade(api, subscription)
    count = len(sandbox.events)
    sandbox.advance(hours=23)
    assert types_since(sandbox, count) == [UPDATED, EXPIRED, "invoice.voided"]
    after = api.again(subscription)
    assert after == {**held, "pending_update": None}
    assert api.get(f"/v1/invoices/{held['latest_invoice']}")["status"] == "void"
    sandbox.advance(days=21)
    assert api.again(subscription, "latest_invoice")["latest_invoice"]["total"] == 900


def test_what_waits_is_dropped_with_the_period(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    sandbox.advance(days=20, hours=12)
    end = subscription["items"]["data"][0]["current_period_end"]
    held = upgrade(api, subscription)
    assert held["pending_update"]["expires_at"] == end
    sandbox.advance(hours=12)
    after = api.again(subscription)
    assert (price_of(after), after["pending_update"]) == ("price_pro", None)
    assert after["items"]["data"][0]["current_period_start"] == end


@pytest.mark.parametrize("how", ["void", "cancel", "pause", "other change"])
def test_what_drops_what_waits(
    sandbox: Sandbox, api: Api, subscription: Any, how: str
) -> None:
    held = upgrade(api, subscription)
    path = f"/v1/subscriptions/{subscription['id']}"
    count = len(sandbox.events)

    if how == "void":
        api.post(f"/v1/invoices/{held['latest_invoice']}/void")
    elif how == "cancel":
        api.delete(path)
    elif how == "pause":
        api.post(f"{path}/pause")
    else:
        api.change(subscription, cancel_at_period_end="true")

    assert api.again(subscription)["pending_update"] is None
    assert types_since(sandbox, count).count(EXPIRED) == 1
    assert types_since(sandbox, count).count("invoice.voided") == 1


def test_other_things_can_change_while_an_update_waits(
    api: Api, subscription: Any
) -> None:
    held = upgrade(api, subscription)
    api.change(subscription, metadata__a="1", description="Ten seats")
    pay(api, held)
    after = api.again(subscription)
    assert (after["metadata"], after["description"]) == ({"a": "1"}, "Ten seats")
    assert price_of(after) == "price_team"


def test_new_interval_waits_with_its_anchor(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    held = upgrade(api, subscription, items__0__price="price_year")
    now = sandbox.clock.now()
    assert held["pending_update"]["billing_cycle_anchor"] == now
    assert held["billing_cycle_anchor"] == NOON
    sandbox.advance(hours=1)
    pay(api, held)
    after = api.again(subscription)
    assert after["billing_cycle_anchor"] == now
    assert after["items"]["data"][0]["current_period_end"] == now + 365 * DAY


@pytest.mark.parametrize(
    "params",
    [
        {"metadata__a": "1"},
        {"description": "x"},
        {"items__0__metadata__a": "1"},
        {"discounts__0__coupon": "TEN"},
    ],
)
def test_what_cannot_wait_is_refused(
    api: Api, subscription: Any, params: dict[str, str]
) -> None:
    sent = {
        "payment_behavior": "pending_if_incomplete",
        "items[0][id]": subscription["items"]["data"][0]["id"],
        **{
            name.replace("__", "[", 1).replace("__", "][") + "]" * ("__" in name): value
            for name, value in params.items()
        },
    }
    status, error = api.error("POST", f"/v1/subscriptions/{subscription['id']}", sent)
    assert status == 400
    assert "pending_if_incomplete" in error["message"]
    assert api.again(subscription) == subscription


def test_new_subscription_cannot_wait(api: Api) -> None:
    status, error = api.error(
        "POST",
        "/v1/subscriptions",
        {
            "customer": api.customer()["id"],
            "items[0][price]": "price_pro",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    assert (status, error["param"]) == (400, "payment_behavior")


def test_update_with_error_if_incomplete_changes_nothing(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    before = len(sandbox.events)
    status, error = api.error(
        "POST",
        f"/v1/subscriptions/{subscription['id']}",
        {
            "items[0][id]": subscription["items"]["data"][0]["id"],
            "items[0][price]": "price_team",
            "payment_behavior": "error_if_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    assert (status, error["code"]) == (402, "card_declined")
    assert api.again(subscription) == subscription
    assert len(sandbox.events) == before


@pytest.mark.parametrize("behavior", ["allow_incomplete", "default_incomplete"])
def test_update_that_is_not_paid_makes_past_due(
    api: Api, subscription: Any, behavior: str
) -> None:
    changed = upgrade(api, subscription, payment_behavior=behavior)
    assert (price_of(changed), changed["status"]) == ("price_team", "past_due")
    attempts = {"allow_incomplete": 1, "default_incomplete": 0}
    invoice = api.get(f"/v1/invoices/{changed['latest_invoice']}")
    assert invoice["attempt_count"] == attempts[behavior]
    pay(api, changed)
    assert api.again(subscription)["status"] == "active"


def test_discount_of_one_invoice_is_used_by_the_one_that_waits(
    sandbox: Sandbox, api: Api, subscription: Any
) -> None:
    api.post("/v1/coupons", {"id": "ONE", "percent_off": "10", "duration": "once"})
    api.change(subscription, discounts__0__coupon="ONE")
    held = upgrade(api, subscription)
    assert len(held["discounts"]) == 1
    pay(api, held)
    assert api.again(subscription)["discounts"] == []
