"""Checkout and portal sessions: the pages of Stripe's that we send users to."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Final

from flask import current_app
from flask import has_request_context
from flask import request

from .config import is_path
from .customers import forget_customer
from .customers import get_account
from .customers import is_deleted_customer
from .customers import make_customer
from .errors import APIError
from .errors import ConfigurationError
from .errors import InvalidRequestError
from .errors import NoCustomerError
from .objects import read_id
from .objects import USER_ID_KEY
from .origins import absolute_url
from .state import get_state
from .state import State

#: How often a customer that Stripe deleted is replaced in one call. A replayed answer
#: to an idempotency key may name another one that is gone.
MAX_REPLACEMENTS: Final = 3

#: Checkout parameters that say who pays for what; these are not the caller's.
_RESERVED: Final = frozenset({"mode", "customer", "client_reference_id"})


@dataclass(frozen=True)
class CheckoutSession:
    """A page of Stripe's where a customer subscribes."""

    #: ``cs_...``
    id: str
    #: Where to send the browser, once and now.
    url: str


@dataclass(frozen=True)
class PortalSession:
    """A page of Stripe's where a customer manages the subscription."""

    #: ``bps_...``
    id: str
    #: Where to send the browser, once and now. It gives full control of the billing.
    url: str


def create_checkout_session(
    user: Any,
    price_id: str,
    *,
    success_url: str | None = None,
    cancel_url: str | None = None,
    trial_days: int | None = None,
    metadata: Mapping[str, str] | None = None,
    quantity: int | None = 1,
    **params: Any,
) -> CheckoutSession:
    """Create a Checkout session in which a user subscribes to a price.

    :param price_id: ``price_...``
    :param success_url: Where Stripe sends who has paid; ``{CHECKOUT_SESSION_ID}`` in
        it becomes the session's id, for :func:`complete_checkout`. By default
        ``STRIPE_SUCCESS_URL``, else the root of the app.
    :param cancel_url: Where Stripe sends who has not. By default
        ``STRIPE_CANCEL_URL``, else the root of the app.
    :param trial_days: Length of the free trial in days; none by default.
    :param quantity: How many; ``None`` for a metered price, which takes no quantity.
    :param metadata: Stored on the session and on the subscription.
    :param params: Any further parameter of Checkout, such as ``discounts`` or
        ``subscription_data``. ``line_items`` are added after the subscription's.
    :raises NoCustomerError: If there is no such user, or the user has no customer and
        ``STRIPE_AUTO_CREATE_CUSTOMER`` is false.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/checkout/sessions/create

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = get_account(state, user)
    _check_checkout_arguments(trial_days, quantity, params)
    request_params = _checkout_params(
        account.user_id,
        {"price": price_id, "quantity": quantity},
        trial_days=trial_days,
        metadata=metadata,
        params=params,
    )
    request_params["success_url"] = _success_url(state, success_url)
    request_params["cancel_url"] = _site_url(
        cancel_url or state.settings.cancel_url or _root_path()
    )
    replaced: str | None = None

    for replacements in range(MAX_REPLACEMENTS + 1):
        customer_id = account.customer_id

        if customer_id is None:
            if not state.settings.auto_create_customer:
                raise NoCustomerError(
                    "The user has no Stripe customer, and"
                    " 'STRIPE_AUTO_CREATE_CUSTOMER' is false."
                )

            customer_id = make_customer(state, instance, account, replacing=replaced)

        state.session.commit()

        try:
            session = state.client.post(
                "/v1/checkout/sessions", {**request_params, "customer": customer_id}
            )
        except InvalidRequestError as error:
            if replacements == MAX_REPLACEMENTS or not is_deleted_customer(error):
                raise

            forget_customer(state, instance, customer_id)
            instance, account = get_account(state, instance)
            replaced = customer_id
        else:
            return CheckoutSession(*_read_page(session))

    raise AssertionError("unreachable")


def _check_checkout_arguments(
    trial_days: int | None, quantity: int | None, params: Mapping[str, Any]
) -> None:
    if trial_days is not None and trial_days < 0:
        raise ValueError(f"'trial_days' must be 0 or more, not {trial_days!r}.")

    if quantity is not None and quantity < 1:
        raise ValueError(f"'quantity' must be 1 or more, not {quantity!r}.")

    for name in _RESERVED & params.keys():
        raise TypeError(f"{name!r} is set by 'create_checkout_session' itself.")

    # `{"metadata[kavach_user_id]": ...}` would stand beside ours, and might win.
    for key in _keys_of(params):
        if "[" in key or "]" in key:
            raise ValueError(f"The parameter {key!r} has brackets. Nest dicts instead.")


def _keys_of(value: object) -> Iterator[str]:
    """The keys of nested dicts and lists."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())

    if isinstance(value, list | tuple):
        for item in value:
            yield from _keys_of(item)


