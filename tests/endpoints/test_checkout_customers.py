"""Checkouts of a user share one customer, even two at a time.

A customer who was deleted at Stripe is replaced.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import UTC
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import responses
from flask.testing import FlaskClient
from responses.matchers import urlencoded_params_matcher

from tests.vocabulary import assert_error
from tests.vocabulary import become
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import customer_marks
from tests.vocabulary import customer_of_other_mode
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import error_of
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import expect_list
from tests.vocabulary import expect_new_customer
from tests.vocabulary import expect_search
from tests.vocabulary import expect_unknown_customer
from tests.vocabulary import no_such_customer
from tests.vocabulary import sent_params
from tests.vocabulary import subscription


def test_customer_is_created_first(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(
        stripe_api,
        json={"id": "cus_new"},
        match=[
            urlencoded_params_matcher({"email": "ada@example.com", **customer_marks(1)})
        ],
    )
    expect_checkout_session(stripe_api, customer="cus_new")

    assert buy(newcomer).status_code == 200
    assert newcomer.columns()["customer_id"] == "cus_new"


def test_address_that_stripe_does_not_search_for_keeps_nobody_from_buying(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    refusal = error_of(code="email_invalid", param="email")
    stripe_api.get(CUSTOMERS, status=400, json=refusal)
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    expect_checkout_session(stripe_api, customer="cus_new")

    assert buy(newcomer).status_code == 200


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"body": requests.ConnectionError("down")}, 503),
        ({"status": 500, "json": error_of("api_error")}, 502),
        ({"status": 400, "json": error_of(param="limit")}, 400),
    ],
)
def test_customers_that_cannot_be_searched(
    newcomer: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
    status: int,
) -> None:
    """Else a subscriber who lost the link would be sold a second subscription."""
    stripe_api.get(CUSTOMERS, **answer)

    assert buy(newcomer).status_code == status
    assert newcomer.columns()["customer_id"] is None


def test_customer_is_kept_when_the_session_fails(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, json={"id": "cus_new"})
    stripe_api.post(CHECKOUT_SESSIONS, status=500, json=error_of("api_error"))
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    assert buy(newcomer).status_code == 502
    assert newcomer.columns()["customer_id"] == "cus_new"
    assert buy(newcomer).status_code == 200
    assert sent_params(stripe_api)["customer"] == "cus_new"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"body": requests.ConnectionError("down")}, 503),
        ({"status": 500, "json": error_of("api_error")}, 502),
        ({"json": {"object": "customer"}}, 502),
        ({"json": {"id": {}}}, 502),
    ],
)
def test_customer_that_cannot_be_created(
    newcomer: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
    status: int,
) -> None:
    expect_new_customer(stripe_api, **answer)

    assert buy(newcomer).status_code == status
    assert newcomer.columns()["customer_id"] is None


def test_customers_are_not_created_if_told_so(make_shop: Any) -> None:
    shop = make_shop(STRIPE_AUTO_CREATE_CUSTOMER=False)
    shop.add_user(email="ada@example.com")

    assert_error(buy(shop), 404, "no_customer")
    assert shop.columns()["customer_id"] is None


def test_customer_that_exists_is_used_if_none_are_created(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api)

    assert buy(ada(STRIPE_AUTO_CREATE_CUSTOMER=False)).status_code == 200


def test_deleted_customer_is_not_replaced_if_none_are_created(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())
    expect_deleted_customer(stripe_api)
    shop = ada(STRIPE_AUTO_CREATE_CUSTOMER=False)

    assert_error(buy(shop), 404, "no_customer")
    assert shop.columns()["customer_id"] is None


def idempotency_keys(stripe_api: responses.RequestsMock, url: str) -> list[str]:
    return [
        call.request.headers["Idempotency-Key"]
        for call in stripe_api.calls
        if (call.request.method, call.request.url) == ("POST", url)
    ]


def test_idempotency_key_of_a_customer_is_derived(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Same user, same parameters: same key. Anything else: another one."""
    keys = []

    for config, email in [
        ({}, "ada@example.com"),
        ({}, "ada@example.com"),
        ({}, "ada@example.org"),
        ({"SECRET_KEY": "another"}, "ada@example.com"),
    ]:
        shop = make_shop(**config)
        shop.add_user(email=email)
        expect_new_customer(stripe_api, status=400, json=error_of("x"))
        buy(shop)
        keys.append(idempotency_keys(stripe_api, CUSTOMERS)[-1])

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert not any("ada" in key or "secret" in key for key in keys)


