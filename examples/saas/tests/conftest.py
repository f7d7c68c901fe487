"""The app as it runs, but for the network: webhooks come through a test client."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade

from examples.saas import create_app
from examples.saas.extensions import db
from examples.saas.local_stripe import set_up
from flask_kavach_stripe.sandbox import Sandbox

APP_URL = "http://localhost"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        app: Flask = running.app.extensions["app under test"]
        client = app.test_client()
        return client.post(url, data=body, headers=dict(headers)).status_code

    with Sandbox(send=send) as running:
        yield running


@pytest.fixture
def app(sandbox: Sandbox, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'test.sqlite'}",
            "STRIPE_MAX_NETWORK_RETRIES": 0,
            "TESTING": True,
            "WTF_CSRF_ENABLED": False,
            **set_up(sandbox, APP_URL),
        }
    )
    sandbox.app.extensions["app under test"] = app

    with app.app_context():
        upgrade()

    yield app

    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ada(client: FlaskClient) -> FlaskClient:
    """The browser of someone who has just signed up."""
    client.post("/sign-up", data={"email": "ada@example.com", "password": "12345678"})
    return client
