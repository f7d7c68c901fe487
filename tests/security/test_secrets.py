"""Secrets appear nowhere: not in an answer, a log line at the lowest level, a repr, an
error or its traceback, whatever goes wrong.

Stripe is a server on a real socket, so that ``urllib3`` logs what it always logs. In
each of its errors it repeats the key that it was sent.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.errors import ConfigurationError
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import sign_payload
from tests.vocabulary import flashed

WEBHOOK = "/auth/stripe/webhook"
API_KEY = "sk_test_Qx7vLk2ZpWn8RtYb4MdJ"
WEBHOOK_SECRETS = ["whsec_Hc9sTgUe3VfKzPq6", "whsec_Nj5wXbGyDm1LrAo2"]
#: Also what the idempotency keys of customers are derived with.
SECRET_KEY = "Ev8kBhSi0CuOfZl3JxTqRw"

#: Nine letters of a secret are as bad as all of them.
LENGTH = 9
PREFIXES = ("sk_test_", "whsec_")


def pieces() -> set[str]:
    found = set()

    for secret in (API_KEY, *WEBHOOK_SECRETS, SECRET_KEY):
        for prefix in PREFIXES:
            secret = secret.removeprefix(prefix)

        found |= {secret[i : i + LENGTH] for i in range(len(secret) - LENGTH + 1)}

    return found


def assert_silent(text: str) -> None:
    told = sorted(piece for piece in pieces() if piece in text)
    assert told == [], text[max(0, text.index(told[0]) - 200) :][:400]


# -- a Stripe that fails ---------------------------------------------------------------


class FailingStripe(ThreadingHTTPServer):
    """Answers everything in the one way that it is told."""

    daemon_threads = True
    mode: str = "ok"
    received = 0


class Handler(BaseHTTPRequestHandler):
    server: FailingStripe

    def answer(self) -> None:
        self.server.received += 1
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.headers["Authorization"] + self.rfile.read(length).decode()
        MODES[self.server.mode](self, sent)

    do_GET = do_POST = do_DELETE = answer

    def say(self, status: int, body: Any, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Request-Id", "req_1")

        for name, value in headers.items():
            self.send_header(name, value)

        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Keep the terminal quiet."""


def error(status: int, **fields: str) -> Callable[[Handler, str], None]:
    """An error as Stripe sends it, all of whose texts repeat the key."""

    def answer(handler: Handler, sent: str) -> None:
        names = ("message", "code", "param", "type", "decline_code")
        body = {name: fields.get(name) or f"no {sent} here" for name in names}
        handler.say(status, {"error": body})

    return answer


