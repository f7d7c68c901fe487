"""Servers of a test's own: on a free loopback port, with data in a temporary folder.

``TEST_POSTGRES_URL`` and ``TEST_MARIADB_URL`` name servers to use instead; a new
database is made there and dropped in the end.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy import NullPool
from sqlalchemy import text
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

HOST = "127.0.0.1"

#: Where Debian has programs that are not on everybody's PATH.
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/sbin")

#: Seconds. Far more than it takes, for a machine that is busy.
PATIENCE = 60


class ServerMissing(Exception):
    """A server or its driver is not installed."""

    def skip(self) -> NoReturn:
        """Skip the test, or let it fail if ``REQUIRE_SERVERS`` is set."""
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(str(self))

        pytest.skip(str(self))


class Server:
    """A server that answers."""

    def __init__(self, uri: str, port: int, process: _Process | None = None) -> None:
        self.uri = uri
        self.port = port
        self._process = process

    def restart(self) -> None:
        """Let it crash and start it again: what was committed is still there."""
        self.crash()
        self.start_again()

    def crash(self) -> None:
        """End it without giving it time to write anything."""
        self._own_process.crash()

    def start_again(self) -> None:
        """Start it after a crash."""
        self._own_process.start_again()

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Let it take connections and answer nothing."""
        process = self._own_process
        process.send(signal.SIGSTOP)

        try:
            yield
        finally:
            process.send(signal.SIGCONT)

    @property
    def _own_process(self) -> _Process:
        if self._process is None:
            raise NotImplementedError("only a server of the test's own is restarted")

        return self._process


@contextmanager
def postgresql(folder: Path | None = None) -> Iterator[Server]:
    """PostgreSQL with an empty database.

    :param folder: Where the folder of the data is made. The server's user must be able
        to enter it, which pytest's ``tmp_path`` of root does not allow.
    """
    if given := os.environ.get("TEST_POSTGRES_URL"):
        with _given(given, 5432) as server:
            yield server
        return

    with _process(folder, "postgres", signal.SIGINT) as process:
        # As SIGKILL, and its children end too: they hold the memory that it shares.
        process.crash_signal = signal.SIGQUIT
        process.prepare(
            *("initdb", "-D", "data", "-U", "postgres", "-A", "trust"),
            *("-E", "UTF8", "--no-locale", "--no-sync"),
        )
        process.command = [
            *("postgres", "-D", "data", "-p", str(process.port)),
            *("-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="),
            # What is written survives the server, not the machine.
            *("-c", "fsync=off", "-c", "max_connections=200"),
        ]
        root = URL.create(
            "postgresql+psycopg", "postgres", None, HOST, process.port, "postgres"
        )
        process.start(lambda: _execute(root, "SELECT 1"))
        yield Server(_text(_create_database(root)), process.port, process)


