"""Delete old events from the ledger: processed ones that Stripe cannot send again.

The ledger recognises a second delivery of an event by the event's id. An event that was
deleted too early would be processed a second time, with all its handlers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from typing import Final

from ..database.transactions import begin_write
from ..database.transactions import rollback_on_error
from ..state import State

#: Stripe lists events, and can resend them, for 30 days.
#: Source: https://docs.stripe.com/webhooks#manually-resend-events
REPEATED: Final = timedelta(days=30)

#: How many events one transaction deletes. Webhooks wait for it on SQLite.
_BATCH = 500


def prune(state: State, before: datetime, *, dry_run: bool = False) -> Iterator[int]:
    """Delete the processed events that were received before a time.

    Works in batches, in the order of the ids, and commits each of them. Events that are
    pending or failed stay. The rows of subscriptions stay, too: later events are
    compared with them.

    :param before: An aware time. The command sees to it that it is at least
        :data:`REPEATED` ago.
    :param dry_run: Count the events, and delete nothing.
    :return: The number of events in each batch.
    """
    session, last = state.session, ""

    while ids := state.ledger.list_processed(session, before, last, limit=_BATCH):
        session.commit()  # reading locks nothing from here on
        last = ids[-1]

        if dry_run:
            yield len(ids)
            continue

        with rollback_on_error(session):
            begin_write(session, state.event_model)
            deleted = state.ledger.delete_processed(session, ids)
            session.commit()

        yield deleted

    session.commit()
