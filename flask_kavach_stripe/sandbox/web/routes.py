"""The calls of the API: what answers a method and a path."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Final
from typing import NamedTuple

from ..account import Account
from ..object_store import Object
from ..resource import Resource
from ..versions.known_versions import BASIL

Handler = Callable[..., Object]

#: Stands in a path for the id of an object.
_ID = "<object_id>"

#: The calls that many kinds of objects have: method, and whether an id is in the path.
_STANDARD: Final = {
    "create": ("POST", False),
    "delete": ("DELETE", True),
    "list": ("GET", False),
    "retrieve": ("GET", True),
    "update": ("POST", True),
}


class Call(NamedTuple):
    """A call that the sandbox knows.

    :param path: With ``<object_id>`` in place of ids.
    :param handler: Is given the parameters, then the ids.
    :param answers: The kind of object that is answered with: ``list of ...`` for a
        list, ``deleted`` for what is left of a deleted one.
    :param since: The first API version that has it.
    :param until: The first one that does not have it any more.
    """

    method: str
    path: str
    handler: Handler
    answers: str
    since: str = ""
    until: str = "~"

    def is_in(self, version: str) -> bool:
        """Does an API version have the call?"""
        return self.since <= version < self.until


class Route(NamedTuple):
    """A call that was found.

    :param values: The ids in the path.
    """

    call: Call
    values: tuple[str, ...]


class Routes:
    """Finds what answers a call."""

    def __init__(self, account: Account) -> None:
        self._calls = {
            (call.method, tuple(call.path.split("/"))): call for call in calls(account)
        }

    def find(self, method: str, path: str) -> Route | None:
        """Return the call; a name in the path goes before an id."""
        *before, name, last = path.split("/")

        if last == "search":
            return None  # Stripe's, but not ours; and no id

        candidates: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
            ((*before, name, last), ()),
            ((*before, name, _ID), (last,)),
            ((*before, _ID, last), (name,)),
        )

        for pattern, ids in candidates:
            call = self._calls.get((method, pattern))

            if call is not None and all(ids):
                return Route(call, ids)

        return None


def calls(account: Account) -> Sequence[Call]:
    """Every call that the sandbox knows."""
    return [
        *_catalogue(account),
        *_customers(account),
        *_hosted_pages(account),
        *_subscriptions(account),
        *_invoices(account),
        *_webhooks(account),
        *_test_clocks(account),
    ]


def _catalogue(a: Account) -> Sequence[Call]:
    return [
        *_standard(a.products, "create", "delete", "list", "retrieve", "update"),
        *_standard(a.prices, "create", "list", "retrieve", "update"),
        *_standard(a.coupons, "create", "delete", "list", "retrieve", "update"),
        *_standard(a.promotion_codes, "create", "list", "retrieve", "update"),
    ]


def _customers(a: Account) -> Sequence[Call]:
    cards = a.payment_methods
    return [
        *_standard(a.customers, "create", "delete", "list", "retrieve", "update"),
        Call(
            "GET",
            f"{a.customers.path}/{_ID}/payment_methods",
            cards.list_of_customer,
            f"list of {cards.kind}",
        ),
        *_standard(cards, "create", "list", "retrieve"),
        _action(cards, "attach", cards.attach),
        _action(cards, "detach", cards.detach),
    ]


def _hosted_pages(a: Account) -> Sequence[Call]:
    return [
        *_standard(a.checkout, "create", "list", "retrieve", "update"),
        _action(a.checkout, "expire", a.checkout.expire),
        Call(
            "GET",
            f"{a.checkout.path}/{_ID}/line_items",
            a.checkout.list_line_items,
            "list of item",
        ),
        *_standard(a.portal_sessions, "create"),
        *_standard(a.portal_configurations, "create", "list", "retrieve", "update"),
    ]


def _subscriptions(a: Account) -> Sequence[Call]:
    return [
        *_standard(a.subscriptions, "create", "list", "retrieve", "update"),
        Call(
            "DELETE",
            f"{a.subscriptions.path}/{_ID}",
            a.subscriptions.cancel,
            a.subscriptions.kind,
        ),
        _action(a.subscriptions, "migrate", a.subscriptions.migrate)._replace(
            since="2025-06-30.basil"
        ),
        _action(a.subscriptions, "pause", a.subscriptions.pause)._replace(
            since="2026-09-30.endive"
        ),
        _action(a.subscriptions, "resume", a.subscriptions.resume),
        *_standard(
            a.subscription_items, "create", "delete", "list", "retrieve", "update"
        ),
    ]


def _invoices(a: Account) -> Sequence[Call]:
    path = a.invoices.path
    return [
        *_standard(a.invoices, "list", "retrieve"),
        Call("POST", f"{path}/{_ID}", a.invoice_actions.update, "invoice"),
        _action(a.invoices, "finalize", a.invoice_actions.finalize),
        _action(a.invoices, "mark_uncollectible", a.invoice_actions.mark_uncollectible),
        _action(a.invoices, "void", a.invoice_actions.void),
        Call("GET", f"{path}/{_ID}/lines", a.invoices.list_lines, "list of line_item"),
        Call("POST", f"{path}/create_preview", a.previews.create, "invoice"),
        Call("GET", f"{path}/upcoming", a.previews.upcoming, "invoice", until=BASIL),
        Call(
            "GET",
            f"{path}/upcoming/lines",
            a.previews.list_upcoming_lines,
            "list of line_item",
            until=BASIL,
        ),
        _action(a.invoices, "pay", a.paying.pay_invoice),
        *_standard(a.payments, "list", "retrieve"),
        *_standard(a.charges, "list", "retrieve"),
        *(
            call._replace(since=BASIL)
            for call in _standard(a.invoice_payments, "list", "retrieve")
        ),
        _action(a.payments, "confirm", a.paying.confirm),
    ]


def _webhooks(a: Account) -> Sequence[Call]:
    endpoints, destinations = a.webhook_endpoints, a.event_destinations
    return [
        *_standard(a.events, "list", "retrieve"),
        *_standard(endpoints, "create", "delete", "list", "retrieve", "update"),
        *_standard(a.thin_events, "list", "retrieve"),
        *_standard(destinations, "create", "delete", "list", "retrieve", "update"),
        _action(destinations, "disable", destinations.disable),
        _action(destinations, "enable", destinations.enable),
        Call("POST", f"{destinations.path}/{_ID}/ping", destinations.ping, "event"),
    ]


def _test_clocks(a: Account) -> Sequence[Call]:
    return [
        *_standard(a.test_clocks, "create", "list", "retrieve"),
        _action(a.test_clocks, "advance", a.timeline.advance_test_clock),
        Call(
            "DELETE",
            f"{a.test_clocks.path}/{_ID}",
            a.timeline.delete_test_clock,
            "deleted",
        ),
    ]


def _standard(resource: Resource, *names: str) -> Sequence[Call]:
    """The calls of a kind of object that are named like its methods."""
    found = []

    for name in names:
        method, has_id = _STANDARD[name]
        path = f"{resource.path}/{_ID}" if has_id else resource.path
        answers = {"delete": "deleted", "list": f"list of {resource.kind}"}
        kind = answers.get(name, resource.kind)
        found.append(Call(method, path, getattr(resource, name), kind))

    return found


def _action(resource: Resource, name: str, handler: Handler) -> Call:
    """A call that does something with an object."""
    return Call("POST", f"{resource.path}/{_ID}/{name}", handler, resource.kind)
