"""The versions of Stripe's API that an endpoint can have."""

from __future__ import annotations

#: Every version that an endpoint can have, from the oldest one that we read.
API_VERSIONS = (
    "2024-12-18.acacia",
    "2025-01-27.acacia",
    "2025-02-24.acacia",
    "2025-03-31.basil",
    "2025-06-30.basil",
    "2025-08-27.basil",
    "2025-09-30.clover",
    "2026-02-25.clover",
    "2026-03-25.dahlia",
    "2026-08-26.dahlia",
    "2026-09-30.endive",
    "2026-10-28.endive",
)
