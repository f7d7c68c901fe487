"""``flask stripe events`` and ``replay``: the stored events, and their handlers.

An event is *processed*, *pending* if its handlers have not run yet, or *failed* if one
of them raised in the last attempt.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import click
from flask import current_app
from flask.cli import with_appcontext

from ..database.models import StripeEventMixin
from ..errors import KavachStripeError
from ..events.retry import replay
from ..events.retry import run_if_free
from ..events.run import HandlerError
from ..operations.explanations import explain
from ..state import get_state
from ..state import State

_COLORS = {"processed": "green", "failed": "red", "pending": "yellow"}
#: What ``events show`` prints of an entry, besides its status, error and payload.
_FIELDS = (
    "id",
    "type",
    "created",
    "object_id",
    "customer_id",
    "user_id",
    "livemode",
    "api_version",
    "change",
    "received_at",
    "processed_at",
    "attempted_at",
    "attempts",
)


@click.group("events", invoke_without_command=True)
@click.option("--failed", is_flag=True, help="Only failed ones.")
@click.option("--type", "event_type", metavar="TYPE", help="Only those of this type.")
@click.option("--user", "user_id", metavar="ID", help="Only those of this user.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How many, at most.",
)
@click.pass_context
@with_appcontext
def events_command(
    context: click.Context,
    failed: bool,
    event_type: str | None,
    user_id: str | None,
    limit: int,
) -> None:
    """List the events that were stored, the newest first.

    \b
    Examples:
        flask stripe events --failed
        flask stripe events --type invoice.payment_failed --user 7
        flask stripe events show evt_1QxPaJ2eZvKYlo2C
    """
    if context.invoked_subcommand is not None:
        return

    state = get_state()
    events = state.ledger.search(
        state.session,
        failed=failed,
        event_type=event_type,
        user_id=user_id,
        limit=limit,
    )

    if not events:
        click.echo("There is no such event in the ledger.", err=True)
        return

    width = max(len(event.type) for event in events)

    for event in events:
        status = _status_of(event)
        click.echo(
            f"{_show_time(event.received_at)}"
            f"  {click.style(f'{status:<9}', _COLORS[status])}"
            f"  {event.type:<{width}}  user {event.user_id or '-'}  {event.id}"
        )


@events_command.command("show")
@click.argument("event_id")
@with_appcontext
def show_command(event_id: str) -> None:
    """Print one event with its error and its payload.

    \b
    Example:
        flask stripe events show evt_1QxPaJ2eZvKYlo2C
    """
    state = get_state()
    event = state.ledger.get(state.session, event_id)

    if event is None:
        raise click.ClickException(f"Event {event_id!r} is not in the ledger.")

    for name in _FIELDS:
        value = getattr(event, name)
        text = _show_time(value) if isinstance(value, datetime) else value
        click.echo(f"{name:<13} {'-' if text is None else text}")

    click.echo(f"{'status':<13} {_status_of(event)}")

    if event.error is not None:
        click.echo(f"\n{event.error}")

    click.echo(f"\n{json.dumps(json.loads(event.payload), indent=2)}")


@click.command("replay")
@click.argument("event_ids", metavar="ID...", nargs=-1)
@click.option("--failed", is_flag=True, help="All failed ones.")
@click.option("--pending", is_flag=True, help="All that were stored and never run.")
@with_appcontext
def replay_command(event_ids: tuple[str, ...], failed: bool, pending: bool) -> None:
    """Run the handlers of stored events again.

    An event that you name runs even if it was processed before: its handlers then write
    a second time. With --failed and --pending, an event that a worker is running now is
    left to the worker. The user's columns do not change. The exit status is 1 if a
    handler failed, or an event is not in the ledger.

    \b
    Examples:
        flask stripe replay evt_1QxPaJ2eZvKYlo2C
        flask stripe replay --failed --pending
    """
    if not (event_ids or failed or pending):
        raise click.UsageError("Name events, or give '--failed' or '--pending'.")

    state = get_state()
    unprocessed = state.ledger.list_unprocessed(
        state.session, failed=failed, pending=pending
    )
    state.session.commit()  # each run has a session of its own, and may take long
    runs = [(event_id, replay) for event_id in event_ids]
    runs += [(event_id, run_if_free) for event_id in unprocessed]
    failures = sum(not _try(state, event_id, run) for event_id, run in runs)

    if failures:
        raise click.ClickException(
            f"{failures} of {len(runs)} failed. 'flask stripe events --failed' lists"
            " what is left to do."
        )


def _try(state: State, event_id: str, run: Callable[[State, str], bool]) -> bool:
    """Run the handlers of one event, and print one line about the outcome.

    :param run: :func:`.replay` or :func:`.run_if_free`.
    :return: ``False`` if it failed. Left to another process is no failure.
    """
    try:
        with current_app.app_context():  # a session of its own, as a request has
            outcome = "processed" if run(state, event_id) else "left to another process"
    except HandlerError as error:
        failure = f"{type(error.error).__name__}: {error.error}"
    except KavachStripeError as error:
        failure = explain(error)
    else:
        click.echo(f"{event_id}  {outcome}")
        return True

    click.echo(f"{event_id}  failed: {failure}")
    return False


def _status_of(event: StripeEventMixin) -> str:
    """The status of an event's handlers, a key of :data:`_COLORS`."""
    if event.processed_at is not None:
        return "processed"

    return "pending" if event.error is None else "failed"


def _show_time(time: datetime) -> str:
    """A UTC time to the second, such as ``2025-03-01 12:00:00Z``."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ")
