"""Words for apps that begin with a database and a login, and nothing of ours."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column
from sqlalchemy import Integer

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event


def make_user_model(db: SQLAlchemy, name: str = "User", **attributes: Any) -> Any:
    """A class as an app defines it."""
    attributes.setdefault("id", Column(Integer, primary_key=True))
    attributes.setdefault("__tablename__", f"{name.lower()}s")
    return type(name, (UserMixin, StripeUserMixin, db.Model), attributes)


def create_tables(app: Flask, db: SQLAlchemy, *users: Any) -> None:
    """Create all tables, and store users."""
    with app.app_context():
        db.create_all()
        db.session.add_all(users)
        db.session.commit()


def subscribe(app: Flask, customer: str = "cus_1", **kwargs: Any) -> int:
    """Post a signed event about a new subscription, and give the status."""
    subscription = make_subscription("sub_1", customer=customer)
    event = make_event("customer.subscription.created", subscription)
    return post_event(app.test_client(), event, **kwargs).status_code


def subscription_of(app: Flask, kavach_stripe: KavachStripe, user: Any = 1) -> Any:
    """The id of the subscription that a user has in an app, or ``None``."""
    with app.app_context():
        found = kavach_stripe.get_subscription(user)
        return found and found.id
