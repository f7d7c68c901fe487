"""What happens because time passes, in the order of time."""

from __future__ import annotations

from .core import Core
from .resources.checkout import CheckoutSessions
from .resources.subscriptions import Step
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

    def advance(self, seconds: int) -> None:
        """Move the clock, and do on the way what becomes due.

        :raises ValueError: If ``seconds`` is negative.
        """
        if seconds >= 0:
            self._run(self._core.clock.now() + seconds)

        self._core.clock.advance(seconds)

    def next_step(self) -> Step | None:
        """Return the next step of any subscription."""
        steps = [
            step
            for subscription in self._core.store.all("subscription")
            if (step := self._subscriptions.next_step(subscription)) is not None
        ]
        return min(steps, key=lambda step: step.at, default=None)

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

        if step is not None and step.at <= at:
            step.take(obj)
            self._subscriptions.schedule(obj)
