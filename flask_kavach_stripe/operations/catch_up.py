"""Process the events that never reached the webhook.

Stripe lists events newest first, and they are to be processed oldest first. So its
list is walked twice: back, to the oldest event that the ledger does not know, and from
there forward. Nothing is kept but this one, however much was missed, and the second
walk goes on to whatever happens meanwhile. If nothing was missed, there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from ..errors import FATAL_ERRORS
from ..errors import KavachStripeError
from ..events.effects import EFFECTS
from ..events.receive import process
from ..state import State
from ..stripe_api.event import Event

#: How long Stripe keeps events.
#: Source: https://docs.stripe.com/api/events
KEPT: Final = timedelta(days=30)

#: As many types as Stripe takes, and these in full only.
_MAX_TYPES: Final = 20


class RecoveredEvent(NamedTuple):
    """A missed event, and what became of it."""

    event: Event
    #: The primary key of the user whom it is about, as text.
    user_id: str | None
    #: Whether it is in the ledger now.
    is_stored: bool
    #: What went wrong.
    error: Exception | None = None


class CatchUp:
    """One run.

    :param since: Events from before then are left alone.
    """

    def __init__(self, state: State, since: datetime) -> None:
        self._state = state
        self._params: Final[Mapping[str, Any]] = {
            "created": {"gte": since},
            "limit": 100,
            "types": _listed_types(state),
        }
        #: How many events Stripe listed, and in how many requests.
        self.listed: int = 0
        self.requests: int = 0
        #: How many were missed and concern nobody here.
        self.ineffective: int = 0

    def run(self) -> Iterator[RecoveredEvent]:
        """Process what the ledger does not know, oldest first.

        Events of customers that nobody has, and that no handler takes, are in no
        ledger: they come again in each run, without effect, and are not told of.
        """
        oldest = None

        for page in self._pages(self._params):
            oldest = next(reversed(self._missed(page)), oldest)

        if oldest is None:
            return

        yield from self._process(oldest)

        for page in self._pages({**self._params, "ending_before": oldest.id}):
            for event in self._missed(page):
                yield from self._process(event)

    def _pages(self, params: Mapping[str, Any]) -> Iterator[Sequence[Event]]:
        for page in self._state.client.pages("/v1/events", params):
            self.requests += 1

            if "ending_before" not in params:
                self.listed += len(page["data"])

            yield [Event(each) for each in page["data"]]

    def _missed(self, page: Sequence[Event]) -> list[Event]:
        """Those of a page that are handled here and were never stored."""
        find = self._state.registry.find
        wanted = [each for each in page if each.type in EFFECTS or find(each.type)]
        session = self._state.session
        ids = [each.id for each in wanted if each.id is not None]
        known = self._state.ledger.find_known(session, ids)
        session.commit()
        return [each for each in wanted if each.id is not None and each.id not in known]

    def _process(self, event: Event) -> Iterator[RecoveredEvent]:
        state = self._state
        failure: Exception | None = None

        try:
            process(state, event, json.dumps(event))
        except FATAL_ERRORS:
            raise
        except (KavachStripeError, SQLAlchemyError) as error:
            state.session.rollback()
            failure = error

        entry = state.ledger.find(state.session, event.id or "")
        state.session.commit()

        if entry is None and failure is None:
            self.ineffective += 1
            return

        user_id = None if entry is None else entry.user_id
        yield RecoveredEvent(event, user_id, entry is not None, failure)


def _listed_types(state: State) -> list[str] | None:
    """What to ask Stripe for; ``None`` for all, where it cannot be asked for less."""
    types = sorted(state.registry.event_types.union(EFFECTS))
    return None if state.registry.patterns or len(types) > _MAX_TYPES else types
