"""Create the Stripe customer of a user, or find the one that the user had.

A user has at most one customer, stored in ``stripe_customer_id``. Once set, the id
stays until Stripe says that the customer is deleted.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from datetime import timedelta
from typing import Any
from typing import Final

from flask import current_app

from ..customer_state import Payer
from ..database.transactions import commit_before_call
from ..database.transactions import rollback_on_error
from ..errors import APIError
from ..errors import InvalidRequestError
from ..errors import NoCustomerError
from ..errors import StripeError
from ..events.run import raising_handlers_error
from ..state import get_state
from ..state import State
from ..stripe_api.client import StripeResponse
from ..stripe_api.objects import read_id
from ..stripe_api.objects import read_time
from ..stripe_api.objects import USER_ID_KEY
from .relink import relink
from .users import find_user
from .users import get_payer

logger: Final = logging.getLogger(__name__)

#: How old a customer may be that Stripe repeats to a parallel call, retries included.
_PARALLEL: Final = timedelta(minutes=2)


@raising_handlers_error()
def create_customer(
    user: Any, email: str | None = None, name: str | None = None
) -> str:
    """Create the Stripe customer of a user and store its id.

    A user with a customer keeps it, and Stripe is not called. A customer that was made
    for this user before, and lost its link, is linked again: Stripe is asked for it by
    the e-mail address. Commits ``db.session`` before each call to Stripe and after
    storing the id.

    :param user: The model instance, ``current_user`` or a primary key.
    :param email: By default that of ``user.stripe_customer_params()``.
    :param name: By default that of ``user.stripe_customer_params()``.
    :return: The customer's id, ``cus_...``.
    :raises NoCustomerError: If there is no such user.
    :raises RuntimeError: In a block of the session that has to commit by itself, such
        as ``with db.session.begin()``. Stripe is not called then.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)

    if payer.customer_id is not None:
        return payer.customer_id

    return make_customer(state, instance, payer, email=email, name=name)


def make_customer(
    state: State,
    instance: Any,
    payer: Payer,
    *,
    email: str | None = None,
    name: str | None = None,
    replacing: str | None = None,
    is_searched: bool = False,
) -> str:
    """Create a customer at Stripe and link it to a user without one.

    First looks for a customer that was made for the user before, see :func:`.relink`.
    Commits before each call to Stripe and after the link. Parallel calls for one user
    send the same idempotency key, so that Stripe creates one customer for all of them.

    :param is_searched: Whether the caller has looked for that customer already.
    :param replacing: The deleted customer that the new one replaces. It makes another
        idempotency key; with the old key Stripe would return the deleted customer.
    :return: The id that is stored now. It is another customer's if a call with other
        arguments was faster.
    :raises NoCustomerError: If the user was deleted in the meantime.
    :raises RuntimeError: As :func:`.commit_before_call`.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/idempotent_requests
    """
    session, payers = state.session, state.payers

    if not is_searched:
        payer = relink(state, instance, payer)

        if payer.customer_id is not None:
            return payer.customer_id

    user_id = payers.keys.to_text(payer.user_id)
    params = _customer_params(state, instance, user_id, email=email, name=name)
    commit_before_call(session)
    customer = _post_customer(
        state, params, (payers.table_name, payer.user_id, replacing)
    )
    customer_id = read_id(customer.get("id"))

    if customer_id is None:
        raise APIError("Stripe's answer is not a customer.")

    with rollback_on_error(session):
        payers.link(session, payer.user_id, customer_id)
        session.commit()

    # A parallel checkout may have linked another customer first. The stored id counts.
    stored_payer = payers.get(session, payer.user_id)
    session.commit()
    payers.refresh(session, instance)

    if stored_payer is None or stored_payer.customer_id is None:
        raise NoCustomerError("The user was deleted meanwhile.")

    return stored_payer.customer_id


def _post_customer(
    state: State, params: dict[str, Any], key_parts: tuple[Any, ...]
) -> StripeResponse:
    """Create a customer at Stripe, without the optional values that Stripe refuses.

    Profile data, such as an e-mail address with a typo, never keep anyone from buying:
    Checkout asks for what is missing. There is one more call for each refused value.

    :param key_parts: Go into the idempotency key, beside the parameters.
    :raises StripeError: If Stripe refuses for another reason, or does not answer.
    """
    while True:
        key = _idempotency_key(*key_parts, params)

        try:
            customer = state.client.post("/v1/customers", params, idempotency_key=key)
        except InvalidRequestError as error:
            refused = (error.param or "").partition("[")[0]

            if refused == "metadata" or params.get(refused) is None:
                if error.replayed:
                    break

                raise

            logger.warning(
                "The new customer of user %s has no %r, which Stripe refuses: %s",
                params["metadata"][USER_ID_KEY],
                refused,
                error,
            )
            params = {name: params[name] for name in params if name != refused}
        except StripeError as error:
            if not error.replayed:
                raise

            break
        else:
            if not _is_of_earlier_call(customer):
                return customer

            break

    # Stripe repeated its answer to an earlier call with this idempotency key. The cause
    # of an error may be gone. A customer may belong to a former user with the same
    # primary key. So create one with a new idempotency key.
    return state.client.post("/v1/customers", params)


def _is_of_earlier_call(customer: StripeResponse) -> bool:
    """Whether Stripe repeats the customer of a call that was no parallel one.

    That call linked its customer to a user. If the user has it no more, a backup was
    restored, or another user got the primary key. Then the customer is only linked if
    its e-mail address is the user's, see :func:`.relink`.
    """
    created = read_time(customer.get("created"))

    if not customer.replayed or created is None or customer.as_of is None:
        return False

    return customer.as_of - created > _PARALLEL


def _customer_params(
    state: State, instance: Any, user_id: str, *, email: str | None, name: str | None
) -> dict[str, Any]:
    """The parameters of a new customer: the app's, and our metadata over them.

    :param email: Replaces the app's.
    :param name: Replaces the app's.
    """
    params = dict(instance.stripe_customer_params())

    if email:
        params["email"] = email

    if name:
        params["name"] = name

    metadata = {**(params.get("metadata") or {}), **state.marker.metadata(user_id)}
    return {**params, "metadata": metadata}


def _idempotency_key(*parts: Any) -> str:
    """The idempotency key for creating a customer, the same for the same arguments.

    It is keyed with a secret of the app, so that two apps with the same Stripe account
    and the same primary keys do not get each other's customers.
    """
    secret = current_app.secret_key or get_state().settings.secret_key or ""
    text = json.dumps(parts, default=str, sort_keys=True)
    key = secret if isinstance(secret, bytes) else secret.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def get_customer_id(user: Any) -> str | None:
    """The id of a user's Stripe customer. No call to Stripe.

    :param user: The model instance, ``current_user`` or a primary key.
    :return: ``cus_...``, or ``None`` if the user has no customer or does not exist.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance = find_user(state, user)
    return None if instance is None else state.payers.customer_id_of(instance)
