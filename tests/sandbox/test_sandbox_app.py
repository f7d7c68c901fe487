"""An app and the sandbox in one process, with the fixtures that users get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.sandbox import Sandbox

pytest_plugins = ["flask_kavach_stripe.testing.fixtures"]

kavach_stripe = KavachStripe()


@pytest.fixture
def app() -> Iterator[Flask]:
    """As many apps have it: one context, open for the whole test."""
    app = Flask("app")
    app.config.update(
        SECRET_KEY="secret of the tests",
        TESTING=True,
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_PRICES={"pro": "price_pro"},
    )
    db = SQLAlchemy(app)
    LoginManager(app)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None]

    app.extensions["user_model"] = User
    kavach_stripe.init_app(app)

    with app.app_context():
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def db(app: Flask) -> SQLAlchemy:
    found: SQLAlchemy = app.extensions["sqlalchemy"]
    return found


@pytest.fixture
def user(app: Flask, db: SQLAlchemy) -> Any:
    user = app.extensions["user_model"](email="ada@example.com")
    db.session.add(user)
    db.session.commit()
    return user


def test_dunning(app: Flask, stripe_sandbox: Sandbox, user: Any) -> None:
    """The example of the documentation."""
    checkout = kavach_stripe.create_checkout_session(user, "price_pro")
    stripe_sandbox.pay(checkout.id, card="4000000000000341")
    subscription = kavach_stripe.get_subscription(user)
    assert subscription is not None
    assert subscription.is_active

    stripe_sandbox.advance(days=31)
    subscription = kavach_stripe.get_subscription(user)
    assert subscription is not None
    assert not subscription.is_active
