"""Read the object of a thin event from Stripe: the event holds only its id.

Source: https://docs.stripe.com/event-destinations#thin-events
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final

from ..state import State
from ..stripe_api.encoding import quote_path
from ..stripe_api.event import Event
from .ask import with_all_items

#: Where the object of a thin event is read, by the beginning of the event type. The
#: path in the event is not used: whoever could write it could read with our key.
_OBJECT_PATHS: Final = {
    "checkout.session.": "/v1/checkout/sessions/{}",
    "customer.subscription.": "/v1/subscriptions/{}",
    "invoice.": "/v1/invoices/{}",
}


def read_object(state: State, event: Event) -> Mapping[str, Any]:
    """Read the object of a thin event from Stripe, by the event's type and object id.

    Call it while no lock is held. Stripe is not called for the deletion of a customer:
    the object does not exist any more, and the id is all that its effect needs.

    :return: The object; empty if the event names none.
    :raises StripeError: If Stripe refuses, or does not answer.
    """
    if event.object_id is None:
        return {}

    for prefix, path in _OBJECT_PATHS.items():
        if event.type.startswith(prefix):
            stripe_object = state.webhook_client.get(
                quote_path(path, event.object_id), stripe_account=event.account
            )
            return with_all_items(state.webhook_client, stripe_object)

    return {"id": event.object_id, "object": "customer", "deleted": True}
