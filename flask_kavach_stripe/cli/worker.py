"""``flask stripe worker``: handlers in a process of their own, without a broker."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
from flask import current_app
from flask.cli import with_appcontext

from ..backlog import find_due
from ..backlog import try_due
from ..state import get_state
from ..state import State


@click.command("worker")
@click.option(
    "--once", is_flag=True, help="Run what is due now, and end when nothing is."
)
@click.option(
    "--poll",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait where nothing is due.",
)
@with_appcontext
def worker_command(once: bool, poll: float) -> None:
    """Run the handlers of stored events until it is stopped.

    For an app with 'enqueue=leave_to_worker', and for events whose handlers failed: it
    tries these again, less and less often, for three days. Several may run at the same
    time. Ctrl-C and SIGTERM let it finish the event that it is at.

    \b
    Example:
        flask stripe worker
    """
    state = get_state()

    with _set_by_signals() as stop:
        while not stop.is_set():
            event_ids = find_due(state)

            for event_id in event_ids:
                if not stop.is_set():
                    _try(state, event_id)

            if not event_ids:
                if once:
                    break

                stop.wait(poll)


def _try(state: State, event_id: str) -> None:
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # a LocalProxy

    with app.app_context():  # a session of its own, as a request has
        try_due(state, event_id)


@contextmanager
def _set_by_signals() -> Iterator[threading.Event]:
    """Set an event where a signal would end the process."""
    stop = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    previous = {
        number: signal.signal(number, request_stop)
        for number in (signal.SIGINT, signal.SIGTERM)
    }

    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
