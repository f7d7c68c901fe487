"""A shop whose handlers run in a queue's worker."""

from __future__ import annotations

from typing import Any

from tests.vocabulary import event
from tests.vocabulary import on

CREATED = "customer.subscription.created"


def created(event_id: str = "evt_1") -> dict[str, Any]:
    """The event of Ada's new subscription."""
    return event("created", event_id=event_id)


def add_queue(shop: Any, queue: list[str]) -> None:
    """Add Ada, a queue, and a handler of ``created()`` that writes a note."""
    shop.app.extensions["kavach_stripe"].enqueue = queue.append
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")

    @on(shop, CREATED)
    def remember(event: Any) -> None:
        shop.note(f"{event.id} of {event.user.email}")
