"""Find the customer that a user had, and link the two again.

A backup that was restored, or a row that was edited, takes a user's customer away while
Stripe goes on charging. The customer's mark (see ``marks``) names the user, but that
alone links nobody: a primary key may have been given to somebody else since. So the
e-mail addresses have to be equal, too, and the customer has to be nobody's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Final

from ..customer_state import is_running_plan
from ..customer_state import Payer
from ..database.transactions import begin_write
from ..database.transactions import commit_before_call
from ..database.transactions import rollback_on_error
from ..errors import InvalidRequestError
from ..events.ask import list_subscriptions_of
from ..state import get_state
from ..state import State
from ..stripe_api.client import StripeClient
from ..stripe_api.client import StripeResponse
from ..stripe_api.objects import read_id
from ..stripe_api.objects import read_subscription
from .refresh import sync_customer
from .users import get_payer

logger: Final = logging.getLogger(__name__)


def email_of(instance: Any) -> str | None:
    """The e-mail address of a user, as Stripe would get it; ``None`` without one."""
    email = instance.stripe_customer_params().get("email")
    return email if isinstance(email, str) and email.strip() else None


def relink(state: State, instance: Any, payer: Payer) -> Payer:
    """Link a user without a customer to the customer that was made for this user.

    Asks Stripe for the customers with the user's e-mail address: one request. If there
    is one to link, its subscriptions are read and stored, with one request more.
    Commits before each request and after it, and runs the app's
    ``on_subscription_change`` handlers.

    :param instance: The user. Its columns are refreshed from the database.
    :return: The user's row, with the customer if one was linked.
    :raises RuntimeError: As :func:`.commit_before_call`.
    :raises StripeError: If Stripe refuses, or does not answer.
    :raises HandlerError: If a handler raised. The link is stored then.
    """
    email = email_of(instance)
    commit_before_call(state.session)

    if email is None:
        return payer

    listed = list_customers(state.client, email)
    customer_id = choose_customer(state, listed, payer.user_id, email)

    if customer_id is None:
        return payer

    logger.warning("Customer %s is linked to its user again, by its mark.", customer_id)
    link_customer(state, payer.user_id, customer_id)
    return sync_linked(state, instance, payer)


def relink_user(user: Any) -> bool:
    """Look for the customer of a user without one, before the user buys.

    As :func:`relink`. Stripe is not asked for a user with a customer, nor if
    ``STRIPE_AUTO_CREATE_CUSTOMER`` is false, as nothing would be created either.

    :param user: The model instance, ``current_user`` or a primary key.
    :return: Whether a customer was linked and its subscriptions read.
    :raises NoCustomerError: If there is no such user.
    """
    state = get_state()
    instance, payer = get_payer(state, user)

    if payer.customer_id is not None or not state.settings.auto_create_customer:
        return False

    return relink(state, instance, payer).customer_id is not None


def list_customers(client: StripeClient, email: str) -> list[StripeResponse]:
    """List the customers with an e-mail address. Call it while no lock is held.

    :return: Empty for an address that Stripe does not take: no customer has it.
    :raises StripeError: If Stripe refuses otherwise, or does not answer.

    Source: https://docs.stripe.com/api/customers/list
    """
    try:
        return list(client.paginate("/v1/customers", {"email": email, "limit": 100}))
    except InvalidRequestError as error:
        if error.param != "email":
            raise

        return []


def choose_customer(
    state: State, customers: Iterable[Mapping[str, Any]], user_id: Any, email: str
) -> str | None:
    """Choose the customer that was made for a user, and that nobody has. Commits.

    Of several the one with a running plan. For several, Stripe is asked for the
    subscriptions of each.

    :param customers: Customers as Stripe sends them.
    :return: ``None`` if there is none, or two with a running plan.
    :raises StripeError: If Stripe had to be asked and gave no answer.
    """
    ids = [
        customer_id
        for customer in customers
        if (customer_id := read_id(customer.get("id"))) is not None
        and is_made_for(state, customer, user_id, email)
    ]
    taken = state.payers.find_all(state.session, ids) if ids else {}
    commit_before_call(state.session)
    free = [customer_id for customer_id in ids if customer_id not in taken]

    if len(free) > 1:
        free = [id_ for id_ in free if _has_running_plan(state, id_)]

    return free[0] if len(free) == 1 else None


def is_made_for(
    state: State, customer: Mapping[str, Any], user_id: Any, email: str
) -> bool:
    """Whether a customer at Stripe was made for a user. No query.

    It has a good mark for the user, the user's e-mail address whatever the case, the
    mode of our key, and was not deleted.
    """
    return (
        customer.get("deleted") is not True
        and customer.get("livemode") in (None, state.settings.livemode)
        and fold_email(customer.get("email")) == fold_email(email)
        and state.marker.read(customer.get("metadata"))
        == state.payers.keys.to_text(user_id)
    )


def fold_email(email: object) -> str:
    """The form in which e-mail addresses are compared; empty for what is no text."""
    return email.strip().casefold() if isinstance(email, str) else ""


def link_customer(state: State, user_id: Any, customer_id: str) -> bool:
    """Link a customer that nobody has to a user without one. Commits.

    :return: Whether the user has this customer now.
    """
    session, payers = state.session, state.payers

    with rollback_on_error(session):
        begin_write(session, payers.user_model)

        if payers.find(session, customer_id) is None:
            payers.link(session, user_id, customer_id)

        session.commit()

    payer = payers.get(session, user_id)
    session.commit()
    return payer is not None and payer.customer_id == customer_id


def sync_linked(state: State, instance: Any, payer: Payer) -> Payer:
    """Store the subscriptions of a customer that was just linked. Commits.

    Calls Stripe, and runs the app's ``on_subscription_change`` handlers.

    :param payer: The user's row before the link.
    :return: The user's row now; ``payer`` if the user was deleted meanwhile.
    :raises StripeError: If Stripe refuses, or does not answer.
    :raises HandlerError: If a handler raised.
    """
    session, payers = state.session, state.payers
    linked = payers.get(session, payer.user_id)
    session.commit()
    payers.refresh(session, instance)

    if linked is None or linked.customer_id is None:
        return payer

    sync_customer(state, instance, linked.customer_id)
    stored = payers.get(session, payer.user_id)
    session.commit()
    return stored or payer


def _has_running_plan(state: State, customer_id: str) -> bool:
    """Ask Stripe whether a customer has a running plan."""
    listed = list_subscriptions_of(state.client, customer_id)
    return any(
        subscription is not None
        and is_running_plan(subscription, state.settings.catalogue)
        for subscription in map(read_subscription, listed)
    )
