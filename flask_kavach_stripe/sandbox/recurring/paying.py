"""Having an invoice paid because a call or a person on a page asks for it."""

from __future__ import annotations

from ..cards import AUTHENTICATION_REQUIRED
from ..cards import Decline
from ..cards import NO_CARD
from ..money.invoices import Invoices
from ..money.payment_methods import PaymentMethods
from ..money.payments import PaymentIntents
from ..object_store import Object
from ..params import boolean
from ..params import ignored
from ..params import read
from ..params import refused
from ..params import text
from ..resource import Params
from ..sandbox_errors import ApiError
from ..world import World
from .steps import Steps


class Paying:
    """The calls that pay, and the answer to 3-D Secure.

    The page of 3-D Secure calls :meth:`authenticate` with what the cardholder answered;
    ``next_action`` of the payment intent has its address.
    """

    def __init__(
        self,
        world: World,
        steps: Steps,
        invoices: Invoices,
        payments: PaymentIntents,
        payment_methods: PaymentMethods,
    ) -> None:
        self._world = world
        self._collection = steps.collection
        self._steps = steps
        self._invoices = invoices
        self._payments = payments
        self._payment_methods = payment_methods

    def pay_invoice(self, params: Params, object_id: str) -> Object:
        """Pay an invoice now; a refusal is the answer, and changes the invoice.

        Sends the events of :meth:`.Invoices.attempt`, and one of the subscription if
        its status changes.

        :raises ApiError: If it is paid or void already; ``resource_missing`` without a
            card; a ``card_error`` (402) if the card is refused, with the code
            ``invoice_payment_intent_requires_action`` if the bank asks for 3-D Secure.

        Source: https://docs.stripe.com/api/invoices/pay
        """
        invoice = self._invoices.get(object_id)
        values = read(
            params,
            {
                "forgive": refused,
                "mandate": ignored,
                "off_session": boolean,
                "paid_out_of_band": boolean,
                "payment_method": text(),
                "source": refused,
            },
        )

        if invoice["status"] not in ("draft", "open", "uncollectible"):
            raise ApiError(
                "Invoice is already paid"
                if invoice["status"] == "paid"
                else f"This invoice can no longer be paid: it is {invoice['status']}."
            )

        out_of_band = bool(values.get("paid_out_of_band"))
        card = self._card(invoice, values.get("payment_method"))

        if card is None and invoice["amount_due"] > 0 and not out_of_band:
            raise _error(NO_CARD)

        decline = self._pay(
            invoice,
            card,
            on_session=values.get("off_session") is False,
            out_of_band=out_of_band,
        )

        if decline is not None:
            raise _error(decline)

        return invoice

    def confirm(self, params: Params, object_id: str) -> Object:
        """Pay the invoice of a payment intent, as Stripe.js does in a browser.

        Where the bank asks for 3-D Secure, the answer has ``requires_action``.

        :raises ApiError: ``payment_intent_unexpected_state`` if it is over already; a
            ``card_error`` (402) if the card is refused.
        """
        intent = self._payments.get(object_id)
        values = read(
            params,
            {
                "mandate_data": ignored,
                "off_session": boolean,
                "payment_method": text(),
                "payment_method_options": ignored,
                "return_url": ignored,
                "setup_future_usage": ignored,
                "use_stripe_sdk": ignored,
            },
        )

        if intent["status"] in ("canceled", "succeeded"):
            raise ApiError(
                "This PaymentIntent could not be confirmed because its status is"
                f" {intent['status']}.",
                code="payment_intent_unexpected_state",
            )

        invoice = self._invoices.get(self._payments.invoice_of(intent))
        decline = self._pay(
            invoice,
            self._card(invoice, values.get("payment_method")),
            on_session=not values.get("off_session"),
        )

        if decline not in (None, AUTHENTICATION_REQUIRED):
            raise _error(decline)

        return intent

    def authenticate(self, invoice: Object, *, approved: bool) -> Decline | None:
        """End the wait for 3-D Secure, as one of its page's two buttons does.

        :param approved: The cardholder passed it.
        :returns: Why the payment failed, or ``None`` if the invoice is paid.
        :raises ApiError: ``payment_intent_unexpected_state`` if it does not wait.
        """
        intent = self._payments.of_invoice(invoice)

        if intent is None or intent["status"] != "requires_action":
            raise ApiError(
                "This payment does not wait for 3-D Secure.",
                code="payment_intent_unexpected_state",
            )

        with self._world.on_clock_of(invoice):
            decline = self._collection.resolve(invoice, approved=approved)
            self._steps.schedule(self._collection.subscription_of(invoice))
            return decline

    def _pay(
        self,
        invoice: Object,
        payment_method_id: str | None,
        *,
        on_session: bool,
        out_of_band: bool = False,
    ) -> Decline | None:
        """Have an invoice paid, and set the alarm for the subscription's next step."""
        decline = self._collection.pay(
            invoice, payment_method_id, on_session=on_session, out_of_band=out_of_band
        )
        self._steps.schedule(self._collection.subscription_of(invoice))
        return decline

    def _card(self, invoice: Object, payment_method_id: str | None) -> str | None:
        """Return the card that a call names, or the one that pays by default.

        One that belongs to no customer becomes the customer's.
        """
        if payment_method_id is None:
            return self._collection.card_of(invoice)

        payment_method = self._payment_methods.attach_to(
            invoice["customer"], payment_method_id, "payment_method"
        )
        card: str = payment_method["id"]
        return card


def _error(decline: Decline | None) -> ApiError:
    """Return the error of a payment that failed."""
    if decline is None or decline is NO_CARD:
        return ApiError(
            "There is no `default_payment_method` set on this Customer or Invoice."
            " Please attach a payment method and try again.",
            code="resource_missing",
        )

    if decline is AUTHENTICATION_REQUIRED:
        return ApiError(
            "This payment requires additional user action before it can be completed"
            " successfully.",
            status=402,
            type="card_error",
            code="invoice_payment_intent_requires_action",
        )

    return decline.to_error()
