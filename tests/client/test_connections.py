"""What a mock cannot show of ``StripeClient``, on real connections.

Time-outs, redirects, ``~/.netrc``, threads and forks, with a server on
127.0.0.1.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from flask_kavach_stripe.errors import APIConnectionError
from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.errors import StripeError
from flask_kavach_stripe.stripe_api.client import StripeClient
from flask_kavach_stripe.stripe_api.encoding import quote_path
from tests.client.wire import FakeClock
from tests.client.wire import http
from tests.client.wire import KEY
from tests.client.wire import Server
from tests.programs import ROOT


def test_request_on_the_wire(server: Server) -> None:
    answer = server.client().post("/v1/customers", {"metadata": {"a": "b c"}})

    assert answer == {"path": "/v1/customers"}
    (request,) = server.requests
    assert request.method == "POST"
    assert parse_qsl(request.body.decode()) == [("metadata[a]", "b c")]
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_query_on_the_wire(server: Server) -> None:
    value = "a&b=c+d %/?#é~%2E"
    server.client().get("/v1/customers", {"email": value, "expand": ["x"]})

    path, _, query = server.requests[0].path.partition("?")
    assert path == "/v1/customers"
    assert parse_qsl(query) == [("email", value), ("expand[0]", "x")]


def test_quoted_id_stays_one_segment(server: Server) -> None:
    client = server.client()

    for value in ("../../v1/payouts", "a?b#c", "a\\..\\b", "a\r\nb", "é", "%2e%2e"):
        client.get(quote_path("/v1/customers/{}", value))
        path = server.requests[-1].path
        assert path.startswith("/v1/customers/")
        assert path.count("/") == 3


def test_connection_is_used_again(server: Server) -> None:
    client = server.client()
    client.get("/v1/a")
    client.with_options(timeout=5).get("/v1/b")
    server.answers.append(http('{"error": {}}', status="404 Not Found"))

    with pytest.raises(StripeError):
        client.get("/v1/c")

    client.post("/v1/d")
    assert len({request.port for request in server.requests}) == 1


def test_closed_connection_is_opened_again(server: Server) -> None:
    server.answers += [http("{}", "Connection: close")]
    client = server.client(max_network_retries=0)
    client.get("/v1/a")
    client.get("/v1/b")

    assert len({request.port for request in server.requests}) == 2


def test_connection_closed_instead_of_an_answer(server: Server) -> None:
    server.answers += [b"", b""]
    server.client().post("/v1/customers")

    assert len(server.requests) == 3
    assert len({item.headers["Idempotency-Key"] for item in server.requests}) == 1


def test_answer_cut_off(server: Server) -> None:
    """Half an object is no answer, even if it happened to be JSON."""
    server.answers += [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{}"
    ]
    assert server.client().get("/v1/balance") == {"path": "/v1/balance"}
    assert len(server.requests) == 2


def test_no_answer_in_time(server: Server) -> None:
    server.answers += [None, None]
    clock = FakeClock()
    client = server.client(timeout=(5, 0.05), max_network_retries=1, clock=clock)
    started = time.monotonic()

    with pytest.raises(APIConnectionError, match=r"GET /v1/balance.*ReadTimeout"):
        client.get("/v1/balance", {"email": "ann@x"})

    assert time.monotonic() - started < 5
    assert len(clock.slept) == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    client = StripeClient(
        KEY, base_url=f"http://127.0.0.1:{port}", clock=FakeClock(), timeout=5
    )

    with pytest.raises(APIConnectionError, match="GET /v1/customers") as caught:
        client.get("/v1/customers", {"email": "ann@x"})

    assert "ann@x" not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_tls_error_is_not_retried(server: Server) -> None:
    """The server speaks no TLS."""
    clock = FakeClock()
    client = StripeClient(
        KEY, base_url=server.url.replace("http:", "https:"), clock=clock, timeout=5
    )

    with pytest.raises(APIConnectionError, match="SSLError"):
        client.get("/v1/balance")

    assert clock.slept == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}", id="lengths"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\nConnection: close\r\n\r\n",
            id="length",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", id="chunks"
        ),
        pytest.param(http("{}", "Content-Encoding: gzip"), id="gzip"),
        pytest.param(http("{}", "X: " + "x" * 70_000), id="long header"),
        pytest.param(http("{}", *["X: y"] * 200), id="200 headers"),
        pytest.param(http("", status="204 No Content"), id="204"),
        pytest.param(http("{}", "Location: /v1/x", status="302 Found"), id="302"),
        pytest.param(http("{}", "Location: http://[", status="302 Found"), id="302 ["),
        pytest.param(http("{}", "Location: \xff", status="302 Found"), id="302 bytes"),
        pytest.param(http("{}", status="304 Not Modified"), id="304"),
    ],
)
def test_odd_answer_is_a_stripe_error(answer: bytes, server: Server) -> None:
    server.answers += [answer]

    with pytest.raises(StripeError):
        server.client(max_network_retries=0, timeout=5).get("/v1/balance")

    assert len(server.requests) == 1


@pytest.mark.parametrize("own_session", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(
    status: int, own_session: bool, server: Server, other_server: Server
) -> None:
    """Or the key would go to whoever can make Stripe's name point elsewhere."""
    location = f"Location: {other_server.url}/v1/balance"
    server.answers += [http("{}", location, status=f"{status} Moved")]

    with requests.Session() as session:
        client = server.client(session=None if own_session else session)

        with pytest.raises(APIError) as caught:
            client.get("/v1/balance")

    assert caught.value.http_status == status
    assert len(server.requests) == 1
    assert other_server.requests == []


