"""Create Checkout sessions: the pages at Stripe where users subscribe.

After the payment Stripe sends the browser back, and ``success`` stores what was bought.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Final

from ..catalogue import ANY_QUANTITY
from ..customer_state import Payer
from ..database.transactions import commit_before_call
from ..errors import InvalidRequestError
from ..errors import NoCustomerError
from ..events.run import raising_handlers_error
from ..origins import app_path
from ..origins import site_url
from ..sentinels import DEFAULT
from ..sentinels import Default
from ..state import get_state
from ..state import State
from ..stripe_api.objects import PLAN_SALE
from ..stripe_api.objects import read_checkout_page
from ..stripe_api.objects import read_page
from ..stripe_api.objects import SALE_KEY
from .customers import make_customer
from .named_prices import find_named
from .presence import confirm_deletion
from .presence import record_deletion
from .selling import is_first_plan
from .selling import keep_newest_page
from .selling import must_be_only_plan
from .selling import refuse_second_plan
from .users import get_payer

logger: Final = logging.getLogger(__name__)

#: How many times one call replaces a customer that was deleted at Stripe. Stripe may
#: replay its answer to an earlier idempotency key, which names another deleted one.
MAX_REPLACEMENTS: Final = 3

#: Checkout parameters that say who pays for what. Callers must not set them.
_RESERVED: Final = frozenset({"mode", "customer", "client_reference_id"})


@dataclass(frozen=True)
class CheckoutSession:
    """A page at Stripe where a customer subscribes."""

    #: ``cs_...``
    id: str
    #: The URL to which you send the browser, at once and only once.
    url: str


@raising_handlers_error()
def create_checkout_session(
    user: Any,
    price: str,
    *,
    success_url: str | None = None,
    cancel_url: str | None = None,
    trial_days: int | Default | None = DEFAULT,
    metadata: Mapping[str, str] | None = None,
    quantity: int | Default | None = DEFAULT,
    allow_second: bool | Default = DEFAULT,
    **params: Any,
) -> CheckoutSession:
    """Create a Checkout session in which a user subscribes to a price.

    A plan of ``STRIPE_PRICES`` is not sold twice: the user's subscriptions are read
    from Stripe first, and stored. After the session is created, older open sessions of
    this kind are expired.

    A user without a customer gets one first, and so does a user with a customer that
    was deleted at Stripe. Commits ``db.session`` before each call to Stripe.

    :param user: The model instance, ``current_user`` or a primary key.
    :param price: A name in ``STRIPE_PRICES``, or an id, ``price_...``.
    :param success_url: The URL to which Stripe sends the browser after the payment.
        ``{CHECKOUT_SESSION_ID}`` in it becomes the session's id, for
        ``complete_checkout``. A path is one of the site, as ``url_for`` gives it.
        By default ``STRIPE_SUCCESS_URL``, else the root of the app.
    :param cancel_url: The URL to which Stripe's page links back without a payment. By
        default ``STRIPE_CANCEL_URL``, else the root of the app.
    :param trial_days: Length of the free trial in days. By default, a name brings the
        trial of its entry if it is the user's first plan; an id brings none.
    :param quantity: Number of units; ``None`` for a metered price, which takes no
        quantity. By default the smallest that the price's entry allows, else 1.
    :param allow_second: ``True`` sells a plan also to a user who has one, and leaves
        open sessions alone. ``False`` refuses it also for an id that is in no entry;
        such an id is sold without asking by default. An add-on is always sold.
    :param metadata: Stored on the session and on the subscription.
    :param params: Any further parameter of Checkout, such as ``discounts`` or
        ``subscription_data``. ``line_items`` are added after the subscription's.
    :return: The session's id and URL. Of parallel calls for one user, all return the
        one session that is left open.
    :raises AlreadySubscribedError: If the user has a running plan.
    :raises ConfigurationError: If ``price`` is neither an id nor a name in
        ``STRIPE_PRICES``.
    :raises NoCustomerError: If there is no such user, or the user has no customer and
        ``STRIPE_AUTO_CREATE_CUSTOMER`` is false.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises TypeError: If ``params`` has a parameter that is set here, such as ``mode``.
    :raises ValueError: If ``trial_days`` or ``quantity`` is out of range, or a key in
        ``params`` has brackets.
    :raises RuntimeError: In a block of the session that has to commit by itself.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/checkout/sessions/create

    .. versionadded:: 0.1
    """
    state = get_state()
    instance, _ = get_payer(state, user)
    catalogue = state.settings.catalogue
    named = find_named(catalogue, price)
    entry = catalogue.find(price) if named is None else named
    is_only_plan = must_be_only_plan(entry, allow_second)
    _check_checkout_arguments(trial_days, quantity, params)
    urls = page_urls(success_url, cancel_url)

    if quantity is DEFAULT:
        rule = ANY_QUANTITY if entry is None else entry.quantity
        quantity = None if rule is None else rule.choose(None)

    if is_only_plan:
        refuse_second_plan(instance)

    if trial_days is DEFAULT:
        has_trial = named is not None and is_first_plan(instance, named)
        trial_days = named.trial_days if named and has_trial else None

    return open_page(
        instance,
        price if named is None else named.id,
        urls=urls,
        trial_days=trial_days,
        metadata=metadata,
        quantity=quantity,
        is_only_plan=is_only_plan,
        params=params,
    )


def open_page(
    user: Any,
    price_id: str,
    *,
    urls: Mapping[str, str],
    trial_days: int | None,
    metadata: Mapping[str, str] | None,
    quantity: int | None,
    is_only_plan: bool,
    params: Mapping[str, Any],
) -> CheckoutSession:
    """Create a Checkout session for a sale that was decided already.

    Creates the user's customer if there is none. Commits ``db.session`` before each
    call to Stripe.

    :param urls: See :func:`page_urls`.
    :param is_only_plan: Expire the older open sessions for plans of this user. The
        caller has checked that no plan is running, see :func:`.refuse_second_plan`.
    :return: The session that is left open, see :func:`.keep_newest_page`.
    :raises AlreadySubscribedError: If an older session was paid meanwhile.
    :raises NoCustomerError: As :func:`create_checkout_session`.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    state = get_state()
    instance, payer = get_payer(state, user)
    user_id = state.payers.keys.to_text(payer.user_id)
    replaced: list[str] = []

    while True:
        customer_id = payer.customer_id or _make_customer(
            state, instance, payer, replaced, is_searched=is_only_plan
        )
        commit_before_call(state.session)
        session_params = _checkout_params(
            state.marker.metadata(user_id, customer_id),
            {"price": price_id, "quantity": quantity},
            trial_days=trial_days,
            metadata=metadata,
            is_only_plan=is_only_plan,
            params=params,
        )
        who = {"customer": customer_id, "client_reference_id": user_id}

        try:
            session = _post_session(state, {**session_params, **urls, **who})
            break
        except InvalidRequestError as error:
            if len(replaced) == MAX_REPLACEMENTS:
                raise

            confirm_deletion(state, customer_id, error)
            record_deletion(state, instance, customer_id)
            instance, payer = get_payer(state, instance)
            replaced.append(customer_id)

    session_id, url = read_page(session)

    if is_only_plan:
        made = read_checkout_page(session)
        page = keep_newest_page(state, user_id, customer_id, made)
        session_id, url = page.id, page.url or url

    state.payers.refresh(state.session, instance)  # the commit has expired it
    return CheckoutSession(session_id, url)


