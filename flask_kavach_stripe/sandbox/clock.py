"""The sandbox's only source of time, and the arithmetic of billing periods.

All times are whole Unix seconds, and all days are those of UTC.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC

HOUR = 3600
DAY = 24 * HOUR


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

    :param frozen_at: Where the clock stands. It then moves only when a test moves it.
    """

    def __init__(self, frozen_at: datetime | int | None = None) -> None:
        self._frozen = None if frozen_at is None else to_timestamp(frozen_at)
        self._offset = 0.0
        self._pinned: int | None = None

    def now(self) -> int:
        """Return the time in whole Unix seconds."""
        return self.unpinned() if self._pinned is None else self._pinned

    def unpinned(self) -> int:
        """Return the time of the clock itself, also inside a :meth:`pinned` block."""
        if self._frozen is not None:
            return self._frozen

        return int(time.time() + self._offset)

    def advance(self, seconds: float) -> None:
        """Move forward.

        A clock that stands still drops the fraction of a second.

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
        """Hold the clock at another time: what was due then happens then.

        :param moment: Unix seconds; may be before or after the clock's own time.
        """
        before, self._pinned = self._pinned, moment

        try:
            yield
        finally:
            self._pinned = before


def add_interval(anchor: int, interval: str, count: int) -> int:
    """Return the time ``count`` intervals after ``anchor``.

    Months are calendar months, counted from the anchor: from 31 January come 28
    February, 31 March, 30 April.

    :param anchor: Unix seconds.
    :param interval: ``day``, ``week``, ``month`` or ``year``.

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


def current_period(anchor: int, interval: str, count: int, now: int) -> tuple[int, int]:
    """Return start and end of the period that a time is in.

    The first period begins at the anchor; a time before it is in the first one. A time
    on the boundary of two periods is in the second.

    :param anchor: The ``billing_cycle_anchor``, in Unix seconds.
    :param count: How many intervals a period has: Stripe's ``interval_count``.
    """
    number = 1
    start, end = anchor, add_interval(anchor, interval, count)

    while end <= now:
        number += 1
        start, end = end, add_interval(anchor, interval, count * number)

    return start, end


def next_boundary(anchor: int, interval: str, count: int, after: int) -> int:
    """Return the first end of a period that lies after ``after``."""
    return current_period(anchor, interval, count, after)[1]