@pytest.mark.parametrize("own_session", [True, False])
def test_netrc_is_ignored(
    own_session: bool,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (".netrc", "_netrc"):
        path = tmp_path / name
        path.write_text("machine 127.0.0.1 login ann password hunter2\n")
        path.chmod(0o600)

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert requests.utils.get_netrc_auth(server.url) == ("ann", "hunter2")

    with requests.Session() as session:
        server.client(session=None if own_session else session).get("/v1/balance")

    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("own_session", [True, False])
def test_cookies_are_not_sent_back(own_session: bool, server: Server) -> None:
    server.answers += [http("{}", "Set-Cookie: a=b; Path=/")]

    with requests.Session() as session:
        client = server.client(session=None if own_session else session)
        client.get("/v1/a")
        client.get("/v1/b")

    assert len(server.requests) == 2
    assert all("Cookie" not in request.headers for request in server.requests)


def test_given_session_is_used_but_adds_nothing(server: Server) -> None:
    class Counting(requests.Session):
        count = 0

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            self.count += 1
            return super().send(*args, **kwargs)

    with Counting() as session:
        session.auth = ("ann", "hunter2")
        session.headers["X-Other"] = "x"
        session.cookies.set("a", "b", domain="127.0.0.1", path="/")
        client = server.client(session=session)
        client.get("/v1/a")
        client.with_options(timeout=1).get("/v1/b")
        assert session.count == 2

    for request in server.requests:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert not request.headers.keys() & {"X-Other", "Cookie"}


def test_threads_get_their_own_answers(server: Server) -> None:
    client = server.client(max_network_retries=0)
    paths = [f"/v1/customers/cus_{number}" for number in range(120)]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(client.get, paths))

    assert [answer["path"] for answer in answers] == paths
    assert len({request.port for request in server.requests}) <= 12


def test_connection_is_not_shared_across_a_fork(server: Server) -> None:
    """Parent and child would read each other's answers."""
    script = """
import os, sys
from flask_kavach_stripe.stripe_api.client import StripeClient

client = StripeClient("sk_test_1", base_url=sys.argv[1], max_network_retries=0)
client.get("/v1/parent/before")
other = client.with_options(timeout=5)
child = os.fork()

if child == 0:
    ok = other.get("/v1/child/1")["path"] == "/v1/child/1"
    ok = ok and client.get("/v1/child/2")["path"] == "/v1/child/2"
    os._exit(0 if ok else 1)

assert os.waitpid(child, 0)[1] == 0
assert client.get("/v1/parent/after")["path"] == "/v1/parent/after"
"""
    subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", script, server.url],
        check=True,
        timeout=20,
        cwd=ROOT,
    )
    ports = {request.path: request.port for request in server.requests}
    assert ports["/v1/parent/before"] == ports["/v1/parent/after"]
    assert ports["/v1/child/1"] == ports["/v1/child/2"]
    assert ports["/v1/child/1"] != ports["/v1/parent/before"]
