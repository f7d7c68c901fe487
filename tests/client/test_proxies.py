"""The way out of a company's network: proxies and certificates."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe.errors import APIConnectionError
from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import FakeClock
from tests.client.wire import KEY
from tests.client.wire import Server
from tests.programs import ROOT

#: A certificate for 127.0.0.1 that signed itself, and its key.
CERTIFICATE = Path(__file__).with_name("certificate_of_the_tests.pem")
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# An address that nobody has: RFC 2606.
STRIPE = "http://stripe.invalid"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tls_server(server: Server) -> Server:
    """A server that speaks TLS, with a certificate that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    return server


def make_client(base_url: str = STRIPE, **options: Any) -> StripeClient:
    options.setdefault("clock", FakeClock())
    return StripeClient(
        KEY, base_url=base_url, max_network_retries=0, timeout=20, **options
    )


# -- proxies ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    proxy = server.url.replace("//", "//ann:hunter2@")
    monkeypatch.setenv(name, proxy)
    make_client().post("/v1/customers", {"name": "Ada"})

    (request,) = server.requests
    assert request.path == f"{STRIPE}/v1/customers"
    assert request.headers["Proxy-Authorization"].startswith("Basic ")
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_https_is_tunnelled_so_that_the_proxy_reads_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    tunnels: list[str] = []

    def refuse(handler: Any) -> None:
        tunnels.append(handler.path)
        handler.send_error(502)

    monkeypatch.setattr(server.RequestHandlerClass, "do_CONNECT", refuse, raising=False)

    with pytest.raises(APIConnectionError, match="ProxyError"):
        make_client("https://stripe.invalid").get("/v1/balance")

    assert tunnels == ["stripe.invalid:443"]
    assert server.requests == []


def test_host_in_no_proxy_is_reached_without_one(
    server: Server, other_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", other_server.url)
    monkeypatch.setenv("http_proxy", other_server.url)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    make_client(server.url).get("/v1/balance")

    assert len(server.requests) == 1
    assert other_server.requests == []


def test_proxies_are_read_at_the_start_alone(
    server: Server, other_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(server.url)
    monkeypatch.setenv("http_proxy", other_server.url)
    client.get("/v1/a")
    client.with_options(timeout=5).get("/v1/b")
    assert len(server.requests) == 2
    assert other_server.requests == []

    client = make_client()
    monkeypatch.delenv("http_proxy")
    client.get("/v1/c")
    assert [each.path for each in other_server.requests] == [f"{STRIPE}/v1/c"]


def test_forked_process_goes_through_the_proxy_of_the_start(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    script = """
import os, sys
from flask_kavach_stripe.stripe_api.client import StripeClient

client = StripeClient("sk_test_1", base_url=sys.argv[1], max_network_retries=0)
del os.environ["http_proxy"]
child = os.fork()

if child == 0:
    client.get("/v1/child")
    os._exit(0)

assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", script, STRIPE],
        check=True,
        timeout=20,
        cwd=ROOT,
    )
    assert [each.path for each in server.requests] == [f"{STRIPE}/v1/child"]


def test_netrc_is_not_read_behind_a_proxy_either(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine stripe.invalid login ann password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", server.url)
    make_client().get("/v1/balance")
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_password_of_the_proxy_stays_out_of_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://ann:hunter2@127.0.0.1:9")
    client = make_client()

    with pytest.raises(APIConnectionError) as caught:
        client.get("/v1/balance")

    assert "hunter2" not in str(caught.value) + repr(client)


# -- certificates ----------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLES)
def test_certificates_of_the_environment_are_trusted(
    tls_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(APIConnectionError, match="SSLError"):
        make_client(tls_server.url).get("/v1/balance")

    monkeypatch.setenv(name, str(CERTIFICATE))
    client = make_client(tls_server.url)
    monkeypatch.delenv(name)  # it was read at the start
    assert client.get("/v1/balance") == {"path": "/v1/balance"}


@pytest.mark.parametrize("name", BUNDLES)
def test_certificates_that_are_not_there_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else each request would end in an error that is none of Stripe's."""
    monkeypatch.setenv(name, "/nowhere/ca.pem")

    with pytest.raises(ConfigurationError, match=rf"'{name}' names '/nowhere/ca.pem'"):
        make_client()
