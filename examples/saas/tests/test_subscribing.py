from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.command import check
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade

from examples.saas import create_app
from examples.saas.extensions import db
from examples.saas.extensions import migrate
from flask_kavach_stripe.sandbox import Sandbox


def test_a_visitor_sees_prices_of_stripe(client: FlaskClient) -> None:
    page = client.get("/pricing").text

    assert "$9 " in page
    assert "$29 " in page


@pytest.mark.parametrize(("plan", "status"), [("pro", 302), ("team", 200)])
def test_the_file_is_for_teams(
    ada: FlaskClient, subscribe: Any, plan: str, status: int
) -> None:
    subscribe(plan=plan)

    assert ada.get("/nights.csv").status_code == status


def test_what_was_canceled_in_the_portal_is_told(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    session = subscribe()
    portal = ada.post("/auth/stripe/portal", data={"returnUrl": "/account"}).location
    path = portal.removeprefix(stripe_sandbox.url)
    stripe_page = stripe_sandbox.app.test_client()
    stripe_page.post(f"{path}/subscriptions/{session['subscription']}/cancel")
    stripe_sandbox.deliver()

    page = ada.get("/account").text
    assert "Open until" in page
    assert "You canceled" in page

    stripe_sandbox.advance(days=32)
    assert "Your subscription ended" in ada.get("/account").text


def test_another_ones_checkout_gives_nothing(app: Flask, subscribe: Any) -> None:
    session = subscribe()
    eve = app.test_client()
    eve.post("/sign-up", data={"email": "eve@example.com", "password": "12345678"})

    assert eve.get(f"/welcome?session_id={session['id']}").status_code == 403
    assert eve.get("/nights").status_code == 302


def test_stripe_is_away(ada: FlaskClient, stripe_sandbox: Sandbox) -> None:
    stripe_sandbox.faults.add("disconnect")

    page = ada.get("/welcome?session_id=cs_test_1")

    assert page.status_code == 503
    assert "Stripe does not answer" in page.text


def test_migrations_are_complete(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'migrated.sqlite'}"
    app = create_app({"SQLALCHEMY_DATABASE_URI": uri})

    with app.app_context():
        upgrade()
        check(migrate.get_config())
        db.engine.dispose()
