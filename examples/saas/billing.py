"""What the app does when Stripe says that something happened.

The columns of the user are stored before; what the handlers write to ``db.session`` is
committed once for each event, however often Stripe sends it.
"""

from __future__ import annotations

import logging

from flask import current_app
from flask import Flask

from flask_kavach_stripe import Event
from flask_kavach_stripe import Subscription

from .extensions import db
from .extensions import kavach_stripe
from .models import Activity
from .models import User
from .plans import format_amount

EVENTS = {
    "customer.subscription.created": "Your subscription began",
    "customer.subscription.deleted": "Your subscription ended",
    "invoice.paid": "You paid {amount}",
    "invoice.payment_failed": "A payment of {amount} failed",
}


def init_app(app: Flask) -> None:
    app.logger.setLevel(logging.INFO)


@kavach_stripe.on(*EVENTS)
def remember(event: Event) -> None:
    """Write it into the list on the account page."""
    amount = ""

    if event.type.startswith("invoice."):
        amount = format_amount(event.object["amount_due"], event.object["currency"])

    add_activity(event, EVENTS[event.type].format(amount=amount))


@kavach_stripe.on("customer.subscription.updated")
def remember_cancellation(event: Event) -> None:
    if "cancel_at" in (event.previous_attributes or {}):
        canceled = event.object["cancel_at"] is not None
        add_activity(event, "You canceled" if canceled else "You decided to stay")


def add_activity(event: Event, text: str) -> None:
    if event.user is not None:
        db.session.add(
            Activity(user_id=event.user.id, happened_at=event.time, text=text)
        )


@kavach_stripe.on_subscription_change
def tell(user: User, subscription: Subscription) -> None:
    """Stands for the mail that a real app would send."""
    current_app.logger.info(
        "%s: the subscription is %s%s",
        user.email,
        subscription.status,
        " and will end" if subscription.on_grace_period else "",
    )
