"""``flask stripe``: look after the billing of an app from a terminal."""

from .doctor import doctor_command
from .events import events_command
from .events import replay_command
from .group import stripe_cli
from .sandbox import sandbox_command
from .trigger import trigger_command
from .worker import worker_command

for command in (
    doctor_command,
    events_command,
    replay_command,
    sandbox_command,
    trigger_command,
    worker_command,
):
    stripe_cli.add_command(command)

__all__ = ["stripe_cli"]
