from __future__ import annotations

from datetime import datetime
from datetime import UTC
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.clock import add_interval
from flask_kavach_stripe.sandbox.clock import next_boundary


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_frozen_clock_moves_only_when_told() -> None:
    clock = Clock(frozen_at=1000)
    clock.advance(5)
    clock.advance_to(1010)
    assert clock.now() == 1010


def test_clock_without_arguments_is_real_time() -> None:
    before = int(datetime.now(UTC).timestamp())
    clock = Clock()
    assert before <= clock.now() <= before + 2
    clock.advance(3600)
    assert before + 3600 <= clock.now() <= before + 3602


def test_clock_does_not_go_back() -> None:
    clock = Clock(frozen_at=1000)

    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance_to(999)

    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(-1)


def test_sandbox_does_not_go_back(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        sandbox.advance(days=-1)


def test_too_many_years_at_once_are_refused(sandbox: Sandbox) -> None:
    before = sandbox.clock.now()

    with pytest.raises(ValueError, match="more than 100 years"):
        sandbox.advance(days=10**7)

    assert sandbox.clock.now() == before


@pytest.mark.parametrize("clock", [datetime, 1768478400, "2026-01-15"])
def test_clock_that_is_none_is_refused(clock: Any) -> None:
    with pytest.raises(TypeError, match=r"for example Clock\(1768478400\)"):
        Sandbox(clock=clock)


@pytest.mark.parametrize("days", [(-1,), (3, 0)])
def test_payments_cannot_be_tried_again_before(days: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="after 1 day or more"):
        Sandbox(payment_retry_days=days)


def test_naive_datetime_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        sandbox.advance_to(datetime(2030, 1, 1))  # noqa: DTZ001  (the mistake itself)


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "expected"),
    [
        ("2026-01-31T10:00:00", "month", 1, "2026-02-28T10:00:00"),
        ("2026-01-31T10:00:00", "month", 2, "2026-03-31T10:00:00"),
        ("2026-11-30T10:00:00", "month", 3, "2027-02-28T10:00:00"),
        ("2024-02-29T10:00:00", "year", 1, "2025-02-28T10:00:00"),
        ("2024-02-29T10:00:00", "year", 4, "2028-02-29T10:00:00"),
        ("2026-12-30T10:00:00", "week", 1, "2027-01-06T10:00:00"),
        ("2026-12-31T10:00:00", "day", 1, "2027-01-01T10:00:00"),
    ],
)
def test_interval_is_counted_from_the_anchor(
    anchor: str, interval: str, count: int, expected: str
) -> None:
    assert add_interval(at(anchor), interval, count) == at(expected)


def test_next_boundary_is_the_first_after() -> None:
    anchor = at("2026-01-31T10:00:00")
    february = at("2026-02-28T10:00:00")
    assert next_boundary(anchor, "month", 1, february - 1) == february
    assert next_boundary(anchor, "month", 1, february) == at("2026-03-31T10:00:00")
