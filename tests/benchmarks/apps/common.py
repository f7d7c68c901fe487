"""What the three apps share whose footprint is measured."""

from __future__ import annotations

import json
import sys
from typing import Any
from typing import Final

import psutil
from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.orm import Session

SECRET: Final = "whsec_of_the_benchmarks"
KEY: Final = "sk_test_of_the_benchmarks"


def make_app() -> tuple[Flask, SQLAlchemy]:
    app = Flask("footprint")
    app.config.update(
        SECRET_KEY="of the benchmarks",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_SECRET_KEY=KEY,
        STRIPE_WEBHOOK_SECRET=SECRET,
        STRIPE_PRICES="*",
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    db = SQLAlchemy(app)
    LoginManager(app)
    return app, db


def add_user(app: Flask, db: SQLAlchemy, model: Any) -> None:
    with app.app_context():
        db.create_all()
        db.session.add(model(stripe_customer_id="cus_1"))
        db.session.commit()


def store_status(session: Session, model: Any, event: Any) -> None:
    """What a hand-written view does."""
    subscription = event["data"]["object"]
    session.execute(
        update(model)
        .where(model.stripe_customer_id == subscription["customer"])
        .values(stripe_subscription_status=subscription["status"])
    )
    session.commit()


def deliver(app: Flask, db: SQLAlchemy, model: Any, path: str) -> None:
    """Send the webhook on standard input, and check that the user's row says so."""
    delivery = json.load(sys.stdin)
    response = app.test_client().post(
        path,
        data=delivery["payload"],
        headers={"Stripe-Signature": delivery["signature"]},
    )
    assert response.status_code == 200, response.text

    with app.app_context():
        statuses = db.session.scalars(select(model.stripe_subscription_status)).all()
        assert statuses == ["active"]


def report() -> None:
    """Print how much memory is this process's own, in bytes."""
    print(psutil.Process().memory_full_info().uss)
