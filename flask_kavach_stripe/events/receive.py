"""Receive a webhook: the steps of an event, from its bytes to the app's handlers.

1.  Verify the signature over the bytes, then parse them (:func:`receive`).
2.  Ignore an event of the other mode, or of a type that nobody handles
    (:func:`process`). ``flask stripe catch-up`` begins here, too: it reads events from
    Stripe's list, which has no signatures.
3.  Read the object of a thin event from Stripe, while no lock is held.
4.  First transaction (``store``): the ledger's entry, the rows and the columns.
5.  Second transaction (``run``): the app's handlers; or the app's queue instead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from typing import Final

from sqlalchemy.exc import IntegrityError

from ..customer_state import CustomerState
from ..customer_state import Payer
from ..database.ledger import Entry
from ..database.transactions import begin_write
from ..database.transactions import commit_open
from ..database.transactions import rollback_on_error
from ..errors import InvalidRequestError
from ..state import State
from ..stripe_api.event import Event
from ..stripe_api.event import parse_event
from ..stripe_api.objects import read_customer_id
from ..stripe_api.signatures import verify_signature
from .effects import CHECKOUT_COMPLETED
from .effects import EFFECTS
from .run import hand_over
from .run import Pending
from .store import commit
from .store import Note
from .store import store
from .thin import read_object

logger: Final = logging.getLogger(__name__)


def receive(state: State, payload: bytes, signature: str | bytes | None) -> Event:
    """Verify a webhook, store its event and run the event's handlers.

    Commits, and calls Stripe, as :func:`process` does.

    :param payload: The raw body of the request. The signature is over these bytes.
    :param signature: The ``Stripe-Signature`` header.
    :return: The event, also if it was ignored or delivered before.
    :raises SignatureVerificationError: If no signing secret of the app made the
        signature, or the signature is too old.
    :raises InvalidPayloadError: If the payload is not a JSON object.
    :raises HandlerError: If one of the app's handlers raised.
    :raises EnqueueError: If the app's ``enqueue`` raised.
    :raises StripeError: If Stripe had to be asked and gave no answer. Nothing is stored
        then, and Stripe delivers the event again.

    Source: https://docs.stripe.com/webhooks#verify-events
    """
    verify_signature(
        payload,
        signature,
        state.settings.webhook_secrets,
        tolerance=state.settings.webhook_tolerance,
        now=time.time(),
    )
    event = parse_event(payload)
    process(state, event, payload.decode())
    return event


def process(state: State, event: Event, payload: str) -> None:
    """Store an event and run its handlers, unless an earlier delivery did both.

    Commits the open transaction of the session first, then the transactions of its own.
    Calls Stripe if the event alone does not tell the subscription's state: for a thin
    event, a completed Checkout session, or an unclear order of events. An event of a
    type without effect opens no transaction if it has no handlers, or if it is thin.

    :param payload: The event as Stripe sent it, for the ledger.
    :raises HandlerError: If one of the app's handlers raised. The columns are stored
        all the same.
    :raises EnqueueError: If the app's ``enqueue`` raised. The event is stored.
    :raises StripeError: If Stripe had to be asked and gave no answer. Nothing is
        stored.
    """
    if not _is_of_our_mode(state, event):
        return

    has_handlers = bool(state.registry.find(event.type))

    if event.type not in EFFECTS and (event.is_thin or not has_handlers):
        return  # without making a session

    session = state.session
    commit_open(session)  # every transaction from here on is ours
    event.attach_user(partial(_find_user, state, event))
    entry = _store_once(state, event, payload, has_handlers=has_handlers)

    if entry is None or entry.is_processed:
        return

    event.attach_user(partial(state.payers.load, session, entry.user_id))
    hand_over(state, Pending(event.id, entry, event))


def _is_of_our_mode(state: State, event: Event) -> bool:
    """Whether the event is of the same mode, live or test, as our secret key.

    An event without ``livemode``, and an app without a key, are taken as they are.
    Logs a warning if the mode differs.
    """
    livemode = state.settings.livemode

    if livemode is None or event.livemode in (None, livemode):
        return True

    logger.warning(
        "Ignored event %s (%s): its livemode is %s, that of 'STRIPE_SECRET_KEY' is %s.",
        event.id,
        event.type,
        event.livemode,
        livemode,
    )
    return False


def _store_once(
    state: State, event: Event, payload: str, *, has_handlers: bool
) -> Entry | None:
    """Store the event, or find it in the ledger if it is there already.

    Two deliveries of an event usually wait for each other at the user's row. If there
    is no user to lock, both may try to insert the entry. The database lets one of them
    in, and the other one reads what the first one stored.

    :return: The event's entry, of this delivery or of an earlier one. ``None`` if no
        entry is needed, as nothing has to run; also if the object of a thin event does
        not exist at Stripe.
    :raises StripeError: If Stripe had to be asked and gave no answer.
    """
    if event.is_thin or event.type == CHECKOUT_COMPLETED:
        entry = _find_entry(state, event)  # before a call to Stripe, or a new link

        if entry is not None:
            return entry

    try:
        return _store_event(state, event, payload, has_handlers=has_handlers)
    except IntegrityError:  # stored meanwhile, and there was no user to lock
        entry = _find_entry(state, event)

        if entry is None:
            raise

        return entry
    except InvalidRequestError as error:
        if not event.is_thin or error.http_status != 404:
            raise

        logger.warning("Ignored event %s (%s): %s", event.id, event.type, error)
        return None


def _find_entry(state: State, event: Event) -> Entry | None:
    """The event's entry in the ledger, ``None`` if it is not stored. Commits."""
    if event.id is None:
        return None

    entry = state.ledger.find(state.session, event.id)
    state.session.commit()
    return entry


