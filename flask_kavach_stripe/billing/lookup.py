"""Read a user's subscriptions from our database. Nothing here calls Stripe.

The user's columns hold the one subscription that counts. The rows of the subscription
table hold all of them, also those that have ended.
"""

from __future__ import annotations

from typing import Any

from ..state import get_state
from ..state import State
from ..stripe_api.objects import SubscriptionState
from ..subscriptions import CustomerState
from ..subscriptions import Payer
from ..subscriptions import StoredSubscription
from ..subscriptions import Subscription
from ..subscriptions import SubscriptionColumns
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
    ranked = [] if instance is None else _stored_subscriptions(state, instance)
    described = (
        state.describe(SubscriptionColumns.of(subscription)) for subscription in ranked
    )
    return [subscription for subscription in described if subscription is not None]


def _stored_subscriptions(state: State, instance: Any) -> list[SubscriptionState]:
    """The subscriptions in the rows and in the columns, best first. One query.

    The columns may name a subscription without a row: one that was stored before the
    app had the subscription table.
    """
    customer_id, columns = (
        instance.stripe_customer_id,
        state.payers.columns_of(instance),
    )
    rows: dict[str, StoredSubscription] = {}

    if customer_id is not None:
        rows = state.rows.of(state.session, customer_id)

    customer = CustomerState(Payer(None, customer_id, columns), rows)
    return customer.best_first(state.settings.active_statuses)


def has_ever_subscribed(user: Any) -> bool:
    """Whether a user has or had a subscription, as far as our database knows.

    The columns keep the status of a subscription that has ended, also for a user
    without a customer now.
    """
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return False

    return instance.stripe_subscription_status is not None or bool(
        _stored_subscriptions(state, instance)
    )
