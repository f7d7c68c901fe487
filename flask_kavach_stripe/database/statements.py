"""Rows to write, collected first and then sent in as few round trips as possible.

Each table has one statement to insert a whole row and one to update it: to build a
statement takes longer than to run it, and a column that stays as it is costs nothing.
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

#: The parameter that finds a row; no column of ours has this name.
_KEY: Final = "key"


class Write(NamedTuple):
    """One row to insert or to update."""

    mapper: Mapper[Any]
    statement: Insert | Update
    values: dict[str, Any]


class Table:
    """Makes the writes to one table.

    :param mapper: Says which database it is in.
    :param columns: The columns that are written, by the names they have here.
    :param key: The column by which a row is updated.
    """

    def __init__(
        self, mapper: Mapper[Any], columns: Mapping[str, Any], key: Any
    ) -> None:
        table = key.table
        self._mapper = mapper
        # Unlike the names in any other table: statements are sent together.
        self._prefix: Final = f"{table.name}__"
        values: dict[Any, Any] = {
            column: bindparam(self._prefix + name) for name, column in columns.items()
        }
        self._insert = insert(table).values(values)
        by_key = key == bindparam(self._prefix + _KEY)
        self._update = update(table).where(by_key).values(values)

    def insert(self, row: Mapping[str, Any]) -> Write:
        """Write a new row.

        :param row: The values of all columns, by name.
        """
        return Write(self._mapper, self._insert, self._parameters(row))

    def update(self, key: Any, row: Mapping[str, Any]) -> Write:
        """Rewrite a row.

        :param row: The values of all columns, by name.
        """
        parameters = self._parameters({**row, _KEY: key})
        return Write(self._mapper, self._update, parameters)

    def _parameters(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {self._prefix + name: value for name, value in row.items()}


class Sender:
    """Sends writes.

    PostgreSQL takes writes to different tables in one statement. That is not possible
    if SQLAlchemy computes a column's value, as for ``default=make_token``.
    """

    def __init__(self) -> None:
        #: ``None`` for those that have to be sent one by one. There are as many as
        #: there are ways to choose among the two statements of three tables.
        self._combined: dict[tuple[Insert | Update, ...], Insert | Update | None] = {}

    def send(self, session: Session, writes: Iterable[Write]) -> None:
        """Run the statements in the session's transaction, in any order."""
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
        statements = tuple(write.statement for write in writes)

        if connection.dialect.name != "postgresql":
            return None

        if len({statement.table for statement in statements}) < len(statements):
            return None

        if statements not in self._combined:
            is_possible = not any(_computes(connection, write) for write in writes)
            self._combined[statements] = _join(statements) if is_possible else None

        return self._combined[statements]


def _computes(connection: Connection, write: Write) -> bool:
    """Whether there are columns that SQLAlchemy itself finds the values of.

    It does so for a statement's own table, not for those of the statements within.
    """
    compiled: Any = write.statement.compile(
        dialect=connection.dialect, column_keys=list(write.values)
    )
    return bool(compiled.prefetch)


def _join(statements: tuple[Insert | Update, ...]) -> Insert | Update:
    *first, last = statements
    parts = [part.cte(f"write_{number}") for number, part in enumerate(first)]
    return last.add_cte(*parts)
