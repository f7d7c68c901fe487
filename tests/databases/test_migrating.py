"""``flask db ...`` on a users table with rows: generated on one database, run on all.

The commands are the real ones, in processes of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy import create_engine
from sqlalchemy import inspect
from sqlalchemy import NullPool
from sqlalchemy import text

from tests import servers
from tests.databases.deliveries import Database

pytestmark = [
    pytest.mark.slow,
    pytest.mark.databases("sqlite", "postgresql", "mariadb"),
]

ROOT = Path(__file__).parent.parent.parent

#: The app, before and after the extension was added.
APP = """
import os

from flask import Flask
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

app = Flask(__name__)
app.config.update(
    SECRET_KEY="secret of the tests",
    SQLALCHEMY_DATABASE_URI=os.environ["DATABASE"],
    STRIPE_SECRET_KEY="sk_test_of_the_tests",
    STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
)
db = SQLAlchemy(app)
LoginManager(app)
Migrate(app, db, compare_type=True, compare_server_default=True)
mixins = []

if os.environ["STAGE"] == "after":
    from flask_kavach_stripe import KavachStripe, StripeUserMixin

    mixins.append(StripeUserMixin)


class User(*mixins, db.Model):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)


if mixins:
    KavachStripe(app)
"""
RUN = """
import sys
from flask.cli import cli

for command in sys.argv[1:]:
    cli.main(["--app", "shop", *command.split()], "flask", standalone_mode=False)
"""
USERS = [(1, "ada@example.com"), (2, "zoë@example.com")]


class Project:
    """A folder with the app and its migrations."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self._uri = uri

    def flask(self, *commands: str, stage: str) -> str:
        """Run ``flask`` commands as in a terminal, and give what they wrote."""
        done = subprocess.run(  # noqa: S603  # our own words
            [sys.executable, "-c", RUN, *commands],
            cwd=self.folder,
            env={
                **os.environ,
                "DATABASE": self._uri,
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": str(ROOT),
                "STAGE": stage,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with create_engine(self._uri, poolclass=NullPool).begin() as connection:
            yield connection


@contextmanager
def empty_database(uri: str, folder: Path) -> Iterator[str]:
    if uri.startswith("sqlite"):
        yield f"sqlite:///{folder / 'shop.db'}"
        return

    with servers.new_database(uri) as made:
        yield made


@pytest.fixture(scope="session")
def migrations(
    uris: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of the migrations that were generated on a database."""
    found: dict[str, Path] = {}

    def generate(name: str) -> Path:
        folder = tmp_path_factory.mktemp(f"generated-on-{name}")
        (folder / "shop.py").write_text(APP)

        with empty_database(uris(name), folder) as uri:
            project = Project(folder, uri)
            steps = ("db init", "db migrate --rev-id users", "db upgrade")
            project.flask(*steps, stage="before")
            add_users(project)
            project.flask("db migrate --rev-id stripe", stage="after")

        return folder

    def migrations(name: str) -> Path:
        if name not in found:
            found[name] = generate(name)

        return found[name]

    return migrations


@pytest.fixture
def project(
    request: pytest.FixtureRequest,
    database: Database,
    migrations: Callable[[str], Path],
    tmp_path: Path,
) -> Iterator[Project]:
    """Migrations of one database, to be run on another one, that has users."""
    generated_on: str = request.param
    folder = tmp_path / "project"
    shutil.copytree(migrations(generated_on), folder)
    (folder / "shop.db").unlink(missing_ok=True)

    with empty_database(database.uri, folder) as uri:
        project = Project(folder, uri)
        project.flask("db upgrade users", stage="before")
        add_users(project)
        yield project


def add_users(project: Project) -> None:
    with project.connect() as connection:
        for id_, email in USERS:
            connection.execute(
                text("INSERT INTO users (id, email) VALUES (:id, :email)"),
                {"id": id_, "email": email},
            )


def rows(project: Project, columns: str) -> list[tuple[object, ...]]:
    with project.connect() as connection:
        found = connection.execute(text(f"SELECT {columns} FROM users ORDER BY id"))  # noqa: S608  # our own names
        return [tuple(row) for row in found]


@pytest.mark.parametrize(
    "project",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.servers),
        pytest.param("mariadb", marks=pytest.mark.servers),
    ],
    indirect=True,
)
def test_migration_of_one_database_runs_on_another(project: Project) -> None:
    output = project.flask("db upgrade", "db check", stage="after")
    assert "No new upgrade operations detected" in output

    with project.connect() as connection:
        link = "UPDATE users SET stripe_customer_id = 'cus_ada' WHERE id = 1"
        connection.execute(text(link))

    project.flask(
        "stripe trigger customer.subscription.created --user 1", stage="after"
    )
    columns = "email, stripe_subscription_status, stripe_cancel_at_period_end"
    assert rows(project, columns) == [
        ("ada@example.com", "active", False),
        ("zoë@example.com", None, False),
    ]

    project.flask("db downgrade", stage="before")
    assert rows(project, "id, email") == USERS

    with project.connect() as connection:
        inspector = inspect(connection)
        assert set(inspector.get_table_names()) == {"alembic_version", "users"}
        assert {each["name"] for each in inspector.get_columns("users")} == {
            "id",
            "email",
        }
