"""Link customers at Stripe to users: proposals, and what happens if a person agrees.

A customer that lost its user is proposed by its mark, and one that another library
made by its e-mail address. Neither proves who the person is, so somebody is shown both
addresses, and decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from ..billing.relink import choose_customer
from ..billing.relink import email_of
from ..billing.relink import fold_email
from ..billing.relink import is_made_for
from ..billing.relink import link_customer
from ..billing.relink import list_customers
from ..billing.relink import sync_linked
from ..billing.users import get_payer
from ..customer_state import BLOCKING_STATUSES
from ..customer_state import Payer
from ..errors import FATAL_ERRORS
from ..errors import InvalidRequestError
from ..errors import KavachStripeError
from ..events.ask import list_subscriptions_of
from ..events.run import HandlerError
from ..state import State
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import read_id
from .explanations import explain
from .running_subscriptions import read_running
from .running_subscriptions import Running

#: How many users one query loads.
_USERS = 500


class Proposal(NamedTuple):
    """A customer that nobody has, and a user without one."""

    user_id: Any
    user_email: str | None
    customer_id: str
    customer_email: str | None
    #: The customer's subscriptions that have not ended.
    subscriptions: Sequence[Running]

    @property
    def is_charged(self) -> bool:
        """Whether the customer pays for a subscription."""
        return any(each.status in BLOCKING_STATUSES for each in self.subscriptions)


def propose_pair(state: State, user: Any, customer_id: str) -> Proposal:
    """Look at the user and the customer that somebody names. Commits; asks Stripe.

    :param user: A primary key.
    :raises NoCustomerError: If there is no such user.
    :raises KavachStripeError: If one of the two is linked already, or Stripe has no
        such customer.
    :raises StripeError: If Stripe refuses otherwise, or does not answer.
    """
    payer, email = _read_user(state, user)
    owner = state.payers.find(state.session, customer_id)
    state.session.commit()

    if payer.customer_id:
        raise KavachStripeError(
            f"User {payer.user_id} has the customer {payer.customer_id} already."
        )

    if owner is not None:
        raise KavachStripeError(
            f"{customer_id} is the customer of user {owner.user_id}."
        )

    try:
        customer = state.client.get(quote_path("/v1/customers/{}", customer_id))
    except (InvalidRequestError, ValueError) as error:
        raise KavachStripeError(
            f"Stripe does not know {customer_id!r} under the present key."
        ) from error

    if customer.get("deleted") is True:
        raise KavachStripeError(f"{customer_id} was deleted at Stripe.")

    return _propose(state, payer, email, customer)


def propose_for_user(state: State, user: Any) -> Iterator[Proposal]:
    """Propose the customer that was made for a user without one. Commits; asks Stripe.

    The conditions are those of :func:`.choose_customer`.

    :param user: A primary key.
    :raises NoCustomerError: If there is no such user.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    payer, email = _read_user(state, user)

    if payer.customer_id or email is None:
        return

    listed = list_customers(state.client, email)
    chosen = choose_customer(state, listed, payer.user_id, email)

    for customer in listed:
        if customer.get("id") == chosen:
            yield _propose(state, payer, email, customer)


