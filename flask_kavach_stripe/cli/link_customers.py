"""``flask stripe link``: link customers at Stripe to users."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..operations.link_customers import propose_by_email
from ..operations.link_customers import propose_pair
from ..operations.link_customers import try_to_accept
from ..state import get_state
from .formats import confirm
from .formats import count
from .formats import show_proposal


@click.command("link")
@click.argument("user_id", required=False)
@click.argument("customer_id", required=False)
@click.option(
    "--by-email", is_flag=True, help="All customers with the e-mail of one user."
)
@click.option(
    "--yes", is_flag=True, help="Do not ask for those with a running subscription."
)
@with_appcontext
def link_command(
    user_id: str | None, customer_id: str | None, by_email: bool, yes: bool
) -> None:
    """Link customers at Stripe to users, and store their subscriptions.

    For a customer that lost its user, and for moving in from another library: with
    --by-email, each customer that nobody has, and that has the e-mail address of
    exactly one user, is shown. With --yes, those with a running subscription are linked
    without a question, and no others.

    \b
    Examples:
        flask stripe link 1 cus_QVoVr9h2cpGKyg
        flask stripe link --by-email
    """
    if by_email is (user_id is not None) or (customer_id is None) is not by_email:
        raise click.UsageError("Give either USER_ID and CUSTOMER_ID, or --by-email.")

    state, linked, failed = get_state(), 0, 0

    if user_id is not None and customer_id is not None:
        proposals = iter([propose_pair(state, user_id, customer_id)])
    else:
        proposals = propose_by_email(state)

    for proposal in list(proposals):
        click.echo(show_proposal(proposal))
        is_wanted = not by_email or (proposal.is_charged if yes else confirm("Link?"))

        if not is_wanted:
            continue

        error = try_to_accept(state, proposal)
        failed += error is not None
        linked += error is None

        if error is not None:
            click.echo(f"user {proposal.user_id} failed: {error}", err=True)

    click.echo(f"{count(linked, 'user')} linked")

    if failed:
        raise click.ClickException(f"{count(failed, 'user')} failed.")
