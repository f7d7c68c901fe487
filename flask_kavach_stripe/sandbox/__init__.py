"""A local Stripe for tests, examples and people without an account."""

from __future__ import annotations

from .clock import Clock as Clock
from .delivery import Attempt as Attempt
from .delivery import send_over_http as send_over_http
from .delivery import Sender as Sender
from .errors import ApiError as ApiError
from .errors import AuthenticationRequired as AuthenticationRequired
from .errors import PortInUseError as PortInUseError
from .errors import SandboxError as SandboxError
from .errors import UndeliveredError as UndeliveredError
from .faults import Fault as Fault
from .faults import Faults as Faults
from .server import Sandbox as Sandbox

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
