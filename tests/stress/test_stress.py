"""Load and crashes: in the end nothing is lost, nothing is there twice.

    python -m pytest -m stress

``STRESS_PROFILE=long`` sends ten times as much as CI, ``short`` a tenth of it.
``STRESS_SEED`` takes the number that an earlier run printed: the same things happen and
are sent in the same order; what a worker is at when it is killed is up to the machine.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flask import current_app
from flask import Flask
from sqlalchemy import select

from tests.servers import mariadb
from tests.servers import postgresql
from tests.servers import ServerMissing

from .api import serving
from .delivery import CUT
from .delivery import Engine
from .delivery import TIMED_OUT
from .report import Report
from .server import Gunicorn
from .server import gunicorn
from .shop import create_app
from .shop import db
from .shop import Effect
from .shop import User
from .truth import Truth

CUSTOMERS = 1_000
KILLS = 30
MEMORY_GROWTH = 1.2
WARM_UP = 500

#: How many deliveries a profile sends with each database.
CI = {"postgresql": 20_000, "sqlite": 20_000, "mariadb": 5_000, "memory": 5_000}
PROFILES = {
    "short": dict.fromkeys(CI, 2_000),
    "ci": CI,
    "long": {name: 10 * count for name, count in CI.items()},
}
DELIVERIES = PROFILES[os.environ.get("STRESS_PROFILE", "ci")]

pytestmark = pytest.mark.stress


@dataclass
class Database:
    uri: str
    #: Crashes the server and starts it again; SQLite has none.
    restart: Callable[[], None] | None = None


@pytest.fixture(params=["postgresql", "sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Database(f"sqlite:///{tmp_path / 'shop.db'}")
        return

    start = postgresql if request.param == "postgresql" else mariadb

    try:
        with start() as server:
            yield Database(server.uri, server.restart)
    except ServerMissing as missing:
        missing.skip()


@dataclass
class Run:
    """An app that is served, a Stripe that knows it, and what is between them."""

    app: Flask
    truth: Truth
    server: Gunicorn
    engine: Engine


@contextmanager
def running(database_uri: str, seed: str, log: Path) -> Iterator[Run]:
    customer_ids = [f"cus_{number}" for number in range(1, CUSTOMERS + 1)]
    truth = Truth(seed, customer_ids)

    with serving(truth) as api_base:
        arguments = (database_uri, api_base, seed)
        app = create_app(*arguments)

        with app.app_context():
            db.create_all()
            db.session.add_all(User(stripe_customer_id=id_) for id_ in customer_ids)
            db.session.commit()
            db.engine.dispose()

        with gunicorn(f"tests.stress.shop:create_app{arguments}", log) as server:
            engine = Engine(truth, server.port, seed)

            with app.app_context():
                try:
                    yield Run(app, truth, server, engine)
                finally:
                    db.session.close()
                    db.engine.dispose()


def cause_chaos(run: Run, database: Database, deliveries: int, seed: str) -> None:
    """Kill workers at random moments, and the database once, in mid-run."""
    random = Random(f"{seed} chaos")  # noqa: S311

    def kill() -> None:
        run.server.kill_worker(random)

    strikes = [(random.uniform(0.01, 0.99), kill) for _ in range(KILLS)]

    if database.restart is not None:
        strikes.append((random.uniform(0.4, 0.6), database.restart))

    for share, strike in sorted(strikes, key=lambda strike: strike[0]):
        run.engine.wait_for(int(share * deliveries))
        time.sleep(random.uniform(0, 0.02))  # in the midst of some requests
        strike()


def fill(report: Report, run: Run) -> None:
    engine = run.engine
    answers: Counter[int] = Counter()

    for (_, status), count in engine.answers.items():
        answers[status] += count

    report.events = len(run.truth.event_types)
    report.deliveries = engine.done
    report.retries = engine.retries
    report.reads = run.truth.reads
    report.per_second = engine.done / report.seconds
    names = {CUT: "cut", TIMED_OUT: "timed out"}
    report.answers = ", ".join(
        f"{count} {names.get(status, status)}"
        for status, count in sorted(answers.items())
    )


# -- what must be true in the end ------------------------------------------------------


def assert_all_arrived(engine: Engine) -> None:
    assert engine.given_up == []
    genuine = {status for is_forged, status in engine.answers if not is_forged}
    forged = {status for is_forged, status in engine.answers if is_forged}
    assert genuine - {CUT, 200} <= set(range(500, 600))
    assert forged - {CUT} == {400}


def assert_columns_are_true(truth: Truth) -> None:
    users = db.session.scalars(select(User))
    columns = {user.stripe_customer_id: _columns(user) for user in users}
    assert _differences(columns, truth.columns) == {}

    model = _state().subscription_model
    rows = {
        row.id: (
            row.customer_id,
            row.status,
            json.loads(row.items)[0]["price"],
            row.current_period_end,
            row.cancel_at_period_end,
        )
        for row in db.session.scalars(select(model))
    }
    assert _differences(rows, truth.subscriptions) == {}


def assert_all_is_processed(truth: Truth) -> None:
    model = _state().event_model
    entries = db.session.execute(select(model.id, model.processed_at)).all()
    assert _differences(Counter(entry.id for entry in entries), _once(truth)) == {}
    assert [entry.id for entry in entries if entry.processed_at is None] == []


def assert_effects_are_there_once(truth: Truth) -> None:
    effects = db.session.execute(select(Effect.handler, Effect.subject)).all()
    model = _state().event_model
    changes = db.session.scalars(select(model.user_id).where(model.change.is_not(None)))
    expected = {
        "remember": _once(truth),
        "follow": Counter(
            id_
            for id_, event_type in truth.event_types.items()
            if event_type.startswith("customer.subscription.")
        ),
        "notice": Counter(changes),
    }

    for handler, subjects in expected.items():
        found = Counter(effect.subject for effect in effects if effect[0] == handler)
        assert _differences(found, subjects) == {}, handler


def _state() -> Any:
    return current_app.extensions["kavach_stripe"]


def _once(truth: Truth) -> Counter[str]:
    return Counter(truth.event_types.keys())


def _columns(user: User) -> tuple[Any, ...]:
    return (
        user.stripe_subscription_id,
        user.stripe_subscription_status,
        user.stripe_price_id,
        user.stripe_current_period_end,
        user.stripe_cancel_at_period_end,
    )


def _differences(
    found: Mapping[Any, Any], expected: Mapping[Any, Any]
) -> dict[Any, tuple[Any, Any]]:
    """What is found and what is expected, where they are not equal."""
    return {
        key: (found.get(key), expected.get(key))
        for key in {*found, *expected}
        if found.get(key) != expected.get(key)
    }


# -- the tests -------------------------------------------------------------------------


def test_nothing_is_lost_and_nothing_is_there_twice(
    database: Database,
    request: pytest.FixtureRequest,
    report: Report,
    seed: str,
    tmp_path: Path,
) -> None:
    deliveries = DELIVERIES[request.node.callspec.params["database"]]

    with running(database.uri, seed, tmp_path / "log") as run:
        with report.timed(), ThreadPoolExecutor() as pool:
            chaos = pool.submit(cause_chaos, run, database, deliveries, seed)
            run.engine.deliver(deliveries)
            chaos.result()

        report.kills, report.restarts = KILLS, int(database.restart is not None)
        fill(report, run)
        assert_all_arrived(run.engine)
        assert_columns_are_true(run.truth)
        assert_all_is_processed(run.truth)
        assert_effects_are_there_once(run.truth)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_memory_of_the_workers_does_not_grow(
    database: Database, report: Report, seed: str, tmp_path: Path
) -> None:
    with running(database.uri, seed, tmp_path / "log") as run:
        with report.timed():
            run.engine.deliver(WARM_UP)
            before = run.server.memory
            run.engine.deliver(DELIVERIES["memory"])
            after = run.server.memory

        report.memory = f"{before / 2**20:.1f} -> {after / 2**20:.1f}"
        fill(report, run)
        assert_all_arrived(run.engine)

    assert after < before * MEMORY_GROWTH
