"""``flask db ...`` on an app whose users table has rows before the extension comes.

The commands are the real ones, in processes of their own.
"""

from __future__ import annotations

import io
import os
import re
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

ROOT = Path(__file__).parent.parent

#: The app, before and after the extension was added. Before, it cannot be imported.
APP = """
import os
import sys

STAGE = os.environ["STAGE"]

if STAGE == "before":
    sys.modules["flask_kavach_stripe"] = None

from flask import Flask
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy import ForeignKey
from sqlalchemy import MetaData
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

app = Flask(__name__)
app.config.update(
    SECRET_KEY="secret of the tests",
    SQLALCHEMY_DATABASE_URI="sqlite:///" + os.path.abspath("shop.db"),
    STRIPE_SECRET_KEY="sk_test_of_the_tests",
    STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
)
metadata = MetaData(naming_convention=NAMING_CONVENTION if {convention} else None)
db = SQLAlchemy(app, metadata=metadata)
LoginManager(app)
Migrate(app, db, compare_server_default={convention})

if STAGE == "before":
    class StripeUserMixin:
        pass
else:
    from flask_kavach_stripe import KavachStripe
    from flask_kavach_stripe import StripeUserMixin


@event.listens_for(Engine, "connect")
def enforce_foreign_keys(connection, record):
    if "FOREIGN_KEYS" in os.environ:
        connection.execute("PRAGMA foreign_keys = ON")


class User(StripeUserMixin, db.Model):
    __tablename__ = "{users}"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)


class Post(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(
        ForeignKey("{users}.id", ondelete="CASCADE")
    )


if STAGE == "after":
    KavachStripe(app)
"""
RUN = """
import sys
from flask.cli import cli

for command in sys.argv[1:]:
    cli.main(["--app", "shop", *command.split()], "flask", standalone_mode=False)
"""
ADDED_COLUMNS = [
    "stripe_customer_id",
    "stripe_subscription_id",
    "stripe_subscription_status",
    "stripe_price_id",
    "stripe_current_period_end",
    "stripe_cancel_at_period_end",
]
EMAILS = ["ada@example.com", "bob@example.com", "zoë@example.com"]


class Project:
    """A folder with an app, its migrations and its database."""

    def __init__(self, folder: Path, *, users: str, convention: bool) -> None:
        self.folder = folder
        self.users = users
        self.convention = convention
        source = APP.replace("{users}", users).replace("{convention}", str(convention))
        (folder / "shop.py").write_text(source, "utf-8")

    def flask(self, *commands: str, stage: str, **variables: str) -> str:
        """Run ``flask`` commands as in a terminal, and give what they wrote.

        One process for all of them: each would spend its time on imports.
        """
        done = subprocess.run(  # noqa: S603  # our own words
            [sys.executable, "-c", RUN, *commands],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "STAGE": stage,
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def migrations(self) -> list[Path]:
        """The generated files, oldest first."""
        return sorted(
            (self.folder / "migrations" / "versions").glob("*.py"),
            key=lambda path: path.stat().st_mtime_ns,
        )

    def connect(self, name: str = "shop.db") -> sqlite3.Connection:
        return sqlite3.connect(self.folder / name)

    def keep(self, name: str) -> None:
        """Keep the database as it is now."""
        shutil.copy(self.folder / "shop.db", self.folder / name)


def walk(project: Project) -> None:
    """The whole way: up, up again, and down."""
    project.flask("db init", "db migrate -m users", "db upgrade", stage="before")

    with closing(project.connect()) as connection, connection:
        for number, email in enumerate(EMAILS, 1):
            connection.execute(
                f'INSERT INTO "{project.users}" (id, email) VALUES (?, ?)',  # noqa: S608  # our own name
                (number, email),
            )
            connection.execute("INSERT INTO post (author_id) VALUES (?)", (number,))

    project.keep("before.db")
    project.flask("db migrate -m stripe", stage="after")
    project.flask("db upgrade", stage="before", FOREIGN_KEYS="1")
    project.keep("upgraded.db")
    output = project.flask("db migrate -m nothing", stage="after")
    (project.folder / "second.txt").write_text(output)
    project.flask("db downgrade", stage="before")
    project.keep("downgraded.db")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Two projects after the whole way, which they go side by side."""
    made = {
        "plain": Project(
            tmp_path_factory.mktemp("plain"), users="users", convention=False
        ),
        # `user` is a reserved word of PostgreSQL.
        "naming convention": Project(
            tmp_path_factory.mktemp("convention"), users="user", convention=True
        ),
    }

    with ThreadPoolExecutor() as pool:
        list(pool.map(walk, made.values()))

    return made


@pytest.fixture(params=["plain", "naming convention"])
def project(request: pytest.FixtureRequest, projects: dict[str, Project]) -> Project:
    return projects[request.param]


@pytest.fixture
def upgraded(project: Project, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The database after the upgrade, to be written to."""
    shutil.copy(project.folder / "upgraded.db", tmp_path)

    with closing(sqlite3.connect(tmp_path / "upgraded.db")) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in rows}


def columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool]]:
    """Type and whether it may be null, by name."""
    rows = connection.execute(f'PRAGMA table_info("{table}")')
    return {name: (sql_type, not notnull) for _, name, sql_type, notnull, *_ in rows}


def schema(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """What the database is made of, without the order of columns and clauses."""
    return {
        table: [
            sorted(columns(connection, table).items()),
            sorted(connection.execute(f'PRAGMA foreign_key_list("{table}")')),
            sorted(
                (name.startswith("sqlite_"), unique)
                for _, name, unique, *_ in connection.execute(
                    f'PRAGMA index_list("{table}")'
                )
            ),
        ]
        for table in tables(connection)
    }


def rows_of(connection: sqlite3.Connection, project: Project) -> list[Any]:
    users = connection.execute(
        f'SELECT id, email FROM "{project.users}" ORDER BY id'  # noqa: S608  # our own name
    ).fetchall()
    posts = connection.execute("SELECT author_id FROM post ORDER BY 1").fetchall()
    return [users, posts]


EXPECTED_ROWS = [list(enumerate(EMAILS, 1)), [(1,), (2,), (3,)]]


# -- up --------------------------------------------------------------------------------


def test_upgrade_keeps_the_rows(project: Project, upgraded: sqlite3.Connection) -> None:
    """With foreign keys enforced, too: a table made anew would take the posts along."""
    assert rows_of(upgraded, project) == EXPECTED_ROWS


def test_upgrade_adds_six_columns_and_two_tables(
    project: Project, upgraded: sqlite3.Connection
) -> None:
    with closing(project.connect("before.db")) as before:
        assert tables(upgraded) - tables(before) == {
            "stripe_event",
            "stripe_subscription",
        }
        new = columns(upgraded, project.users)
        assert list(new)[2:] == ADDED_COLUMNS
        assert columns(before, project.users).items() <= new.items()


def test_columns_of_the_user_after_the_upgrade(
    project: Project, upgraded: sqlite3.Connection
) -> None:
    found = columns(upgraded, project.users)

    assert {name: found[name] for name in ADDED_COLUMNS} == {
        "stripe_customer_id": ("VARCHAR(255)", True),
        "stripe_subscription_id": ("VARCHAR(255)", True),
        "stripe_subscription_status": ("VARCHAR(32)", True),
        "stripe_price_id": ("VARCHAR(255)", True),
        "stripe_current_period_end": ("DATETIME", True),
        "stripe_cancel_at_period_end": ("BOOLEAN", False),
    }


def test_old_users_have_nothing_and_are_not_to_be_canceled(
    project: Project, upgraded: sqlite3.Connection
) -> None:
    names = ", ".join(ADDED_COLUMNS)
    rows = upgraded.execute(f'SELECT {names} FROM "{project.users}"').fetchall()  # noqa: S608  # our own names

    assert rows == [(None, None, None, None, None, 0)] * 3


def test_old_code_can_go_on_adding_users(
    project: Project, upgraded: sqlite3.Connection
) -> None:
    """As in a deployment, while the old release still runs."""
    upgraded.execute(f'INSERT INTO "{project.users}" (email) VALUES (?)', ("new",))  # noqa: S608  # our own name
    row = upgraded.execute(
        f'SELECT stripe_cancel_at_period_end FROM "{project.users}" WHERE email = ?',  # noqa: S608  # our own name
        ("new",),
    ).fetchone()

    assert row == (0,)


def test_a_customer_belongs_to_one_user(
    project: Project, upgraded: sqlite3.Connection
) -> None:
    statement = f'UPDATE "{project.users}" SET stripe_customer_id = ? WHERE id = ?'  # noqa: S608  # our own name
    upgraded.execute(statement, ("cus_a", 1))
    upgraded.execute(statement, ("cus_A", 2))

    with pytest.raises(sqlite3.IntegrityError, match="stripe_customer_id"):
        upgraded.execute(statement, ("cus_a", 3))


@pytest.mark.parametrize(
    ("table", "column", "unique"),
    [
        ("users", "stripe_customer_id", 1),
        ("users", "stripe_subscription_id", 0),
        ("stripe_subscription", "customer_id", 0),
        ("stripe_event", "customer_id", 0),
    ],
)
def test_indexes_after_the_upgrade(
    project: Project,
    upgraded: sqlite3.Connection,
    table: str,
    column: str,
    unique: int,
) -> None:
    table = project.users if table == "users" else table
    indexes = {
        name: found
        for _, name, found, *_ in upgraded.execute(f'PRAGMA index_list("{table}")')
    }
    name = f"ix_{table}_{column}"

    assert indexes[name] == unique
    info = upgraded.execute(f'PRAGMA index_info("{name}")').fetchall()
    assert [found for _, _, found in info] == [column]


def test_a_second_migrate_finds_no_changes(project: Project) -> None:
    output = (project.folder / "second.txt").read_text()

    assert "No changes in schema detected." in output
    assert len(project.migrations) == 2


def test_the_migrated_database_takes_an_event(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All the way through the webhook, and the time comes back in UTC."""
    folder = tmp_path_factory.mktemp("running")
    running = Project(folder, users=project.users, convention=project.convention)
    shutil.copy(project.folder / "upgraded.db", folder / "shop.db")

    with closing(running.connect()) as connection, connection:
        connection.execute(
            f"UPDATE \"{project.users}\" SET stripe_customer_id = 'cus_1' WHERE id = 1"  # noqa: S608  # our own name
        )

    output = running.flask(
        "stripe trigger customer.subscription.created --user 1", stage="after"
    )

    assert re.search(r"stripe_subscription_status +None -> active", output)
    assert re.search(r"stripe_current_period_end +None -> \S+\+00:00", output)


# -- what was generated ----------------------------------------------------------------


def test_the_migration_imports_nothing_of_ours(project: Project) -> None:
    """The fixture's upgrade ran where the package cannot be imported, too."""
    script = project.migrations[1].read_text("utf-8")

    assert "kavach" not in script
    assert "UTCDateTime" not in script
    assert set(re.findall(r"^(?:from|import) .*$", script, re.MULTILINE)) == {
        "from alembic import op",
        "from sqlalchemy.dialects import mysql",
        "import sqlalchemy as sa",
    }


def offline(path: Path, direction: str, dialect: str) -> str:
    """The SQL of a migration for a database that is not here."""
    buffer = io.StringIO()
    context = MigrationContext.configure(
        dialect_name=dialect, opts={"as_sql": True, "output_buffer": buffer}
    )

    with Operations.context(context):
        runpy.run_path(str(path))[direction]()

    return buffer.getvalue()


def added(sql: str, column: str) -> str:
    match = re.search(rf"ADD COLUMN {column} (.+);", sql)
    assert match is not None, sql
    return match[1]


def test_the_migration_on_postgresql(project: Project) -> None:
    sql = offline(project.migrations[1], "upgrade", "postgresql")

    assert (
        added(sql, "stripe_cancel_at_period_end") == "BOOLEAN DEFAULT '0' NOT NULL"
    )  # a number would be refused: "default expression is of type integer"
    assert added(sql, "stripe_current_period_end") == "TIMESTAMP WITH TIME ZONE"
    assert added(sql, "stripe_customer_id") == "VARCHAR(255)"
    assert "received_at TIMESTAMP WITH TIME ZONE NOT NULL" in sql
    assert "payload TEXT NOT NULL" in sql
    assert "revision BIGINT NOT NULL" in sql
    assert "COLLATE" not in sql
    assert sql.count("DEFAULT '0'") == 4  # three booleans and `attempts`


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_the_migration_on_mysql(project: Project, dialect: str) -> None:
    sql = offline(project.migrations[1], "upgrade", dialect)
    binary = "VARCHAR(255) COLLATE utf8mb4_bin"

    assert added(sql, "stripe_cancel_at_period_end") == "BOOL NOT NULL DEFAULT '0'"
    assert added(sql, "stripe_current_period_end") == "DATETIME"
    assert "payload MEDIUMTEXT COLLATE utf8mb4_bin NOT NULL" in sql

    for name in ("stripe_customer_id", "stripe_subscription_id", "stripe_price_id"):
        assert added(sql, name) == binary

    assert sql.count(f"customer_id {binary}") == 3
    assert f"object_id {binary}" in sql
    assert sql.count(f"    id {binary} NOT NULL") == 2


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "mariadb"])
@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_the_migration_compiles_elsewhere(
    project: Project, direction: str, dialect: str
) -> None:
    sql = offline(project.migrations[1], direction, dialect)

    for name in ("stripe_event", "stripe_subscription"):
        assert f"{'CREATE' if direction == 'upgrade' else 'DROP'} TABLE {name}" in sql

    verb = "ADD" if direction == "upgrade" else "DROP"

    for name in ADDED_COLUMNS:
        assert re.search(rf"\b{verb} (COLUMN )?{name}\b", sql)


# -- down ------------------------------------------------------------------------------


def test_downgrade_removes_all_of_it(project: Project) -> None:
    with (
        closing(project.connect("before.db")) as before,
        closing(project.connect("downgraded.db")) as after,
    ):
        assert schema(after) == schema(before)


def test_downgrade_keeps_the_rows(project: Project) -> None:
    with closing(project.connect("downgraded.db")) as after:
        assert rows_of(after, project) == EXPECTED_ROWS
