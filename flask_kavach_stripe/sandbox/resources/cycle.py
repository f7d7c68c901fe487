"""The life of a subscription: each step that it can take, and when it is due.

:mod:`..life` takes the steps in the order of time.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

from ..cards import Decline
from ..clock import current_period
from ..clock import DAY
from ..clock import HOUR
from ..core import Core
from ..errors import ApiError
from ..store import Object
from .discounts import Discounts
from .invoices import Invoices
from .invoices import subscription_of
from .items import interval_of
from .items import period_end
from .lines import item_of
from .lines import Lines
from .lines import net
from .payment_methods import PaymentMethods

UPDATED = "customer.subscription.updated"
FINAL = ("canceled", "incomplete_expired")
TRIAL_NOTICE = 3 * DAY
#: How long the first payment may take.
INCOMPLETE_FOR = 23 * HOUR


class Step(NamedTuple):
    """What happens to a subscription if nobody does anything."""

    #: Unix seconds.
    at: int
    #: What it is, for people.
    what: str
    take: Callable[[Object], None]


class Cycle:
    """Periods, their invoices, and what follows from being paid or not.

    Beside what the API shows, a subscription has in the store's ``hidden``:
    ``billed``, what each item's current period cost; ``pending``, the prorations for
    the next invoice; ``trial_notice_sent``; and ``resumes_with``, the invoice whose
    payment ends a pause.

    Simplified: a new invoice ends the tries to be paid for the one before.
    """

    def __init__(
        self,
        core: Core,
        invoices: Invoices,
        payment_methods: PaymentMethods,
        discounts: Discounts,
    ) -> None:
        self._core = core
        self._invoices = invoices
        self._payment_methods = payment_methods
        self._discounts = discounts
        self._lines = Lines(core)

    # Time

    def schedule(self, subscription: Object) -> None:
        """Have the subscription looked at when its next step is due."""
        if (step := self.next_step(subscription)) is not None:
            self._core.set_alarm(step.at, subscription)

    def next_step(self, subscription: Object) -> Step | None:
        """Return what happens next, and when.

        Of two steps at the same time the end comes first: there is no last renewal.
        """
        status = subscription["status"]

        if status in FINAL:
            return None

        steps: list[Step] = []

        if subscription["cancel_at"] is not None:
            steps.append(
                Step(subscription["cancel_at"], "end of the subscription", self._finish)
            )

        pause = subscription["pause_collection"]

        if pause is not None and pause["resumes_at"] is not None:
            steps.append(
                Step(pause["resumes_at"], "end of the pause", self._resume_collection)
            )

        if status == "trialing":
            if not self._hidden(subscription)["trial_notice_sent"]:
                notice = subscription["trial_end"] - TRIAL_NOTICE
                steps.append(Step(notice, "trial reminder", self.announce_trial_end))

            steps.append(
                Step(subscription["trial_end"], "end of the trial", self._end_trial)
            )
        elif status == "incomplete":
            expires = subscription["created"] + INCOMPLETE_FOR
            steps.append(Step(expires, "end of the first payment", self._expire))
        elif status in ("active", "past_due", "unpaid"):
            invoice = self._core.store.find("invoice", subscription["latest_invoice"])

            if invoice is not None and invoice["next_payment_attempt"] is not None:
                retry: int = invoice["next_payment_attempt"]
                steps.append(Step(retry, "next try to be paid", self._retry))

            steps.append(Step(period_end(subscription, min), "renewal", self._renew))

        return min(steps, key=lambda step: step.at, default=None)

    def announce_trial_end(self, subscription: Object) -> None:
        self._hidden(subscription)["trial_notice_sent"] = True
        self._core.emit("customer.subscription.trial_will_end", subscription)

    def _end_trial(self, subscription: Object) -> None:
        behavior = subscription["trial_settings"]["end_behavior"]
        has_card = self._payment_methods.default_of(subscription) is not None
        without_card = None if has_card else behavior["missing_payment_method"]

        if without_card == "cancel":
            self.end(subscription)
        elif without_card == "pause":
            self.pause(subscription, "trial_end_without_payment_method")
        else:
            with self._core.changing(subscription, UPDATED):
                invoice = self.end_trial(subscription, "subscription_cycle")

            self.collect(subscription, invoice)

    def _renew(self, subscription: Object) -> None:
        with self._core.changing(subscription, UPDATED):
            invoice = self.renew(subscription, "subscription_cycle")

        self.collect(subscription, invoice)

    def _retry(self, subscription: Object) -> None:
        invoice = self._invoices.get(subscription["latest_invoice"])
        self._attempt(subscription, invoice)

    def _expire(self, subscription: Object) -> None:
        with self._core.changing(subscription, UPDATED):
            subscription["status"] = "incomplete_expired"
            subscription["ended_at"] = self._core.clock.now()

        self._invoices.close(self._invoices.get(subscription["latest_invoice"]), "void")

    def _resume_collection(self, subscription: Object) -> None:
        with self._core.changing(subscription, UPDATED):
            subscription["pause_collection"] = None

    # Periods and what they cost

    def begin_periods(
        self, subscription: Object, items: Sequence[Object], reason: str
    ) -> Object:
        """Move items to the period that begins now, and draft the invoice for it.

        :param reason: The ``billing_reason``.
        """
        now = self._core.clock.now()
        free = subscription["status"] == "trialing"
        before = min((item["current_period_start"] for item in items), default=now)

        for item in items:
            _, end = current_period(
                subscription["billing_cycle_anchor"], *interval_of(item), now
            )
            item["current_period_start"] = now
            item["current_period_end"] = subscription["trial_end"] if free else end

        if subscription["cancel_at_period_end"]:
            subscription["cancel_at"] = period_end(subscription, min)

        lines = [self._lines.period(subscription, item, free=free) for item in items]
        return self._draft(subscription, reason, lines, period_start=before)

    def renew(self, subscription: Object, reason: str) -> Object:
        """Begin the next period of the items whose period is over."""
        now = self._core.clock.now()
        ended = [
            item
            for item in subscription["items"]["data"]
            if item["current_period_end"] <= now
        ]
        return self.begin_periods(subscription, ended, reason)

    def end_trial(self, subscription: Object, reason: str) -> Object:
        """Begin the first period that costs something."""
        now = self._core.clock.now()
        subscription["status"] = "active"
        subscription["billing_cycle_anchor"] = subscription["trial_end"] = now
        return self.begin_periods(subscription, subscription["items"]["data"], reason)

    def prorate(
        self,
        subscription: Object,
        before: Sequence[Object],
        *,
        restart: bool,
        at: int | None = None,
    ) -> None:
        """Keep credits and debits for changed items, for the next invoice.

        What was billed for the rest of the period is given back, by the second, and
        the rest of the period is billed anew. What was never billed is not given back:
        so Stripe does it with flexible billing, and the sandbox with classic, too.

        :param before: The items as they were.
        :param restart: All periods end now; a new one is about to be billed.
        :param at: When the change counts from, if not now.

        Source: https://docs.stripe.com/billing/subscriptions/prorations
        """
        if subscription["status"] not in ("active", "past_due"):
            return

        at = self._core.clock.now() if at is None else at
        old = {item["id"]: item for item in before}
        new = {item["id"]: item for item in subscription["items"]["data"]}

        for item_id in {**old, **new}:
            was, becomes = old.get(item_id), new.get(item_id)

            if not restart and was and becomes and _same(was, becomes):
                continue

            if was is not None:
                self._credit(subscription, was, at)

            if becomes is not None and not restart:
                self._debit(subscription, becomes, at)

    def bill_pending(self, subscription: Object, reason: str) -> Object | None:
        """Draft an invoice for the prorations, if there are any."""
        if not self._hidden(subscription)["pending"]:
            return None

        now = self._core.clock.now()
        return self._draft(subscription, reason, [], period_start=now)

    def _credit(self, subscription: Object, item: Object, at: int) -> None:
        billed = self._hidden(subscription)["billed"].pop(item["id"], 0)
        self._keep(subscription, self._lines.unused(subscription, item, billed, at))

    def _debit(self, subscription: Object, item: Object, at: int) -> None:
        full = item["price"]["unit_amount"] * item["quantity"]
        discounts = self._discounts.active(subscription)
        taken = sum(parts[0] for parts in self._discounts.deduct(discounts, [full]))
        self._hidden(subscription)["billed"][item["id"]] = full - taken
        self._keep(subscription, self._lines.remaining(subscription, item, at))

    def _keep(self, subscription: Object, line: Object | None) -> None:
        if line is not None:
            self._hidden(subscription)["pending"].append(line)

    def _draft(
        self,
        subscription: Object,
        reason: str,
        lines: Sequence[Object],
        *,
        period_start: int,
    ) -> Object:
        hidden = self._hidden(subscription)
        before = self._core.store.find("invoice", subscription["latest_invoice"])

        if before is not None and before["status"] == "open":
            self._invoices.stop_collecting(before)

        invoice = self._invoices.draft(
            subscription,
            reason,
            [*hidden["pending"], *lines],
            period_start=period_start,
        )
        hidden["pending"] = []
        hidden["billed"].update(
            {item_of(line): net(line) for line in lines if item_of(line) is not None}
        )
        subscription["latest_invoice"] = invoice["id"]

        if invoice["total"] > 0:
            self._discounts.use(subscription)

        return invoice

    # Being paid

    def refusal(
        self, subscription: Object, invoice: Object, *, on_session: bool
    ) -> Decline | None:
        """Return why an invoice that is not final could not be paid now."""
        customer = self._core.store.find("customer", subscription["customer"]) or {}

        if invoice["total"] + customer.get("balance", 0) <= 0:
            return None

        return self._payment_methods.would_refuse(
            self._payment_methods.default_of(subscription), on_session=on_session
        )

    def card_of(self, invoice: Object) -> str | None:
        """Return the card that pays an invoice if no other one is named."""
        return self._payment_methods.default_of(self._subscription_of(invoice))

    def collect(
        self,
        subscription: Object,
        invoice: Object,
        *,
        on_session: bool = False,
        collected: bool = False,
        attempt: bool = True,
    ) -> None:
        """Announce a draft, finalise it and try to have it paid.

        :param on_session: The cardholder is there.
        :param collected: The card was just charged on a page.
        :param attempt: Charge the card; otherwise wait for somebody to pay.
        """
        pause = subscription["pause_collection"] or {}
        self._invoices.announce(invoice)

        kept = pause.get("behavior") == "keep_as_draft"

        if kept or subscription["status"] == "unpaid":
            self._invoices.stop_collecting(invoice)
            return

        self._invoices.finalize(invoice)

        if invoice["amount_due"] > 0 and not attempt:
            return

        if invoice["amount_due"] > 0 and pause:
            self._invoices.close(
                invoice, "void" if pause["behavior"] == "void" else "uncollectible"
            )
            return

        self._attempt(subscription, invoice, on_session=on_session, collected=collected)

    def pay(
        self,
        invoice: Object,
        payment_method_id: str | None,
        *,
        on_session: bool,
        out_of_band: bool = False,
    ) -> Decline | None:
        """Have an invoice paid because somebody asked for it.

        :returns: Why that failed, or ``None`` if it is paid.
        """
        subscription = self._subscription_of(invoice)

        if invoice["status"] == "draft":
            self._invoices.finalize(invoice)

        if out_of_band:
            self._invoices.mark_paid(invoice, out_of_band=True)
            decline = None
        else:
            decline = self._invoices.attempt(
                invoice, payment_method_id, on_session=on_session
            )

        self._conclude(subscription, invoice, paid=decline is None)
        self.schedule(subscription)
        return decline

    def resolve(self, invoice: Object, *, approved: bool) -> Decline | None:
        """End the wait for 3-D Secure of an invoice's payment.

        :param approved: The cardholder passed it.
        :returns: Why the payment failed, or ``None`` if the invoice is paid.
        """
        subscription = self._subscription_of(invoice)
        decline = self._invoices.resolve(invoice, approved=approved)
        self._conclude(subscription, invoice, paid=decline is None)
        self.schedule(subscription)
        return decline

    def _attempt(
        self,
        subscription: Object,
        invoice: Object,
        *,
        on_session: bool = False,
        collected: bool = False,
    ) -> None:
        retries = subscription["status"] not in ("incomplete", "paused")
        decline = self._invoices.attempt(
            invoice,
            self._payment_methods.default_of(subscription),
            on_session=on_session,
            retries=retries,
            collected=collected,
        )
        self._conclude(subscription, invoice, paid=decline is None)

        if (
            decline is not None
            and invoice["next_payment_attempt"] is None
            and subscription["status"] == "past_due"
        ):
            self._give_up(subscription)

    def _conclude(self, subscription: Object, invoice: Object, *, paid: bool) -> None:
        """Draw the conclusion from an attempt to be paid: the latest invoice counts."""
        status = subscription["status"]

        if invoice["id"] != subscription["latest_invoice"] or status in FINAL:
            return

        if status == "paused":
            if paid and self._hidden(subscription)["resumes_with"] == invoice["id"]:
                self.resume(subscription)
        elif paid and status in ("incomplete", "past_due", "unpaid"):
            with self._core.changing(subscription, UPDATED):
                subscription["status"] = "active"
        elif not paid and status == "active":
            with self._core.changing(subscription, UPDATED):
                subscription["status"] = "past_due"

    def _give_up(self, subscription: Object) -> None:
        """Do after the last try in vain what the account has chosen."""
        status = self._core.settings.after_retries

        if status == "canceled":
            self.end(subscription, reason="payment_failed")
        else:
            with self._core.changing(subscription, UPDATED):
                subscription["status"] = status

    def _subscription_of(self, invoice: Object) -> Object:
        found = self._core.store.find("subscription", subscription_of(invoice))

        if found is None:
            raise ApiError(f"The invoice {invoice['id']} has no subscription.")

        return found

    # Pauses

    def pause(self, subscription: Object, why: str) -> None:
        """Stop periods and invoices until :meth:`resume`.

        :param why: Stripe's word for the reason: ``pause_requested``, ...
        """
        with self._core.changing(subscription, UPDATED):
            subscription["status"] = "paused"
            subscription["status_details"] = {
                "paused": {
                    "subscription": {"type": why},
                    "transitioned_at": self._core.clock.now(),
                    "type": "subscription",
                }
            }

        self._core.emit("customer.subscription.paused", subscription)

    def resume(self, subscription: Object) -> None:
        """End a pause."""
        with self._core.changing(subscription, UPDATED):
            self.lift_pause(subscription)

        self._core.emit("customer.subscription.resumed", subscription)

    def lift_pause(self, subscription: Object) -> None:
        self._hidden(subscription)["resumes_with"] = None
        subscription["status"] = "active"
        subscription["status_details"] = None

    def credit_pause(self, subscription: Object, since: str) -> None:
        """Give back what a pause leaves unused.

        :param since: ``now``, ``item_current_period_start`` or ``none``.
        """
        if since != "none" and subscription["status"] in ("active", "past_due"):
            for item in subscription["items"]["data"]:
                start = item["current_period_start"]
                at = self._core.clock.now() if since == "now" else start
                self._credit(subscription, item, at)

    def resume_period(self, subscription: Object, *, prorate: bool) -> None:
        """Go on in the periods that there would be without the pause.

        :param prorate: Bill what is left of them.
        """
        now = self._core.clock.now()

        for item in subscription["items"]["data"]:
            item["current_period_start"], item["current_period_end"] = current_period(
                subscription["billing_cycle_anchor"], *interval_of(item), now
            )

            if prorate and item["id"] not in self._hidden(subscription)["billed"]:
                self._debit(subscription, item, now)

    # The end

    def schedule_end(self, subscription: Object, at: int) -> None:
        subscription["cancel_at"] = at
        subscription["canceled_at"] = self._core.clock.now()
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
        """End a subscription now."""
        subscription["cancel_at_period_end"] = False
        subscription["cancel_at"] = None
        subscription["cancellation_details"]["reason"] = reason
        subscription["canceled_at"] = self._core.clock.now()
        self._finish(subscription)

    def _finish(self, subscription: Object) -> None:
        subscription["status"] = "canceled"
        subscription["ended_at"] = self._core.clock.now()
        invoice = self._core.store.find("invoice", subscription["latest_invoice"])

        if invoice is not None and invoice["status"] == "open":
            self._invoices.stop_collecting(invoice)

        self._core.emit("customer.subscription.deleted", subscription)

    def _hidden(self, subscription: Object) -> Object:
        return self._core.store.hidden[subscription["id"]]


def _same(one: Object, other: Object) -> bool:
    return bool(
        one["price"]["id"] == other["price"]["id"]
        and one["quantity"] == other["quantity"]
    )
