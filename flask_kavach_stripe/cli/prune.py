"""``flask stripe prune``: delete old events from the ledger."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import UTC

import click
from flask.cli import with_appcontext

from ..operations.prune import prune
from ..operations.prune import REPEATED
from ..state import get_state
from .formats import count
from .formats import duration


@click.command("prune")
@click.option(
    "--older-than",
    type=duration(
        shortest=REPEATED,
        because=(
            f"Stripe can send an event again for {REPEATED.days} days, and the ledger"
            " is what recognises it: 30d or more."
        ),
    ),
    metavar="TIME",
    required=True,
    help="How long ago they were received, such as 90d; at least 30d.",
)
@click.option("--dry-run", is_flag=True, help="Only count them.")
@with_appcontext
def prune_command(older_than: timedelta, dry_run: bool) -> None:
    """Delete old events from the ledger.

    Only processed events: failed and pending ones stay, and so do the rows of
    subscriptions. It may run while webhooks arrive.

    \b
    Example:
        flask stripe prune --older-than 90d
    """
    try:
        before = datetime.now(UTC) - older_than
    except OverflowError:
        raise click.UsageError("There was no such time.") from None

    number = sum(prune(get_state(), before, dry_run=dry_run))
    click.echo(f"{count(number, 'event')} {'to delete' if dry_run else 'deleted'}")
