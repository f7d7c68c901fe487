"""How much of the moon is lit; from its mean period, right to about half a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from math import cos
from math import pi

NEW_MOON = datetime(2000, 1, 6, 18, 14, tzinfo=UTC)
PERIOD = 29.530588853  # days from one new moon to the next
NAMES = (
    "New moon",
    "Waxing crescent",
    "First quarter",
    "Waxing gibbous",
    "Full moon",
    "Waning gibbous",
    "Last quarter",
    "Waning crescent",
)


@dataclass(frozen=True)
class Night:
    """One night.

    :param phase: 0 at new moon, 0.5 at full moon, below 1.
    """

    date: date
    phase: float

    @property
    def lit(self) -> float:
        """The lit part of the disc, 0 to 1."""
        return (1 - cos(2 * pi * self.phase)) / 2

    @property
    def name(self) -> str:
        return NAMES[round(self.phase * 8) % 8]

    @property
    def advice(self) -> str:
        if self.lit < 0.25:
            return "Dark: galaxies and nebulae"
        if self.lit < 0.6:
            return "Half dark: star clusters"
        return "Bright: the moon itself"

    @property
    def outline(self) -> str:
        """The lit part as an SVG path, in a circle of radius 1 around 0, 0."""
        # One half of the edge of the disc, and back along the line between day and
        # night, which is half an ellipse.
        limb = 1 if self.phase < 0.5 else 0
        width = cos(2 * pi * self.phase)
        back = 1 - limb if width > 0 else limb
        return f"M0-1A1 1 0 0 {limb} 0 1A{abs(width):.3f} 1 0 0 {back} 0-1Z"


def nights_from(first: date, count: int) -> list[Night]:
    """The nights from one on, each at midnight (UTC) after its evening."""
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    nights = []

    for number in range(count):
        age = (midnight + timedelta(days=number + 1) - NEW_MOON) / timedelta(days=1)
        nights.append(Night(first + timedelta(days=number), age / PERIOD % 1))

    return nights
