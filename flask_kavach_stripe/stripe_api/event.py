"""An event of Stripe: parsed from a webhook's verified body, then given to handlers.

Nothing here calls Stripe or the database. ``events.receive`` reads the object of a thin
event and attaches it; it also attaches a function that finds the user.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from ..errors import InvalidPayloadError
from .objects import as_mapping
from .objects import read_id
from .objects import read_text
from .objects import read_time


class Event(dict[str, Any]):
    """One of Stripe's events: the dict as sent, with its usual keys as attributes.

    An attribute is ``None`` if the key is missing or its value is of the wrong type;
    the dict itself always holds what Stripe sent. Two forms of event arrive. A
    *snapshot* event brings its object as it was at that time. A *thin* event only names
    its object. Handlers see no difference: the extension reads that object first.

    A copy is equal to the event, and knows the object that was read for a thin event.
    :mod:`copy` does not copy the :attr:`user`: both events have the same one. An event
    from :mod:`pickle` may be in another process and has no user: send the user's
    primary key with it.

    Source: https://docs.stripe.com/api/events/object
    """

    _read_object: Mapping[str, Any] | None = None
    _find_user: Callable[[], Any] | None = None
    _user: Any = None

    @cached_property
    def is_thin(self) -> bool:
        """Whether the event came without its object, as ``v2.core.event``.

        Source: https://docs.stripe.com/event-destinations#thin-events
        """
        return self.get("object") == "v2.core.event"

    @cached_property
    def id(self) -> str | None:
        """The event's id, ``evt_...``; ``None`` for one made by hand without an id.

        For a thin event it is the id of the snapshot event, if Stripe names one: an
        app that receives both forms runs its handlers only once.
        """
        snapshot_id = read_text(self.get("snapshot_event")) if self.is_thin else None
        return snapshot_id or read_text(self.get("id"))

    @cached_property
    def type(self) -> str:
        """The event type, such as ``"invoice.paid"``.

        The ``v1.`` that thin events put before it is removed. Empty if the event has
        no type.
        """
        event_type = read_text(self.get("type")) or ""
        return event_type.removeprefix("v1.") if self.is_thin else event_type

    @property
    def created(self) -> int | None:
        """Stripe's time of the event, in Unix seconds."""
        time = self.time
        return None if time is None else int(time.timestamp())

    @cached_property
    def time(self) -> datetime | None:
        """Stripe's time of the event, as an aware UTC time of whole seconds."""
        return read_time(self.get("created"))

    @property
    def livemode(self) -> bool | None:
        """Whether the event happened in live mode."""
        livemode = self.get("livemode")
        return livemode if isinstance(livemode, bool) else None

    @property
    def account(self) -> str | None:
        """The connected account of the event, ``acct_...``; ``None`` for your own."""
        return read_text(self.get("context" if self.is_thin else "account"))

    @property
    def api_version(self) -> str | None:
        """The API version that the payload is written in."""
        return read_text(self.get("api_version"))

    @property
    def data(self) -> Mapping[str, Any]:
        """The event's ``object`` and, for updates, its ``previous_attributes``.

        For a thin event it holds the object that was read from Stripe.
        """
        if self._read_object is not None:
            return {"object": self._read_object}

        return as_mapping(self.get("data"))

    @property
    def object(self) -> Mapping[str, Any]:
        """The object that the event is about.

        As it was at the time of the event; for a thin event, as it was read from Stripe
        afterwards. Empty if a thin event's object was not read.
        """
        return as_mapping(self.data.get("object"))

    @property
    def object_id(self) -> str | None:
        """The id of the object that the event is about. A thin event has it, too."""
        if self.is_thin:
            return read_id(as_mapping(self.get("related_object")).get("id"))

        return read_id(self.object.get("id"))

    @property
    def previous_attributes(self) -> Mapping[str, Any] | None:
        """The values that an update replaced, ``None`` if Stripe sent none."""
        previous = self.data.get("previous_attributes")
        return previous if isinstance(previous, Mapping) else None

    @property
    def user(self) -> Any:
        """The app's user to whom the event's customer belongs; ``None`` if nobody.

        Reads the database on first use, in the session of the app context. Later uses
        return the same instance.
        """
        if self._find_user is not None:
            self._user = self._find_user()
            self._find_user = None

        return self._user

    @property
    def has_object(self) -> bool:
        """Whether :attr:`object` is there: a thin event's is first read from Stripe."""
        return not self.is_thin or self._read_object is not None

    def __copy__(self) -> Event:
        return self._with_state(type(self)(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Event:
        event = type(self)(copy.deepcopy(dict(self), memo))
        self._with_state(event)
        event._read_object = copy.deepcopy(self._read_object, memo)
        return event

    def _with_state(self, event: Event) -> Event:
        """Give a copy what the extension has attached to this event."""
        event._read_object = self._read_object
        event._find_user = self._find_user
        event._user = self._user
        return event

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the dict and the object that was read.

        The function that finds the user belongs to an app and its session, and the
        user to a session: neither can leave the process.
        """
        return _unpickle, (type(self), dict(self), self._read_object)

    def attach_object(self, read_object: Mapping[str, Any]) -> None:
        """Give a thin event its object. The extension does this before handlers run.

        :param read_object: The object, as read from Stripe.
        """
        self._read_object = read_object

    def attach_user(self, find_user: Callable[[], Any]) -> None:
        """Give the event a function that finds its user, in place of the former one.

        :param find_user: Called without arguments when :attr:`user` is first read.
        """
        self._find_user = find_user


def _unpickle(
    event_class: type[Event],
    values: dict[str, Any],
    read_object: Mapping[str, Any] | None,
) -> Event:
    event = event_class(values)

    if read_object is not None:
        event.attach_object(read_object)

    return event


def parse_event(payload: bytes) -> Event:
    """Parse the body of a webhook.

    Verify the signature first: nothing here checks where the body is from.

    :param payload: The body, byte by byte as it arrived.
    :raises InvalidPayloadError: If the body is not a JSON object in UTF-8.
    """
    try:
        event = json.loads(payload.decode())
    except (RecursionError, ValueError):
        raise InvalidPayloadError("The payload is not JSON in UTF-8.") from None

    if not isinstance(event, dict):
        raise InvalidPayloadError("The payload is JSON, but not an object.")

    return Event(event)
