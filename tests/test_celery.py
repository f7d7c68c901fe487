"""``examples/celery`` loses no handler's work when workers die.

With a real Redis.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import closing
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.stripe_api.signatures import sign_payload
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from tests import servers
from tests.programs import PATIENCE
from tests.programs import Program
from tests.programs import running

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SECRET = "whsec_of_the_tests"
ADDRESS = r"(http://127\.0\.0\.1:\d+)"

#: The example with troubles, each as long as there is a file of its name.
APP = """
import os, signal, time
from pathlib import Path
from examples.celery.app import app, celery_app, db, kavach_stripe

folder = Path(__file__).parent
state = app.extensions["kavach_stripe"]
enqueue = state.enqueue

def has(trouble):
    return (folder / trouble).exists()

def enqueue_in_trouble(event_id):
    if has("dies before enqueue"):
        os.kill(os.getpid(), signal.SIGKILL)
    enqueue(event_id)

state.enqueue = enqueue_in_trouble

@kavach_stripe.on("invoice.paid")
def suffer(event):
    db.session.flush()  # the mail of the example is written, not committed
    print(f"began in {os.getpid()}")
    while has("waits"):
        time.sleep(0.02)
    if has("fails"):
        raise LookupError("no template")
    print(f"ended {event.id}")
"""


#: Lets Redis look often for tasks of dead workers, and take a worker for dead soon.
IMPATIENT = {
    f"FLASK_CELERY__broker_transport_options__{option}": value
    for option, value in {
        "visibility_timeout": "2",
        "unacked_restore_interval": "1",
        "unacked_restore_throttle": "1",
    }.items()
}


class Deployment:
    """The example's processes and what they share."""

    def __init__(self, redis: servers.Server, folder: Path) -> None:
        self.redis = redis
        self.folder = folder
        self.database = folder / "celery.sqlite"
        self.app = folder / "celery_in_trouble.py"
        self.app.write_text(APP)
        self.environment = {
            "FLASK_APP": str(self.app),
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{self.database}",
            "PYTHONPATH": str(folder),
            "REDIS_URL": redis.uri,
            "STRIPE_SECRET_KEY": "sk_test_of_the_tests",
            "STRIPE_WEBHOOK_SECRET": SECRET,
        }

    def flask(self, *arguments: str) -> AbstractContextManager[Program]:
        return running("-m", "flask", *arguments, **self.environment)

    @contextmanager
    def web(self) -> Iterator[Web]:
        with self.flask("run", "--port", "0") as program:
            yield Web(program, program.wait_for(ADDRESS))

    @contextmanager
    def worker(self) -> Iterator[Program]:
        command = ("-m", "celery", "--app", "celery_in_trouble:celery_app", "worker")
        options = ("--concurrency", "1", "--loglevel", "INFO")

        with running(*command, *options, **self.environment) as program:
            program.wait_for("(ready)")
            yield program

    def begin(self, trouble: str) -> None:
        (self.folder / trouble).touch()

    def end(self, trouble: str) -> None:
        (self.folder / trouble).unlink()

    def query(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute(statement).fetchall()
            connection.commit()
            return rows

    @property
    def mails(self) -> list[Any]:
        return self.query("SELECT text FROM mail")

    @property
    def ledger(self) -> list[Any]:
        """Of each event: whether it is done, the attempts, the error."""
        return self.query(
            "SELECT processed_at IS NOT NULL, attempts, error FROM stripe_event"
        )


class Web:
    """The web process, and Stripe's way into it."""

    def __init__(self, program: Program, url: str) -> None:
        self.program = program
        self.url = url

    def deliver(self, event: Any) -> requests.Response:
        body = json.dumps(event).encode()
        signature = sign_payload(body, SECRET, timestamp=int(time.time()))
        return requests.post(
            f"{self.url}/auth/stripe/webhook",
            data=body,
            headers={"Stripe-Signature": signature},
            timeout=PATIENCE,
        )


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what a worker does in the database."""
    deadline = time.monotonic() + PATIENCE

    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def redis() -> Iterator[servers.Server]:
    try:
        with servers.redis() as server:
            yield server
    except servers.ServerMissing as missing:
        missing.skip()


@pytest.fixture
def deployment(redis: servers.Server, tmp_path: Path) -> Iterator[Deployment]:
    """The example with one user, Ada, who has a customer."""
    if find_spec("celery") is None:
        servers.ServerMissing("no Celery, which the extra 'celery' installs").skip()

    made = Deployment(redis, tmp_path)

    with made.flask("init-db") as program:
        assert program.wait() == 0, program.printed

    made.query(
        "INSERT INTO user (email, stripe_customer_id)"
        " VALUES ('ada@example.com', 'cus_ada')"
    )
    yield made


def paid(event_id: str = "evt_1") -> Any:
    invoice = make_invoice(customer="cus_ada", amount_paid=900)
    return make_event("invoice.paid", invoice, id=event_id)


THANKS = [("Thank you for 9.00.",)]


def test_receipt_of_a_purchase_is_sent_by_the_worker(deployment: Deployment) -> None:
    with Sandbox() as sandbox:
        sandbox.create_price("price_pro", unit_amount=900)
        deployment.environment["STRIPE_API_BASE"] = sandbox.url
        deployment.environment["STRIPE_SECRET_KEY"] = sandbox.api_key

        with (
            deployment.web() as web,
            deployment.worker() as worker,
            requests.Session() as browser,
        ):
            sandbox.create_webhook_endpoint(
                f"{web.url}/auth/stripe/webhook", secret=SECRET
            )
            browser.post(f"{web.url}/log-in", data={"email": "bob@example.com"})
            checkout = browser.post(
                f"{web.url}/auth/stripe/checkout",
                data={"price": "pro"},
                allow_redirects=False,
            )
            sandbox.pay(checkout.headers["Location"].rpartition("/")[2])
            worker.wait_for("(ended)")
            wait_until(lambda: deployment.mails == THANKS)
            page = browser.get(web.url).text

    assert "You have subscribed: active" in page
    assert "Thank you for 9.00." in page
    assert "began" not in web.program.printed


def test_task_whose_process_is_killed_is_done_by_the_next_process(
    deployment: Deployment,
) -> None:
    deployment.begin("waits")

    with deployment.web() as web, deployment.worker() as worker:
        assert web.deliver(paid()).status_code == 200
        os.kill(int(worker.wait_for(r"began in (\d+)")), signal.SIGKILL)
        assert deployment.mails == []

        deployment.end("waits")
        worker.wait_for("(ended evt_1)")
        wait_until(lambda: deployment.mails == THANKS)

    assert deployment.ledger == [(1, 1, None)]


def test_task_of_a_worker_that_is_killed_is_done_by_the_next_worker(
    deployment: Deployment,
) -> None:
    deployment.environment.update(IMPATIENT)
    deployment.begin("waits")

    with deployment.web() as web, deployment.worker() as killed:
        assert web.deliver(paid()).status_code == 200
        task_process = int(killed.wait_for(r"began in (\d+)"))
        killed.send(signal.SIGKILL)  # first, or it would see that the other one ends
        os.kill(task_process, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert deployment.mails == []

    deployment.end("waits")

    with deployment.worker() as worker:
        worker.wait_for("(ended evt_1)")
        wait_until(lambda: deployment.mails == THANKS)

    assert deployment.ledger == [(1, 1, None)]


def test_webhook_answers_503_while_redis_is_down(deployment: Deployment) -> None:
    with deployment.web() as web, deployment.worker() as worker:
        deployment.redis.crash()

        try:
            answer = web.deliver(paid())
            again = web.deliver(paid())
        finally:
            deployment.redis.start_again()

        assert answer.status_code == again.status_code == 503
        assert answer.json()["code"] == "queue_unavailable"
        assert deployment.ledger == [(0, 0, None)]

        assert web.deliver(paid()).status_code == 200
        worker.wait_for("(ended evt_1)")
        wait_until(lambda: deployment.mails == THANKS)

    assert deployment.ledger == [(1, 1, None)]


def test_webhook_does_not_wait_for_a_redis_that_gives_no_answer(
    deployment: Deployment,
) -> None:
    with deployment.web() as web:
        with deployment.redis.silenced():
            answer = web.deliver(paid())

        assert answer.status_code == 503
        assert web.deliver(paid()).status_code == 200

    with deployment.worker() as worker:
        worker.wait_for("(ended evt_1)")
        wait_until(lambda: deployment.mails == THANKS)

    assert deployment.ledger == [(1, 1, None)]


def test_events_in_the_queue_outlive_a_restart_of_redis(deployment: Deployment) -> None:
    with deployment.web() as web:
        assert web.deliver(paid()).status_code == 200
        deployment.redis.restart()

    with deployment.worker() as worker:
        worker.wait_for("(ended evt_1)")
        wait_until(lambda: deployment.mails == THANKS)


def test_event_that_was_never_enqueued_is_found_by_a_replay(
    deployment: Deployment,
) -> None:
    """The web process is killed after the event is stored."""
    deployment.begin("dies before enqueue")

    with deployment.web() as web:
        with pytest.raises(requests.ConnectionError):
            web.deliver(paid())

        assert web.program.wait() == -signal.SIGKILL

    assert deployment.ledger == [(0, 0, None)]

    with deployment.flask("stripe", "replay", "--pending") as replay:
        assert replay.wait() == 0
        assert "evt_1  processed" in replay.printed

    assert deployment.mails == THANKS

    with deployment.flask("stripe", "replay", "--pending") as replay:
        assert replay.wait() == 0
        assert "evt_1" not in replay.printed

    assert deployment.mails == THANKS


def test_handler_that_fails_is_tried_by_celery_until_it_does_not(
    deployment: Deployment,
) -> None:
    deployment.begin("fails")

    with deployment.web() as web, deployment.worker() as worker:
        assert web.deliver(paid()).status_code == 200
        wait_until(lambda: deployment.ledger[0][1] >= 2)
        assert deployment.mails == []
        assert deployment.ledger[0][2] == "LookupError: no template"
        deployment.end("fails")
        worker.wait_for("(ended evt_1)")
        wait_until(lambda: deployment.mails == THANKS)

    ((is_processed, attempts, error),) = deployment.ledger
    assert (is_processed, error) == (1, None)
    assert attempts >= 3
