"""Apps on real databases, and events delivered to them as Stripe does: several at once,
and again if the answer is 503."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any
from typing import NamedTuple

from tests.conftest import Shop

#: The isolation level of the app's transactions; None is the database's own choice.
ISOLATION_LEVELS = {
    "sqlite": None,
    "sqlite-wal": None,
    "postgresql": None,
    "postgresql-repeatable-read": "REPEATABLE READ",
    "postgresql-serializable": "SERIALIZABLE",
    "mariadb": None,
    "mariadb-read-committed": "READ COMMITTED",
}

#: Those that fail transactions of which one wrote what the other had read.
STRICT = {"postgresql-repeatable-read", "postgresql-serializable"}

PROCESSES = 4

#: Seconds. Far more than it takes, for a machine that is busy.
PATIENCE = 60

#: How often an event is sent. Of transactions that meet, one always gets through.
MAX_TRIES = 50

Event = dict[str, Any]


class Database(NamedTuple):
    """Where an app's tables are."""

    name: str
    uri: str

    @property
    def is_strict(self) -> bool:
        return self.name in STRICT

    def make_shop(self, **config: Any) -> Shop:
        level = ISOLATION_LEVELS[self.name]
        options = {} if level is None else {"isolation_level": level}
        defaults = {"STRIPE_PRICES": "*", "SQLALCHEMY_ENGINE_OPTIONS": options}
        return Shop(self.uri, **{**defaults, **config})


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call from threads that begin together, and give what was returned."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def deliver(shop: Shop, event: Event) -> list[int]:
    """Send an event until the answer is not 503, and give the answers."""
    answers: list[int] = []

    while len(answers) < MAX_TRIES and answers[-1:] in ([], [503]):
        answers.append(shop.post_event(event).status_code)

    return answers


def deliver_all(shop: Shop, events: Sequence[Event]) -> list[list[int]]:
    """Deliver events at the same moment, and give the answers that each one got."""
    return at_once([partial(deliver, shop, event) for event in events])


class Processes:
    """Processes that have an app, whose handler notes the id of every event."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(
        self, task: Callable[..., list[Any]], database: Database, items: Sequence[Any]
    ) -> list[Any]:
        """Call ``task(shop, items)`` everywhere at the same moment, each with a part of
        the items."""
        parts = [items[number::PROCESSES] for number in range(PROCESSES)]
        calls = [(task, database, part) for part in parts]
        return [found for all_ in self._pool.map(_run, calls) for found in all_]


@contextmanager
def start_processes() -> Iterator[Processes]:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(PROCESSES)

    with ProcessPoolExecutor(PROCESSES, context, _start, (gate,)) as pool:
        yield Processes(pool)


# -- inside of a process ---------------------------------------------------------------

_gates: list[Barrier] = []


def _start(gate: Barrier) -> None:
    _gates.append(gate)


def _run(call: tuple[Callable[..., list[Any]], Database, Sequence[Any]]) -> list[Any]:
    task, database, items = call
    shop = _shop(database)
    _gates[0].wait(PATIENCE)
    return task(shop, items)


@cache
def _shop(database: Database) -> Shop:
    shop = database.make_shop()
    shop.kavach_stripe.on("*")(lambda event: shop.note(event.id))
    return shop
