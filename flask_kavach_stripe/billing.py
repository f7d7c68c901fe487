"""Customers, Checkout and portal sessions, and what a user has.

Each function works in the current app, takes a user as the model instance,
``current_user`` or a primary key, flushes ``db.session`` first and commits it before
a call to Stripe and after storing. Inside a handler it only flushes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from typing import Final

from flask import current_app
from flask import has_request_context
from flask import request
from flask_login import current_user
from werkzeug.local import LocalProxy

from .accounts import Account
from .client import quote_path
from .config import is_path
from .errors import CheckoutSessionMismatch
from .errors import ConfigurationError
from .errors import InvalidRequestError
from .errors import NoCustomerError
from .errors import StripeError
from .objects import CheckoutFacts
from .objects import read_checkout_session
from .objects import SubscriptionState
from .objects import USER_ID_KEY
from .origins import absolute_url
from .state import get_state
from .state import State
from .storing import find_owner
from .storing import link_customer
from .storing import retrieve_subscription
from .storing import Rows
from .storing import store
from .storing import tell_change
from .storing import to_answer
from .storing import Update
from .subscriptions import adopt
from .subscriptions import Answer
from .subscriptions import best_first
from .subscriptions import Change
from .subscriptions import Ending
from .subscriptions import Subscription
from .subscriptions import SubscriptionColumns
from .transactions import rollback_on_error
from .transactions import run_handlers

logger = logging.getLogger(__name__)

#: How often a customer that Stripe deleted is replaced in one call. A replayed answer
#: to an idempotency key may name another one that is gone.
MAX_REPLACEMENTS: Final = 3

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")

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


# -- users ---------------------------------------------------------------------------


def find_user(state: State, user: Any) -> Any:
    """The model instance that is meant, or ``None`` for nobody.

    :raises TypeError: If it is neither an instance nor a primary key.
    """
    if isinstance(user, LocalProxy):
        user = user._get_current_object()

    if user is None or getattr(user, "is_anonymous", False) is True:
        return None

    if isinstance(user, state.accounts.user_model):
        return user

    if isinstance(user, str | int | uuid.UUID) and not isinstance(user, bool):
        return state.accounts.load(state.session, user)

    raise TypeError(
        f"'user' must be a {state.accounts.user_model.__name__!r}, 'current_user' or a"
        f" primary key, not {type(user).__name__!r}."
    )


def _get_account(state: State, user: Any) -> tuple[Any, Account]:
    """The instance and its account, as the database has it now.

    :raises NoCustomerError: If there is no such user.
    """
    state.session.flush()
    instance = find_user(state, user)
    user_id = None if instance is None else state.accounts.key_of(instance)
    account = None if user_id is None else state.accounts.get(state.session, user_id)

    if account is None:
        raise NoCustomerError("There is no such user.")

    return instance, account


# -- customers -----------------------------------------------------------------------


def create_customer(
    user: Any, email: str | None = None, name: str | None = None
) -> str:
    """Create the Stripe customer of a user and store its id.

    A user who has one keeps it; Stripe is not called then.

    :param email: By default ``user.email``, where there is one.
    :param name: By default ``user.name``, where there is one.
    :return: The customer's id.
    :raises NoCustomerError: If there is no such user.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = _get_account(state, user)

    if account.customer_id is not None:
        return account.customer_id

    return _create_customer(state, instance, account, email=email, name=name)


def _create_customer(
    state: State,
    instance: Any,
    account: Account,
    *,
    email: str | None = None,
    name: str | None = None,
    replacing: str | None = None,
) -> str:
    session, accounts = state.session, state.accounts
    params = {
        "email": email or _text_attribute(instance, "email"),
        "name": name or _text_attribute(instance, "name"),
        "metadata": {USER_ID_KEY: str(account.user_id)},
    }
    key = _idempotency_key(accounts.table_name, account.user_id, replacing, params)
    session.commit()

    try:
        customer = state.client.post("/v1/customers", params, idempotency_key=key)
    except StripeError as error:
        if not error.replayed:
            raise

        customer = state.client.post("/v1/customers", params)

    customer_id: str = customer["id"]

    with rollback_on_error(session):
        accounts.link(session, account.user_id, customer_id)
        session.commit()

    # A parallel checkout may have been first: what is stored now counts.
    winner = accounts.get(session, account.user_id)
    session.commit()
    accounts.refresh(session, instance)

    if winner is None or winner.customer_id is None:
        raise NoCustomerError("The user was deleted meanwhile.")

    return winner.customer_id


