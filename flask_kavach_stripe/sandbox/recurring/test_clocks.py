"""Test clocks: customers with a time of their own.

Source: https://docs.stripe.com/billing/testing/test-clocks
"""

from __future__ import annotations

from ..clock import add_interval
from ..clock import DAY
from ..money.item_prices import interval_of
from ..object_store import Object
from ..params import read
from ..params import text
from ..params import timestamp
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..world import TEST_CLOCK
from .subscription_object import FINAL

_LIFETIME = 30 * DAY


class TestClocks(Resource):
    """``/v1/test_helpers/test_clocks``: :mod:`..timeline` does the moving.

    A customer that is made with ``test_clock`` lives on that clock, with all that
    belongs to it; the sandbox's own clock does not move it.

    Events: ``test_helpers.test_clock.created``, ``.advancing``, ``.ready``,
    ``.deleted``.

    Simplified: to advance is done when the call is answered, so the answer's status is
    ``ready`` at once; a clock is not deleted by itself after 30 days, and it can have
    more than Stripe's three customers.
    """

    __test__ = False  # pytest: not a class of tests

    kind = TEST_CLOCK
    noun = "test clock"
    path = "/v1/test_helpers/test_clocks"

    def create(self, params: Params) -> Object:
        """Keep a new clock that stands at ``frozen_time``, and send its event."""
        values = read(
            params,
            {"frozen_time": timestamp, "name": text(300)},
            required=("frozen_time",),
        )
        now = self.world.clock.now()
        test_clock = {
            "id": self.world.store.new_id(self.kind),
            "object": self.kind,
            "created": now,
            "deletes_after": now + _LIFETIME,
            "frozen_time": values["frozen_time"],
            "livemode": False,
            "name": values.get("name"),
            "status": "ready",
            "status_details": {},
        }
        self.world.store.add(test_clock)
        self.world.emit("test_helpers.test_clock.created", test_clock)
        return test_clock

    def list(self, params: Params) -> Object:
        """Return a page of the clocks, newest first."""
        return self.select(params, {}, lambda test_clock, wanted: True)

    def check_advance(self, test_clock: Object, to: int) -> None:
        """Check where a clock is to be moved.

        :raises ApiError: If that is past, or more than two intervals of the shortest
            subscription away; two years without a subscription.

        Source: https://docs.stripe.com/api/test_clocks/advance
        """
        now = test_clock["frozen_time"]

        if to <= now:
            raise ApiError(
                f"A test clock only moves forward: it is {now}, and {to} is not later.",
                param="frozen_time",
            )

        items = [
            item
            for subscription in self.world.store.all("subscription")
            if subscription["test_clock"] == test_clock["id"]
            and subscription["status"] not in FINAL
            for item in subscription["items"]["data"]
        ]
        intervals = {interval_of(item) for item in items} or {("year", 1)}
        limit = min(add_interval(now, name, 2 * count) for name, count in intervals)

        if to > limit:
            raise ApiError(
                "A test clock can be advanced by at most two intervals of the shortest"
                f" subscription at once: to {limit}.",
                param="frozen_time",
            )
