"""Write the list of event types from the declarations of Stripe's own package.

    python -m tests.event_types

Run it after an upgrade of ``stripe``, and commit what it writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from typing import get_args

import stripe
from stripe.events._event_classes import _V2_EVENT_CLASS_LOOKUP

LIST: Final = (
    Path(__file__).parent.parent
    / "flask_kavach_stripe"
    / "stripe_api"
    / "event_types.txt"
)


def declared_types() -> set[str]:
    """The types as ``Event.type`` names them: thin events lose their ``v1.``."""
    snapshots = get_args(stripe.Event.__annotations__["type"])
    return {*snapshots, *(name.removeprefix("v1.") for name in _V2_EVENT_CLASS_LOOKUP)}


def render() -> str:
    """The text of the list, with the version of the package that declares it."""
    return "\n".join(
        [
            f"# Declared by stripe {stripe.VERSION}. Written by tests/event_types.py.",
            *sorted(declared_types()),
            "",
        ]
    )


if __name__ == "__main__":
    LIST.write_text(render(), "utf-8")
