"""What importing us costs, in time and memory, next to Stripe's own package.

    python -m tests.benchmarks.footprint [--rounds N]

Apps on Flask, Flask-SQLAlchemy and Flask-Login, each in a new interpreter, take one
webhook and make a Checkout session: with ``stripe``, with the extension, and by hand
with ``requests``, which both of them use. What counts is what they have more in the end
than an app that verifies nothing and calls nobody: the time of all imports (``-X
importtime``, so late ones count, too), and the memory that is the process's own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Final
from typing import NamedTuple

from tests.benchmarks.harness import conclude
from tests.benchmarks.harness import Figures
from tests.benchmarks.harness import Result
from tests.benchmarks.harness import TIME
from tests.benchmarks.local_stripe import local_stripe
from tests.benchmarks.options import Options
from tests.benchmarks.options import run_alone
from tests.benchmarks.samples import make_delivery

IMPORT: Final = re.compile(r"import time:\s+(\d+) \|")


#: The first one is what the others add to.
APPS: Final = ("plain", "ours", "sdk", "by_hand")


class Footprint(NamedTuple):
    milliseconds: float
    megabytes: float


def run(options: Options) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as cache:
        rounds = [
            [_measure(name, cache) for name in APPS]
            for _ in range(2 * options.rounds)  # the first one compiles
        ]

    plain, *others = (_least(of_one) for of_one in zip(*rounds, strict=True))
    ours, sdk, by_hand = (_added(plain, other) for other in others)

    for field, case, unit in (
        ("milliseconds", "imports, added to the app", "ms"),
        ("megabytes", "memory, added to the app", "MB"),
    ):
        theirs = getattr(sdk, field)
        yield _judge(case, getattr(ours, field), theirs, unit, 0.5)
        yield _judge(f"{case} by requests", getattr(by_hand, field), theirs, unit)


def _least(found: Sequence[Footprint]) -> Footprint:
    """The least of each: what else runs on the machine can only add to it."""
    return Footprint(*(min(values) for values in zip(*found, strict=True)))


def _judge(
    case: str, ours: float, theirs: float, unit: str, goal: float | None = None
) -> Result:
    return conclude(
        case,
        "stripe",
        Figures(ours),
        Figures(theirs),
        pairs=[(ours, theirs)],
        measure=TIME,
        goal=goal,
        unit=unit,
    )


def _measure(name: str, cache: str) -> Footprint:
    """Run an app to its end.

    :param cache: Where compiled modules are kept from run to run, as an installer
        leaves them.
    """
    delivery = make_delivery("", 1)
    webhook = {
        "payload": delivery.payload.decode(),
        "signature": delivery.signature,
    }

    with local_stripe() as url:
        ran = subprocess.run(  # noqa: S603 (our own interpreter and code)
            [
                *(sys.executable, "-X", "importtime"),
                *("-m", f"tests.benchmarks.apps.{name}", url),
            ],
            check=True,
            input=json.dumps(webhook),
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPYCACHEPREFIX": cache,
            },
        )

    microseconds = sum(int(match[1]) for match in IMPORT.finditer(ran.stderr))
    return Footprint(microseconds / 1000, int(ran.stdout) / 2**20)


def _added(before: Footprint, after: Footprint) -> Footprint:
    return Footprint(
        after.milliseconds - before.milliseconds, after.megabytes - before.megabytes
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
