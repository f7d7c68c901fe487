"""Read a user's subscriptions from our database. Nothing here calls Stripe.

The user's columns hold the one subscription that counts. The rows of the subscription
table hold all of them, also those that have ended.
"""

from __future__ import annotations

from typing import Any

from ..customer_state import CustomerState
from ..customer_state import Payer
from ..customer_state import StoredSubscription
from ..state import get_state
from ..state import State
from ..stripe_api.objects import SubscriptionState
from ..subscription import Subscription
from .users import find_user


def get_subscription(user: Any) -> Subscription | None:
    """The subscription that a user's columns name.

    No query beyond loading the user, no call to Stripe.

    :param user: The model instance, ``current_user`` or a primary key.
    :return: ``None`` if no subscription is running, or there is no such user.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return None

    return state.describe(state.payers.columns_of(instance))


def list_subscriptions(user: Any) -> list[Subscription]:
    """All subscriptions of a user's customer, also those that have ended.

    Flushes ``db.session``. No call to Stripe.

    :param user: The model instance, ``current_user`` or a primary key.
    :return: The best subscription first: the one that the columns name. Empty if the
        user has none, or does not exist.

    .. versionadded:: 0.1
    """
    state = get_state()
    state.session.flush()
    instance = find_user(state, user)

    if instance is None:
        return []

    customer = _find_customer(state, instance)
    described = (
        state.describe_state(known, has_row=known.id in customer.rows)
        for known in customer.best_first(state.settings.access)
    )
    return [subscription for subscription in described if subscription is not None]


def list_rows(state: State, instance: Any) -> list[SubscriptionState]:
    """The subscriptions in the rows and in the columns, best first. One query.

    The columns may name a subscription without a row: one that was stored before the
    app had the subscription table.
    """
    return _find_customer(state, instance).best_first(state.settings.access)


def _find_customer(state: State, instance: Any) -> CustomerState:
    """The rows and the columns of a user. One query."""
    customer_id = state.payers.customer_id_of(instance)
    columns = state.payers.columns_of(instance)
    rows: dict[str, StoredSubscription] = {}

    if customer_id is not None:
        rows = state.rows.of(state.session, customer_id)

    return CustomerState(Payer(None, customer_id, columns), rows)


def has_ever_subscribed(user: Any) -> bool:
    """Whether a user has or had a plan, as far as our database knows.

    Add-ons alone do not count. Of a user without rows, the columns keep the status of a
    subscription that has ended.
    """
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return False

    rows = list_rows(state, instance)

    if not rows:
        return state.payers.columns_of(instance).status is not None

    return any(state.settings.catalogue.has_plan(row.items) for row in rows)
