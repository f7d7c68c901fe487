"""What goes wrong on demand."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from flask_kavach_stripe.errors import APIConnectionError
from flask_kavach_stripe.errors import SignatureVerificationError
from flask_kavach_stripe.errors import StripeError
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.stripe_api.client import StripeClient
from flask_kavach_stripe.stripe_api.signatures import verify_signature

from .conftest import Api
from .conftest import Hook
from .conftest import NOON

HOUR = 3600


class Waiting:
    """The time for a client that shall not really wait."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        pass


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[StripeClient]:
    with requests.Session() as session:
        sandbox.mount(session)
        yield StripeClient(sandbox.api_key, session=session, clock=Waiting())


def make_customers(api: Api, count: int) -> list[str]:
    return [api.post("/v1/customers")["id"] for _ in range(count)]


def ids(hook: Hook) -> list[str]:
    return [event["id"] for event in hook.received]


def names(hook: Hook) -> list[str]:
    return [event["data"]["object"]["id"] for event in hook.received]


# Webhooks


def test_duplicate_comes_twice(sandbox: Sandbox, api: Api, hook: Hook) -> None:
    sandbox.faults.add("duplicate")
    first, second = make_customers(api, 2)
    sandbox.deliver()
    assert names(hook) == [first, first, second]
    assert [event["pending_webhooks"] for event in sandbox.events[-2:]] == [0, 0]


def test_reordered_event_comes_later(sandbox: Sandbox, api: Api, hook: Hook) -> None:
    sandbox.faults.add("reorder")
    first, *others = make_customers(api, 12)
    sandbox.deliver()
    assert set(names(hook)) == {first, *others}
    assert names(hook)[0] == others[0]
    assert [name for name in names(hook) if name != first] == others


def test_delayed_event_waits_for_its_time(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    sandbox.faults.add("delay", seconds=2 * HOUR)
    first, second = make_customers(api, 2)
    sandbox.advance(hours=1.9)
    assert names(hook) == [second]
    sandbox.advance(hours=0.2)
    assert names(hook) == [second, first]


def test_deliver_sends_delayed_events_now(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    sandbox.faults.add("delay")
    make_customers(api, 1)
    sandbox.advance()
    assert hook.received == []
    sandbox.deliver()
    assert len(hook.received) == 1
    assert sandbox.clock.now() == NOON


def test_dropped_event_comes_with_the_retry(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    sandbox.faults.add("drop")
    make_customers(api, 1)
    sandbox.deliver()
    (received,) = hook.received
    attempts = sandbox.attempts(received["id"])
    assert [(a.status, a.fault) for a in attempts] == [(None, "drop"), (200, None)]


def test_event_that_stays_away_is_found_and_sent_again(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    sandbox.faults.add("drop", times=math.inf)
    make_customers(api, 1)
    sandbox.deliver()
    assert hook.received == []
    (lost,) = api.get("/v1/events", {"delivery_success": "false"})["data"]
    sandbox.resend(lost["id"])
    assert ids(hook) == [lost["id"]]
    assert api.get("/v1/events", {"delivery_success": "false"})["data"] == []


def test_old_version_has_the_old_shape(
    sandbox: Sandbox, api: Api, hook: Hook, subscribe: Any
) -> None:
    sandbox.faults.add("old_version", "customer.subscription.created")
    subscription = subscribe()
    (event,) = [e for e in hook.received if e["type"].endswith("subscription.created")]
    assert event["api_version"] == "2024-12-18.acacia"
    period_end = subscription["items"]["data"][0]["current_period_end"]
    assert event["data"]["object"]["current_period_end"] == period_end


def test_wrong_secret_is_followed_by_the_right_one() -> None:
    verdicts: list[str] = []

    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        try:
            verify_signature(
                body, headers["Stripe-Signature"], [secret], now=time.time()
            )
        except SignatureVerificationError:
            verdicts.append("wrong")
            return 400

        verdicts.append("right")
        return 200

    sandbox = Sandbox(clock=Clock(NOON), send=send)
    secret = sandbox.create_webhook_endpoint("https://shop.test/", ["price.created"])
    sandbox.faults.add("wrong_secret")
    sandbox.create_price()
    sandbox.deliver()
    assert verdicts == ["wrong", "right"]


def test_concurrent_deliveries_meet() -> None:
    meeting = threading.Barrier(2, timeout=5)
    seen = []

    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        meeting.wait()
        seen.append(body)
        return 200

    sandbox = Sandbox(clock=Clock(NOON), send=send)
    sandbox.create_webhook_endpoint("https://shop.test/", ["price.created"])
    sandbox.faults.add("concurrent")
    sandbox.create_price()
    sandbox.deliver()
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert sandbox.events[-1]["pending_webhooks"] == 0


def test_fault_strikes_only_what_it_is_for(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    fault = sandbox.faults.add("duplicate", "customer.*", times=2)
    sandbox.create_price("price_team")
    make_customers(api, 3)
    sandbox.deliver()
    assert hook.types == ["product.created", "price.created", *["customer.created"] * 5]
    assert (fault.hits, fault.is_over, list(sandbox.faults)) == (2, True, [])


def test_seed_repeats_a_run(api: Api) -> None:
    def run(seed: int) -> list[str]:
        hook = Hook()
        sandbox = Sandbox(seed=seed, clock=Clock(NOON), send=hook)
        sandbox.create_webhook_endpoint("https://shop.test/")

        for kind in ("duplicate", "drop", "reorder", "delay", "wrong_secret"):
            sandbox.faults.add(kind, probability=0.4)

        for number in range(20):
            sandbox.create_price(f"price_{number}")

        sandbox.deliver()
        return [event["data"]["object"]["id"] for event in hook.received]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_reading_changes_no_ids() -> None:
    ids = set()

    for reads in range(3):
        api = Api(Sandbox(clock=Clock(NOON)))
        [api.get("/v1/customers") for _ in range(reads)]
        ids.add(api.post("/v1/customers")["id"])

    assert len(ids) == 1


def test_faults_change_no_ids() -> None:
    plain, faulty = Sandbox(seed=3), Sandbox(seed=3)
    faulty.create_webhook_endpoint("https://shop.test/")
    plain.create_webhook_endpoint("https://shop.test/")
    faulty.faults.add("reorder", probability=0.5)
    assert plain.create_price()["product"] == faulty.create_price()["product"]


def test_resend_reaches_also_who_has_it(sandbox: Sandbox, api: Api, hook: Hook) -> None:
    make_customers(api, 1)
    sandbox.deliver()
    sandbox.faults.add("drop", times=math.inf)
    sandbox.resend(hook.received[0]["id"])
    assert len(hook.received) == 2


def test_resend_needs_an_event(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError):
        sandbox.resend("evt_nobody")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "earthquake"}, "'earthquake' is not one of"),
        ({"kind": "drop", "probability": 0}, "'probability' must be"),
        ({"kind": "drop", "probability": 1.1}, "'probability' must be"),
        ({"kind": "timeout", "lost": "both"}, "'lost' must be"),
        ({"kind": "drop", "times": 0}, "'times' must be"),
        ({"kind": "drop", "times": math.nan}, "'times' must be"),
        ({"kind": "delay", "seconds": -1}, "'seconds' must not be"),
        ({"kind": "old_version", "api_version": "2019"}, "Invalid Stripe API version"),
        ({"kind": "timeout", "on": "invoice.*"}, "such as 'GET /v1"),
        ({"kind": "drop", "on": "GET /v1/prices"}, r"such as 'invoice\.paid'"),
    ],
)
def test_faults_that_are_none(
    sandbox: Sandbox, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sandbox.faults.add(**arguments)


# The API


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limit", 429, "rate_limit"),
        ("lock_timeout", 429, "lock_timeout"),
        ("server_error", 500, None),
    ],
)
def test_api_answers_with_an_error(
    sandbox: Sandbox, client: StripeClient, kind: Any, status: int, code: str | None
) -> None:
    sandbox.faults.add(kind, "GET /v1/prices/*", times=3)

    with pytest.raises(StripeError) as caught:
        client.with_options(max_network_retries=0).get("/v1/prices/price_pro")

    assert (caught.value.http_status, caught.value.code) == (status, code)


