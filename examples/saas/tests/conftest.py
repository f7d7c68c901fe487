"""The app as it runs, but for the network: Stripe is in this process."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from examples.saas import create_app
from examples.saas.extensions import db
from examples.saas.local_stripe import AMOUNTS
from flask_kavach_stripe.sandbox import Sandbox

pytest_plugins = ["flask_kavach_stripe.testing.fixtures"]

ACCOUNT = {"email": "ada@example.com", "password": "12345678"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'test.sqlite'}",
            "STRIPE_MAX_NETWORK_RETRIES": 0,
            "TESTING": True,
            "WTF_CSRF_ENABLED": False,
        }
    )

    with app.app_context():
        db.create_all()

    yield app

    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def stripe_sandbox_amounts() -> dict[str, int]:
    """What the plans cost in these tests."""
    return AMOUNTS


@pytest.fixture
def client(app: Flask, stripe_sandbox: Sandbox) -> FlaskClient:
    """A visitor's browser."""
    return app.test_client()


@pytest.fixture
def ada(client: FlaskClient) -> FlaskClient:
    """The browser of someone who has just signed up."""
    client.post("/sign-up", data=ACCOUNT)
    return client


@pytest.fixture
def subscribe(
    ada: FlaskClient, stripe_sandbox: Sandbox
) -> Callable[..., dict[str, Any]]:
    """Press the button of a plan and pay at Checkout."""

    def subscribe(card: str = "4242424242424242", plan: str = "pro") -> dict[str, Any]:
        checkout = ada.post("/auth/stripe/checkout", data={"price": plan})
        session_id = checkout.location.rpartition("/")[2]
        return stripe_sandbox.pay(session_id, card)

    return subscribe
