"""``flask stripe worker``, in processes of its own that may die."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from contextlib import ExitStack
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from pathlib import Path

import pytest

from flask_kavach_stripe import leave_to_worker
from flask_kavach_stripe.events.retry import DELAYS
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests import servers
from tests.conftest import Shop
from tests.databases.deliveries import Database
from tests.databases.deliveries import deliver
from tests.programs import PATIENCE
from tests.programs import Program
from tests.programs import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
]

ROW_LOCKS = pytest.mark.databases("postgresql", "mariadb")
CREATED = "customer.subscription.created"

#: The app of the worker. Its handler writes and says so. There are files that hold it,
#: or let it fail, as long as they exist.
APP = """
import os, sys, time
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
    email = db.Column(db.String(255))

class Note(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.String(255))

kavach_stripe = KavachStripe(app, enqueue=leave_to_worker)
folder = Path(__file__).parent

@kavach_stripe.on("customer.subscription.created")
def remember(event):
    db.session.add(Note(text=event.id))
    db.session.flush()
    print("began", event.id)
    while (folder / f"hold {event.id}").exists():
        time.sleep(0.02)
    if (folder / f"kill {event.id}").exists():
        sys.stdout.flush()
        os._exit(9)
    if (folder / f"fail {event.id}").exists():
        print("failed", event.id)
        raise LookupError("no template")
    print("ended", event.id)
"""


class Work:
    """An app that leaves its events to workers, and those workers."""

    def __init__(self, shop: Shop, uri: str, folder: Path) -> None:
        self.shop = shop
        self.uri = uri
        self.folder = folder
        (folder / "worker_app.py").write_text(APP)

    def post(self, event_id: str) -> None:
        subscription = make_subscription(id=f"sub_{event_id}", customer="cus_ada")
        event = make_event(CREATED, subscription, id=event_id)
        assert deliver(self.shop, event)[-1] == 200

    @contextmanager
    def start(self, *options: str) -> Iterator[Program]:
        """A worker that is ready."""
        with self.flask("worker", "--poll", "0.05", *options) as program:
            program.wait_for("(Waiting for events)")
            yield program

    def flask(self, *arguments: str) -> AbstractContextManager[Program]:
        return running(
            *("-m", "flask", "--app", str(self.folder / "worker_app.py")),
            *("stripe", *arguments),
            DATABASE_URI=self.uri,
            STRIPE_SECRET_KEY="sk_test_of_the_tests",
        )

    def hold(self, event_id: str) -> None:
        """Have the handler wait, with its row written and not committed."""
        (self.folder / f"hold {event_id}").touch()

    def release(self, event_id: str) -> None:
        (self.folder / f"hold {event_id}").unlink()

    def fail(self, event_id: str) -> None:
        """Have the handler raise."""
        (self.folder / f"fail {event_id}").touch()

    def kill(self, event_id: str) -> None:
        """Have the handler end its process."""
        (self.folder / f"kill {event_id}").touch()

    def mend(self, event_id: str) -> None:
        (self.folder / f"fail {event_id}").unlink()

    def age(self, **by: float) -> None:
        """Let the last attempt at each event be longer ago."""
        model = self.shop.app.extensions["kavach_stripe"].event_model

        with self.shop.app.app_context():
            self.shop.db.session.execute(
                self.shop.db.update(model).values(
                    attempted_at=datetime.now(UTC) - timedelta(**by)
                )
            )
            self.shop.db.session.commit()

    def attempts(self) -> dict[str, int]:
        return {event.id: event.attempts for event in self.shop.events}

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what workers do in the database."""
        deadline = time.monotonic() + PATIENCE

        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def give_to_workers(shop: Shop) -> None:
    shop.app.extensions["kavach_stripe"].enqueue = leave_to_worker
    shop.kavach_stripe.on(CREATED)(print)  # so that something is owed


@pytest.fixture
def work(shop: Shop, database: Database, tmp_path: Path) -> Iterator[Work]:
    give_to_workers(shop)
    yield Work(shop, database.uri, tmp_path)
    shop.app.extensions["kavach_stripe"].enqueue = None


