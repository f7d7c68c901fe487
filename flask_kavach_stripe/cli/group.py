"""The group ``flask stripe``: its commands, and how they report errors.

A command's module is imported when the command is called or listed with its help. So
the start of an app does not wait for any of them.
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

#: By name: the module and the function of each command, below this package. A test
#: compares the table with the modules.
COMMANDS: Final = {
    "catch-up": "catch_up:catch_up_command",
    "doctor": "doctor:doctor_command",
    "events": "events:events_command",
    "forget": "forget:forget_command",
    "link": "link_customers:link_command",
    "prune": "prune:prune_command",
    "replay": "events:replay_command",
    "sandbox": "sandbox:sandbox_command",
    "sync": "sync:sync_command",
    "trigger": "trigger:trigger_command",
    "webhook": "webhook_endpoints:webhook_cli",
    "worker": "worker:worker_command",
}


class StripeGroup(AppGroup):
    """Imports commands late, and prints an error of ours in one line, with status 1.

    Without it, a command would end with a traceback if, for example, Stripe refuses the
    key.
    """

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
        except SQLAlchemyError as error:  # its message may hold a customer's data
            raise click.ClickException(
                f"The database failed ({type(error).__name__}). Run 'flask stripe"
                " doctor'."
            ) from None


stripe_cli: Final = StripeGroup("stripe", help="Look after Stripe subscriptions.")