def test_rate_limit_says_which_one(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults.add("rate_limit")
    answer = api.call("GET", "/v1/prices")
    assert answer.headers["Stripe-Rate-Limited-Reason"] == "global-rate"


@pytest.mark.parametrize("lost", ["answer", "request"])
@pytest.mark.parametrize("kind", ["timeout", "disconnect"])
def test_api_gives_no_answer(
    sandbox: Sandbox, client: StripeClient, kind: Any, lost: Any
) -> None:
    sandbox.faults.add(kind, "POST /v1/customers", lost=lost)
    began = time.monotonic()

    with pytest.raises(APIConnectionError):
        client.with_options(max_network_retries=0).post("/v1/customers")

    assert time.monotonic() - began < 5
    assert len(client.get("/v1/customers")["data"]) == (1 if lost == "answer" else 0)


@pytest.mark.parametrize("kind", ["timeout", "disconnect", "server_error"])
def test_retry_of_a_client_makes_one_customer(
    sandbox: Sandbox, client: StripeClient, kind: Any
) -> None:
    sandbox.faults.add(kind, times=2)
    customer = client.post("/v1/customers")
    assert [c["id"] for c in client.paginate("/v1/customers")] == [customer["id"]]


def test_other_calls_and_pages_are_not_struck(sandbox: Sandbox, api: Api) -> None:
    sandbox.faults.add("server_error", "POST *", times=math.inf)
    assert api.get("/v1/prices/price_pro")["id"] == "price_pro"
    assert api.error("POST", "/v1/customers")[0] == 500
    assert sandbox.app.test_client().get("/").status_code == 200


def test_faults_pause(sandbox: Sandbox, api: Api) -> None:
    fault = sandbox.faults.add("server_error")

    with sandbox.faults.paused():
        api.post("/v1/customers")

    assert list(sandbox.faults) == [fault]
    sandbox.faults.remove(fault)
    api.post("/v1/customers")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("disconnect", requests.ConnectionError),
        ("timeout", requests.ReadTimeout),
    ],
)
def test_served_api_gives_no_answer(kind: Any, error: type[Exception]) -> None:
    with Sandbox() as sandbox:
        sandbox.faults.add(kind)
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}

        with pytest.raises(error):
            requests.get(f"{sandbox.url}/v1/prices", headers=headers, timeout=0.2)

        answer = requests.get(f"{sandbox.url}/v1/prices", headers=headers, timeout=5)

    assert answer.status_code == 200


def test_stopping_does_not_wait_for_a_time_out() -> None:
    sandbox = Sandbox().start()
    sandbox.faults.add("timeout", seconds=60)

    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{sandbox.url}/v1/prices", timeout=0.1)

    began = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - began < 5
