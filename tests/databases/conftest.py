"""An app on each database: SQLite with and without WAL, PostgreSQL, MariaDB."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.conftest import Shop
from tests.databases.deliveries import Database
from tests.databases.deliveries import ISOLATION_LEVELS
from tests.databases.deliveries import Processes
from tests.databases.deliveries import start_processes

#: With what each name of a database begins.
SERVERS = {"postgresql": servers.postgresql, "mariadb": servers.mariadb}

Uris = Callable[[str], str]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``database`` on each one, or on those that its marker
    ``databases`` names, with a ``*`` for any isolation level."""
    if "database" not in metafunc.fixturenames:
        return

    marker = metafunc.definition.get_closest_marker("databases")
    wanted = ("*",) if marker is None else marker.args
    metafunc.parametrize(
        "database",
        [
            pytest.param(name, marks=_marks(name))
            for name in ISOLATION_LEVELS
            if any(fnmatchcase(name, pattern) for pattern in wanted)
        ],
        indirect=True,
        scope="session",
    )


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.servers] if name.startswith(tuple(SERVERS)) else []


@pytest.fixture(scope="session")
def uris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uris]:
    """Where a database is; its server is started when it is asked for first."""
    found: dict[str, str] = {}

    with ExitStack() as stack:

        def uri(name: str) -> str:
            if name not in found:
                found[name] = make(name)

            return found[name]

        def make(name: str) -> str:
            if name in SERVERS:
                try:
                    return stack.enter_context(SERVERS[name]()).uri
                except servers.ServerMissing as missing:
                    missing.skip()

            return _sqlite_file(tmp_path_factory.mktemp(name) / "shop.db", name)

        yield uri


def _sqlite_file(path: Path, name: str) -> str:
    if name == "sqlite-wal":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # it stays so

    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest, uris: Uris) -> Database:
    name: str = request.param
    server = name.split("-")[0]
    return Database(name, uris(server if server in SERVERS else name))


@pytest.fixture(scope="session")
def kept_shops() -> Iterator[dict[Database, Shop]]:
    shops: dict[Database, Shop] = {}
    yield shops

    for shop in shops.values():
        shop.close()


@pytest.fixture
def shop(database: Database, kept_shops: dict[Database, Shop]) -> Shop:
    """An app with one user, Ada, who has a customer."""
    if database not in kept_shops:
        kept_shops[database] = database.make_shop()

    shop = kept_shops[database]
    shop.reset()
    shop.add_user(id=1, email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


@pytest.fixture
def make_shop(database: Database) -> Iterator[Callable[..., Shop]]:
    """Make apps with a configuration of their own. The tables are empty."""
    shops: list[Shop] = []

    def make(**config: Any) -> Shop:
        shops.append(database.make_shop(**config))
        shops[-1].reset()
        return shops[-1]

    yield make

    for shop in shops:
        shop.dispose()


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    with start_processes() as started:
        yield started
