"""The ten tests that every app with subscriptions should have.

``/nights`` is the page for subscribers. Its guard sends all others to the prices.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from examples.saas.extensions import kavach_stripe
from examples.saas.models import Activity
from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox import UndeliveredError

# the ten tests


def test_nights_are_closed_without_a_subscription(ada: FlaskClient) -> None:
    page = ada.get("/nights", follow_redirects=True)
    assert page.request.path == "/pricing"
    assert "That page is for subscribers." in page.text


def test_paying_opens_the_nights(ada: FlaskClient, subscribe: Any) -> None:
    subscribe()
    assert ada.get("/nights").status_code == 200
    account = ada.get("/account").text
    assert "Pro, $9 a month" in account
    assert "You paid $9" in account


def test_a_declined_card_opens_nothing(ada: FlaskClient, subscribe: Any) -> None:
    with pytest.raises(ApiError, match="declined"):
        subscribe(card="4000000000000002")

    assert ada.get("/nights").status_code == 302


def test_the_buyer_comes_back_before_the_webhook(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    stripe_sandbox.faults.add("delay", times=math.inf)
    session = subscribe()
    assert ada.get("/nights").status_code == 302
    page = ada.get(f"/welcome?session_id={session['id']}", follow_redirects=True)
    assert "Thank you!" in page.text
    assert ada.get("/nights").status_code == 200

    stripe_sandbox.deliver()
    assert ada.get("/nights").status_code == 200


def test_a_failed_renewal_closes_the_nights_until_a_new_card_pays(
    app: Flask, ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    session = subscribe(card="4000000000000341")  # pays once, then never again
    assert ada.get("/nights").status_code == 200
    stripe_sandbox.advance(days=32)
    assert ada.get("/nights").status_code == 302
    assert "Payment failed" in ada.get("/account").text

    with app.app_context():  # what the customer portal does
        client = kavach_stripe.client
        customer = {"customer": session["customer"]}
        card = client.post("/v1/payment_methods/pm_card_visa/attach", customer)
        path = f"/v1/subscriptions/{session['subscription']}"
        client.post(path, {"default_payment_method": card["id"]})

    stripe_sandbox.advance(days=7)  # Stripe tries again
    assert ada.get("/nights").status_code == 200


def test_nobody_who_pays_loses_anything_in_a_year(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    subscribe()

    for _ in range(12):
        stripe_sandbox.advance(days=31)
        assert ada.get("/nights").status_code == 200


def test_who_cancels_has_what_is_paid_for(
    app: Flask, ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    session = subscribe()

    with app.app_context():  # what the customer portal does
        path = f"/v1/subscriptions/{session['subscription']}"
        kavach_stripe.client.post(path, {"cancel_at_period_end": True})

    stripe_sandbox.advance(days=30)
    assert "Open until" in ada.get("/account").text
    assert ada.get("/nights").status_code == 200
    stripe_sandbox.advance(days=2)
    assert "Your subscription has ended." in ada.get("/account").text
    assert ada.get("/nights").status_code == 302


def test_nobody_pays_twice(ada: FlaskClient, subscribe: Any) -> None:
    subscribe()
    answer = ada.post("/auth/stripe/checkout", data={"price": "team"})
    assert answer.status_code == 303  # back to the app, with a sentence
    assert "There is a subscription already." in ada.get("/account").text


def test_webhooks_may_come_twice_late_and_in_any_order(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    stripe_sandbox.faults.add("duplicate", times=math.inf)
    stripe_sandbox.faults.add("reorder", probability=0.5)
    stripe_sandbox.faults.add("drop", probability=0.3)
    subscribe()
    stripe_sandbox.advance(days=40)
    stripe_sandbox.deliver()
    assert ada.get("/nights").status_code == 200
    account = ada.get("/account").text
    assert account.count("Your subscription began") == 1
    assert account.count("You paid $9") == 2


def test_the_nights_are_open_while_stripe_is_down(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    subscribe()
    stripe_sandbox.faults.add("timeout", times=math.inf)
    assert ada.get("/nights").status_code == 200
    answer = ada.post("/auth/stripe/portal")
    assert answer.status_code == 503


# and one for each handler of your own


def test_an_activity_that_could_not_be_stored_is_stored_later(
    ada: FlaskClient,
    subscribe: Any,
    stripe_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched, pytest.raises(UndeliveredError):
        patched.setattr(Activity, "__init__", None)
        subscribe()

    stripe_sandbox.deliver()  # Stripe sends the events again
    assert ada.get("/account").text.count("You paid $9") == 1
