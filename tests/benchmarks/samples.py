"""Stripe's objects in full, as the sandbox makes them.

Events of the size that Stripe sends: a small one would make reading it too cheap.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any
from typing import Final
from typing import NamedTuple

from tests.benchmarks.simulated_year import open_shop

SECRET: Final = "whsec_of_the_benchmarks"
UPDATED: Final = "customer.subscription.updated"

#: Unix time; what was seeded ends then.
START: Final = int(time.time())
MONTH: Final = 30 * 24 * 3600  # seconds

CHECKOUT: Final = {
    "mode": "subscription",
    "customer": "cus_1",
    "client_reference_id": "1",
    "line_items": [{"price": "price_pro", "quantity": 1}],
    "success_url": "https://shop.example/?session_id={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.example/",
    "metadata": {"kavach_user_id": "1"},
    "subscription_data": {
        "trial_period_days": 14,
        "metadata": {"kavach_user_id": "1"},
    },
}


class Delivery(NamedTuple):
    """A webhook, before it is sent."""

    path: str
    payload: bytes
    signature: str


@cache
def _objects() -> tuple[dict[str, Any], dict[str, Any]]:
    """An event of a subscription, and a Checkout session."""
    with open_shop() as shop:
        shop.subscribe(shop.add_user())
        [event] = (
            event
            for event in shop.sandbox.events
            if event["type"] == "customer.subscription.created"
        )
        params = {key: CHECKOUT[key] for key in ("mode", "line_items", "success_url")}
        return json.loads(json.dumps(event)), shop.call("/v1/checkout/sessions", params)


def checkout_session() -> bytes:
    """Stripe's answer to a call that makes a Checkout session."""
    return json.dumps(_objects()[1], indent=2).encode()


def make_payload(number: int, event_type: str = UPDATED, *, month: int = 1) -> bytes:
    """An event for a user, whose subscription it moves on to the end of a month."""
    event = json.loads(json.dumps(_objects()[0]))
    subscription = event["data"]["object"]
    [item] = subscription["items"]["data"]
    subscription |= {"id": f"sub_{number}", "customer": f"cus_{number}"}
    item |= {
        "current_period_start": START + (month - 1) * MONTH,
        "current_period_end": START + month * MONTH,
        "subscription": f"sub_{number}",
    }
    event |= {
        "id": f"evt_{month}_{number}",
        "type": event_type,
        "created": START - 10_000_000 + month * 1000,
    }
    event["data"]["previous_attributes"] = {
        "items": {"data": [{**item, "current_period_end": START}]},
        "latest_invoice": "in_before",
    }
    return json.dumps(event, indent=2).encode()


def make_delivery(
    path: str,
    number: int,
    event_type: str = UPDATED,
    *,
    month: int = 1,
    secret: str = SECRET,
) -> Delivery:
    """A signed event."""
    payload = make_payload(number, event_type, month=month)
    timestamp = int(time.time())
    signature = hmac.new(
        secret.encode(), b"%d.%b" % (timestamp, payload), hashlib.sha256
    ).hexdigest()
    return Delivery(path, payload, f"t={timestamp},v1={signature}")
