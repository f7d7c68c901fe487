"""Sessions of the billing portal, where a customer manages the subscription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequestError
from ..errors import NoCustomerError
from ..events.run import raising_handlers_error
from ..origins import site_url
from ..state import get_state
from ..stripe_api.objects import read_page
from .customers import is_deleted_customer
from .customers import record_deletion
from .users import get_payer


@dataclass(frozen=True)
class PortalSession:
    """A page of Stripe's where a customer manages the subscription."""

    #: ``bps_...``
    id: str
    #: Where to send the browser, once and now. It gives full control of the billing.
    url: str


@raising_handlers_error()
def create_portal_session(
    user: Any, return_url: str | None = None, **params: Any
) -> PortalSession:
    """Create a session of the billing portal, where a user manages the subscription.

    :param return_url: Where the portal's link leads back to. By default
        ``STRIPE_PORTAL_RETURN_URL``, else what Stripe's Dashboard says.
    :param params: Any further parameter of portal sessions, such as ``flow_data``.
    :raises NoCustomerError: If the user has no Stripe customer.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/customer_portal/sessions/create

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    url = return_url or state.settings.portal_return_url

    if payer.customer_id is None:
        raise NoCustomerError("The user has no Stripe customer.")

    if "customer" in params:
        raise TypeError("'customer' is set by 'create_portal_session' itself.")

    state.session.commit()

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
        if not is_deleted_customer(error):
            raise

        record_deletion(state, instance, payer.customer_id)
        raise NoCustomerError("The user's customer was deleted at Stripe.") from error

    return PortalSession(*read_page(session))
