"""What the extension adds to an app: names, URLs, commands, the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import render_template_string
from flask import url_for
from flask_login import login_user
from flask_login import LoginManager

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeClient
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe


def test_names(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    KavachStripe(app)

    assert "kavach_stripe" in app.extensions
    assert "kavach_stripe" in app.blueprints
    rules = {
        rule.endpoint: (rule.rule, sorted((rule.methods or set()) - {"OPTIONS"}))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("kavach_stripe.")
    }
    both = ["GET", "HEAD", "POST"]  # GET only redirects
    assert rules == {
        "kavach_stripe.checkout": ("/auth/stripe/checkout", both),
        "kavach_stripe.portal": ("/auth/stripe/portal", both),
        "kavach_stripe.subscription": ("/auth/stripe/subscription", ["GET", "HEAD"]),
        "kavach_stripe.webhook": ("/auth/stripe/webhook", ["POST"]),
    }
    names = {app.view_functions[endpoint].__name__ for endpoint in rules}
    assert names == {"checkout", "portal", "subscription", "webhook"}


@pytest.mark.parametrize(
    ("prefix", "path"),
    [("/billing", "/billing/webhook"), ("/a/b/", "/a/b/webhook"), ("/", "/webhook")],
)
def test_url_prefix(make_app: Callable[..., Any], prefix: str, path: str) -> None:
    app, db = make_app(STRIPE_URL_PREFIX=prefix)
    KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    with app.test_request_context():
        assert url_for("kavach_stripe.webhook") == path

    assert subscribe(app) == 200


def test_commands_are_registered(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    KavachStripe(app)

    assert "stripe" in app.cli.commands


def test_client(make_app: Callable[..., Any]) -> None:
    app, _ = make_app(STRIPE_API_BASE="http://localhost:1/", STRIPE_TIMEOUT=[1, 2])
    kavach_stripe = KavachStripe(app)

    with app.app_context():
        client = kavach_stripe.client
        assert isinstance(client, StripeClient)
        assert client is kavach_stripe.client
        assert client.base_url == "http://localhost:1"
        assert client.timeout == (1, 2)
        assert client.max_network_retries == 0


def test_secrets_are_in_no_repr(make_app: Callable[..., Any]) -> None:
    app, _ = make_app(
        STRIPE_SECRET_KEY="sk_test_hidden", STRIPE_WEBHOOK_SECRET="whsec_hidden"
    )
    kavach_stripe = KavachStripe(app)
    state = app.extensions["kavach_stripe"]

    for each in (kavach_stripe, state, state.settings, state.client, vars(state)):
        assert "hidden" not in repr(each) + str(each)


def test_app_without_a_login(make_app: Callable[..., Any]) -> None:
    """Webhooks and pages work; what needs a user says what is missing."""
    app, db = make_app()
    del app.login_manager
    KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))
    app.template_context_processors[None].remove(
        next(
            each
            for each in app.template_context_processors[None]
            if each.__module__.startswith("flask_login")
        )
    )
    app.add_url_rule(
        "/", "page", lambda: render_template_string("{{ current_subscription }}")
    )

    assert subscribe(app) == 200
    assert app.test_client().get("/").text == "None"

    with pytest.raises(RuntimeError, match=r"'LoginManager\(app\)'"):
        app.test_client().post("/auth/stripe/checkout", json={})


def test_login_may_be_initialised_last(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    del app.login_manager
    KavachStripe(app)
    LoginManager(app)
    model = make_user_model(db)
    create_tables(app, db, model())

    with app.test_request_context():
        login_user(db.session.get(model, 1))
        assert render_template_string("{{ current_subscription }}") == "None"
