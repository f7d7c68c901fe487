"""``flask stripe worker``, in processes of its own that may die."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_kavach_stripe import leave_to_worker
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests.programs import PATIENCE
from tests.programs import Program
from tests.programs import running

pytestmark = pytest.mark.slow

#: The app of the worker. Its handler writes, says so, and waits until it is let on.
APP = """
import os, time
from pathlib import Path
from flask import Flask
from flask_login import LoginManager, UserMixin
from flask_sqlalchemy import SQLAlchemy
from flask_kavach_stripe import KavachStripe, StripeUserMixin, leave_to_worker

app = Flask(__name__)
app.config["SECRET_KEY"] = "of the worker"
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URI"]
db = SQLAlchemy(app)
LoginManager(app)

class User(UserMixin, StripeUserMixin, db.Model):
    __tablename__ = "users"
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String)

class Note(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.String)

kavach_stripe = KavachStripe(app, enqueue=leave_to_worker)

@kavach_stripe.on("customer.subscription.created")
def remember(event):
    db.session.add(Note(text=event.id))
    db.session.flush()
    print("began", event.id)
    while not Path(os.environ["GATE"]).exists():
        time.sleep(0.02)
    print("ended", event.id)
"""


class Work:
    """An app with a pending event, and workers for it."""

    def __init__(self, shop: Any, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.gate = folder / "gate"
        self.database = folder / "shop0.db"
        (folder / "worker_app.py").write_text(APP)

    def post(self, event_id: str) -> None:
        subscription = make_subscription(id=f"sub_{event_id}", customer="cus_ada")
        event = make_event("customer.subscription.created", subscription, id=event_id)
        assert self.shop.post_event(event).status_code == 200

    def start(self) -> Any:
        return running(
            "-m",
            "flask",
            "--app",
            str(self.folder / "worker_app.py"),
            "stripe",
            "worker",
            "--poll",
            "0.05",
            DATABASE_URI=f"sqlite:///{self.database}",
            GATE=str(self.gate),
            STRIPE_SECRET_KEY="sk_test_of_the_tests",
        )

    def open_gate(self) -> None:
        self.gate.touch()


@pytest.fixture
def work(make_shop: Any, tmp_path: Path) -> Iterator[Work]:
    shop = make_shop()
    shop.app.extensions["kavach_stripe"].enqueue = leave_to_worker
    shop.kavach_stripe.on("customer.subscription.created")(print)  # so that it is owed
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    yield Work(shop, tmp_path)


def finish(program: Program, event_id: str) -> None:
    program.wait_for(f"(ended {event_id})")
    assert program.stop() == 0


def test_worker_that_is_killed_leaves_its_event_to_the_next(work: Work) -> None:
    work.post("evt_1")

    with work.start() as killed:
        killed.wait_for("(began evt_1)")
        killed.kill()

    assert work.shop.notes == []
    assert work.shop.events[0].processed_at is None

    work.open_gate()

    with work.start() as worker:
        finish(worker, "evt_1")

    assert work.shop.notes == ["evt_1"]
    assert work.shop.events[0].attempts == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_ends_after_the_event_that_it_is_at(
    work: Work, number: signal.Signals
) -> None:
    work.post("evt_1")

    with work.start() as worker:
        worker.wait_for("(began evt_1)")
        worker.send(number)
        work.open_gate()
        assert worker.wait() == 0
        assert "ended evt_1" in worker.printed

    assert work.shop.notes == ["evt_1"]


def test_workers_share_events(work: Work) -> None:
    work.open_gate()

    with work.start() as one, work.start() as two:
        for number in range(20):
            work.post(f"evt_{number}")

        deadline = time.monotonic() + PATIENCE

        while len(work.shop.notes) < 20 and time.monotonic() < deadline:
            time.sleep(0.05)

        assert one.stop() == two.stop() == 0

    assert sorted(work.shop.notes) == sorted(f"evt_{number}" for number in range(20))
