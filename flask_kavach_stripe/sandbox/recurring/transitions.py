"""Changes of status: pauses and ends of subscriptions.

Source: https://docs.stripe.com/billing/subscriptions/cancel
"""

from __future__ import annotations

from ..money.invoices import Invoices
from ..object_store import Object
from ..world import World
from .pending_updates import PendingUpdates
from .subscription_object import UPDATED


class Transitions:
    """Changes the status of subscriptions, and sends the events of that."""

    def __init__(
        self, world: World, invoices: Invoices, pending_updates: PendingUpdates
    ) -> None:
        self._world = world
        self._invoices = invoices
        self._pending_updates = pending_updates

    # Pauses

    def pause(self, subscription: Object, why: str) -> None:
        """Stop periods and invoices until :meth:`resume`.

        Sends ``customer.subscription.updated``, then ``.paused``.

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
        """End a pause that waited for a payment.

        Sends ``customer.subscription.updated``, then ``.resumed``.
        """
        with self._world.changing(subscription, UPDATED):
            self.lift_pause(subscription)

        self._world.emit("customer.subscription.resumed", subscription)

    def lift_pause(self, subscription: Object) -> None:
        """Write the end of a pause; the caller sends the events."""
        self._world.hidden_of(subscription)["resumes_with"] = None
        subscription["status"] = "active"
        subscription["status_details"] = None

    def resume_collection(self, subscription: Object) -> None:
        """Charge invoices again, as the time of ``pause_collection`` is over."""
        with self._world.changing(subscription, UPDATED):
            subscription["pause_collection"] = None

    # The end

    def schedule_end(self, subscription: Object, at: int) -> None:
        """Write when a subscription is to end; the caller sends the event.

        :param at: Unix seconds.
        """
        subscription["cancel_at"] = at
        subscription["canceled_at"] = self._world.clock.now()
        subscription["cancellation_details"]["reason"] = "cancellation_requested"

    def unschedule_end(self, subscription: Object) -> None:
        """Take a scheduled end back, with the reasons that were given for it."""
        subscription["cancel_at"] = None
        subscription["cancel_at_period_end"] = False
        subscription["canceled_at"] = None
        subscription["cancellation_details"].update(
            comment=None, feedback=None, reason=None
        )

    def end(
        self, subscription: Object, *, reason: str = "cancellation_requested"
    ) -> None:
        """End a subscription now; an ``incomplete`` one has never begun, and expires.

        :param reason: Stripe's word for ``cancellation_details``:
            ``cancellation_requested`` or ``payment_failed``.
        """
        if subscription["status"] == "incomplete":
            self.expire(subscription, reason=reason)
            return

        subscription["cancel_at_period_end"] = False
        subscription["cancel_at"] = None
        subscription["cancellation_details"]["reason"] = reason
        subscription["canceled_at"] = self._world.clock.now()
        self.finish(subscription)

    def expire(self, subscription: Object, *, reason: str | None = None) -> None:
        """End a subscription as ``incomplete_expired``: its first payment never came.

        Sends ``customer.subscription.updated``, and ``invoice.voided``.

        :param reason: Why it is canceled; ``None`` if only its time is up.
        """
        now = self._world.clock.now()

        # Differs from Stripe: also a subscription that a call cancels ends like this,
        # with an "updated" event, and its invoice is void.
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
        """End a subscription: there will be no further period.

        Sends ``customer.subscription.deleted``. An open invoice stays open, and is not
        charged by itself any more.
        """
        self._pending_updates.expire(subscription)
        # Differs from Stripe: an end within a period ("cancel_at") gives nothing back.
        subscription["status"] = "canceled"
        subscription["ended_at"] = self._world.clock.now()
        invoice = self._world.store.find("invoice", subscription["latest_invoice"])

        if invoice is not None and invoice["status"] == "open":
            self._invoices.stop_collecting(invoice)

        self._world.emit("customer.subscription.deleted", subscription)
