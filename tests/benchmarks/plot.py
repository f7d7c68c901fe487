"""Draw the latency over the size of the table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmarks.harness import Result
from tests.benchmarks.shops import DATABASES
from tests.benchmarks.table_size import case_name
from tests.benchmarks.table_size import GOAL
from tests.benchmarks.table_size import SIZES
from tests.benchmarks.table_size import SMALL

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def draw(results: Iterable[Result], path: Path) -> None:
    """One line for each database, with the range of the rounds."""
    by_case = {result.case: result for result in results}
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()

    for database in DATABASES:
        found = [
            (size, by_case[name])
            for size in SIZES
            if (name := case_name(database, size)) in by_case
        ]

        if found:
            axes.plot(
                [SMALL, *(size for size, _ in found)],
                [1, *(result.value for _, result in found)],
                marker="o",
                label=NAMES[database],
            )

    axes.axhline(GOAL, color="gray", linestyle="--", label="goal: at most")
    axes.set(
        xscale="log",
        ylim=(0, 1.5),
        xlabel="users",
        ylabel=f"latency, of that with {SMALL} users",
        title="Latency of a webhook over the size of the table",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=100, metadata={"Software": None})
