"""The periods of a subscription, and what they cost.

Source: https://docs.stripe.com/billing/subscriptions/billing-cycle
"""

from __future__ import annotations

from collections.abc import Sequence

from ..clock import current_period
from ..money.discounts import Discounts
from ..money.invoices import Invoices
from ..money.item_prices import interval_of
from ..money.item_prices import period_end
from ..money.item_prices import quantity_of
from ..money.lines import item_of
from ..money.lines import Lines
from ..money.lines import net
from ..object_store import Object
from ..world import World


class Periods:
    """Moves items through their periods, and drafts the invoices for these.

    Beside what the API shows, a subscription has in the store's ``hidden``: ``billed``,
    the amount that each item's current period cost, and ``pending``, the prorations for
    the next invoice. The latter stand for Stripe's pending invoice items.

    Simplified: prorations are counted by the second, and for classic billing as for
    flexible; pending invoice items cannot be listed or changed.
    """

    def __init__(self, world: World, invoices: Invoices, discounts: Discounts) -> None:
        self._world = world
        self._invoices = invoices
        self._discounts = discounts
        self._lines = Lines(world)

    def begin_periods(
        self, subscription: Object, items: Sequence[Object], reason: str
    ) -> Object:
        """Move items to the period that begins now, and draft the invoice for it.

        A trial is one free period that ends with it.

        :param items: Those with a period that is over, or all of them.
        :param reason: The ``billing_reason``.
        """
        now = self._world.clock.now()
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
        """Begin the next period of the items with a period that is over.

        :param reason: The ``billing_reason``.
        """
        now = self._world.clock.now()
        ended = [
            item
            for item in subscription["items"]["data"]
            if item["current_period_end"] <= now
        ]
        return self.begin_periods(subscription, ended, reason)

    def end_trial(self, subscription: Object, reason: str) -> Object:
        """Begin the first period that costs something, with a new anchor.

        :param reason: The ``billing_reason``.
        """
        now = self._world.clock.now()
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

        # Differs from Stripe: with classic billing it gives back a part of the price,
        # not of the amount that was billed.
        at = self._world.clock.now() if at is None else at
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
        """Draft an invoice for the prorations, if there are any.

        :param reason: The ``billing_reason``.
        """
        if not self._world.hidden_of(subscription)["pending"]:
            return None

        now = self._world.clock.now()
        return self._draft(subscription, reason, [], period_start=now)

    def credit_pause(self, subscription: Object, since: str) -> None:
        """Give back what a pause leaves unused.

        :param since: ``now``, ``item_current_period_start`` or ``none``.
        """
        if since != "none" and subscription["status"] in ("active", "past_due"):
            for item in subscription["items"]["data"]:
                start = item["current_period_start"]
                at = self._world.clock.now() if since == "now" else start
                self._credit(subscription, item, at)

    def resume_period(self, subscription: Object, *, prorate: bool) -> None:
        """Go on in the periods that there would be without the pause.

        :param prorate: Bill what is left of them.
        """
        now = self._world.clock.now()

        for item in subscription["items"]["data"]:
            item["current_period_start"], item["current_period_end"] = current_period(
                subscription["billing_cycle_anchor"], *interval_of(item), now
            )

            if (
                prorate
                and item["id"] not in self._world.hidden_of(subscription)["billed"]
            ):
                self._debit(subscription, item, now)

    def _credit(self, subscription: Object, item: Object, at: int) -> None:
        """Keep a credit for an item, of what was billed for it; once only."""
        billed = self._world.hidden_of(subscription)["billed"].pop(item["id"], 0)
        self._keep(subscription, self._lines.unused(subscription, item, billed, at))

    def _debit(self, subscription: Object, item: Object, at: int) -> None:
        """Keep a debit for an item, and remember what its whole period costs."""
        full = item["price"]["unit_amount"] * quantity_of(item)
        discounts = self._discounts.active(subscription)
        taken = sum(parts[0] for parts in self._discounts.deduct(discounts, [full]))
        self._world.hidden_of(subscription)["billed"][item["id"]] = full - taken
        self._keep(subscription, self._lines.remaining(subscription, item, at))

    def _keep(self, subscription: Object, line: Object | None) -> None:
        """Put a proration on the next invoice, if there is one."""
        if line is not None:
            self._world.hidden_of(subscription)["pending"].append(line)

    def _draft(
        self,
        subscription: Object,
        reason: str,
        lines: Sequence[Object],
        *,
        period_start: int,
    ) -> Object:
        """Draft the subscription's next invoice, of prorations and then lines.

        :param period_start: Start of the period that has just ended.
        """
        hidden = self._world.hidden_of(subscription)
        before = self._world.store.find("invoice", subscription["latest_invoice"])

        # Differs from Stripe: a new invoice ends the attempts to charge the one before.
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


def _same(one: Object, other: Object) -> bool:
    """Do two items cost the same?"""
    return bool(
        one["price"]["id"] == other["price"]["id"]
        and quantity_of(one) == quantity_of(other)
    )
