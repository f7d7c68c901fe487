"""From stored objects to the JSON of an answer: ``expand[]``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import ApiError
from .resources.checkout import CheckoutSessions
from .store import clone
from .store import Object
from .store import Store

MAX_DEPTH = 4

#: Attributes that hold an id, and the kind of object it names.
_EXPANDABLE = {
    "customer": "customer",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "invoice": "invoice",
    "latest_invoice": "invoice",
    "price": "price",
    "product": "product",
    "subscription": "subscription",
}


class Renderer:
    """Copies objects for an answer, so that nobody can change the stored ones."""

    def __init__(self, store: Store, checkout: CheckoutSessions) -> None:
        self._store = store
        self._checkout = checkout

    def render(self, obj: Object, expand: Iterable[str] = ()) -> Object:
        """Return a copy of ``obj`` with objects in place of some ids.

        :param expand: Paths like ``data.customer``.
        :raises ApiError: If a path leads to nothing that can be expanded.

        Source: https://docs.stripe.com/expand
        """
        result: Object = clone(obj)

        for path in expand:
            names = path.split(".")

            if len(names) > MAX_DEPTH + (names[0] == "data"):
                raise ApiError(
                    f"You cannot expand more than {MAX_DEPTH} levels of a property:"
                    f" {path}.",
                    param="expand",
                )

            self._expand(result, names, path)

        return result

    def _expand(self, obj: Any, names: list[str], path: str) -> None:
        if isinstance(obj, list):
            for entry in obj:
                self._expand(entry, names, path)

            return

        name, rest = names[0], names[1:]

        if name == "line_items" and obj.get("object") == "checkout.session":
            obj.setdefault(name, clone(self._checkout.included_line_items(obj["id"])))

        if name not in obj:
            raise ApiError(
                f"This property cannot be expanded ({path}).", param="expand"
            )

        value = obj[name]

        if isinstance(value, str):
            kind = _EXPANDABLE.get(name)
            found = self._store.find(kind, value) if kind else None

            if found is None:
                raise ApiError(
                    f"This property cannot be expanded ({path}).", param="expand"
                )

            value = obj[name] = clone(found)

        if rest and value is not None:
            if not isinstance(value, dict | list):
                raise ApiError(
                    f"This property cannot be expanded ({path}).", param="expand"
                )

            self._expand(value, rest, path)
