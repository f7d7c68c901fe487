"""The way of a webhook, from its bytes to the app's handlers.

Verify and parse; store in one transaction (``storing``); run the handlers in another
one, which is the event's only as long as its ledger row says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import Any
from typing import Final

from flask import current_app
from sqlalchemy.exc import IntegrityError

from .client import quote_path
from .errors import InvalidRequestError
from .handlers import CHECKOUT_COMPLETED
from .handlers import HANDLERS
from .ledger import Entry
from .objects import read_customer_id
from .running import hand_over
from .running import run_once
from .signatures import verify_signature
from .state import State
from .storing import commit
from .storing import Note
from .storing import store
from .storing import tell_change
from .subscriptions import CustomerState
from .subscriptions import Payer
from .transactions import begin_write
from .transactions import commit_open
from .transactions import rollback_on_error
from .webhooks import Event
from .webhooks import Handler
from .webhooks import parse_event

logger: Final = logging.getLogger(__name__)

#: Where the object of a thin event is read, by the first words of the event type. The
#: path in the event is not used: whoever could write it could read our key.
_OBJECT_PATHS: Final = {
    "checkout.session.": "/v1/checkout/sessions/{}",
    "customer.subscription.": "/v1/subscriptions/{}",
    "invoice.": "/v1/invoices/{}",
}


def receive(state: State, payload: bytes, signature: str | bytes | None) -> Event:
    """Verify a webhook and do all that its event asks for.

    :raises SignatureVerificationError: If it is not from Stripe.
    :raises HandlerError: If one of the app's handlers raised.
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
    """Store an event and run its handlers, unless that was done before.

    :param payload: The event as sent, for the ledger.
    """
    if not _is_expected(state, event):
        return

    handlers = state.registry.find(event.type)

    if event.type not in HANDLERS and (event.is_thin or not handlers):
        return  # without a session, which is made when it is first asked for

    session = state.session
    commit_open(session)  # every transaction from here on is ours
    event.attach_user(partial(_find_user, state, event))
    attach_object(state, event)

    try:
        entry = _store(state, event, payload, handlers)
    except IntegrityError:  # stored meanwhile, where there was no user to lock
        entry = _find(state, event)

        if entry is None:
            raise
    except InvalidRequestError as error:
        if not event.is_thin or error.http_status != 404:
            raise

        logger.warning("Ignored event %s (%s): %s", event.id, event.type, error)
        return

    if entry is None:
        return

    event.attach_user(partial(state.accounts.load, session, entry.user_id))

    if not entry.is_processed:
        hand_over(state, event.id, partial(run, state, event, entry))


def _is_expected(state: State, event: Event) -> bool:
    """Whether the event is of the mode that our key is of."""
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


def _find(state: State, event: Event) -> Entry | None:
    if event.id is None:
        return None

    entry = state.ledger.find(state.session, event.id)
    state.session.commit()
    return entry


def _store(
    state: State, event: Event, payload: str, handlers: list[Handler]
) -> Entry | None:
    """The first transaction: ledger, rows and columns."""
    if event.is_thin or event.type == CHECKOUT_COMPLETED:
        entry = _find(state, event)  # before Stripe is asked, or a customer linked

        if entry is not None:
            return entry

    own_handler = HANDLERS.get(event.type) if event.account is None else None
    update = None if own_handler is None else own_handler(state, event)
    note = Note(
        _describe(event, payload),
        _customer_id(event),
        has_handlers=bool(handlers),
        is_event=True,
    )

    if update is not None:
        return store(state, update, note)

    if not handlers:
        return None

    if event.is_thin:
        _ = event.object  # read now, while no lock is held

    with rollback_on_error(state.session):
        begin_write(state.session, state.event_model)
        payer = _find_account(state, event)
        return commit(state, note, None if payer is None else CustomerState(payer, {}))


def _find_account(state: State, event: Event) -> Payer | None:
    customer_id = _customer_id(event)

    if customer_id is None or event.account is not None:
        return None

    return state.accounts.find(state.session, customer_id)


def _find_user(state: State, event: Event) -> Any:
    account = _find_account(state, event)
    return (
        None if account is None else state.accounts.load(state.session, account.user_id)
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


def attach_object(state: State, event: Event) -> None:
    """Have a thin event read its object from Stripe when it is asked for it."""
    if event.is_thin:
        event.attach_object(partial(_read_object, state, event))


def _read_object(state: State, event: Event) -> Mapping[str, Any]:
    """The object of a thin event, read by its type and id."""
    if event.object_id is None:
        return {}

    for prefix, path in _OBJECT_PATHS.items():
        if event.type.startswith(prefix):
            return state.webhook_client.get(
                quote_path(path, event.object_id), stripe_account=event.account
            )

    return {"id": event.object_id, "object": "customer", "deleted": True}


def run(state: State, event: Event, entry: Entry) -> bool:
    """The second transaction: the app's handlers, exactly once.

    :param event: With its user and, if it is thin, its object attached.
    :return: ``False`` if they had been run before.
    :raises HandlerError: If one of them raised.
    """
    session = state.session
    session.expire_all()  # the columns were written past its objects
    handlers = state.registry.find(event.type)

    if event.is_thin:
        _ = event.object  # read now, while no lock is held

    def tell() -> None:
        tell_change(state, event.user, entry.customer_id)

    tells_change = entry.changed and bool(state.registry.subscription_handlers)
    calls: list[Callable[[], object]] = [tell] if tells_change else []
    calls += [partial(current_app.ensure_sync(handler), event) for handler in handlers]

    return run_once(state, event.id, calls)
