"""The way of a webhook, from its bytes to the app's handlers.

Verify and parse the payload; read the object of a thin event; store the event in a
first transaction (``store``); run the app's handlers in a second one (``run``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from typing import Final

from sqlalchemy.exc import IntegrityError

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
from ..subscriptions import CustomerState
from ..subscriptions import Payer
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
    """Verify a webhook and do everything that its event requires.

    :param payload: The body, byte by byte as it arrived.
    :param signature: The ``Stripe-Signature`` header.
    :raises SignatureVerificationError: If the webhook is not from Stripe.
    :raises HandlerError: If one of the app's handlers raised.
    :raises StripeError: If Stripe had to be asked and gave no answer.
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

    Commits what the session has open, then its own transactions.

    :param payload: The event as Stripe sent it, for the ledger.
    :raises HandlerError: If one of the app's handlers raised.
    :raises StripeError: If Stripe had to be asked and gave no answer.
    """
    if not _is_expected(state, event):
        return

    has_handlers = bool(state.registry.find(event.type))

    if event.type not in EFFECTS and (event.is_thin or not has_handlers):
        return  # before a session is made for it

    session = state.session
    commit_open(session)  # every transaction from here on is ours
    event.attach_user(partial(_find_user, state, event))
    entry = _store_once(state, event, payload, has_handlers=has_handlers)

    if entry is None or entry.is_processed:
        return

    event.attach_user(partial(state.payers.keys.load, session, entry.user_id))
    hand_over(state, Pending(event.id, entry, event))


def _is_expected(state: State, event: Event) -> bool:
    """Whether the event is of the same mode, live or test, as our key."""
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
    """The event's entry in the ledger, of this delivery or of an earlier one.

    :return: ``None`` if nothing has to run.
    """
    if event.is_thin or event.type == CHECKOUT_COMPLETED:
        entry = _find(state, event)  # before Stripe is asked, or a customer linked

        if entry is not None:
            return entry

    try:
        return _store(state, event, payload, has_handlers=has_handlers)
    except IntegrityError:  # stored meanwhile, where there was no user to lock
        entry = _find(state, event)

        if entry is None:
            raise

        return entry
    except InvalidRequestError as error:
        if not event.is_thin or error.http_status != 404:
            raise

        logger.warning("Ignored event %s (%s): %s", event.id, event.type, error)
        return None


def _find(state: State, event: Event) -> Entry | None:
    if event.id is None:
        return None

    entry = state.ledger.find(state.session, event.id)
    state.session.commit()
    return entry


def _store(
    state: State, event: Event, payload: str, *, has_handlers: bool
) -> Entry | None:
    """The first transaction: ledger, rows and columns."""
    effect = EFFECTS.get(event.type) if event.account is None else None
    revisions: Mapping[str, int] = {}

    if event.is_thin and (effect is not None or has_handlers):
        revisions = _revisions(state, event)
        event.attach_object(read_object(state, event))

    update = None if effect is None else effect(state, event, revisions)
    note = Note(
        _describe(event, payload),
        _customer_id(event),
        has_handlers=has_handlers,
        is_event=True,
    )

    if update is not None:
        return store(state, update, note)

    if not has_handlers:
        return None

    with rollback_on_error(state.session):
        begin_write(state.session, state.event_model)
        payer = _find_payer(state, event)
        return commit(state, note, None if payer is None else CustomerState(payer, {}))


def _revisions(state: State, event: Event) -> Mapping[str, int]:
    """The revision of a thin event's subscription, before Stripe is asked for it."""
    if event.object_id is None or not event.type.startswith("customer.subscription."):
        return {}

    revisions = state.rows.revisions(state.session, event.object_id)
    state.session.commit()
    return revisions


def _find_payer(state: State, event: Event) -> Payer | None:
    customer_id = _customer_id(event)

    if customer_id is None or event.account is not None:
        return None

    return state.payers.find(state.session, customer_id)


def _find_user(state: State, event: Event) -> Any:
    payer = _find_payer(state, event)
    return (
        None if payer is None else state.payers.keys.load(state.session, payer.user_id)
    )


def _customer_id(event: Event) -> str | None:
    if event.type.startswith("customer.") and event.type.count(".") == 1:
        return event.object_id

    return read_customer_id(event.object)


def _describe(event: Event, payload: str) -> Mapping[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "created": event.time,
        "object_id": event.object_id,
        "livemode": event.livemode,
        "api_version": event.api_version,
        "payload": payload,
    }
