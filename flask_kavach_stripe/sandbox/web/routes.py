"""The calls of the API: which handler answers a method and a path.

:data:`CALLS` is the list of everything that the sandbox answers; any other call of
Stripe's is a 404. The URL map is made once for each process: werkzeug takes a
millisecond to make a rule, and tests make many sandboxes.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final
from typing import NamedTuple

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map
from werkzeug.routing import Rule

from ..account import Account
from ..object_store import Object
from ..versions.known_versions import BASIL

Handler = Callable[..., Object]


class Call(NamedTuple):
    """A call that the sandbox knows.

    :param path: As werkzeug's rules write it, with ``<id>`` in place of an id.
    :param handler: The method that answers, as a path of attributes that begins at the
        :class:`.Account`. It is given the parameters, then the ids.
    :param answers: The kind of object that is answered with: ``list of ...`` for a
        list, ``deleted`` for what is left of a deleted one.
    :param since: The first API version that has it.
    :param until: The first one that does not have it any more.
    """

    method: str
    path: str
    handler: str
    answers: str
    since: str = ""
    until: str = "~"

    def is_in(self, version: str) -> bool:
        """Does an API version have the call?"""
        return self.since <= version < self.until

    def handler_of(self, account: Account) -> Handler:
        """Return the method of an account that answers this call."""
        handler: Handler = attrgetter(self.handler)(account)
        return handler


class Route(NamedTuple):
    """A call that was found.

    :param values: The ids in the path.
    """

    call: Call
    values: tuple[str, ...]


# A call stays in one or two lines here, so that the list can be read as a table.
# fmt: off
CALLS: Final = (
    # What is sold
    Call("POST", "/v1/products", "products.create", "product"),
    Call("DELETE", "/v1/products/<id>", "products.delete", "deleted"),
    Call("GET", "/v1/products", "products.list", "list of product"),
    Call("GET", "/v1/products/<id>", "products.retrieve", "product"),
    Call("POST", "/v1/products/<id>", "products.update", "product"),
    Call("POST", "/v1/prices", "prices.create", "price"),
    Call("GET", "/v1/prices", "prices.list", "list of price"),
    Call("GET", "/v1/prices/<id>", "prices.retrieve", "price"),
    Call("POST", "/v1/prices/<id>", "prices.update", "price"),
    Call("POST", "/v1/coupons", "coupons.create", "coupon"),
    Call("DELETE", "/v1/coupons/<id>", "coupons.delete", "deleted"),
    Call("GET", "/v1/coupons", "coupons.list", "list of coupon"),
    Call("GET", "/v1/coupons/<id>", "coupons.retrieve", "coupon"),
    Call("POST", "/v1/coupons/<id>", "coupons.update", "coupon"),
    Call("POST", "/v1/promotion_codes", "promotion_codes.create", "promotion_code"),
    Call("GET", "/v1/promotion_codes", "promotion_codes.list",
         "list of promotion_code"),
    Call("GET", "/v1/promotion_codes/<id>", "promotion_codes.retrieve",
         "promotion_code"),
    Call("POST", "/v1/promotion_codes/<id>", "promotion_codes.update",
         "promotion_code"),
    # Customers and their cards
    Call("POST", "/v1/customers", "customers.create", "customer"),
    Call("DELETE", "/v1/customers/<id>", "customers.delete", "deleted"),
    Call("GET", "/v1/customers", "customers.list", "list of customer"),
    Call("GET", "/v1/customers/<id>", "customers.retrieve", "customer"),
    Call("POST", "/v1/customers/<id>", "customers.update", "customer"),
    Call("GET", "/v1/customers/<id>/payment_methods",
         "payment_methods.list_of_customer", "list of payment_method"),
    Call("POST", "/v1/payment_methods", "payment_methods.create", "payment_method"),
    Call("GET", "/v1/payment_methods", "payment_methods.list",
         "list of payment_method"),
    Call("GET", "/v1/payment_methods/<id>", "payment_methods.retrieve",
         "payment_method"),
    Call("POST", "/v1/payment_methods/<id>/attach", "payment_methods.attach",
         "payment_method"),
    Call("POST", "/v1/payment_methods/<id>/detach", "payment_methods.detach",
         "payment_method"),
    # Hosted pages
    Call("POST", "/v1/checkout/sessions", "checkout.create", "checkout.session"),
    Call("GET", "/v1/checkout/sessions", "checkout.list", "list of checkout.session"),
    Call("GET", "/v1/checkout/sessions/<id>", "checkout.retrieve", "checkout.session"),
    Call("POST", "/v1/checkout/sessions/<id>", "checkout.update", "checkout.session"),
    Call("POST", "/v1/checkout/sessions/<id>/expire", "checkout.expire",
         "checkout.session"),
    Call("GET", "/v1/checkout/sessions/<id>/line_items", "checkout.list_line_items",
         "list of item"),
    Call("POST", "/v1/billing_portal/sessions", "portal_sessions.create",
         "billing_portal.session"),
    Call("POST", "/v1/billing_portal/configurations", "portal_configurations.create",
         "billing_portal.configuration"),
    Call("GET", "/v1/billing_portal/configurations", "portal_configurations.list",
         "list of billing_portal.configuration"),
    Call("GET", "/v1/billing_portal/configurations/<id>",
         "portal_configurations.retrieve", "billing_portal.configuration"),
    Call("POST", "/v1/billing_portal/configurations/<id>",
         "portal_configurations.update", "billing_portal.configuration"),
    # Subscriptions
    Call("POST", "/v1/subscriptions", "subscriptions.create", "subscription"),
    Call("GET", "/v1/subscriptions", "subscriptions.list", "list of subscription"),
    Call("GET", "/v1/subscriptions/<id>", "subscriptions.retrieve", "subscription"),
    Call("POST", "/v1/subscriptions/<id>", "subscriptions.update", "subscription"),
    Call("DELETE", "/v1/subscriptions/<id>", "subscriptions.cancel", "subscription"),
    Call("POST", "/v1/subscriptions/<id>/migrate", "subscriptions.migrate",
         "subscription", since="2025-06-30.basil"),
    Call("POST", "/v1/subscriptions/<id>/pause", "subscriptions.pause",
         "subscription", since="2026-09-30.endive"),
    Call("POST", "/v1/subscriptions/<id>/resume", "subscriptions.resume",
         "subscription"),
    Call("POST", "/v1/subscription_items", "subscription_items.create",
         "subscription_item"),
    Call("DELETE", "/v1/subscription_items/<id>", "subscription_items.delete",
         "deleted"),
    Call("GET", "/v1/subscription_items", "subscription_items.list",
         "list of subscription_item"),
    Call("GET", "/v1/subscription_items/<id>", "subscription_items.retrieve",
         "subscription_item"),
    Call("POST", "/v1/subscription_items/<id>", "subscription_items.update",
         "subscription_item"),
    # Invoices and what pays them
    Call("GET", "/v1/invoices", "invoices.list", "list of invoice"),
    Call("GET", "/v1/invoices/<id>", "invoices.retrieve", "invoice"),
    Call("POST", "/v1/invoices/<id>", "invoice_actions.update", "invoice"),
    Call("POST", "/v1/invoices/<id>/finalize", "invoice_actions.finalize", "invoice"),
    Call("POST", "/v1/invoices/<id>/mark_uncollectible",
         "invoice_actions.mark_uncollectible", "invoice"),
    Call("POST", "/v1/invoices/<id>/void", "invoice_actions.void", "invoice"),
    Call("GET", "/v1/invoices/<id>/lines", "invoices.list_lines", "list of line_item"),
    Call("POST", "/v1/invoices/create_preview", "previews.create", "invoice"),
    Call("GET", "/v1/invoices/upcoming", "previews.upcoming", "invoice", until=BASIL),
    Call("GET", "/v1/invoices/upcoming/lines", "previews.list_upcoming_lines",
         "list of line_item", until=BASIL),
    Call("POST", "/v1/invoices/<id>/pay", "paying.pay_invoice", "invoice"),
    Call("GET", "/v1/payment_intents", "payments.list", "list of payment_intent"),
    Call("GET", "/v1/payment_intents/<id>", "payments.retrieve", "payment_intent"),
    Call("GET", "/v1/charges", "charges.list", "list of charge"),
    Call("GET", "/v1/charges/<id>", "charges.retrieve", "charge"),
    Call("GET", "/v1/invoice_payments", "invoice_payments.list",
         "list of invoice_payment", since=BASIL),
    Call("GET", "/v1/invoice_payments/<id>", "invoice_payments.retrieve",
         "invoice_payment", since=BASIL),
    Call("POST", "/v1/payment_intents/<id>/confirm", "paying.confirm",
         "payment_intent"),
    # Events and who gets them
    Call("GET", "/v1/events", "events.list", "list of event"),
    Call("GET", "/v1/events/<id>", "events.retrieve", "event"),
    Call("POST", "/v1/webhook_endpoints", "webhook_endpoints.create",
         "webhook_endpoint"),
    Call("DELETE", "/v1/webhook_endpoints/<id>", "webhook_endpoints.delete", "deleted"),
    Call("GET", "/v1/webhook_endpoints", "webhook_endpoints.list",
         "list of webhook_endpoint"),
    Call("GET", "/v1/webhook_endpoints/<id>", "webhook_endpoints.retrieve",
         "webhook_endpoint"),
    Call("POST", "/v1/webhook_endpoints/<id>", "webhook_endpoints.update",
         "webhook_endpoint"),
    Call("GET", "/v2/core/events", "thin_events.list", "list of v2.core.event"),
    Call("GET", "/v2/core/events/<id>", "thin_events.retrieve", "v2.core.event"),
    Call("POST", "/v2/core/event_destinations", "event_destinations.create",
         "v2.core.event_destination"),
    Call("DELETE", "/v2/core/event_destinations/<id>", "event_destinations.delete",
         "deleted"),
    Call("GET", "/v2/core/event_destinations", "event_destinations.list",
         "list of v2.core.event_destination"),
    Call("GET", "/v2/core/event_destinations/<id>", "event_destinations.retrieve",
         "v2.core.event_destination"),
    Call("POST", "/v2/core/event_destinations/<id>", "event_destinations.update",
         "v2.core.event_destination"),
    Call("POST", "/v2/core/event_destinations/<id>/disable",
         "event_destinations.disable", "v2.core.event_destination"),
    Call("POST", "/v2/core/event_destinations/<id>/enable", "event_destinations.enable",
         "v2.core.event_destination"),
    Call("POST", "/v2/core/event_destinations/<id>/ping", "event_destinations.ping",
         "event"),
    # Test clocks
    Call("POST", "/v1/test_helpers/test_clocks", "test_clocks.create",
         "test_helpers.test_clock"),
    Call("GET", "/v1/test_helpers/test_clocks", "test_clocks.list",
         "list of test_helpers.test_clock"),
    Call("GET", "/v1/test_helpers/test_clocks/<id>", "test_clocks.retrieve",
         "test_helpers.test_clock"),
    Call("POST", "/v1/test_helpers/test_clocks/<id>/advance",
         "timeline.advance_test_clock", "test_helpers.test_clock"),
    Call("DELETE", "/v1/test_helpers/test_clocks/<id>", "timeline.delete_test_clock",
         "deleted"),
)
# fmt: on

#: A name in a path goes before an id, whatever the order of the rules is. A path with
#: a slash too many is another path, as with Stripe: no redirect, a 404.
_URLS: Final = Map(
    [Rule(call.path, endpoint=call, methods=[call.method]) for call in CALLS],
    merge_slashes=False,
    redirect_defaults=False,
).bind("localhost")


def find_route(method: str, path: str) -> Route | None:
    """Return the call that a request asks for.

    :param path: The decoded path, ``/v1/customers/cus_1``.
    :returns: ``None`` if the sandbox has no such call.
    """
    if path.endswith("/search"):
        return None  # Stripe's search is not simulated, and "search" is no id.

    try:
        call, values = _URLS.match(path, method)
    except HTTPException:  # also for another method: Stripe knows no 405
        return None

    # werkzeug adds HEAD to every GET.
    return Route(call, tuple(values.values())) if call.method == method else None
