"""The ten tests that every subscription app should have; ``docs/testing.rst`` shows
them."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask import request
from flask.testing import FlaskClient
from flask_login import FlaskLoginClient
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import subscription_required
from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox import UndeliveredError

# the app


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
login_manager = LoginManager()
kavach_stripe = KavachStripe(db=db)


class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


class Mail(db.Model):  # type: ignore[name-defined, misc]  # as above
    """What is to be sent."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def load_user(user_id: str) -> User | None:
    return db.session.get(User, int(user_id))


login_manager.user_loader(load_user)


@kavach_stripe.on("checkout.session.completed")
def welcome(event: Any) -> None:
    db.session.add(Mail(text=f"Welcome, {event.user.email}!"))


@subscription_required("pro")
def reports() -> str:
    return "Your reports"


def success() -> str:
    subscription = kavach_stripe.complete_checkout(request.args["session_id"])
    return "Thank you!" if subscription and subscription.is_active else "A moment..."


def create_app(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="secret",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_PRICES={"pro": {"price": "price_pro", "trial_days": 0}},
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    app.config.update(config)
    db.init_app(app)
    login_manager.init_app(app)
    kavach_stripe.init_app(app)
    app.add_url_rule("/reports", view_func=reports)
    app.add_url_rule("/success", view_func=success)
    return app


# conftest.py

pytest_plugins = ["flask_kavach_stripe.testing.fixtures"]


@pytest.fixture
def app() -> Iterator[Flask]:
    app = create_app(TESTING=True, STRIPE_MAX_NETWORK_RETRIES=0)
    app.test_client_class = FlaskLoginClient

    with app.app_context():
        db.create_all()
        db.session.add(User(id=1, email="ada@example.com"))
        db.session.commit()

    yield app

    with app.app_context():
        db.drop_all()
        db.engine.dispose()


@pytest.fixture
def ada(app: Flask) -> FlaskClient:
    """Ada's browser."""
    with app.app_context():
        user = db.session.get(User, 1)
        return app.test_client(user=user)


@pytest.fixture
def subscribe(
    ada: FlaskClient, stripe_sandbox: Sandbox
) -> Callable[..., dict[str, Any]]:
    """Go to Checkout and pay there."""

    def subscribe(card: str = "4242424242424242", **wishes: Any) -> dict[str, Any]:
        answer = ada.post("/auth/stripe/checkout", json={"price": "pro", **wishes})
        assert answer.json is not None
        return stripe_sandbox.pay(answer.json["sessionId"], card)

    return subscribe


@pytest.fixture
def mails(app: Flask) -> Callable[[], list[str]]:
    def mails() -> list[str]:
        with app.app_context():
            return list(db.session.scalars(db.select(Mail.text)))

    return mails


# the ten tests


def test_1_reports_are_closed_without_a_subscription(ada: FlaskClient) -> None:
    assert ada.get("/reports").status_code == 402


def test_2_paying_opens_them(
    ada: FlaskClient, subscribe: Any, mails: Callable[[], list[str]]
) -> None:
    subscribe()
    assert ada.get("/reports").status_code == 200
    assert mails() == ["Welcome, ada@example.com!"]


def test_3_a_declined_card_opens_nothing(ada: FlaskClient, subscribe: Any) -> None:
    with pytest.raises(ApiError, match="declined"):
        subscribe("4000000000000002")

    assert ada.get("/reports").status_code == 402


def test_4_the_buyer_comes_back_before_the_webhook(
    ada: FlaskClient,
    subscribe: Any,
    stripe_sandbox: Sandbox,
    mails: Callable[[], list[str]],
) -> None:
    stripe_sandbox.faults.add("delay", times=math.inf)
    session = subscribe()
    assert ada.get("/reports").status_code == 402
    assert ada.get(f"/success?session_id={session['id']}").text == "Thank you!"
    assert ada.get("/reports").status_code == 200

    stripe_sandbox.deliver()
    assert ada.get("/reports").status_code == 200
    assert mails() == ["Welcome, ada@example.com!"]


def test_5_a_renewal_that_fails_closes_them_and_a_new_card_opens_them(
    app: Flask, ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    session = subscribe("4000000000000341")  # is accepted, and declined from then on
    assert ada.get("/reports").status_code == 200
    stripe_sandbox.advance(days=32)
    assert ada.get("/reports").status_code == 402

    with app.app_context():  # what the customer portal does
        client = kavach_stripe.client
        customer = {"customer": session["customer"]}
        card = client.post("/v1/payment_methods/pm_card_visa/attach", customer)
        path = f"/v1/subscriptions/{session['subscription']}"
        client.post(path, {"default_payment_method": card["id"]})

    stripe_sandbox.advance(days=7)  # Stripe tries again
    assert ada.get("/reports").status_code == 200


def test_6_nobody_who_pays_loses_anything_in_a_year(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    subscribe()

    for _ in range(12):
        stripe_sandbox.advance(days=31)
        assert ada.get("/reports").status_code == 200


def test_7_who_cancels_has_what_is_paid_for(
    app: Flask, ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    session = subscribe()

    with app.app_context():
        path = f"/v1/subscriptions/{session['subscription']}"
        kavach_stripe.client.post(path, {"cancel_at_period_end": True})

    stripe_sandbox.advance(days=30)
    assert ada.get("/reports").status_code == 200
    stripe_sandbox.advance(days=2)
    assert ada.get("/reports").status_code == 402


def test_8_nobody_pays_twice(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    subscribe()
    answer = ada.post("/auth/stripe/checkout", json={"price": "pro"})
    assert answer.status_code == 409


def test_9_webhooks_may_come_twice_late_and_in_any_order(
    ada: FlaskClient,
    subscribe: Any,
    stripe_sandbox: Sandbox,
    mails: Callable[[], list[str]],
) -> None:
    stripe_sandbox.faults.add("duplicate", times=math.inf)
    stripe_sandbox.faults.add("reorder", probability=0.5)
    stripe_sandbox.faults.add("drop", probability=0.3)
    subscribe()
    stripe_sandbox.advance(days=40)
    stripe_sandbox.deliver()
    assert ada.get("/reports").status_code == 200
    assert mails() == ["Welcome, ada@example.com!"]


def test_10_the_site_is_open_while_stripe_is_down(
    ada: FlaskClient, subscribe: Any, stripe_sandbox: Sandbox
) -> None:
    subscribe()
    stripe_sandbox.faults.add("timeout", times=math.inf)
    assert ada.get("/reports").status_code == 200
    answer = ada.post("/auth/stripe/portal", json={"returnUrl": "/"})
    assert answer.status_code == 503


# and one for each handler of your own


def test_a_mail_that_failed_is_sent_later(
    subscribe: Any,
    stripe_sandbox: Sandbox,
    mails: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched, pytest.raises(UndeliveredError):
        patched.setattr(Mail, "__init__", None)
        subscribe()

    stripe_sandbox.deliver()  # Stripe sends the event again
    assert mails() == ["Welcome, ada@example.com!"]
