"""Base classes and columns of the app's own, on every database."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import post_event
from tests import servers
from tests.databases.deliveries import Database
from tests.databases.deliveries import END
from tests.databases.deliveries import subscription_event as event

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


@pytest.fixture
def uri(database: Database, tmp_path: Path) -> Iterator[str]:
    """A database of its own, as the tables have other columns than those of others."""
    if database.name == "sqlite":
        yield f"sqlite:///{tmp_path / 'own.db'}"
    else:
        with servers.new_database(database.uri) as made:
            yield made


@pytest.fixture
def make_app(uri: str) -> Iterator[Callable[..., Flask]]:
    apps: list[Flask] = []

    def make(**config: Any) -> Flask:
        app = Flask("bases")
        app.config.update(
            SQLALCHEMY_DATABASE_URI=uri,
            STRIPE_SECRET_KEY="sk_test_of_the_tests",
            STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
            **config,
        )
        apps.append(app)
        return app

    yield make

    for app in apps:
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()


def subscribe(app: Flask, times: int = 1) -> list[int]:
    """Post a signed event about Ada's new subscription: the statuses."""
    sent = event("created", cancel_at_period_end=True)
    client = app.test_client()
    return [post_event(client, sent).status_code for _ in range(times)]


def test_event_is_handled_once_with_a_key_and_a_required_column_of_the_base(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app()

    class Base(DeclarativeBase):
        pk: Mapped[int] = mapped_column(primary_key=True)
        tenant: Mapped[str] = mapped_column(String(9))

    db = SQLAlchemy(app, model_class=Base)

    class User(StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        __tablename__ = "users"

    handled: list[str] = []
    kavach_stripe = KavachStripe(app)
    kavach_stripe.on("*")(lambda event: handled.append(event.user.tenant))

    with app.app_context():
        db.create_all()
        db.session.add(User(tenant="one", stripe_customer_id="cus_ada"))
        db.session.commit()

    assert subscribe(app, times=3) == [200] * 3
    assert handled == ["one"]

    with app.app_context():
        [found] = kavach_stripe.list_subscriptions(1)
        assert (found.id, found.quantity) == ("sub_1", 1)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_own_column_without_a_time_zone_gives_aware_times(
    make_app: Callable[..., Flask], database: Database, zone: str
) -> None:
    """Whatever the time zone of the database's sessions is."""
    config: dict[str, Any] = {}

    if database.name == "postgresql":
        options = {"connect_args": {"options": f"-c timezone={zone}"}}
        config["SQLALCHEMY_ENGINE_OPTIONS"] = options

    app = make_app(**config)
    db = SQLAlchemy(app)

    class User(StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        stripe_current_period_end: Mapped[datetime | None] = mapped_column(DateTime)

    kavach_stripe = KavachStripe(app)

    with app.app_context():
        db.create_all()
        db.session.add(User(stripe_customer_id="cus_ada"))
        db.session.commit()

    assert subscribe(app) == [200]

    with app.app_context():
        found = kavach_stripe.get_subscription(1)
        assert found is not None
        assert found.current_period_end == datetime.fromtimestamp(END, UTC)
        assert found.current_period_end.tzinfo is UTC
