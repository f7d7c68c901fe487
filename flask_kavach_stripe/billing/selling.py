"""Sell no plan twice: ask Stripe before a plan is sold, and keep one page open.

Webhooks get lost, and people buy in several tabs. So a customer's subscriptions are
read from Stripe before a plan is sold. After a page for a plan is made, the older open
pages of the same customer are expired, so that only one of them can be paid.

Add-ons are bought besides a plan, and skip all this.
"""

from __future__ import annotations

import logging
from typing import Any
from typing import Final

from ..catalogue import Price
from ..customer_state import is_running_plan
from ..errors import AlreadySubscribedError
from ..errors import InvalidRequestError
from ..sentinels import DEFAULT
from ..sentinels import Default
from ..state import get_state
from ..state import State
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import CheckoutPage
from ..stripe_api.objects import read_checkout_page
from .refresh import sync_subscription
from .relink import relink_user
from .stored_subscriptions import has_ever_subscribed
from .stored_subscriptions import list_rows
from .users import find_user

logger: Final = logging.getLogger(__name__)


def must_be_only_plan(price: Price | None, allow_second: bool | Default) -> bool:
    """Whether a sale is one that a user may have only once.

    :param price: The entry of ``STRIPE_PRICES``, ``None`` for an id that is in none.
    :param allow_second: What the call says.
    """
    if price is not None and price.addon:
        return False

    return price is not None if allow_second is DEFAULT else not allow_second


def refuse_second_plan(user: Any) -> None:
    """Check that no plan of a user is still running.

    A user without a customer is linked to the one that was made for this user before,
    if there is one. Then the subscriptions of a linked customer are read from Stripe,
    stored and committed: a webhook may be lost, or somebody subscribed the customer in
    the Dashboard. The app's ``on_subscription_change`` handlers run for what is new.

    :raises AlreadySubscribedError: If one is running.
    :raises NoCustomerError: If there is no such user.
    :raises UnknownCustomerError: If the key's account does not know the customer.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    is_synced = relink_user(user)

    if not is_synced:
        sync_subscription(user)

    if _has_running_plan(user):
        raise AlreadySubscribedError(
            "The user has a running subscription already. 'allow_second=True' sells a"
            " second one."
        )


def _has_running_plan(user: Any) -> bool:
    """Whether a user would pay for two plans after a second checkout, by our rows."""
    state = get_state()
    state.session.flush()
    instance = find_user(state, user)
    rows = [] if instance is None else list_rows(state, instance)
    return any(is_running_plan(row, state.settings.catalogue) for row in rows)


def is_first_plan(user: Any, price: Price) -> bool:
    """Whether a price is the first plan of a user, as far as our rows know.

    Only a first plan has a trial. An add-on is none: as it can be bought again and
    again, so could its trial.
    """
    return not price.addon and not has_ever_subscribed(user)


def keep_newest_page(
    state: State, user_id: str, customer_id: str, page: CheckoutPage
) -> CheckoutPage:
    """Expire all open pages for plans of a customer but the newest one. Calls Stripe.

    Only pages with our mark: the app's own code, Payment Links and other apps of the
    same account make pages that are not ours to expire.

    Parallel requests agree which page is the newest one: all compare ``created``, then
    the id. Each of them made its page before it looks for others, so at least one of
    two sees both pages.

    :param page: The page that was made just now.
    :return: The page that is left open. It is another one than ``page`` only if a
        parallel request made that one.
    :raises AlreadySubscribedError: If an older page was paid meanwhile. Then none is
        left open.
    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/checkout/sessions/expire
    """
    listed = state.client.paginate(
        "/v1/checkout/sessions",
        {"customer": customer_id, "status": "open", "limit": 100},
    )
    pages = [
        other
        for session in listed
        if (other := read_checkout_page(session)).id != page.id
        and other.sells_plan
        and state.marker.read(session.get("metadata"), customer_id) == user_id
    ]
    *older, newest = sorted([page, *pages], key=lambda each: each.age_rank)
    paid = [other for other in older if not _expire(state, other)]

    if paid:
        _expire(state, newest)
        raise AlreadySubscribedError(
            f"The user paid {paid[0].id}, while this page was made."
        )

    return newest


def _expire(state: State, page: CheckoutPage) -> bool:
    """Expire a page at Stripe.

    :return: ``False`` if it was paid. Another request may have expired it: that is
        ``True``.
    :raises StripeError: If it is open and Stripe does not expire it.
    """
    path = quote_path("/v1/checkout/sessions/{}", page.id)

    try:
        state.client.post(f"{path}/expire")
    except InvalidRequestError:
        # Stripe expires open pages only: was this one paid, or expired?
        status = read_checkout_page(state.client.get(path)).status

        if status == "complete":
            return False

        if status != "expired":
            raise

    return True