def test_worker_that_is_killed_leaves_its_event_to_the_next(work: Work) -> None:
    work.post("evt_1")
    work.hold("evt_1")

    with work.start() as killed:
        killed.wait_for("(began evt_1)")
        killed.kill()

    assert work.shop.notes == []
    assert work.shop.events[0].processed_at is None
    assert work.attempts() == {"evt_1": 1}  # the attempt has counted

    work.release("evt_1")
    work.age(minutes=1)

    with work.start() as worker:
        worker.wait_for("(ended evt_1)")
        assert worker.stop() == 0

    assert work.shop.notes == ["evt_1"]
    assert work.attempts() == {"evt_1": 2}


def test_worker_that_dies_at_an_event_comes_to_those_behind_it(work: Work) -> None:
    """It used to die at the same event at each start."""
    work.kill("evt_1")
    work.post("evt_1")
    work.post("evt_2")

    with work.start() as killed:
        killed.wait_for("(began evt_1)")
        assert killed.wait() == 9

    with work.start() as worker:
        worker.wait_for("(ended evt_2)")
        work.post("evt_3")
        worker.wait_for("(ended evt_3)")
        assert worker.stop() == 0
        assert "evt_1" not in worker.printed

    assert sorted(work.shop.notes) == ["evt_2", "evt_3"]
    assert work.attempts() == {"evt_1": 1, "evt_2": 1, "evt_3": 1}

    work.age(minutes=1)

    with work.start() as killed:  # when it is due again, it is tried again
        assert killed.wait() == 9

    assert work.attempts()["evt_1"] == 2


@ROW_LOCKS
def test_event_that_is_due_again_is_left_to_the_worker_that_is_still_at_it(
    work: Work,
) -> None:
    """Its handlers take longer than the pause between two attempts."""
    work.post("evt_1")
    work.hold("evt_1")

    with work.start() as one:
        one.wait_for("(began evt_1)")

        with work.shop.app.app_context():  # not by an update, which would wait
            due = work.shop.app.extensions["kavach_stripe"]
            now = datetime.now(UTC) + timedelta(minutes=2)
            found = due.ledger.lock_due(work.shop.db.session, "evt_1", now, DELAYS)
            assert found is None
            work.shop.db.session.rollback()

        work.release("evt_1")
        one.wait_for("(ended evt_1)")
        assert one.stop() == 0

    assert work.shop.notes == ["evt_1"]
    assert work.attempts() == {"evt_1": 1}


@ROW_LOCKS
def test_worker_that_is_killed_leaves_its_event_to_one_that_runs(work: Work) -> None:
    work.post("evt_1")
    work.hold("evt_1")

    with work.start() as killed:
        killed.wait_for("(began evt_1)")

        with work.start() as other:
            work.post("evt_2")
            other.wait_for("(ended evt_2)")
            assert "evt_1" not in other.printed
            killed.kill()
            work.release("evt_1")
            work.age(minutes=1)
            other.wait_for("(ended evt_1)")
            assert other.stop() == 0

    assert sorted(work.shop.notes) == ["evt_1", "evt_2"]


def test_workers_share_events(work: Work) -> None:
    with work.start() as one, work.start() as two:
        for number in range(20):
            work.post(f"evt_{number}")

        work.wait_until(lambda: len(work.shop.notes) == 20)
        assert one.stop() == two.stop() == 0

    assert sorted(work.shop.notes) == sorted(f"evt_{number}" for number in range(20))
    assert set(work.attempts().values()) == {1}


@ROW_LOCKS
def test_webhook_stores_and_workers_go_on_while_handlers_run(work: Work) -> None:
    """No lock of a worker reaches further than its event."""
    held = ["evt_2", "evt_4"]

    for event_id in held:
        work.hold(event_id)

    with work.start() as one, work.start() as two, work.start() as three:
        for event_id in held:
            work.post(event_id)

        work.wait_until(
            lambda: all(
                any(
                    f"began {event_id}" in worker.printed
                    for worker in (one, two, three)
                )
                for event_id in held
            )
        )

        for event_id in ("evt_1", "evt_3", "evt_5"):  # between, before and after
            work.post(event_id)

        work.wait_until(lambda: len(work.shop.notes) == 3)
        assert sorted(work.shop.notes) == ["evt_1", "evt_3", "evt_5"]

        for event_id in held:
            work.release(event_id)

        work.wait_until(lambda: len(work.shop.notes) == 5)

    assert set(work.attempts().values()) == {1}


