"""The tables of subscriptions and events: ours, or those of the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column
from sqlalchemy import String
from sqlalchemy import text

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeSubscriptionMixin
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe


def test_tables_define_themselves(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    KavachStripe(app)

    assert sorted(db.metadata.tables) == ["stripe_event", "stripe_subscription"]


def make_own_models(db: SQLAlchemy) -> tuple[Any, Any]:
    names = {"__tablename__": "log", "extra": Column(String(10))}
    event_model = type("Log", (StripeEventMixin, db.Model), names)
    names = {"__tablename__": "abos", "extra": Column(String(10))}
    return event_model, type("Abo", (StripeSubscriptionMixin, db.Model), names)


@pytest.mark.parametrize("given", [True, False])
def test_own_models(make_app: Callable[..., Any], given: bool) -> None:
    """Given, or mapped before ``init_app``."""
    app, db = make_app()
    event_model, subscription_model = make_own_models(db)
    kavach_stripe = KavachStripe(
        event_model=event_model if given else None,
        subscription_model=subscription_model if given else None,
    )
    kavach_stripe.init_app(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert sorted(db.metadata.tables) == ["abos", "log", "users"]

    with app.app_context():
        assert db.session.query(event_model).one().user_id == "1"
        assert db.session.query(subscription_model).one().id == "sub_1"


def test_own_model_for_one_of_the_two(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    model = type("Log", (StripeEventMixin, db.Model), {"__tablename__": "log"})
    KavachStripe(app)

    assert app.extensions["kavach_stripe"].event_model is model
    assert sorted(db.metadata.tables) == ["log", "stripe_subscription"]


def test_two_own_models(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    models = [
        type(name, (StripeEventMixin, db.Model), {"__tablename__": name.lower()})
        for name in ("Log", "Ledger")
    ]

    with pytest.raises(ConfigurationError, match="'Ledger', 'Log'"):
        KavachStripe(app)

    assert "kavach_stripe" not in app.extensions
    assert len(models) == 2  # SQLAlchemy forgets classes that nobody holds


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("DROP TABLE stripe_event", "stripe_event"),
        ("DROP TABLE stripe_subscription", "stripe_subscription"),
        ("DROP TABLE users", "users"),
        (
            "ALTER TABLE users DROP COLUMN stripe_cancel_at_period_end",
            "users.stripe_cancel_at_period_end",
        ),
        (
            "ALTER TABLE stripe_subscription DROP COLUMN revision",
            "stripe_subscription.revision",
        ),
    ],
)
def test_missing_table(
    make_app: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    statement: str,
    name: str,
) -> None:
    app, db = make_app()
    KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    with app.app_context():
        db.session.execute(text(statement))
        db.session.commit()

    assert subscribe(app) == 500
    [record] = [r for r in caplog.records if r.name.startswith("flask_kavach_stripe")]
    assert f"lacks {name}." in record.getMessage()
    assert "flask db migrate" in record.getMessage()
