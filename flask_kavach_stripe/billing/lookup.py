"""What a user has: from the columns, from our rows, or read from Stripe."""

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
    """The subscription that a user's columns tell of.

    No query beyond loading the user, no call to Stripe.

    :return: ``None`` where no subscription is running.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return None

    return state.describe(state.payers.columns_of(instance))


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
        state.payers.columns_of(instance),
    )
    rows: dict[str, StoredSubscription] = {}

    if customer_id is not None:
        rows = state.rows.of(state.session, customer_id)

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
