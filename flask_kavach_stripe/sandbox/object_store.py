"""All objects of the sandbox, by kind and id, in memory.

An object is a dict in the shape of the newest API version. It is kept as it is, not
copied: who changes it, changes it for all. Copies are made at the border, by
:mod:`.rendering` for answers and by events for webhooks.
"""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

Object = dict[str, Any]

_ALPHABET = string.ascii_letters + string.digits

#: Prefix and number of random characters of the ids of a kind of object.
ID_SHAPES = {
    "billing_portal.configuration": ("bpc_1", 23),
    "billing_portal.session": ("bps_1", 23),
    "charge": ("ch_3", 23),
    "checkout.session": ("cs_test_a1", 58),
    "client_secret": ("_secret_", 25),
    "coupon": ("", 8),
    "customer": ("cus_", 14),
    "discount": ("di_1", 23),
    "event": ("evt_1", 23),
    "invoice": ("in_1", 23),
    "invoiceitem": ("ii_1", 23),
    "item": ("li_1", 23),
    "line_item": ("il_1", 23),
    "payment_intent": ("pi_3", 23),
    "payment_method": ("pm_1", 23),
    "price": ("price_1", 23),
    "product": ("prod_", 14),
    "promotion_code": ("promo_1", 23),
    "request": ("req_", 14),
    "subscription": ("sub_1", 23),
    "subscription_item": ("si_", 14),
    "v2.core.event": ("evt_test_6", 50),
    "v2.core.event_destination": ("ed_test_6", 50),
    "test_helpers.test_clock": ("clock_1", 23),
    "upcoming_invoice": ("upcoming_in_1", 23),
    "webhook_endpoint": ("we_1", 23),
    "webhook_secret": ("whsec_", 32),
}


#: Ids of this kind rise, so that who compares them knows which one is newer, although
#: the clock stands still. Differs from Stripe: there they are random.
_RISING = "checkout.session"


def clone(value: Any) -> Any:
    """Return a deep copy of JSON data, several times faster than :mod:`copy` does."""
    if isinstance(value, dict):
        return {key: clone(entry) for key, entry in value.items()}

    if isinstance(value, list):
        return [clone(entry) for entry in value]

    return value


class Store:
    """The objects, and what belongs to an object but is not shown in the API.

    Whoever reads or writes holds :attr:`lock`, which the same thread may take again.

    :param seed: With the same seed, the same calls make the same ids. ``None`` makes
        new ones every time; use that beside a database that outlives the sandbox.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.lock: threading.RLock = threading.RLock()
        #: What is not part of the API: card numbers, line items, secrets of pages.
        self.hidden: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, dict[str, Object]] = {}
        self._random = random.Random(seed)  # noqa: S311  (ids of a test double)
        self._request_random = random.Random(seed)  # noqa: S311
        self._added: list[Object] | None = None

    def new_id(self, kind: str) -> str:
        """Make an id in the shape of Stripe's.

        Hold the lock, unless it is the id of a request.

        Ids of requests come from a source of their own, so that a call that makes
        nothing does not change the ids of what is made later.
        """
        prefix, length = ID_SHAPES[kind]
        source = self._request_random if kind == "request" else self._random
        count = f"{len(self._kinds.get(kind, {})):06}" if kind == _RISING else ""
        return (
            prefix + count + "".join(source.choices(_ALPHABET, k=length - len(count)))
        )

    def add(self, obj: Object, **hidden: Any) -> Object:
        """Keep a new object.

        :param hidden: What the API does not show of it.
        :returns: The object itself.
        """
        self._kinds.setdefault(obj["object"], {})[obj["id"]] = obj

        if self._added is not None:
            self._added.append(obj)

        if hidden:
            self.hidden[obj["id"]] = hidden

        return obj

    def find(self, kind: str, object_id: str | None) -> Object | None:
        """Return the object, or ``None`` if there is none of this kind with this id."""
        return self._kinds.get(kind, {}).get(object_id or "")

    def find_any(self, object_id: str) -> Object | None:
        """Return the object with this id, of whatever kind."""
        for objects in self._kinds.values():
            if object_id in objects:
                return objects[object_id]

        return None

    def all(self, kind: str) -> Sequence[Object]:
        """Return the objects of a kind, newest first."""
        return list(reversed(self._kinds.get(kind, {}).values()))

    def remove(self, kind: str, object_id: str) -> None:
        """Forget an object. What is hidden of it stays.

        :raises KeyError: If there is no such object.
        """
        del self._kinds[kind][object_id]

    @contextmanager
    def rehearsal(self, *objects: Object) -> Iterator[None]:
        """Undo what the block does: new objects go, ``objects`` are as they were.

        The source of ids is set back, too, so that what is then done in earnest gets
        the ids of the rehearsal. Rehearsals cannot be nested.

        :param objects: All old objects that the block changes.
        """
        before = [
            (obj, clone(obj), clone(self.hidden.get(obj["id"]))) for obj in objects
        ]
        random_state = self._random.getstate()
        self._added = []

        try:
            yield
        finally:
            for obj in self._added:
                self.remove(obj["object"], obj["id"])
                self.hidden.pop(obj["id"], None)

            self._added = None
            self._random.setstate(random_state)

            for obj, old, hidden in before:
                obj.clear()
                obj.update(old)

                if hidden is not None:
                    self.hidden[obj["id"]] = hidden