@ROW_LOCKS
def test_worker_has_nothing_to_do_where_another_one_has_the_event(work: Work) -> None:
    """It used to ask for it again and again, without a pause."""
    work.post("evt_1")
    work.hold("evt_1")

    with work.start() as one:
        one.wait_for("(began evt_1)")

        with work.start("--once") as other:
            assert other.wait() == 0

        assert "evt_1" not in other.printed
        work.release("evt_1")
        work.wait_until(lambda: work.shop.notes == ["evt_1"])


@ROW_LOCKS
def test_replay_leaves_to_a_worker_what_it_is_at(work: Work) -> None:
    """It used to wait for the worker, and to fail where the database lost patience."""
    work.hold("evt_1")
    work.post("evt_1")

    with work.start() as worker:
        worker.wait_for("(began evt_1)")
        worker.send(signal.SIGTERM)  # evt_2 is for the replay
        work.post("evt_2")

        with work.flask("replay", "--pending") as replay:
            assert replay.wait() == 0

        assert "evt_1  left to another process" in replay.printed
        assert "evt_2  processed" in replay.printed
        work.release("evt_1")
        assert worker.wait() == 0

    assert sorted(work.shop.notes) == ["evt_1", "evt_2"]
    assert work.attempts() == {"evt_1": 1, "evt_2": 1}


def test_event_whose_handler_fails_is_tried_when_it_is_due(work: Work) -> None:
    work.post("evt_1")
    work.fail("evt_1")

    with work.start() as worker:
        worker.wait_for("(failed evt_1)")
        work.wait_until(lambda: work.attempts() == {"evt_1": 1})
        work.mend("evt_1")
        work.post("evt_2")
        worker.wait_for("(ended evt_2)")
        assert "ended evt_1" not in worker.printed

        work.age(minutes=1)
        worker.wait_for("(ended evt_1)")
        assert worker.stop() == 0

    assert sorted(work.shop.notes) == ["evt_1", "evt_2"]
    assert work.attempts() == {"evt_1": 2, "evt_2": 1}


@ROW_LOCKS
def test_event_that_another_worker_failed_is_not_tried_at_once(work: Work) -> None:
    """Both had found it due, in one look at the ledger."""
    work.hold("evt_1")
    work.fail("evt_2")
    work.post("evt_1")
    work.post("evt_2")

    with work.start() as one:
        one.wait_for("(began evt_1)")

        with work.start() as two:
            two.wait_for("(failed evt_2)")
            work.wait_until(lambda: work.attempts()["evt_2"] == 1)

        work.release("evt_1")
        one.wait_for("(ended evt_1)")
        work.post("evt_3")
        work.wait_until(lambda: sorted(work.shop.notes) == ["evt_1", "evt_3"])
        assert "failed evt_2" not in one.printed

    assert work.attempts() == {"evt_1": 1, "evt_2": 1, "evt_3": 1}


@pytest.mark.databases("mariadb")
def test_worker_does_not_read_what_is_done(work: Work) -> None:
    """A second later it looks again, and most of the ledger is done."""
    db, model = work.shop.db, work.shop.app.extensions["kavach_stripe"].event_model
    now = datetime.now(UTC)
    done = {"type": CREATED, "payload": "{}", "received_at": now, "processed_at": now}

    def rows_read() -> int:
        status = db.session.execute(db.text("SHOW GLOBAL STATUS LIKE 'Handler_read%'"))
        return sum(int(value) for name, value in status)

    with work.shop.app.app_context():
        rows = [{**done, "id": f"evt_done_{number}"} for number in range(5000)]
        db.session.execute(db.insert(model), rows)
        db.session.commit()
        db.session.execute(db.text(f"ANALYZE TABLE {model.__tablename__}")).all()

    work.post("evt_1")

    with work.shop.app.app_context():
        before = rows_read()
        result = work.shop.app.test_cli_runner().invoke(
            args=["stripe", "worker", "--once"]
        )
        after = rows_read()

    assert result.exit_code == 0
    assert work.attempts()["evt_1"] == 1
    assert after - before < 1000


