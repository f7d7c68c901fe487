"""Objects and events of Stripe for an app's tests, and really signed webhooks.

For a test of one handler: make an object, an event about it, and post the event.

.. code-block:: python

    def test_invoice_is_remembered(client):
        event = make_event("invoice.paid", make_invoice(customer="cus_1"))
        assert post_event(client, event).status_code == 200

For a test of a whole purchase, connect the app to the sandbox, a local Stripe with a
clock, which sends the events by itself: see
:mod:`flask_kavach_stripe.testing.fixtures`. This module does not load pytest, and loads
the sandbox when it is asked for it.
"""

from typing import Any
from typing import TYPE_CHECKING

from werkzeug.utils import import_string

from ..stripe_api.signatures import sign_payload as sign_payload
from .deliveries import post_event as post_event
from .samples import make_checkout_session as make_checkout_session
from .samples import make_customer as make_customer
from .samples import make_event as make_event
from .samples import make_invoice as make_invoice
from .samples import make_subscription as make_subscription
from .samples import make_thin_event as make_thin_event

__all__ = [
    "Clock",
    "Sandbox",
    "make_checkout_session",
    "make_customer",
    "make_event",
    "make_invoice",
    "make_subscription",
    "make_thin_event",
    "post_event",
    "sign_payload",
]

if TYPE_CHECKING:
    from ..sandbox import Clock as Clock
    from ..sandbox import Sandbox as Sandbox
else:

    def __getattr__(name: str) -> Any:
        """Load the sandbox when it is asked for.

        A test that only posts samples, and ``flask stripe trigger``, do not wait for a
        local Stripe.
        """
        if name in ("Clock", "Sandbox"):
            return import_string(f"flask_kavach_stripe.sandbox:{name}")

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
