"""One store, many shapes: what each API version sees of the same objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.object_store import Store
from flask_kavach_stripe.sandbox.versions.downgrades import downgrade

from .conftest import Api
from .conftest import NOON
from .versions_vocabulary import ACACIA
from .versions_vocabulary import BASIL
from .versions_vocabulary import Caller
from .versions_vocabulary import CLOVER
from .versions_vocabulary import DAHLIA
from .versions_vocabulary import ENDIVE
from .versions_vocabulary import hook_url
from .versions_vocabulary import HookByUrl
from .versions_vocabulary import NEXT_NOON
from .versions_vocabulary import TRAINS

Subscribe = Callable[..., Any]


@pytest.fixture
def hook() -> HookByUrl:
    return HookByUrl()


@pytest.mark.parametrize("version", TRAINS)
def test_period_of_a_subscription(api: Api, subscribe: Subscribe, version: str) -> None:
    subscription = subscribe()
    path = f"/v1/subscriptions/{subscription['id']}"
    found = Caller(api, version).get(path)
    period = {"current_period_start": NOON, "current_period_end": NEXT_NOON}
    on_subscription = {name: found[name] for name in period if name in found}
    item = found["items"]["data"][0]
    on_item = {name: item[name] for name in period if name in item}
    is_old = version < BASIL
    assert (on_subscription, on_item) == ((period, {}) if is_old else ({}, period))


def test_period_of_several_items_is_the_one_that_all_are_in() -> None:
    periods = [(10, 40), (20, 30)]
    items = [
        {
            "object": "subscription_item",
            "current_period_start": start,
            "current_period_end": end,
        }
        for start, end in periods
    ]
    subscription: dict[str, Any] = {
        "object": "subscription",
        "items": {"data": items},
    }
    downgrade(subscription, ACACIA, Store())
    assert subscription["current_period_start"] == 20
    assert subscription["current_period_end"] == 30
    assert items == [{"object": "subscription_item"}] * 2


@pytest.mark.parametrize("version", [BASIL, ENDIVE])
def test_invoice_has_a_parent(api: Api, subscribe: Subscribe, version: str) -> None:
    subscription = subscribe(subscription_data__metadata__a="1")
    caller = Caller(api, version)
    invoice = caller.get(f"/v1/invoices/{subscription['latest_invoice']}")
    details = invoice["parent"]["subscription_details"]
    assert details["subscription"] == subscription["id"]
    assert details["metadata"] == {"a": "1"}
    assert not {"charge", "paid", "payment_intent", "subscription"} & set(invoice)
    line = invoice["lines"]["data"][0]
    assert line["pricing"]["price_details"]["price"] == "price_pro"
    assert not {"price", "plan", "proration", "subscription_item"} & set(line)


def test_invoice_in_acacia(api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe(subscription_data__metadata__a="1")
    path = f"/v1/invoices/{subscription['latest_invoice']}"
    invoice = Caller(api, ACACIA).get(path)
    assert invoice["subscription"] == subscription["id"]
    assert invoice["subscription_details"] == {"metadata": {"a": "1"}}
    assert invoice["paid"] is True
    assert not {"parent", "amount_overpaid", "total_taxes"} & set(invoice)
    line = invoice["lines"]["data"][0]
    item = subscription["items"]["data"][0]
    assert line["price"]["id"] == line["plan"]["id"] == "price_pro"
    assert line["price"]["recurring"]["aggregate_usage"] is None
    assert line["plan"]["aggregate_usage"] is None
    assert line["subscription_item"] == item["id"]
    assert (line["type"], line["proration"]) == ("subscription", False)
    assert line["amount_excluding_tax"] == line["amount"] == 900
    assert not {"parent", "pricing", "taxes"} & set(line)


def test_lists_and_expanded_objects_have_the_version(
    api: Api, subscribe: Subscribe
) -> None:
    subscribe()
    caller = Caller(api, ACACIA)
    found = caller.get("/v1/subscriptions", expand__0="data.latest_invoice")
    invoice = found["data"][0]["latest_invoice"]
    assert found["data"][0]["current_period_end"] == NEXT_NOON
    assert invoice["subscription"] == found["data"][0]["id"]
    invoice = caller.get(f"/v1/invoices/{invoice['id']}", expand__0="subscription")
    assert invoice["subscription"]["current_period_end"] == NEXT_NOON


def test_payment_intent_is_expanded_in_old_invoices_only(
    api: Api, subscribe: Subscribe
) -> None:
    """The call that most programs of that time make."""
    path = f"/v1/subscriptions/{subscribe()['id']}"
    expand = "latest_invoice.payment_intent"
    old = Caller(api, ACACIA).get(path, expand__0=expand)
    assert "payment_intent" in old["latest_invoice"]
    error = Caller(api, BASIL).error("GET", path, expand__0=expand)
    assert "cannot be expanded" in error["message"]


@pytest.mark.parametrize("version", TRAINS)
def test_name_of_the_hosted_page(api: Api, version: str) -> None:
    session = api.checkout()
    found = Caller(api, version).get(f"/v1/checkout/sessions/{session['id']}")
    assert found["ui_mode"] == ("hosted" if version < DAHLIA else "hosted_page")


@pytest.mark.parametrize("version", [ACACIA, BASIL, CLOVER])
def test_coupon_of_a_discount(version: str) -> None:
    """Always there in full before clover, named by a source since."""
    store = Store()
    store.add({"id": "TEN", "object": "coupon", "percent_off": 10})
    discount = {
        "id": "di_1",
        "object": "discount",
        "source": {"coupon": "TEN", "type": "coupon"},
    }
    store.add(discount)
    subscription: dict[str, Any] = {
        "object": "subscription",
        "discounts": ["di_1"],
        "items": {"data": []},
    }
    shown = {**discount, "source": {"coupon": "TEN", "type": "coupon"}}
    downgrade(shown, version, store)
    downgrade(subscription, version, store)

    if version == CLOVER:
        assert shown == discount
    else:
        assert shown["coupon"] == store.find("coupon", "TEN")
        assert "source" not in shown

    if version == ACACIA:
        assert subscription["discount"]["coupon"]["percent_off"] == 10
    else:
        assert "discount" not in subscription


@pytest.mark.parametrize("version", [BASIL, CLOVER])
def test_coupon_of_a_promotion_code(api: Api, version: str) -> None:
    api.post("/v1/coupons", {"id": "TEN", "percent_off": "10"})
    is_old = version < CLOVER
    params = {"coupon": "TEN"} if is_old else {"promotion__coupon": "TEN"}
    params |= {} if is_old else {"promotion__type": "coupon"}
    code = Caller(api, version).post("/v1/promotion_codes", code="CODE", **params)

    if is_old:
        assert code["coupon"]["percent_off"] == 10
        assert "promotion" not in code
    else:
        assert code["promotion"] == {"coupon": "TEN", "type": "coupon"}
        assert "coupon" not in code


@pytest.mark.parametrize("version", [BASIL, CLOVER])
def test_promotion_code_is_created_as_its_version_does(api: Api, version: str) -> None:
    """The other version's parameter is unknown."""
    other = {"promotion__coupon": "TEN"} if version < CLOVER else {"coupon": "TEN"}
    error = Caller(api, version).error("POST", "/v1/promotion_codes", **other)
    assert error["code"] == "parameter_unknown"


