"""What an app's tests need: Stripe's objects and events, really signed webhooks, and
the sandbox, a local Stripe with a clock.
"""

from ..sandbox import Clock as Clock
from ..sandbox import Sandbox as Sandbox
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
