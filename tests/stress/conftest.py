"""The seed of the stress tests, and the table that they print."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import SystemRandom

import pytest

from .report import Report

_reports = pytest.StashKey[list[Report]]()


@pytest.fixture
def seed() -> str:
    """What is given as ``STRESS_SEED``, or a new one."""
    return os.environ.get("STRESS_SEED") or str(SystemRandom().randrange(10**6))


@pytest.fixture
def report(request: pytest.FixtureRequest, seed: str) -> Iterator[Report]:
    """A line of the table. It is printed, however the test ends."""
    made = Report(request.node.name, seed)
    yield made
    request.config.stash.setdefault(_reports, []).append(made)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = config.stash.get(_reports, [])

    if reports:
        terminalreporter.section("load and crashes")

        for line in Report.table(reports):
            terminalreporter.write_line(line)