@pytest.mark.parametrize("paid", [True, False])
def test_invoice_in_acacia_names_its_payment_and_its_charge(
    api: Api, paid: bool
) -> None:
    customer = api.customer("pm_card_visa" if paid else "pm_card_chargeCustomerFail")
    old = Caller(api, ACACIA)
    answered = old.post(
        "/v1/subscriptions",
        customer=customer["id"],
        items__0__price="price_pro",
        expand__0="latest_invoice",
    )["latest_invoice"]
    path = f"/v1/invoices/{answered['id']}"
    (charge,) = old.get("/v1/charges")["data"]
    (intent,) = old.get("/v1/payment_intents")["data"]
    assert charge["invoice"] == intent["invoice"] == answered["id"]
    assert intent["latest_charge"] == charge["id"]
    expected = (paid, False, charge["id"], intent["id"])

    for invoice in (answered, old.get(path), *old.get("/v1/invoices")["data"]):
        assert (
            invoice["paid"],
            invoice["paid_out_of_band"],
            invoice["charge"],
            invoice["payment_intent"],
        ) == expected

    expand = {"expand__0": "charge", "expand__1": "payment_intent.latest_charge"}
    expanded = old.get(path, **expand)
    assert expanded["charge"] == expanded["payment_intent"]["latest_charge"] == charge


def test_invoice_events_in_acacia_name_the_payment_as_soon_as_there_is_one(
    sandbox: Sandbox, api: Api, hook: HookByUrl
) -> None:
    url = hook_url(sandbox, api, ACACIA)
    subscription = api.subscribe(api.customer())
    sandbox.deliver()
    (charge,) = api.get("/v1/charges")["data"]
    intent_id = charge["payment_intent"]
    told = {
        event["type"]: (
            event["data"]["object"]["paid"],
            event["data"]["object"]["payment_intent"],
            event["data"]["object"]["charge"],
        )
        for event in hook.by_url[url]
        if event["data"]["object"]["object"] == "invoice"
    }
    assert told == {
        "invoice.created": (False, None, None),
        "invoice.finalized": (False, intent_id, None),
        "invoice.paid": (True, intent_id, charge["id"]),
        "invoice.payment_succeeded": (True, intent_id, charge["id"]),
    }
    assert subscription["latest_invoice"]


def test_invoice_paid_out_of_band_in_acacia(api: Api) -> None:
    subscription = api.subscribe(api.customer("pm_card_chargeCustomerFail"))
    path = f"/v1/invoices/{subscription['latest_invoice']}"
    new = api.post(f"{path}/pay", {"paid_out_of_band": "true"})
    assert (new["amount_paid"], new["amount_paid_off_stripe"]) == (900, 900)
    old = Caller(api, ACACIA).get(path)
    assert (old["paid"], old["paid_out_of_band"]) == (True, True)


