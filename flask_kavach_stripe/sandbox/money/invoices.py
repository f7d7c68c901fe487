"""Invoices of subscriptions, and the attempts to have them paid.

:mod:`..recurring.collection` decides when an invoice is finalised and charged, and what
that means for the subscription. Here is what it means for the invoice.

Source: https://docs.stripe.com/invoicing/overview
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..cards import AUTHENTICATION_REQUIRED
from ..cards import Decline
from ..clock import DAY
from ..object_store import clone
from ..object_store import Object
from ..params import choice
from ..params import in_range
from ..params import LIST_SPEC
from ..params import read
from ..params import text
from ..params import time_range
from ..resource import page
from ..resource import Params
from ..resource import Resource
from ..world import World
from .discounts import Discounts
from .invoice_object import new_invoice
from .payments import PaymentIntents


class Invoices(Resource):
    """``/v1/invoices``: reading, and what happens to an invoice.

    :mod:`..recurring.invoice_actions` and :mod:`..recurring.paying` have the other
    calls.

    The order of events of an invoice that is paid is ``invoice.created``,
    ``invoice.finalized``, ``invoice.paid``, ``invoice.payment_succeeded``; of one that
    is not, ``invoice.payment_failed`` in place of the last two, followed by
    ``invoice.payment_action_required`` if the bank asks for 3-D Secure.

    Simplified: there are no taxes, no smallest amount that can be charged, no credit
    notes, and no invoices without a subscription.
    """

    kind = "invoice"
    noun = "invoice"
    path = "/v1/invoices"

    def __init__(
        self, world: World, payments: PaymentIntents, discounts: Discounts
    ) -> None:
        super().__init__(world)
        self._payments = payments
        self._discounts = discounts

    # The API

    def list(self, params: Params) -> Object:
        """Return a page of the invoices, newest first.

        Filtered by ``created``, ``customer``, ``status`` and ``subscription``; all are
        charged automatically.
        """
        return self.select(
            params,
            {
                "collection_method": choice("charge_automatically", "send_invoice"),
                "created": time_range,
                "customer": text(),
                "customer_account": text(),
                "due_date": time_range,
                "status": choice("draft", "open", "paid", "uncollectible", "void"),
                "subscription": text(),
            },
            lambda invoice, wanted: (
                invoice["customer"] == (wanted.get("customer") or invoice["customer"])
                and invoice["status"] == (wanted.get("status") or invoice["status"])
                and wanted.get("subscription") in (None, subscription_id_of(invoice))
                and wanted.get("collection_method") != "send_invoice"
                and in_range(invoice["created"], wanted.get("created"))
            ),
        )

    def list_lines(self, params: Params, object_id: str) -> Object:
        """Answer ``GET /v1/invoices/<id>/lines``."""
        lines = self.get(object_id)["lines"]
        return page(lines["data"], read(params, LIST_SPEC), lines["url"], "line item")

    # What the steps of a subscription do with invoices

    def of_customer(self, customer_id: str) -> Sequence[Object]:
        """Return the invoices of a customer, newest first."""
        return [
            invoice
            for invoice in self.world.store.all("invoice")
            if invoice["customer"] == customer_id
        ]

    def draft(
        self,
        subscription: Object,
        reason: str,
        lines: Sequence[Object],
        *,
        period_start: int,
    ) -> Object:
        """Make an invoice of lines; no event is sent yet.

        :param reason: The ``billing_reason``.
        :param period_start: Start of the period that has just ended.
        :returns: An invoice with the status ``draft``, which the lines now name.
        """
        store = self.world.store
        invoice_id = store.new_id("invoice")
        discounts = self._discounts.active(subscription)
        taken = self._take_off(discounts, lines)

        for line in lines:
            line["invoice"] = invoice_id

        invoice = new_invoice(
            self.world,
            invoice_id,
            subscription,
            reason,
            lines,
            discounts=discounts,
            taken=taken,
            period_start=period_start,
        )
        return store.add(invoice, payment_intent=None)

    def announce(self, invoice: Object) -> None:
        """Send ``invoice.created``."""
        self.world.emit("invoice.created", invoice)

    def finalize(self, invoice: Object) -> None:
        """Make a draft a demand for money, less what the customer has in credit.

        It gets its ``number`` and its page, and a payment intent if anything is left to
        pay. Sends ``invoice.finalized``, after a ``customer.updated`` if the customer's
        balance changes.
        """
        now = self.world.clock.now()
        customer = self.world.store.find("customer", invoice["customer"])

        if customer is not None and not customer.get("deleted"):
            self._settle_balance(invoice, customer)
            number = customer["next_invoice_sequence"]
            customer["next_invoice_sequence"] += 1
            invoice["number"] = f"{customer['invoice_prefix']}-{number:04}"

        invoice["status"] = "open"
        invoice["effective_at"] = now
        invoice["hosted_invoice_url"] = f"{self.world.base_url}/i/{invoice['id']}"
        invoice["status_transitions"]["finalized_at"] = now
        invoice["webhooks_delivered_at"] = now

        # Differs from Stripe: an amount below the smallest that can be charged, such as
        # 10 cents, is charged and not kept as a balance for the next invoice.
        if invoice["amount_due"] > 0:
            intent = self._payments.add(invoice)
            self.world.hidden_of(invoice)["payment_intent"] = intent["id"]

        self.world.emit("invoice.finalized", invoice)

    def attempt(
        self,
        invoice: Object,
        payment_method_id: str | None,
        *,
        on_session: bool,
        retries: bool | None = None,
        collected: bool = False,
    ) -> Decline | None:
        """Try to have an open invoice paid.

        Sends ``invoice.paid`` and ``invoice.payment_succeeded``, or
        ``invoice.payment_failed``. An invoice that asks for nothing is paid without a
        payment.

        :param payment_method_id: The card; ``None`` if there is none, which fails.
        :param on_session: The cardholder is there, and could pass 3-D Secure.
        :param retries: Whether further attempts follow if this one fails; ``None``
            leaves what is planned.
        :param collected: The card was just charged on a page.
        :returns: Why it failed, or ``None`` if the invoice is paid.
        """
        intent = self._payments.of_invoice(invoice)
        decline = None
        invoice["attempted"] = True

        if intent is not None:
            invoice["attempt_count"] += 1

            if collected:
                self._payments.succeed(intent, payment_method_id)
            else:
                decline = self._payments.attempt(
                    intent, payment_method_id, on_session=on_session
                )

        if decline is None:
            self.mark_paid(invoice)
            return None

        # Differs from Stripe: fixed days, where "smart retries" choose the hour.
        tries, days = invoice["attempt_count"] - 1, self.world.settings.retry_days

        if retries and tries < len(days):
            invoice["next_payment_attempt"] = self.world.clock.now() + days[tries] * DAY
        elif retries is not None:
            self.stop_collecting(invoice)

        self._announce_failure(invoice, decline)
        return decline

    def resolve(self, invoice: Object, *, approved: bool) -> Decline | None:
        """End the wait for 3-D Secure of an invoice's payment.

        Sends the same events as :meth:`attempt`.

        :param approved: The cardholder passed it.
        :returns: Why the payment failed, or ``None`` if the invoice is paid.
        """
        hidden = self.world.hidden_of(invoice)
        intent = self._payments.get(hidden["payment_intent"])
        decline = self._payments.resolve(intent, approved=approved)

        if decline is None:
            self.mark_paid(invoice)
        else:
            self._announce_failure(invoice, decline)

        return decline

    def mark_paid(self, invoice: Object, *, out_of_band: bool = False) -> None:
        """Note that an invoice is paid.

        Sends ``invoice.paid``, and ``invoice.payment_succeeded`` if a payment
        succeeded.

        :param out_of_band: In cash, for instance: the payment intent is canceled.
        """
        invoice["attempted"] = True
        invoice["auto_advance"] = False
        invoice["status"] = "paid"
        # Differs from Stripe: there are no partial payments.
        invoice["amount_paid"] = invoice["amount_due"]
        invoice["amount_remaining"] = 0
        invoice["next_payment_attempt"] = None
        invoice["status_transitions"]["paid_at"] = self.world.clock.now()

        if out_of_band:
            invoice["amount_paid_off_stripe"] = invoice["amount_paid"]
            self.world.hidden_of(invoice)["paid_out_of_band"] = True

        self.world.emit("invoice.paid", invoice)

        if out_of_band:
            self._cancel_payment(invoice)
        else:
            self.world.emit("invoice.payment_succeeded", invoice)

    def close(self, invoice: Object, status: str) -> None:
        """Give an open invoice up: void it, or mark it as uncollectible.

        Sends ``invoice.voided`` or ``invoice.marked_uncollectible``. The payment of a
        void invoice is canceled; an uncollectible one can still be paid.

        :param status: ``void`` or ``uncollectible``.
        """
        names = {"uncollectible": "marked_uncollectible", "void": "voided"}
        name = names[status]
        invoice["auto_advance"] = False
        invoice["next_payment_attempt"] = None
        invoice["status"] = status
        invoice["status_transitions"][f"{name}_at"] = self.world.clock.now()

        if status == "uncollectible":
            invoice["status_details"] = {"uncollectible": {"reason": "user_forgiven"}}

        if status == "void":
            invoice["amount_remaining"] = 0
            self._cancel_payment(invoice)

        self.world.emit(f"invoice.{name}", invoice)

    def stop_collecting(self, invoice: Object) -> None:
        """Try no more to have an invoice paid; it stays open."""
        invoice["auto_advance"] = False
        invoice["next_payment_attempt"] = None

    def _announce_failure(self, invoice: Object, decline: Decline) -> None:
        """Send ``invoice.payment_failed``, and that the customer has to act if so."""
        self.world.emit("invoice.payment_failed", invoice)

        if decline is AUTHENTICATION_REQUIRED:
            self.world.emit("invoice.payment_action_required", invoice)

    def _cancel_payment(self, invoice: Object) -> None:
        """Cancel the payment of an invoice, if it has one."""
        if (intent := self._payments.of_invoice(invoice)) is not None:
            self._payments.cancel(intent)

    def _settle_balance(self, invoice: Object, customer: Object) -> None:
        """Use up a customer's credit, or keep what an invoice gives back as credit."""
        due = invoice["total"] + customer["balance"]
        invoice["starting_balance"] = customer["balance"]
        invoice["ending_balance"] = min(0, due)
        invoice["amount_due"] = invoice["amount_remaining"] = max(0, due)

        with self.world.changing(customer, "customer.updated"):
            customer["balance"] = invoice["ending_balance"]

    def _take_off(
        self, discounts: Sequence[Object], lines: Sequence[Object]
    ) -> Sequence[dict[str, Any]]:
        """Write what discounts take off into the lines.

        :returns: The sum for each discount.
        """
        targets = [line for line in lines if line["discountable"]]
        taken = self._discounts.deduct(discounts, [line["amount"] for line in targets])

        for discount, parts in zip(discounts, taken, strict=True):
            for line, part in zip(targets, parts, strict=True):
                line["discount_amounts"].append(
                    {"amount": part, "discount": discount["id"]}
                )

        return [
            {"amount": sum(parts), "discount": discount["id"]}
            for discount, parts in zip(discounts, taken, strict=True)
        ]


def preview_of(
    invoice: Object, customer: Object | None, preview_id: str | None = None
) -> Object:
    """Return a draft as Stripe shows an invoice that does not exist yet.

    :param customer: The customer, to count their credit; ``None`` leaves the amounts.
    :param preview_id: ``upcoming_in_...``; without one it has no ``id``, as in
        ``invoice.upcoming``.
    """
    preview: Object = clone(invoice)

    if customer is not None:
        due = preview["total"] + customer["balance"]
        preview["starting_balance"] = customer["balance"]
        preview["ending_balance"] = min(0, due)
        preview["amount_due"] = preview["amount_remaining"] = max(0, due)

    preview["lines"]["url"] = f"/v1/invoices/{preview_id or 'upcoming'}/lines"

    for line in preview["lines"]["data"]:
        line["invoice"] = preview_id

    if preview_id is None:
        del preview["id"]
    else:
        preview["id"] = preview_id

    return preview


def subscription_id_of(invoice: Object) -> str | None:
    """Return the subscription that an invoice bills."""
    parent = invoice["parent"] or {}
    details = parent.get("subscription_details") or {}
    subscription_id: str | None = details.get("subscription")
    return subscription_id
