"""``flask stripe webhook``: create and list the webhook endpoints at Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

import click
from flask.cli import AppGroup
from flask.cli import with_appcontext

from ..operations.webhook_endpoints import ALL
from ..operations.webhook_endpoints import check_url
from ..operations.webhook_endpoints import choose_events
from ..operations.webhook_endpoints import create_endpoint
from ..operations.webhook_endpoints import list_endpoints
from ..operations.webhook_endpoints import location_of
from ..operations.webhook_endpoints import path_of
from ..operations.webhook_endpoints import webhook_path
from ..state import get_state
from ..state import State
from .formats import count

webhook_cli: Final = AppGroup("webhook", help="Look after the webhook endpoints.")


@click.command("create")
@click.argument("url")
@click.option(
    "--event",
    "named",
    metavar="TYPE",
    multiple=True,
    help="One more event type, as for a handler of 'invoice.*'. May be repeated.",
)
@click.option("--force", is_flag=True, help="Even if there is one with this URL.")
@with_appcontext
def create_command(url: str, named: tuple[str, ...], force: bool) -> None:
    """Have Stripe send events to URL.

    They are the events that this app handles, in its API version. The signing secret
    goes to the standard output as a line for a file .env; Stripe never shows it again.

    \b
    Example:
        flask stripe webhook create https://shop.example/auth/stripe/webhook >> .env
    """
    state = get_state()

    try:
        check_url(state, url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from None

    events = choose_events(state.registry, named)

    if not force:
        _refuse_duplicate(state, url)

    endpoint, secret = create_endpoint(state, url, events)
    click.echo(f"STRIPE_WEBHOOK_SECRET={secret}")
    click.echo(
        f"Created {endpoint.get('id')}, API version {endpoint.get('api_version')},"
        f" for {_number_of(events)}: {', '.join(events)}",
        err=True,
    )

    if path_of({"url": url}) != webhook_path():
        click.echo(
            f"Note: the webhook of this app is at {webhook_path()}, another path.",
            err=True,
        )

    if state.settings.webhook_secrets:
        click.echo(
            "Note: 'STRIPE_WEBHOOK_SECRET' is set already. While two endpoints lead"
            " here, give both secrets, with a comma between them.",
            err=True,
        )


def _refuse_duplicate(state: State, url: str) -> None:
    """Check that Stripe has no endpoint with this URL yet.

    With two of them, Stripe sends each event twice.

    :raises click.ClickException: If there is one.
    """
    for endpoint in list_endpoints(state.client):
        if endpoint.get("url") == url:
            raise click.ClickException(
                f"There is {endpoint.get('id')} with this URL, and Stripe shows a"
                " secret only once. Delete it in Stripe's Dashboard, or use '--force'"
                " to have events sent by both."
            )


@click.command("list")
@with_appcontext
def list_command() -> None:
    """List the webhook endpoints at Stripe.

    Those that lead to the path of this app's webhook are marked with '*'.

    \b
    Example:
        flask stripe webhook list
    """
    endpoints = list(list_endpoints(get_state().client))
    path = webhook_path()
    rows = [["", "ID", "STATUS", "API VERSION", "EVENTS", "URL"]]
    rows += [_row(endpoint, path) for endpoint in endpoints]

    if endpoints:
        _echo_table(rows)

    if not any(path_of(endpoint) == path for endpoint in endpoints):
        click.echo(
            f"None leads to {path}. Add one with 'flask stripe webhook create URL'.",
            err=True,
        )


def _row(endpoint: Mapping[str, Any], path: str) -> list[str]:
    """The cells of an endpoint in the table, marked if it has the app's path."""
    return [
        "*" if path_of(endpoint) == path else "",
        str(endpoint.get("id")),
        str(endpoint.get("status")),
        str(endpoint.get("api_version") or "default"),
        _number_of(endpoint.get("enabled_events")).split()[0],
        location_of(endpoint),
    ]


def _number_of(events: object) -> str:
    """The number of an endpoint's event types as text. ``?`` if Stripe sent no list."""
    if not isinstance(events, list):
        return "? events"

    return "all events" if ALL in events else count(len(events), "event")


def _echo_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


webhook_cli.add_command(create_command)
webhook_cli.add_command(list_command)
