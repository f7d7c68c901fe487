"""Run all benchmarks, and print one table.

    python -m tests.benchmarks [--only NAME] [--database sqlite|postgresql] [--rounds N]
        [--json FILE] [--plot FILE]

Needs what ``pip install -e '.[bench]'`` installs, and a PostgreSQL.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from tests.benchmarks import api_call
from tests.benchmarks import footprint
from tests.benchmarks import http
from tests.benchmarks import page
from tests.benchmarks import table_size
from tests.benchmarks import webhook
from tests.benchmarks.options import add_options
from tests.benchmarks.options import finish
from tests.benchmarks.options import Options
from tests.benchmarks.options import Run
from tests.benchmarks.plot import draw

BENCHMARKS: Final[dict[str, Run]] = {
    "webhook": webhook.run,
    "http": http.run,
    "table_size": table_size.run,
    "page": page.run,
    "api_call": api_call.run,
    "footprint": footprint.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Run all benchmarks."
    )
    parser.add_argument("--only", choices=BENCHMARKS, action="append")
    add_options(parser)
    parser.add_argument("--plot", type=Path, help="draw the latency over table size")
    arguments = parser.parse_args()
    options = Options.of(arguments)
    results = [
        result
        for name in arguments.only or BENCHMARKS
        for result in BENCHMARKS[name](options)
    ]
    finish(results, arguments.json)

    if arguments.plot is not None:
        draw(results, arguments.plot)


if __name__ == "__main__":
    main()