def _text_attribute(instance: Any, name: str) -> str | None:
    value = getattr(instance, name, None)
    return value if isinstance(value, str) and value else None


def _idempotency_key(*parts: Any) -> str:
    """One key for one purpose: parallel requests get the same customer of Stripe."""
    secret = current_app.secret_key or get_state().settings.secret_key or ""
    text = json.dumps(parts, default=str, sort_keys=True)
    key = secret if isinstance(secret, bytes) else secret.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def get_customer_id(user: Any) -> str | None:
    """The Stripe customer of a user, ``None`` where there is none, or no such user.

    .. versionadded:: 0.1
    """
    instance = find_user(get_state(), user)
    return None if instance is None else instance.stripe_customer_id


def _is_deleted_customer(error: InvalidRequestError) -> bool:
    """Whether Stripe does not know the customer, in neither of its modes."""
    return (
        error.code == "resource_missing"
        and error.param == "customer"
        and "similar object exists in" not in error.message
    )


def _forget_customer(state: State, instance: Any, customer_id: str) -> None:
    """Store that Stripe does not have this customer any more."""
    logger.warning("Customer %s does not exist at Stripe any more.", customer_id)
    _store(state, instance, Update(customer_id, customer_deleted=True))


# -- sessions ------------------------------------------------------------------------


