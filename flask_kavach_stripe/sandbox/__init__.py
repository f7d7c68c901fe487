"""A local Stripe for tests, examples and people without an account."""

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
