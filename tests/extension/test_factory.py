"""The usual layout: one module-level ``db``, and a factory that tests call often."""

from __future__ import annotations

import gc

from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event


def test_factory_makes_app_after_app_on_one_db() -> None:
    db = SQLAlchemy()

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)

    def create_app() -> Flask:
        app = Flask("factory")
        app.config.update(
            SQLALCHEMY_DATABASE_URI="sqlite://",
            STRIPE_SECRET_KEY="sk_test_factory",
            STRIPE_WEBHOOK_SECRET="whsec_factory",
        )
        db.init_app(app)
        KavachStripe(app)
        return app

    for _ in range(3):
        app = create_app()

        with app.app_context():
            db.create_all()
            db.session.add(User(stripe_customer_id="cus_1"))
            db.session.commit()

        subscription = make_subscription("sub_1", customer="cus_1")
        event = make_event("customer.subscription.created", subscription)
        assert post_event(app.test_client(), event).status_code == 200

        with app.app_context():
            stored = db.session.scalars(db.select(User.stripe_subscription_id))
            assert stored.all() == ["sub_1"]
            engine = db.engine

        engine.dispose()
        del app, engine
        gc.collect()
