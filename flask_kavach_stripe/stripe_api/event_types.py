"""The event types that Stripe has, to find typing errors.

The list is ``event_types.txt`` beside this file. ``tests/event_types.py`` writes it,
from the declarations of Stripe's own package. Stripe adds types every month, so a type
that is not in the list may exist: it is a reason for a warning, never for an error.

Source: https://docs.stripe.com/api/events/types
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path


@cache
def known_types() -> frozenset[str]:
    """All types in the list, those of thin events without ``v1.`` included.

    Reads the file at the first call.
    """
    text = Path(__file__).with_suffix(".txt").read_text("utf-8")
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def matches(event_type: str, pattern: str) -> bool:
    """Whether a pattern matches a whole event type; ``*`` stands for any text.

    No other character is special: ``.`` is a dot.
    """
    regex = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(regex, event_type) is not None


def doubt_type(pattern: str) -> str | None:
    """Say that Stripe has no event of a type or pattern, and which one is the nearest.

    :param pattern: An event type, or a pattern with ``*``.
    :return: A sentence or two for an operator; ``None`` if Stripe has such events.
    """
    types = known_types()

    if pattern in types:
        return None

    if "*" not in pattern:
        return f"Stripe has no event type {pattern!r}.{_suggest(pattern, types)}"

    if any(matches(event_type, pattern) for event_type in types):
        return None

    return (
        f"No event type of Stripe matches {pattern!r}."
        f"{_suggest(pattern, _patterns(types))}"
    )


def _suggest(text: str, candidates: Iterable[str]) -> str:
    """A sentence with the candidate that is nearest to a text; empty if none is near.

    Sorted first: of candidates that are equally near, it is always the same one.
    """
    nearest = get_close_matches(text, sorted(candidates), 1)
    return f" The nearest is {nearest[0]!r}." if nearest else ""


def _patterns(types: Iterable[str]) -> set[str]:
    """The patterns such as ``invoice.*`` that match some of the types."""
    return {
        f"{event_type[: dot.start()]}.*"
        for event_type in types
        for dot in re.finditer(r"\.", event_type)
    }
