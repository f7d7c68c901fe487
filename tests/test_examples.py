"""Every app in ``examples/`` starts, sells, and stops without a word."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests

from flask_kavach_stripe.sandbox import Sandbox
from tests.programs import Program
from tests.programs import ROOT
from tests.programs import running

SAAS = ("-m", "examples.saas", "--port", "0")
CELERY = ("-m", "flask", "--app", "examples.celery.app", "run", "--port", "0")
MINIMAL = ("-m", "flask", "--app", "examples/minimal/app.py", "run", "--port", "0")
COMMANDS = {
    "celery": CELERY,
    "minimal": MINIMAL,
    "saas": (*SAAS, "--stripe-port", "0"),
}
#: What the extra ``examples`` does not install.
MARKS = {
    "celery": [
        pytest.mark.servers,
        pytest.mark.skipif(find_spec("celery") is None, reason="no Celery"),
    ]
}
ADDRESS = r"(http://127\.0\.0\.1:\d+)"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A Stripe that knows no webhook endpoint."""
    with Sandbox() as sandbox:
        sandbox.create_price("price_pro", unit_amount=900)
        sandbox.create_price("price_team", unit_amount=2900, product_name="Team")
        yield sandbox


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """What tells an app to use that Stripe, and another database than a person's."""
    return {
        "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'test.sqlite'}",
        "FLASK_STRIPE_API_BASE": sandbox.url,
        "PRICE_PRO": "price_pro",
        "PRICE_TEAM": "price_team",
        "STRIPE_SECRET_KEY": sandbox.api_key,
        "STRIPE_WEBHOOK_SECRET": "whsec_of_the_test",
    }


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def test_every_example_is_started_here() -> None:
    folders = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}

    assert folders - {"__pycache__"} == set(COMMANDS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in COMMANDS]
)
def test_example_starts_answers_and_stops(name: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'test.sqlite'}"

    with running(*COMMANDS[name], FLASK_SQLALCHEMY_DATABASE_URI=database) as program:
        answer = requests.get(program.wait_for(ADDRESS), timeout=10)
        status = program.stop()

    assert answer.status_code == 200
    assert "<h1>" in answer.text
    assert status in (0, -signal.SIGTERM)
    assert "Traceback" not in program.printed


def test_minimal_example_sells_without_a_webhook(
    sandbox: Sandbox, environment: dict[str, str]
) -> None:
    with running(*MINIMAL, **environment) as program, requests.Session() as browser:
        url = program.wait_for(ADDRESS)
        browser.post(f"{url}/log-in", data={"email": "ada@example.com"}, timeout=10)
        before = browser.get(f"{url}/report", timeout=10)
        checkout = browser.post(
            f"{url}/auth/stripe/checkout",
            data={"price": "pro"},
            allow_redirects=False,
            timeout=10,
        )
        session_id = checkout.headers["Location"].rpartition("/")[2]
        sandbox.pay(session_id)
        page = browser.get(f"{url}/welcome?session_id={session_id}", timeout=10)
        after = browser.get(f"{url}/report", timeout=10)

    assert before.status_code == 402
    assert "You have subscribed: active" in page.text
    assert after.text == "Only subscribers read this."


def test_saas_example_uses_the_stripe_of_the_environment(
    environment: dict[str, str],
) -> None:
    with running(*SAAS, **environment) as program:
        page = requests.get(program.wait_for(ADDRESS) + "/pricing", timeout=10)

    assert "$29" in page.text
    assert "It talks to Stripe in test mode." in program.printed
    assert "Local Stripe" not in program.printed


def assert_refused(program: Program, message: str) -> None:
    """The program ended by itself, and all that it said is one line."""
    assert program.wait() == 1
    assert program.printed == message + "\n"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        pytest.param(("--port",), "--port", id="the app's"),
        pytest.param(("--port", "0", "--stripe-port"), "--stripe-port", id="Stripe's"),
    ],
)
def test_saas_example_says_that_a_port_is_taken(
    arguments: tuple[str, ...], option: str, taken_port: str
) -> None:
    with running("-m", "examples.saas", *arguments, taken_port) as program:
        assert_refused(
            program,
            f"Port {taken_port} is taken by another program."
            f" Choose another one with {option}.",
        )


def test_saas_example_says_what_the_environment_lacks() -> None:
    with running(*SAAS, STRIPE_SECRET_KEY="sk_test_1", PRICE_PRO="price_1") as program:
        assert_refused(
            program,
            "With STRIPE_SECRET_KEY, set STRIPE_WEBHOOK_SECRET and PRICE_TEAM, too;"
            " examples/saas/__init__.py says how.",
        )


def test_saas_example_takes_no_live_key() -> None:
    with running(*SAAS, STRIPE_SECRET_KEY="sk_live_1") as program:
        assert_refused(
            program,
            "STRIPE_SECRET_KEY must be a test key, sk_test_... or rk_test_....",
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_saas_example_stops_quietly_and_leaves_no_file(number: signal.Signals) -> None:
    with running(*COMMANDS["saas"]) as program:
        port = program.wait_for(ADDRESS).rpartition(":")[2]
        database = ROOT / f"examples/saas/instance/local-{port}.sqlite"
        existed = database.exists()
        status = program.stop(number)

    assert status == 0
    assert program.printed.rstrip().endswith("Ctrl-C.")
    assert existed
    assert not database.exists()
