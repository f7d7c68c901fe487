"""Cards, payments that fail, and 3-D Secure."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import AuthenticationRequired
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.cards import CARDS
from flask_kavach_stripe.sandbox.cards import TOKENS

from .conftest import Api
from .conftest import path_of

ALWAYS_ASKS = "4000002760003184"


def make_card(api: Api, number: str = "4242424242424242") -> Any:
    return api.post(
        "/v1/payment_methods",
        {
            "type": "card",
            "card[number]": number,
            "card[exp_month]": "8",
            "card[exp_year]": "2031",
            "card[cvc]": "123",
        },
    )


def attach(api: Api, customer: Any, number: str) -> Any:
    path = f"{path_of(make_card(api, number))}/attach"
    return api.post(path, {"customer": customer["id"]})


def last_error(api: Api, invoice_id: str) -> Any:
    """Why the last attempt to pay an invoice failed."""
    payment = "payments.data.payment.payment_intent"
    path = f"/v1/invoices/{invoice_id}"
    (found,) = api.get(path, {"expand[]": payment})["payments"]["data"]
    return found["payment"]["payment_intent"]["last_payment_error"]


# Payment methods


def test_card_is_kept_attached_and_listed(sandbox: Sandbox, api: Api) -> None:
    customer, card = api.customer(card=None), make_card(api)
    assert (card["customer"], card["card"]["last4"], card["card"]["exp_month"]) == (
        None,
        "4242",
        8,
    )
    attached = api.post(f"{path_of(card)}/attach", {"customer": customer["id"]})
    assert attached == {**card, "customer": customer["id"]}
    assert sandbox.events[-1]["type"] == "payment_method.attached"
    for path, params in (
        ("/v1/payment_methods", {"customer": customer["id"], "type": "card"}),
        (f"/v1/customers/{customer['id']}/payment_methods", {}),
    ):
        assert api.get(path, params)["data"] == [attached]
    other = {"customer": api.customer(card=None)["id"]}
    assert api.get("/v1/payment_methods", other)["data"] == []
    assert api.error("POST", f"{path_of(card)}/attach", other)[0] == 400


def test_detached_card_is_no_default_and_cannot_come_back(
    sandbox: Sandbox, api: Api
) -> None:
    customer = api.customer()
    card = customer["invoice_settings"]["default_payment_method"]
    subscription = api.subscribe(customer, default_payment_method=card)
    path = f"/v1/payment_methods/{card}"
    assert api.post(f"{path}/detach")["customer"] is None
    event = sandbox.events[-1]
    assert event["type"] == "payment_method.detached"
    assert event["data"]["previous_attributes"] == {"customer": customer["id"]}
    assert api.again(customer)["invoice_settings"]["default_payment_method"] is None
    assert api.again(subscription)["default_payment_method"] is None
    again = {"customer": customer["id"]}
    assert api.error("POST", f"{path}/attach", again)[0] == 400
    assert api.error("POST", f"{path}/detach")[0] == 400
    sandbox.advance(days=31)
    assert api.again(subscription)["status"] == "past_due"


def test_default_card_of_the_customer_pays(sandbox: Sandbox, api: Api) -> None:
    customer = api.customer("pm_card_chargeCustomerFail")
    subscription = api.subscribe(customer, trial_period_days="3")
    card = attach(api, customer, "5555555555554444")
    assert card["card"]["brand"] == "mastercard"
    api.change(customer, invoice_settings__default_payment_method=card["id"])
    sandbox.advance(days=3)
    assert api.again(subscription)["status"] == "active"


@pytest.mark.parametrize("token", sorted(TOKENS))
def test_tokens_are_attached_or_declined(api: Api, token: str) -> None:
    customer = api.customer(card=None)
    path = f"/v1/payment_methods/{token}/attach"
    response = api.call("POST", path, {"customer": customer["id"]})
    answer: Any = response.json
    decline = CARDS[TOKENS[token]].decline

    if decline is None:
        assert answer["id"].startswith("pm_1")
        assert answer["card"]["last4"] == TOKENS[token][-4:]
    else:
        assert response.status_code == 402
        assert answer["error"]["code"] == decline.code


def test_wrong_number_is_a_card_error(api: Api) -> None:
    params = {
        "type": "card",
        "card[number]": "4242424242424241",
        "card[exp_month]": "8",
        "card[exp_year]": "2031",
    }
    status, error = api.error("POST", "/v1/payment_methods", params)
    assert (status, error["code"]) == (402, "incorrect_number")


def test_declined_card_makes_no_customer(sandbox: Sandbox, api: Api) -> None:
    count = len(sandbox.events)
    params = {"payment_method": "pm_card_chargeDeclined"}
    assert api.error("POST", "/v1/customers", params)[0] == 402
    assert api.get("/v1/customers")["data"] == []
    assert len(sandbox.events) == count


# 3-D Secure


def test_first_payment_waits_for_authentication(sandbox: Sandbox, api: Api) -> None:
    count = len(sandbox.events)
    subscription = api.subscribe(api.customer("pm_card_authenticationRequired"))
    assert subscription["status"] == "incomplete"
    types = [event["type"] for event in sandbox.events[count:]]
    assert types[-2:] == ["invoice.payment_failed", "invoice.payment_action_required"]
    invoice = api.again(subscription, "latest_invoice.payments")["latest_invoice"]
    intent_id = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    intent = api.get(f"/v1/payment_intents/{intent_id}")
    assert (intent["status"], intent["amount"]) == ("requires_action", 900)
    assert intent["next_action"]["type"] == "redirect_to_url"
    assert intent["next_action"]["redirect_to_url"]["url"].endswith(intent_id)
    assert sandbox.authenticate(invoice["id"])["status"] == "paid"
    assert api.again(subscription)["status"] == "active"
    paid = api.get(f"/v1/payment_intents/{intent_id}")
    assert (paid["status"], paid["next_action"], paid["amount_received"]) == (
        "succeeded",
        None,
        900,
    )


def test_failed_authentication_leaves_the_invoice_open(
    sandbox: Sandbox, api: Api
) -> None:
    subscription = api.subscribe(api.customer("pm_card_authenticationRequired"))
    invoice_id = subscription["latest_invoice"]
    assert sandbox.authenticate(invoice_id, approved=False)["status"] == "open"
    assert last_error(api, invoice_id)["code"] == (
        "payment_intent_authentication_failure"
    )
    assert api.again(subscription)["status"] == "incomplete"
    assert sandbox.events[-1]["type"] == "invoice.payment_failed"

    with pytest.raises(ApiError, match="does not wait"):
        sandbox.authenticate(invoice_id)


@pytest.mark.parametrize(
    ("number", "first", "renewal"),
    [
        pytest.param("4000002500003155", "incomplete", "active", id="unless set up"),
        pytest.param(ALWAYS_ASKS, "incomplete", "past_due", id="always"),
        pytest.param("4000003800000446", "incomplete", "active", id="on session"),
        pytest.param("4242424242424242", "active", "active", id="never"),
    ],
)
def test_when_cards_ask(
    sandbox: Sandbox, api: Api, number: str, first: str, renewal: str
) -> None:
    customer = api.customer(card=None)
    card = attach(api, customer, number)
    subscription = api.subscribe(customer, default_payment_method=card["id"])
    assert subscription["status"] == first

    if first == "incomplete":
        sandbox.authenticate(subscription["latest_invoice"])

    sandbox.advance(days=31)
    assert api.again(subscription)["status"] == renewal


def test_card_of_somebody_who_is_away_may_need_no_authentication(api: Api) -> None:
    customer = api.customer(card=None)
    card = attach(api, customer, "4000003800000446")["id"]
    away = api.subscribe(customer, default_payment_method=card, off_session="true")
    assert away["status"] == "active"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000008260003178", "insufficient_funds"),
        ("4000008400001629", "generic_decline"),
    ],
)
def test_card_that_is_declined_after_authentication(
    sandbox: Sandbox, api: Api, number: str, code: str
) -> None:
    customer = api.customer(card=None)
    card = attach(api, customer, number)
    subscription = api.subscribe(customer, default_payment_method=card["id"])
    invoice = sandbox.authenticate(subscription["latest_invoice"])
    assert invoice["status"] == "open"
    assert last_error(api, invoice["id"])["decline_code"] == code
    assert api.again(subscription)["status"] == "incomplete"


def test_renewal_that_asks_is_paid_after_authentication(
    sandbox: Sandbox, api: Api
) -> None:
    paid = sandbox.pay(api.checkout()["id"], ALWAYS_ASKS, authenticate=True)
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    sandbox.advance(days=31)
    after = api.again(subscription)
    assert after["status"] == "past_due"
    pay = f"/v1/invoices/{after['latest_invoice']}/pay"
    status, error = api.error("POST", pay)
    assert (status, error["code"]) == (402, "invoice_payment_intent_requires_action")
    assert sandbox.authenticate(after["latest_invoice"])["status"] == "paid"
    assert api.again(subscription)["status"] == "active"
    assert sandbox.events[-1]["data"]["previous_attributes"] == {"status": "past_due"}


def test_checkout_waits_for_authentication(sandbox: Sandbox, api: Api) -> None:
    count = len(sandbox.events)
    session = api.checkout()

    with pytest.raises(AuthenticationRequired, match="3-D Secure") as caught:
        sandbox.pay(session["id"], ALWAYS_ASKS)

    assert caught.value.url.endswith(f"/{session['id']}")
    assert len(sandbox.events) == count
    assert api.again(session)["status"] == "open"
    paid = sandbox.pay(session["id"], ALWAYS_ASKS, authenticate=True)
    assert (paid["status"], paid["payment_status"]) == ("complete", "paid")


@pytest.mark.parametrize(
    ("number", "approved", "words"),
    [
        (ALWAYS_ASKS, False, "unable to authenticate"),
        ("4000008260003178", True, "insufficient funds"),
    ],
)
def test_failed_authentication_leaves_checkout_open(
    sandbox: Sandbox, api: Api, number: str, approved: bool, words: str
) -> None:
    session = api.checkout()

    with pytest.raises(ApiError, match=words):
        sandbox.pay(session["id"], number, authenticate=approved)

    assert api.again(session)["status"] == "open"
    assert api.get("/v1/customers")["data"] == []
    assert sandbox.pay(session["id"])["status"] == "complete"


def test_card_set_up_in_checkout_pays_renewals(sandbox: Sandbox, api: Api) -> None:
    paid = sandbox.pay(api.checkout()["id"], "4000002500003155", authenticate=True)
    sandbox.advance(days=31)
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    assert subscription["status"] == "active"


# Paying an invoice


def test_invoice_paid_in_cash(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer("pm_card_chargeCustomerFail"))
    pay = f"/v1/invoices/{subscription['latest_invoice']}/pay"
    count = len(sandbox.events)
    assert api.post(pay, {"paid_out_of_band": "true"})["status"] == "paid"
    assert [event["type"] for event in sandbox.events[count:]] == [
        "invoice.paid",
        "customer.subscription.updated",
    ]
    assert api.again(subscription)["status"] == "active"


def test_failed_call_to_pay_does_not_move_the_next_try(
    sandbox: Sandbox, api: Api
) -> None:
    customer = api.customer()
    subscription = api.subscribe(customer)
    failing = attach(api, customer, "4000000000000341")["id"]
    api.change(subscription, default_payment_method=failing)
    sandbox.advance(days=31)
    before = api.again(subscription, "latest_invoice")["latest_invoice"]
    sandbox.advance(days=1)
    assert api.error("POST", f"{path_of(before)}/pay")[0] == 402
    after = api.again(before)
    assert after["next_payment_attempt"] == before["next_payment_attempt"]
    assert after["attempt_count"] == 2


def test_invoice_without_a_card_is_not_tried(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(
        api.customer(card=None), payment_behavior="default_incomplete"
    )
    count = len(sandbox.events)
    pay = f"/v1/invoices/{subscription['latest_invoice']}/pay"
    status, error = api.error("POST", pay)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert len(sandbox.events) == count
    assert api.post(pay, {"payment_method": "pm_card_visa"})["status"] == "paid"
    assert api.again(subscription)["status"] == "active"


def test_voided_invoice_cannot_be_paid(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer("pm_card_chargeCustomerFail"))
    sandbox.advance(days=1)
    pay = f"/v1/invoices/{subscription['latest_invoice']}/pay"
    status, error = api.error("POST", pay)
    assert (status, "it is void" in error["message"]) == (400, True)


# Charges, and which payment belongs to which invoice


def test_payment_leaves_a_charge(api: Api) -> None:
    customer = api.customer()
    subscription = api.subscribe(customer)
    (charge,) = api.get("/v1/charges", {"customer": customer["id"]})["data"]
    assert (charge["amount"], charge["status"], charge["paid"]) == (
        900,
        "succeeded",
        True,
    )
    (payment,) = api.get("/v1/invoice_payments")["data"]
    assert payment["invoice"] == subscription["latest_invoice"]
    path = f"/v1/payment_intents/{charge['payment_intent']}"
    intent = api.get(path, {"expand[]": "latest_charge"})
    assert intent["latest_charge"] == charge == api.again(charge)


def test_refusal_leaves_a_charge_that_says_why(api: Api) -> None:
    customer = api.customer("pm_card_chargeCustomerFail")
    api.subscribe(customer)
    (charge,) = api.get("/v1/charges")["data"]
    assert (charge["status"], charge["failure_code"]) == ("failed", "card_declined")
    assert charge["outcome"]["reason"] == "generic_decline"
    assert charge["amount_captured"] == 0


def test_wait_for_3d_secure_leaves_no_charge(api: Api) -> None:
    api.subscribe(api.customer("pm_card_threeDSecure2Required"))
    assert api.get("/v1/charges")["data"] == []


def test_invoice_is_found_by_its_payment(api: Api) -> None:
    one, other = (api.subscribe(api.customer()) for _ in range(2))
    (wanted,) = api.get(
        "/v1/invoice_payments", {"invoice": one["latest_invoice"], "status": "paid"}
    )["data"]
    found = api.get(
        "/v1/invoice_payments",
        {
            "payment[type]": "payment_intent",
            "payment[payment_intent]": wanted["payment"]["payment_intent"],
        },
    )["data"]
    assert found == [wanted] == [api.again(wanted)]
    assert wanted["invoice"] != other["latest_invoice"]
