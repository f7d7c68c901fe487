"""How commands read the values of options, and print values."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Final

import click

from ..operations.explanations import printable
from ..operations.link_customers import Proposal
from ..operations.running_subscriptions import Running

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")


def duration(
    *,
    shortest: timedelta = timedelta(seconds=1),
    longest: timedelta = timedelta.max,
    because: str = "",
) -> Callable[[str], timedelta]:
    """Make the Click type of an option such as ``90s``, ``15m``, ``12h`` or ``3d``.

    :param because: The reason for the limits, as a sentence for the error message.
    :return: Converts the text. It raises :exc:`click.BadParameter` for another form,
        and for a time outside of the limits.
    """

    def convert(value: str) -> timedelta:
        match = _DURATION.fullmatch(value)

        if match is None:
            raise click.BadParameter(
                f"{value!r} is not a time such as 90s, 15m, 12h or 3d."
            )

        length = timedelta(**{_UNITS[match[2]]: int(match[1])})

        if not shortest <= length <= longest:
            limit = "too short" if length < shortest else "too long"
            raise click.BadParameter(f"{value} is {limit}. {because}".strip())

        return length

    return convert


def show_value(value: Any) -> str:
    """The value of a user's column as text. Times are in ISO 8601."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def count(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural: ``1 user``, ``1,200 users``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def show_running(running: Running) -> str:
    """A running subscription with what it charges."""
    return printable(f"{running.id} {running.status}, {running.amounts}")


def show_proposal(proposal: Proposal) -> str:
    """A user and a customer, with both e-mail addresses and what is charged."""
    charged = "; ".join(map(show_running, proposal.subscriptions))
    return printable(
        f"user {proposal.user_id} ({proposal.user_email or 'no e-mail'})"
        f" - {proposal.customer_id} ({proposal.customer_email or 'no e-mail'}):"
        f" {charged or 'nothing is running'}"
    )


def confirm(question: str) -> bool:
    """Ask a question. Nobody there to answer, as under cron, is a no.

    :raises click.Abort: On Ctrl-C.
    """
    try:
        return click.confirm(question)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise

        click.echo()
        return False
