"""What happens because time passes, in the order of time."""

from __future__ import annotations

from .core import Core
from .resources.checkout import CheckoutSessions
from .resources.subscriptions import Subscriptions
from .store import Object


class Life:
    """Takes the steps that are due.

    Whoever calls holds the lock of the store.
    """

    def __init__(
        self, core: Core, subscriptions: Subscriptions, checkout: CheckoutSessions
    ) -> None:
        self._core = core
        self._subscriptions = subscriptions
        self._checkout = checkout

    def catch_up(self) -> None:
        """Do everything that was due by now, each thing at its own time."""
        self._run(self._core.clock.now())

    def advance_to(self, moment: int) -> None:
        """Move the clock, and do on the way what becomes due.

        :raises ValueError: If the time is past.
        """
        distance = moment - self._core.clock.now()

        if distance < 0:
            raise ValueError(
                f"The clock only moves forward: it is {self._core.clock.now()},"
                f" after {moment}."
            )

        self._run(moment)
        self._core.clock.advance(distance)

    def next_due(self) -> int | None:
        """Return when a subscription's next step is due."""
        steps = [
            step[0]
            for subscription in self._core.store.all("subscription")
            if (step := self._subscriptions.next_step(subscription)) is not None
        ]
        return min(steps, default=None)

    def _run(self, until: int) -> None:
        while (alarm := self._core.next_alarm(until)) is not None:
            at, obj = alarm

            with self._core.clock.pinned(at):
                self._wake(obj, at)

    def _wake(self, obj: Object, at: int) -> None:
        if obj["object"] == "checkout.session":
            self._checkout.expire_now(obj)
            return

        step = self._subscriptions.next_step(obj)

        if step is not None and step[0] <= at:
            step[1](obj)
            self._subscriptions.schedule(obj)
