"""Rows to write, collected first and then sent in as few round trips as possible.

Statements are built once for each set of columns: to build one takes longer than to run
it.
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

#: The parameter by which a row is found; no column of ours has this name.
_KEY: Final = "key"


class Write(NamedTuple):
    """One row to insert or to update."""

    mapper: Mapper[Any]
    statement: Insert | Update
    values: dict[str, Any]


class Table:
    """Makes the writes to one table.

    :param mapper: Tells which database it is in.
    :param columns: The table's columns by the names that are used for them here.
    :param key: The column by which a row is updated.
    """

    def __init__(
        self, mapper: Mapper[Any], columns: Mapping[str, Any], key: Any
    ) -> None:
        self._mapper = mapper
        self._columns = columns
        self._key = key
        # Unlike those of any other table: statements are sent together.
        self._parameters = {
            name: f"{key.table.name}__{name}" for name in (*columns, _KEY)
        }
        self._inserts: dict[tuple[str, ...], Insert] = {}
        self._updates: dict[tuple[str, ...], Update] = {}

    def insert(self, values: Mapping[str, Any]) -> Write:
        """Write a new row."""
        names = tuple(values)
        statement = self._inserts.get(names)

        if statement is None:
            statement = insert(self._key.table).values(self._bind(names))
            self._inserts[names] = statement

        return Write(self._mapper, statement, self._name(values))

    def update(self, key: Any, values: Mapping[str, Any]) -> Write:
        """Write some columns of a row."""
        names = tuple(values)
        statement = self._updates.get(names)

        if statement is None:
            is_meant = self._key == bindparam(self._parameters[_KEY])
            statement = update(self._key.table).where(is_meant)
            statement = self._updates[names] = statement.values(self._bind(names))

        named = self._name(values)
        named[self._parameters[_KEY]] = key
        return Write(self._mapper, statement, named)

    def _bind(self, names: Iterable[str]) -> dict[Any, Any]:
        parameters = self._parameters
        return {self._columns[name]: bindparam(parameters[name]) for name in names}

    def _name(self, values: Mapping[str, Any]) -> dict[str, Any]:
        parameters = self._parameters
        return {parameters[name]: value for name, value in values.items()}


class Sender:
    """Sends writes. PostgreSQL takes those to different tables in one statement, where
    no column has a value that SQLAlchemy computes, such as ``default=make_token``.
    """

    def __init__(self) -> None:
        #: ``None`` for those that have to be sent one by one.
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
