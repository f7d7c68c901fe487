"""Process the events that never reached the webhook.

Stripe lists events newest first, but they should be processed oldest first. So the list
is read twice. The first pass goes back in time and finds the oldest event that is not
in the ledger. The second pass begins at this event, goes forward and processes what is
missing. If the first pass finds nothing, there is no second one.

Only one event is kept in memory between the passes, however many were missed. The
second pass also reaches the events that happen while it runs.

Source: https://docs.stripe.com/webhooks/process-undelivered-events
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
from ..stripe_api.objects import read_id
from .running_subscriptions import find_unclaimed
from .running_subscriptions import Running
from .webhook_endpoints import needed_events

#: How long Stripe keeps events.
#: Source: https://docs.stripe.com/api/events
KEPT: Final = timedelta(days=30)

#: How many event types Stripe accepts as a filter. They must be written in full.
#: Source: https://docs.stripe.com/api/events/list
_MAX_TYPES: Final = 20


class RecoveredEvent(NamedTuple):
    """A missed event, after it was processed or failed."""

    event: Event
    #: The primary key of the event's user, as text.
    user_id: str | None
    #: Whether the event is in the ledger now.
    is_stored: bool
    #: The error that stopped it: of a handler, of Stripe or of the database.
    error: Exception | None = None


class CatchUp:
    """One run of ``flask stripe catch-up``, with its counts.

    :param since: The oldest ``created`` of an event to process.
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
        #: How many missed events concern no user and no handler of this app.
        self.ineffective: int = 0
        #: Running subscriptions that this app sold and that no user has, by id; also
        #: those of events that are in the ledger.
        self.orphans: dict[str, Running] = {}
        self._seen: set[str] = set()

    def run(self) -> Iterator[RecoveredEvent]:
        """Process the events that are not in the ledger, oldest first.

        Each event is processed as the webhook does it, with its own transactions. An
        error of one event is yielded with it, and the run goes on.

        The ledger keeps no event about a customer that nobody has, unless a handler
        takes it. Such events come again in each run, without effect. They are counted,
        but not yielded.

        :raises StripeError: If Stripe does not list the events, or an error of
            :data:`~flask_kavach_stripe.errors.FATAL_ERRORS` occurs.
        """
        oldest = None

        for page in self._pages(self._params):
            self._find_orphans(page)
            oldest = next(reversed(self._missed(page)), oldest)

        if oldest is None:
            return

        yield from self._process(oldest)

        for page in self._pages({**self._params, "ending_before": oldest.id}):
            for event in self._missed(page):
                yield from self._process(event)

    def _pages(self, params: Mapping[str, Any]) -> Iterator[Sequence[Event]]:
        """Read the pages of Stripe's list, and count them.

        With ``ending_before`` Stripe goes forward in time; ``client.pages`` then yields
        the events of each page oldest first.
        """
        for page in self._state.client.pages("/v1/events", params):
            self.requests += 1

            if "ending_before" not in params:
                self.listed += len(page["data"])

            yield [Event(event) for event in page["data"]]

    def _missed(self, page: Sequence[Event]) -> list[Event]:
        """The events of a page that are handled here and not in the ledger. Commits."""
        find = self._state.registry.find
        handled = [event for event in page if event.type in EFFECTS or find(event.type)]
        session = self._state.session
        event_ids = [event.id for event in handled if event.id is not None]
        known = self._state.ledger.find_known(session, event_ids)
        session.commit()
        return [
            event for event in handled if event.id is not None and event.id not in known
        ]

    def _find_orphans(self, page: Sequence[Event]) -> None:
        """Look for subscriptions that lost their user, as after a restored backup.

        The newest event about a subscription says whether it runs. Commits.

        :param page: The newest event first.
        """
        newest = {
            event.object_id: event.object
            for event in reversed(page)
            if event.type.startswith("customer.subscription.")
            and event.object_id is not None
            and event.object_id not in self._seen
        }
        self._seen.update(newest)
        session, payers = self._state.session, self._state.payers
        ids = {read_id(each.get("customer")) or "" for each in newest.values()}
        known = payers.find_all(session, ids) if ids else {}
        session.commit()

        for orphan in find_unclaimed(self._state, newest.values(), known)[0]:
            self.orphans[orphan.id] = orphan

    def _process(self, event: Event) -> Iterator[RecoveredEvent]:
        """Process one event, and yield it unless it had no effect here."""
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
    """The event types by which Stripe filters its list.

    :return: ``None`` for all types: if a handler has a pattern, which Stripe does not
        know, or if there are more types than Stripe takes.
    """
    types = sorted(needed_events(state.registry))
    return None if state.registry.patterns or len(types) > _MAX_TYPES else types