@contextmanager
def mariadb(folder: Path | None = None) -> Iterator[Server]:
    """MariaDB with an empty database, see ``postgresql``."""
    if given := os.environ.get("TEST_MARIADB_URL"):
        with _given(given, 3306) as server:
            yield server
        return

    with _process(folder, "mysql", signal.SIGTERM) as process:
        data = process.folder / "data"
        process.prepare(
            *("mariadb-install-db", "--no-defaults", f"--datadir={data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )
        process.command = [
            *("mariadbd", "--no-defaults", f"--datadir={data}", "--socket=socket"),
            *(f"--bind-address={HOST}", f"--port={process.port}"),
            # Debian's, which --no-defaults leaves out.
            *("--character-set-server=utf8mb4", "--max-connections=200"),
            # What is written survives the server, not the machine.
            "--innodb-flush-log-at-trx-commit=2",
        ]
        root = URL.create("mysql+pymysql", "root", None, HOST, process.port, "mysql")
        process.start(lambda: _execute(root, "SELECT 1"))
        yield Server(_text(_create_database(root)), process.port, process)


@contextmanager
def redis(folder: Path | None = None) -> Iterator[Server]:
    """Redis, empty, see ``postgresql``."""
    with _process(folder, "redis", signal.SIGTERM) as process:
        process.command = [
            *("redis-server", "--bind", HOST, "--port", str(process.port)),
            *("--appendonly", "yes"),
        ]
        process.start(lambda: _redis_ping(process.port))
        yield Server(f"redis://{HOST}:{process.port}/0", process.port, process)


class _Process:
    """A server's process.

    :param user: Who runs it if we are root, as these servers refuse to.
    :param stop_signal: Asks for a clean end even with clients connected.
    """

    command: list[str]
    crash_signal = signal.SIGKILL

    def __init__(self, folder: Path, user: str, stop_signal: signal.Signals) -> None:
        self.port = _free_port()
        self.folder = folder
        self._log = folder / "log"
        self._stop_signal = stop_signal
        self._owner = _owner(user)
        self._popen: subprocess.Popen[bytes] | None = None

        if self._owner:
            shutil.chown(folder, *self._owner)

    def prepare(self, *command: str) -> None:
        """Run a program that makes the data."""
        if self._run(command).wait(PATIENCE):
            raise RuntimeError(self._log.read_text())

    def start(self, ping: Callable[[], None]) -> None:
        """Start the server, and wait until a ping does not raise."""
        self._ping = ping
        self.start_again()

    def start_again(self) -> None:
        self._popen = self._run(self.command)
        deadline = time.monotonic() + PATIENCE

        while True:
            try:
                self._ping()
            except (OSError, DBAPIError):
                if self._popen.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self._log.read_text()) from None

                time.sleep(0.05)
            else:
                return

    def crash(self) -> None:
        self._end(self.crash_signal)

    def send(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def stop(self) -> None:
        self._end(self._stop_signal)

    def _end(self, number: signal.Signals) -> None:
        if self._popen is None:
            return

        self._popen.send_signal(number)

        try:
            self._popen.wait(PATIENCE)
        finally:
            self._popen.kill()
            self._popen.wait()

    def _run(self, command: tuple[str, ...] | list[str]) -> subprocess.Popen[bytes]:
        user, group = self._owner or (None, None)

        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  (a server that was found)
                [_find(command[0]), *command[1:]],
                cwd=self.folder,
                user=user,
                group=group,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C is for the tests
            )


@contextmanager
def _process(
    folder: Path | None, user: str, stop_signal: signal.Signals
) -> Iterator[_Process]:
    """A process that has a folder and will end, yet is not started."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="server-") as made:
        process = _Process(Path(made), user, stop_signal)

        try:
            yield process
        finally:
            process.stop()


def _owner(user: str) -> tuple[int, int] | None:
    """The ids of the user that a package made, or None to stay who we are."""
    if os.geteuid() != 0:
        return None

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ServerMissing(f"no user {user!r}, which its package makes") from None

    return entry.pw_uid, entry.pw_gid


def _find(program: str) -> str:
    folders = [
        os.environ.get("PATH", ""),
        *map(os.pathsep.join, map(glob.glob, FOLDERS)),
    ]
    found = shutil.which(program, path=os.pathsep.join(folders))

    if found is None:
        raise ServerMissing(f"no {program} found on PATH and in {', '.join(FOLDERS)}")

    return found


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        return int(bound.getsockname()[1])


def _create_database(server: URL) -> URL:
    name = f"test_{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name}")
    return server.set(database=name)


@contextmanager
def new_database(uri: str) -> Iterator[str]:
    """A database beside another one, dropped in the end."""
    server = make_url(uri)
    made = _create_database(server)

    try:
        yield _text(made)
    finally:
        _execute(server, f"DROP DATABASE {made.database}")


@contextmanager
def _given(uri: str, default_port: int) -> Iterator[Server]:
    """A server that somebody else runs, with a database of the test's own."""
    with new_database(uri) as made:
        yield Server(made, make_url(made).port or default_port)


def _execute(url: URL, statement: str) -> None:
    try:
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    except ModuleNotFoundError as error:
        raise ServerMissing(str(error)) from None

    with engine.connect() as connection:
        connection.execute(text(statement))


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _redis_ping(port: int) -> None:
    with socket.create_connection((HOST, port), PATIENCE) as connection:
        connection.sendall(b"PING\r\n")

        if not connection.recv(100).startswith(b"+PONG"):
            raise ConnectionError("still loading")
