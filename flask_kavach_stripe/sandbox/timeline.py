"""The passing of time: all that is due, in the order of time.

Nothing runs by itself. Objects set alarms in the :class:`.World`; whoever moves the
clock, or looks at the account after a while, has :class:`Timeline` take the alarms that
have gone off, each with the clock held at its own time.
"""

from __future__ import annotations

from .hosted.checkout_sessions import CheckoutSessions
from .object_store import Object
from .params import read
from .params import timestamp
from .recurring.customer_calls import Customers
from .recurring.steps import Step
from .recurring.steps import Steps
from .recurring.test_clocks import TestClocks
from .resource import deleted
from .resource import Params
from .world import TEST_CLOCK
from .world import World


class Timeline:
    """Takes the steps of subscriptions that are due, and closes Checkout sessions.

    Whoever calls holds the lock of the store.
    """

    def __init__(
        self,
        world: World,
        steps: Steps,
        checkout: CheckoutSessions,
        customers: Customers,
        test_clocks: TestClocks,
    ) -> None:
        self._world = world
        self._steps = steps
        self._checkout = checkout
        self._customers = customers
        self._test_clocks = test_clocks

    def catch_up(self) -> None:
        """Do everything that was due by now, each thing at its own time."""
        self._run(self._world.clock.now())

    def advance(self, seconds: int) -> None:
        """Move the clock, and do on the way what becomes due.

        :raises ValueError: If ``seconds`` is negative.
        """
        if seconds >= 0:
            self._run(self._world.clock.now() + seconds)

        self._world.clock.advance(seconds)

    def next_step(self) -> Step | None:
        """Return the next step of any subscription on the sandbox's own clock."""
        steps = [
            step
            for subscription in self._world.store.all("subscription")
            if subscription["test_clock"] is None
            and (step := self._steps.next_step(subscription)) is not None
        ]
        return min(steps, key=lambda step: step.at, default=None)

    # The calls that move a test clock

    def advance_test_clock(self, params: Params, object_id: str) -> Object:
        """Move a test clock, and do on the way what becomes due for its customers.

        Answers ``POST /v1/test_helpers/test_clocks/<id>/advance``. Sends
        ``test_helpers.test_clock.advancing``, the events of the customers, and
        ``test_helpers.test_clock.ready``.

        :raises ApiError: As :meth:`.TestClocks.check_advance` does.
        """
        test_clock = self._test_clocks.get(object_id)
        values = read(params, {"frozen_time": timestamp}, required=("frozen_time",))
        to = values["frozen_time"]
        self._test_clocks.check_advance(test_clock, to)
        test_clock["status"] = "advancing"
        self._world.emit(f"{TEST_CLOCK}.advancing", test_clock)

        while (alarm := self._world.next_alarm(to, object_id)) is not None:
            at, obj = alarm
            test_clock["frozen_time"] = max(at, test_clock["frozen_time"])

            with self._world.on_clock_of(test_clock):
                self._wake(obj, at)

        test_clock["frozen_time"] = to
        test_clock["status"] = "ready"
        self._world.emit(f"{TEST_CLOCK}.ready", test_clock)
        return test_clock

    def delete_test_clock(self, params: Params, object_id: str) -> Object:
        """Delete a test clock with its customers, and end their subscriptions.

        Answers ``DELETE /v1/test_helpers/test_clocks/<id>``. Sends the events of each
        customer's end, then ``test_helpers.test_clock.deleted``.
        """
        read(params, {})
        test_clock = self._test_clocks.get(object_id)

        for customer in reversed(self._world.store.all("customer")):
            if customer.get("test_clock") == object_id:
                self._customers.delete({}, customer["id"])

        self._world.store.remove(TEST_CLOCK, object_id)
        self._world.emit(f"{TEST_CLOCK}.deleted", test_clock)
        return deleted(TEST_CLOCK, object_id)

    def _run(self, until: int) -> None:
        """Take all alarms of the sandbox's own clock up to a time."""
        while (alarm := self._world.next_alarm(until, None)) is not None:
            at, obj = alarm

            with self._world.clock.pinned(at):
                self._wake(obj, at)

    def _wake(self, obj: Object, at: int) -> None:
        """Look at an object, as an alarm wants it, and take its step if one is due."""
        if obj["object"] == "checkout.session":
            self._checkout.expire_now(obj)
            return

        self._steps.announce_upcoming(obj)
        step = self._steps.next_step(obj)

        if step is not None and step.at <= at:
            step.take(obj)
            self._steps.schedule(obj)