def test_invoice_payments_came_with_basil(api: Api) -> None:
    headers = {"Stripe-Version": ACACIA}
    response = api.call("GET", "/v1/invoice_payments", headers=headers)
    assert response.status_code == 404
    assert "Unrecognized request URL" in response.text
    assert Caller(api, BASIL).get("/v1/invoice_payments")["data"] == []


@pytest.mark.parametrize("version", [ACACIA, "2025-02-24.acacia"])
def test_upcoming_invoice_in_acacia(sandbox: Sandbox, api: Api, version: str) -> None:
    sandbox.create_price("price_team", unit_amount=3000)
    subscription = api.subscribe(api.customer())
    old = Caller(api, version)
    plain = old.get("/v1/invoices/upcoming", customer=subscription["customer"])
    assert "id" not in plain
    assert (plain["subscription"], plain["total"]) == (subscription["id"], 900)
    changed = old.get(
        "/v1/invoices/upcoming",
        subscription=subscription["id"],
        subscription_items__0__id=subscription["items"]["data"][0]["id"],
        subscription_items__0__price="price_team",
        subscription_proration_behavior="always_invoice",
        subscription_billing_cycle_anchor="now",
    )
    assert [line["amount"] for line in changed["lines"]["data"]] == [-900, 3000]
    lines = old.get(
        "/v1/invoices/upcoming/lines", customer=subscription["customer"], limit="1"
    )
    assert [line["amount"] for line in lines["data"]] == [900]
    assert api.again(subscription) == subscription


def test_upcoming_invoice_with_a_coupon_in_acacia(api: Api) -> None:
    api.post("/v1/coupons", {"id": "TEN", "percent_off": "10", "duration": "once"})
    customer = api.customer()
    upcoming = Caller(api, ACACIA).get(
        "/v1/invoices/upcoming",
        customer=customer["id"],
        subscription_items__0__price="price_pro",
        coupon="TEN",
    )
    assert upcoming["total"] == 810


@pytest.mark.parametrize("path", ["upcoming", "upcoming/lines"])
@pytest.mark.parametrize("version", [BASIL, ENDIVE])
def test_upcoming_invoice_is_unknown_since_basil(
    api: Api, version: str, path: str
) -> None:
    headers = {"Stripe-Version": version}
    params = {"customer": api.customer()["id"]}
    response = api.call("GET", f"/v1/invoices/{path}", params, headers)
    assert response.status_code == 404
    assert "Unrecognized request URL" in response.text


def test_customer_without_a_subscription_has_no_upcoming_invoice(api: Api) -> None:
    params = {"customer": api.customer()["id"]}
    status, error = api.error("POST", "/v1/invoices/create_preview", params)
    assert (status, error["code"]) == (404, "invoice_upcoming_none")


def test_anchor_of_a_preview_is_plain_before_endive(api: Api) -> None:
    subscription = api.subscribe(api.customer())
    params = {
        "subscription": subscription["id"],
        "subscription_details__billing_cycle_anchor": "now",
    }
    assert (
        Caller(api, DAHLIA).post("/v1/invoices/create_preview", **params)["total"] == 0
    )
    error = Caller(api, ENDIVE).error("POST", "/v1/invoices/create_preview", **params)
    assert error["param"] == "subscription_details[billing_cycle_anchor]"


def test_end_can_wait_for_a_payment_since_endive(api: Api) -> None:
    subscription = api.subscribe(api.customer())
    path = f"/v1/subscriptions/{subscription['id']}"
    params = {
        "cancel_at_period_end": "true",
        "payment_behavior": "pending_if_incomplete",
    }
    error = Caller(api, DAHLIA).error("POST", path, **params)
    assert error["param"] == "cancel_at_period_end"
    assert Caller(api, ENDIVE).post(path, **params)["cancel_at_period_end"] is True


def test_shipping_of_a_session_in_acacia(api: Api) -> None:
    path = f"/v1/checkout/sessions/{api.checkout()['id']}"
    assert Caller(api, ACACIA).get(path)["shipping_details"] is None
    assert "shipping_details" not in Caller(api, BASIL).get(path)


def test_stored_objects_keep_the_newest_shape(api: Api, subscribe: Subscribe) -> None:
    path = f"/v1/subscriptions/{subscribe()['id']}"
    before = api.get(path, {"expand[0]": "latest_invoice"})
    Caller(api, ACACIA).get(path, expand__0="latest_invoice")
    assert api.get(path, {"expand[0]": "latest_invoice"}) == before


def test_metadata_is_never_taken_for_an_object(api: Api) -> None:
    customer = Caller(api, ACACIA).post("/v1/customers", metadata__object="invoice")
    assert customer["metadata"] == {"object": "invoice"}
