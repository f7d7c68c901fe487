"""The calls that change, finalise or give up an invoice."""

from __future__ import annotations

from ..money.invoices import Invoices
from ..object_store import Object
from ..params import boolean
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import text
from ..resource import Params
from ..sandbox_errors import ApiError
from ..world import World
from .steps import Steps


class InvoiceActions:
    """The calls ``finalize``, ``void`` and ``mark_uncollectible``, and updates.

    Simplified: a draft that a call finalises is not charged by itself; a call has it
    paid, or a person on its page.
    """

    def __init__(self, world: World, steps: Steps, invoices: Invoices) -> None:
        self._world = world
        self._steps = steps
        self._invoices = invoices

    def update(self, params: Params, object_id: str) -> Object:
        """Change what does not change the amount, and send ``invoice.updated``."""
        invoice = self._invoices.get(object_id)
        values = read(
            params,
            {
                "auto_advance": boolean,
                "description": text(1500),
                "footer": text(),
                "metadata": metadata,
            },
        )

        with self._world.changing(invoice, "invoice.updated"):
            if "metadata" in values:
                invoice["metadata"] = merge_metadata(
                    invoice["metadata"], values["metadata"]
                )

            for name in ("description", "footer"):
                if name in values:
                    invoice[name] = values[name]

            if values.get("auto_advance") is not None:
                invoice["auto_advance"] = values["auto_advance"]

        return invoice

    def finalize(self, params: Params, object_id: str) -> Object:
        """Make a draft a demand for money; one that asks for nothing then is paid.

        :raises ApiError: ``invoice_not_editable`` if it is no draft.
        """
        invoice = self._invoices.get(object_id)
        values = read(params, {"auto_advance": boolean})
        self._check(invoice, ("draft",), "finalized")

        if values.get("auto_advance") is not None:
            invoice["auto_advance"] = values["auto_advance"]

        # Differs from Stripe: it charges the card by itself, unless "auto_advance" is
        # false.
        self._invoices.finalize(invoice)

        if invoice["amount_due"] == 0:
            self._steps.collection.pay(invoice, None, on_session=False)

        return invoice

    def void(self, params: Params, object_id: str) -> Object:
        """Say that an open or uncollectible invoice was a mistake.

        Sends ``invoice.voided``.

        :raises ApiError: If it has another status.
        """
        invoice = self._invoices.get(object_id)
        read(params, {})
        self._check(invoice, ("open", "uncollectible"), "voided")
        return self._close(invoice, "void")

    def mark_uncollectible(self, params: Params, object_id: str) -> Object:
        """Say that an open invoice will not be paid.

        Sends ``invoice.marked_uncollectible``.

        :raises ApiError: If it has another status.
        """
        invoice = self._invoices.get(object_id)
        read(params, {})
        self._check(invoice, ("open",), "marked as uncollectible")
        return self._close(invoice, "uncollectible")

    def _close(self, invoice: Object, status: str) -> Object:
        """Close an invoice, and draw the conclusions for its subscription."""
        self._invoices.close(invoice, status)
        self._steps.collection.conclude_closing(invoice)
        self._steps.schedule(self._steps.collection.subscription_of(invoice))
        return invoice

    def _check(self, invoice: Object, statuses: tuple[str, ...], what: str) -> None:
        """Check that an invoice has one of some statuses.

        :param what: What cannot be done otherwise, for the error.
        """
        if invoice["status"] not in statuses:
            raise ApiError(
                f"Only an invoice that is {' or '.join(statuses)} can be {what}; this"
                f" one is {invoice['status']}.",
                code="invoice_not_editable" if what == "finalized" else None,
            )
