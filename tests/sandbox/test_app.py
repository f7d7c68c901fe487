"""An app and the sandbox in one process, with the fixtures that users get."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask import g
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox import SandboxError
from flask_kavach_stripe.sandbox import UndeliveredError
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from flask_kavach_stripe.testing.sandbox import connect

pytest_plugins = ["flask_kavach_stripe.testing.fixtures"]

kavach_stripe = KavachStripe()


@pytest.fixture
def app() -> Iterator[Flask]:
    """As many apps have it: one context, open for the whole test."""
    kavach_stripe._registry.__init__()  # type: ignore[misc]  # forget the handlers
    app = Flask("app")
    app.config.update(
        SECRET_KEY="secret of the tests",
        TESTING=True,
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_PRICES={"pro": "price_pro"},
    )
    db = SQLAlchemy(app)
    LoginManager(app)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None]

    app.extensions["user_model"] = User
    kavach_stripe.init_app(app)

    with app.app_context():
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def db(app: Flask) -> SQLAlchemy:
    found: SQLAlchemy = app.extensions["sqlalchemy"]
    return found


@pytest.fixture
def user(app: Flask, db: SQLAlchemy) -> Any:
    user = app.extensions["user_model"](email="ada@example.com")
    db.session.add(user)
    db.session.commit()
    return user


def test_dunning(app: Flask, stripe_sandbox: Sandbox, user: Any) -> None:
    """The example of the documentation."""
    checkout = kavach_stripe.create_checkout_session(user, "price_pro")
    stripe_sandbox.pay(checkout.id, card="4000000000000341")
    subscription = kavach_stripe.get_subscription(user)
    assert subscription is not None
    assert subscription.is_active

    stripe_sandbox.advance(days=31)
    subscription = kavach_stripe.get_subscription(user)
    assert subscription is not None
    assert not subscription.is_active


def test_webhooks_wait_for_the_end_of_a_request(
    app: Flask, stripe_sandbox: Sandbox, user: Any
) -> None:
    """A view that calls Stripe is not called by Stripe meanwhile."""
    during: list[int] = []

    def view() -> str:
        kavach_stripe.create_customer(user.id)
        event_id = stripe_sandbox.events[-1]["id"]
        during.append(len(stripe_sandbox.attempts(event_id)))
        return "done"

    app.add_url_rule("/customer", view_func=view)
    assert app.test_client().get("/customer").status_code == 200
    stripe_sandbox.deliver()
    (event,) = [e for e in stripe_sandbox.events if e["type"] == "customer.created"]
    assert during == [0]
    assert [a.status for a in stripe_sandbox.attempts(event["id"])] == [200]


def test_handler_that_fails_is_reported_and_retried(
    app: Flask, stripe_sandbox: Sandbox, user: Any
) -> None:
    calls: list[str] = []

    def welcome(event: Any) -> None:
        calls.append(event.id)

        if len(calls) == 1:
            raise RuntimeError("No mail server.")

    app.extensions["kavach_stripe"].registry.on("checkout.session.completed")(welcome)
    checkout = kavach_stripe.create_checkout_session(user, "price_pro")

    with pytest.raises(
        UndeliveredError, match=r"checkout\.session\.completed \(evt_\w+\): status 500"
    ) as caught:
        stripe_sandbox.pay(checkout.id)

    (attempt,) = caught.value.attempts
    assert attempt.event_type == "checkout.session.completed"
    stripe_sandbox.deliver()
    stripe_sandbox.deliver()
    assert len(calls) == 2


def test_fault_is_no_failure_of_the_app(
    app: Flask, stripe_sandbox: Sandbox, user: Any
) -> None:
    stripe_sandbox.faults.add("wrong_secret")
    stripe_sandbox.faults.add("timeout", "GET /v1/subscriptions/*", times=3)
    checkout = kavach_stripe.create_checkout_session(user, "price_pro")
    stripe_sandbox.pay(checkout.id)
    stripe_sandbox.deliver()
    assert kavach_stripe.get_subscription(user) is not None


def test_uncommitted_changes_are_there_for_the_webhook(
    app: Flask, stripe_sandbox: Sandbox, db: SQLAlchemy, user: Any
) -> None:
    checkout = kavach_stripe.create_checkout_session(user, "price_pro")
    user.email = "new@example.com"
    seen: list[str] = []

    def look(event: Any) -> None:
        seen.append(event.user.email)
        event.user.email = "newer@example.com"

    app.extensions["kavach_stripe"].registry.on("customer.subscription.created")(look)
    stripe_sandbox.pay(checkout.id)
    assert seen == ["new@example.com"]
    assert user.email == "newer@example.com"


def test_what_a_webhook_wrote_is_there_for_the_test(
    app: Flask, stripe_sandbox: Sandbox, db: SQLAlchemy, user: Any
) -> None:
    """Also where a commit does not make the session read anew."""
    db.session().expire_on_commit = False
    checkout = kavach_stripe.create_checkout_session(user, "price_pro")
    assert user.stripe_subscription_status is None
    stripe_sandbox.pay(checkout.id)
    assert user.stripe_subscription_status == "active"


def test_webhook_has_an_app_context_of_its_own(
    app: Flask, stripe_sandbox: Sandbox, user: Any
) -> None:
    g.of_the_test = True
    seen: list[bool] = []
    registry = app.extensions["kavach_stripe"].registry
    registry.on("customer.created")(lambda event: seen.append("of_the_test" in g))
    kavach_stripe.create_customer(user)
    stripe_sandbox.deliver()
    assert seen == [False]


@pytest.mark.parametrize("api_version", ["2024-12-18.acacia", "2025-03-31.basil"])
def test_webhooks_of_an_older_version(
    app: Flask, user: Any, db: SQLAlchemy, api_version: str
) -> None:
    seen: list[str] = []
    registry = app.extensions["kavach_stripe"].registry
    registry.on("*")(lambda event: seen.append(event.api_version))

    with connect(app, Sandbox(), api_version=api_version) as sandbox:
        checkout = kavach_stripe.create_checkout_session(user, "price_pro")
        sandbox.pay(checkout.id)

    subscription = kavach_stripe.get_subscription(user)
    assert subscription is not None
    assert subscription.price == "pro"
    assert set(seen) == {api_version}


def test_app_without_the_extension() -> None:
    with (
        pytest.raises(RuntimeError, match="forget to call 'init_app'"),
        connect(Flask("bare"), Sandbox()),
    ):
        raise AssertionError("It was connected.")


def test_event_that_cannot_be_signed(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match="'STRIPE_WEBHOOK_SECRET' is not set"):
        post_event(app.test_client(), make_event("price.created", {}))


def test_sandbox_of_another_app(app: Flask, stripe_sandbox: Sandbox) -> None:
    with (
        pytest.raises(SandboxError, match="connected to an app already"),
        connect(app, stripe_sandbox),
    ):
        raise AssertionError("It was connected.")


def test_connection_ends_as_it_began(app: Flask) -> None:
    state = app.extensions["kavach_stripe"]
    before = state.settings, state.client, state.webhook_client.timeout
    sandbox = Sandbox()

    with connect(app, sandbox):
        assert state.client is not before[1]
        assert state.settings.livemode is False
        assert state.webhook_client.max_network_retries == 0

    after = state.settings, state.client, state.webhook_client.timeout
    assert str(after) == str(before)
    assert app.config["SERVER_NAME"] is None
    sandbox.create_price("price_later")
    sandbox.deliver()
    assert sandbox.attempts(sandbox.events[-1]["id"]) == []


def test_app_with_secrets_of_its_own_keeps_them(app: Flask) -> None:
    state = app.extensions["kavach_stripe"]
    state.settings = replace(state.settings, webhook_secrets=("whsec_a", "whsec_b"))

    with connect(app, Sandbox()) as sandbox:
        assert state.settings.webhook_secrets == ("whsec_a",)
        sandbox.create_price("price_later")
        sandbox.deliver()
        (attempt,) = sandbox.attempts(sandbox.events[-1]["id"])

    assert attempt.status == 200
    assert state.settings.webhook_secrets == ("whsec_a", "whsec_b")


def test_prices_of_the_app_can_be_bought(app: Flask) -> None:
    with connect(app, Sandbox()) as sandbox:
        names = app.extensions["kavach_stripe"].client.get("/v1/prices")["data"]

    assert [price["id"] for price in names] == ["price_pro"]

    with connect(app, sandbox):  # they are there already
        pass


def test_prices_of_the_app_cost_what_the_test_says(app: Flask) -> None:
    with connect(app, Sandbox(), amounts={"pro": 2900}):
        price = app.extensions["kavach_stripe"].client.get("/v1/prices/price_pro")

    assert price["unit_amount"] == 2900


def test_amount_for_an_unknown_name(app: Flask) -> None:
    message = r"amount for 'team', but the prices of the app are 'pro'\."

    with (
        pytest.raises(ValueError, match=message),
        connect(app, Sandbox(), amounts={"team": 2900}),
    ):
        raise AssertionError("It was connected.")


def test_nothing_leaves_the_process(
    app: Flask, stripe_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("A socket was opened.")

    monkeypatch.setattr("socket.socket.connect", refuse)
    client = app.extensions["kavach_stripe"].client
    assert client.base_url == "https://api.stripe.com"
    assert client.get("/v1/prices/price_pro")["id"] == "price_pro"


def test_fixtures_are_asked_for_by_name_only() -> None:
    """Neither pytest nor the sandbox is loaded by an app that starts."""
    code = (
        "import sys, flask_kavach_stripe.testing;"
        "print([n for n in ('pytest', 'flask_kavach_stripe.sandbox')"
        " if n in sys.modules])"
    )
    run = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert run.stdout == "[]\n", run.stderr
