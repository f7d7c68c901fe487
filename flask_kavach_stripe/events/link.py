"""Link a customer to the user who bought in a Checkout session."""

from __future__ import annotations

from ..database.transactions import begin_write
from ..database.transactions import rollback_on_error
from ..state import State
from ..stripe_api.objects import CheckoutFacts
from ..subscriptions import Payer


def link_checkout(
    state: State, checkout: CheckoutFacts, *, owner: Payer | None = None
) -> bool:
    """Link the customer of a completed Checkout session to its buyer, and commit.

    A customer or a user who is linked already keeps the link.

    :param owner: Who has to be the buyer, on the success page. A webhook names nobody.
    :return: ``False`` if ``owner`` is not the buyer. Nothing is linked then.
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


def _find_buyer(state: State, checkout: CheckoutFacts) -> Payer | None:
    """The user who bought in a Checkout session, ``None`` if it is no user of ours.

    - A linked customer decides alone.
    - A session with our metadata was made after its customer was linked. If we do not
      know the customer, another app of the same Stripe account made the session.
    - A Payment Link takes ``client_reference_id`` from its URL, so anyone may have
      written it.
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

    # Another delivery may have linked them since the customer was looked for.
    if payer is None or payer.customer_id not in (None, checkout.customer_id):
        return None

    return payer
