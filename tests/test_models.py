"""The columns and their types, on every database as SQL shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger
from sqlalchemy import Boolean
from sqlalchemy import create_engine
from sqlalchemy import Engine
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import Integer
from sqlalchemy import literal_column
from sqlalchemy import select
from sqlalchemy import String
from sqlalchemy import Table
from sqlalchemy import Text
from sqlalchemy import text
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.schema import CreateColumn
from sqlalchemy.schema import CreateIndex
from sqlalchemy.schema import CreateTable

from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeSubscriptionMixin
from flask_kavach_stripe import StripeUserMixin


class Base(DeclarativeBase):
    pass


class User(StripeUserMixin, Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


class Subscription(StripeSubscriptionMixin, Base):
    pass


class Event(StripeEventMixin, Base):
    pass


TABLES: dict[str, Table] = dict(Base.metadata.tables)
DIALECTS: dict[str, Callable[[], Dialect]] = {
    "sqlite": sqlite.dialect,
    "postgresql": postgresql.dialect,
    "mysql": mysql.dialect,
    "mariadb": lambda: mysql.dialect(is_mariadb=True),
}

ID = "VARCHAR(255)"
TIME = "TIMESTAMP WITH TIME ZONE"

#: Every column: type on PostgreSQL, and whether it may be null.
COLUMNS = {
    "users": {
        "id": ("SERIAL", False),
        "stripe_customer_id": (ID, True),
        "stripe_subscription_id": (ID, True),
        "stripe_subscription_status": ("VARCHAR(32)", True),
        "stripe_price_id": (ID, True),
        "stripe_current_period_end": (TIME, True),
        "stripe_cancel_at_period_end": ("BOOLEAN", False),
    },
    "stripe_subscription": {
        "id": (ID, False),
        "customer_id": (ID, False),
        "status": ("VARCHAR(32)", False),
        "items": ("TEXT", False),
        "current_period_start": (TIME, True),
        "current_period_end": (TIME, True),
        "cancel_at": (TIME, True),
        "cancel_at_period_end": ("BOOLEAN", False),
        "collection_paused": ("BOOLEAN", False),
        "trial_end": (TIME, True),
        "ended_at": (TIME, True),
        "created": (TIME, True),
        "synced_at": (TIME, True),
        "revision": ("BIGINT", False),
    },
    "stripe_event": {
        "id": (ID, False),
        "type": (ID, False),
        "created": (TIME, True),
        "object_id": (ID, True),
        "customer_id": (ID, True),
        "user_id": (ID, True),
        "livemode": ("BOOLEAN", True),
        "api_version": (ID, True),
        "payload": ("TEXT", False),
        "change": ("TEXT", True),
        "received_at": (TIME, False),
        "processed_at": (TIME, True),
        "attempted_at": (TIME, True),
        "attempts": ("INTEGER", False),
        "error": ("TEXT", True),
    },
}
IDS = [
    "users.stripe_customer_id",
    "users.stripe_subscription_id",
    "users.stripe_price_id",
    "stripe_subscription.id",
    "stripe_subscription.customer_id",
    "stripe_event.id",
    "stripe_event.object_id",
    "stripe_event.customer_id",
]
TIMES = [
    f"{table}.{name}"
    for table, columns in COLUMNS.items()
    for name, (sql_type, _) in columns.items()
    if sql_type == TIME
]
FALSE_BY_DEFAULT = [
    "users.stripe_cancel_at_period_end",
    "stripe_subscription.cancel_at_period_end",
    "stripe_subscription.collection_paused",
]


def column_of(name: str) -> Any:
    table_name, column_name = name.split(".")
    return TABLES[table_name].columns[column_name]


def ddl(name: str, dialect: str) -> str:
    """A column, as a dialect creates it."""
    create = CreateColumn(column_of(name))
    return str(create.compile(dialect=DIALECTS[dialect]()))


@pytest.fixture
def engine() -> Any:
    made = create_engine("sqlite://")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


# -- columns ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_are_those_of_the_contract(name: str) -> None:
    assert set(TABLES[name].columns.keys()) == set(COLUMNS[name])


@pytest.mark.parametrize(
    ("name", "sql_type", "nullable"),
    [
        (f"{table}.{name}", sql_type, nullable)
        for table, columns in COLUMNS.items()
        for name, (sql_type, nullable) in columns.items()
    ],
)
def test_type_and_nullability(name: str, sql_type: str, nullable: bool) -> None:
    column = column_of(name)

    assert ddl(name, "postgresql").startswith(f"{column.name} {sql_type}")
    assert column.nullable is nullable


def test_the_indexes_are_those_of_the_contract() -> None:
    indexes = {
        (index.name, tuple(index.columns.keys()), index.unique)
        for table in TABLES.values()
        for index in table.indexes
    }

    assert indexes == {
        ("ix_users_stripe_customer_id", ("stripe_customer_id",), True),
        ("ix_users_stripe_subscription_id", ("stripe_subscription_id",), False),
        ("ix_stripe_subscription_customer_id", ("customer_id",), False),
        ("ix_stripe_event_customer_id", ("customer_id",), False),
        ("ix_stripe_event_unprocessed", ("processed_at", "received_at"), False),
    }


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_what_is_processed_is_in_no_index_of_times(dialect: str) -> None:
    (index,) = (
        index
        for index in TABLES["stripe_event"].indexes
        if index.name == "ix_stripe_event_unprocessed"
    )
    statement = str(CreateIndex(index).compile(dialect=DIALECTS[dialect]()))

    assert statement.endswith("WHERE processed_at IS NULL")


@pytest.mark.parametrize("name", COLUMNS)
def test_the_primary_key_is_the_id(name: str) -> None:
    assert TABLES[name].primary_key.columns.keys() == ["id"]


@pytest.mark.parametrize("name", FALSE_BY_DEFAULT)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_false_is_a_default_that_every_database_reads(name: str, dialect: str) -> None:
    """PostgreSQL takes ``'0'`` and ``false`` for a boolean, but not ``0``."""
    assert " DEFAULT '0'" in ddl(name, dialect)


def test_old_rows_and_raw_inserts_get_false(engine: Engine) -> None:
    """As after ``ADD COLUMN``, and from programs that know nothing of the mixin."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE old (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO old VALUES (1)"))
        added = ddl("users.stripe_cancel_at_period_end", "sqlite")
        connection.execute(text(f"ALTER TABLE old ADD COLUMN {added}"))
        connection.execute(text("INSERT INTO old (id) VALUES (2)"))
        connection.execute(text("INSERT INTO users (id) VALUES (1)"))

        stored = literal_column("stripe_cancel_at_period_end", Integer)

        for name in ("old", "users"):
            rows = connection.execute(
                select(stored, func.typeof(stored), func.count())
                .select_from(text(name))
                .where(text("NOT stripe_cancel_at_period_end"))
                .group_by(stored)
            ).all()
            assert rows == [(0, "integer", 2 if name == "old" else 1)]

        assert connection.scalars(select(User.stripe_cancel_at_period_end)).all() == [
            False
        ]


