"""Read a customer's subscriptions from Stripe, and store them.

For the helper :func:`sync_subscription`, and for ``flask stripe sync``, which does the
same for many users.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..customer_state import Change
from ..customer_state import CustomerState
from ..customer_state import Ending
from ..database.transactions import commit_before_call
from ..errors import InvalidRequestError
from ..events.ask import to_answer
from ..events.ask import with_all_items
from ..events.helper_change import store_change
from ..events.run import raising_handlers_error
from ..events.store import Ask
from ..events.store import Update
from ..state import get_state
from ..state import State
from ..stripe_api.objects import now
from ..subscription import Subscription
from .customers import is_deleted_customer
from .customers import record_deletion
from .stored_subscriptions import get_subscription
from .users import get_payer


@raising_handlers_error()
def sync_subscription(user: Any) -> Subscription | None:
    """Read all subscriptions of a user from Stripe and store them.

    A stored subscription that Stripe does not list has ended. Commits ``db.session``
    before the call to Stripe and after storing, and runs the app's
    ``on_subscription_change`` handlers. Stripe is not called for a user without a
    customer.

    :param user: The model instance, ``current_user`` or a primary key.
    :return: The subscription that the user's columns name now, or ``None``.
    :raises NoCustomerError: If there is no such user.
    :raises RuntimeError: In a block of the session that has to commit by itself.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    customer_id = payer.customer_id
    commit_before_call(state.session)

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
    """Store a customer's subscriptions as they are at Stripe. Commits.

    If Stripe says that the customer is deleted, this is stored instead.

    :param instance: The user. Its columns are refreshed from the database.
    :param ask: Reads all subscriptions of the customer from Stripe, as
        :func:`list_from_stripe` does.
    :param changes: Changes that Stripe's list showed already. Stripe is asked only if
        they do not decide. ``None`` to ask in any case.
    :raises StripeError: If Stripe had to be asked and refused, or gave no answer.
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
    """Read all subscriptions of a customer from Stripe. Call it while no lock is held.

    :param customer: The customer as it is stored. Each of its subscriptions that Stripe
        does not list has ended. The time of the end is that of Stripe's oldest answer.
    :return: One answer for each listed subscription, one ending for each missing one.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/subscriptions/list
    """
    listed = state.client.paginate(
        "/v1/subscriptions", {"customer": customer_id, "status": "all", "limit": 100}
    )
    answers = [to_answer(with_all_items(state.client, each)) for each in listed]
    by_id = {
        answer.subscription_id: answer
        for answer in answers
        if answer.state.customer_id == customer_id
    }
    time = min((answer.time for answer in answers if answer.time), default=now())
    endings = (Ending(id_, time) for id_ in customer.known if id_ not in by_id)
    return (*by_id.values(), *endings)
