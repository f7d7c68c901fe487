"""``flask stripe worker``: run handlers in a process of their own, without a broker.

The ledger is the queue: a worker polls it for events that are due, and locks one event
at a time. Several workers may run beside each other.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from queue import Empty
from queue import SimpleQueue
from types import FrameType
from typing import Final

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from ..events.retry import find_due
from ..events.retry import try_due
from ..state import get_state
from ..state import State

logger: Final = logging.getLogger(__name__)

#: The longest pause after a failure of the database, in seconds. The first pause is 1
#: second, and each further one is twice as long.
MAX_PAUSE: Final = 30


class Stop:
    """The request to end the worker, which a signal handler makes.

    Not a :class:`threading.Event`: its lock is not reentrant, so a signal that arrives
    while the lock is held would wait for itself. ``SimpleQueue.put`` is reentrant.
    Source: https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put
    """

    def __init__(self) -> None:
        self.is_requested: bool = False
        self._requests: SimpleQueue[None] = SimpleQueue()

    def request(self) -> None:
        """End the worker after the present event, and wake it if it waits."""
        self.is_requested = True
        self._requests.put(None)

    def wait(self, seconds: float) -> None:
        """Wait for some seconds, or until the end is requested."""
        with suppress(Empty):
            self._requests.get(timeout=seconds)


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

    For an app with 'enqueue=leave_to_worker', and for events that failed: it tries
    these again, less and less often, for three days. Several may run at the same time.
    Ctrl-C and SIGTERM let it finish the event that it is at; a second Ctrl-C does not.
    If the database goes away, it waits until it is back.

    \b
    Example:
        flask stripe worker
    """
    state = get_state()
    find_due(state)  # a database that is wrong from the beginning ends the command

    with _stopped_by_signals() as stop:
        click.echo("Waiting for events. Ctrl-C ends it.", err=True)
        failures = 0

        while not stop.is_requested:
            try:
                has_tried = _try_all(state, stop)
            except SQLAlchemyError as error:
                if once:
                    raise

                failures += 1
                _wait_for_database(stop, error, failures)
                continue

            failures = 0

            if has_tried:
                continue

            if once:
                break

            stop.wait(poll)


def _try_all(state: State, stop: Stop) -> bool:
    """Try each event that is due now.

    :return: Whether this worker tried any of them. If other workers had them all, or
        none is due, it is time to wait.
    """
    has_tried = False

    for event_id in find_due(state):
        if stop.is_requested:
            break

        has_tried |= _try(state, event_id)

    return has_tried


def _try(state: State, event_id: str) -> bool:
    with current_app.app_context():  # a session of its own, as a request has
        return try_due(state, event_id)


def _wait_for_database(stop: Stop, error: SQLAlchemyError, failures: int) -> None:
    """Log the failure, and wait, the longer the more failures came in a row.

    :param failures: The number of failures in a row, from 1.
    """
    pause = min(2 ** (failures - 1), MAX_PAUSE)
    logger.error(  # without the error's message, which may hold a customer's data
        "The database failed (%s). The worker goes on in %s s.",
        type(error).__name__,
        pause,
    )
    stop.wait(pause)


@contextmanager
def _stopped_by_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a request to stop, within the block.

    After the first signal, SIGINT is Python's own again: a second Ctrl-C raises
    :exc:`KeyboardInterrupt` in the middle of the work.
    """
    stop = Stop()
    previous = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }

    def request_stop(number: int, frame: FrameType | None) -> None:
        stop.request()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the next ends it

    for number in previous:
        signal.signal(number, request_stop)

    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
