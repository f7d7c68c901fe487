"""Sessions of the billing portal: the pages at Stripe where a customer cancels, changes
the payment method, or reads invoices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..database.transactions import commit_before_call
from ..errors import InvalidRequestError
from ..errors import NoCustomerError
from ..events.run import raising_handlers_error
from ..origins import app_path
from ..origins import site_url
from ..state import get_state
from ..stripe_api.objects import read_page
from .presence import confirm_deletion
from .presence import record_deletion
from .users import get_payer


@dataclass(frozen=True)
class PortalSession:
    """A page at Stripe where a customer manages the subscription."""

    #: ``bps_...``
    id: str
    #: The URL to which you send the browser, at once and only once. Whoever has it
    #: controls the user's billing.
    url: str


@raising_handlers_error()
def create_portal_session(
    user: Any, return_url: str | None = None, **params: Any
) -> PortalSession:
    """Create a session of the billing portal, where a user manages the subscription.

    Commits ``db.session`` before the call to Stripe. If Stripe says that the customer
    is deleted, this is stored.

    :param user: The model instance, ``current_user`` or a primary key.
    :param return_url: The URL of the portal's link back to the app. A path is one of
        the site, as ``url_for`` gives it. By default ``STRIPE_PORTAL_RETURN_URL``, else
        the one that is set in Stripe's Dashboard.
    :param params: Any further parameter of portal sessions, such as ``flow_data``.
    :return: The session's id and URL.
    :raises NoCustomerError: If there is no such user, or the user has no Stripe
        customer, or the customer is deleted.
    :raises RuntimeError: In a block of the session that has to commit by itself.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises TypeError: If ``params`` has a ``customer``, which is set here.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/customer_portal/sessions/create

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    default = state.settings.portal_return_url
    url = return_url or (None if default is None else app_path(default))

    if payer.customer_id is None:
        raise NoCustomerError("The user has no Stripe customer.")

    if "customer" in params:
        raise TypeError("'customer' is set by 'create_portal_session' itself.")

    commit_before_call(state.session)

    try:
        session = state.client.post(
            "/v1/billing_portal/sessions",
            {
                **params,
                "customer": payer.customer_id,
                "return_url": None if url is None else site_url(url),
            },
        )
    except InvalidRequestError as error:
        confirm_deletion(state, payer.customer_id, error)
        record_deletion(state, instance, payer.customer_id)
        raise NoCustomerError("The user's customer was deleted at Stripe.") from error

    return PortalSession(*read_page(session))
