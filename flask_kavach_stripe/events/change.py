"""Store a change that no event brought: a helper learned it from Stripe.

The app's ``on_subscription_change`` handlers run for it with the guarantee that they
have for events. A pending notification is stored in the ledger, in the same transaction
as the columns, and deleted when the handlers have run.
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

    Commits. A handler that raises undoes no column: its notification stays in the
    ledger, with the error.

    :param instance: The user, who shows the new values then.
    :raises HandlerError: If a handler raised.
    :raises StripeError: If Stripe had to be asked and gave no answer.
    """
    entry_id = f"{CHANGE}_{uuid.uuid4().hex}"
    event = {"id": entry_id, "type": CHANGE, "payload": "{}"}
    entry = store(state, update, Note(event, update.customer_id))
    state.payers.refresh(state.session, instance)

    if entry is None:
        return

    try:
        hand_over(state, Pending(entry_id, entry, user=instance))
    except EnqueueError as error:  # the ledger keeps it, and a replay finds it
        logger.error("%s", error, exc_info=error)
