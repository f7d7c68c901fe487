"""``flask stripe sync``: make the database agree with Stripe."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask.cli import with_appcontext

from ..operations.explanations import explain
from ..operations.explanations import printable
from ..operations.link_customers import Proposal
from ..operations.link_customers import propose_by_mark
from ..operations.link_customers import propose_for_user
from ..operations.link_customers import try_to_accept
from ..operations.outcomes import Failure
from ..operations.outcomes import Outcome
from ..operations.outcomes import UnknownSubscription
from ..operations.sync import Repairs
from ..state import get_state
from ..state import State
from .formats import confirm
from .formats import count
from .formats import show_proposal
from .formats import show_running
from .formats import show_value


@click.command("sync")
@click.option(
    "--user", "user_id", metavar="ID", help="Only the user with this primary key."
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@with_appcontext
def sync_command(user_id: str | None, dry_run: bool) -> None:
    """Repair the users' columns from what Stripe lists.

    Reads all subscriptions, 100 in a request, and stores what the database has
    otherwise. It may run while webhooks arrive, be interrupted, and run again. The
    exit status is 1 if a user could not be repaired.

    \b
    Examples:
        flask stripe sync --dry-run
        flask stripe sync --user 1
    """
    state = get_state()
    repairs = Repairs(state, dry_run=dry_run)
    failed = 0

    with _progress(state, is_shown=user_id is None) as (clear, on_page):
        outcomes = (
            repairs.repair_all(on_page)
            if user_id is None
            else repairs.repair_user(user_id)
        )

        for outcome in outcomes:
            clear()
            failed += isinstance(outcome, Failure)
            click.echo(_describe(outcome), err=isinstance(outcome, Failure))

    if user_id is None:
        proposals = propose_by_mark(state, repairs.orphans)
    else:
        proposals = propose_for_user(state, user_id)

    linked, failed_links = _offer_links(state, () if dry_run else proposals)
    failed += failed_links

    if user_id is None:
        _show_unclaimed(repairs, linked)

    changed = "would change" if dry_run else "changed"
    click.echo(
        f"{count(repairs.subscriptions, 'subscription')} read in"
        f" {count(repairs.requests, 'request')},"
        f" {count(repairs.changed, 'user')} {changed}"
    )

    if failed:
        raise click.ClickException(f"{count(failed, 'user')} failed.")


def _offer_links(state: State, proposals: Iterable[Proposal]) -> tuple[set[str], int]:
    """Show customers that lost their users, and ask whether to link the two again.

    :return: The customers that were linked; and how many users failed after that.
    """
    linked, failed = set(), 0

    for proposal in proposals:
        click.echo(show_proposal(proposal))

        if not confirm("Link this user and this customer again?"):
            continue

        error = try_to_accept(state, proposal)
        linked.add(proposal.customer_id)

        if error is not None:
            failed += 1
            click.echo(f"user {proposal.user_id} failed: {error}", err=True)

    return linked, failed


def _show_unclaimed(repairs: Repairs, linked: Collection[str]) -> None:
    """Show what is charged for nothing.

    :param linked: The customers that have their users again.
    """
    for orphan in repairs.orphans:
        if orphan.customer_id not in linked:
            click.echo(
                f"orphan: {show_running(orphan)}; nobody has {orphan.customer_id},"
                f" which was made for user {printable(str(orphan.user_id))}. Link it"
                " with 'flask stripe link', or end it at Stripe."
            )

    for double in repairs.find_doubles():
        click.echo(
            f"charged {len(double.subscriptions)} times: user {double.user_id}"
            f" ({double.customer_id}) has {', '.join(double.subscriptions)}"
        )

    if repairs.unmarked:
        click.echo(
            f"{count(repairs.unmarked, 'running subscription')} at Stripe without a"
            " mark of this app belong to nobody here. If they are this app's, 'flask"
            " stripe link --by-email' proposes users."
        )


@contextmanager
def _progress(
    state: State, *, is_shown: bool
) -> Iterator[tuple[Callable[[], object], Callable[[int], object]]]:
    """Show a progress bar, if the errors go to a terminal.

    The number of our rows stands for the number of subscriptions that Stripe will list.
    The bar is on the standard error, so it does not mix with redirected output.

    :return: Two functions. The first one clears the bar's line, before another line is
        printed. The second one moves the bar on by a number of subscriptions.
    """
    if not is_shown or not sys.stderr.isatty():
        yield (lambda: None), (lambda read: None)
        return

    expected = state.rows.count(state.session)
    state.session.commit()

    with click.progressbar(length=max(expected, 1), file=sys.stderr) as bar:
        yield (lambda: click.echo("\r\033[K", nl=False, err=True)), bar.update


def _describe(outcome: Outcome) -> str:
    """One line about a user: the changed columns, else the changed subscriptions."""
    user = f"user {outcome.user_id} ({outcome.customer_id})"

    if isinstance(outcome, Failure):
        return f"{user} failed: {explain(outcome.error)}"

    if isinstance(outcome, UnknownSubscription):
        return (
            f"{user}: Stripe does not know {outcome.subscription_id} under the present"
            " key. It is kept as it is."
        )

    changes = [
        f"{name} {show_value(before)} -> {show_value(after)}"
        for name, (before, after) in outcome.columns.items()
    ]
    return f"{user}: {', '.join(changes or outcome.subscriptions)}"