# -- signals ---------------------------------------------------------------------------


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_ends_after_the_event_that_it_is_at(
    work: Work, number: signal.Signals
) -> None:
    work.post("evt_1")
    work.post("evt_2")
    work.hold("evt_1")

    with work.start() as worker:
        worker.wait_for("(began evt_1)")
        worker.send(number)
        work.release("evt_1")
        assert worker.wait() == 0

    assert work.shop.notes == ["evt_1"]


@pytest.mark.databases("sqlite")
def test_second_ctrl_c_ends_a_worker_at_once(work: Work) -> None:
    work.post("evt_1")
    work.hold("evt_1")

    with work.start() as worker:
        worker.wait_for("(began evt_1)")

        while worker.is_running:  # the second one must not be merged with the first
            worker.send(signal.SIGINT)
            time.sleep(0.1)

        assert worker.wait() != 0

    assert work.shop.notes == []
    assert work.attempts() == {"evt_1": 1}


@pytest.mark.databases("sqlite")
def test_worker_that_waits_ends_at_once(work: Work) -> None:
    work.post("evt_1")

    with work.start("--poll", str(10 * PATIENCE)) as worker:
        worker.wait_for("(ended evt_1)")
        work.wait_until(lambda: work.shop.notes == ["evt_1"])
        assert worker.stop() == 0


# -- databases that go away ------------------------------------------------------------


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A server of the test's own, which may crash."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(getattr(servers, request.param)())
        except servers.ServerMissing as missing:
            missing.skip()


@pytest.fixture
def restarting(server: servers.Server, tmp_path: Path) -> Iterator[Work]:
    """As ``work``, with a server that can be restarted."""
    shop = Shop(server.uri, STRIPE_PRICES="*")
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    give_to_workers(shop)
    yield Work(shop, server.uri, tmp_path)
    shop.close()


@pytest.mark.servers
def test_worker_outlives_a_restart_of_the_database(
    restarting: Work, server: servers.Server
) -> None:
    work = restarting
    work.post("evt_1")

    with work.start() as worker:
        worker.wait_for("(ended evt_1)")
        work.wait_until(lambda: work.shop.notes == ["evt_1"])
        server.restart()
        work.shop.dispose()
        worker.wait_for("(The database failed)")
        work.post("evt_2")
        worker.wait_for("(ended evt_2)")
        assert worker.stop() == 0

    assert work.shop.notes == ["evt_1", "evt_2"]
    assert "Traceback" not in worker.printed


@pytest.mark.servers
def test_handler_is_run_again_whose_transaction_went_with_the_database(
    restarting: Work, server: servers.Server
) -> None:
    work = restarting
    work.hold("evt_1")
    work.post("evt_1")

    with work.start() as worker:
        worker.wait_for("(began evt_1)")
        server.restart()
        work.shop.dispose()
        work.release("evt_1")
        worker.wait_for("(The database failed)")
        assert work.attempts() == {"evt_1": 1}
        work.age(minutes=1)
        work.wait_until(lambda: work.shop.notes == ["evt_1"])
        assert worker.stop() == 0
        assert worker.printed.count("ended evt_1") == 2

    assert work.shop.notes == ["evt_1"]
    assert work.attempts() == {"evt_1": 2}


@pytest.mark.servers
def test_worker_does_not_wait_for_a_database_that_was_never_there(
    restarting: Work, server: servers.Server
) -> None:
    work = restarting
    work.uri = f"{work.uri}_of_nobody"

    with work.flask("worker") as worker:
        assert worker.wait() == 1
        assert "Run 'flask stripe doctor'" in worker.printed