def hang_up(handler: Handler, sent: str) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(handler: Handler, sent: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.connection.shutdown(socket.SHUT_RDWR)


def be_slow(handler: Handler, sent: str) -> None:
    time.sleep(0.6)  # the app waits for 0.2 seconds


MODES: dict[str, Callable[[Handler, str], None]] = {
    "invalid request": error(400),
    "idempotency": error(400, type="idempotency_error"),
    "authentication": error(401),
    "card": error(402),
    "permission": error(403),
    "missing": error(404, code="resource_missing", param="customer"),
    "missing session": error(404, code="resource_missing", param="id"),
    "conflict": error(409),
    "rate limit": error(429),
    "server": error(500),
    "OAuth": lambda handler, sent: handler.say(
        400, {"error": sent, "error_description": sent}
    ),
    "HTML": lambda handler, sent: handler.say(502, f"<h1>{sent}</h1>".encode()),
    "HTML with 200": lambda handler, sent: handler.say(200, f"<p>{sent}".encode()),
    "list": lambda handler, sent: handler.say(200, [sent]),
    "another object": lambda handler, sent: handler.say(200, {"id": 7, "data": 1}),
    "redirect": lambda handler, sent: handler.say(
        302, b"", Location=f"http://127.0.0.1:1/?{sent}".replace(" ", "+")
    ),
    "hangs up": hang_up,
    "breaks off": break_off,
    "slow": be_slow,
}


#: Those that the plain ``pytest`` tries.
QUICK = ("invalid request", "authentication", "HTML", "hangs up")


@pytest.fixture(scope="module")
def stripe() -> Iterator[FailingStripe]:
    with FailingStripe(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# -- who listens -----------------------------------------------------------------------


class Listener:
    """Keeps whatever anybody could read."""

    def __init__(self, shop: Any, logs: pytest.LogCaptureFixture) -> None:
        self.shop = shop
        self.logs = logs
        self.heard: list[str] = []

    def hear_error(self, caught: BaseException) -> None:
        self.heard += [str(caught), repr(caught), repr(caught.args)]
        self.heard += traceback.format_exception(caught)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """A helper, in an app context of its own."""
        with self.shop.app.app_context():
            try:
                self.heard.append(repr(function(*args, **kwargs)))
            except Exception as caught:
                self.hear_error(caught)

    def post(self, *args: Any, user: int | None = 1, **kwargs: Any) -> int:
        browser = self.shop.browser(user)
        answer = browser.post(*args, **kwargs)
        self.heard += [answer.text, str(answer.headers), repr(flashed(browser))]
        return int(answer.status_code)

    def run(self, *command: str) -> int:
        result = self.shop.app.test_cli_runner().invoke(args=["stripe", *command])
        self.heard += [result.output, repr(result.exception)]
        return int(result.exit_code)

    def check(self) -> None:
        assert self.logs.records
        assert_silent("\n".join([*self.heard, self.logs.text]))


@pytest.fixture
def listener(
    keep_shop: Any, stripe: FailingStripe, caplog: pytest.LogCaptureFixture
) -> Listener:
    for name in ("", "sqlalchemy.engine", "sqlalchemy.pool", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, name)

    shop = keep_shop(
        SECRET_KEY=SECRET_KEY,
        STRIPE_SECRET_KEY=API_KEY,
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRETS,
        STRIPE_API_BASE=f"http://127.0.0.1:{stripe.server_port}",
        STRIPE_PRICES={"pro": "price_pro"},
        STRIPE_TIMEOUT=0.2,
    )
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    shop.add_user(email="bob@example.com")
    return Listener(shop, caplog)


# -- what goes wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=() if mode in QUICK else pytest.mark.slow)
        for mode in MODES
    ],
)
def test_errors_of_stripe_tell_no_secret(
    listener: Listener, stripe: FailingStripe, mode: str
) -> None:
    stripe.mode, stripe.received = mode, 0
    shop, kavach_stripe = listener.shop, listener.shop.kavach_stripe

    for user in (1, 2):
        for kind in ("json", "data"):
            fields = {kind: {"price": "pro"}}
            status = listener.post("/auth/stripe/checkout", user=user, **fields)
            assert status == 303 if kind == "data" else status >= 400

    listener.post("/auth/stripe/portal", json={"returnUrl": "/"})
    listener.call(kavach_stripe.sync_subscription, 1)
    listener.call(kavach_stripe.complete_checkout, "cs_test_1", 1)
    listener.call(kavach_stripe.create_customer, 2)

    with shop.app.app_context():
        client = kavach_stripe.client

    for method in (client.get, client.post, client.delete):
        listener.call(method, "/v1/customers/cus_1", {"email": "ada@example.com"})

    listener.call(client.post, "/v2/core/events", {"a": 1}, idempotency_key="k")
    listener.call(lambda: list(client.paginate("/v1/subscriptions")))
    event = make_event(
        "checkout.session.completed",
        make_checkout_session(customer="cus_ada", subscription="sub_1"),
    )
    answer = shop.post_event(event)
    listener.heard.append(answer.text)
    listener.run("doctor")

    assert stripe.received > 10
    assert "127.0.0.1" in listener.logs.text  # urllib3 has logged
    listener.check()


def test_stripe_that_is_not_there_tells_no_secret(
    listener: Listener, make_shop: Any
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]

    for base in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}"):
        listener.shop = make_shop(
            SECRET_KEY=SECRET_KEY,
            STRIPE_SECRET_KEY=API_KEY,
            STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRETS,
            STRIPE_API_BASE=base,
        )
        listener.shop.add_user(stripe_customer_id="cus_ada")
        assert listener.post("/auth/stripe/portal", json={"returnUrl": "/"}) == 503
        listener.call(listener.shop.kavach_stripe.sync_subscription, 1)
        assert listener.run("doctor") == 1

    listener.check()


def test_refused_webhooks_tell_no_secret(listener: Listener) -> None:
    body = json.dumps(make_event("invoice.paid", {"id": "in_1"})).encode()
    good = sign_payload(body, WEBHOOK_SECRETS[1])
    headers = [
        "",
        "t",
        "v1=0",
        good.upper(),
        good[:-1],
        good.replace("v1", "v0"),
        good + ",t=1",
        good + ",\xe9=1",
        sign_payload(body, API_KEY),
        sign_payload(body, WEBHOOK_SECRETS[0], timestamp=1),
        sign_payload(body, WEBHOOK_SECRETS[0], timestamp=2_000_000_000_0),
        good + ",v1=0" * 5000,
    ]

    for header in headers:
        sent = {"Stripe-Signature": header}
        assert listener.post(WEBHOOK, data=body, headers=sent, user=None) == 400

    for odd in (b"", b"[]", b"\xff", b"[" * 100_000):
        sent = {"Stripe-Signature": sign_payload(odd, WEBHOOK_SECRETS[0])}
        assert listener.post(WEBHOOK, data=odd, headers=sent, user=None) == 400

    listener.call(listener.shop.kavach_stripe.handle_webhook, body, "t=1,v1=0")
    listener.check()


