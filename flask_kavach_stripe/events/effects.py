"""What each of Stripe's events means for our rows, in one table.

An effect reads the event and gives an :class:`.Update`, or ``None`` where the event
means nothing to us. Only a completed Checkout session does more: it is linked first.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Final

from ..state import State
from ..stripe_api.event import Event
from ..stripe_api.objects import read_checkout_session
from ..stripe_api.objects import read_id
from ..stripe_api.objects import read_invoice
from ..stripe_api.objects import read_subscription
from ..subscriptions import Change
from ..subscriptions import CustomerDeleted
from ..subscriptions import CustomerState
from ..subscriptions import PaymentFailure
from ..subscriptions import Snapshot
from .link import link_checkout
from .store import Ask
from .store import retrieve_subscription
from .store import to_answer
from .store import Update

CHECKOUT_COMPLETED: Final = "checkout.session.completed"

#: The revisions that our rows had before the object of a thin event was read, by
#: subscription id.
Revisions = Mapping[str, int]

Effect = Callable[[State, Event, Revisions], Update | None]


def complete_checkout(
    state: State, event: Event, revisions: Revisions
) -> Update | None:
    """Link the customer to its user, and commit that. Then ask Stripe for the
    subscription, as the session does not hold it.
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
        ask=_asker(state, event, checkout.customer_id, checkout.subscription_id),
    )


def update_subscription(
    state: State, event: Event, revisions: Revisions
) -> Update | None:
    """Store the subscription, if the event is newer than the row."""
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
    )
    return Update(
        subscription.customer_id,
        (snapshot,),
        subscription.id,
        _asker(state, event, subscription.customer_id, subscription.id),
    )


def end_subscription(state: State, event: Event, revisions: Revisions) -> Update | None:
    """The subscription has ended, whatever status a hand-made event gives it."""
    if event.is_thin:
        return _store_read_subscription(state, event, revisions)

    status = event.object.get("status")
    final_status = (
        status if status in ("canceled", "incomplete_expired") else "canceled"
    )
    subscription = read_subscription({**event.object, "status": final_status})

    if subscription is None:
        return None

    snapshot = Snapshot(subscription.ended(event.time), event.time, event.type)
    return Update(subscription.customer_id, (snapshot,), subscription.id)


def _store_read_subscription(
    state: State, event: Event, revisions: Revisions
) -> Update | None:
    """The subscription of a thin event is Stripe's answer, not a snapshot."""
    if event.object_id is None:
        return None

    answer = to_answer(event.object, event.time)
    subscription = answer.state
    return Update(
        subscription.customer_id,
        None,
        subscription.id,
        _asker(state, event, subscription.customer_id, subscription.id),
        ((answer,), revisions),
    )


def fail_payment(state: State, event: Event, revisions: Revisions) -> Update | None:
    """A renewal was not paid: the subscription is past due."""
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
    """All subscriptions of the customer have ended, and the link with them."""
    customer_id = read_id(event.object.get("id"))

    if customer_id is None:
        return None

    return Update(customer_id, (CustomerDeleted(event.time),))


#: By event type.
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


def _asker(state: State, event: Event, customer_id: str, subscription_id: str) -> Ask:
    """What asks Stripe for the subscription where the event is not enough."""

    def ask(customer: CustomerState) -> tuple[Change, ...]:
        response = retrieve_subscription(state.webhook_client, subscription_id)
        answer = to_answer(response, event.time)
        return (answer,) if answer.state.customer_id == customer_id else ()

    return ask
