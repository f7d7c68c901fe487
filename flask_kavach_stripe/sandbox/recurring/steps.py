"""The steps of a subscription: each change that time brings, and when it is due.

:mod:`..timeline` takes the steps in the order of time.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from typing import NamedTuple

from ..clock import DAY
from ..clock import HOUR
from ..money.invoices import preview_of
from ..money.item_prices import period_end
from ..money.payment_methods import PaymentMethods
from ..object_store import Object
from ..world import World
from .collection import Collection
from .pending_updates import PendingUpdates
from .periods import Periods
from .subscription_object import FINAL
from .subscription_object import UPDATED
from .transitions import Transitions

TRIAL_NOTICE = 3 * DAY
#: How long the first payment may take.
INCOMPLETE_FOR = 23 * HOUR


class Step(NamedTuple):
    """The next change of a subscription, if no call comes before."""

    #: Unix seconds.
    at: int
    #: What it is, for people.
    what: str
    take: Callable[[Object], None]


class Steps:
    """Finds and takes the steps of subscriptions.

    A step is computed from the subscription whenever it is asked for, and never stored:
    only the alarm that says when to look is.

    Beside what the API shows, a subscription has in the store's ``hidden`` a
    ``trial_notice_sent``, and ``upcoming_announced``, the end of the period for which
    the next invoice was announced.
    """

    def __init__(
        self,
        world: World,
        periods: Periods,
        collection: Collection,
        transitions: Transitions,
        pending_updates: PendingUpdates,
        payment_methods: PaymentMethods,
    ) -> None:
        self._world = world
        self.pending_updates: Final = pending_updates
        self.periods: Final = periods
        self.collection: Final = collection
        self.transitions: Final = transitions
        self._payment_methods = payment_methods

    def schedule(self, subscription: Object) -> None:
        """Have the subscription looked at when its next step is due.

        To be called after every change of a subscription.
        """
        if (step := self.next_step(subscription)) is not None:
            self._world.set_alarm(step.at, subscription)

        notice = self._upcoming_notice(subscription)

        if notice is not None and notice > self._world.clock.now():
            self._world.set_alarm(notice, subscription)

    def next_step(self, subscription: Object) -> Step | None:
        """Return what happens next, and when.

        Of two steps at the same time the end comes first: there is no last renewal.

        :returns: ``None`` if nothing is planned, as after the end or in a pause.
        """
        status = subscription["status"]

        if status in FINAL:
            return None

        steps: list[Step] = []
        pending = subscription["pending_update"]

        if pending is not None:
            drop = self.pending_updates.expire
            steps.append(Step(pending["expires_at"], "end of the pending update", drop))

        if subscription["cancel_at"] is not None:
            steps.append(
                Step(
                    subscription["cancel_at"],
                    "end of the subscription",
                    self.transitions.finish,
                )
            )

        pause = subscription["pause_collection"]

        if pause is not None and pause["resumes_at"] is not None:
            steps.append(
                Step(
                    pause["resumes_at"],
                    "end of the pause",
                    self.transitions.resume_collection,
                )
            )

        if status == "trialing":
            if not self._world.hidden_of(subscription)["trial_notice_sent"]:
                notice = subscription["trial_end"] - TRIAL_NOTICE
                steps.append(Step(notice, "trial reminder", self.announce_trial_end))

            steps.append(
                Step(subscription["trial_end"], "end of the trial", self._end_trial)
            )
        elif status == "incomplete":
            expires = subscription["created"] + INCOMPLETE_FOR
            steps.append(
                Step(expires, "end of the first payment", self.transitions.expire)
            )
        elif status in ("active", "past_due", "unpaid"):
            invoice = self._world.store.find("invoice", subscription["latest_invoice"])

            if invoice is not None and invoice["next_payment_attempt"] is not None:
                retry: int = invoice["next_payment_attempt"]
                steps.append(Step(retry, "next try to be paid", self.collection.retry))

            steps.append(Step(period_end(subscription, min), "renewal", self._renew))

        return min(steps, key=lambda step: step.at, default=None)

    def announce_upcoming(self, subscription: Object) -> None:
        """Send ``invoice.upcoming``, if it is just the time for it.

        Source: https://docs.stripe.com/billing/subscriptions/webhooks
        """
        if self._upcoming_notice(subscription) != self._world.clock.now():
            return

        invoice = None

        with self.rehearsal(subscription):
            draft = self.draft_upcoming(subscription)

            if draft is not None:
                customer = self._world.store.find("customer", subscription["customer"])
                invoice = preview_of(draft, customer)

        if invoice is not None:
            hidden = self._world.hidden_of(subscription)
            hidden["upcoming_announced"] = period_end(subscription, min)
            self._world.emit("invoice.upcoming", invoice)

    @contextmanager
    def rehearsal(self, subscription: Object, *objects: Object) -> Iterator[None]:
        """See what an invoice of a subscription would be: all of it is undone.

        :param objects: What the block changes beside the subscription and its latest
            invoice, which a new one closes.
        """
        latest = self._world.store.find("invoice", subscription["latest_invoice"])

        with self._world.rehearsal(subscription, *filter(None, [latest]), *objects):
            yield

    def draft_upcoming(self, subscription: Object) -> Object | None:
        """Do what happens at the next renewal, in a rehearsal.

        :returns: The draft of the invoice for it, if there will be one.
        """
        trialing = subscription["status"] == "trialing"
        at = subscription["trial_end"] if trialing else period_end(subscription, min)
        ends_at = subscription["cancel_at"]

        if subscription["status"] == "paused" or (
            ends_at is not None and ends_at <= at
        ):
            return None

        with self._world.clock.pinned(at):
            step = self.periods.end_trial if trialing else self.periods.renew
            return step(subscription, "upcoming")

    def _upcoming_notice(self, subscription: Object) -> int | None:
        """Return when the next invoice is to be announced, in Unix seconds.

        :returns: ``None`` if there is nothing to announce, or it was announced.
        """
        if subscription["status"] not in ("active", "past_due", "trialing"):
            return None

        # Differs from Stripe: a period that is no longer than the notice has none.
        end = period_end(subscription, min)
        items = subscription["items"]["data"]
        start = max(item["current_period_start"] for item in items)
        notice = end - self._world.settings.upcoming_days * DAY
        announced = self._world.hidden_of(subscription)["upcoming_announced"] == end
        return None if announced or notice <= start else notice

    def announce_trial_end(self, subscription: Object) -> None:
        """Send ``customer.subscription.trial_will_end``, once for each trial.

        It is due three days before the end, or at once in a shorter trial.
        """
        self._world.hidden_of(subscription)["trial_notice_sent"] = True
        self._world.emit("customer.subscription.trial_will_end", subscription)

    def _end_trial(self, subscription: Object) -> None:
        """End a trial: bill the first period, or cancel or pause without a card."""
        behavior = subscription["trial_settings"]["end_behavior"]
        has_card = self._payment_methods.default_of(subscription) is not None
        without_card = None if has_card else behavior["missing_payment_method"]

        if without_card == "cancel":
            self.transitions.end(subscription)
        elif without_card == "pause":
            self.transitions.pause(subscription, "trial_end_without_payment_method")
        else:
            with self._world.changing(subscription, UPDATED):
                invoice = self.periods.end_trial(subscription, "subscription_cycle")

            self.collection.collect(subscription, invoice)

    def _renew(self, subscription: Object) -> None:
        """Begin the next period and have its invoice paid.

        Sends ``customer.subscription.updated`` with the new period, then the events of
        the invoice, then one more ``updated`` if the payment changes the status.
        """
        with self._world.changing(subscription, UPDATED):
            invoice = self.periods.renew(subscription, "subscription_cycle")

        self.collection.collect(subscription, invoice)
