"""The sandbox's only source of time, and the arithmetic of billing periods."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC

DAY = 86_400


def to_timestamp(moment: datetime | int | float) -> int:
    """Return whole Unix seconds.

    :raises ValueError: If a datetime has no time zone.
    """
    if not isinstance(moment, datetime):
        return int(moment)

    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone.")

    return int(moment.timestamp())


class Clock:
    """Real time plus an offset, or a time that stands still. It never goes back.

    :param frozen_at: Where the clock stands. It then moves only when it is told to.
    """

    def __init__(self, frozen_at: datetime | int | None = None) -> None:
        self._frozen = None if frozen_at is None else to_timestamp(frozen_at)
        self._offset = 0.0
        self._pinned: int | None = None

    def now(self) -> int:
        """Return the time in whole Unix seconds."""
        if self._pinned is not None:
            return self._pinned

        if self._frozen is not None:
            return self._frozen

        return int(time.time() + self._offset)

    def advance(self, seconds: float) -> None:
        """Move forward.

        :raises ValueError: If ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"The clock only moves forward, not by {seconds} seconds.")

        if self._frozen is not None:
            self._frozen += int(seconds)
        else:
            self._offset += seconds

    def advance_to(self, moment: datetime | int) -> None:
        """Move forward to a time.

        :raises ValueError: If that time is past.
        """
        target = to_timestamp(moment)
        distance = target - self.now()

        if distance < 0:
            raise ValueError(
                f"The clock only moves forward: it is {self.now()}, after {target}."
            )

        self.advance(distance)

    @contextmanager
    def pinned(self, moment: int) -> Iterator[None]:
        """Hold the clock at a time that is past: what was due then happens then."""
        self._pinned = moment

        try:
            yield
        finally:
            self._pinned = None


def add_interval(anchor: int, interval: str, count: int) -> int:
    """Return the time ``count`` intervals after ``anchor``.

    Months are calendar months, counted from the anchor: from 31 January come
    28 February, 31 March, 30 April.

    Source: https://docs.stripe.com/billing/subscriptions/billing-cycle
    """
    start = datetime.fromtimestamp(anchor, UTC)

    if interval in ("day", "week"):
        days = count * (7 if interval == "week" else 1)
        return int((start + timedelta(days=days)).timestamp())

    step = 12 if interval == "year" else 1
    year, month = divmod(start.year * 12 + start.month - 1 + count * step, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def next_boundary(anchor: int, interval: str, count: int, after: int) -> int:
    """Return the first end of a period that lies after ``after``."""
    number = 1

    while (boundary := add_interval(anchor, interval, count * number)) <= after:
        number += 1

    return boundary
