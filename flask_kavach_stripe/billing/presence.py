"""Is a customer still at Stripe? Only Stripe's own word ends a subscription.

``No such customer`` is not that word. A key of another account, a key of the other
mode, and a test account that was wiped get the same answer for a customer who pays. So
the customer is read: Stripe says ``deleted: true`` for one that was deleted, and
answers 404 for one that this account does not know.
"""

from __future__ import annotations

import enum
import logging
from typing import Any
from typing import Final

from ..customer_state import CustomerDeleted
from ..errors import InvalidRequestError
from ..errors import UnknownCustomerError
from ..events.store import Update
from ..events.store_for_helper import store_change
from ..state import State
from ..stripe_api.client import StripeClient
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import now

logger: Final = logging.getLogger(__name__)

#: Stripe's message about an object of the other mode has these words, then the mode.
_OTHER_MODE: Final = "a similar object exists in {} mode"


class Presence(enum.Enum):
    """What Stripe says of a customer under the present key."""

    EXISTS = enum.auto()
    #: The customer was here, and its subscriptions have ended.
    DELETED = enum.auto()
    #: The account does not know the customer. Nothing follows from that.
    UNKNOWN = enum.auto()
    #: As UNKNOWN, and Stripe adds that the customer exists in test mode.
    IN_TEST_MODE = enum.auto()
    #: As UNKNOWN, and Stripe adds that the customer exists in live mode.
    IN_LIVE_MODE = enum.auto()

    @property
    def is_known(self) -> bool:
        """Whether the key's account has, or had, the customer."""
        return self in (Presence.EXISTS, Presence.DELETED)


def find_presence(client: StripeClient, customer_id: str) -> Presence:
    """Read a customer from Stripe. One request; call it while no lock is held.

    :raises StripeError: If Stripe refuses otherwise, or does not answer.

    Source: https://docs.stripe.com/api/customers/retrieve
    """
    try:
        path = quote_path("/v1/customers/{}", customer_id)
    except ValueError:  # no id of Stripe's, such as one that was written by hand
        return Presence.UNKNOWN

    try:
        customer = client.get(path)
    except InvalidRequestError as error:
        if error.http_status != 404:
            raise

        return _read_mode(error.message)

    return Presence.DELETED if customer.get("deleted") is True else Presence.EXISTS


def _read_mode(message: str) -> Presence:
    """Read Stripe's hint about an object of the other mode."""
    if _OTHER_MODE.format("test") in message:
        return Presence.IN_TEST_MODE

    if _OTHER_MODE.format("live") in message:
        return Presence.IN_LIVE_MODE

    return Presence.UNKNOWN


def confirm_deletion(
    state: State, customer_id: str, error: InvalidRequestError
) -> None:
    """Find out why Stripe refused a customer. Returns if the customer was deleted.

    Reads the customer from Stripe, unless the error is about something else. Nothing is
    stored.

    :param error: Stripe's refusal of a request for this customer.
    :raises UnknownCustomerError: If the key's account does not know the customer. The
        log says what an operator can do.
    :raises InvalidRequestError: The error itself, if it is not about the customer, or
        the customer exists after all.
    :raises StripeError: If the customer cannot be read.
    """
    if error.code != "resource_missing" or error.param != "customer":
        raise error

    presence = find_presence(state.client, customer_id)

    if presence is Presence.EXISTS:
        raise error

    if not presence.is_known:
        unknown = UnknownCustomerError(
            f"Stripe does not know the customer {customer_id!r} under the present key."
            " Is 'STRIPE_SECRET_KEY' a key of this app's account? If the customer is"
            " gone for good, 'flask stripe forget' clears it."
        )
        logger.error("%s", unknown)
        raise unknown from error


def record_deletion(state: State, instance: Any, customer_id: str) -> None:
    """Store that a customer was deleted at Stripe.

    Ends the subscriptions, clears the user's customer id, and runs the app's
    ``on_subscription_change`` handlers. Logs a warning. Commits; does not call Stripe.

    :param instance: The user. Its columns are refreshed from the database.
    """
    logger.warning("Customer %s was deleted at Stripe.", customer_id)
    update = Update(customer_id, (CustomerDeleted(now()),))
    store_change(state, instance, update)
