"""A local Stripe for tests, examples and people without an account.

It answers the calls of Stripe's API that subscriptions need, shows the hosted pages of
Checkout and of the customer portal, sends signed webhooks, and has a clock that can be
moved. :class:`Sandbox` is the whole of it. Apps import it from
:mod:`flask_kavach_stripe.testing`.

The modules stand in layers, and each imports only from those below it:

-   :mod:`.terminal` and :mod:`.local_stripe`: the sandbox as a command and as an object
-   :mod:`.pages`: the HTML; :mod:`.web`: the API over HTTP
-   :mod:`.account`, :mod:`.timeline`, :mod:`.rendering`: the parts put together, the
    passing of time, the JSON of answers
-   :mod:`.hosted`: Checkout and the portal; :mod:`.notifications`: events and webhooks
-   :mod:`.versions`: the differences between API versions
-   :mod:`.recurring`: subscriptions; :mod:`.money`: prices, cards, invoices, payments
-   :mod:`.resource` and :mod:`.world`: what every kind of object is built on

Of the rest of the package it imports the function that signs webhooks, and no more.

What is simplified is listed in ``docs/testing.rst``, and said again beside the code
that simplifies it. What moves money and is not simulated is refused, with an error of
the code ``sandbox_not_simulated``.
"""

from __future__ import annotations

from .clock import Clock as Clock
from .faults import Fault as Fault
from .faults import Faults as Faults
from .local_stripe import Sandbox as Sandbox
from .notifications.delivery import Attempt as Attempt
from .notifications.delivery import send_over_http as send_over_http
from .notifications.delivery import Sender as Sender
from .sandbox_errors import ApiError as ApiError
from .sandbox_errors import AuthenticationRequired as AuthenticationRequired
from .sandbox_errors import PortInUseError as PortInUseError
from .sandbox_errors import SandboxError as SandboxError
from .sandbox_errors import UndeliveredError as UndeliveredError

__all__ = [
    "ApiError",
    "Attempt",
    "AuthenticationRequired",
    "Clock",
    "Fault",
    "Faults",
    "PortInUseError",
    "Sandbox",
    "SandboxError",
    "Sender",
    "UndeliveredError",
    "send_over_http",
]
