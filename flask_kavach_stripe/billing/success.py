"""Store what was bought, for the page to which Stripe sends the browser afterwards.

So the success page does not have to wait for the webhook. The event is on its way as
well; whichever comes second changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask_login import current_user

from ..database.transactions import commit_before_call
from ..errors import CheckoutSessionMismatch
from ..errors import InvalidRequestError
from ..events.ask import make_ask
from ..events.link import is_orphan_of
from ..events.link import link_checkout
from ..events.run import raising_handlers_error
from ..events.store import Update
from ..events.store_for_helper import store_change
from ..state import get_state
from ..state import State
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import read_checkout_session
from ..subscription import Subscription
from .stored_subscriptions import get_subscription
from .users import get_payer

#: The form of a Checkout session's id, which comes from a browser's query.
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


@raising_handlers_error()
def complete_checkout(
    session_id: str | None, user: Any = current_user
) -> Subscription | None:
    """Store the subscription of a Checkout session without waiting for the webhook.

    For the view behind ``success_url``. Nothing changes if the id is empty or unknown,
    or if the session is not complete. Nor does anything change if the session was made
    for this user, but nobody has its customer any more: the log says what to do. Reads
    the session and its subscription from Stripe. Commits ``db.session`` before that and
    after storing, and runs the app's ``on_subscription_change`` handlers.

    :param session_id: ``cs_...``, from the query of the request.
    :param user: The model instance, ``current_user`` or a primary key.
    :return: The subscription that the user's columns name now, or ``None``.
    :raises CheckoutSessionMismatch: If another user bought in the session. Nothing is
        stored then.
    :raises NoCustomerError: If there is no such user.
    :raises RuntimeError: In a block of the session that has to commit by itself.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    commit_before_call(state.session)
    session = _retrieve_session(state, session_id)
    checkout = read_checkout_session(session)

    if not (checkout.is_complete and checkout.is_subscription and checkout.customer_id):
        return get_subscription(instance)

    customer_id, subscription_id = checkout.customer_id, checkout.subscription_id

    if not link_checkout(state, checkout, owner=payer):
        if is_orphan_of(state, customer_id, session.get("metadata"), payer):
            return get_subscription(instance)

        raise CheckoutSessionMismatch(
            f"Checkout session {session_id!r} belongs to another user."
        )

    state.payers.refresh(state.session, instance)

    if subscription_id is not None:
        ask = make_ask(state.client, customer_id, subscription_id)
        update = Update(customer_id, None, subscription_id, ask)
        store_change(state, instance, update)

    return get_subscription(instance)


def _retrieve_session(state: State, session_id: object) -> Mapping[str, Any]:
    """Read a Checkout session from Stripe. Call it while no lock is held.

    :param session_id: Anything that a browser sent.
    :return: Empty if there is no such session.
    :raises StripeError: If Stripe refuses otherwise, or does not answer.
    """
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        return {}

    try:
        return state.client.get(quote_path("/v1/checkout/sessions/{}", session_id))
    except InvalidRequestError as error:
        if error.code != "resource_missing":
            raise

        return {}
