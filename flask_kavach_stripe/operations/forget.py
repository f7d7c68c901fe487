"""Forget customers whom Stripe does not know: link, rows and columns of their users.

The way from test mode to live mode on one database, and after test data were wiped.
Stripe is asked for each customer. One that the key's account has, or had, is left
alone: its subscriptions end by what Stripe says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

from ..billing.presence import find_presence
from ..billing.presence import Presence
from ..billing.users import get_payer
from ..customer_state import Payer
from ..customer_state import SubscriptionColumns
from ..database.transactions import begin_write
from ..database.transactions import rollback_on_error
from ..errors import KavachStripeError
from ..state import State

#: How many users one query reads.
_USERS = 500


class Stranger(NamedTuple):
    """A user with a customer that the key's account does not know."""

    user_id: Any
    customer_id: str
    presence: Presence


def find_stranger(state: State, user: Any) -> Stranger:
    """Look at one user. Commits, then asks Stripe once.

    :param user: A primary key.
    :raises NoCustomerError: If there is no such user.
    :raises KavachStripeError: If the user has no customer, or Stripe knows it.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    _, payer = get_payer(state, user)
    state.session.commit()

    if not payer.customer_id:
        raise KavachStripeError(f"User {payer.user_id} has no customer.")

    presence = find_presence(state.client, payer.customer_id)

    if presence.is_known:
        verb = "has deleted" if presence is Presence.DELETED else "knows"
        raise KavachStripeError(
            f"Stripe {verb} {payer.customer_id}. 'flask stripe sync --user"
            f" {payer.user_id}' stores what Stripe says."
        )

    return Stranger(payer.user_id, payer.customer_id, presence)


def find_strangers(state: State) -> Iterator[Stranger]:
    """Look at all users with a customer. Commits; asks Stripe once for each.

    :raises StripeError: If Stripe refuses, or does not answer.
    """
    session, last = state.session, None

    while batch := state.payers.list_paying(session, last, limit=_USERS):
        session.commit()
        last = batch[-1].user_id

        for payer in batch:
            customer_id = str(payer.customer_id)
            presence = find_presence(state.client, customer_id)

            if not presence.is_known:
                yield Stranger(payer.user_id, customer_id, presence)

    session.commit()


def may_forget_unasked(state: State, stranger: Stranger) -> bool:
    """Whether ``--unknown`` takes a user.

    With a live key, a customer may be unknown because the key is another account's. So
    only those are taken of whom Stripe says that they exist in test mode.
    """
    return not state.settings.livemode or stranger.presence is Presence.IN_TEST_MODE


def forget(state: State, stranger: Stranger) -> bool:
    """Clear the link and the columns of a user, and delete the customer's rows.

    Commits. No handler runs: nothing has happened at Stripe. The ledger stays.

    :return: ``False`` if the user has another customer by now: nothing changes then.
    """
    session, payers = state.session, state.payers

    with rollback_on_error(session):
        begin_write(session, payers.user_model)
        customer, _ = payers.lock(session, stranger.customer_id)
        is_same = customer is not None and customer.payer.user_id == stranger.user_id

        if is_same:
            state.rows.delete_of(session, stranger.customer_id)
            cleared = Payer(stranger.user_id, None, SubscriptionColumns())
            state.sender.send(session, [payers.write(cleared)])

        session.commit()

    return is_same
