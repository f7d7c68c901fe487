"""Over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
import stripe
from flask import Flask
from flask import redirect
from flask import request
from werkzeug.serving import make_server
from werkzeug.serving import WSGIRequestHandler
from werkzeug.wrappers import Response

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import PortInUseError
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox import SandboxError

from .conftest import NOON

CARD = {
    "email": "ada@example.com",
    "card_number": "4242424242424242",
    "card_expiry": "12/49",
    "card_cvc": "123",
    "card_name": "Ada",
}


class QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


@pytest.fixture
def received() -> list[str]:
    return []


@pytest.fixture
def shop_url(received: list[str]) -> Iterator[str]:
    """An app that takes webhooks and checks them with Stripe's package."""
    app = Flask("shop")

    @app.post("/hook/<secret>")
    def hook(secret: str) -> str:
        event = stripe.Webhook.construct_event(
            request.get_data(), request.headers["Stripe-Signature"], secret
        )
        received.append(event.type)
        return ""

    @app.post("/moved")
    def moved() -> Response:
        return redirect("/elsewhere", 307)

    @app.post("/elsewhere")
    def elsewhere() -> str:
        received.append("elsewhere")
        return ""

    server = make_server("127.0.0.1", 0, app, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def left_over(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that run although they should have ended."""
    new = set(threading.enumerate()) - before

    for thread in new:
        thread.join(1)

    return [thread for thread in new if thread.is_alive()]


def test_start_and_stop_leave_nothing_behind() -> None:
    threads = set(threading.enumerate())
    sandbox = Sandbox().start()
    assert requests.get(f"{sandbox.url}/", timeout=5).status_code == 200
    url = sandbox.url
    sandbox.stop()
    sandbox.stop()
    assert left_over(threads) == []

    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_client_that_keeps_its_connection_leaves_no_thread() -> None:
    threads = set(threading.enumerate())

    with requests.Session() as session:
        with Sandbox() as sandbox:
            assert session.get(f"{sandbox.url}/", timeout=5).status_code == 200

        assert left_over(threads) == []


def test_sandbox_can_be_started_again() -> None:
    sandbox = Sandbox()

    for _ in range(2):
        with sandbox:
            assert requests.get(f"{sandbox.url}/", timeout=5).status_code == 200


def test_starting_twice_is_an_error() -> None:
    with Sandbox() as sandbox, pytest.raises(SandboxError, match="running already"):
        sandbox.start()


def test_port_that_is_taken_gives_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortInUseError, match=f"port {port} .* uses it already"):
            Sandbox().start(port=port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("192.0.2.1", 0)])
def test_address_that_cannot_be_had_gives_a_sentence(host: str, port: int) -> None:
    with pytest.raises(PortInUseError, match="cannot listen"):
        Sandbox().start(host, port)


def test_webhook_over_http(shop_url: str, received: list[str]) -> None:
    with Sandbox() as sandbox:
        # The secret is in the URL only because the endpoint does not know it yet.
        api = stripe.StripeClient(sandbox.api_key, base_addresses={"api": sandbox.url})
        endpoint = api.v1.webhook_endpoints.create(
            {"url": f"{shop_url}/hook/x", "enabled_events": ["*"]}
        )
        api.v1.webhook_endpoints.update(
            endpoint.id, {"url": f"{shop_url}/hook/{endpoint.secret}"}
        )
        sandbox.create_price()
        assert sandbox.wait_idle(timeout=5)

    assert received == ["product.created", "price.created"]


def test_redirect_is_a_failure_and_is_not_followed(
    shop_url: str, received: list[str]
) -> None:
    with Sandbox(retry_delays=()) as sandbox:
        sandbox.create_webhook_endpoint(f"{shop_url}/moved")
        sandbox.create_price()
        assert sandbox.wait_idle(timeout=5)
        (attempt,) = sandbox.attempts(sandbox.events[-1]["id"])

    assert (attempt.status, attempt.succeeded) == (307, False)
    assert received == []


def test_dead_endpoint_is_no_trouble() -> None:
    with socket.socket() as unused, Sandbox(retry_delays=()) as sandbox:
        unused.bind(("127.0.0.1", 0))  # taken, but nobody listens
        port = unused.getsockname()[1]
        sandbox.create_webhook_endpoint(f"http://127.0.0.1:{port}/")
        sandbox.create_price()
        assert sandbox.wait_idle(timeout=5)
        (attempt,) = sandbox.attempts(sandbox.events[-1]["id"])

    assert attempt.error == "Nobody answers at this address."


def test_checkout_waits_for_the_webhook() -> None:
    """The buyer comes back after the app knows, not before."""
    answering = threading.Event()
    order: list[str] = []

    def send(url: str, body: bytes, headers: object) -> int:
        answering.wait(5)
        order.append("webhook")
        return 200

    with Sandbox(send=send) as sandbox:
        sandbox.create_price()
        sandbox.create_webhook_endpoint(
            "http://127.0.0.1/hook", ["checkout.session.completed"]
        )
        api = stripe.StripeClient(sandbox.api_key, base_addresses={"api": sandbox.url})
        session = api.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": "price_pro", "quantity": 1}],
                "success_url": "http://127.0.0.1/ok",
            }
        )
        assert session.url is not None
        timer = threading.Timer(0.2, answering.set)
        timer.start()
        response = requests.post(
            session.url, data=CARD, allow_redirects=False, timeout=10
        )
        order.append("redirect")
        timer.join()

    assert response.status_code == 303
    assert order == ["webhook", "redirect"]


def test_stopping_does_not_wait_for_a_retry() -> None:
    def send(url: str, body: bytes, headers: object) -> int:
        return 500

    sandbox = Sandbox(send=send, retry_delays=(60.0,)).start()
    sandbox.create_webhook_endpoint("http://127.0.0.1/hook")
    sandbox.create_price()
    stopper = threading.Thread(target=sandbox.stop)
    stopper.start()
    stopper.join(3)
    assert not stopper.is_alive()


def test_there_is_one_date_and_it_is_the_clocks() -> None:
    """A client that reads the server's own one takes old answers for new."""
    with Sandbox(clock=Clock(NOON)) as sandbox:
        response = requests.get(f"{sandbox.url}/v1/customers", timeout=10)

    assert response.raw.headers.getlist("Date") == ["Thu, 15 Jan 2026 12:00:00 GMT"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("localhost:12111", 200),
        ("stripe.localhost", 200),
        ("[::1]:12111", 200),
        ("evil.test", 403),
        ("evil.test:12111", 403),
        ("127.0.0.1.evil.test", 403),
        ("127.evil.test", 403),
        ("localhost.evil.test", 403),
        ("192.168.0.1", 403),
        ("[::1", 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/customers"])
def test_name_of_another_site_that_leads_here_opens_nothing(
    host: str, status: int, path: str
) -> None:
    """A page at ``evil.test`` may read what its own name answers: its name server can
    say 127.0.0.1 when the page is there.
    """
    with Sandbox() as sandbox:
        answer = requests.get(
            sandbox.url + path,
            headers={"Authorization": f"Bearer {sandbox.api_key}", "Host": host},
            timeout=10,
        )

    assert answer.status_code == status
    assert status == 200 or sandbox.api_key not in answer.text


def test_sandbox_that_is_served_to_others_takes_any_name() -> None:
    """Names inside a network of containers, for one."""
    sandbox = Sandbox().start(host="0.0.0.0")  # noqa: S104  (for a moment)

    try:
        url = sandbox.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        answer = requests.get(url, headers={"Host": "sandbox:12111"}, timeout=10)
        assert answer.status_code == 200
    finally:
        sandbox.stop()
