"""The app under load. Its handlers write one row for each event, and often raise."""

from __future__ import annotations

from random import Random
from typing import Any

from flask import current_app
from flask import Flask
from flask import request
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy.event import listen
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import Subscription

WEBHOOK_SECRET = "whsec_of_the_shop"
WEBHOOK_PATH = "/auth/stripe/webhook"

#: How many of the calls of a handler raise.
FAILING_SHARE = 0.1

#: A header that is another one with each attempt, so that a handler that raised may
#: succeed the next time.
ATTEMPT_HEADER = "X-Attempt"

db = SQLAlchemy()
login_manager = LoginManager()
kavach_stripe = KavachStripe()


class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


class Effect(db.Model):  # type: ignore[name-defined, misc]  # as above
    """What a handler did. No key is unique: twice must be seen, not refused."""

    id: Mapped[int] = mapped_column(primary_key=True)
    handler: Mapped[str] = mapped_column(String(32))
    #: The event's id; of a change, the user's.
    subject: Mapped[str] = mapped_column(String(255))


def create_app(database_uri: str, api_base: str, seed: str) -> Flask:
    """Make the app.

    :param seed: Decides which calls of the handlers raise.
    """
    app = Flask("shop")
    app.config.from_mapping(
        SECRET_KEY="secret of the shop",
        SHOP_SEED=seed,
        SQLALCHEMY_DATABASE_URI=database_uri,
        STRIPE_API_BASE=api_base,
        STRIPE_PRICES="*",
        STRIPE_SECRET_KEY="sk_test_of_the_shop",
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS=[],
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
    )
    db.init_app(app)
    login_manager.init_app(app)
    kavach_stripe.init_app(app)

    with app.app_context():
        if db.engine.name == "sqlite":
            listen(db.engine, "connect", _use_write_ahead_log)

    return app


def _use_write_ahead_log(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")  # survives any crash but the OS's


@kavach_stripe.on("*")
def remember(event: Event) -> None:
    _write("remember", str(event.id))


@kavach_stripe.on("customer.subscription.*")
def follow(event: Event) -> None:
    _write("follow", str(event.id))


@kavach_stripe.on_subscription_change
def notice(user: User, subscription: Subscription) -> None:
    _write("notice", str(user.id))


def _write(handler: str, subject: str) -> None:
    """Write a row, and now and then raise an error after that."""
    db.session.add(Effect(handler=handler, subject=subject))
    db.session.flush()
    attempt = request.headers[ATTEMPT_HEADER]
    fate = Random(f"{current_app.config['SHOP_SEED']} {handler} {attempt}")  # noqa: S311

    if fate.random() < FAILING_SHARE:
        raise RuntimeError("A bug in the shop.")
