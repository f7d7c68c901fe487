"""Store a change that did not come in an event: a helper read it from Stripe.

The app's ``on_subscription_change`` handlers run for it exactly once, as they do for
events. The pending notification is stored in the ledger, in the same transaction as the
columns, and deleted when the handlers have run.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any
from typing import Final

from ..state import State
from .run import EnqueueError
from .run import hand_over
from .run import Pending
from .store import Note
from .store import store
from .store import Update

logger: Final = logging.getLogger(__name__)

#: The type of a pending notification in the ledger. Stripe has no such event type.
CHANGE: Final = "kavach_stripe.subscription_change"


def store_change(state: State, instance: Any, update: Update) -> None:
    """Store an update of a user's customer, then run the app's handlers for it.

    Calls Stripe if only Stripe can tell the new state. Commits two transactions, as for
    an event; within a handler, both only flush. If a handler raises, the columns
    keep their new values, and the pending notification stays in the ledger with the
    error.

    If the app's ``enqueue`` raises, that is logged: ``flask stripe replay --pending``
    runs the handlers later.

    :param instance: The user. Its columns are refreshed from the database.
    :param update: What is known of the user's customer.
    :raises HandlerError: If a handler raised.
    :raises StripeError: If Stripe had to be asked and gave no answer. Nothing is
        stored then.
    """
    entry_id = f"{CHANGE}_{uuid.uuid4().hex}"
    event = {"id": entry_id, "type": CHANGE, "payload": "{}"}
    entry = store(state, update, Note(event, update.customer_id))
    state.payers.refresh(state.session, instance)

    if entry is None:
        return

    try:
        hand_over(state, Pending(entry_id, entry, find_user=lambda: instance))
    except EnqueueError as error:  # a replay finds the notification in the ledger
        logger.error("%s", error, exc_info=error)

    state.payers.refresh(state.session, instance)  # the commit has expired it
