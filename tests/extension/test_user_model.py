"""Which class is the user model, and how it may be mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column
from sqlalchemy import ForeignKey
from sqlalchemy import Integer
from sqlalchemy import String

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe
from tests.extension.apps import subscription_of
from tests.vocabulary import CUSTOMERS


def test_user_model_is_defined_after_init_app(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe) == "sub_1"


def test_no_user_model(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    create_tables(app, db)

    with app.app_context():
        with pytest.raises(ConfigurationError, match="No model with 'StripeUserMixin'"):
            kavach_stripe.get_subscription(1)

    assert subscribe(app) >= 500


def test_user_model_may_come_after_the_first_error(
    make_app: Callable[..., Any],
) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    create_tables(app, db)

    with app.app_context():
        with pytest.raises(ConfigurationError):
            kavach_stripe.get_subscription(1)

    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))
    assert subscribe(app) == 200


def test_two_user_models(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    models = [make_user_model(db, name) for name in ("Buyer", "Seller")]

    with app.app_context():
        with pytest.raises(ConfigurationError, match="'Buyer', 'Seller'"):
            kavach_stripe.get_subscription(models[0]())


@pytest.mark.parametrize("way", ["constructor", "init_app"])
def test_one_of_two_user_models_is_given(
    make_app: Callable[..., Any], way: str
) -> None:
    app, db = make_app()
    buyer, seller = make_user_model(db, "Buyer"), make_user_model(db, "Seller")

    if way == "constructor":
        kavach_stripe = KavachStripe(app, user_model=seller)
    else:
        kavach_stripe = KavachStripe(user_model=buyer)
        kavach_stripe.init_app(app, user_model=seller)

    customers = [each(stripe_customer_id="cus_1") for each in (buyer, seller)]
    create_tables(app, db, *customers)

    assert subscribe(app) == 200

    with app.app_context():
        assert db.session.get(seller, 1).stripe_subscription_id == "sub_1"
        assert db.session.get(buyer, 1).stripe_subscription_id is None


def test_model_of_another_database_does_not_count(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    _, other_db = make_app()
    stranger, model = make_user_model(other_db, "Stranger"), make_user_model(db)
    kavach_stripe = KavachStripe(app)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe) == "sub_1"
    assert not issubclass(stranger, db.Model)


def exercise(app: Flask, db: SQLAlchemy, user: Any, other: Any = None) -> None:
    """Go through what touches the user's table: link, store, replace, end."""
    kavach_stripe = KavachStripe(app)
    create_tables(app, db, user, *([] if other is None else [other]))

    with app.app_context(), responses.RequestsMock() as stripe_api:
        user = db.session.merge(user)
        stripe_api.post(CUSTOMERS, json={"id": "cus_1"})
        assert kavach_stripe.create_customer(user) == "cus_1"
        assert user.stripe_customer_id == "cus_1"
        user_id = user.id

    told: list[Any] = []
    kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append((user.id, subscription.status))
    )
    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe, user_id) == "sub_1"

    with app.app_context():
        assert [s.id for s in kavach_stripe.list_subscriptions(user_id)] == ["sub_1"]

    deleted = make_event("customer.deleted", {"id": "cus_1", "object": "customer"})
    assert post_event(app.test_client(), deleted).status_code == 200
    assert told == [(user_id, "active"), (user_id, "canceled")]

    with app.app_context():
        loaded = db.session.merge(user)
        db.session.refresh(loaded)
        assert loaded.stripe_customer_id is None
        assert loaded.stripe_subscription_status == "canceled"


@pytest.mark.parametrize("which", ["base", "subclass"])
def test_single_table_inheritance(make_app: Callable[..., Any], which: str) -> None:
    app, db = make_app()
    base = make_user_model(
        db,
        kind=Column(String(10)),
        __mapper_args__={"polymorphic_on": "kind", "polymorphic_identity": "user"},
    )
    subclass = type(
        "Admin", (base,), {"__mapper_args__": {"polymorphic_identity": "a"}}
    )

    exercise(app, db, base() if which == "base" else subclass(), subclass())


@pytest.mark.parametrize("which", ["base", "subclass"])
def test_joined_inheritance(make_app: Callable[..., Any], which: str) -> None:
    app, db = make_app()
    base = make_user_model(
        db,
        kind=Column(String(10)),
        __mapper_args__={"polymorphic_on": "kind", "polymorphic_identity": "user"},
    )
    subclass = type(
        "Admin",
        (base,),
        {
            "__tablename__": "admins",
            "__mapper_args__": {"polymorphic_identity": "admin"},
            "id": Column(Integer, ForeignKey("users.id"), primary_key=True),
        },
    )

    exercise(app, db, base() if which == "base" else subclass(), subclass())


def test_joined_inheritance_where_only_the_subclass_pays(
    make_app: Callable[..., Any],
) -> None:
    """The mixin's columns are in a table that has no key of its own."""
    app, db = make_app()
    base: Any = type(
        "Person",
        (UserMixin, db.Model),
        {
            "__tablename__": "people",
            "id": Column(Integer, primary_key=True),
            "kind": Column(String(10)),
            "__mapper_args__": {
                "polymorphic_on": "kind",
                "polymorphic_identity": "person",
            },
        },
    )
    subclass: Any = type(
        "Buyer",
        (StripeUserMixin, base),
        {
            "__tablename__": "buyers",
            "__mapper_args__": {"polymorphic_identity": "buyer"},
            "id": Column(Integer, ForeignKey("people.id"), primary_key=True),
        },
    )

    exercise(app, db, subclass(), base())


def test_mixin_on_an_abstract_base(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    base: Any = type(
        "Base",
        (UserMixin, StripeUserMixin, db.Model),
        {"__abstract__": True, "id": Column(Integer, primary_key=True)},
    )
    model = type("User", (base,), {"__tablename__": "users"})

    exercise(app, db, model())


def test_primary_key_of_two_columns(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    model = make_user_model(db, tenant=Column(Integer, primary_key=True))

    with app.app_context():
        with pytest.raises(ConfigurationError, match="'User' must be one column"):
            kavach_stripe.get_subscription(model())