def test_failing_handler_tells_no_secret(listener: Listener) -> None:
    shop = listener.shop

    def fail(event: Any) -> None:
        raise LookupError("the app's own fault")

    shop.kavach_stripe.on("invoice.paid")(fail)
    event = make_event("invoice.paid", {"id": "in_1", "customer": "cus_ada"})
    assert shop.post_event(event).status_code == 500
    assert listener.run("trigger", "invoice.paid", "--user", "1") == 1
    body = json.dumps({**event, "id": "evt_2"}).encode()
    signature = sign_payload(body, WEBHOOK_SECRETS[0])
    listener.call(shop.kavach_stripe.handle_webhook, body, signature)
    listener.heard += [str(row.error) for row in shop.events]
    assert "the app's own fault" in "".join(listener.heard)
    listener.check()


@pytest.mark.slow
@pytest.mark.parametrize("table", ["users", "stripe_event", "stripe_subscription"])
def test_failing_database_tells_no_secret(
    listener: Listener, make_shop: Any, stripe: FailingStripe, table: str
) -> None:
    listener.shop = shop = make_shop(
        SECRET_KEY=SECRET_KEY,
        STRIPE_SECRET_KEY=API_KEY,
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRETS,
        STRIPE_API_BASE=f"http://127.0.0.1:{stripe.server_port}",
        PROPAGATE_EXCEPTIONS=False,
    )
    shop.kavach_stripe.on("*")(lambda event: None)
    shop.add_user(stripe_customer_id="cus_ada")
    browser = shop.browser(1)

    with shop.app.app_context(), shop.db.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {table}")

    for path in ("checkout", "portal"):
        answer = browser.post(f"/auth/stripe/{path}", json={"returnUrl": "/"})
        listener.heard.append(answer.text)

    event = make_event(
        "customer.subscription.updated", make_subscription(customer="cus_ada")
    )
    answer = shop.post_event(event)
    assert answer.status_code == 500
    listener.heard.append(answer.text)
    listener.call(shop.kavach_stripe.list_subscriptions, 1)
    assert listener.run("doctor") == 1
    assert listener.run("trigger", "customer.subscription.updated", "--user", "1") == 1
    listener.check()


def test_commands_tell_no_secret(listener: Listener, stripe: FailingStripe) -> None:
    logging.getLogger("tests").debug("Somebody listens.")

    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert listener.run("sandbox", "--port", port) == 1

    assert listener.run("trigger", "Not A Type") == 2
    assert listener.run("trigger", "invoice.paid", "--user", "999") == 1
    assert listener.run("doctor", "--help") == 0
    listener.check()


@pytest.mark.parametrize(
    "config",
    [
        {"STRIPE_SECRET_KEY": [API_KEY]},
        {"STRIPE_SECRET_KEY": {"key": API_KEY}},
        {"STRIPE_SECRET_KEY": API_KEY.encode()},
        {"STRIPE_SECRET_KEY": API_KEY[:20] + "\n" + API_KEY[20:]},
        {"STRIPE_SECRET_KEY": f"\N{ZERO WIDTH SPACE}{API_KEY}"},
        {"STRIPE_SECRET_KEY": API_KEY.replace("sk_", "pk_")},
        {"STRIPE_SECRET_KEY": WEBHOOK_SECRETS[0]},
        {"STRIPE_WEBHOOK_SECRET": {"main": WEBHOOK_SECRETS[0]}},
        {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRETS[0].encode()},
        {"STRIPE_WEBHOOK_SECRET": [WEBHOOK_SECRETS[0], None]},
        {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRETS[0] + "\ud800"},
        {"STRIPE_API_BASE": f"https://{API_KEY}:@api.stripe.com"},
        {"STRIPE_API_BASE": f"https://{API_KEY}@api.stripe.com/?x"},
        {"STRIPE_TIMEOUT": 0},
    ],
)
def test_wrong_configuration_tells_no_secret(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("wrong")
    defaults = {
        "SECRET_KEY": SECRET_KEY,
        "SQLALCHEMY_DATABASE_URI": "sqlite://",
        "STRIPE_SECRET_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRETS,
    }
    app.config.update({**defaults, **config})

    with pytest.raises(ConfigurationError) as caught:
        KavachStripe(app, SQLAlchemy(app))

    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert_silent(text + caplog.text)


def test_reprs_tell_no_secret(listener: Listener) -> None:
    shop = listener.shop
    state = shop.app.extensions["kavach_stripe"]

    with shop.app.app_context():
        client = shop.kavach_stripe.client

    for thing in (
        state,
        vars(state),
        state.settings,
        client,
        client.with_options(timeout=1),
        state.webhook_client,
        shop.kavach_stripe,
        vars(shop.kavach_stripe),
        shop.app.extensions,
        shop.app,
    ):
        assert_silent(f"{thing!r} {thing!s}")


def test_pieces_of_a_secret_are_recognised() -> None:
    """The test of the test."""
    for text in (API_KEY, API_KEY[-10:], f"x{SECRET_KEY[3:15]}x", WEBHOOK_SECRETS[1]):
        with pytest.raises(AssertionError):
            assert_silent(text)

    assert_silent("sk_test_ and whsec_ are no secrets")
