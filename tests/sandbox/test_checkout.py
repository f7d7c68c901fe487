from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import checkout_params
from .conftest import DAY
from .conftest import NOON


def test_open_session(api: Api) -> None:
    session = api.checkout(client_reference_id="7", metadata__a="1")
    assert session["id"].startswith("cs_test_")
    assert session["status"] == "open"
    assert session["payment_status"] == "unpaid"
    assert session["subscription"] is None
    assert session["client_reference_id"] == "7"
    assert session["metadata"] == {"a": "1"}
    assert session["expires_at"] == NOON + DAY
    assert session["url"].endswith(f"/c/pay/{session['id']}")


def test_paying_makes_the_subscription(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout(
        client_reference_id="7",
        line_items__0__quantity="3",
        subscription_data__metadata__kavach_user_id="7",
    )
    paid = sandbox.pay(session["id"], email="ada@example.com")
    assert (paid["status"], paid["payment_status"]) == ("complete", "paid")
    assert paid["amount_total"] == 2700
    assert paid["url"] is None
    assert paid["client_reference_id"] == "7"
    assert paid["customer_details"]["email"] == "ada@example.com"
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    item = subscription["items"]["data"][0]
    assert subscription["status"] == "active"
    assert subscription["customer"] == paid["customer"]
    assert subscription["metadata"] == {"kavach_user_id": "7"}
    assert subscription["billing_mode"]["type"] == "flexible"
    assert (item["price"]["id"], item["quantity"]) == ("price_pro", 3)
    assert item["current_period_start"] == NOON
    assert item["current_period_end"] == NOON + 31 * DAY
    invoice = api.get(f"/v1/invoices/{subscription['latest_invoice']}")
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 2700)
    details = invoice["parent"]["subscription_details"]
    assert details["subscription"] == subscription["id"]
    assert details["metadata"] == {"kavach_user_id": "7"}


def test_events_come_in_stripes_order(sandbox: Sandbox, api: Api) -> None:
    before = len(sandbox.events)
    sandbox.pay(api.checkout()["id"])
    types = [event["type"] for event in sandbox.events[before:]]
    assert [name for name in types if not name.startswith("payment_method")] == [
        "customer.created",
        "customer.updated",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "checkout.session.completed",
    ]


def test_events_hold_the_object_as_it_was_then(sandbox: Sandbox, api: Api) -> None:
    sandbox.pay(api.checkout()["id"])
    statuses = {
        event["type"]: event["data"]["object"]["status"]
        for event in sandbox.events
        if event["type"].startswith("invoice.")
    }
    assert statuses["invoice.created"] == "draft"
    assert statuses["invoice.finalized"] == "open"
    assert statuses["invoice.paid"] == "paid"


def test_known_customer_keeps_name_and_address(sandbox: Sandbox, api: Api) -> None:
    customer = api.post("/v1/customers", {"email": "ada@example.com", "name": "Ada"})
    session = api.checkout(customer=customer["id"])
    assert session["customer_details"]["email"] == "ada@example.com"
    paid = sandbox.pay(session["id"], email="other@example.com")
    assert paid["customer"] == customer["id"]
    after = api.get(f"/v1/customers/{customer['id']}")
    assert (after["email"], after["name"]) == ("ada@example.com", "Ada")
    assert len(api.get("/v1/customers")["data"]) == 1


def test_given_address_is_the_new_customers(sandbox: Sandbox, api: Api) -> None:
    paid = sandbox.pay(api.checkout(customer_email="ada@example.com")["id"])
    customer = api.get(f"/v1/customers/{paid['customer']}")
    assert customer["email"] == "ada@example.com"


