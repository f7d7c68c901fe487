"""Read a customer's subscriptions from Stripe, and store them.

For the helper :func:`sync_subscription`, and for ``flask stripe sync``, which does the
same for many users.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from typing import Final
from typing import NamedTuple

from ..customer_state import Answer
from ..customer_state import Change
from ..customer_state import CustomerState
from ..database.transactions import commit_before_call
from ..errors import InvalidRequestError
from ..events.ask import Ask
from ..events.ask import list_subscriptions_of
from ..events.ask import retrieve_subscription
from ..events.ask import to_answer
from ..events.ask import with_all_items
from ..events.run import raising_handlers_error
from ..events.store import Update
from ..events.store_for_helper import store_change
from ..state import get_state
from ..state import State
from ..subscription import Subscription
from .presence import confirm_deletion
from .presence import record_deletion
from .stored_subscriptions import get_subscription
from .users import get_payer

logger: Final = logging.getLogger(__name__)


@raising_handlers_error()
def sync_subscription(user: Any) -> Subscription | None:
    """Read all subscriptions of a user from Stripe and store them.

    A stored subscription that Stripe does not list is read by its id, and stays as it
    is if Stripe does not know it. Commits ``db.session`` before the call to Stripe and
    after storing, and runs the app's ``on_subscription_change`` handlers. Stripe is not
    called for a user without a customer.

    :param user: The model instance, ``current_user`` or a primary key.
    :return: The subscription that the user's columns name now, or ``None``.
    :raises NoCustomerError: If there is no such user.
    :raises RuntimeError: In a block of the session that has to commit by itself.
    :raises UnknownCustomerError: If the key's account does not know the customer.
        Nothing changes then.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    customer_id = payer.customer_id
    commit_before_call(state.session)

    if customer_id is not None:
        sync_customer(state, instance, customer_id)

    return get_subscription(instance)


def sync_customer(
    state: State,
    instance: Any,
    customer_id: str,
    *,
    ask: Ask | None = None,
    changes: tuple[Change, ...] | None = None,
) -> None:
    """Store a customer's subscriptions as they are at Stripe. Commits.

    If Stripe says that the customer is deleted, this is stored instead.

    :param instance: The user. Its columns are refreshed from the database.
    :param ask: Reads all subscriptions of the customer from Stripe. By default with
        :func:`list_from_stripe`.
    :param changes: Changes that Stripe's list showed already. Stripe is asked only if
        they do not decide. ``None`` to ask in any case.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe had to be asked and refused, or gave no answer.
    """
    try:
        ask = ask or partial(_ask_stripe, state, customer_id)
        store_change(state, instance, Update(customer_id, changes, ask=ask))
    except InvalidRequestError as error:
        confirm_deletion(state, customer_id, error)
        record_deletion(state, instance, customer_id)


class Listing(NamedTuple):
    """What Stripe says of all subscriptions of a customer."""

    answers: tuple[Answer, ...]
    #: The ids of our running rows that this account does not know. They stay as they
    #: are: a subscription that Stripe does not know has not ended.
    unknown: tuple[str, ...]


def _ask_stripe(
    state: State, customer_id: str, customer: CustomerState
) -> tuple[Change, ...]:
    """Return the answers of :func:`list_from_stripe` alone."""
    return list_from_stripe(state, customer_id, customer).answers


def list_from_stripe(
    state: State, customer_id: str, customer: CustomerState
) -> Listing:
    """Read all subscriptions of a customer from Stripe. Call it while no lock is held.

    A running subscription of ours that the list lacks is read by its id. If Stripe does
    not know it either, the log says so.

    :param customer: The customer as it is stored.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    client = state.client
    listed = list_subscriptions_of(client, customer_id)
    answers = {
        answer.subscription_id: answer
        for answer in (to_answer(with_all_items(client, each)) for each in listed)
        if answer.state.customer_id == customer_id
    }
    unknown = []

    for id_, stored in customer.known.items():
        if id_ in answers or stored.state.has_ended:
            continue

        answer = _read_by_id(state, id_)

        if answer is not None and answer.state.customer_id == customer_id:
            answers[id_] = answer
        else:
            unknown.append(id_)
            logger.warning(
                "Stripe does not know subscription %s of customer %s under the present"
                " key. It is kept as it is.",
                id_,
                customer_id,
            )

    return Listing(tuple(answers.values()), tuple(unknown))


def _read_by_id(state: State, subscription_id: str) -> Answer | None:
    """Read one subscription from Stripe, ``None`` if this account does not know it."""
    try:
        return to_answer(retrieve_subscription(state.client, subscription_id))
    except InvalidRequestError as error:
        if error.http_status != 404:
            raise

        return None
