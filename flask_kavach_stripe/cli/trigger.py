"""``flask stripe trigger``: post a sample event to the app's own webhook."""

from __future__ import annotations

import re

import click
from flask.cli import with_appcontext

from ..events.effects import EFFECTS
from ..operations.trigger import trigger
from ..operations.webhook_probe import explain_answer
from ..state import get_state
from ..stripe_api.event_types import doubt_type
from .formats import show_value

_EVENT_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


def _check_event_type(
    context: click.Context, parameter: click.Parameter, value: str
) -> str:
    if not _EVENT_TYPE.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is not an event type, such as 'customer.subscription.updated'."
        )

    return value


@click.command("trigger")
@click.argument("event_type", callback=_check_event_type)
@click.option(
    "--user",
    "user_id",
    metavar="ID",
    help="The primary key of the user whom the event is about.",
)
@with_appcontext
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
    doubt = doubt_type(event_type)

    if doubt is not None:
        click.echo(f"Warning: {doubt}", err=True)

    delivery = trigger(state, event_type, user_id)
    answer = delivery.answer
    handlers = len(state.registry.find(event_type))
    click.echo(f"{event_type} ({delivery.event['id']}): status {answer.status}")
    click.echo(f"Handlers of this app for it: {handlers}")

    if user_id is None:
        if event_type in EFFECTS:
            click.echo("It is about nobody's customer; --user makes it about a user.")
    elif not delivery.changes:
        click.echo(f"No column of user {user_id} changed.")

    for name, (before, after) in delivery.changes.items():
        click.echo(f"{name:<27}  {show_value(before)} -> {show_value(after)}")

    if not answer.is_received:
        raise click.ClickException(
            f"The webhook did not take the event. {explain_answer(answer)}"
        )
