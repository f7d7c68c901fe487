from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from examples.saas.extensions import db
from examples.saas.models import User

ACCOUNT = {"email": "ada@example.com", "password": "12345678"}


def test_sign_up_logs_in_and_leads_to_the_prices(client: FlaskClient) -> None:
    page = client.post("/sign-up", data=ACCOUNT, follow_redirects=True)

    assert page.request.path == "/pricing"
    assert "Subscribe to Pro" in page.text


def test_passwords_are_stored_hashed(app: Flask, ada: FlaskClient) -> None:
    with app.app_context():
        user = db.session.scalars(db.select(User)).one()

    assert user.password_hash.startswith("scrypt:")


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("ada@example.com", "12345678", "There is an account"),
        (" ADA@example.com", "12345678", "There is an account"),
        ("bob", "12345678", "Enter an e-mail address."),
        ("bob@example.com", "1234567", "Use 8 to 200 characters."),
        ("", "", "This field is required."),
    ],
)
def test_sign_up_is_refused(
    app: Flask, ada: FlaskClient, email: str, password: str, message: str
) -> None:
    page = app.test_client().post(
        "/sign-up", data={"email": email, "password": password}
    )

    assert message in page.text


def test_log_in_leads_back_to_where_one_was(app: Flask, ada: FlaskClient) -> None:
    other = app.test_client()
    assert other.get("/nights").location.startswith("/log-in")
    page = other.post("/log-in", data=ACCOUNT)

    assert page.location == "/nights"


def test_log_in_with_a_wrong_password(app: Flask, ada: FlaskClient) -> None:
    page = app.test_client().post("/log-in", data={**ACCOUNT, "password": "87654321"})

    assert "do not belong together" in page.text


def test_log_out(ada: FlaskClient) -> None:
    ada.post("/log-out")

    assert ada.get("/account").status_code == 302


def test_forms_need_a_token_and_the_webhook_does_not(app: Flask) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    client = app.test_client()

    assert "too old" in client.post("/log-out").text
    assert "invalid_signature" in client.post("/auth/stripe/webhook").text