def test_two_users_have_different_keys(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop()

    for user_id in (1, 2):
        shop.add_user(email="same@example.com")
        expect_new_customer(stripe_api, status=400, json=error_of("x"))
        shop.browser(user_id).post(CHECKOUT, json={"priceId": "p"})

    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 2


@pytest.mark.parametrize("status", [400, 404])
def test_deleted_customer_is_replaced(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, status: int
) -> None:
    shop = ada()
    become(shop, "incomplete")
    expect_list(stripe_api, subscription(status="incomplete"))
    stripe_api.post(CHECKOUT_SESSIONS, status=status, json=no_such_customer())
    expect_deleted_customer(stripe_api)
    expect_new_customer(stripe_api, json={"id": "cus_new"})
    expect_checkout_session(stripe_api, customer="cus_new")

    assert buy(shop).status_code == 200
    columns = shop.columns()
    assert columns["customer_id"] == "cus_new"
    assert columns["subscription_id"] is None
    assert columns["subscription_status"] == "canceled"
    assert [row.status for row in shop.subscriptions] == ["canceled"]


def test_replacement_has_a_key_of_its_own(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Stripe would replay the customer that is gone."""
    shop = make_shop()
    shop.add_user(email="ada@example.com")
    expect_new_customer(stripe_api, json={"id": "cus_1"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())
    expect_deleted_customer(stripe_api, "cus_1")
    expect_new_customer(stripe_api, json={"id": "cus_2"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    assert buy(shop).status_code == 200
    assert buy(shop).status_code == 200
    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 2
    assert shop.columns()["customer_id"] == "cus_2"


def test_customer_is_replaced_three_times_at_most(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()

    for number in range(1, 4):
        stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())
        expect_deleted_customer(
            stripe_api, f"cus_{number - 1}" if number > 1 else "cus_ada"
        )
        expect_new_customer(stripe_api, json={"id": f"cus_{number}"})

    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())

    assert_error(buy(shop), 400, "resource_missing")
    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 3
    assert len(set(idempotency_keys(stripe_api, CHECKOUT_SESSIONS))) == 4


def test_third_replacement_may_work(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()

    for number in range(1, 4):
        stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())
        expect_deleted_customer(
            stripe_api, f"cus_{number - 1}" if number > 1 else "cus_ada"
        )
        expect_new_customer(stripe_api, json={"id": f"cus_{number}"})

    expect_checkout_session(stripe_api, customer="cus_3")

    assert buy(shop).status_code == 200
    assert shop.columns()["customer_id"] == "cus_3"


@pytest.mark.parametrize("key", ["test", "live"])
def test_customer_of_the_other_mode_is_kept(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock, key: str
) -> None:
    shop = ada()
    become(shop, "incomplete")
    before = shop.columns()
    expect_list(stripe_api, subscription(status="incomplete"))
    answer = customer_of_other_mode(key)
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=answer)
    expect_unknown_customer(stripe_api, message=answer["error"]["message"])

    assert_error(buy(shop), 409, "unknown_customer")
    assert shop.columns() == before
    assert [row.status for row in shop.subscriptions] == ["incomplete"]


@pytest.mark.parametrize(
    "change",
    [
        {"param": "line_items[0][price]"},
        {"param": "discounts[0][coupon]"},
        {"code": "parameter_invalid"},
    ],
)
def test_other_missing_things_leave_the_customer(
    ada: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    change: dict[str, str],
) -> None:
    shop = ada()
    before = shop.columns()
    error = {**no_such_customer()["error"], **change}
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json={"error": error})

    assert_error(buy(shop), 400, error["code"])
    assert shop.columns() == before


def test_replayed_error_is_retried_once_under_a_fresh_key(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(
        stripe_api,
        status=500,
        json=error_of("api_error"),
        headers={"Idempotent-Replayed": "true"},
    )
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    expect_checkout_session(stripe_api, customer="cus_new")

    assert buy(newcomer).status_code == 200
    assert len(set(idempotency_keys(stripe_api, CUSTOMERS))) == 2
    assert sent_params(stripe_api, 0) == sent_params(stripe_api, 1)


def test_replayed_error_is_retried_only_once(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    answer = expect_new_customer(
        stripe_api,
        status=400,
        json=error_of("invalid_request_error", code="email_invalid"),
        headers={"Idempotent-Replayed": "true"},
    )

    assert_error(buy(newcomer), 400, "email_invalid")
    assert answer.call_count == 2
    assert newcomer.columns()["customer_id"] is None


class FakeStripe:
    """A server that keeps what an idempotency key made, as Stripe does."""

    def __init__(self, *, refuse_parallel: bool) -> None:
        self.refuse_parallel = refuse_parallel
        self.customers: dict[str, str] = {}
        self.session_customers: list[str] = []
        self.refusals = 0
        #: Two requests for a customer wait for each other here.
        self.meeting = threading.Barrier(2)
        self._in_flight: set[str] = set()
        self._lock = threading.Lock()

    def create_customer(self, key: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if self.refuse_parallel and key in self._in_flight:
                self.refusals += 1
                parallel = True
            else:
                self._in_flight.add(key)
                parallel = False

        try:
            self.meeting.wait(2)
        except threading.BrokenBarrierError:
            pass  # a retry, which comes alone

        if parallel:
            self.meeting.abort()
            code = "idempotency_key_in_use"
            return 409, {"error": {"type": "invalid_request_error", "code": code}}

        with self._lock:
            self._in_flight.discard(key)
            new_id = f"cus_{len(self.customers) + 1}"
            return 200, {"id": self.customers.setdefault(key, new_id)}

    def create_session(self, params: dict[str, list[str]]) -> dict[str, Any]:
        with self._lock:
            self.session_customers += params["customer"]

        return CHECKOUT_SESSION


@pytest.fixture
def run_stripe() -> Iterator[Callable[[FakeStripe], str]]:
    """Serve a fake Stripe on this machine."""
    servers: list[ThreadingHTTPServer] = []

    def run(fake: FakeStripe) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """List nothing: no customer, no subscription, no open page."""
                self.answer(200, {"object": "list", "data": [], "has_more": False})

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                params = parse_qs(self.rfile.read(length).decode())
                status: int
                body: dict[str, Any]

                if self.path == "/v1/customers":
                    status, body = fake.create_customer(self.headers["Idempotency-Key"])
                else:
                    status, body = 200, fake.create_session(params)

                self.answer(status, body)

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield run

    for server in servers:
        server.shutdown()
        server.server_close()


def buy_in_parallel(shop: Any) -> list[int]:
    browsers = [shop.browser(1) for _ in range(2)]
    statuses: list[int] = []

    def run(browser: FlaskClient) -> None:
        response = browser.post(CHECKOUT, json={"priceId": "price_pro"})
        statuses.append(response.status_code)

    threads = [threading.Thread(target=run, args=[each]) for each in browsers]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join(20)

    return statuses


@pytest.mark.parametrize("refuse_parallel", [False, True])
def test_parallel_checkouts_make_one_customer(
    make_shop: Any,
    run_stripe: Callable[[FakeStripe], str],
    refuse_parallel: bool,
) -> None:
    """Also where Stripe refuses a key that another request is using."""
    stripe = FakeStripe(refuse_parallel=refuse_parallel)
    shop = make_shop(STRIPE_API_BASE=run_stripe(stripe), STRIPE_MAX_NETWORK_RETRIES=2)
    shop.add_user(email="ada@example.com")

    assert buy_in_parallel(shop) == [200, 200]
    assert list(stripe.customers.values()) == ["cus_1"]
    assert stripe.session_customers == ["cus_1", "cus_1"]
    assert stripe.refusals == int(refuse_parallel)
    assert shop.columns()["customer_id"] == "cus_1"


def test_loser_of_a_race_uses_the_customer_of_the_winner(
    newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    """The other one asked with another e-mail address, so with another key."""

    def create(request: Any) -> tuple[int, dict[str, str], str]:
        with newcomer.app.app_context():
            newcomer.db.session.get(newcomer.User, 1).stripe_customer_id = "cus_first"
            newcomer.db.session.commit()

        return 200, {}, '{"id": "cus_second"}'

    expect_search(stripe_api)
    stripe_api.add_callback("POST", CUSTOMERS, callback=create)
    expect_checkout_session(stripe_api, customer="cus_first")

    assert buy(newcomer).status_code == 200
    assert newcomer.columns()["customer_id"] == "cus_first"


def test_ended_rows_of_a_replaced_customer_say_when(
    ada: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    shop = ada()
    become(shop, "incomplete")
    expect_list(stripe_api, subscription(status="incomplete"))
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())
    expect_deleted_customer(stripe_api)
    expect_new_customer(stripe_api, json={"id": "cus_new"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    buy(shop)

    [row] = shop.subscriptions
    assert row.customer_id == "cus_ada"
    assert row.ended_at is None or row.ended_at <= datetime.now(UTC)
