"""What a stress test did, as a line of a table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from dataclasses import dataclass
from dataclasses import fields


@dataclass
class Report:
    """Figures of one run."""

    test: str
    seed: str
    events: int = 0
    deliveries: int = 0
    retries: int = 0
    reads: int = 0
    kills: int = 0
    restarts: int = 0
    seconds: float = 0.0
    per_second: float = 0.0
    #: MiB of all workers, before and after.
    memory: str = ""
    #: How often each status was answered.
    answers: str = ""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the block, in which all the deliveries are done."""
        start = time.monotonic()

        try:
            yield
        finally:
            self.seconds = time.monotonic() - start

    @classmethod
    def table(cls, reports: Iterable[Report]) -> list[str]:
        """The lines of the table, with its head."""
        rows = [[field.name for field in fields(cls)]]
        rows += [[_text(value) for value in astuple(report)] for report in reports]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        ]


def _text(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
