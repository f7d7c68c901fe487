"""gunicorn, whose workers can be killed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil

from tests.programs import PATIENCE
from tests.programs import ROOT

HOST = "127.0.0.1"
WORKERS = 2
THREADS = 4


class Gunicorn:
    """A master process and its workers."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self._process = process

    def kill_worker(self, random: Random) -> None:
        """Kill one of the workers, once all run. The master starts another one."""
        deadline = time.monotonic() + PATIENCE

        while len(workers := self._process.children()) < WORKERS:
            assert time.monotonic() < deadline, "gunicorn starts no workers"
            time.sleep(0.02)

        worker = random.choice(workers)
        worker.kill()
        worker.wait(PATIENCE)  # else the dead count among those that run

    @property
    def memory(self) -> int:
        """Bytes of memory that the workers occupy."""
        return sum(worker.memory_info().rss for worker in self._process.children())


@contextmanager
def gunicorn(app: str, log: Path) -> Iterator[Gunicorn]:
    """Serve an app, named as gunicorn wants it.

    :param log: Gets what gunicorn and the app print.
    """
    with socket.create_server((HOST, 0), backlog=128) as bound:
        port = bound.getsockname()[1]
        process = _start(app, log, bound.fileno())

    try:
        yield Gunicorn(port, process)
    finally:
        family = [process, *process.children()]
        process.terminate()
        _, alive = psutil.wait_procs(family, PATIENCE)

        for one in alive:
            one.kill()


def _start(app: str, log: Path, listening: int) -> psutil.Popen:
    with log.open("wb") as output:
        return psutil.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload"),
                "--no-control-socket",  # it would be in the home folder
                *("--worker-class", "gthread"),
                *("--workers", str(WORKERS), "--threads", str(THREADS)),
                *("--bind", f"fd://{listening}", app),
            ],
            cwd=ROOT,
            pass_fds=[listening],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
