"""Read a customer's subscriptions from Stripe, and store them."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..errors import InvalidRequestError
from ..events.change import store_change
from ..events.run import raising_handlers_error
from ..events.store import Ask
from ..events.store import to_answer
from ..events.store import Update
from ..state import get_state
from ..state import State
from ..stripe_api.objects import now
from ..subscriptions import Change
from ..subscriptions import CustomerState
from ..subscriptions import Ending
from ..subscriptions import Subscription
from .customers import is_deleted_customer
from .customers import record_deletion
from .lookup import get_subscription
from .users import get_payer


@raising_handlers_error()
def sync_subscription(user: Any) -> Subscription | None:
    """Read all subscriptions of a user from Stripe and store them.

    Those that Stripe does not list have ended.

    :return: What the columns say then.
    :raises NoCustomerError: If there is no such user.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    customer_id = payer.customer_id
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
        store_change(state, instance, Update(customer_id, changes, ask=ask))
    except InvalidRequestError as error:
        if not is_deleted_customer(error):
            raise

        record_deletion(state, instance, customer_id)


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
    time = min((answer.time for answer in answers if answer.time), default=now())
    endings = (Ending(id_, time) for id_ in customer.known if id_ not in own)
    return (*own.values(), *endings)
