"""``flask stripe sandbox``: run a local Stripe beside the app."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from werkzeug.utils import import_string

from ..operations.webhook_endpoints import webhook_path
from ..state import get_state

#: Imported by name when the command runs: the start of an app must not wait for it.
SERVE = "flask_kavach_stripe.sandbox.terminal:serve"

DEFAULT_PORT = 12111
_APP_URL = "http://127.0.0.1:5000"


@click.command("sandbox")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Where it listens on 127.0.0.1; 0 takes any free port.",
)
@click.option(
    "--forward-to",
    metavar="URL",
    help="Where webhooks go; by default to this app on port 5000 of this machine.",
)
@click.option(
    "--seed",
    type=int,
    help="Makes the same ids and faults in every run. Without it they are new ones, as"
    " a database needs that remembers the last run.",
)
@with_appcontext
def sandbox_command(port: int, forward_to: str | None, seed: int | None) -> None:
    """Run a local Stripe, with a dashboard, Checkout pages and webhooks.

    Prints the environment variables to export in the terminal of the app, and then
    every webhook. It sells the prices in STRIPE_PRICES, or else 'price_pro', and
    forgets everything when it ends.

    \b
    Example:
        flask stripe sandbox --forward-to http://127.0.0.1:5000/auth/stripe/webhook
    """
    if forward_to is None:
        forward_to = _APP_URL + webhook_path()
    elif "://" not in forward_to:
        forward_to = f"http://{forward_to}"

    prices = dict(get_state().settings.catalogue.names)
    import_string(SERVE)(
        port=port,
        forward_to=forward_to,
        seed=seed,
        prices=prices or {"price_pro": "pro"},
    )
