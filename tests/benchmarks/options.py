"""The command line that the benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.harness import print_table
from tests.benchmarks.harness import Result
from tests.benchmarks.harness import write_json
from tests.benchmarks.shops import DATABASES


class Options(NamedTuple):
    """What a benchmark is asked to do."""

    databases: Sequence[str]
    rounds: int

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Options:
        return cls(arguments.database or DATABASES, arguments.rounds)


#: A benchmark.
Run = Callable[[Options], Iterable[Result]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the results there, too")


def run_alone(run: Run, description: str) -> None:
    """The ``main`` of a module that has one benchmark."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    add_options(parser)
    arguments = parser.parse_args()
    finish(list(run(Options.of(arguments))), arguments.json)


def finish(results: list[Result], path: Path | None) -> None:
    """Print the table, and write it as JSON where that is asked for."""
    print_table(results)

    if path is not None:
        write_json(path, results)
