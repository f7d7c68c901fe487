"""What a webhook costs, next to views that are written by hand.

    python -m tests.benchmarks.webhook [--database sqlite|postgresql] [--rounds N]

In-process, through WSGI. The tables are filled anew before each round, as an event that
changes nothing is cheaper.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.harness import compare
from tests.benchmarks.harness import print_table
from tests.benchmarks.harness import Result
from tests.benchmarks.harness import write_json
from tests.benchmarks.shops import OURS
from tests.benchmarks.shops import Shop
from tests.servers import postgresql

#: Deliveries in one round.
COUNT = 300


@contextmanager
def open_shop(database: str) -> Iterator[Shop]:
    with ExitStack() as stack:
        if database == "postgresql":
            uri = stack.enter_context(postgresql()).uri
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            uri = f"sqlite:///{Path(folder) / 'shop.db'}"

        shop = Shop(uri)

        try:
            yield shop
        finally:
            shop.close()


def run_cases(shop: Shop, database: str, rounds: int) -> Iterator[Result]:
    numbers = range(1, COUNT + 1)
    with_handler = "customer.subscription.resumed"

    def deliver(
        path: str, event_type: str = "customer.subscription.updated"
    ) -> Callable[[], list[Callable[[], object]]]:
        def prepare() -> list[Callable[[], object]]:
            shop.seed(COUNT)
            return shop.calls(path, numbers, event_type)

        return prepare

    def deliver_again(path: str) -> Callable[[], list[Callable[[], object]]]:
        def prepare() -> list[Callable[[], object]]:
            shop.seed(COUNT)

            for call in shop.calls(OURS, numbers):
                call()

            return shop.calls(path, numbers)

        return prepare

    def refuse(path: str) -> Callable[[], list[Callable[[], object]]]:
        return lambda: shop.calls(path, numbers, secret="whsec_of_another", status=400)

    def ignore(path: str) -> Callable[[], list[Callable[[], object]]]:
        return lambda: shop.calls(path, numbers, "charge.succeeded")

    cases = [
        ("updated", "durable, Core", deliver(OURS), deliver("/durable"), 0.9),
        (
            "updated",
            "update(User)",
            deliver(OURS),
            deliver("/orm"),
            0.75 if database == "sqlite" else 0.65,
        ),
        ("updated", "update(User), stripe SDK", deliver(OURS), deliver("/sdk"), None),
        (
            "with a handler that writes",
            "durable, two commits",
            deliver(OURS, with_handler),
            deliver("/two_commits", with_handler),
            0.8,
        ),
        ("duplicate", "SELECT", deliver_again(OURS), deliver_again("/known"), 0.8),
        ("unknown type", "verify, parse", ignore(OURS), ignore("/verify"), 0.8),
        ("bad signature", "verify", refuse(OURS), refuse("/verify"), 0.8),
    ]

    for case, yardstick, ours, theirs, goal in cases:
        yield compare(
            f"{database}: {case}", yardstick, ours, theirs, goal=goal, rounds=rounds
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: list[Result] = []

    for database in options.database or ["sqlite", "postgresql"]:
        with open_shop(database) as shop:
            results += run_cases(shop, database, options.rounds)

    print_table(results)

    if options.json is not None:
        write_json(options.json, results)


if __name__ == "__main__":
    main()
