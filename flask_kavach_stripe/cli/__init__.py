"""``flask stripe``: look after the billing of an app from a terminal."""

from .catch_up import catch_up_command
from .doctor import doctor_command
from .events import events_command
from .events import replay_command
from .group import stripe_cli
from .prune import prune_command
from .sandbox import sandbox_command
from .sync import sync_command
from .trigger import trigger_command
from .webhook_endpoints import webhook_cli
from .worker import worker_command

for _command in (
    catch_up_command,
    doctor_command,
    events_command,
    prune_command,
    replay_command,
    sandbox_command,
    sync_command,
    trigger_command,
    webhook_cli,
    worker_command,
):
    stripe_cli.add_command(_command)

__all__ = ["stripe_cli"]
