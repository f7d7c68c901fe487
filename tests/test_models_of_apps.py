"""Models as apps have them, under the statements that are built for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection
from sqlalchemy import ForeignKey
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.event import remove
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import NoCustomerError
from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event
from tests.conftest import API
from tests.conftest import Shop


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

    stripe_api.post(f"{API}/v1/customers", json={"id": "cus_1", "object": "customer"})
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


def test_replay_waits_for_no_transaction_of_its_own(tmp_path: Path) -> None:
    """With a real BEGIN before each read, as SQLAlchemy's documentation has it."""
    options = {"connect_args": {"timeout": 0.1, "isolation_level": None}}
    shop = Shop(f"sqlite:///{tmp_path}/shop.db", SQLALCHEMY_ENGINE_OPTIONS=options)
    attempts: list[object] = []

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with shop.app.app_context():
        listen(shop.db.engine, "begin", begin)

    @shop.kavach_stripe.on("invoice.paid")
    def note(event: object) -> None:
        attempts.append(event)

        if len(attempts) == 1:
            raise RuntimeError("The first attempt fails.")

        shop.note("paid")

    assert (
        shop.post_event(make_event("invoice.paid", make_invoice())).status_code == 500
    )
    command = ["stripe", "replay", "--failed"]
    assert shop.app.test_cli_runner().invoke(args=command).exit_code == 0
    assert shop.notes == ["paid"]
    shop.close()


def test_detached_user_who_is_deleted_while_stripe_makes_the_customer(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    db, user_model = kept_shop.db, kept_shop.User

    def delete_and_answer(request: Any) -> tuple[int, dict[str, str], str]:
        with kept_shop.app.app_context():
            db.session.execute(db.delete(user_model).where(user_model.id == 2))
            db.session.commit()

        return 200, {}, json.dumps({"id": "cus_2", "object": "customer"})

    stripe_api.add_callback("POST", f"{API}/v1/customers", delete_and_answer)
    kept_shop.add_user(id=2)

    with kept_shop.app.app_context():
        user = db.session.get(user_model, 2)
        db.session.expunge(user)

        with pytest.raises(NoCustomerError, match="deleted meanwhile"):
            kept_shop.kavach_stripe.create_customer(user)


def test_constraint_that_is_checked_when_the_handlers_commit(kept_shop: Shop) -> None:
    """It is a failure of the handlers, not of the database: trying on is in vain."""

    @kept_shop.kavach_stripe.on("invoice.paid")
    def refer_to_nothing(event: object) -> None:
        session = kept_shop.db.session
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        session.execute(text("INSERT INTO child VALUES (404)"))

    with kept_shop.app.app_context():
        engine = kept_shop.db.engine

    def check_references(connection: Any, *args: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    listen(engine, "checkout", check_references)

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE child (id REFERENCES users (id))"))

    try:
        answer = kept_shop.post_event(make_event("invoice.paid", make_invoice()))
    finally:
        remove(engine, "checkout", check_references)
        engine.dispose()

        with engine.begin() as connection:
            connection.execute(text("DROP TABLE child"))

    [entry] = kept_shop.events
    assert answer.status_code == 500
    assert (entry.processed_at, entry.attempts) == (None, 1)
    assert entry.error.startswith("IntegrityError")


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
    told: list[Any] = []
    KavachStripe(app, on_subscription_change=lambda user, _: told.append(user.id))
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

    assert told == [2]
