"""Forget old events: those that are processed, and that cannot come again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from typing import Final

from ..database.transactions import begin_write
from ..database.transactions import rollback_on_error
from ..state import State

#: For as long Stripe sends an event again, if asked to, and lists it. What is not in
#: the ledger then would be processed once more.
#: Source: https://docs.stripe.com/webhooks#manually-resend-events
REPEATED: Final = timedelta(days=30)

#: Deleted in one transaction, so that webhooks do not wait for long.
_BATCH = 500


def prune(state: State, before: datetime, *, dry_run: bool = False) -> Iterator[int]:
    """Delete the processed events that were received before a time.

    The rows of subscriptions stay, as later events are ordered by them.

    :param dry_run: Only count them.
    :return: How many there were in each batch.
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
