"""Rows to write, collected first and then sent in as few round trips as possible.

The other modules of this folder make a :class:`Write` for each row that is new or has
changed. ``events.store`` collects them and gives them to a :class:`Sender` before it
commits.

Each table has one statement to insert a whole row and one to update a whole row.
Building a statement takes longer than running it, so both are built once. To write a
column that has not changed costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import bindparam
from sqlalchemy import Connection
from sqlalchemy import Insert
from sqlalchemy import insert
from sqlalchemy import MetaData
from sqlalchemy import Update
from sqlalchemy import update
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session

from .transactions import connection_to

#: The parameter for the key of the row to update. None of our columns has this name.
_KEY: Final = "key"


class Write(NamedTuple):
    """One row to insert or to update: nothing is sent yet."""

    #: The model, by which SQLAlchemy knows the database.
    mapper: Mapper[Any]
    statement: Insert | Update
    #: The parameters of the statement.
    values: dict[str, Any]


class Table:
    """Makes the :class:`Write` of a row of one table.

    :param mapper: The model, by which SQLAlchemy knows the database.
    :param columns: The columns to write, by the name of our attribute. In the app's
        table they may have other names.
    :param key: The column that identifies the row to update.
    """

    def __init__(
        self, mapper: Mapper[Any], columns: Mapping[str, Any], key: Any
    ) -> None:
        table = key.table
        self._mapper = mapper
        # Statements of several tables are sent as one, so no two tables may have a
        # parameter with the same name.
        self._prefix: Final = f"{table.name}__"
        values: dict[Any, Any] = {
            column: bindparam(self._prefix + name) for name, column in columns.items()
        }
        self._insert = insert(table).values(values)
        by_key = key == bindparam(self._prefix + _KEY)
        self._update = update(table).where(by_key).values(values)

    def insert(self, row: Mapping[str, Any]) -> Write:
        """Return the write of a new row.

        :param row: The values of all columns, by the names in ``columns``.
        """
        return Write(self._mapper, self._insert, self._parameters(row))

    def update(self, key: Any, row: Mapping[str, Any]) -> Write:
        """Return the write that replaces all columns of a row.

        :param key: The key of the row.
        :param row: The values of all columns, by the names in ``columns``.
        """
        parameters = self._parameters({**row, _KEY: key})
        return Write(self._mapper, self._update, parameters)

    def _parameters(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {self._prefix + name: value for name, value in row.items()}


class Sender:
    """Sends writes to the database, each app with one sender of its own.

    PostgreSQL takes writes to different tables in one statement, which saves round
    trips while a lock is held. That is not possible if SQLAlchemy computes the value of
    a column in Python, as for ``default=make_token``.

    Source: https://www.postgresql.org/docs/current/queries-with.html
    """

    def __init__(self) -> None:
        #: The one statement for several; ``None`` if they have to be sent one by one.
        #: It stays small: there are only two statements for each of three tables.
        self._combined: dict[tuple[Insert | Update, ...], Insert | Update | None] = {}

    def send(self, session: Session, writes: Iterable[Write]) -> None:
        """Send all writes in the session's transaction. Does not commit.

        Their order is not kept: PostgreSQL runs the parts of one statement in any
        order.

        :raises IntegrityError: If another transaction inserted one of the rows.
        """
        by_database: dict[MetaData, list[Write]] = {}

        for write in writes:
            table: Any = write.statement.table
            by_database.setdefault(table.metadata, []).append(write)

        for group in by_database.values():
            connection = connection_to(session, group[0].mapper)
            combined = self._combine(connection, group)

            if combined is None:
                for write in group:
                    connection.execute(write.statement, write.values)
            else:
                values: dict[str, Any] = {}

                for write in group:
                    values |= write.values

                connection.execute(combined, values)

    def _combine(
        self, connection: Connection, writes: list[Write]
    ) -> Insert | Update | None:
        """Return one statement for several writes to one database.

        :return: ``None`` if the database cannot take them in one, two writes are for
            the same table, or SQLAlchemy computes a value.
        """
        statements = tuple(write.statement for write in writes)

        if connection.dialect.name != "postgresql":
            return None

        if len({statement.table for statement in statements}) < len(statements):
            return None

        if statements not in self._combined:
            is_possible = not any(
                _computes_values(connection, write) for write in writes
            )
            self._combined[statements] = _merge(statements) if is_possible else None

        return self._combined[statements]


def _computes_values(connection: Connection, write: Write) -> bool:
    """Whether SQLAlchemy computes the value of a column before it sends the write.

    It computes values only for the outermost statement. In a combined statement, the
    columns of the others would stay empty.
    """
    compiled: Any = write.statement.compile(
        dialect=connection.dialect, column_keys=list(write.values)
    )
    return bool(compiled.prefetch)


def _merge(statements: tuple[Insert | Update, ...]) -> Insert | Update:
    """Make the last statement the main one, and each other one a CTE of it."""
    *first, last = statements
    parts = [part.cte(f"write_{number}") for number, part in enumerate(first)]
    return last.add_cte(*parts)
