"""Customers: the calls of the API, and what they may ask for.

Source: https://docs.stripe.com/api/customers
"""

from __future__ import annotations

import hashlib
from typing import Any

from ..money.payment_methods import ADDRESS
from ..money.payment_methods import PaymentMethods
from ..object_store import Object
from ..params import array
from ..params import email
from ..params import ignored
from ..params import in_range
from ..params import integer
from ..params import mapping
from ..params import merge_metadata
from ..params import metadata
from ..params import read
from ..params import refused
from ..params import Spec
from ..params import text
from ..params import time_range
from ..resource import list_object
from ..resource import Params
from ..resource import Resource
from ..sandbox_errors import ApiError
from ..sandbox_errors import resource_missing
from ..world import TEST_CLOCK
from ..world import World
from .subscription_calls import Subscriptions

_SPEC: Spec = {
    "address": ADDRESS,
    # Not simulated: money that is given to a customer by hand.
    "balance": refused,
    "business_name": text(150),
    "cash_balance": refused,
    "description": text(),
    "email": email,
    "individual_name": text(150),
    "invoice_prefix": text(12),
    "invoice_settings": mapping(
        {
            "custom_fields": ignored,
            "default_payment_method": text(),
            "footer": text(),
            "rendering_options": ignored,
        }
    ),
    "metadata": metadata,
    "name": text(256),
    "next_invoice_sequence": integer(1),
    "phone": text(20),
    "preferred_locales": array(text()),
    "shipping": mapping({"address": ADDRESS, "name": text(), "phone": text()}),
    "source": refused,
    "tax": ignored,
    "tax_exempt": text(),
}
_PLAIN = ("address", "description", "email", "name", "phone", "shipping")


class Customers(Resource):
    """``/v1/customers``: who pays.

    Events: ``customer.created``, ``customer.updated``, ``customer.deleted``.
    ``subscriptions`` is included with ``expand[]``: the first ten that have not ended.

    Simplified: a ``balance`` comes from prorations alone and cannot be set; there are
    no tax ids, sources and cash balances; and no customer is ever ``delinquent``, as
    the ``status`` of the subscription says the same.
    """

    kind = "customer"
    noun = "customer"
    path = "/v1/customers"

    def __init__(
        self,
        world: World,
        subscriptions: Subscriptions,
        payment_methods: PaymentMethods,
    ) -> None:
        super().__init__(world)
        self._subscriptions = subscriptions
        self._payment_methods = payment_methods
        world.included["customer", "subscriptions"] = lambda customer: list_object(
            self._subscriptions.of_customer(customer["id"])[:10],
            f"{self.path}/{customer['id']}/subscriptions",
        )

    def create(self, params: Params) -> Object:
        """Keep a new customer, with a card if ``payment_method`` has one.

        Sends ``customer.created``, after ``payment_method.attached`` if there is a
        card.

        :raises ApiError: ``resource_missing`` for an unknown test clock or card; a
            ``card_error`` (402) if the card is refused. Then there is no customer.
        """
        values = read(
            params,
            {
                **_SPEC,
                "payment_method": text(),
                "tax_id_data": ignored,
                "test_clock": text(),
                "validate": ignored,
            },
        )
        test_clock_id = values.get("test_clock")

        if test_clock_id and self.world.store.find(TEST_CLOCK, test_clock_id) is None:
            raise resource_missing("test clock", test_clock_id, "test_clock")

        return self.add(values)

    def add(self, values: dict[str, Any]) -> Object:
        """Keep a new customer; also Checkout makes one this way.

        :param values: What the API's calls read, checked.
        :raises ApiError: As :meth:`create` does.
        """
        store = self.world.store
        customer_id = store.new_id("customer")
        prefix = hashlib.sha256(customer_id.encode()).hexdigest()[:8].upper()
        customer: Object = {
            "id": customer_id,
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": self.world.clock.now(),
            "currency": None,
            "customer_account": None,
            "default_source": None,
            # Differs from Stripe: never true, also while an invoice is past due.
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": None,
            "invoice_prefix": prefix,
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": {},
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": values.get("test_clock"),
        }
        store.add(customer)

        try:
            self._attach(customer, values)
            self._write(customer, values)
        except ApiError:
            store.remove(self.kind, customer_id)
            raise

        self.world.emit("customer.created", customer)
        return customer

    def _attach(self, customer: Object, values: dict[str, Any]) -> None:
        """Give a new customer the card that the call names.

        ``default_payment_method`` may name the same: a ready one such as
        ``pm_card_visa`` gets a new id here.
        """
        given = values.get("payment_method")

        if not given:
            return

        card = self._payment_methods.attach_to(customer["id"], given, "payment_method")
        settings = values.get("invoice_settings") or {}

        if settings.get("default_payment_method") == given:
            settings["default_payment_method"] = card["id"]

    def get_live(
        self, customer_id: str, param: str = "id", *, status: int = 404
    ) -> Object:
        """Return a customer that is not deleted.

        :raises ApiError: ``resource_missing`` if there is none, or it is deleted.
        """
        customer = self.get(customer_id, param, status=status)

        if customer.get("deleted"):
            raise resource_missing("customer", customer_id, param, status=status)

        return customer

    def list(self, params: Params) -> Object:
        """Return a page of the customers, newest first, without deleted ones.

        Filtered by ``created``, ``email`` (in its exact case) and ``test_clock``.
        """
        return self.select(
            params,
            {"created": time_range, "email": text(512), "test_clock": text()},
            lambda customer, wanted: (
                not customer.get("deleted")
                and wanted.get("test_clock") in (None, customer["test_clock"])
                and customer["email"] == (wanted.get("email") or customer["email"])
                and in_range(customer["created"], wanted.get("created"))
            ),
        )

    def update(self, params: Params, object_id: str) -> Object:
        """Change a customer and send ``customer.updated`` if anything is new.

        :raises ApiError: ``resource_missing`` for a card that is not the customer's.
        """
        customer = self.get_live(object_id)
        values = read(params, {**_SPEC, "default_source": refused, "validate": ignored})

        with self.world.changing(customer, "customer.updated"):
            self._write(customer, values)

        return customer

    def delete(self, params: Params, object_id: str) -> Object:
        """Delete a customer; its subscriptions end at once.

        Sends ``customer.subscription.deleted`` for each, oldest first, then
        ``customer.deleted`` with the customer as it was. A retrieval then answers with
        ``deleted: true``.
        """
        read(params, {})
        customer = self.get_live(object_id)

        for subscription in reversed(self._subscriptions.of_customer(object_id)):
            self._subscriptions.end(subscription)

        self.world.emit("customer.deleted", customer)
        customer.clear()
        customer.update(id=object_id, object="customer", deleted=True)
        return customer

    def _write(self, customer: Object, values: dict[str, Any]) -> None:
        """Write what a call gives into a customer.

        :raises ApiError: ``resource_missing`` for a card that is not the customer's.
        """
        settings = values.get("invoice_settings") or {}

        if payment_method_id := settings.get("default_payment_method"):
            self._payment_methods.get_of(
                customer["id"],
                payment_method_id,
                "invoice_settings[default_payment_method]",
            )

        merged = merge_metadata(
            customer["metadata"], values["metadata"] if "metadata" in values else {}
        )
        customer["metadata"] = merged

        for name in _PLAIN:
            if name in values:
                customer[name] = values[name]

        for name in ("invoice_prefix", "next_invoice_sequence", "preferred_locales"):
            if values.get(name):
                customer[name] = values[name]

        for name in ("default_payment_method", "footer"):
            if name in settings:
                customer["invoice_settings"][name] = settings[name]
