"""What each of Stripe's events does to the user's columns, in one table."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Final

from .objects import read_checkout_session
from .objects import read_id
from .objects import read_invoice
from .objects import read_subscription
from .state import State
from .storing import Ask
from .storing import find_owner
from .storing import link_customer
from .storing import retrieve_subscription
from .storing import to_answer
from .storing import Update
from .subscriptions import Change
from .subscriptions import CustomerDeleted
from .subscriptions import CustomerState
from .subscriptions import PaymentFailure
from .subscriptions import Snapshot
from .transactions import rollback_on_error
from .webhooks import Event

CHECKOUT_COMPLETED: Final = "checkout.session.completed"

EventHandler = Callable[[State, Event], Update | None]


def handle_checkout_session_completed(state: State, event: Event) -> Update | None:
    """Link the customer to its user. What was bought, only Stripe can say."""
    checkout = read_checkout_session(event.object)

    if not checkout.is_subscription or checkout.customer_id is None:
        return None

    with rollback_on_error(state.session):
        owner = find_owner(state, checkout)

        if owner is not None:
            link_customer(state, owner, checkout.customer_id)

        state.session.commit()

    if checkout.subscription_id is None:
        return None

    return Update(
        checkout.customer_id,
        changes=None,
        subscription_id=checkout.subscription_id,
        ask=_asker(state, event, checkout.customer_id, checkout.subscription_id),
    )


def handle_subscription(state: State, event: Event) -> Update | None:
    """Store the subscription, if the event is newer than what is stored."""
    if event.is_thin:
        return _handle_thin_subscription(state, event)

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


def handle_subscription_deleted(state: State, event: Event) -> Update | None:
    """The subscription has ended, whatever status a hand-made event gives it."""
    if event.is_thin:
        return _handle_thin_subscription(state, event)

    status = event.object.get("status")
    final_status = (
        status if status in ("canceled", "incomplete_expired") else "canceled"
    )
    subscription = read_subscription({**event.object, "status": final_status})

    if subscription is None:
        return None

    snapshot = Snapshot(subscription.ended(event.time), event.time, event.type)
    return Update(subscription.customer_id, (snapshot,), subscription.id)


def _handle_thin_subscription(state: State, event: Event) -> Update | None:
    if event.object_id is None:
        return None

    revisions = state.accounts.revisions(state.session, event.object_id)
    state.session.commit()
    answer = to_answer(event.object, event.time)
    subscription = answer.state
    return Update(
        subscription.customer_id,
        None,
        subscription.id,
        _asker(state, event, subscription.customer_id, subscription.id),
        ((answer,), revisions),
    )


def handle_payment_failed(state: State, event: Event) -> Update | None:
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


def handle_customer_deleted(state: State, event: Event) -> Update | None:
    """All subscriptions of the customer have ended, and the link with them."""
    customer_id = read_id(event.object.get("id"))

    if customer_id is None:
        return None

    return Update(customer_id, (CustomerDeleted(event.time),))


#: Our own handlers, by event type.
HANDLERS: Final[Mapping[str, EventHandler]] = {
    CHECKOUT_COMPLETED: handle_checkout_session_completed,
    "customer.deleted": handle_customer_deleted,
    "customer.subscription.created": handle_subscription,
    "customer.subscription.deleted": handle_subscription_deleted,
    "customer.subscription.paused": handle_subscription,
    "customer.subscription.resumed": handle_subscription,
    "customer.subscription.updated": handle_subscription,
    "invoice.payment_failed": handle_payment_failed,
}


def _asker(state: State, event: Event, customer_id: str, subscription_id: str) -> Ask:
    """Ask Stripe for the subscription."""

    def ask(customer: CustomerState) -> tuple[Change, ...]:
        response = retrieve_subscription(state.webhook_client, subscription_id)
        answer = to_answer(response, event.time)
        return (answer,) if answer.state.customer_id == customer_id else ()

    return ask