def _checkout_params(
    user_id: Any,
    line_item: Mapping[str, Any],
    *,
    trial_days: int | None,
    metadata: Mapping[str, str] | None,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    own_metadata = {USER_ID_KEY: str(user_id)}
    subscription_data = dict(params.get("subscription_data") or {})
    subscription_metadata = subscription_data.get("metadata") or {}
    subscription_data["metadata"] = {
        **(metadata or {}),
        **subscription_metadata,
        **own_metadata,
    }

    if trial_days:
        subscription_data["trial_period_days"] = trial_days

    return {
        **params,
        "mode": "subscription",
        "client_reference_id": str(user_id),
        "line_items": [line_item, *(params.get("line_items") or ())],
        "metadata": {**(metadata or {}), **own_metadata},
        "subscription_data": subscription_data,
    }


def _success_url(state: State, url: str | None) -> str:
    url = url or state.settings.success_url
    url = url or f"{_root_path()}?session_id={{CHECKOUT_SESSION_ID}}"
    # `url_for` escapes the braces, and Stripe would leave them like that.
    return _site_url(url).replace("%7BCHECKOUT_SESSION_ID%7D", "{CHECKOUT_SESSION_ID}")


def _root_path() -> str:
    if has_request_context():
        return f"{request.script_root}/"

    return f"{str(current_app.config['APPLICATION_ROOT']).rstrip('/')}/"


def _site_url(url: str) -> str:
    """The URL; a path is completed with the origin of the app."""
    if not is_path(url):
        return url

    if has_request_context():
        return absolute_url(url)

    server_name = current_app.config["SERVER_NAME"]

    if server_name is None:
        raise ConfigurationError(
            f"Outside of a request, {url!r} needs 'SERVER_NAME' to become a URL. Set"
            " it, or give a URL that begins with 'https://'."
        )

    return f"{current_app.config['PREFERRED_URL_SCHEME']}://{server_name}{url}"


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
    instance, account = get_account(state, user)
    url = return_url or state.settings.portal_return_url

    if account.customer_id is None:
        raise NoCustomerError("The user has no Stripe customer.")

    if "customer" in params:
        raise TypeError("'customer' is set by 'create_portal_session' itself.")

    state.session.commit()

    try:
        session = state.client.post(
            "/v1/billing_portal/sessions",
            {
                **params,
                "customer": account.customer_id,
                "return_url": None if url is None else _site_url(url),
            },
        )
    except InvalidRequestError as error:
        if not is_deleted_customer(error):
            raise

        forget_customer(state, instance, account.customer_id)
        raise NoCustomerError("The user's customer was deleted at Stripe.") from error

    return PortalSession(*_read_page(session))


def _read_page(session: Mapping[str, Any]) -> tuple[str, str]:
    session_id, url = read_id(session.get("id")), session.get("url")

    if session_id is None or not isinstance(url, str):
        raise APIError("Stripe's answer is not a session with a URL.")

    return session_id, url
