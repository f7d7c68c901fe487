"""What an app's tests need: Stripe's objects and events, really signed webhooks, and
the sandbox, a local Stripe with a clock.
"""

from typing import Any
from typing import TYPE_CHECKING

from werkzeug.utils import import_string

from ..signatures import sign_payload as sign_payload
from .samples import make_checkout_session as make_checkout_session
from .samples import make_customer as make_customer
from .samples import make_event as make_event
from .samples import make_invoice as make_invoice
from .samples import make_subscription as make_subscription
from .samples import make_thin_event as make_thin_event
from .webhooks import post_event as post_event

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

        ``flask stripe trigger`` imports the samples, and the start of an app must not
        wait for a local Stripe.
        """
        if name in ("Clock", "Sandbox"):
            return import_string(f"flask_kavach_stripe.sandbox:{name}")

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
