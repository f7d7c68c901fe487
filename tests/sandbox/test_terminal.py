"""``flask stripe sandbox``."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import testing
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
APP = """
from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import KavachStripe

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
app.config["STRIPE_PRICES"] = {"team": "price_team"}
SQLAlchemy(app)
LoginManager(app)
KavachStripe(app)
"""


@pytest.fixture
def runner() -> Any:
    app = Flask("app")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    SQLAlchemy(app)
    LoginManager(app)
    KavachStripe(app)
    return app.test_cli_runner()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "shop.py").write_text(APP)
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "flask", "--app", "shop", "stripe", "sandbox"]
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and code)
            [*command, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what runs in the background deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        running.append(process)
        return process

    yield run

    for process in running:
        process.kill()
        process.communicate()


def read_exports(process: Any) -> dict[str, str]:
    exports: dict[str, str] = {}

    for line in process.stdout:
        if match := re.fullmatch(r"export (\w+)=(\S+)\n", line):
            exports[match[1]] = match[2]
        elif exports and line == "\n":
            return exports

    raise AssertionError(process.stderr.read())


def test_sandbox_in_a_terminal(terminal: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as app:
        address = f"127.0.0.1:{app.getsockname()[1]}"
        process = terminal("--port", "0", "--forward-to", f"{address}/hook")
        exports = read_exports(process)
        assert exports["STRIPE_SECRET_KEY"] == "sk_test_sandbox"
        assert exports["STRIPE_WEBHOOK_SECRET"] == "whsec_sandbox"
        url = exports["STRIPE_API_BASE"]
        headers = {"Authorization": "Bearer sk_test_sandbox"}
        prices = requests.get(f"{url}/v1/prices", headers=headers, timeout=10).json()
        assert [price["id"] for price in prices["data"]] == ["price_team"]
        endpoints = requests.get(
            f"{url}/v1/webhook_endpoints", headers=headers, timeout=10
        )
        (endpoint,) = endpoints.json()["data"]
        assert endpoint["url"] == f"http://{address}/hook"

        requests.post(f"{url}/v1/customers", headers=headers, timeout=10)
        connection, _ = app.accept()

        with connection:
            received = b""

            while not received.endswith(b"}"):
                received += connection.recv(10_000)

            assert received.startswith(b"POST /hook HTTP/1.1")
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        lines = (line for line in process.stdout if "customer.created" in line)
        assert re.search(r"customer\.created \[evt_\w+\] -> 200\n", next(lines))

    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output.strip(), errors) == (0, "", "")


def test_port_that_is_taken_is_one_sentence(runner: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = runner.invoke(args=["stripe", "sandbox", "--port", str(port)])

    assert result.exit_code == 1
    assert re.fullmatch(
        rf"Error: The sandbox cannot listen on port {port} of 127\.0\.0\.1: another"
        r" program uses it already\. .*\n",
        result.output,
    )


def test_url_that_is_none_is_one_sentence(runner: Any) -> None:
    result = runner.invoke(args=["stripe", "sandbox", "--forward-to", "ftp://x"])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: .*URL.*\n", result.output)


def test_webhooks_go_to_this_app_by_default(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "flask_kavach_stripe.sandbox.terminal.serve",
        lambda **arguments: calls.append(arguments),
    )
    result = runner.invoke(args=["stripe", "sandbox"])
    assert result.exit_code == 0, result.output
    assert calls == [
        {
            "port": 12111,
            "forward_to": "http://127.0.0.1:5000/auth/stripe/webhook",
            "seed": None,
            "prices": {"price_pro": "pro"},
        }
    ]


def test_command_is_not_loaded_before_it_runs() -> None:
    code = (
        "import sys, flask_kavach_stripe, flask_kavach_stripe.cli.sandbox;"
        "print(*sorted(sys.modules))"
    )
    run = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    modules = run.stdout.split()
    assert "flask_kavach_stripe.cli.sandbox" in modules
    assert "flask_kavach_stripe.sandbox" not in modules


def test_testing_is_the_door_to_the_sandbox() -> None:
    assert (testing.Sandbox, testing.Clock) == (Sandbox, Clock)

    with pytest.raises(AttributeError, match="has no attribute 'Sandbocks'"):
        testing.Sandbocks  # type: ignore[attr-defined]  # noqa: B018  (the mistake)


def test_samples_do_not_load_the_sandbox() -> None:
    code = "import sys, flask_kavach_stripe.testing; print(*sys.modules)"
    run = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    modules = run.stdout.split()
    assert "flask_kavach_stripe.testing.samples" in modules
    assert "flask_kavach_stripe.sandbox" not in modules
