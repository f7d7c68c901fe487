"""The calls of the API: what answers a method and a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .account import Account
from .store import Object

Handler = Callable[..., Object]

#: Stands in a path for the id of an object.
_ID = "<object_id>"


class Route(NamedTuple):
    """A call that was found.

    :param pattern: The path with ``<object_id>`` in place of ids.
    :param handler: Is given the parameters, then the ids.
    :param values: The ids.
    """

    pattern: str
    handler: Handler
    values: tuple[str, ...]


class Routes:
    """Finds what answers a call."""

    def __init__(self, account: Account) -> None:
        self._handlers = {
            (method, tuple(path.split("/"))): handler
            for method, path, handler in routes(account)
        }

    def find(self, method: str, path: str) -> Route | None:
        """Return the call; a name in the path goes before an id."""
        *before, name, last = path.split("/")
        candidates: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
            ((*before, name, last), ()),
            ((*before, name, _ID), (last,)),
            ((*before, _ID, last), (name,)),
        )

        for pattern, ids in candidates:
            handler = self._handlers.get((method, pattern))

            if handler is not None and all(ids):
                return Route("/".join(pattern), handler, ids)

        return None


def routes(account: Account) -> list[tuple[str, str, Handler]]:
    """Every call that the sandbox knows: method, path, and what answers it."""
    a = account
    table: list[tuple[str, str, Handler]] = [
        (
            "GET",
            "/v1/checkout/sessions/<object_id>/line_items",
            a.checkout.list_line_items,
        ),
        ("POST", "/v1/checkout/sessions/<object_id>/expire", a.checkout.expire),
        ("POST", "/v1/billing_portal/sessions", a.portal_sessions.create),
        (
            "GET",
            "/v1/customers/<object_id>/payment_methods",
            a.payment_methods.list_of_customer,
        ),
        ("POST", "/v1/invoices/create_preview", a.previews.create),
        ("GET", "/v1/invoices/<object_id>/lines", a.invoices.list_lines),
        ("POST", "/v1/invoices/<object_id>/pay", a.paying.pay_invoice),
        ("POST", "/v1/payment_intents/<object_id>/confirm", a.paying.confirm),
        ("POST", "/v1/payment_methods/<object_id>/attach", a.payment_methods.attach),
        ("POST", "/v1/payment_methods/<object_id>/detach", a.payment_methods.detach),
        ("DELETE", "/v1/subscriptions/<object_id>", a.subscriptions.cancel),
        ("POST", "/v1/subscriptions/<object_id>/pause", a.subscriptions.pause),
        ("POST", "/v1/subscriptions/<object_id>/resume", a.subscriptions.resume),
        (
            "POST",
            "/v1/test_helpers/test_clocks/<object_id>/advance",
            a.life.advance_test_clock,
        ),
        (
            "DELETE",
            "/v1/test_helpers/test_clocks/<object_id>",
            a.life.delete_test_clock,
        ),
        ("GET", "/v2/core/events/<object_id>", a.thin_events.retrieve),
        *_event_destination_routes(account),
    ]

    for creatable in (
        a.checkout,
        a.coupons,
        a.customers,
        a.payment_methods,
        a.portal_configurations,
        a.prices,
        a.products,
        a.promotion_codes,
        a.subscription_items,
        a.subscriptions,
        a.test_clocks,
        a.webhook_endpoints,
    ):
        table.append(("POST", creatable.path, creatable.create))

    for updatable in (
        a.coupons,
        a.customers,
        a.portal_configurations,
        a.prices,
        a.products,
        a.promotion_codes,
        a.subscription_items,
        a.subscriptions,
        a.webhook_endpoints,
    ):
        table.append(("POST", f"{updatable.path}/<object_id>", updatable.update))

    for deletable in (
        a.coupons,
        a.customers,
        a.products,
        a.subscription_items,
        a.webhook_endpoints,
    ):
        table.append(("DELETE", f"{deletable.path}/<object_id>", deletable.delete))

    for readable in (
        a.checkout,
        a.coupons,
        a.customers,
        a.events,
        a.invoices,
        a.payment_methods,
        a.payments,
        a.portal_configurations,
        a.prices,
        a.products,
        a.promotion_codes,
        a.subscription_items,
        a.subscriptions,
        a.test_clocks,
        a.webhook_endpoints,
    ):
        table.append(("GET", readable.path, readable.list))
        table.append(("GET", f"{readable.path}/<object_id>", readable.retrieve))

    return table


def _event_destination_routes(account: Account) -> list[tuple[str, str, Handler]]:
    destinations = account.event_destinations
    path = destinations.path
    return [
        ("GET", path, destinations.list),
        ("POST", path, destinations.create),
        ("GET", f"{path}/<object_id>", destinations.retrieve),
        ("POST", f"{path}/<object_id>", destinations.update),
        ("DELETE", f"{path}/<object_id>", destinations.delete),
        ("POST", f"{path}/<object_id>/disable", destinations.disable),
        ("POST", f"{path}/<object_id>/enable", destinations.enable),
    ]
