"""What each of Stripe's event types means for our rows: the table :data:`EFFECTS`.

An effect is a function. It reads the event's object and returns an :class:`.Update` for
``store``, or ``None`` if the event changes no row. Effects hold no lock and write
nothing, with one exception: :func:`complete_checkout` first links the customer to its
user, and commits the link.

The app's own functions are *handlers*, never effects; they run later, in ``run``.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Final

from ..customer_state import CustomerDeleted
from ..customer_state import PaymentFailure
from ..customer_state import Snapshot
from ..state import State
from ..stripe_api.event import Event
from ..stripe_api.objects import FINAL_STATUSES
from ..stripe_api.objects import has_more_items
from ..stripe_api.objects import read_checkout_session
from ..stripe_api.objects import read_id
from ..stripe_api.objects import read_invoice
from ..stripe_api.objects import read_subscription
from ..stripe_api.objects import read_text
from .ask import Ask
from .ask import make_ask
from .ask import to_answer
from .link import link_checkout
from .store import Update

CHECKOUT_COMPLETED: Final = "checkout.session.completed"

#: By subscription id: the revision that the row had before the object of a thin event
#: was read from Stripe. If the revision is another one when the object is to be stored,
#: the object may be older than the row.
Revisions = Mapping[str, int]

Effect = Callable[[State, Event, Revisions], Update | None]


def complete_checkout(
    state: State, event: Event, revisions: Revisions
) -> Update | None:
    """Link the customer to the user who bought, and commit the link.

    The session holds only the id of the subscription. Therefore the update has no
    changes, and ``store`` reads the subscription from Stripe.

    :return: ``None`` if the session is no purchase of a subscription.
    """
    checkout = read_checkout_session(event.object)

    if not checkout.is_subscription or checkout.customer_id is None:
        return None

    link_checkout(state, checkout)

    if checkout.subscription_id is None:
        return None

    return Update(
        checkout.customer_id,
        changes=None,
        subscription_id=checkout.subscription_id,
        ask=_make_ask(state, event, checkout.customer_id, checkout.subscription_id),
    )


def update_subscription(
    state: State, event: Event, revisions: Revisions
) -> Update | None:
    """Store the subscription in the event, if the event is newer than the row.

    If the order of event and row is not clear, the subscription is read from Stripe.

    :return: ``None`` if the event's object is not a subscription with a customer.
    """
    if event.is_thin:
        return _store_read_subscription(state, event, revisions)

    subscription = read_subscription(event.object)

    if subscription is None:
        return None

    snapshot = Snapshot(
        subscription,
        event.time,
        event.type,
        has_previous_attributes=event.previous_attributes is not None,
        has_all_items=not has_more_items(event.object),
    )
    return Update(
        subscription.customer_id,
        (snapshot,),
        subscription.id,
        _make_ask(state, event, subscription.customer_id, subscription.id),
    )


def end_subscription(state: State, event: Event, revisions: Revisions) -> Update | None:
    """Store that the subscription has ended.

    The status becomes ``canceled`` unless the event says ``incomplete_expired``. A
    hand-made event may carry any other status, and must not reopen the subscription.
    Stripe is not asked: an ended subscription never changes again.

    :return: ``None`` if the event's object is not a subscription with a customer.
    """
    if event.is_thin:
        return _store_read_subscription(state, event, revisions)

    status = read_text(event.object.get("status"))
    final_status = status if status in FINAL_STATUSES else "canceled"
    subscription = read_subscription({**event.object, "status": final_status})

    if subscription is None:
        return None

    snapshot = Snapshot(subscription.ended(event.time), event.time, event.type)
    return Update(subscription.customer_id, (snapshot,), subscription.id)


def _store_read_subscription(
    state: State, event: Event, revisions: Revisions
) -> Update | None:
    """Store the subscription that was read from Stripe for a thin event.

    It is an answer of Stripe and not a snapshot in an event. So it is valid only while
    the row has the revision in ``revisions``; otherwise Stripe is asked again.

    :return: ``None`` if the event does not name its object.
    :raises APIError: If Stripe's answer is not a subscription.
    """
    if event.object_id is None:
        return None

    answer = to_answer(event.object, event.time)
    subscription = answer.state
    return Update(
        subscription.customer_id,
        None,
        subscription.id,
        _make_ask(state, event, subscription.customer_id, subscription.id),
        ((answer,), revisions),
    )


def fail_payment(state: State, event: Event, revisions: Revisions) -> Update | None:
    """Make the subscription ``past_due``, because a renewal was not paid.

    ``customer_state`` decides, with the row at hand, which invoices count. Stripe sends
    ``customer.subscription.updated`` for the same failure, too, before or after.

    :return: ``None`` if the invoice has no customer or is for no subscription.
    """
    invoice = read_invoice(event.object)

    if invoice.customer_id is None or invoice.subscription_id is None:
        return None

    failure = PaymentFailure(
        invoice.subscription_id,
        event.time,
        invoice.billing_reason,
        invoice.period_end,
    )
    return Update(invoice.customer_id, (failure,), invoice.subscription_id)


def delete_customer(state: State, event: Event, revisions: Revisions) -> Update | None:
    """End all subscriptions of the customer, and clear the user's customer id.

    :return: ``None`` if the event's object has no id.
    """
    customer_id = read_id(event.object.get("id"))

    if customer_id is None:
        return None

    return Update(customer_id, (CustomerDeleted(event.time),))


#: The effect of each event type. All other types concern the app's handlers alone.
#: Source: https://docs.stripe.com/billing/subscriptions/webhooks
EFFECTS: Final[Mapping[str, Effect]] = {
    CHECKOUT_COMPLETED: complete_checkout,
    "customer.deleted": delete_customer,
    "customer.subscription.created": update_subscription,
    "customer.subscription.deleted": end_subscription,
    "customer.subscription.paused": update_subscription,
    "customer.subscription.resumed": update_subscription,
    "customer.subscription.updated": update_subscription,
    "invoice.payment_failed": fail_payment,
}


def _make_ask(
    state: State, event: Event, customer_id: str, subscription_id: str
) -> Ask:
    """Make the function that reads the event's subscription from Stripe.

    ``store`` calls it, without a lock, if the event and the row do not decide. It makes
    one try of 8 seconds, as a webhook has to be answered in time.
    """
    return make_ask(state.webhook_client, customer_id, subscription_id, event.time)
