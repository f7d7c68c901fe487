"""Our tables take nothing from the app's base class; the user model takes the mixin."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from datetime import UTC
from typing import Any

import pytest
import sqlalchemy
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime
from sqlalchemy import ForeignKey
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import declared_attr
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import MappedAsDataclass
from sqlalchemy.orm import relationship
from sqlalchemy.orm import synonym

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event

END = 4_000_000_000


class WithKey(DeclarativeBase):
    """Every model gets a key of its own."""

    pk: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)


class WithRequiredColumn(DeclarativeBase):
    """Every model has a column that must be filled."""

    tenant: Mapped[str] = mapped_column(String(9))


class WithDeletedAt(DeclarativeBase):
    """Every model is deleted softly."""

    deleted_at: Mapped[datetime | None] = mapped_column(DateTime)


class WithTableName(DeclarativeBase):
    """Every model has the name of its class, in upper case."""

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        return cls.__name__.upper()


class Dataclass(MappedAsDataclass, DeclarativeBase):
    """Every model is a dataclass."""


BASES = [
    WithKey,
    WithRequiredColumn,
    WithDeletedAt,
    WithTableName,
    pytest.param(
        Dataclass,
        # Flask-SQLAlchemy cannot make such a base class with a later SQLAlchemy.
        marks=pytest.mark.skipif(
            sqlalchemy.__version__ >= "2.1", reason="needs SQLAlchemy 2.0"
        ),
    ),
]


@contextmanager
def running(db: SQLAlchemy, **config: Any) -> Iterator[Flask]:
    app = Flask("bases")
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_SECRET_KEY="sk_test_bases",
        STRIPE_WEBHOOK_SECRET="whsec_bases",
        **config,
    )
    db.init_app(app)
    yield app

    with app.app_context():
        db.engine.dispose()


def fresh(base: type[Any]) -> type[Any]:
    """A base class with the same columns and metadata of its own."""
    copied = {
        name: value
        for name, value in vars(base).items()
        if name in ("__annotations__", "__tablename__", "pk", "tenant", "deleted_at")
    }
    return type(base.__name__, base.__bases__, copied)


@pytest.mark.parametrize("base", BASES)
def test_event_is_handled_once_whatever_the_base_class_has(base: type[Any]) -> None:
    db = SQLAlchemy(model_class=fresh(base), disable_autonaming=True)
    is_keyed = base is WithKey
    values: dict[str, Any] = {} if is_keyed else {"id": 1}
    values |= {"tenant": "one"} if base is WithRequiredColumn else {}
    attributes: dict[str, Any] = {"__tablename__": "users", "__annotations__": {}}

    if not is_keyed:
        attributes["id"] = mapped_column(primary_key=True)
        attributes["__annotations__"]["id"] = Mapped[int]

    handled: list[str] = []

    with running(db) as app:
        user_model = type("User", (StripeUserMixin, db.Model), attributes)
        kavach_stripe = KavachStripe(app)
        kavach_stripe.on("customer.subscription.*")(
            lambda event: handled.append(event.id)
        )

        with app.app_context():
            db.create_all()
            user = user_model(**values)
            user.stripe_customer_id = "cus_1"
            db.session.add(user)
            db.session.commit()

        event = make_event(
            "customer.subscription.created", make_subscription(customer="cus_1")
        )
        statuses = [post_event(app.test_client(), event).status_code for _ in range(3)]

        with app.app_context():
            found = kavach_stripe.get_subscription(1)
            assert found is not None
            assert found.is_active

    assert statuses == [200] * 3
    assert handled == [event["id"]]
    names = ("stripe_event", "stripe_subscription")
    tables = [db.metadata.tables[name] for name in names]
    assert [table.primary_key.columns.keys() for table in tables] == [["id"], ["id"]]
    assert not {"pk", "tenant", "deleted_at"} & {
        column.name for table in tables for column in table.columns
    }


@pytest.mark.parametrize(
    ("table", "mixin"),
    [
        ("stripe_event", "StripeEventMixin"),
        ("stripe_subscription", "StripeSubscriptionMixin"),
    ],
)
def test_model_of_the_apps_own_with_the_name_of_our_table(
    table: str, mixin: str
) -> None:
    db = SQLAlchemy()
    attributes = {"__tablename__": table, "__annotations__": {"id": Mapped[int]}}
    model = type(
        "Mine", (db.Model,), {**attributes, "id": mapped_column(primary_key=True)}
    )

    with running(db) as app:
        with pytest.raises(ConfigurationError) as caught:
            KavachStripe(app)

        assert "kavach_stripe" not in app.extensions

    assert issubclass(model, db.Model)  # SQLAlchemy forgets a class that nobody holds
    assert all(word in str(caught.value) for word in (table, mixin, "'__tablename__'"))


def test_model_of_the_apps_own_with_the_name_of_our_class() -> None:
    """It has another table, and relationships find it by its name."""
    db = SQLAlchemy()

    class StripeEvent(db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        __tablename__ = "mine"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))

    class User(StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # as above
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        events = relationship("StripeEvent")

    with running(db) as app:
        KavachStripe(app)

        with app.app_context():
            db.create_all()
            user = User(stripe_customer_id="cus_1", events=[StripeEvent()])
            db.session.add(user)
            db.session.commit()

        event = make_event("customer.deleted", {"id": "cus_1", "object": "customer"})
        assert post_event(app.test_client(), event).status_code == 200


def test_model_that_replaces_our_ledger_keeps_what_the_base_class_has() -> None:
    db = SQLAlchemy(model_class=fresh(WithDeletedAt), disable_autonaming=True)
    attributes = {"__tablename__": "log"}
    model = type("Log", (StripeEventMixin, db.Model), attributes)

    with running(db) as app:
        KavachStripe(app)
        assert app.extensions["kavach_stripe"].event_model is model

    assert "deleted_at" in db.metadata.tables["log"].columns


# -- columns of the user model ---------------------------------------------------------

NAMES = [
    "stripe_customer_id",
    "stripe_subscription_id",
    "stripe_subscription_status",
    "stripe_price_id",
    "stripe_current_period_end",
    "stripe_cancel_at_period_end",
]


def user_with(db: SQLAlchemy, name: str, value: Any) -> type[Any]:
    attributes = {
        "__tablename__": "users",
        "__annotations__": {"id": Mapped[int], "other": Mapped[str | None]},
        "id": mapped_column(primary_key=True),
        "other": mapped_column(String(255)),
        name: value,
    }
    return type("User", (StripeUserMixin, db.Model), attributes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: synonym("other"), id="synonym"),
        pytest.param(lambda: property(lambda self: None), id="property"),
    ],
)
def test_what_is_no_column_in_place_of_a_column_is_named(
    name: str, make: Callable[[], Any]
) -> None:
    db = SQLAlchemy()
    user_model = user_with(db, name, make())

    with running(db) as app:
        kavach_stripe = KavachStripe(app, user_model=user_model)

        with app.app_context(), pytest.raises(ConfigurationError) as caught:
            db.create_all()
            kavach_stripe.get_subscription(1)

    assert f"User.{name} is not a column" in str(caught.value)
    assert "'StripeUserMixin'" in str(caught.value)


def test_own_column_without_a_time_zone_gives_aware_times() -> None:
    db = SQLAlchemy()
    column = mapped_column("stripe_current_period_end", DateTime, nullable=True)
    user_model = user_with(db, "stripe_current_period_end", column)
    given: list[Any] = []

    with running(db) as app:
        kavach_stripe = KavachStripe(app, user_model=user_model)
        kavach_stripe.on_subscription_change(lambda user, found: given.append(found))

        with app.app_context():
            db.create_all()
            db.session.add(user_model(stripe_customer_id="cus_1"))
            db.session.commit()

        subscription = make_subscription(
            customer="cus_1", current_period_end=END, cancel_at_period_end=True
        )
        event = make_event("customer.subscription.created", subscription)
        assert post_event(app.test_client(), event).status_code == 200

        with app.app_context():
            found = kavach_stripe.get_subscription(1)
            assert found is not None
            expected = datetime.fromtimestamp(END, UTC)
            assert found.current_period_end == found.ends_at == expected
            assert found.current_period_end
            assert found.current_period_end.tzinfo is UTC
            assert found.is_active

    assert [each.current_period_end for each in given] == [expected]
