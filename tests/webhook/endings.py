"""The event of malformed requests: if it were taken, Ada's subscription would end."""

from __future__ import annotations

import json
from typing import Any

from flask_kavach_stripe.testing import make_event
from tests.vocabulary import subscription
from tests.vocabulary import T


def ending(**values: Any) -> dict[str, Any]:
    """An event that would end Ada's subscription, if it were taken."""
    sent = make_event(
        "customer.subscription.deleted",
        subscription(status="canceled"),
        created=T + 60,
    )
    return {**sent, **values}


GOOD = json.dumps(ending()).encode()
