"""The app's handlers, by event type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from typing import TypeVar

from .stripe_api.event import Event

Handler = Callable[[Event], Any]
SubscriptionHandler = Callable[[Any, Any], Any]
H = TypeVar("H", bound=Handler)
S = TypeVar("S", bound=SubscriptionHandler)


class HandlerRegistry:
    """The app's own reactions, in order of registration."""

    def __init__(self) -> None:
        self._handlers: list[tuple[tuple[str, ...], Handler]] = []
        self._found: dict[str, list[Handler]] = {}
        #: Those who are told when a user's subscription changed.
        self.subscription_handlers: list[SubscriptionHandler] = []

    def on(self, *event_types: str) -> Callable[[H], H]:
        """Register a handler of these event types; see :meth:`.KavachStripe.on`."""
        if not event_types or not all(
            isinstance(event_type, str) and event_type for event_type in event_types
        ):
            raise TypeError(
                "'on' takes event types: '@kavach_stripe.on(\"invoice.paid\")'."
            )

        def register(handler: H) -> H:
            self._handlers.append((event_types, handler))
            self._found = {}
            return handler

        return register

    def on_subscription_change(self, handler: S) -> S:
        """Register one who is told when a user's subscription changed."""
        self.subscription_handlers.append(handler)
        return handler

    def find(self, event_type: str) -> list[Handler]:
        """The handlers of an event type."""
        found = self._found.get(event_type)

        if found is None:
            found = self._found[event_type] = [
                handler
                for patterns, handler in self._handlers
                if any(matches(event_type, pattern) for pattern in patterns)
            ]

        return found

    @property
    def event_types(self) -> frozenset[str]:
        """The event types that handlers name in full. What a pattern stands for, only
        Stripe knows.
        """
        return frozenset(
            pattern
            for patterns, _ in self._handlers
            for pattern in patterns
            if "*" not in pattern
        )

    @property
    def patterns(self) -> frozenset[str]:
        """What handlers are on that is no event type in full."""
        return frozenset(
            pattern
            for patterns, _ in self._handlers
            for pattern in patterns
            if "*" in pattern
        )


def matches(event_type: str, pattern: str) -> bool:
    """Whether an event type is meant by a pattern, where ``*`` is any text."""
    regex = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(regex, event_type) is not None
