"""Models as apps have them: their own names, keys and inheritance."""

from __future__ import annotations

import uuid
from typing import Any

import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import CHAR
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event
from tests.vocabulary import CUSTOMERS


def make_app(db: SQLAlchemy) -> Flask:
    app = Flask("own")
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_SECRET_KEY="sk_test_own",
        STRIPE_WEBHOOK_SECRET="whsec_own",
    )
    db.init_app(app)
    return app


def test_columns_with_the_names_of_parameters(
    stripe_api: responses.RequestsMock,
) -> None:
    """SQLAlchemy takes a parameter with a column's name for that column's value."""
    db = SQLAlchemy()

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        user_id: Mapped[int] = mapped_column(primary_key=True)
        customer: Mapped[str | None]
        replacing: Mapped[str | None]

    class StripeEvent(StripeEventMixin, db.Model):  # type: ignore[name-defined, misc]  # as above
        event_id: Mapped[str | None]
        now: Mapped[str | None]
        failure: Mapped[str | None]

    app = make_app(db)
    kavach_stripe = KavachStripe(app, event_model=StripeEvent)
    noted: list[str] = []

    @kavach_stripe.on("customer.subscription.created")
    def note(event: object) -> None:
        noted.append("called")

        if len(noted) == 1:
            raise RuntimeError("The first attempt fails.")

    stripe_api.post(CUSTOMERS, json={"id": "cus_1", "object": "customer"})
    event = make_event(
        "customer.subscription.created", make_subscription(customer="cus_1")
    )

    with app.app_context():
        db.create_all()
        user = User(user_id=1)
        db.session.add(user)
        db.session.commit()
        assert kavach_stripe.create_customer(user) == "cus_1"
        statuses = [post_event(app.test_client(), event).status_code for _ in range(2)]

    assert statuses == [500, 200]
    assert noted == ["called"] * 2

    with app.app_context():
        stored = db.session.get(StripeEvent, event["id"])
        assert stored is not None
        assert (stored.attempts, stored.error) == (2, None)


def test_subclass_whose_key_has_another_name() -> None:
    """Joined inheritance: the mixin's columns are in the subclass's own table."""
    db = SQLAlchemy()

    class Person(UserMixin, db.Model):  # type: ignore[name-defined, misc]  # as above
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012

    class Member(StripeUserMixin, Person):
        person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), primary_key=True)
        __mapper_args__ = {"polymorphic_identity": "member"}  # noqa: RUF012

    app = make_app(db)
    notified: list[Any] = []
    KavachStripe(app, on_subscription_change=lambda user, _: notified.append(user.id))
    event = make_event(
        "customer.subscription.created", make_subscription(customer="cus_2")
    )

    with app.app_context():
        db.create_all()
        db.session.add_all([Person(id=1), Member(id=2, stripe_customer_id="cus_2")])
        db.session.commit()
        assert post_event(app.test_client(), event).status_code == 200
        member = db.session.get(Member, 2)
        assert member is not None
        assert member.stripe_subscription_status == "active"

    assert notified == [2]


class Guid(TypeDecorator[uuid.UUID]):
    """As in SQLAlchemy's documentation; it tells no Python type."""

    impl = CHAR(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else uuid.UUID(str(value)).hex

    def process_result_value(self, value: Any, dialect: Any) -> uuid.UUID | None:
        return None if value is None else uuid.UUID(value)


def test_key_type_of_the_apps_own(stripe_api: responses.RequestsMock) -> None:
    """A reference that it cannot take is nobody's, and no fault of ours."""
    db = SQLAlchemy()

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[uuid.UUID] = mapped_column(Guid, primary_key=True)

    app = Flask("guid")
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_SECRET_KEY="sk_test_guid",
        STRIPE_WEBHOOK_SECRET="whsec_guid",
    )
    db.init_app(app)
    kavach_stripe = KavachStripe(app)
    key = uuid.uuid4()

    with app.app_context():
        db.create_all()
        db.session.add(User(id=key))
        db.session.commit()

    def post(reference: str) -> int:
        session = make_checkout_session(
            customer="cus_1", client_reference_id=reference, subscription=None
        )
        event = make_event("checkout.session.completed", session)
        return post_event(app.test_client(), event).status_code

    assert post("foo") == 200

    with app.app_context():
        assert kavach_stripe.get_customer_id("foo") is None
        assert kavach_stripe.get_customer_id(key) is None

    assert post(str(key)) == 200

    with app.app_context():
        assert kavach_stripe.get_customer_id(str(key)) == "cus_1"
        engine = db.engine

    engine.dispose()