def test_trial_is_free_and_takes_a_card(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout(subscription_data__trial_period_days="14")
    paid = sandbox.pay(session["id"])
    assert paid["payment_status"] == "no_payment_required"
    subscription = api.get(
        f"/v1/subscriptions/{paid['subscription']}", {"expand[]": "latest_invoice"}
    )
    assert subscription["status"] == "trialing"
    assert subscription["trial_end"] == NOON + 14 * DAY
    assert subscription["items"]["data"][0]["current_period_end"] == NOON + 14 * DAY
    assert subscription["latest_invoice"]["total"] == 0
    assert subscription["default_payment_method"].startswith("pm_")


def test_trial_without_card_if_asked_for(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout(
        subscription_data__trial_period_days="14",
        payment_method_collection="if_required",
    )
    paid = sandbox.pay(session["id"], card=None)
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    assert subscription["default_payment_method"] is None


def test_without_card_nothing_is_paid(sandbox: Sandbox, api: Api) -> None:
    with pytest.raises(ApiError, match="card is needed"):
        sandbox.pay(api.checkout()["id"], card=None)


@pytest.mark.parametrize(
    ("number", "code", "decline_code", "words"),
    [
        ("4000000000000002", "card_declined", "generic_decline", "was declined"),
        ("4000000000009995", "card_declined", "insufficient_funds", "insufficient"),
        ("4000000000000069", "expired_card", None, "expired"),
        ("4000000000000127", "incorrect_cvc", None, "security code"),
        ("4000000000000119", "processing_error", None, "processing your card"),
        ("4111111111111111", "card_declined", "test_mode_live_card", "4242 4242"),
        ("4242424242424241", "incorrect_number", None, "number is invalid"),
        ("4242", "incorrect_number", None, "number is invalid"),
        ("", "incorrect_number", None, "number is invalid"),
    ],
)
def test_declined_card_makes_nothing(
    sandbox: Sandbox,
    api: Api,
    number: str,
    code: str,
    decline_code: str | None,
    words: str,
) -> None:
    session = api.checkout()
    count = len(sandbox.events)

    with pytest.raises(ApiError, match=words) as caught:
        sandbox.pay(session["id"], number)

    assert (caught.value.status, caught.value.code) == (402, code)
    assert caught.value.decline_code == decline_code
    assert len(sandbox.events) == count
    assert api.get("/v1/customers")["data"] == []
    assert api.get(f"/v1/checkout/sessions/{session['id']}")["status"] == "open"


def test_test_payment_method_stands_for_its_number(sandbox: Sandbox, api: Api) -> None:
    session = sandbox.pay(api.checkout()["id"], "pm_card_mastercard")
    [card] = api.get("/v1/payment_methods", {"customer": session["customer"]})["data"]

    assert card["card"]["last4"] == "4444"

    with pytest.raises(ApiError) as error:
        sandbox.pay(api.checkout()["id"], "pm_card_chargeDeclinedLostCard")

    assert error.value.decline_code == "lost_card"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (4242424242424242, TypeError),
        ("pm_card_vista", ValueError),
        ("pm_1T0aBc2DeF3gHi", ValueError),
    ],
)
def test_card_that_is_no_number_says_what_is_wanted(
    sandbox: Sandbox, api: Api, card: Any, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match=r"'4242424242424242', or 'pm_card_visa'") as e:
        sandbox.pay(api.checkout()["id"], card)

    assert repr(card) in str(e.value)


def test_object_in_place_of_its_id_is_named(sandbox: Sandbox, api: Api) -> None:
    with pytest.raises(TypeError, match=r"id of the Checkout session .* not a dict"):
        sandbox.pay(api.checkout())

    with pytest.raises(TypeError, match=r"id of the invoice .* not a dict"):
        sandbox.authenticate({"id": "in_1"})  # type: ignore[arg-type]  # misuse


