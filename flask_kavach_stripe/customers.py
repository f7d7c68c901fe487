"""The users of the app, and the customers that they are at Stripe.

The helpers, here and in the modules above, work in the current app and take a user as
the model instance, ``current_user`` or a primary key. They flush ``db.session`` first
and commit it before a call to Stripe and after storing; inside a handler they only
flush.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import Callable
from datetime import datetime
from datetime import UTC
from functools import partial
from typing import Any
from typing import Final

from flask import current_app
from werkzeug.local import LocalProxy

from .errors import APIError
from .errors import InvalidRequestError
from .errors import NoCustomerError
from .errors import StripeError
from .objects import read_id
from .objects import USER_ID_KEY
from .running import EnqueueError
from .running import hand_over
from .running import raising_handlers_error
from .running import run_once
from .state import get_state
from .state import State
from .storing import Note
from .storing import store
from .storing import tell_change
from .storing import Update
from .subscriptions import CustomerDeleted
from .subscriptions import Payer
from .transactions import rollback_on_error

logger: Final = logging.getLogger(__name__)

#: The type of an entry in the ledger for a change that no event of Stripe's brought.
CHANGE: Final = "kavach_stripe.subscription_change"


def find_user(state: State, user: Any) -> Any:
    """The model instance that is meant, or ``None`` for nobody.

    :raises TypeError: If it is neither an instance nor a primary key.
    """
    if isinstance(user, LocalProxy):
        user = user._get_current_object()

    if user is None or getattr(user, "is_anonymous", False) is True:
        return None

    if isinstance(user, state.accounts.user_model):
        return state.accounts.attached(state.session, user)

    keys = (str, int, uuid.UUID, state.accounts.key_type)

    if isinstance(user, keys) and not isinstance(user, bool):
        return state.accounts.load(state.session, user)

    raise TypeError(
        f"'user' must be a {state.accounts.user_model.__name__!r}, 'current_user' or a"
        f" primary key, not {type(user).__name__!r}."
    )


def get_account(state: State, user: Any) -> tuple[Any, Payer]:
    """The instance and its account, as the database has it now.

    :raises NoCustomerError: If there is no such user.
    """
    state.session.flush()
    instance = find_user(state, user)
    user_id = None if instance is None else state.accounts.key_of(instance)
    account = None if user_id is None else state.accounts.get(state.session, user_id)

    if account is None:
        raise NoCustomerError("There is no such user.")

    return instance, account


def create_customer(
    user: Any, email: str | None = None, name: str | None = None
) -> str:
    """Create the Stripe customer of a user and store its id.

    A user who has one keeps it; Stripe is not called then.

    :param email: By default ``user.email``, where there is one.
    :param name: By default ``user.name``, where there is one.
    :return: The customer's id.
    :raises NoCustomerError: If there is no such user.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = get_account(state, user)

    if account.customer_id is not None:
        return account.customer_id

    return make_customer(state, instance, account, email=email, name=name)


def make_customer(
    state: State,
    instance: Any,
    account: Payer,
    *,
    email: str | None = None,
    name: str | None = None,
    replacing: str | None = None,
) -> str:
    session, accounts = state.session, state.accounts
    params = {
        "email": email or _text_attribute(instance, "email"),
        "name": name or _text_attribute(instance, "name"),
        "metadata": {USER_ID_KEY: str(account.user_id)},
    }
    key = _idempotency_key(accounts.table_name, account.user_id, replacing, params)
    session.commit()

    try:
        customer = state.client.post("/v1/customers", params, idempotency_key=key)
    except StripeError as error:
        if not error.replayed:
            raise

        customer = state.client.post("/v1/customers", params)

    customer_id = read_id(customer.get("id"))

    if customer_id is None:
        raise APIError("Stripe's answer is not a customer.")

    with rollback_on_error(session):
        accounts.link(session, account.user_id, customer_id)
        session.commit()

    # A parallel checkout may have been first: what is stored now counts.
    winner = accounts.get(session, account.user_id)
    session.commit()
    accounts.refresh(session, instance)

    if winner is None or winner.customer_id is None:
        raise NoCustomerError("The user was deleted meanwhile.")

    return winner.customer_id


def _text_attribute(instance: Any, name: str) -> str | None:
    value = getattr(instance, name, None)
    return value if isinstance(value, str) and value else None


def _idempotency_key(*parts: Any) -> str:
    """One key for one purpose: parallel requests get the same customer of Stripe."""
    secret = current_app.secret_key or get_state().settings.secret_key or ""
    text = json.dumps(parts, default=str, sort_keys=True)
    key = secret if isinstance(secret, bytes) else secret.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def get_customer_id(user: Any) -> str | None:
    """The Stripe customer of a user, ``None`` where there is none, or no such user.

    .. versionadded:: 0.1
    """
    instance = find_user(get_state(), user)
    return None if instance is None else instance.stripe_customer_id


def is_deleted_customer(error: InvalidRequestError) -> bool:
    """Whether Stripe does not know the customer, in neither of its modes."""
    return (
        error.code == "resource_missing"
        and error.param == "customer"
        and "similar object exists in" not in error.message
    )


def forget_customer(state: State, instance: Any, customer_id: str) -> None:
    """Store that Stripe does not have this customer any more."""
    logger.warning("Customer %s does not exist at Stripe any more.", customer_id)
    now = datetime.now(UTC).replace(microsecond=0)
    update = Update(customer_id, (CustomerDeleted(now),))
    store_for_user(state, instance, update)


def store_for_user(state: State, instance: Any, update: Update) -> None:
    """Store what a helper learned, then tell those who want to know.

    That they are owed it is stored with the columns, and forgotten when they were told:
    a handler that raises undoes no column, and leaves an entry with its error.
    """
    event = {"id": f"{CHANGE}_{uuid.uuid4().hex}", "type": CHANGE, "payload": "{}"}
    entry = store(state, update, Note(event, update.customer_id))
    state.accounts.refresh(state.session, instance)

    if entry is None:
        return

    owed = event["id"]
    tell = tell_owed_change(state, instance, owed, update.customer_id)

    try:
        with raising_handlers_error():
            hand_over(state, owed, partial(run_once, state, owed, [tell]))
    except EnqueueError as error:  # it stays in the ledger, where a replay finds it
        logger.error("%s", error, exc_info=error)


def tell_owed_change(
    state: State, user: Any, entry_id: str, customer_id: str | None
) -> Callable[[], None]:
    """What an entry of the type :data:`CHANGE` owes; it is gone when it was done."""

    def tell() -> None:
        tell_change(state, user, customer_id)
        state.ledger.forget(state.session, entry_id)

    return tell
