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
from typing import Any
from typing import Final

from flask import current_app

from ..database.transactions import rollback_on_error
from ..errors import APIError
from ..errors import InvalidRequestError
from ..errors import NoCustomerError
from ..errors import StripeError
from ..events.change import store_change
from ..events.store import Update
from ..state import get_state
from ..state import State
from ..stripe_api.objects import now
from ..stripe_api.objects import read_id
from ..stripe_api.objects import USER_ID_KEY
from ..subscriptions import CustomerDeleted
from ..subscriptions import Payer
from .users import find_user
from .users import get_payer

logger: Final = logging.getLogger(__name__)


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
    instance, payer = get_payer(state, user)

    if payer.customer_id is not None:
        return payer.customer_id

    return make_customer(state, instance, payer, email=email, name=name)


def make_customer(
    state: State,
    instance: Any,
    payer: Payer,
    *,
    email: str | None = None,
    name: str | None = None,
    replacing: str | None = None,
) -> str:
    session, payers = state.session, state.payers
    params = {
        "email": email or _text_attribute(instance, "email"),
        "name": name or _text_attribute(instance, "name"),
        "metadata": {USER_ID_KEY: str(payer.user_id)},
    }
    key = _idempotency_key(payers.table_name, payer.user_id, replacing, params)
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
        payers.link(session, payer.user_id, customer_id)
        session.commit()

    # A parallel checkout may have been first: what is stored now counts.
    winner = payers.get(session, payer.user_id)
    session.commit()
    payers.refresh(session, instance)

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


def record_deletion(state: State, instance: Any, customer_id: str) -> None:
    """Store that Stripe does not have this customer any more."""
    logger.warning("Customer %s does not exist at Stripe any more.", customer_id)
    update = Update(customer_id, (CustomerDeleted(now()),))
    store_change(state, instance, update)
