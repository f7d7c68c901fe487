"""``flask stripe``: look after the billing of an app from a terminal."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from typing import Final

import click
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from .doctor import checks_of
from .doctor import examine
from .doctor import Finding
from .errors import KavachStripeError
from .handlers import HANDLERS
from .sandbox_command import sandbox_command
from .state import get_state
from .trigger import trigger

stripe_cli: Final = AppGroup("stripe", help="Look after Stripe subscriptions.")
stripe_cli.add_command(sandbox_command)

_EVENT_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_COLORS = {"ok": "green", "FAIL": "red", "skip": "yellow"}


@stripe_cli.command("doctor")
def doctor_command() -> None:
    """Check the set-up, here and at Stripe.

    Writes one line for each check: the keys, the tables, the webhook endpoint at
    Stripe, the prices. The exit status is 1 if one of them fails.

    \b
    Example:
        flask stripe doctor
    """
    state = get_state()
    width = max(map(len, checks_of(state)))
    findings: list[Finding] = []

    for finding in examine(state):  # printed as they come: Stripe may be slow
        findings.append(finding)
        verdict = click.style(f"{finding.verdict:<4}", fg=_COLORS[finding.verdict])
        click.echo(f"{verdict}  {finding.name:<{width}}  {finding.text}")

    failed = [finding.name for finding in findings if finding.verdict == "FAIL"]

    if failed:
        raise click.ClickException(
            f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}."
        )


def _check_event_type(
    context: click.Context, parameter: click.Parameter, value: str
) -> str:
    if not _EVENT_TYPE.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is not an event type, such as 'customer.subscription.updated'."
        )

    return value


@stripe_cli.command("trigger")
@click.argument("event_type", callback=_check_event_type)
@click.option(
    "--user",
    "user_id",
    metavar="ID",
    help="The primary key of the user whom the event is about.",
)
def trigger_command(event_type: str, user_id: str | None) -> None:
    """Post a sample event to this app, signed as by Stripe.

    It goes through the app's own webhook, columns and handlers included, and so it
    writes to the database: it works with a test key only. Without --user it is about a
    customer that nobody has.

    \b
    Example:
        flask stripe trigger customer.subscription.updated --user 1
    """
    state = get_state()

    try:
        delivery = trigger(state, event_type, user_id)
    except KavachStripeError as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise click.ClickException(
            f"The database failed ({type(error).__name__}). Run 'flask stripe doctor'."
        ) from None

    handlers = len(state.registry.find(event_type))
    click.echo(f"{event_type} ({delivery.event['id']}): status {delivery.status}")
    click.echo(f"Handlers of this app for it: {handlers}")

    if user_id is None:
        if event_type in HANDLERS:
            click.echo("It is about nobody's customer; --user makes it about a user.")
    elif not delivery.changes:
        click.echo(f"No column of user {user_id} changed.")

    for name, (before, after) in delivery.changes.items():
        click.echo(f"{name:<27}  {_show(before)} -> {_show(after)}")

    if delivery.status != 200:
        reason = delivery.error or "It gave no reason."
        raise click.ClickException(
            f"The webhook did not take the event. {reason} The log says more."
        )


def _show(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
