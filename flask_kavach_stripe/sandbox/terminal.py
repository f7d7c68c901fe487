"""The sandbox in a terminal, until Ctrl-C: what ``flask stripe sandbox`` runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC

import click

from .local_stripe import Sandbox
from .notifications.delivery import Attempt
from .sandbox_errors import ApiError
from .sandbox_errors import PortInUseError

#: The same in every run, so that it has to be exported once.
WEBHOOK_SECRET = "whsec_sandbox"  # noqa: S105  (made up, and public)


def serve(
    *, port: int, forward_to: str, seed: int | None, prices: Mapping[str, str]
) -> None:
    """Serve a sandbox, print what an app needs to know of it, and every webhook.

    :param port: 0 takes a free one.
    :param forward_to: Where webhooks go.
    :param prices: What is for sale: names by price id.
    :raises click.ClickException: If the port or the URL cannot be used.
    """
    sandbox = Sandbox(seed=seed)

    for price_id, name in prices.items():
        sandbox.create_price(price_id, product_name=name.title())

    try:
        sandbox.create_webhook_endpoint(forward_to, secret=WEBHOOK_SECRET)
        sandbox.start(port=port)
    except (ApiError, PortInUseError) as error:
        raise click.ClickException(str(error)) from None

    sandbox.on_attempt(_print_attempt)
    click.echo(f"The sandbox runs at {sandbox.url}/ until Ctrl-C.")
    click.echo(f"Webhooks go to {forward_to}")
    click.echo(f"Prices: {', '.join(prices)}")
    click.echo()
    click.echo(f"export STRIPE_SECRET_KEY={sandbox.api_key}")
    click.echo(f"export STRIPE_WEBHOOK_SECRET={WEBHOOK_SECRET}")
    click.echo(f"export STRIPE_API_BASE={sandbox.url}")
    click.echo()
    click.echo(
        "The app reads the last one only if its configuration does:\n"
        'app.config["STRIPE_API_BASE"] = os.environ["STRIPE_API_BASE"]\n'
    )

    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo()
    finally:
        sandbox.stop()


def _print_attempt(attempt: Attempt) -> None:
    """Print time, event and answer of a webhook, in one line."""
    time = datetime.fromtimestamp(attempt.at, UTC)
    answer = attempt.error if attempt.status is None else attempt.status
    fault = f" (fault: {attempt.fault})" if attempt.fault else ""
    click.echo(
        f"{time:%Y-%m-%d %H:%M:%S}  {attempt.event_type} [{attempt.event_id}]"
        f" -> {answer}{fault}"
    )