def _store_event(
    state: State, event: Event, payload: str, *, has_handlers: bool
) -> Entry | None:
    """Run the first transaction: the ledger's entry, the rows and the columns.

    An event of a connected account has no effect on our rows, as its customers are not
    ours. An event that has no effect, but has handlers, is stored as an entry alone.
    The order matters for thin events: read the row's revision, then the object from
    Stripe, then lock.

    :return: The entry, ``None`` if none was needed.
    :raises StripeError: If Stripe had to be asked and gave no answer.
    :raises sqlalchemy.exc.IntegrityError: If the event was stored at the same moment.

    Source: https://docs.stripe.com/connect/webhooks
    """
    effect = EFFECTS.get(event.type) if event.account is None else None
    revisions: Mapping[str, int] = {}

    if event.is_thin and (effect is not None or has_handlers):
        revisions = _read_revisions(state, event)
        event.attach_object(read_object(state, event))

    update = None if effect is None else effect(state, event, revisions)
    note = Note(
        _event_columns(event, payload),
        _customer_id(event),
        has_handlers=has_handlers,
        is_event=True,
    )

    if update is not None:
        entry = store(state, update, note)
    elif has_handlers:
        entry = _store_entry(state, event, note)
    else:
        return None

    _log_if_nobodys(state, event, note, entry)
    return entry


def _store_entry(state: State, event: Event, note: Note) -> Entry | None:
    """Store an event that changes no row, for the app's handlers. Commits.

    :raises sqlalchemy.exc.IntegrityError: If the event was stored at the same moment.
    """
    with rollback_on_error(state.session):
        begin_write(state.session, state.event_model)
        payer = _find_payer(state, event)
        return commit(state, note, None if payer is None else CustomerState(payer, {}))


def _log_if_nobodys(
    state: State, event: Event, note: Note, entry: Entry | None
) -> None:
    """Log that no user has the customer of an event.

    Other apps may share the Stripe account, so most of such customers are theirs. One
    with our mark was a user's once, and the log warns. Nobody is linked here: a mark
    alone links nobody.

    :param entry: As stored. An event about a user always has one.
    """
    customer_id = note.customer_id
    has_user = entry is not None and entry.user_id is not None

    if customer_id is None or event.account is not None or has_user:
        return

    user_id = state.marker.read_object(event.object, customer_id)

    if user_id is None:
        logger.info(
            "Event %s (%s) is about customer %s, whom no user has.",
            event.id,
            event.type,
            customer_id,
        )
    else:
        logger.warning(
            "Event %s (%s) is about customer %s, whom no user has, and whom this app"
            " created for user %s. 'flask stripe sync' lists what is still running.",
            event.id,
            event.type,
            customer_id,
            user_id,
        )


def _read_revisions(state: State, event: Event) -> Mapping[str, int]:
    """Read the row's revision for a thin event about a subscription. Commits.

    Called before the subscription is read from Stripe. If the revision is still the
    same under the lock, nobody has stored something newer in between.

    :return: By subscription id; empty if there is no row, or for other objects.
    """
    if event.object_id is None or not event.type.startswith("customer.subscription."):
        return {}

    revisions = state.rows.revisions(state.session, event.object_id)
    state.session.commit()
    return revisions


def _find_payer(state: State, event: Event) -> Payer | None:
    """Find the user that has the event's customer. Does not commit.

    :return: ``None`` if nobody has the customer, or if the event is of a connected
        account.
    """
    customer_id = _customer_id(event)

    if customer_id is None or event.account is not None:
        return None

    return state.payers.find(state.session, customer_id)


def _find_user(state: State, event: Event) -> Any:
    """The model instance for ``event.user``, before the event is stored."""
    payer = _find_payer(state, event)
    return None if payer is None else state.payers.load(state.session, payer.user_id)


def _customer_id(event: Event) -> str | None:
    """The id of the customer that the event is about.

    For ``customer.created``, ``.updated`` and ``.deleted`` the object is the customer.
    The objects of all other types name their customer, if they have one.
    """
    if event.type.startswith("customer.") and event.type.count(".") == 1:
        return event.object_id

    return read_customer_id(event.object)


def _event_columns(event: Event, payload: str) -> Mapping[str, Any]:
    """The columns of the ledger that describe the event, by name."""
    return {
        "id": event.id,
        "type": event.type,
        "created": event.time,
        "object_id": event.object_id,
        "livemode": event.livemode,
        "api_version": event.api_version,
        "payload": payload,
    }
