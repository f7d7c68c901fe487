"""The group of commands: which there are, and how they fail.

A command's module is imported when the command is asked for, so that the start of an
app waits for none of them.
"""

from __future__ import annotations

from typing import Any
from typing import Final

import click
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.utils import import_string

from ..errors import KavachStripeError
from ..operations.explanations import explain

#: Where each command is, below this package. A test holds the table to the modules.
COMMANDS: Final = {
    "catch-up": "catch_up:catch_up_command",
    "doctor": "doctor:doctor_command",
    "events": "events:events_command",
    "prune": "prune:prune_command",
    "replay": "events:replay_command",
    "sandbox": "sandbox:sandbox_command",
    "sync": "sync:sync_command",
    "trigger": "trigger:trigger_command",
    "webhook": "webhook_endpoints:webhook_cli",
    "worker": "worker:worker_command",
}


class StripeGroup(AppGroup):
    """Commands whose errors are one sentence that says what to do, and status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)

        command: click.Command = import_string(f"{__package__}.{COMMANDS[cmd_name]}")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KavachStripeError as error:
            raise click.ClickException(explain(error)) from None
        except SQLAlchemyError as error:  # its text may have a customer's data
            raise click.ClickException(
                f"The database failed ({type(error).__name__}). Run 'flask stripe"
                " doctor'."
            ) from None


stripe_cli: Final = StripeGroup("stripe", help="Look after Stripe subscriptions.")
