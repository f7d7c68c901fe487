"""Having the invoices of subscriptions paid, and what follows from it.

This is Stripe's dunning: the status of a subscription follows the state of its latest
invoice.

Source: https://docs.stripe.com/billing/subscriptions/overview
"""

from __future__ import annotations

from ..cards import Decline
from ..money.invoices import Invoices
from ..money.invoices import subscription_id_of
from ..money.payment_methods import PaymentMethods
from ..object_store import Object
from ..sandbox_errors import ApiError
from ..world import World
from .pending_updates import PendingUpdates
from .subscription_object import FINAL
from .subscription_object import UPDATED
from .transitions import Transitions


class Collection:
    """Charges cards for invoices, and draws the conclusions.

    Simplified: a draft is finalised and charged at once, where Stripe leaves the draft
    of a renewal alone for an hour; a new invoice ends the attempts to charge the one
    before.
    """

    def __init__(
        self,
        world: World,
        invoices: Invoices,
        payment_methods: PaymentMethods,
        pending_updates: PendingUpdates,
        transitions: Transitions,
    ) -> None:
        self._world = world
        self._invoices = invoices
        self._payment_methods = payment_methods
        self._pending_updates = pending_updates
        self._transitions = transitions

    def refusal(
        self, subscription: Object, invoice: Object, *, on_session: bool
    ) -> Decline | None:
        """Return why an invoice that is not final could not be paid now.

        Nothing is charged. The customer's credit is counted.

        :param on_session: The cardholder is there.
        :returns: ``None`` if it could be paid, or asks for nothing.
        """
        customer = self._world.store.find("customer", subscription["customer"]) or {}

        if invoice["total"] + customer.get("balance", 0) <= 0:
            return None

        return self._payment_methods.would_refuse(
            self._payment_methods.default_of(subscription), on_session=on_session
        )

    def card_of(self, invoice: Object) -> str | None:
        """Return the card that pays an invoice if no other one is named."""
        return self._payment_methods.default_of(self.subscription_of(invoice))

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

        Sends the events of the invoice, then one of the subscription if its status
        changes. A paused collection keeps the draft, voids the invoice or marks it as
        uncollectible; that of an ``unpaid`` subscription stays a draft, too.

        :param on_session: The cardholder is there.
        :param collected: The card was just charged on a page.
        :param attempt: Charge the card; otherwise the invoice waits for a call or a
            page.
        """
        pause = subscription["pause_collection"] or {}
        self._invoices.announce(invoice)

        kept = pause.get("behavior") == "keep_as_draft"

        if kept or subscription["status"] == "unpaid":
            self._invoices.stop_collecting(invoice)
            return

        # Differs from Stripe: a renewal's draft does not wait for an hour, so an app
        # cannot add to it.
        self._invoices.finalize(invoice)

        if invoice["amount_due"] > 0 and not attempt:
            self._conclude(subscription, invoice, paid=False)
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
        """Have an invoice paid because a call or a page asks for it.

        A draft is finalised first.

        :param payment_method_id: The card, if one is to be charged.
        :param out_of_band: The money came another way.
        :returns: Why that failed, or ``None`` if it is paid.
        """
        subscription = self.subscription_of(invoice)

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
        return decline

    def resolve(self, invoice: Object, *, approved: bool) -> Decline | None:
        """End the wait for 3-D Secure of an invoice's payment.

        :param approved: The cardholder passed it.
        :returns: Why the payment failed, or ``None`` if the invoice is paid.
        """
        subscription = self.subscription_of(invoice)
        decline = self._invoices.resolve(invoice, approved=approved)
        self._conclude(subscription, invoice, paid=decline is None)
        return decline

    def retry(self, subscription: Object) -> None:
        """Try again to have the latest invoice paid, as it was planned."""
        invoice = self._invoices.get(subscription["latest_invoice"])
        self._attempt(subscription, invoice)

    def _attempt(
        self,
        subscription: Object,
        invoice: Object,
        *,
        on_session: bool = False,
        collected: bool = False,
    ) -> None:
        """Charge the card for an invoice; the last attempt that fails gives it up.

        No further attempts are planned for a first invoice, one that ends a pause, or
        one that a pending update waits for.
        """
        waits = self._pending_updates.waits_for(subscription, invoice)
        retries = not waits and subscription["status"] not in ("incomplete", "paused")
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
            and not waits
        ):
            self._give_up(subscription)

    def _conclude(self, subscription: Object, invoice: Object, *, paid: bool) -> None:
        """Draw the conclusion from an attempt to be paid: the latest invoice counts.

        Paid: ``incomplete``, ``past_due`` and ``unpaid`` become ``active``, and a pause
        that waited for the money ends. Not paid: ``active`` becomes ``past_due``. The
        rest stays.
        """
        status = subscription["status"]

        if self._pending_updates.waits_for(subscription, invoice):
            if paid:
                self._pending_updates.apply(subscription)

            return

        if status in FINAL or invoice is not self._deciding_invoice(subscription):
            return

        if status == "paused":
            if (
                paid
                and self._world.hidden_of(subscription)["resumes_with"] == invoice["id"]
            ):
                self._transitions.resume(subscription)
        elif paid and status in ("incomplete", "past_due", "unpaid"):
            with self._world.changing(subscription, UPDATED):
                subscription["status"] = "active"
        elif not paid and status == "active":
            with self._world.changing(subscription, UPDATED):
                subscription["status"] = "past_due"

    def _deciding_invoice(self, subscription: Object) -> Object | None:
        """Return the newest invoice that decides about the status: voided ones do not.

        Source: https://docs.stripe.com/billing/subscriptions/overview
        """
        latest = self._world.store.find("invoice", subscription["latest_invoice"])

        if latest is None or latest["status"] != "void":
            return latest

        return next(
            (
                invoice
                for invoice in self._invoices.of_customer(subscription["customer"])
                if subscription_id_of(invoice) == subscription["id"]
                and invoice["status"] not in ("draft", "void")
            ),
            None,
        )

    def conclude_closing(self, invoice: Object) -> None:
        """Draw the conclusion from an invoice that was voided or is uncollectible.

        A first invoice that is void ends its subscription. Of later ones an
        uncollectible one is as good as paid, and a void one as if it had never been. A
        pending update that waits for the invoice expires.
        """
        subscription = self.subscription_of(invoice)
        status = subscription["status"]

        if self._pending_updates.waits_for(subscription, invoice):
            self._pending_updates.expire(subscription)
        elif status == "incomplete" and invoice["status"] == "void":
            self._transitions.expire(subscription)
        elif status in ("past_due", "unpaid"):
            decides = self._deciding_invoice(subscription)

            if decides is None or decides["status"] in ("paid", "uncollectible"):
                with self._world.changing(subscription, UPDATED):
                    subscription["status"] = "active"

    def _give_up(self, subscription: Object) -> None:
        """Do after the last failed attempt what the account has chosen."""
        status = self._world.settings.after_retries

        if status == "canceled":
            self._transitions.end(subscription, reason="payment_failed")
        else:
            with self._world.changing(subscription, UPDATED):
                subscription["status"] = status

    def subscription_of(self, invoice: Object) -> Object:
        """Return the subscription that an invoice bills.

        :raises ApiError: If there is none any more.
        """
        subscription = self._world.store.find(
            "subscription", subscription_id_of(invoice)
        )

        if subscription is None:
            raise ApiError(f"The invoice {invoice['id']} has no subscription.")

        return subscription
