"""The value of an argument that a caller left out.

``None`` and ``0`` mean something to Stripe, so they cannot say "not said".
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Default(Enum):
    """The type of :data:`DEFAULT`, for annotations."""

    DEFAULT = "DEFAULT"

    def __repr__(self) -> str:
        return "DEFAULT"


#: The caller did not say: configuration decides.
DEFAULT: Final = Default.DEFAULT
