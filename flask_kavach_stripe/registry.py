"""The app's handlers, by event type.

A *handler* is always a function of the app; what an event means for our own tables is
in ``events.effects``. Apps register through :class:`.KavachStripe`, and ``events.run``
calls what :meth:`HandlerRegistry.find` returns.

A handler belongs at module level, where it is registered once. In an app factory the
same definition is registered by each call; then the last one replaces the former ones.
``handler_identity`` says what the same definition is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeVar

from .errors import ConfigurationError
from .handler_identity import can_wait
from .handler_identity import is_async
from .handler_identity import is_same
from .stripe_api.event import Event
from .stripe_api.event_types import doubt_type
from .stripe_api.event_types import matches

logger: Final = logging.getLogger(__name__)

Handler = Callable[[Event], Any]
SubscriptionHandler = Callable[[Any, Any], Any]
H = TypeVar("H", bound=Handler)
S = TypeVar("S", bound=SubscriptionHandler)


class _Registration(NamedTuple):
    """A handler, and how it was registered."""

    handler: Callable[..., Any]
    #: The event types of ``on``; empty for ``on_subscription_change``.
    patterns: tuple[str, ...]
    #: How many apps had been set up before.
    apps: int


class HandlerRegistry:
    """The handlers of one ``KavachStripe``, in order of registration.

    All apps of that extension object share it. Handlers may be registered before and
    after ``init_app``.
    """

    def __init__(self) -> None:
        self._handlers: list[_Registration] = []
        self._subscription_handlers: list[_Registration] = []
        #: The answers of :meth:`find`, until another handler is registered.
        self._handlers_by_type: dict[str, list[Handler]] = {}
        self._apps = 0

    def count_app(self) -> None:
        """Count an app that is set up: what comes now may be its factory's again."""
        self._apps += 1

    def on(self, *event_types: str) -> Callable[[H], H]:
        """Register a handler of these event types; see :meth:`.KavachStripe.on`.

        Logs a warning for a type that Stripe does not have, as far as is known.

        :raises TypeError: If there is no event type, or something else in its place,
            such as the handler in ``@kavach_stripe.on`` without parentheses.
        """
        if not event_types or not all(
            isinstance(event_type, str) and event_type for event_type in event_types
        ):
            raise TypeError(
                "'on' takes event types: '@kavach_stripe.on(\"invoice.paid\")'."
            )

        for doubt in filter(None, map(doubt_type, event_types)):
            logger.warning("A handler waits for events that never come. %s", doubt)

        def register(handler: H) -> H:
            self._add(self._handlers, handler, event_types)
            self._handlers_by_type = {}
            return handler

        return register

    def on_subscription_change(self, handler: S) -> S:
        """Register a handler of changes to subscriptions.

        See :meth:`.KavachStripe.on_subscription_change`.
        """
        self._add(self._subscription_handlers, handler, ())
        return handler

    def _add(
        self,
        registrations: list[_Registration],
        handler: Callable[..., Any],
        patterns: tuple[str, ...],
    ) -> None:
        """Add a handler, or let it take the place of the same one.

        Logs a warning in the second case.

        :raises ConfigurationError: If the handler is ``async`` and nothing can run it.
        """
        if is_async(handler) and not can_wait():
            raise ConfigurationError(
                f"The handler {_describe(handler)} is 'async', and 'asgiref' is not"
                " installed. Install it with \"pip install 'flask[async]'\"."
            )

        added = _Registration(handler, patterns, self._apps)
        former = [
            number
            for number, other in enumerate(registrations)
            if other.patterns == patterns
            and is_same(other.handler, handler, is_new_app=other.apps < self._apps)
        ]

        if not former:
            registrations.append(added)
            return

        logger.warning(
            "The handler %s was registered again%s, and replaces the former one."
            " Register handlers at module level, where it happens once.",
            _describe(handler),
            f" for {', '.join(map(repr, patterns))}" if patterns else "",
        )
        registrations[former[0]] = added

        for number in reversed(former[1:]):
            del registrations[number]

    def find(self, event_type: str) -> list[Handler]:
        """The handlers of an event type, in order of registration.

        :return: A handler once for each time it was registered, even if several of its
            patterns match. Empty if there is none.
        """
        handlers = self._handlers_by_type.get(event_type)

        if handlers is None:
            handlers = self._handlers_by_type[event_type] = [
                handler
                for handler, patterns, _ in self._handlers
                if any(matches(event_type, pattern) for pattern in patterns)
            ]

        return handlers

    @property
    def subscription_handlers(self) -> list[SubscriptionHandler]:
        """The handlers to call when a user's subscription has changed, in order."""
        return [handler for handler, _, _ in self._subscription_handlers]

    @property
    def event_types(self) -> frozenset[str]:
        """The event types that handlers name in full.

        Those that :attr:`patterns` match are missing: only Stripe knows all types.
        """
        return frozenset(
            pattern
            for _, patterns, _ in self._handlers
            for pattern in patterns
            if "*" not in pattern
        )

    @property
    def patterns(self) -> frozenset[str]:
        """The event types with a ``*`` that handlers are registered for."""
        return frozenset(
            pattern
            for _, patterns, _ in self._handlers
            for pattern in patterns
            if "*" in pattern
        )


def _describe(handler: Callable[..., Any]) -> str:
    """The name of a handler with its module, for a message."""
    name = getattr(handler, "__qualname__", None)
    return f"'{handler.__module__}.{name}'" if name else repr(handler)