def propose_by_mark(state: State, orphans: Iterable[Running]) -> Iterator[Proposal]:
    """Propose users for subscriptions with our mark. Commits; asks Stripe.

    The conditions are those of :func:`.is_made_for`. Of two customers that fit to one
    user, none is proposed.

    :param orphans: From Stripe's list.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    customers: dict[str, dict[str, None]] = defaultdict(dict)

    for orphan in orphans:
        if orphan.user_id is not None and orphan.status in BLOCKING_STATUSES:
            customers[orphan.user_id][orphan.customer_id] = None

    for text, customer_ids in customers.items():
        instance = state.payers.keys.load(state.session, text)

        if instance is None:
            continue

        payer, email = _read_user(state, instance)

        if payer.customer_id or email is None:
            continue

        read = (
            state.client.get(quote_path("/v1/customers/{}", customer_id))
            for customer_id in customer_ids
        )
        fitting = [
            customer
            for customer in read
            if is_made_for(state, customer, payer.user_id, email)
        ]

        if len(fitting) == 1:
            yield _propose(state, payer, email, fitting[0])


def propose_by_email(state: State) -> Iterator[Proposal]:
    """Propose users for all customers at Stripe that nobody has, by e-mail address.

    Loads all users first, and keeps their addresses. An address of two users proposes
    nothing. Of several customers with one address, the one that pays for a subscription
    is proposed; of two such none. Commits; asks Stripe.

    :raises StripeError: If Stripe refuses, or does not answer.
    """
    users = _users_by_email(state)
    customers: dict[str, list[Mapping[str, Any]]] = defaultdict(list)

    for page in state.client.pages("/v1/customers", {"limit": 100}):
        ids = [id_ for each in page["data"] if (id_ := read_id(each.get("id")))]
        taken = state.payers.find_all(state.session, ids)
        state.session.commit()

        for customer in page["data"]:
            address = fold_email(customer.get("email"))

            if customer.get("id") not in taken and users.get(address) is not None:
                customers[address].append(customer)

    for address, found in customers.items():
        payer, email = _read_user(state, users[address])

        if payer.customer_id:
            continue

        proposals = [_propose(state, payer, email, customer) for customer in found]

        if len(proposals) > 1:
            proposals = [each for each in proposals if each.is_charged]

        if len(proposals) == 1:
            yield proposals[0]


def accept(state: State, proposal: Proposal) -> None:
    """Link user and customer, then store the customer's subscriptions. Commits.

    Runs the app's ``on_subscription_change`` handlers.

    :raises KavachStripeError: If one of the two was linked meanwhile.
    :raises StripeError: If Stripe refuses, or does not answer. The link is stored then.
    :raises HandlerError: If a handler raised. The link and the columns are stored then.
    """
    instance, payer = get_payer(state, proposal.user_id)
    state.session.commit()

    if not link_customer(state, payer.user_id, proposal.customer_id):
        raise KavachStripeError(
            f"User {payer.user_id} or {proposal.customer_id} was linked meanwhile."
        )

    sync_linked(state, instance, payer)


def try_to_accept(state: State, proposal: Proposal) -> str | None:
    """Accept a proposal, and go on after an error that concerns it alone. Commits.

    :return: What went wrong, in one line; ``None`` if nothing did.
    :raises KavachStripeError: One of :data:`~flask_kavach_stripe.errors.FATAL_ERRORS`.
    """
    try:
        accept(state, proposal)
    except FATAL_ERRORS:
        raise
    except (HandlerError, KavachStripeError, SQLAlchemyError) as error:
        state.session.rollback()
        return explain(error)

    return None


def _read_user(state: State, user: Any) -> tuple[Payer, str | None]:
    """Read a user's row and e-mail address. Commits.

    :param user: A model instance or a primary key.
    :raises NoCustomerError: If there is no such user.
    """
    instance, payer = get_payer(state, user)
    email = email_of(instance)
    state.session.commit()
    return payer, email


def _propose(
    state: State, payer: Payer, email: str | None, customer: Mapping[str, Any]
) -> Proposal:
    """Read the running subscriptions of a customer, for somebody to look at.

    :param customer: As Stripe sends it.
    """
    customer_id = str(customer.get("id"))
    listed = list_subscriptions_of(state.client, customer_id)
    running = [each for each in map(read_running, listed) if each is not None]
    customer_email = customer.get("email")
    return Proposal(
        payer.user_id,
        email,
        customer_id,
        customer_email if isinstance(customer_email, str) else None,
        running,
    )


def _users_by_email(state: State) -> dict[str, Any]:
    """The users by e-mail address in lower case. Commits.

    :return: The primary key; ``None`` for an address of several users.
    """
    session, users, last = state.session, dict[str, Any](), None

    while batch := state.payers.keys.load_page(session, last, limit=_USERS):
        for instance in batch:
            last = state.payers.keys.of(instance)

            if email := email_of(instance):
                address = fold_email(email)
                users[address] = None if address in users else last

        session.commit()
        session.expunge_all()

    session.commit()
    return users
