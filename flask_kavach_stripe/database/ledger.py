"""The ledger: the events that are stored, and which of them have run their handlers."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any
from typing import NamedTuple

from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import delete
from sqlalchemy import Executable
from sqlalchemy import false
from sqlalchemy import inspect
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.orm import defer
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session

from .models import StripeEventMixin
from .statements import Table
from .statements import Write
from .transactions import connection_to

_MAX_ERROR_LENGTH = 2000


#: The attributes of ``StripeEventMixin`` that an entry is read from.
ENTRY_NAMES = ("id", "customer_id", "user_id", "changed", "processed_at")

#: The attributes that describe the event; a change of our own has few of them.
_EVENT_NAMES = (
    "id",
    "type",
    "created",
    "object_id",
    "livemode",
    "api_version",
    "payload",
)
#: The attributes that say what becomes of it here.
_CLAIM_NAMES = (
    "customer_id",
    "user_id",
    "changed",
    "received_at",
    "processed_at",
    "attempts",
)


class Entry(NamedTuple):
    """What the handlers of a stored event need to know."""

    customer_id: str | None
    #: The primary key of the customer's user, as text.
    user_id: str | None
    #: Whether the event changed the user's columns.
    changed: bool
    is_processed: bool


class StoredEvent(NamedTuple):
    """An entry, and what it is about."""

    id: str
    type: str
    #: The event as sent.
    payload: str
    entry: Entry


class Ledger:
    """The table behind ``StripeEventMixin``. Nothing here commits.

    No parameter has the name of a column, as in ``payers``.
    """

    def __init__(self, model: type[StripeEventMixin]) -> None:
        self._model = model
        self._mapper: Mapper[Any] = inspect(model)
        columns = self._mapper.columns
        #: Whether an entry has the id ``event__id``, for those who join the table.
        self.by_event_id: ColumnElement[bool] = columns.id == bindparam("event__id")
        self.table: Any = columns.id.table
        #: What :func:`to_joined_entry` takes.
        self.entry_columns: list[ColumnElement[Any]] = [
            columns[name] for name in ENTRY_NAMES
        ]
        self._is_unprocessed: ColumnElement[bool] = columns.processed_at.is_(None)
        self._find = select(*self.entry_columns).where(self.by_event_id)
        self._read = self._find.add_columns(columns.type, columns.payload)
        written = {name: columns[name] for name in (*_EVENT_NAMES, *_CLAIM_NAMES)}
        self._events = Table(self._mapper, written, columns.id)
        change = update(self.table).where(self.by_event_id)
        self._reopen = change.values(
            {columns.processed_at: None, columns.attempts: 0, columns.error: None}
        )
        attempted = change.where(self._is_unprocessed).values(
            {columns.attempts: columns.attempts + 1}
        )
        self._begin = attempted.values(
            {columns.processed_at: bindparam("event__now"), columns.error: None}
        )
        self._fail = attempted.values({columns.error: bindparam("event__failure")})
        self._forget = delete(self.table).where(self.by_event_id)

    def _connection(self, session: Session) -> Connection:
        return connection_to(session, self._mapper)

    def find(self, session: Session, event_id: str) -> Entry | None:
        """The entry of an event, ``None`` if it was never stored."""
        connection = self._connection(session)
        row = connection.execute(self._find, {"event__id": event_id}).one_or_none()
        return None if row is None else _to_entry(row)

    def read(self, session: Session, event_id: str) -> StoredEvent | None:
        """The entry of an event with the event, ``None`` if it was never stored."""
        return self._read_one(session, self._read, event_id)

    def lock(self, session: Session, event_id: str) -> StoredEvent | None:
        """Lock an unprocessed event; ``None`` if another process has it, or had it.

        It is locked by its id: to look for it and to lock it in one statement would
        lock all that MariaDB looks at. SQLite locks nothing here.
        """
        return self._lock(session, event_id, self._is_unprocessed)

    def lock_due(
        self,
        session: Session,
        event_id: str,
        now: datetime,
        delays: Sequence[timedelta],
    ) -> StoredEvent | None:
        """As :meth:`lock`, of an event that :meth:`list_due` gave; ``None`` also if
        another worker has tried it since.
        """
        return self._lock(session, event_id, self._is_due(now, delays))

    def _lock(
        self, session: Session, event_id: str, condition: ColumnElement[bool]
    ) -> StoredEvent | None:
        statement = self._read.where(condition).with_for_update(skip_locked=True)
        return self._read_one(session, statement, event_id)

    def _read_one(
        self, session: Session, statement: Executable, event_id: str
    ) -> StoredEvent | None:
        connection = self._connection(session)
        row = connection.execute(statement, {"event__id": event_id}).one_or_none()

        if row is None:
            return None

        *found, event_type, payload = row
        return StoredEvent(found[0], event_type, payload, _to_entry(found))

    def list_unprocessed(
        self, session: Session, *, failed: bool, pending: bool
    ) -> list[str]:
        """The ids of events whose handlers have to run, in the order of their arrival.

        :param failed: Those with an error.
        :param pending: Those without, because nobody has run them yet.
        """
        model = self._model
        kinds = [model.error.is_not(None)] if failed else []
        kinds += [model.error.is_(None)] if pending else []
        statement = (
            select(model.id)
            .where(self._is_unprocessed, or_(false(), *kinds))
            .order_by(model.received_at, model.id)
        )
        return list(session.scalars(statement))

    def list_due(
        self,
        session: Session,
        now: datetime,
        delays: Sequence[timedelta],
        limit: int,
    ) -> list[str]:
        """The ids of unprocessed events whose next attempt is due, oldest first.

        :param delays: By the number of attempts, how long after its arrival an event
            is due. An event with more attempts is not.
        """
        model = self._model
        statement = (
            select(model.id)
            .where(self._is_due(now, delays))
            .order_by(model.received_at, model.id)
            .limit(limit)
        )
        return list(session.scalars(statement))

    def _is_due(
        self, now: datetime, delays: Sequence[timedelta]
    ) -> ColumnElement[bool]:
        columns = self._mapper.columns
        times = [
            and_(columns.attempts == attempts, columns.received_at <= now - delay)
            for attempts, delay in enumerate(delays)
        ]
        return and_(self._is_unprocessed, or_(false(), *times))

    def search(
        self,
        session: Session,
        *,
        failed: bool = False,
        event_type: str | None = None,
        user_id: str | None = None,
        limit: int,
    ) -> list[StripeEventMixin]:
        """The newest entries that match, newest first."""
        model = self._model
        statement = select(model).order_by(model.received_at.desc(), model.id.desc())

        if failed:
            statement = statement.where(self._is_unprocessed, model.error.is_not(None))

        if event_type is not None:
            statement = statement.where(model.type == event_type)

        if user_id is not None:
            statement = statement.where(model.user_id == user_id)

        return list(
            session.scalars(statement.options(defer(model.payload)).limit(limit))
        )

    def get(self, session: Session, event_id: str) -> StripeEventMixin | None:
        """The whole row of an event."""
        return session.get(self._model, event_id)

    def find_known(self, session: Session, event_ids: Collection[str]) -> set[str]:
        """Which of some events were stored. Not for thousands of them."""
        statement = select(self._model.id).where(self._model.id.in_(event_ids))
        return set(session.scalars(statement))

    def claim(self, event: Mapping[str, Any], entry: Entry) -> Write:
        """Store an event that is new.

        :param event: The columns that describe the event; those that are missing are
            null.
        :return: To be sent. If the event is stored already, that raises an
            :exc:`sqlalchemy.exc.IntegrityError`, and the transaction must be rolled
            back.
        """
        now = datetime.now(UTC)
        return self._events.insert(
            {
                **{name: event.get(name) for name in _EVENT_NAMES},
                "customer_id": entry.customer_id,
                "user_id": entry.user_id,
                "changed": entry.changed,
                "received_at": now,
                "processed_at": now if entry.is_processed else None,
                "attempts": 0,
            }
        )

    def begin(self, session: Session, event_id: str) -> bool:
        """Lock an unprocessed event and mark it as processed.

        The mark is true once the transaction of its handlers is committed. Another
        delivery waits here until then.

        :return: ``False`` if it is processed already.
        """
        values = {"event__id": event_id, "event__now": datetime.now(UTC)}
        return bool(self._connection(session).execute(self._begin, values).rowcount)

    def reopen(self, session: Session, event_id: str) -> bool:
        """Have the handlers of an event run again, as if they never had.

        :return: ``False`` if it was never stored.
        """
        values = {"event__id": event_id}
        return bool(self._connection(session).execute(self._reopen, values).rowcount)

    def forget(self, session: Session, event_id: str) -> None:
        """Delete an entry that is done with."""
        self._connection(session).execute(self._forget, {"event__id": event_id})

    def list_processed(
        self, session: Session, before: datetime, after: str = "", *, limit: int
    ) -> list[str]:
        """The ids of processed events that were received before a time.

        :param after: The id that the list goes on after.
        """
        model = self._model
        statement = (
            select(model.id)
            .where(
                model.id > after,
                model.processed_at.is_not(None),
                model.received_at < before,
            )
            .order_by(model.id)
            .limit(limit)
        )
        return list(session.scalars(statement))

    def delete_processed(self, session: Session, event_ids: Collection[str]) -> int:
        """Delete events, but for those that are to be processed again meanwhile.

        :return: How many were deleted.
        """
        result = session.execute(
            delete(self._model)
            .where(self._model.id.in_(event_ids), self._model.processed_at.is_not(None))
            .execution_options(synchronize_session=False)
        )
        return int(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def fail(self, session: Session, event_id: str, error: BaseException) -> None:
        """Remember what an attempt failed with."""
        text = f"{type(error).__name__}: {error}".replace("\x00", "")
        text = text.encode(errors="backslashreplace").decode()  # no lone surrogates
        values = {"event__id": event_id, "event__failure": text[:_MAX_ERROR_LENGTH]}
        self._connection(session).execute(self._fail, values)


def to_joined_entry(row: Sequence[Any]) -> Entry | None:
    """The entry in the columns of an outer join, ``None`` if there is none."""
    return _to_entry(row) if row and row[0] is not None else None


def _to_entry(row: Sequence[Any]) -> Entry:
    _, customer_id, user_id, changed, processed_at = row
    return Entry(customer_id, user_id, changed, processed_at is not None)
