"""Apps on real databases, and events delivered to them as Stripe does: several at once,
and again if the answer is not 200."""

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

from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
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

#: Where one of two transactions fails if it wrote what the other had read.
STRICT = {"postgresql-repeatable-read", "postgresql-serializable"}

#: Where a new link between user and customer may meet the lock of a gap, which one of
#: two transactions then loses.
GAP_LOCKS = {"mariadb"}

PROCESSES = 4

#: Seconds. Far more than it takes, for a machine that is busy.
PATIENCE = 60

#: How often an event is sent. Of transactions that meet, one always gets through.
MAX_TRIES = 50

T = 1_790_000_000  # when everything begins, in Unix seconds
END = T + 2_592_000  # when the first period ends

Event = dict[str, Any]


class Database(NamedTuple):
    """Where an app's tables are."""

    name: str
    uri: str
    #: URL and key of the sandbox that its apps talk to.
    stripe: tuple[str, str] = ("https://api.stripe.com", "sk_test_of_the_tests")

    def make_shop(self, **config: Any) -> Shop:
        level = ISOLATION_LEVELS[self.name]
        options = {} if level is None else {"isolation_level": level}
        defaults = {
            "SQLALCHEMY_ENGINE_OPTIONS": options,
            "STRIPE_API_BASE": self.stripe[0],
            "STRIPE_MAX_NETWORK_RETRIES": 2,  # as usual: Stripe refuses a key in use
            "STRIPE_PRICES": "*",
            "STRIPE_SECRET_KEY": self.stripe[1],
        }
        return Shop(self.uri, **{**defaults, **config})


def subscription(**values: Any) -> dict[str, Any]:
    """Ada's subscription."""
    defaults = {"id": "sub_1", "customer": "cus_ada", "price": "price_pro"}
    times = {"created": T, "current_period_end": END}
    return make_subscription(**{**defaults, **times, **values})


def subscription_event(kind: str, after: int = 0, /, **values: Any) -> Event:
    """An event of Ada's subscription, some seconds after the beginning."""
    return make_event(
        f"customer.subscription.{kind}",
        subscription(**values),
        created=T + after,
        previous_attributes={"metadata": {}} if kind == "updated" else None,
    )


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call from threads that begin together, and give what was returned."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def deliver(shop: Shop, event: Event) -> list[int]:
    """Send an event until it is taken, and give the answers."""
    answers: list[int] = []

    while len(answers) < MAX_TRIES and answers[-1:] != [200]:
        answers.append(shop.post_event(event).status_code)

    return answers


def deliver_all(shop: Shop, events: Sequence[Event]) -> list[list[int]]:
    """Deliver events at the same moment, and give the answers that each got."""
    return at_once([partial(deliver, shop, event) for event in events])


def assert_taken(answers: list[list[int]], *, at_once: bool) -> None:
    """Every event was answered with 200: by the first delivery, or after some 503.

    Where transactions fail because they met, that of the handlers may, too: 500.
    """
    assert {each[-1] for each in answers} == {200}
    assert {status for each in answers for status in each[:-1]} <= {500, 503}

    if at_once:
        assert {len(each) for each in answers} == {1}


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
