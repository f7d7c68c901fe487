"""``flask stripe forget``: clear customers that Stripe does not know."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..operations.forget import find_stranger
from ..operations.forget import find_strangers
from ..operations.forget import forget
from ..operations.forget import may_forget_unasked
from ..state import get_state
from .formats import confirm
from .formats import count


@click.command("forget")
@click.option("--user", "user_id", metavar="ID", help="The user with this primary key.")
@click.option("--unknown", is_flag=True, help="All users whom Stripe does not know.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def forget_command(user_id: str | None, unknown: bool, yes: bool) -> None:
    """Clear link, columns and subscriptions of users whom Stripe does not know.

    For the way from a test key to a live one on the same database, and after test data
    were wiped. Stripe is asked for each customer; one that it knows stays. With a live
    key, --unknown takes those alone of whom Stripe says that they exist in test mode.

    \b
    Examples:
        flask stripe forget --user 1
        flask stripe forget --unknown
    """
    if (user_id is None) is not unknown:
        raise click.UsageError("Give either --user ID or --unknown.")

    state = get_state()
    strangers = []

    if user_id is not None:
        strangers = [find_stranger(state, user_id)]
    else:
        for stranger in find_strangers(state):
            if may_forget_unasked(state, stranger):
                strangers.append(stranger)
            else:
                click.echo(
                    f"user {stranger.user_id} ({stranger.customer_id}) is kept: nothing"
                    " says that it is a customer of test mode. Clear it with --user.",
                    err=True,
                )

    for stranger in strangers:
        click.echo(f"user {stranger.user_id} ({stranger.customer_id})")

    users = count(len(strangers), "user")

    if strangers and not (yes or confirm(f"Forget the customers of {users}?")):
        strangers = []

    cleared = sum(forget(state, stranger) for stranger in strangers)
    click.echo(f"{count(cleared, 'user')} cleared")
