"""What a webhook costs, next to views that are written by hand.

    python -m tests.benchmarks.webhook [--database sqlite|postgresql] [--rounds N]
    python -m tests.benchmarks.webhook --profile [--path /durable]

In-process, through WSGI, on one thread.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from typing import Final

from tests.benchmarks.harness import Calls
from tests.benchmarks.harness import compare
from tests.benchmarks.harness import Prepare
from tests.benchmarks.harness import Result
from tests.benchmarks.options import add_options
from tests.benchmarks.options import finish
from tests.benchmarks.options import Options
from tests.benchmarks.samples import UPDATED
from tests.benchmarks.shops import open_shop
from tests.benchmarks.shops import OURS
from tests.benchmarks.shops import Shop
from tests.benchmarks.shops import WITH_HANDLER

#: Deliveries of each side in one round.
COUNT: Final = 300

#: The users whose events ours gets, and the yardstick.
OUR_USERS: Final = range(1, COUNT + 1)
THEIR_USERS: Final = range(COUNT + 1, 2 * COUNT + 1)


def run(options: Options) -> Iterator[Result]:
    for database in options.databases:
        with open_shop(database) as shop:
            yield from _run_cases(shop, database, options.rounds)


def _run_cases(shop: Shop, database: str, rounds: int) -> Iterator[Result]:
    both, ours_alone = 2 * COUNT, COUNT
    check = partial(shop.check, users=both)
    durable = partial(check, subscriptions=both, events=both)
    columns = partial(check, subscriptions=ours_alone, events=ours_alone)
    noted = partial(durable, notes=both)
    nothing = partial(shop.check, users=0, subscriptions=0, events=0)
    cases: list[tuple[str, str, Prepare, Callable[[], None], float | None]] = [
        ("updated", "durable, Core", _deliver(shop, "/durable"), durable, 0.9),
        ("updated", "durable, in order", _deliver(shop, "/ordered"), durable, None),
        (
            "updated",
            "update(User)",
            _deliver(shop, "/orm"),
            columns,
            0.75 if database == "sqlite" else 0.65,
        ),
        ("updated", "SDK, update(User)", _deliver(shop, "/sdk"), columns, None),
        ("updated", "SDK, load User", _deliver(shop, "/sdk-loading"), columns, None),
        (
            "updated, handler writes",
            "durable, two commits",
            _deliver(shop, "/two-commits", WITH_HANDLER),
            noted,
            0.8,
        ),
        ("duplicate", "SELECT", _deliver_again(shop, "/known"), durable, 0.8),
        ("unknown type", "verify, parse", _ignore(shop, "/verify"), nothing, 0.8),
        ("bad signature", "verify", _refuse(shop, "/verify"), nothing, 0.8),
    ]

    for case, yardstick, prepare, checked, goal in cases:
        yield compare(
            f"{database}: {case}",
            yardstick,
            prepare,
            goal=goal,
            rounds=rounds,
            check=checked,
        )


def _deliver(shop: Shop, path: str, event_type: str = UPDATED) -> Prepare:
    """Events that change something, one for each user."""

    def prepare(number: int) -> tuple[Calls, Calls]:
        shop.seed(2 * COUNT)
        return (
            shop.calls(OURS, OUR_USERS, event_type),
            shop.calls(path, THEIR_USERS, event_type),
        )

    return prepare


def _deliver_again(shop: Shop, path: str) -> Prepare:
    def prepare(number: int) -> tuple[Calls, Calls]:
        shop.seed(2 * COUNT)

        for call in shop.calls(OURS, [*OUR_USERS, *THEIR_USERS]):
            call()

        return shop.calls(OURS, OUR_USERS), shop.calls(path, THEIR_USERS)

    return prepare


def _ignore(shop: Shop, path: str) -> Prepare:
    def prepare(number: int) -> tuple[Calls, Calls]:
        shop.seed(2 * COUNT)
        return (
            shop.calls(OURS, OUR_USERS, "charge.succeeded"),
            shop.calls(path, THEIR_USERS, "charge.succeeded"),
        )

    return prepare


def _refuse(shop: Shop, path: str) -> Prepare:
    def prepare(number: int) -> tuple[Calls, Calls]:
        shop.seed(2 * COUNT)
        wrong = partial(shop.calls, secret="whsec_of_another", status=400)
        return wrong(OURS, OUR_USERS), wrong(path, THEIR_USERS)

    return prepare


def profile(database: str, path: str) -> None:
    """Print where the time of a delivery goes."""
    with open_shop(database) as shop:
        shop.seed(2 * COUNT)

        for call in shop.calls(path, OUR_USERS):  # the warm-up
            call()

        calls = shop.calls(path, THEIR_USERS)
        profiler = cProfile.Profile()

        with profiler:
            for call in calls:
                call()

    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--profile", action="store_true", help="show where time goes")
    parser.add_argument("--path", default=OURS, help="the view to profile")
    arguments = parser.parse_args()
    options = Options.of(arguments)

    if arguments.profile:
        for database in options.databases:
            profile(database, arguments.path)
    else:
        finish(list(run(options)), arguments.json)


if __name__ == "__main__":
    main()
