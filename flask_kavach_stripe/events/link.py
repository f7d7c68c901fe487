"""Link a customer to the user who bought in a Checkout session.

Usually the customer was linked before the session was created. A session that the app
made without us has only ``client_reference_id`` to tell the user by.
"""

from __future__ import annotations

import logging
from typing import Final

from ..customer_state import Payer
from ..database.transactions import begin_write
from ..database.transactions import rollback_on_error
from ..state import State
from ..stripe_api.objects import CheckoutFacts

logger: Final = logging.getLogger(__name__)


def link_checkout(
    state: State, checkout: CheckoutFacts, *, owner: Payer | None = None
) -> bool:
    """Link the customer of a completed Checkout session to its buyer, and commit.

    A customer or a user that is linked already keeps its link. Takes the write lock of
    SQLite while it looks for the buyer. Does not call Stripe.

    :param owner: The user on the success page, who has to be the buyer. ``None`` for a
        webhook, which has no user to compare with.
    :return: ``False`` if ``owner`` is not the buyer: nothing is linked then. Without
        ``owner`` always ``True``, also if there is no buyer among our users.
    """
    with rollback_on_error(state.session):
        buyer = _find_buyer(state, checkout)

        if owner is not None and (buyer is None or buyer.user_id != owner.user_id):
            state.session.rollback()
            return False

        if buyer is not None and buyer.customer_id is None and checkout.customer_id:
            state.payers.link(state.session, buyer.user_id, checkout.customer_id)

        state.session.commit()
        return True


def is_orphan_of(
    state: State, customer_id: str, metadata: object, owner: Payer
) -> bool:
    """Whether a session was made for a user, and nobody has its customer any more.

    This happens after a backup was restored. Nobody is linked: the primary key may be
    somebody else's by now. Logs a warning. Commits; does not call Stripe.

    :param customer_id: The customer of the session.
    :param metadata: The metadata of the session.
    :param owner: The user on the success page.
    """
    user_id = state.payers.keys.to_text(owner.user_id)

    if state.marker.read(metadata, customer_id) != user_id:
        return False

    payer = state.payers.find(state.session, customer_id)
    state.session.commit()

    if payer is None:
        logger.warning(
            "A Checkout session was made for user %s, but nobody has its customer %s."
            " 'flask stripe link' links the two.",
            user_id,
            customer_id,
        )

    return payer is None


def _find_buyer(state: State, checkout: CheckoutFacts) -> Payer | None:
    """Find the user who bought in a Checkout session.

    The rules, in this order:

    1. If the session's customer is linked to a user, this user is the buyer.
    2. A session with our metadata was created after its customer was linked. If the
       customer is unknown here, another app of the same Stripe account created the
       session.
    3. A Payment Link takes ``client_reference_id`` from its URL, so anyone may have
       written it: it proves nothing.
    4. Otherwise ``client_reference_id`` is the buyer's primary key.

    :return: ``None`` if the buyer is not one of our users, or has another customer.
    """
    session, payers = state.session, state.payers

    if checkout.customer_id is None:
        return None

    begin_write(session, payers.user_model)  # a link may follow
    payer = payers.find(session, checkout.customer_id)

    if payer is not None:
        return payer

    if checkout.from_payment_link or checkout.names_user:
        return None

    user_id = payers.keys.parse(session, checkout.client_reference_id)
    payer = None if user_id is None else payers.get(session, user_id)

    # Another delivery may have linked user and customer after the query above.
    if payer is None or payer.customer_id not in (None, checkout.customer_id):
        return None

    return payer