def test_a_new_user_has_false_before_the_database_says_so(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(User), [{"id": 1}])
        row = connection.execute(
            text("SELECT stripe_cancel_at_period_end FROM users")
        ).one()

    assert row == (0,)


def test_one_customer_has_one_user(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(User), [{"id": 1}, {"id": 2}])  # null twice: fine
        connection.execute(insert(User), [{"id": 3, "stripe_customer_id": "cus_1"}])

        with pytest.raises(IntegrityError):
            connection.execute(insert(User), [{"id": 4, "stripe_customer_id": "cus_1"}])


# -- ids -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_ids_know_upper_from_lower_case(name: str, dialect: str) -> None:
    assert "VARCHAR(255) COLLATE utf8mb4_bin" in ddl(name, dialect)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_ids_need_no_collation_elsewhere(name: str, dialect: str) -> None:
    assert "COLLATE" not in ddl(name, dialect)


def test_ids_that_differ_in_case_are_two_ids(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(User),
            [
                {"id": 1, "stripe_customer_id": "cus_a"},
                {"id": 2, "stripe_customer_id": "cus_A"},
            ],
        )
        found = connection.scalars(
            select(User.id).where(User.stripe_customer_id == "cus_A")
        ).all()

    assert found == [2]


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_a_payload_of_a_mebibyte_fits(dialect: str) -> None:
    """MySQL's plain TEXT ends at 64 KiB."""
    assert ddl("stripe_event.payload", dialect).startswith("payload MEDIUMTEXT ")


