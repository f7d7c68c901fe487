"""Apps in one process share nothing but the handlers of an extension."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe
from tests.extension.apps import subscription_of
from tests.vocabulary import API
from tests.vocabulary import CUSTOMERS


def test_two_apps_share_nothing(
    make_app: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    apps, models = [], []
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})

    for number in (1, 2):
        app, db = make_app(
            STRIPE_SECRET_KEY=f"sk_test_{number}",
            STRIPE_WEBHOOK_SECRET=f"whsec_{number}",
            STRIPE_URL_PREFIX=f"/stripe{number}",
        )
        kavach_stripe = KavachStripe(app)
        model = make_user_model(db)
        create_tables(app, db, model(stripe_customer_id="cus_1"), model())
        apps.append((app, kavach_stripe))
        models.append(model)  # SQLAlchemy forgets classes that nobody holds

    (one, one_stripe), (two, two_stripe) = apps
    one_stripe.on("*")(lambda event: pytest.fail("the handler of another app"))

    assert subscribe(two, secret="whsec_1") == 400
    assert subscribe(two, secret="whsec_2") == 200
    assert subscription_of(one, one_stripe) is None
    assert subscription_of(two, two_stripe) == "sub_1"
    assert one.test_client().post("/stripe2/webhook").status_code == 404

    for app, kavach_stripe in apps:
        with app.app_context():
            kavach_stripe.create_customer(2)

    keys = [call.request.headers["Authorization"] for call in stripe_api.calls]
    assert keys == ["Bearer sk_test_1", "Bearer sk_test_2"]


def test_one_extension_on_two_apps(
    make_app: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    """The handlers are shared, all else is not."""
    kavach_stripe = KavachStripe()
    handled: list[tuple[str, Any]] = []
    kavach_stripe.on("customer.*")(
        lambda event: handled.append((event.type, type(event.user)))
    )
    apps = []

    for number in (1, 2):
        app, db = make_app(STRIPE_SECRET_KEY=f"sk_test_{number}")
        kavach_stripe.init_app(app)
        model = make_user_model(db)
        create_tables(app, db, model(stripe_customer_id="cus_1"))
        apps.append((app, model))

    stripe_api.get(f"{API}/prices", json={})

    assert subscribe(apps[1][0]) == 200
    assert subscription_of(apps[0][0], kavach_stripe) is None
    assert subscription_of(apps[1][0], kavach_stripe) == "sub_1"
    assert subscribe(apps[0][0]) == 200
    assert handled == [
        ("customer.subscription.created", apps[1][1]),
        ("customer.subscription.created", apps[0][1]),
    ]

    for app, _ in apps:
        with app.app_context():
            kavach_stripe.client.get("/v1/prices")

    keys = [call.request.headers["Authorization"] for call in stripe_api.calls]
    assert keys == ["Bearer sk_test_1", "Bearer sk_test_2"]


@pytest.mark.parametrize("extensions", [1, 2])
def test_one_database_object_on_two_apps(
    make_app: Callable[..., Any], extensions: int
) -> None:
    db = SQLAlchemy()
    model = make_user_model(db)
    made = [KavachStripe() for _ in range(extensions)]
    apps = [make_app(db)[0] for _ in range(2)]

    for app, kavach_stripe in zip(apps, made * 2, strict=False):
        kavach_stripe.init_app(app)
        create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(apps[1]) == 200
    assert subscription_of(apps[0], made[0]) is None
    assert subscription_of(apps[1], made[-1]) == "sub_1"
    assert sorted(db.metadata.tables) == [
        "stripe_event",
        "stripe_subscription",
        "users",
    ]
    states = [app.extensions["kavach_stripe"] for app in apps]
    assert states[0].event_model is states[1].event_model
    assert states[0].subscription_model is states[1].subscription_model


def test_factory_makes_app_after_app_on_one_db() -> None:
    """The usual layout: a module-level ``db``, and a factory that is called often."""
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

        assert subscribe(app) == 200

        with app.app_context():
            stored = db.session.scalars(db.select(User.stripe_subscription_id))
            assert stored.all() == ["sub_1"]
            engine = db.engine

        engine.dispose()
        del app, engine
        gc.collect()


def test_client_is_the_one_of_the_current_app(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shops = [make_shop(STRIPE_SECRET_KEY=f"sk_test_{number}") for number in "12"]
    stripe_api.get(f"{API}/prices", json={"data": []})

    for shop in shops:
        with shop.app.app_context():
            shops[0].kavach_stripe.client.get("/v1/prices")

    keys = [call.request.headers["Authorization"] for call in stripe_api.calls]
    assert keys == ["Bearer sk_test_1", "Bearer sk_test_2"]
