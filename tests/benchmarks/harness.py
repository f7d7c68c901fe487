"""Measure two ways to do the same, in turns, and say how they compare.

The machine may be shared: a figure by itself says little, a ratio within one run says
more. So each round measures every contestant, in an order that changes, and the ratio
is the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Prepares one round and gives the calls to be timed, one after the other.
Contestant = Callable[[], Sequence[Callable[[], object]]]


@dataclass(frozen=True)
class Result:
    """How one of ours did, next to its yardstick."""

    case: str
    yardstick: str
    #: Seconds of one call, median and 99th percentile over all rounds.
    ours: float
    ours_p99: float
    theirs: float
    theirs_p99: float
    #: Throughput of ours by that of the yardstick, the median of the rounds.
    ratio: float
    #: What the ratio should be, at least; ``None`` where there is no goal.
    goal: float | None

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.ratio >= self.goal


def compare(
    case: str,
    yardstick: str,
    ours: Contestant,
    theirs: Contestant,
    *,
    goal: float | None = None,
    rounds: int = 7,
) -> Result:
    """Time both in turns; the first round warms up and does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    ratios = []

    for number in range(rounds + 1):
        means = [0.0, 0.0]

        for side in (0, 1) if number % 2 else (1, 0):
            taken = _time((ours, theirs)[side]())
            means[side] = statistics.fmean(taken)

            if number:
                times[side].extend(taken)

        if number:
            ratios.append(means[1] / means[0])

    return Result(
        case,
        yardstick,
        statistics.median(times[0]),
        percentile(times[0], 99),
        statistics.median(times[1]),
        percentile(times[1], 99),
        statistics.median(ratios),
        goal,
    )


def _time(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of each call."""
    clock = time.perf_counter
    taken = []
    gc.collect()
    gc.disable()

    try:
        for call in calls:
            start = clock()
            call()
            taken.append(clock() - start)
    finally:
        gc.enable()

    return taken


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def print_table(results: Iterable[Result]) -> None:
    """One line for each case; times in microseconds."""
    print(
        f"{'case':<44} {'yardstick':<26} {'ours':>7} {'p99':>7} {'theirs':>7}"
        f" {'p99':>7} {'ratio':>6} {'goal':>5}"
    )

    for result in results:
        microseconds = [
            f"{seconds * 1e6:>7.0f}"
            for seconds in (
                result.ours,
                result.ours_p99,
                result.theirs,
                result.theirs_p99,
            )
        ]
        goal = "" if result.goal is None else f"{result.goal:.2f}"
        verdict = "" if result.is_met is not False else "  missed"
        print(
            f"{result.case:<44} {result.yardstick:<26} {' '.join(microseconds)}"
            f" {result.ratio:>6.2f} {goal:>5}{verdict}"
        )

    sys.stdout.flush()


def write_json(path: Path, results: Iterable[Result]) -> None:
    data: list[dict[str, Any]] = [asdict(result) for result in results]
    path.write_text(json.dumps(data, indent=2) + "\n")
