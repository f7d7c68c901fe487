from __future__ import annotations

from datetime import date

import pytest

from examples.saas.moon import nights_from


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2024, 4, 8), "New moon"),  # a total eclipse of the sun
        (date(2025, 9, 7), "Full moon"),  # a total eclipse of the moon
        (date(2024, 7, 13), "First quarter"),
    ],
)
def test_name_of_the_phase(day: date, name: str) -> None:
    [night] = nights_from(day, 1)

    assert night.name == name


def test_nights_follow_each_other() -> None:
    nights = nights_from(date(2026, 2, 27), 3)

    assert [night.date.day for night in nights] == [27, 28, 1]
