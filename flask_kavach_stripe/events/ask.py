"""Ask Stripe for subscriptions. Never called while a lock is held."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..customer_state import Answer
from ..customer_state import Change
from ..customer_state import CustomerState
from ..customer_state import latest
from ..errors import APIError
from ..stripe_api.client import StripeClient
from ..stripe_api.client import StripeResponse
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import has_more_items
from ..stripe_api.objects import read_subscription

#: Asks Stripe about a customer, given as it is stored. Called without any lock.
Ask = Callable[[CustomerState], tuple[Change, ...]]


def make_ask(
    client: StripeClient,
    customer_id: str,
    subscription_id: str,
    *times: datetime | None,
) -> Ask:
    """Make the function that reads one subscription of a customer from Stripe.

    It returns no change if the subscription is another customer's at Stripe.

    :param client: ``state.webhook_client`` in a webhook, which makes one short try.
    :param times: As for :func:`to_answer`.
    """

    def ask(customer: CustomerState) -> tuple[Change, ...]:
        answer = to_answer(retrieve_subscription(client, subscription_id), *times)
        return (answer,) if answer.state.customer_id == customer_id else ()

    return ask


def list_subscriptions_of(
    client: StripeClient, customer_id: str
) -> Iterator[StripeResponse]:
    """List all subscriptions of a customer, also those that have ended.

    A listed subscription may lack some items, see :func:`with_all_items`.

    :raises StripeError: If Stripe refuses, or does not answer.

    Source: https://docs.stripe.com/api/subscriptions/list
    """
    return client.paginate(
        "/v1/subscriptions", {"customer": customer_id, "status": "all", "limit": 100}
    )


def retrieve_subscription(client: StripeClient, subscription_id: str) -> StripeResponse:
    """Read a subscription from Stripe, with all its items. Call it without a lock.

    :param client: ``state.webhook_client`` in a webhook, which makes one short try.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    path = quote_path("/v1/subscriptions/{}", subscription_id)
    return with_all_items(client, client.get(path))


def with_all_items(
    client: StripeClient, subscription: StripeResponse
) -> StripeResponse:
    """Read the items that a subscription does not show, if there are any.

    :return: The subscription with all items.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    if not has_more_items(subscription):
        return subscription

    params = {"subscription": subscription.get("id"), "limit": 100}
    items = list(client.paginate("/v1/subscription_items", params))
    return StripeResponse(
        {**subscription, "items": {"object": "list", "data": items}},
        request_id=subscription.request_id,
        as_of=subscription.as_of,
    )


def to_answer(response: Mapping[str, Any], *times: datetime | None) -> Answer:
    """Stripe's answer as a change of our rows.

    The answer gets the latest time at which it is known to be true: later events win
    over it, earlier ones do not.

    :param times: Times that the answer is not older than, such as its event's.
    :raises APIError: If the answer is not a subscription.
    """
    state = read_subscription(response)

    if state is None:
        raise APIError("Stripe's answer is not a subscription.")

    # A subscription with a test clock has the times of this clock, not of ours.
    # Source: https://docs.stripe.com/billing/testing/test-clocks
    as_of = None if response.get("test_clock") else getattr(response, "as_of", None)
    return Answer(state, latest(as_of, *times))
