"""What the extension makes of every version."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.versions.known_versions import VERSIONS
from flask_kavach_stripe.stripe_api.objects import read_checkout_session
from flask_kavach_stripe.stripe_api.objects import read_invoice
from flask_kavach_stripe.stripe_api.objects import read_subscription

from .conftest import Api
from .conftest import checkout_params
from .conftest import NOON
from .versions_vocabulary import Caller
from .versions_vocabulary import cancel_in_portal
from .versions_vocabulary import ENDIVE
from .versions_vocabulary import hook_url
from .versions_vocabulary import HookByUrl
from .versions_vocabulary import TRAINS

Subscribe = Callable[..., Any]


@pytest.fixture
def hook() -> HookByUrl:
    return HookByUrl()


@pytest.mark.parametrize("version", VERSIONS)
def test_extension_reads_the_same_from_every_version(
    sandbox: Sandbox, api: Api, hook: HookByUrl, subscribe: Subscribe, version: str
) -> None:
    """Each event of a subscriber's life, from the first payment to the end."""
    url = hook_url(sandbox, api, version)
    subscription = subscribe(subscription_data__trial_period_days="14")
    path = f"/v1/subscriptions/{subscription['id']}"
    sandbox.advance(days=46)
    api.post(path, {"cancel_at_period_end": "true"})
    sandbox.advance(days=31)
    assert api.get(path)["status"] == "canceled"
    sandbox.wait_idle()
    newest = {event["id"]: event["data"]["object"] for event in sandbox.events}
    kinds: set[str] = set()

    for event in hook.by_url[url]:
        old, new = event["data"]["object"], newest[event["id"]]
        kinds.add(old["object"])

        if old["object"] == "subscription":
            assert read_subscription(old) == read_subscription(new) is not None
        elif old["object"] == "invoice":
            assert read_invoice(old) == read_invoice(new)
            assert read_invoice(old).subscription_id == subscription["id"]
        elif old["object"] == "checkout.session":
            assert read_checkout_session(old) == read_checkout_session(new)

    assert {"checkout.session", "invoice", "subscription"} <= kinds


@pytest.mark.parametrize("version", [*TRAINS, "thin"])
def test_app_follows_a_subscription(make_shop: Any, version: str) -> None:
    """Webhooks of one version, while the app asks the API in the same one."""

    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        browser: FlaskClient = shop.browser()
        path = "/auth/stripe/webhook"
        return browser.post(path, data=body, headers=dict(headers)).status_code

    with Sandbox(clock=Clock(NOON), send=send, retry_delays=()) as sandbox:
        sandbox.create_price()
        api = Api(sandbox)
        customer = api.post("/v1/customers")
        is_thin = version == "thin"
        rest_version = ENDIVE if is_thin else version
        url = "https://shop.test/hook"
        secret = (
            sandbox.create_thin_destination(url)
            if is_thin
            else sandbox.create_webhook_endpoint(url, api_version=version)
        )
        shop = make_shop(
            STRIPE_SECRET_KEY=sandbox.api_key,
            STRIPE_API_BASE=sandbox.url,
            STRIPE_API_VERSION=rest_version,
            STRIPE_WEBHOOK_SECRET=secret,
        )
        shop.add_user(email="ada@example.com", stripe_customer_id=customer["id"])
        params = checkout_params(customer=customer["id"])
        session = Caller(api, rest_version).post("/v1/checkout/sessions", **params)
        paid = sandbox.pay(session["id"])
        bought = shop.columns()
        sandbox.advance(days=32)
        renewed = shop.columns()
        cancel_in_portal(sandbox, api, paid)
        assert sandbox.wait_idle()
        scheduled = shop.columns()
        sandbox.advance(days=31)
        ended = shop.columns()
        failed = [
            attempt
            for event in sandbox.events
            for attempt in sandbox.attempts(event["id"])
            if not attempt.succeeded
        ]

    assert failed == []
    assert bought == {
        "customer_id": customer["id"],
        "subscription_id": paid["subscription"],
        "subscription_status": "active",
        "price_id": "price_pro",
        "current_period_end": datetime(2026, 2, 15, 12, tzinfo=UTC),
        "cancel_at_period_end": False,
    }
    end = datetime(2026, 3, 15, 12, tzinfo=UTC)
    assert renewed == {**bought, "current_period_end": end}
    assert scheduled == {**renewed, "cancel_at_period_end": True}
    assert ended["subscription_status"] == "canceled"
    assert ended["cancel_at_period_end"] is False
