"""The commands show an example, need an app, and agree with Stripe (docs/cli.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_kavach_stripe.sandbox import Sandbox
from tests.vocabulary import doctor
from tests.vocabulary import OUR_EVENTS
from tests.vocabulary import run
from tests.vocabulary import WEBHOOK


@pytest.mark.parametrize("command", ["doctor", "trigger"])
def test_help_shows_an_example(shop: Any, command: str) -> None:
    result = run(shop, command, "--help")

    assert result.exit_code == 0
    assert f"Example:\n      flask stripe {command}" in result.output


def test_without_an_app_that_is_set_up_there_is_no_command() -> None:
    result = Flask("bare").test_cli_runner().invoke(args=["stripe", "doctor"])

    assert result.exit_code == 2


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_commands_with_a_stripe_over_http(make_shop: Any, sandbox: Sandbox) -> None:
    sandbox.create_price("price_pro")
    secret = sandbox.create_webhook_endpoint(f"http://127.0.0.1:1{WEBHOOK}", OUR_EVENTS)
    shop = make_shop(
        STRIPE_SECRET_KEY=sandbox.api_key,
        STRIPE_API_BASE=sandbox.url,
        STRIPE_WEBHOOK_SECRET=secret,
        STRIPE_PRICES={"pro": "price_pro"},
    )
    user_id = shop.add_user(email="ada@example.com")

    assert {verdict for verdict, _ in doctor(shop).values()} == {"ok"}

    with shop.app.app_context():
        session = shop.kavach_stripe.create_checkout_session(
            shop.db.session.get(shop.User, user_id),
            "price_pro",
            success_url="https://shop.example/",
            cancel_url="https://shop.example/",
        )

    sandbox.pay(session.id)
    paid = next(e for e in sandbox.events if e["type"] == "checkout.session.completed")
    assert shop.post_event(paid).status_code == 200

    for event_type, status in [
        ("customer.subscription.paused", "paused"),
        ("checkout.session.completed", "active"),
    ]:
        result = run(shop, "trigger", event_type, "--user", "1")
        assert result.exit_code == 0
        assert f"-> {status}" in result.output
