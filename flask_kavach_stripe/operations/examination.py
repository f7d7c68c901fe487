"""What the checks of ``flask stripe doctor`` share: the outcomes, and what was learned.

A check is a function. It returns one line about what is right; a :class:`Note` if there
is something to know. It raises :exc:`CheckFailed` to say what is wrong and what to do,
and :exc:`CheckSkipped` if an earlier check failed and there is nothing to look at. An
error of Stripe counts as a failed check. Nothing is written, here or at Stripe.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..config import Settings
from ..errors import KavachStripeError
from ..state import State
from ..stripe_api.client import StripeClient
from .webhook_endpoints import needed_events


class CheckFailed(KavachStripeError):
    """Something is wrong. The message says what, and what to do."""


class CheckSkipped(KavachStripeError):
    """There is nothing to look at. The message says why."""


class Note(str):
    """What a check found: nothing is wrong, but an operator should know it."""


class Examination:
    """One run of all checks, with what the later ones need from the earlier ones."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.settings: Settings = state.settings
        #: Whether Stripe answered and accepts the key. Set by :func:`check_stripe`.
        self.stripe_answers = False
        #: The webhook endpoint at Stripe with this app's path. Set by
        #: :func:`check_endpoint`.
        self.endpoint: Mapping[str, Any] | None = None

    @cached_property
    def needed_events(self) -> frozenset[str]:
        """The event types that the app needs, see :func:`.needed_events`."""
        return needed_events(self.state.registry)

    def require_stripe(self) -> StripeClient:
        """The client, for a check that asks Stripe.

        :raises CheckSkipped: If Stripe did not answer, or refused the key.
        """
        if not self.stripe_answers:
            raise CheckSkipped("Stripe could not be asked.")

        return self.state.client

    def require_endpoint(self) -> Mapping[str, Any]:
        """The webhook endpoint of this app.

        :raises CheckSkipped: If :func:`check_endpoint` found none.
        """
        if self.endpoint is None:
            raise CheckSkipped("There is no endpoint to look at.")

        return self.endpoint


#: Returns a line about what is right, or raises.
Check = Callable[[Examination], str]
