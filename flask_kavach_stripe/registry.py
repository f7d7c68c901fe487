"""The app's handlers, by event type.

A *handler* is always a function of the app; what an event means for our own tables is
in ``events.effects``. Apps register through :class:`.KavachStripe`, and ``events.run``
calls what :meth:`HandlerRegistry.find` returns.
"""

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
    """The handlers of one ``KavachStripe``, in order of registration.

    All apps of that extension object share it. Handlers may be registered before and
    after ``init_app``.
    """

    def __init__(self) -> None:
        self._handlers: list[tuple[tuple[str, ...], Handler]] = []
        #: The answers of :meth:`find`, until another handler is registered.
        self._handlers_by_type: dict[str, list[Handler]] = {}
        #: Called when a user's subscription has changed.
        self.subscription_handlers: list[SubscriptionHandler] = []

    def on(self, *event_types: str) -> Callable[[H], H]:
        """Register a handler of these event types; see :meth:`.KavachStripe.on`.

        :raises TypeError: If there is no event type, or something else in its place,
            such as the handler in ``@kavach_stripe.on`` without parentheses.
        """
        if not event_types or not all(
            isinstance(event_type, str) and event_type for event_type in event_types
        ):
            raise TypeError(
                "'on' takes event types: '@kavach_stripe.on(\"invoice.paid\")'."
            )

        def register(handler: H) -> H:
            self._handlers.append((event_types, handler))
            self._handlers_by_type = {}
            return handler

        return register

    def on_subscription_change(self, handler: S) -> S:
        """Register a handler of changes to subscriptions.

        See :meth:`.KavachStripe.on_subscription_change`.
        """
        self.subscription_handlers.append(handler)
        return handler

    def find(self, event_type: str) -> list[Handler]:
        """The handlers of an event type, in order of registration.

        :return: A handler once for each time it was registered, even if several of its
            patterns match. Empty if there is none.
        """
        handlers = self._handlers_by_type.get(event_type)

        if handlers is None:
            handlers = self._handlers_by_type[event_type] = [
                handler
                for patterns, handler in self._handlers
                if any(matches(event_type, pattern) for pattern in patterns)
            ]

        return handlers

    @property
    def event_types(self) -> frozenset[str]:
        """The event types that handlers name in full.

        Those that :attr:`patterns` match are missing: only Stripe knows all types.
        """
        return frozenset(
            pattern
            for patterns, _ in self._handlers
            for pattern in patterns
            if "*" not in pattern
        )

    @property
    def patterns(self) -> frozenset[str]:
        """The event types with a ``*`` that handlers are registered for."""
        return frozenset(
            pattern
            for patterns, _ in self._handlers
            for pattern in patterns
            if "*" in pattern
        )


def matches(event_type: str, pattern: str) -> bool:
    """Whether a pattern matches a whole event type; ``*`` stands for any text.

    No other character is special: ``.`` is a dot.
    """
    regex = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(regex, event_type) is not None
