"""``KavachStripe`` and ``init_app``: what they need, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe
from tests.extension.apps import subscription_of

CALLS: dict[str, Callable[[KavachStripe], object]] = {
    "client": lambda ks: ks.client,
    "create_customer": lambda ks: ks.create_customer(1),
    "get_customer_id": lambda ks: ks.get_customer_id(1),
    "create_checkout_session": lambda ks: ks.create_checkout_session(1, "price_1"),
    "create_portal_session": lambda ks: ks.create_portal_session(1),
    "get_subscription": lambda ks: ks.get_subscription(1),
    "list_subscriptions": lambda ks: ks.list_subscriptions(1),
    "sync_subscription": lambda ks: ks.sync_subscription(1),
    "complete_checkout": lambda ks: ks.complete_checkout("cs_1", 1),
    "handle_webhook": lambda ks: ks.handle_webhook(b"{}", ""),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_app_context(
    make_app: Callable[..., Any], call: Callable[[KavachStripe], object]
) -> None:
    app, _ = make_app()
    kavach_stripe = KavachStripe(app)

    with pytest.raises(RuntimeError, match="Working outside of application context"):
        call(kavach_stripe)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_init_app(
    make_app: Callable[..., Any], call: Callable[[KavachStripe], object]
) -> None:
    app, _ = make_app()

    with app.app_context():
        with pytest.raises(RuntimeError, match="forget to call 'init_app'"):
            call(KavachStripe())


def test_init_app_twice(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    kavach_stripe = KavachStripe(app)

    with pytest.raises(RuntimeError, match="already registered on this app"):
        kavach_stripe.init_app(app)


def test_two_extensions_on_one_app(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    KavachStripe(app)

    with pytest.raises(RuntimeError, match="already registered on this app"):
        KavachStripe(app)


def test_wrong_configuration_can_be_mended(make_app: Callable[..., Any]) -> None:
    app, _ = make_app(STRIPE_TRIAL_DAYS=-1)
    kavach_stripe = KavachStripe()

    with pytest.raises(ConfigurationError, match=r"STRIPE_TRIAL_DAYS.*-1"):
        kavach_stripe.init_app(app)

    app.config["STRIPE_TRIAL_DAYS"] = 1
    kavach_stripe.init_app(app)
    assert "kavach_stripe" in app.extensions


def test_no_database(make_app: Callable[..., Any]) -> None:
    app = Flask("bare")
    app.config.update(STRIPE_SECRET_KEY="sk_test_1")

    with pytest.raises(ConfigurationError, match=r"'SQLAlchemy\(app\)'"):
        KavachStripe(app)

    assert "kavach_stripe" not in app.extensions


@pytest.mark.parametrize("way", ["constructor", "init_app"])
def test_database_is_given(make_app: Callable[..., Any], way: str) -> None:
    app, db = make_app()
    model = make_user_model(db)

    if way == "constructor":
        kavach_stripe = KavachStripe(app, db, model)
    else:
        kavach_stripe = KavachStripe()
        kavach_stripe.init_app(app, db, model)

    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe) == "sub_1"


def test_factory(make_app: Callable[..., Any]) -> None:
    """Handlers and models at import time, apps later; as often as asked for."""
    db = SQLAlchemy()
    kavach_stripe = KavachStripe()
    model = make_user_model(db)
    handled: list[str] = []

    @kavach_stripe.on("invoice.paid")
    def remember(event: Event) -> None:
        handled.append(event.type)

    for _ in range(2):
        app, _ = make_app(db)
        kavach_stripe.init_app(app)
        create_tables(app, db, model(stripe_customer_id="cus_1"))
        assert subscribe(app) == 200
        post_event(app.test_client(), make_event("invoice.paid", {"id": "in_1"}))

    assert handled == ["invoice.paid"] * 2
