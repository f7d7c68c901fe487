"""Invoice payments: which payment belongs to which invoice, since basil.

Source: https://docs.stripe.com/api/invoice-payment
"""

from __future__ import annotations

from collections.abc import Sequence

from ..object_store import Object
from ..params import choice
from ..params import in_range
from ..params import LIST_SPEC
from ..params import mapping
from ..params import read
from ..params import text
from ..params import time_range
from ..resource import list_object
from ..resource import page
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import resource_missing
from ..world import World
from .payments import PaymentIntents

_STATUSES = {"canceled": "canceled", "succeeded": "paid"}


class InvoicePayments(Resource):
    """``/v1/invoice_payments``: read only.

    They are not stored: each is written anew from an invoice and its payment intent
    when it is asked for. ``payments`` of an invoice is included with ``expand[]``.

    Simplified: an invoice is paid at once and in full, or not at all, so it has one
    payment at most.
    """

    kind = "invoice_payment"
    noun = "invoice_payment"
    path = "/v1/invoice_payments"

    def __init__(self, world: World, payments: PaymentIntents) -> None:
        super().__init__(world)
        self._payments = payments
        world.included["invoice", "payments"] = self._of_invoice

    def list(self, params: Params) -> Object:
        """Find the invoice of a payment, or the payment of an invoice.

        Source: https://docs.stripe.com/api/invoice-payment/list
        """
        wanted = read(
            params,
            {
                **LIST_SPEC,
                "created": time_range,
                "invoice": text(),
                "payment": mapping(
                    {
                        "payment_intent": text(),
                        "payment_record": text(),
                        "type": choice("payment_intent", "payment_record"),
                    },
                    required=("type",),
                ),
                "status": choice("canceled", "open", "paid"),
            },
        )
        payment = wanted.get("payment") or {}
        payments = [
            entry
            for entry in self._all()
            if wanted.get("invoice") in (None, entry["invoice"])
            and wanted.get("status") in (None, entry["status"])
            and payment.get("type") != "payment_record"
            and payment.get("payment_intent")
            in (None, entry["payment"]["payment_intent"])
            and in_range(entry["created"], wanted.get("created"))
        ]
        return page(payments, wanted, self.path, self.noun)

    def get(self, object_id: str, param: str = "id", *, status: int = 404) -> Object:
        """Return the payment with this id.

        :raises ApiError: ``resource_missing``.
        """
        for entry in self._all():
            if entry["id"] == object_id:
                return entry

        raise resource_missing(self.noun, object_id, param, status=status)

    def _all(self) -> Sequence[Object]:
        """Return one for each payment intent, newest first."""
        return [
            self._write(intent) for intent in self.world.store.all(self._payments.kind)
        ]

    def _of_invoice(self, invoice: Object) -> Object:
        """Return the list that an invoice shows as ``payments``."""
        intent = self._payments.of_invoice(invoice)
        url = f"{self.path}?invoice={invoice['id']}"
        return list_object([] if intent is None else [self._write(intent)], url)

    def _write(self, intent: Object) -> Object:
        """Return what stands between a payment intent and its invoice.

        Its status is ``open``, ``paid`` or ``canceled``.
        """
        invoice_id = self._payments.invoice_of(intent)
        invoice = self.world.store.find("invoice", invoice_id) or {}
        status = _STATUSES.get(intent["status"], "open")
        paid = status == "paid"
        return {
            "id": "inpay_" + intent["id"].removeprefix("pi_"),
            "object": self.kind,
            "amount_paid": intent["amount"] if paid else None,
            "amount_requested": intent["amount"],
            "created": intent["created"],
            "currency": intent["currency"],
            "invoice": invoice_id,
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": status,
            "status_transitions": {
                "canceled_at": intent["canceled_at"],
                "paid_at": invoice["status_transitions"]["paid_at"] if paid else None,
            },
        }
