"""The API versions that the sandbox knows.

The store holds objects in the shape of the newest one, and the resources read its
parameters. :mod:`.downgrades` takes an object back to older shapes, :mod:`.upgrades`
takes an older call's parameters forward. Within one train (acacia, basil, ...) releases
only add; what breaks comes with the first of a train.

Source: https://docs.stripe.com/changelog
"""

from __future__ import annotations

from typing import Final

from ..sandbox_errors import ApiError
from ..world import API_VERSION

#: Oldest first. Stripe knows older ones, too; a new app does not begin with them.
VERSIONS = (
    "2024-12-18.acacia",
    "2025-01-27.acacia",
    "2025-02-24.acacia",
    "2025-03-31.basil",
    "2025-04-30.basil",
    "2025-05-28.basil",
    "2025-06-30.basil",
    "2025-07-30.basil",
    "2025-08-27.basil",
    "2025-09-30.clover",
    "2025-10-29.clover",
    "2025-11-17.clover",
    "2025-12-15.clover",
    "2026-01-28.clover",
    "2026-02-25.clover",
    "2026-03-25.dahlia",
    "2026-04-22.dahlia",
    "2026-05-27.dahlia",
    "2026-06-24.dahlia",
    "2026-07-29.dahlia",
    "2026-08-26.dahlia",
    "2026-09-30.endive",
    API_VERSION,
)

#: The version that changed most.
BASIL: Final = "2025-03-31.basil"


def check_version(version: str, param: str | None = None) -> str:
    """Return a version that the sandbox knows.

    :param param: The parameter that held it; ``None`` for the header.
    :raises ApiError: For any other.
    """
    if version not in VERSIONS:
        raise ApiError(
            f"Invalid Stripe API version: {version[:40]}. The sandbox has those from"
            f" {VERSIONS[0]} to {VERSIONS[-1]}.",
            param=param,
        )

    return version
