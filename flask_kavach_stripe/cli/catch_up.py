"""``flask stripe catch-up``: process the events that never reached the webhook."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import UTC

import click
from flask.cli import with_appcontext

from ..operations.catch_up import CatchUp
from ..operations.catch_up import KEPT
from ..operations.catch_up import RecoveredEvent
from ..operations.explanations import explain
from ..state import get_state
from .formats import count
from .formats import duration


@click.command("catch-up")
@click.option(
    "--since",
    type=duration(
        longest=KEPT, because=f"Stripe keeps events for {KEPT.days} days: 30d."
    ),
    metavar="TIME",
    default="3d",
    show_default=True,
    help="How far to look back: 90s, 15m, 12h or 3d; at most 30d.",
)
@with_appcontext
def catch_up_command(since: timedelta) -> None:
    """Process the events that never reached the webhook.

    Reads them from Stripe and processes those that are not in the ledger, oldest
    first, as the webhook would. It may run while webhooks arrive, be interrupted, and
    run again. The exit status is 1 if an event or one of its handlers failed.

    \b
    Example:
        flask stripe catch-up --since 12h
    """
    catch_up = CatchUp(get_state(), datetime.now(UTC) - since)
    processed = failed = lost = 0

    for recovered in catch_up.run():
        processed += recovered.error is None
        failed += recovered.error is not None
        lost += not recovered.is_stored
        click.echo(_describe(recovered), err=recovered.error is not None)

    click.echo(
        f"{count(catch_up.listed, 'event')} read in"
        f" {count(catch_up.requests, 'request')}, {processed:,} processed,"
        f" {failed:,} failed, {catch_up.ineffective:,} without effect here"
    )

    for orphan in catch_up.orphans.values():
        click.echo(
            f"{orphan.id} of {orphan.customer_id} is running, and the user"
            f" {orphan.user_id} for whom it was made has this customer no more. 'flask"
            " stripe sync' links the two again, if you say so.",
            err=True,
        )

    if lost:
        raise click.ClickException(
            f"{count(lost, 'event')} could not be stored. Run the command again."
        )

    if failed:
        raise click.ClickException(
            "Handlers raised. Run them again with 'flask stripe replay --failed'."
        )


def _describe(recovered: RecoveredEvent) -> str:
    """One line about an event: time, id, type, user, and the error if it failed."""
    event = recovered.event
    time = "" if event.time is None else f"{event.time:%Y-%m-%d %H:%M:%S}  "
    user = "" if recovered.user_id is None else f"  user {recovered.user_id}"
    line = f"{time}{event.id}  {event.type}{user}"
    return (
        line
        if recovered.error is None
        else f"{line}  failed: {explain(recovered.error)}"
    )
