from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.stripe_api.signatures import verify_signature

from .conftest import Api
from .conftest import Hook
from .conftest import NOON

Subscribe = Callable[..., Any]


def test_events_arrive_in_order(
    sandbox: Sandbox, hook: Hook, subscribe: Subscribe
) -> None:
    subscribe()
    sandbox.advance(days=31)
    generated = [event["type"] for event in sandbox.events]
    # The price was there before the endpoint.
    assert hook.types == generated[generated.index("price.created") + 1 :]


def test_signature_is_valid_now_although_the_clock_was_moved(hook: Hook) -> None:
    sandbox = Sandbox(clock=Clock(NOON), send=hook)
    secret = sandbox.create_webhook_endpoint("https://shop.test/hook")
    sandbox.advance(days=400)
    sandbox.create_price()
    sandbox.wait_idle()
    body, headers = hook.bodies[0], hook.headers[0]
    verify_signature(body, headers["Stripe-Signature"], [secret], now=time.time())
    assert hook.received[0]["created"] == NOON + 400 * 86_400
    assert headers["Content-Type"] == "application/json; charset=utf-8"


def test_endpoint_gets_only_what_it_wants(hook: Hook) -> None:
    sandbox = Sandbox(clock=Clock(NOON), send=hook)
    sandbox.create_webhook_endpoint("https://shop.test/x", ["price.created"])
    sandbox.create_price()
    sandbox.wait_idle()
    assert hook.types == ["price.created"]
    assert [event["pending_webhooks"] for event in sandbox.events] == [0, 0]


def test_failed_delivery_is_tried_again(sandbox: Sandbox, api: Api, hook: Hook) -> None:
    hook.answers = [500, 302, 200]
    api.post("/v1/customers")
    assert sandbox.wait_idle()
    event = sandbox.events[-1]
    assert hook.types == ["customer.created"] * 3
    statuses = [attempt.status for attempt in sandbox.attempts(event["id"])]
    assert statuses == [500, 302, 200]
    assert event["pending_webhooks"] == 0


def test_after_the_last_try_it_stays_undelivered(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    hook.answers = [500, 500, 500]
    api.post("/v1/customers")
    assert sandbox.wait_idle()
    assert len(hook.received) == 3
    assert sandbox.events[-1]["pending_webhooks"] == 1
    failed = api.get("/v1/events", {"delivery_success": "false"})["data"]
    assert [event["id"] for event in failed] == [sandbox.events[-1]["id"]]


def test_retry_holds_nothing_up(hook: Hook) -> None:
    sandbox = Sandbox(clock=Clock(NOON), send=hook, retry_delays=(60.0,))
    sandbox.create_webhook_endpoint("https://shop.test/hook")
    hook.answers = [500]
    sandbox.create_price()
    sandbox.advance()
    assert hook.types == ["product.created", "price.created"]


def test_exception_on_the_way_is_a_failure_with_a_reason() -> None:
    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        raise OSError("no route")

    sandbox = Sandbox(clock=Clock(NOON), send=send, retry_delays=())
    sandbox.create_webhook_endpoint("https://shop.test/hook")
    sandbox.create_price()
    sandbox.wait_idle()
    (attempt,) = sandbox.attempts(sandbox.events[-1]["id"])
    assert (attempt.status, attempt.error) == (None, "OSError: no route")
    assert not attempt.succeeded


def test_disabled_endpoint_gets_nothing_more(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    endpoint = api.get("/v1/webhook_endpoints")["data"][0]
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    assert api.post(path, {"disabled": "true"})["status"] == "disabled"
    api.post("/v1/customers")
    sandbox.wait_idle()
    assert hook.received == []


def test_endpoint_that_is_disabled_meanwhile_gets_nothing(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    api.post("/v1/customers")
    endpoint = api.get("/v1/webhook_endpoints")["data"][0]
    api.post(f"/v1/webhook_endpoints/{endpoint['id']}", {"disabled": "true"})
    sandbox.wait_idle()
    assert hook.received == []


def test_handler_may_call_the_api_while_it_is_called() -> None:
    """No lock is held while a webhook is under way."""
    seen: list[str] = []

    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        def ask() -> None:
            seen.append(Api(sandbox).get("/v1/prices/price_pro")["id"])

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(5)
        return 200

    sandbox = Sandbox(clock=Clock(NOON), send=send)
    sandbox.create_webhook_endpoint("https://shop.test/hook", ["price.created"])
    sandbox.create_price()
    assert sandbox.wait_idle()
    assert seen == ["price_pro"]


@pytest.mark.parametrize("card", ["4242424242424242", "4000000000000341"])
def test_pay_returns_after_the_webhooks(
    sandbox: Sandbox, api: Api, hook: Hook, card: str
) -> None:
    sandbox.pay(api.checkout()["id"], card)
    assert hook.types[-1] == "checkout.session.completed"
