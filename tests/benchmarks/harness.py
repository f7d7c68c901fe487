"""Measure two ways to do the same, in turns, and say how they compare.

The machine may be shared: a figure by itself says little, a ratio within one run says
more. So both sides of a case work in turns, block by block, on the same data, which is
made anew before each round; which of them begins changes from block to block. The first
round warms up and does not count. Each round gives one value, and the value of the case
is the median of these; the lowest and the highest show how far to trust it.

Two clocks are read. The time that passes is what a goal is about. The CPU time leaves
out what other programs did meanwhile, and waits for a disk or a server.
"""

from __future__ import annotations

import gc
import json
import math
import operator
import statistics
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import Protocol

Calls = Sequence[Callable[[], object]]

#: Makes the data of a round, by its number, and gives the calls: ours, the yardstick's.
Prepare = Callable[[int], tuple[Calls, Calls]]

#: Calls of one side before it is the other's turn.
BLOCK: Final = 25


class Measure(NamedTuple):
    """What a case compares, and which side of the goal is the good one."""

    value: Callable[[float, float], float]
    is_met: Callable[[float, float], bool]
    sign: str


#: How many calls ours makes in the time of one of the yardstick's.
THROUGHPUT: Final = Measure(lambda ours, theirs: theirs / ours, operator.ge, "≥")
#: What ours takes, as a multiple of the yardstick.
TIME: Final = Measure(lambda ours, theirs: ours / theirs, operator.le, "≤")
#: What ours takes more than the yardstick, in the unit of the case.
EXTRA: Final = Measure(lambda ours, theirs: ours - theirs, operator.le, "≤ +")


@dataclass
class Taken:
    """What some calls took, in seconds."""

    #: Each of them.
    times: list[float] = field(default_factory=list)
    #: All of them, from the first to the last.
    seconds: float = 0
    cpu: float = 0

    def add(self, other: Taken) -> None:
        self.times += other.times
        self.seconds += other.seconds
        self.cpu += other.cpu

    @property
    def cpu_of_one(self) -> float:
        return self.cpu / len(self.times)


class Runner(Protocol):
    """A way to make calls."""

    #: Calls of one side before it is the other's turn.
    block: int

    def run(self, calls: Calls) -> Taken: ...

    def cost(self, taken: Taken) -> float:
        """Seconds of one call, by which the sides are compared."""
        ...


class OneByOne:
    """In this thread. One call costs the median: others may interrupt the rest."""

    block = BLOCK

    def run(self, calls: Calls) -> Taken:
        clock = time.perf_counter
        times = []
        cpu, begin = time.process_time(), clock()

        for call in calls:
            start = clock()
            call()
            times.append(clock() - start)

        return Taken(times, clock() - begin, time.process_time() - cpu)

    def cost(self, taken: Taken) -> float:
        return statistics.median(taken.times)


@dataclass(frozen=True)
class Figures:
    """One side of a case, in its unit."""

    median: float
    p99: float | None = None
    #: CPU of one call, the mean.
    cpu: float | None = None


@dataclass(frozen=True)
class Result:
    """How ours did, next to its yardstick."""

    case: str
    yardstick: str
    unit: str
    ours: Figures
    theirs: Figures
    #: The median of the rounds.
    value: float
    lowest: float
    highest: float
    #: The same by CPU time.
    cpu_value: float | None
    sign: str
    #: ``None`` where there is no goal.
    goal: float | None
    is_met: bool | None


def compare(
    case: str,
    yardstick: str,
    prepare: Prepare,
    *,
    measure: Measure = THROUGHPUT,
    goal: float | None = None,
    rounds: int = 7,
    check: Callable[[], object] | None = None,
    runner: Runner | None = None,
) -> Result:
    """Measure both sides in turns; times in microseconds.

    :param check: Called after each round, raises unless the work was done.
    """
    runner = runner or OneByOne()
    measured = []

    for number in range(rounds + 1):
        both = _round(runner, prepare(number), number)
        measured.append(both)

        if check is not None:
            check()

    del measured[0]  # the warm-up
    return conclude(
        case,
        yardstick,
        *(_figures(taken) for taken in zip(*measured, strict=True)),
        pairs=[(runner.cost(a) * 1e6, runner.cost(b) * 1e6) for a, b in measured],
        cpu_pairs=[(a.cpu_of_one * 1e6, b.cpu_of_one * 1e6) for a, b in measured],
        measure=measure,
        goal=goal,
    )


def _round(
    runner: Runner, both: tuple[Calls, Calls], number: int
) -> tuple[Taken, Taken]:
    taken = Taken(), Taken()
    length = max(map(len, both))
    # Garbage of the calls costs what it costs in an app; what was there before is none.
    gc.collect()
    gc.freeze()

    for turn, start in enumerate(range(0, length, runner.block), start=number):
        for side in (0, 1) if turn % 2 else (1, 0):
            taken[side].add(runner.run(both[side][start : start + runner.block]))

    gc.unfreeze()
    return taken


def _figures(rounds: Sequence[Taken]) -> Figures:
    times = [seconds * 1e6 for taken in rounds for seconds in taken.times]
    return Figures(
        statistics.median(times),
        percentile(times, 99),
        statistics.median(taken.cpu_of_one for taken in rounds) * 1e6,
    )


def conclude(
    case: str,
    yardstick: str,
    ours: Figures,
    theirs: Figures,
    *,
    pairs: Sequence[tuple[float, float]],
    cpu_pairs: Sequence[tuple[float, float]] = (),
    measure: Measure,
    goal: float | None,
    unit: str = "µs",
) -> Result:
    """Judge a case by what ours and the yardstick took in each round."""
    values = [measure.value(*pair) for pair in pairs]
    cpu_values = [measure.value(*pair) for pair in cpu_pairs]
    value = statistics.median(values)
    return Result(
        case,
        yardstick,
        unit,
        ours,
        theirs,
        value,
        min(values),
        max(values),
        statistics.median(cpu_values) if cpu_values else None,
        measure.sign,
        goal,
        None if goal is None else measure.is_met(value, goal),
    )


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


COLUMNS: Final = (
    "case",
    "yardstick",
    "",
    "ours",
    "p99",
    "CPU",
    "theirs",
    "p99",
    "CPU",
    "value",
    "lowest",
    "highest",
    "by CPU",
    "goal",
    "met",
)


def print_table(results: Iterable[Result]) -> None:
    """One line for each case."""
    lines = [COLUMNS, *map(_cells, results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    for line in lines:
        texts = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join([*texts[:3], *numbers[3:]]).rstrip())

    sys.stdout.flush()


def _cells(result: Result) -> tuple[str, ...]:
    def amount(value: float | None) -> str:
        return "" if value is None else f"{value:,.{0 if abs(value) >= 100 else 1}f}"

    def ratio(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    sides = (
        amount(number)
        for side in (result.ours, result.theirs)
        for number in (side.median, side.p99, side.cpu)
    )
    values = (result.value, result.lowest, result.highest, result.cpu_value)
    return (
        result.case,
        result.yardstick,
        result.unit,
        *sides,
        *map(ratio, values),
        "" if result.goal is None else f"{result.sign} {result.goal:g}",
        {None: "", True: "yes", False: "no"}[result.is_met],
    )


def write_json(path: Path, results: Iterable[Result]) -> None:
    data: list[dict[str, Any]] = [asdict(result) for result in results]
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", "utf-8")