def create_checkout_session(
    user: Any,
    price_id: str,
    *,
    success_url: str | None = None,
    cancel_url: str | None = None,
    trial_days: int | None = None,
    metadata: Mapping[str, str] | None = None,
    quantity: int = 1,
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
    instance, account = _get_account(state, user)
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

            customer_id = _create_customer(state, instance, account, replacing=replaced)

        state.session.commit()

        try:
            session = state.client.post(
                "/v1/checkout/sessions", {**request_params, "customer": customer_id}
            )
        except InvalidRequestError as error:
            if replacements == MAX_REPLACEMENTS or not _is_deleted_customer(error):
                raise

            _forget_customer(state, instance, customer_id)
            instance, account = _get_account(state, instance)
            replaced = customer_id
        else:
            return CheckoutSession(session["id"], session["url"])

    raise AssertionError("unreachable")


def _check_checkout_arguments(
    trial_days: int | None, quantity: int, params: Mapping[str, Any]
) -> None:
    if trial_days is not None and trial_days < 0:
        raise ValueError(f"'trial_days' must be 0 or more, not {trial_days!r}.")

    if quantity < 1:
        raise ValueError(f"'quantity' must be 1 or more, not {quantity!r}.")

    for name in _RESERVED & params.keys():
        raise TypeError(f"{name!r} is set by 'create_checkout_session' itself.")


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
        "line_items": [line_item, *params.get("line_items", ())],
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
    instance, account = _get_account(state, user)
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
        if not _is_deleted_customer(error):
            raise

        _forget_customer(state, instance, account.customer_id)
        raise NoCustomerError("The user's customer was deleted at Stripe.") from error

    return PortalSession(session["id"], session["url"])


# -- subscriptions -------------------------------------------------------------------


def get_subscription(user: Any) -> Subscription | None:
    """The subscription that a user's columns tell of.

    No query beyond loading the user, no call to Stripe.

    :return: ``None`` where no subscription is running.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return None

    return state.describe(state.accounts.columns_of(instance))


def list_subscriptions(user: Any) -> list[Subscription]:
    """All subscriptions of a user's customer, those that ended included, best first.

    No call to Stripe.

    .. versionadded:: 0.1
    """
    state = get_state()
    state.session.flush()
    instance = find_user(state, user)
    ranked = [] if instance is None else _stored_subscriptions(state, instance)
    described = (state.describe(SubscriptionColumns.of(each)) for each in ranked)
    return [subscription for subscription in described if subscription is not None]


def _stored_subscriptions(state: State, instance: Any) -> list[SubscriptionState]:
    customer_id = instance.stripe_customer_id
    columns = state.accounts.columns_of(instance)
    rows: Rows = {}

    if customer_id is not None:
        rows = state.accounts.subscriptions(state.session, customer_id)

    if columns.subscription_id is not None and columns.subscription_id not in rows:
        adopted = adopt(columns, customer_id or "")
        rows |= {} if adopted is None else {columns.subscription_id: adopted}

    states = (stored.state for stored in rows.values())
    return best_first(states, state.settings.active_statuses)


def has_ever_subscribed(user: Any) -> bool:
    """Whether a user has or had a subscription, as far as the database knows."""
    state = get_state()
    instance = find_user(state, user)

    if instance is None:
        return False

    return instance.stripe_subscription_status is not None or bool(
        _stored_subscriptions(state, instance)
    )


def sync_subscription(user: Any) -> Subscription | None:
    """Read all subscriptions of a user from Stripe and store them.

    Those that Stripe does not list have ended.

    :return: What the columns say then.
    :raises NoCustomerError: If there is no such user.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = _get_account(state, user)
    customer_id = account.customer_id
    state.session.commit()

    if customer_id is None:
        return get_subscription(instance)

    def read(rows: Rows) -> tuple[Change, ...]:
        return _list_from_stripe(state, customer_id, rows)

    try:
        _store(state, instance, Update(customer_id, changes=None, read=read))
    except InvalidRequestError as error:
        if not _is_deleted_customer(error):
            raise

        _forget_customer(state, instance, customer_id)

    return get_subscription(instance)


def _list_from_stripe(state: State, customer_id: str, rows: Rows) -> tuple[Change, ...]:
    listed = state.client.paginate(
        "/v1/subscriptions", {"customer": customer_id, "status": "all", "limit": 100}
    )
    answers = [to_answer(subscription) for subscription in listed]
    own = {
        answer.subscription_id: answer
        for answer in answers
        if answer.state.customer_id == customer_id
    }
    time = min((answer.time for answer in answers if answer.time), default=None)
    endings = (Ending(id_, time) for id_ in rows if id_ not in own)
    return (*own.values(), *endings)


def complete_checkout(
    session_id: str | None, user: Any = current_user
) -> Subscription | None:
    """Store what was bought in a Checkout session, before its webhook is here.

    For the view behind ``success_url``. An id that is empty, unknown or of a session
    that is not finished changes nothing.

    :param session_id: ``cs_...``, from the query of the request.
    :return: What the columns say then.
    :raises CheckoutSessionMismatch: If the session is not this user's.
    :raises NoCustomerError: If there is no such user.
    :raises StripeError: If Stripe refuses, or does not answer.

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, account = _get_account(state, user)
    state.session.commit()
    checkout = _retrieve_checkout(state, session_id)

    if checkout is None or checkout.customer_id is None:
        return get_subscription(instance)

    owner = find_owner(state, checkout)

    if owner is None or owner.user_id != account.user_id:
        raise CheckoutSessionMismatch(
            f"Checkout session {session_id!r} belongs to another user."
        )

    link_customer(state, owner, checkout.customer_id)
    state.accounts.refresh(state.session, instance)
    subscription_id = checkout.subscription_id

    if subscription_id is not None:

        def read(rows: Rows) -> tuple[Answer, ...]:
            answer = to_answer(retrieve_subscription(state.client, subscription_id))
            return (answer,) if answer.state.customer_id == owner_id else ()

        owner_id = checkout.customer_id
        update = Update(owner_id, None, subscription_id, read)
        _store(state, instance, update)

    return get_subscription(instance)


def _retrieve_checkout(state: State, session_id: object) -> CheckoutFacts | None:
    """A finished Checkout session for a subscription, ``None`` if it is not one."""
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        return None

    try:
        response = state.client.get(quote_path("/v1/checkout/sessions/{}", session_id))
    except InvalidRequestError as error:
        if error.code != "resource_missing":
            raise

        return None

    checkout = read_checkout_session(response)
    return checkout if checkout.is_complete and checkout.is_subscription else None


def _store(state: State, instance: Any, update: Update) -> None:
    """Store what a helper learned, and tell those who want to know in the same go."""
    session = state.session

    def record(account: Account | None, changed: bool) -> None:
        if changed and state.registry.subscription_handlers:
            state.accounts.refresh(session, instance)
            tell = partial(tell_change, state, instance, update.customer_id)
            run_handlers(session, [tell])

    store(state, update, record)
    state.accounts.refresh(session, instance)
