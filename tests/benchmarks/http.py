"""What webhooks cost over HTTP: gunicorn, 2 workers with 4 threads, 8 connections.

    python -m tests.benchmarks.http [--database sqlite|postgresql] [--rounds N]

The connections are kept, and each sends its next webhook when it has the answer to the
last one. The ratio is that of the webhooks in a second. The CPU time is that of the
servers: gunicorn, and the database where it is one.

Reading of the goals: "the same" in the issue means over HTTP. The two yardsticks that
leave out the event and the subscription's row were named for SQLite.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from contextlib import ExitStack
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import psutil

from tests.benchmarks.harness import Calls
from tests.benchmarks.harness import compare
from tests.benchmarks.harness import Prepare
from tests.benchmarks.harness import Result
from tests.benchmarks.harness import Taken
from tests.benchmarks.options import Options
from tests.benchmarks.options import run_alone
from tests.benchmarks.samples import Delivery
from tests.benchmarks.samples import make_delivery
from tests.benchmarks.shops import open_shop
from tests.benchmarks.shops import OURS
from tests.benchmarks.shops import Shop
from tests.programs import running

#: Webhooks to each side in one round.
COUNT: Final = 800

CONNECTIONS: Final = 8

GUNICORN: Final = (
    *("-m", "gunicorn", "--worker-class", "gthread", "--workers", "2"),
    *("--threads", "4", "--keep-alive", "75", "--bind", "127.0.0.1:0"),
    "tests.benchmarks.shops:make_app()",
)


class Connection:
    """One that is kept, and knows as little of HTTP as it has to."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)
        received = b""

        while True:
            chunk = self._socket.recv(65536)
            received += chunk
            head, end, body = received.partition(b"\r\n\r\n")

            if not chunk or (end and len(body) >= _length(head)):
                break

        if not received.startswith(b"HTTP/1.1 200 "):
            raise AssertionError(f"The answer is {received[:200]!r}.")

    def close(self) -> None:
        self._socket.close()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


class Clients:
    """Several connections at the same time; what counts is how long all calls take."""

    block = 200

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._local = threading.local()

    def send(self, request: bytes) -> None:
        """Send over the connection of this thread."""
        self._local.connection.send(request)

    def run(self, calls: Calls) -> Taken:
        left = iter(calls)
        times: list[float] = []
        errors: list[Exception] = []
        ready = threading.Barrier(CONNECTIONS + 1)

        def work() -> None:
            clock = time.perf_counter

            try:
                with closing(Connection(self._address)) as self._local.connection:
                    ready.wait(60)

                    for call in left:  # shared: taking the next one is atomic
                        start = clock()
                        call()
                        times.append(clock() - start)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]

        for thread in threads:
            thread.start()

        cpu = _cpu_of_servers()
        ready.wait(60)
        begin = time.perf_counter()

        for thread in threads:
            thread.join()

        seconds = time.perf_counter() - begin

        if errors:
            raise errors[0]

        return Taken(times, seconds, _cpu_of_servers() - cpu)

    def cost(self, taken: Taken) -> float:
        return taken.seconds / len(taken.times)


def _cpu_of_servers() -> float:
    """Seconds that the processes we started have used."""
    times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def run(options: Options) -> Iterator[Result]:
    for database in options.databases:
        with open_shop(database) as shop, _serve(shop) as clients:
            yield from _run_cases(shop, clients, database, options.rounds)


@contextmanager
def _serve(shop: Shop) -> Iterator[Clients]:
    with ExitStack() as stack:
        gunicorn = stack.enter_context(
            running(
                *GUNICORN,
                BENCHMARK_DATABASE=shop.app.config["SQLALCHEMY_DATABASE_URI"],
            )
        )
        url = urlsplit(gunicorn.wait_for(r"Listening at: (\S+)"))
        assert url.hostname is not None and url.port is not None
        yield Clients((url.hostname, url.port))
        gunicorn.stop()


def _run_cases(
    shop: Shop, clients: Clients, database: str, rounds: int
) -> Iterator[Result]:
    check = partial(shop.check, users=2 * COUNT)
    durable = partial(check, subscriptions=2 * COUNT, events=2 * COUNT)
    columns = partial(check, subscriptions=COUNT, events=COUNT)
    ours_alone = partial(shop.check, users=COUNT, subscriptions=COUNT, events=COUNT)
    named = database == "sqlite"
    cases: list[tuple[str, str, Callable[[], None], float | None]] = [
        ("durable, Core", "/durable", durable, 0.9),
        ("durable, in order", "/ordered", durable, None),
        ("update(User)", "/orm", columns, 0.9 if named else None),
        ("SDK, update(User)", "/sdk", columns, 2.2 if named else None),
        ("SDK, load User", "/sdk-loading", columns, None),
        ("no work at all", "/nothing", ours_alone, None),
    ]

    for yardstick, path, checked, goal in cases:
        yield compare(
            f"{database}, HTTP: updated",
            yardstick,
            _deliver(shop, clients, path),
            goal=goal,
            rounds=rounds,
            check=checked,
            runner=clients,
        )


def _deliver(shop: Shop, clients: Clients, path: str) -> Prepare:
    def calls(path: str, users: range) -> Calls:
        return [
            partial(clients.send, _request(make_delivery(path, user))) for user in users
        ]

    def prepare(number: int) -> tuple[Calls, Calls]:
        shop.seed(2 * COUNT)
        return (
            calls(OURS, range(1, COUNT + 1)),
            calls(path, range(COUNT + 1, 2 * COUNT + 1)),
        )

    return prepare


def _request(delivery: Delivery) -> bytes:
    head = (
        f"POST {delivery.path} HTTP/1.1\r\n"
        "Host: shop.example\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(delivery.payload)}\r\n"
        f"Stripe-Signature: {delivery.signature}\r\n"
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n\r\n"
    )
    return head.encode() + delivery.payload


if __name__ == "__main__":
    run_alone(run, __doc__)