# -- times -----------------------------------------------------------------------------

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(NOON, id="UTC"),
        pytest.param(NOON.replace(tzinfo=None), id="naive"),
        pytest.param(
            NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), id="east"
        ),
        pytest.param(NOON.astimezone(ZoneInfo("America/New_York")), id="west"),
    ],
)
def test_a_time_comes_back_in_utc(engine: Engine, given: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(User), [{"id": 1, "stripe_current_period_end": given}]
        )
        found = connection.scalar(select(User.stripe_current_period_end))

    assert found == NOON
    assert found is not None and found.tzinfo is UTC


def test_no_time_comes_back_as_none(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(User), [{"id": 1, "stripe_current_period_end": None}])

        assert connection.scalar(select(User.stripe_current_period_end)) is None


def test_times_are_compared_as_times(engine: Engine) -> None:
    """Also in the database, where SQLite compares texts."""
    with engine.begin() as connection:
        connection.execute(
            insert(User),
            [
                {"id": 1, "stripe_current_period_end": NOON},
                {"id": 2, "stripe_current_period_end": NOON + timedelta(hours=1)},
            ],
        )
        # 12:30 in UTC, though its text says 07:30
        limit = datetime(2026, 11, 23, 7, 30, tzinfo=ZoneInfo("America/New_York"))
        found = connection.scalars(
            select(User.id).where(User.stripe_current_period_end > limit)
        ).all()

    assert found == [2]


@pytest.mark.parametrize("name", TIMES)
def test_a_time_that_a_driver_gives_is_made_utc(name: str) -> None:
    """Drivers of PostgreSQL give times in the zone of the session, those of MySQL
    give naive ones.
    """
    process = column_of(name).type.process_result_value
    tokyo = NOON.astimezone(ZoneInfo("Asia/Tokyo"))

    for given in (NOON, NOON.replace(tzinfo=None), tokyo):
        assert process(given, sqlite.dialect()).isoformat() == NOON.isoformat()


@pytest.mark.parametrize(
    ("dialect", "sql_type"),
    [
        ("sqlite", "DATETIME"),
        ("postgresql", "TIMESTAMP WITH TIME ZONE"),
        ("mysql", "DATETIME"),
        ("mariadb", "DATETIME"),
    ],
)
def test_a_time_is_a_timestamp_of_the_database(dialect: str, sql_type: str) -> None:
    name = "users.stripe_current_period_end"

    assert ddl(name, dialect) == f"stripe_current_period_end {sql_type}"


# -- what Alembic writes ---------------------------------------------------------------


def render(dialect: str) -> str:
    """The migration that is generated on a database that has none of the tables."""
    context = MigrationContext.configure(dialect_name=dialect)
    tables = [ops.CreateTableOp.from_table(table) for table in TABLES.values()]
    return render_python_code(
        ops.UpgradeOps(ops=tables), migration_context=context, render_as_batch=True
    )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_migration_is_the_same_wherever_it_is_generated(dialect: str) -> None:
    assert render(dialect) == render("sqlite")


def test_a_migration_imports_sqlalchemy_alone() -> None:
    script = render("sqlite")

    assert "kavach" not in script
    assert "UTCDateTime" not in script
    assert "sqlalchemy." not in script
    assert "mysql.MEDIUMTEXT(collation=" in script  # Alembic imports it by itself
    assert "sa.DateTime(timezone=True)" in script


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_tables_can_be_created(dialect: str) -> None:
    for table in TABLES.values():
        assert str(CreateTable(table).compile(dialect=DIALECTS[dialect]()))


def test_types_are_plain_ones() -> None:
    """What reflection and other tools know; only times are wrapped."""
    for table in TABLES.values():
        for column in table.columns:
            if f"{table.name}.{column.name}" not in TIMES:
                assert type(column.type) in (BigInteger, Boolean, Integer, String, Text)