def test_session_is_paid_once(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout()
    sandbox.pay(session["id"])

    with pytest.raises(ApiError, match="status is complete"):
        sandbox.pay(session["id"])

    assert len(api.get("/v1/subscriptions")["data"]) == 1


def test_expired_session_cannot_be_paid(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout()
    path = f"/v1/checkout/sessions/{session['id']}"
    assert api.post(f"{path}/expire")["status"] == "expired"
    assert sandbox.events[-1]["type"] == "checkout.session.expired"

    with pytest.raises(ApiError, match="status is expired"):
        sandbox.pay(session["id"])

    assert api.error("POST", f"{path}/expire")[0] == 400


def test_session_expires_after_a_day(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout()
    paid = api.checkout()
    sandbox.pay(paid["id"])
    sandbox.advance(days=1)
    status = [session["status"] for session in api.get("/v1/checkout/sessions")["data"]]
    assert status == ["complete", "expired"]
    assert sandbox.events[-1]["type"] == "checkout.session.expired"
    assert sandbox.events[-1]["created"] == session["expires_at"]


def test_inline_price(sandbox: Sandbox, api: Api) -> None:
    session = api.checkout(
        line_items__0__price=None,
        line_items__0__price_data__currency="usd",
        line_items__0__price_data__unit_amount="500",
        line_items__0__price_data__recurring__interval="week",
        line_items__0__price_data__product_data__name="Weekly",
    )
    paid = sandbox.pay(session["id"])
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    assert subscription["items"]["data"][0]["current_period_end"] == NOON + 7 * DAY


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"mode": "payment"}, "sandbox_not_simulated", "mode"),
        ({"success_url": None}, "parameter_missing", "success_url"),
        ({"success_url": "/relative"}, "url_invalid", "success_url"),
        (
            {"line_items__0__price": None, "line_items__0__quantity": None},
            "parameter_missing",
            "line_items",
        ),
        (
            {"line_items__0__price": "price_none"},
            "resource_missing",
            "line_items[0][price]",
        ),
        (
            {"line_items__0__quantity": None},
            "parameter_missing",
            "line_items[0][quantity]",
        ),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"customer": "x", "customer_email": "a@b.example"}, None, "customer"),
        ({"customer_creation": "always"}, None, "customer_creation"),
        ({"customer_update__name": "auto"}, None, "customer_update"),
        ({"client_reference_id": "x" * 201}, None, "client_reference_id"),
        ({"expires_at": str(NOON + 60)}, None, "expires_at"),
        ({"payment_method_types__0": "card"}, "parameter_unknown", None),
        ({"ui_mode": "hosted"}, None, "ui_mode"),
        ({"discounts__0__coupon": "x"}, "resource_missing", "discounts[0][coupon]"),
        (
            {"subscription_data__trial_period_days": "731"},
            "parameter_invalid_integer",
            "subscription_data[trial_period_days]",
        ),
        (
            {"subscription_data__trial_end": str(NOON + DAY)},
            None,
            "subscription_data[trial_end]",
        ),
        (
            {"subscription_data__coupon": "x"},
            "parameter_unknown",
            "subscription_data[coupon]",
        ),
    ],
)
def test_wrong_session_is_refused(
    api: Api, params: dict[str, Any], code: str | None, param: str | None
) -> None:
    status, error = api.error(
        "POST", "/v1/checkout/sessions", checkout_params(**params)
    )
    assert status == 400
    assert error.get("code") == code

    if param is not None:
        assert error["param"] == param


def test_deleted_customer_cannot_buy(api: Api) -> None:
    customer = api.post("/v1/customers")
    api.delete(f"/v1/customers/{customer['id']}")
    status, error = api.error(
        "POST", "/v1/checkout/sessions", checkout_params(customer=customer["id"])
    )
    assert (status, error["code"], error["param"]) == (
        400,
        "resource_missing",
        "customer",
    )


def test_sessions_of_one_customer(api: Api) -> None:
    customer = api.post("/v1/customers")
    session = api.checkout(customer=customer["id"])
    api.checkout()
    page = api.get("/v1/checkout/sessions", {"customer": customer["id"]})
    assert [found["id"] for found in page["data"]] == [session["id"]]


def test_metadata_of_a_session_can_be_changed(api: Api) -> None:
    session = api.checkout(metadata__a="1")
    path = f"/v1/checkout/sessions/{session['id']}"
    changed = api.post(path, {"metadata[b]": "2"})
    assert changed == {**session, "metadata": {"a": "1", "b": "2"}} == api.get(path)
