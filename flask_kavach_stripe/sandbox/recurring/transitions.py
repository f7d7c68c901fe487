"""What becomes of a subscription beside its periods: pauses, and ends."""

from __future__ import annotations

from ..money.invoices import Invoices
from ..object_store import Object
from ..world import World
from .pending_updates import PendingUpdates
from .subscription_object import UPDATED


class Transitions:
    """Changes the status of subscriptions, and tells about it."""

    def __init__(
        self, world: World, invoices: Invoices, pending_updates: PendingUpdates
    ) -> None:
        self._world = world
        self._invoices = invoices
        self._pending_updates = pending_updates

    # Pauses

    def pause(self, subscription: Object, why: str) -> None:
        """Stop periods and invoices until :meth:`resume`.

        :param why: Stripe's word for the reason: ``pause_requested``, ...
        """
        self._pending_updates.expire(subscription)

        with self._world.changing(subscription, UPDATED):
            subscription["status"] = "paused"
            subscription["status_details"] = {
                "paused": {
                    "subscription": {"type": why},
                    "transitioned_at": self._world.clock.now(),
                    "type": "subscription",
                }
            }

        self._world.emit("customer.subscription.paused", subscription)

    def resume(self, subscription: Object) -> None:
        """End a pause."""
        with self._world.changing(subscription, UPDATED):
            self.lift_pause(subscription)

        self._world.emit("customer.subscription.resumed", subscription)

    def lift_pause(self, subscription: Object) -> None:
        self._hidden(subscription)["resumes_with"] = None
        subscription["status"] = "active"
        subscription["status_details"] = None

    def resume_collection(self, subscription: Object) -> None:
        with self._world.changing(subscription, UPDATED):
            subscription["pause_collection"] = None

    # The end

    def schedule_end(self, subscription: Object, at: int) -> None:
        subscription["cancel_at"] = at
        subscription["canceled_at"] = self._world.clock.now()
        subscription["cancellation_details"]["reason"] = "cancellation_requested"

    def unschedule_end(self, subscription: Object) -> None:
        subscription["cancel_at"] = None
        subscription["cancel_at_period_end"] = False
        subscription["canceled_at"] = None
        subscription["cancellation_details"].update(
            comment=None, feedback=None, reason=None
        )

    def end(
        self, subscription: Object, *, reason: str = "cancellation_requested"
    ) -> None:
        """End a subscription now; one whose first payment is due has never begun."""
        if subscription["status"] == "incomplete":
            self.expire(subscription, reason=reason)
            return

        subscription["cancel_at_period_end"] = False
        subscription["cancel_at"] = None
        subscription["cancellation_details"]["reason"] = reason
        subscription["canceled_at"] = self._world.clock.now()
        self.finish(subscription)

    def expire(self, subscription: Object, *, reason: str | None = None) -> None:
        """End a subscription whose first payment never came.

        :param reason: Why it is canceled; ``None`` if only its time is up.
        """
        now = self._world.clock.now()

        with self._world.changing(subscription, UPDATED):
            subscription["status"] = "incomplete_expired"
            subscription["ended_at"] = now

            if reason is not None:
                subscription["canceled_at"] = now
                subscription["cancellation_details"]["reason"] = reason

        invoice = self._invoices.get(subscription["latest_invoice"])

        if invoice["status"] != "void":
            self._invoices.close(invoice, "void")

    def finish(self, subscription: Object) -> None:
        """End a subscription: there will be no further period."""
        self._pending_updates.expire(subscription)
        subscription["status"] = "canceled"
        subscription["ended_at"] = self._world.clock.now()
        invoice = self._world.store.find("invoice", subscription["latest_invoice"])

        if invoice is not None and invoice["status"] == "open":
            self._invoices.stop_collecting(invoice)

        self._world.emit("customer.subscription.deleted", subscription)

    def _hidden(self, subscription: Object) -> Object:
        return self._world.store.hidden[subscription["id"]]
