"""How commands read and write values."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final

import click

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")


def duration(
    *,
    shortest: timedelta = timedelta(seconds=1),
    longest: timedelta = timedelta.max,
    because: str = "",
) -> Callable[[str], timedelta]:
    """The type of an option such as ``90s``, ``15m``, ``12h`` or ``3d``.

    :param because: Why it may not be shorter or longer, in a sentence.
    """

    def convert(value: str) -> timedelta:
        match = _DURATION.fullmatch(value)

        if match is None:
            raise click.BadParameter(
                f"{value!r} is not a time such as 90s, 15m, 12h or 3d."
            )

        found = timedelta(**{_UNITS[match[2]]: int(match[1])})

        if not shortest <= found <= longest:
            limit = "too short" if found < shortest else "too long"
            raise click.BadParameter(f"{value} is {limit}. {because}".strip())

        return found

    return convert


def show_value(value: Any) -> str:
    """A value of a column."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def count(number: int, noun: str) -> str:
    """``1 user``, ``1,200 users``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
