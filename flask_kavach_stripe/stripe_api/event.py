"""From the bytes of a webhook to an event, and from its type to the handlers."""

from __future__ import annotations

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

    Source: https://docs.stripe.com/api/events/object
    """

    _read_object: Mapping[str, Any] | None = None
    _find_user: Callable[[], Any] | None = None
    _user: Any = None

    @cached_property
    def is_thin(self) -> bool:
        """Whether it came without its object, as ``v2.core.event``."""
        return self.get("object") == "v2.core.event"

    @cached_property
    def id(self) -> str | None:
        """``evt_...``. A thin event has the id of its snapshot, where there is one.

        ``None`` for an event made by hand without one.
        """
        snapshot_id = read_text(self.get("snapshot_event")) if self.is_thin else None
        return snapshot_id or read_text(self.get("id"))

    @cached_property
    def type(self) -> str:
        """The event type, such as ``"invoice.paid"``, also for a thin event."""
        event_type = read_text(self.get("type")) or ""
        return event_type.removeprefix("v1.") if self.is_thin else event_type

    @property
    def created(self) -> int | None:
        """When it happened, in Unix seconds."""
        time = self.time
        return None if time is None else int(time.timestamp())

    @cached_property
    def time(self) -> datetime | None:
        """When it happened, as an aware UTC time of whole seconds."""
        return read_time(self.get("created"))

    @property
    def livemode(self) -> bool | None:
        """Whether it happened in live mode."""
        livemode = self.get("livemode")
        return livemode if isinstance(livemode, bool) else None

    @property
    def account(self) -> str | None:
        """The connected account where it happened, ``acct_...``; mostly ``None``."""
        return read_text(self.get("context" if self.is_thin else "account"))

    @property
    def api_version(self) -> str | None:
        """The API version of the payload."""
        return read_text(self.get("api_version"))

    @property
    def data(self) -> Mapping[str, Any]:
        """``object`` and, for updates, ``previous_attributes``."""
        if self._read_object is not None:
            return {"object": self._read_object}

        return as_mapping(self.get("data"))

    @property
    def object(self) -> Mapping[str, Any]:
        """The object that it is about: as it was then, or as read for a thin event."""
        return as_mapping(self.data.get("object"))

    @property
    def object_id(self) -> str | None:
        """The id of the object that it is about."""
        if self.is_thin:
            return read_id(as_mapping(self.get("related_object")).get("id"))

        return read_id(self.object.get("id"))

    @property
    def previous_attributes(self) -> Mapping[str, Any] | None:
        """The values that an update replaced, ``None`` where Stripe sent none."""
        previous = self.data.get("previous_attributes")
        return previous if isinstance(previous, Mapping) else None

    @property
    def user(self) -> Any:
        """The app's user whom it concerns, or ``None``. Loaded when first asked for."""
        if self._find_user is not None:
            self._user = self._find_user()
            self._find_user = None

        return self._user

    @property
    def has_object(self) -> bool:
        """Whether the object is there: a thin event's has to be read from Stripe."""
        return not self.is_thin or self._read_object is not None

    def attach_object(self, read_object: Mapping[str, Any]) -> None:
        """Set the object of a thin event, as it was read from Stripe."""
        self._read_object = read_object

    def attach_user(self, find_user: Callable[[], Any]) -> None:
        """Say how to find the user."""
        self._find_user = find_user


def parse_event(payload: bytes) -> Event:
    """Parse a webhook's body whose signature is good.

    :raises InvalidPayloadError: If it is not a JSON object.
    """
    try:
        event = json.loads(payload.decode())
    except (RecursionError, ValueError):
        raise InvalidPayloadError("The payload is not JSON in UTF-8.") from None

    if not isinstance(event, dict):
        raise InvalidPayloadError("The payload is JSON, but not an object.")

    return Event(event)
