"""Programs that run beside a test, as a person starts them in a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Seconds. Far more than it takes, for a machine that is busy.
PATIENCE = 60


class Program:
    """A Python program that was started, and what it prints."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._printed = ""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(  # noqa: S603  (a program of ours)
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**_clean_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Always reading, as a full pipe would make the program wait.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None

        with self._process.stdout as lines:
            for line in lines:
                with self._changed:
                    self._printed += line
                    self._changed.notify_all()

        with self._changed:
            self._process.wait()
            self._changed.notify_all()

    @property
    def printed(self) -> str:
        with self._changed:
            return self._printed

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, pattern: str) -> str:
        """Wait until the program prints something, and give the first group of it."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self._printed)

        with self._changed:
            self._changed.wait_for(
                lambda: found() or self._process.poll() is not None, PATIENCE
            )
            match = found()
            assert match, f"{pattern!r} was not printed, but:\n{self._printed}"
            return match[1]

    def wait(self) -> int:
        """Wait for the end, and give the exit status."""
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that asks it to end, and give the exit status."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """End it if it has not ended."""
        self._process.kill()
        self.wait()


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Program]:
    """Start a Python program in the top folder of the sources.

    :param environment: Added to ours, which has none of the keys for Flask and Stripe.
    """
    program = Program(list(arguments), environment)

    try:
        yield program
    finally:
        program.kill()


def _clean_environment() -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FLASK_", "STRIPE_", "PRICE_"))
    }
    return {**kept, "PYTHONUNBUFFERED": "1"}