def _make_customer(
    state: State,
    instance: Any,
    payer: Payer,
    replaced: Sequence[str],
    *,
    is_searched: bool,
) -> str:
    """Create the customer of a user who has none, see :func:`.make_customer`.

    :param replaced: The deleted customers that this call has replaced so far.
    :param is_searched: Whether :func:`.refuse_second_plan` has looked for a customer
        that the user had before.
    :raises NoCustomerError: If ``STRIPE_AUTO_CREATE_CUSTOMER`` is false.
    """
    if not state.settings.auto_create_customer:
        raise NoCustomerError(
            "The user has no Stripe customer, and 'STRIPE_AUTO_CREATE_CUSTOMER' is"
            " false."
        )

    return make_customer(
        state,
        instance,
        payer,
        replacing=replaced[-1] if replaced else None,
        is_searched=is_searched and not replaced,
    )


def _post_session(state: State, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create a session at Stripe; without the quantity if Stripe takes none.

    A metered price takes no quantity, and its entry should say so.

    :raises StripeError: If Stripe refuses, or does not answer.
    """
    path = "/v1/checkout/sessions"
    item, *others = params["line_items"]

    try:
        return state.client.post(path, params)
    except InvalidRequestError as error:
        if item["quantity"] is None or error.param != "line_items[0][quantity]":
            raise

        metered = {**params, "line_items": [{**item, "quantity": None}, *others]}

        try:
            session = state.client.post(path, metered)
        except InvalidRequestError:
            raise error from None  # the quantity was wrong, and the price takes one

    name = state.settings.catalogue.names.get(item["price"])
    logger.warning(
        "Stripe takes no quantity for the metered price %s. %s",
        item["price"],
        "Pass 'quantity=None', or give it an entry in 'STRIPE_PRICES'."
        if name is None
        else f'Set STRIPE_PRICES[{json.dumps(name)}]["quantity"] to None.',
    )
    return session


def _check_checkout_arguments(
    trial_days: int | Default | None,
    quantity: int | Default | None,
    params: Mapping[str, Any],
) -> None:
    """Refuse arguments that Stripe would refuse, or that would replace ours.

    :raises TypeError: If ``params`` has a reserved parameter.
    :raises ValueError: If a number is out of range, or a key has brackets.
    """
    if isinstance(trial_days, int) and trial_days < 0:
        raise ValueError(f"'trial_days' must be 0 or more, not {trial_days!r}.")

    if isinstance(quantity, int) and quantity < 1:
        raise ValueError(f"'quantity' must be 1 or more, not {quantity!r}.")

    for name in _RESERVED & params.keys():
        raise TypeError(f"{name!r} is set by 'create_checkout_session' itself.")

    # `{"metadata[kavach_user_id]": ...}` would be sent beside our own user id. Stripe
    # might take either of the two.
    for key in _nested_keys(params):
        if "[" in key or "]" in key:
            raise ValueError(f"The parameter {key!r} has brackets. Nest dicts instead.")


def _nested_keys(value: object) -> Iterator[str]:
    """The keys of a dict, and of all dicts and lists in it."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())

    if isinstance(value, list | tuple):
        for item in value:
            yield from _nested_keys(item)


def _checkout_params(
    marks: Mapping[str, str],
    line_item: Mapping[str, Any],
    *,
    trial_days: int | None,
    metadata: Mapping[str, str] | None,
    is_only_plan: bool,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """The parameters of a Checkout session, without its customer and URLs.

    The marks go into the metadata of session and subscription. They show later that we
    created the two, and for whom, see :mod:`flask_kavach_stripe.marks`. They replace
    what the caller has under the same keys.

    :param marks: From :meth:`.Marker.metadata`.
    :param is_only_plan: Mark the session as one that a newer session expires.
    """
    sale_metadata = {SALE_KEY: PLAN_SALE if is_only_plan else None}
    subscription_data = dict(params.get("subscription_data") or {})
    subscription_metadata = subscription_data.get("metadata") or {}
    subscription_data["metadata"] = {
        **(metadata or {}),
        **subscription_metadata,
        **marks,
    }

    if trial_days:
        subscription_data["trial_period_days"] = trial_days

    return {
        **params,
        "mode": "subscription",
        "line_items": [line_item, *(params.get("line_items") or ())],
        "metadata": {**(metadata or {}), **marks, **sale_metadata},
        "subscription_data": subscription_data,
    }


def page_urls(success_url: str | None, cancel_url: str | None) -> dict[str, str]:
    """The absolute URLs to which Stripe's page leads, as parameters of Checkout.

    :param success_url: By default ``STRIPE_SUCCESS_URL``, else the root of the app with
        the session's id.
    :param cancel_url: By default ``STRIPE_CANCEL_URL``, else the root of the app.
    :raises UntrustedRedirect: If the ``Host`` header, which completes a path, is
        malformed.
    :raises ConfigurationError: If a path cannot be completed outside of a request.
    """
    settings = get_state().settings
    default = settings.success_url or "/?session_id={CHECKOUT_SESSION_ID}"
    success_url = success_url or app_path(default)
    # `url_for` escapes the braces. Stripe replaces only the unescaped text.
    success_url = site_url(success_url).replace(
        "%7BCHECKOUT_SESSION_ID%7D", "{CHECKOUT_SESSION_ID}"
    )
    cancel_url = site_url(cancel_url or app_path(settings.cancel_url or "/"))
    return {"success_url": success_url, "cancel_url": cancel_url}
