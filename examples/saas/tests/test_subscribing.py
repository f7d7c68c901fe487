from __future__ import annotations

import pytest
from alembic.command import check
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from examples.saas.extensions import migrate
from flask_kavach_stripe.sandbox import Sandbox


def subscribe(client: FlaskClient, sandbox: Sandbox, price: str) -> TestResponse:
    """Press the button, pay, and come back."""
    checkout = client.post("/auth/stripe/checkout", data={"price": price})
    session_id = checkout.location.rpartition("/")[2]
    sandbox.pay(session_id)
    return client.get(f"/welcome?session_id={session_id}", follow_redirects=True)


def test_a_visitor_sees_prices_of_stripe(client: FlaskClient) -> None:
    page = client.get("/pricing").text

    assert "$9 " in page
    assert "$29 " in page


def test_guarded_pages_lead_to_the_prices(ada: FlaskClient) -> None:
    page = ada.get("/nights", follow_redirects=True)

    assert page.request.path == "/pricing"
    assert "That page is for subscribers." in page.text


def test_whoever_has_paid_is_a_subscriber_at_once(
    ada: FlaskClient, sandbox: Sandbox
) -> None:
    page = subscribe(ada, sandbox, "pro")

    assert page.request.path == "/account"
    assert "Active" in page.text
    assert "Pro, $9 a month" in page.text
    assert "You paid $9" in page.text
    assert ada.get("/nights").status_code == 200


@pytest.mark.parametrize(("price", "status"), [("pro", 302), ("team", 200)])
def test_the_file_is_for_teams(
    ada: FlaskClient, sandbox: Sandbox, price: str, status: int
) -> None:
    subscribe(ada, sandbox, price)

    assert ada.get("/nights.csv").status_code == status


def test_what_was_canceled_ends(ada: FlaskClient, sandbox: Sandbox) -> None:
    subscribe(ada, sandbox, "pro")
    portal = ada.post("/auth/stripe/portal", data={"returnUrl": "/account"}).location
    stripe_page = sandbox.app.test_client()
    [subscription] = [
        event["data"]["object"]
        for event in sandbox.events
        if event["type"] == "customer.subscription.created"
    ]
    path = portal.removeprefix(sandbox.url)
    stripe_page.post(f"{path}/subscriptions/{subscription['id']}/cancel")

    page = ada.get("/account").text
    assert "Open until" in page
    assert "You canceled" in page
    assert ada.get("/nights").status_code == 200

    sandbox.advance(days=32)
    page = ada.get("/account").text
    assert "Your subscription has ended." in page
    assert "Your subscription ended" in page
    assert ada.get("/nights").status_code == 302


def test_another_ones_checkout_gives_nothing(
    app: Flask, ada: FlaskClient, sandbox: Sandbox
) -> None:
    checkout = ada.post("/auth/stripe/checkout", data={"price": "pro"})
    session_id = checkout.location.rpartition("/")[2]
    sandbox.pay(session_id)
    eve = app.test_client()
    eve.post("/sign-up", data={"email": "eve@example.com", "password": "12345678"})

    assert eve.get(f"/welcome?session_id={session_id}").status_code == 403
    assert eve.get("/nights").status_code == 302


def test_stripe_is_away(ada: FlaskClient, sandbox: Sandbox) -> None:
    sandbox.stop()

    page = ada.get("/welcome?session_id=cs_test_1")

    assert page.status_code == 503
    assert "Stripe does not answer" in page.text


def test_migrations_are_complete(app: Flask) -> None:
    with app.app_context():
        check(migrate.get_config())
