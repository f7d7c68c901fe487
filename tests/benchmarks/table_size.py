"""How long a webhook takes with 100, 100,000 and 1,000,000 users.

    python -m tests.benchmarks.table_size [--database sqlite|postgresql] [--rounds N]

In-process. The yardstick is ours with 100 users. The tables are filled once, and each
round moves subscriptions of other users on by another month, so that all events change
something; the users of the large tables are drawn at random, as their payments are.
``python -m tests.benchmarks --plot FILE`` draws the latency over the size.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tests.benchmarks.harness import Calls
from tests.benchmarks.harness import compare
from tests.benchmarks.harness import Result
from tests.benchmarks.harness import TIME
from tests.benchmarks.options import Options
from tests.benchmarks.options import run_alone
from tests.benchmarks.shops import open_shop
from tests.benchmarks.shops import OURS
from tests.benchmarks.shops import Shop

SMALL: Final = 100
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)

#: What the goal is about.
JUDGED: Final = (100_000, 1_000_000)
GOAL: Final = 1.2

#: Deliveries to each size in one round: one for each user of the small table.
COUNT: Final = SMALL


def run(options: Options) -> Iterator[Result]:
    for database in options.databases:
        with open_shop(database) as small, open_shop(database) as large:
            for size in SIZES:
                small.seed(SMALL)
                large.seed(size)
                yield _compare(database, large, size, small, options.rounds)


def _compare(database: str, large: Shop, size: int, small: Shop, rounds: int) -> Result:
    sent = 0

    def prepare(number: int) -> tuple[Calls, Calls]:
        nonlocal sent
        drawn = random.Random(number).sample(range(1, size + 1), COUNT)  # noqa: S311 (no secret)
        sent += COUNT
        return (
            large.calls(OURS, drawn, month=number + 1),
            small.calls(OURS, range(1, SMALL + 1), month=number + 1),
        )

    def check() -> None:
        assert small.count_changes() == large.count_changes() == sent

    return compare(
        case_name(database, size),
        f"ours, {SMALL:,} users",
        prepare,
        measure=TIME,
        goal=GOAL if size in JUDGED else None,
        rounds=2 * rounds,  # as they are short
        check=check,
    )


def case_name(database: str, size: int) -> str:
    return f"{database}: updated, {size:,} users"


if __name__ == "__main__":
    run_alone(run, __doc__)
