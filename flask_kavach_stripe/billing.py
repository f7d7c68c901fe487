"""What a user has: from the columns, from our rows, or read from Stripe."""

from __future__ import annotations

import re
from datetime import datetime
from datetime import UTC
from functools import partial
from typing import Any

from flask_login import current_user

from .client import quote_path
from .customers import find_user
from .customers import forget_customer
from .customers import get_account
from .customers import is_deleted_customer
from .customers import store_for_user
from .errors import CheckoutSessionMismatch
from .errors import InvalidRequestError
from .objects import CheckoutFacts
from .objects import read_checkout_session
from .objects import SubscriptionState
from .state import get_state
from .state import State
from .storing import Ask
from .storing import find_owner
from .storing import link_customer
from .storing import retrieve_subscription
from .storing import to_answer
from .storing import Update
from .subscriptions import Change
from .subscriptions import CustomerState
from .subscriptions import Ending
from .subscriptions import Payer
from .subscriptions import StoredSubscription
from .subscriptions import Subscription
from .subscriptions import SubscriptionColumns
from .transactions import rollback_on_error

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


def get_subscription(user: Any) -> Subscription | None:
    """The subscription that a user's columns tell of.

    No query beyond loading the user, no call to Stripe.

    :return: ``None`` where no subscription is running.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return None

    return state.describe(state.accounts.columns_of(instance))


def list_subscriptions(user: Any) -> list[Subscription]:
    """All subscriptions of a user's customer, those that ended included, best first.

    No call to Stripe.

    .. versionadded:: 0.1
    """
    state = get_state()
    state.session.flush()
    instance = find_user(state, user)
    ranked = [] if instance is None else _stored_subscriptions(state, instance)
    described = (state.describe(SubscriptionColumns.of(each)) for each in ranked)
    return [subscription for subscription in described if subscription is not None]


def _stored_subscriptions(state: State, instance: Any) -> list[SubscriptionState]:
    customer_id, columns = (
        instance.stripe_customer_id,
        state.accounts.columns_of(instance),
    )
    rows: dict[str, StoredSubscription] = {}

    if customer_id is not None:
        rows = state.accounts.subscriptions(state.session, customer_id)

    customer = CustomerState(Payer(None, customer_id, columns), rows)
    return customer.best_first(state.settings.active_statuses)


def has_ever_subscribed(user: Any) -> bool:
    """Whether a user has or had a subscription, as far as the database knows."""
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return False

    return instance.stripe_subscription_status is not None or bool(
        _stored_subscriptions(state, instance)
    )


def sync_subscription(user: Any) -> Subscription | None:
    """Read all subscriptions of a user from Stripe and store them.

    Those that Stripe does not list have ended.

    :return: What the columns say then.
    :raises NoCustomerError: If there is no such user.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = get_account(state, user)
    customer_id = account.customer_id
    state.session.commit()

    if customer_id is not None:
        ask = partial(list_from_stripe, state, customer_id)
        sync_customer(state, instance, customer_id, ask)

    return get_subscription(instance)


def sync_customer(
    state: State,
    instance: Any,
    customer_id: str,
    ask: Ask,
    changes: tuple[Change, ...] | None = None,
) -> None:
    """Store what Stripe knows of a user's customer.

    :param ask: Asks Stripe for all of the customer, see :func:`list_from_stripe`.
    :param changes: What it said already; Stripe is asked where that is not enough.
    """
    try:
        store_for_user(state, instance, Update(customer_id, changes, ask=ask))
    except InvalidRequestError as error:
        if not is_deleted_customer(error):
            raise

        forget_customer(state, instance, customer_id)


def list_from_stripe(
    state: State, customer_id: str, customer: CustomerState
) -> tuple[Change, ...]:
    """All subscriptions of a customer; the rows that Stripe does not list have ended.

    :raises StripeError: If Stripe refuses, or does not answer.
    """
    listed = state.client.paginate(
        "/v1/subscriptions", {"customer": customer_id, "status": "all", "limit": 100}
    )
    answers = [to_answer(subscription) for subscription in listed]
    own = {
        answer.subscription_id: answer
        for answer in answers
        if answer.state.customer_id == customer_id
    }
    now = datetime.now(UTC).replace(microsecond=0)
    time = min((answer.time for answer in answers if answer.time), default=now)
    endings = (Ending(id_, time) for id_ in customer.known if id_ not in own)
    return (*own.values(), *endings)


def complete_checkout(
    session_id: str | None, user: Any = current_user
) -> Subscription | None:
    """Store what was bought in a Checkout session, before its webhook is here.

    For the view behind ``success_url``. An id that is empty, unknown or of a session
    that is not finished changes nothing.

    :param session_id: ``cs_...``, from the query of the request.
    :return: What the columns say then.
    :raises CheckoutSessionMismatch: If the session is not this user's.
    :raises NoCustomerError: If there is no such user.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = get_account(state, user)
    state.session.commit()
    checkout = _retrieve_checkout(state, session_id)

    if checkout is None or checkout.customer_id is None:
        return get_subscription(instance)

    customer_id, subscription_id = checkout.customer_id, checkout.subscription_id

    with rollback_on_error(state.session):
        owner = find_owner(state, checkout)

        if owner is None or owner.user_id != account.user_id:
            raise CheckoutSessionMismatch(
                f"Checkout session {session_id!r} belongs to another user."
            )

        link_customer(state, owner, customer_id)
        state.session.commit()

    state.accounts.refresh(state.session, instance)

    if subscription_id is not None:

        def ask(customer: CustomerState) -> tuple[Change, ...]:
            answer = to_answer(retrieve_subscription(state.client, subscription_id))
            return (answer,) if answer.state.customer_id == customer_id else ()

        update = Update(customer_id, None, subscription_id, ask)
        store_for_user(state, instance, update)

    return get_subscription(instance)


def _retrieve_checkout(state: State, session_id: object) -> CheckoutFacts | None:
    """A finished Checkout session for a subscription, ``None`` if it is not one."""
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        return None

    try:
        response = state.client.get(quote_path("/v1/checkout/sessions/{}", session_id))
    except InvalidRequestError as error:
        if error.code != "resource_missing":
            raise

        return None

    checkout = read_checkout_session(response)
    return checkout if checkout.is_complete and checkout.is_subscription else None
