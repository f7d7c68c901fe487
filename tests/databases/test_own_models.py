"""Models with columns that the app's own code fills in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeSubscriptionMixin
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import post_event
from tests import servers
from tests.databases.deliveries import Database
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
def app(uri: str) -> Iterator[Flask]:
    """An app with one user, Ada, who has a customer."""
    app = Flask("own")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=uri,
        STRIPE_SECRET_KEY="sk_test_of_the_tests",
        STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
    )

    class Base(DeclarativeBase):
        """What every model of the app has, its table of subscriptions included."""

        made_by: Mapped[str] = mapped_column(String(9), default=lambda: "maker")
        written_by: Mapped[str] = mapped_column(
            String(9), default=lambda: "maker", onupdate=lambda: "writer"
        )

    db = SQLAlchemy(app, model_class=Base)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)

    class StripeSubscription(StripeSubscriptionMixin, db.Model):  # type: ignore[name-defined, misc]  # as above
        pass

    KavachStripe(app)

    with app.app_context():
        db.create_all()
        db.session.add(User(stripe_customer_id="cus_ada"))
        db.session.commit()

    yield app

    with app.app_context():
        db.engine.dispose()


def test_defaults_of_columns_of_the_apps_own(app: Flask) -> None:
    db = app.extensions["sqlalchemy"]

    def authors() -> dict[str, Any]:
        with app.app_context():
            return {
                table.name: tuple(
                    db.session.execute(
                        db.select(table.c.made_by, table.c.written_by)
                    ).one()
                )
                for table in db.metadata.sorted_tables
                if table.name != "stripe_event"
            }

    assert post_event(app.test_client(), event("created")).status_code == 200
    assert authors() == {
        "stripe_subscription": ("maker", "maker"),
        "user": ("maker", "writer"),
    }
    sent = event("updated", 9, status="past_due")
    assert post_event(app.test_client(), sent).status_code == 200
    assert authors() == {
        "stripe_subscription": ("maker", "writer"),
        "user": ("maker", "writer"),
    }
