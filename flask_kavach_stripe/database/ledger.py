"""The ledger: one row for each stored event, with the state of its handlers.

An entry is *unprocessed* until the transaction of its handlers commits; then it has a
``processed_at``. The ledger is what makes handlers run exactly once. A second delivery
of an event finds the entry, and :meth:`Ledger.begin` lets one process at a time try.

A change that no event brought (a sync, a checkout that was completed in the browser)
has an entry as well, as long as the app is still to be notified of it.
"""

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
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.orm import defer
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session

from .models import StripeEventMixin
from .transactions import connection_to
from .writes import Table
from .writes import Write

_MAX_ERROR_LENGTH = 2000


#: The attributes of ``StripeEventMixin`` that an entry is read from.
ENTRY_NAMES = ("id", "customer_id", "user_id", "change", "processed_at")

#: The attributes that describe the event. A change that no event brought has few.
_EVENT_NAMES = (
    "id",
    "type",
    "created",
    "object_id",
    "livemode",
    "api_version",
    "payload",
)
#: The attributes that say whom the event concerns, and whether its handlers have run.
_CLAIM_NAMES = (
    "customer_id",
    "user_id",
    "change",
    "received_at",
    "processed_at",
    "attempted_at",
    "attempts",
)


class Entry(NamedTuple):
    """The columns of a ledger row that decide which handlers run, and for whom."""

    customer_id: str | None
    #: The primary key of the customer's user, as text.
    user_id: str | None
    #: JSON of what the event did to the user's subscription, see ``differences``.
    #: ``None`` if nothing changed.
    change: str | None
    #: Whether the handlers have run, or there were none to run.
    is_processed: bool
    #: Whether the attempt that comes now is counted and committed already: it counts
    #: also if the handlers end the process. ``False`` for an entry that was only read.
    is_counted: bool = False


class StoredEvent(NamedTuple):
    """An event of the ledger with its payload, as a second attempt needs it."""

    id: str
    type: str
    #: The event as Stripe sent it, as JSON.
    payload: str
    entry: Entry


class Ledger:
    """Reads and writes the table of ``StripeEventMixin``. Nothing here commits.

    The statements that a webhook runs are built once, here. Their parameters have a
    prefix, as in ``event__id``, so that none has the name of a column: SQLAlchemy would
    take a parameter of that name for a value to write.
    """

    def __init__(self, model: type[StripeEventMixin]) -> None:
        self._model = model
        self._mapper: Mapper[Any] = inspect(model)
        columns = self._mapper.columns
        #: The condition that an entry has the id ``event__id``, also for joins.
        self.by_event_id: ColumnElement[bool] = columns.id == bindparam("event__id")
        self.table: Any = columns.id.table
        #: The columns of an entry, in the order of ``ENTRY_NAMES``.
        self.entry_columns: list[ColumnElement[Any]] = [
            columns[name] for name in ENTRY_NAMES
        ]
        self._is_unprocessed: ColumnElement[bool] = columns.processed_at.is_(None)
        self._select_entry = select(*self.entry_columns).where(self.by_event_id)
        self._select_event = self._select_entry.add_columns(
            columns.type, columns.payload
        )
        written = {name: columns[name] for name in (*_EVENT_NAMES, *_CLAIM_NAMES)}
        self._events = Table(self._mapper, written, columns.id)
        change = update(self.table).where(self.by_event_id)
        self._mark_unprocessed = change.values(
            {
                columns.processed_at: None,
                columns.attempted_at: None,
                columns.attempts: 0,
                columns.error: None,
            }
        )
        counted = change.where(self._is_unprocessed)
        now: ColumnElement[Any] = bindparam("event__now")
        self._count_attempt = counted.values(
            {columns.attempts: columns.attempts + 1, columns.attempted_at: now}
        )
        # By whether the attempt was counted before: if not, it is counted here.
        attempts = {True: counted, False: self._count_attempt}
        self._mark_processed = {
            is_counted: attempt.values({columns.processed_at: now, columns.error: None})
            for is_counted, attempt in attempts.items()
        }
        self._set_error = {
            is_counted: attempt.values({columns.error: bindparam("event__failure")})
            for is_counted, attempt in attempts.items()
        }
        self._delete = delete(self.table).where(self.by_event_id)

    def _connection(self, session: Session) -> Connection:
        return connection_to(session, self._mapper)

    def find(self, session: Session, event_id: str) -> Entry | None:
        """Find the entry of an event. Locks nothing.

        :return: ``None`` if the event is not stored.
        """
        connection = self._connection(session)
        values = {"event__id": event_id}
        row = connection.execute(self._select_entry, values).one_or_none()
        return None if row is None else _to_entry(row)

    def read(self, session: Session, event_id: str) -> StoredEvent | None:
        """Find an event with its payload and its entry. Locks nothing.

        :return: ``None`` if the event is not stored.
        """
        return self._find_event(session, self._select_event, event_id)

    def lock(self, session: Session, event_id: str) -> StoredEvent | None:
        """Lock the row of an unprocessed event until the end of the transaction.

        Does not wait: a locked row is skipped. The row is found by its id, and not by
        a search for the next unprocessed event: MariaDB would lock every row that it
        looks at in a search. SQLite locks nothing here.

        :return: ``None`` if another process holds the lock, or has run the handlers.
        """
        return self._lock(session, event_id, self._is_unprocessed)

    def lock_due(
        self,
        session: Session,
        event_id: str,
        now: datetime,
        delays: Sequence[timedelta],
    ) -> StoredEvent | None:
        """Lock the row of an event that is due, as :meth:`lock` does.

        :param now: The current time.
        :param delays: As for :meth:`list_due`.
        :return: ``None`` also if the event is not due any more, because another worker
            has tried it since.
        """
        return self._lock(session, event_id, self._is_due(now, delays))

    def _lock(
        self, session: Session, event_id: str, condition: ColumnElement[bool]
    ) -> StoredEvent | None:
        statement = self._select_event.where(condition).with_for_update(
            skip_locked=True
        )
        return self._find_event(session, statement, event_id)

    def _find_event(
        self, session: Session, statement: Executable, event_id: str
    ) -> StoredEvent | None:
        connection = self._connection(session)
        row = connection.execute(statement, {"event__id": event_id}).one_or_none()

        if row is None:
            return None

        *entry_row, event_type, payload = row
        return StoredEvent(entry_row[0], event_type, payload, _to_entry(entry_row))

    def list_unprocessed(
        self, session: Session, *, failed: bool, pending: bool
    ) -> list[str]:
        """List the ids of unprocessed events, in the order of their arrival.

        :param failed: Include the events with an error from their last attempt.
        :param pending: Include the events without one: nobody has tried them yet, or
            the app was stopped during the attempt.
        """
        model = self._model
        kinds = [model.error.is_not(None)] if failed else []
        kinds += [model.error.is_(None)] if pending else []
        statement = (
            select(model.id)
            .where(self._is_unprocessed, or_(false(), *kinds))
            .order_by(model.received_at, model.id)
        )
        return self._list_ids(session, statement)

    def list_due(
        self,
        session: Session,
        now: datetime,
        delays: Sequence[timedelta],
        limit: int,
    ) -> list[str]:
        """List the ids of events for which a worker should run the handlers now.

        :param now: The current time.
        :param delays: ``delays[n]`` is the time from the last attempt until an event is
            due after ``n`` attempts. An event with more attempts is never due, and one
            without an attempt always is.
        :param limit: The largest number of ids.
        :return: The ids, in the order of the events' arrival.
        """
        model = self._model
        statement = (
            select(model.id)
            .where(self._is_due(now, delays))
            .order_by(model.received_at, model.id)
            .limit(limit)
        )
        return self._list_ids(session, statement)

    def _list_ids(self, session: Session, statement: Executable) -> list[str]:
        """Run a statement on the connection: no loader criterion of the app's applies.

        :return: The first column.
        """
        return list(self._connection(session).scalars(statement))

    def _is_due(
        self, now: datetime, delays: Sequence[timedelta]
    ) -> ColumnElement[bool]:
        """Return the condition that an event is due, see :meth:`list_due`."""
        columns = self._mapper.columns
        last_attempt = func.coalesce(columns.attempted_at, columns.received_at)
        times = [
            and_(columns.attempts == attempts, last_attempt <= now - delay)
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
        """List the newest events that match all filters, newest first.

        The payloads, which may be large, are only loaded when they are read.

        :param failed: Only unprocessed events with an error from their last attempt.
        :param event_type: Only events of this type.
        :param user_id: Only events of the user with this key, as text.
        :param limit: The largest number of events.
        """
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
        """Load the whole row of an event, ``None`` if it is not stored."""
        return session.get(self._model, event_id)

    def find_known(self, session: Session, event_ids: Collection[str]) -> set[str]:
        """Return those of ``event_ids`` that are stored.

        All ids go into one statement, so give a page of them and not thousands.
        """
        statement = select(self._model.id).where(self._model.id.in_(event_ids))
        return set(self._list_ids(session, statement))

    def claim(self, event: Mapping[str, Any], entry: Entry) -> Write:
        """Return the write that stores a new event, in the transaction of its rows.

        The primary key makes the event ours: only one delivery can store it. If another
        delivery has stored it, sending the write raises an
        :exc:`sqlalchemy.exc.IntegrityError`, and the transaction must be rolled back.

        :param event: The columns that describe the event, by attribute. A missing one
            is null.
        :param entry: The other columns, but for the times, which are now.
        """
        now = datetime.now(UTC)
        return self._events.insert(
            {
                **{name: event.get(name) for name in _EVENT_NAMES},
                "customer_id": entry.customer_id,
                "user_id": entry.user_id,
                "change": entry.change,
                "received_at": now,
                "processed_at": now if entry.is_processed else None,
                "attempted_at": now if entry.is_counted else None,
                "attempts": int(entry.is_counted),
            }
        )

    def count_attempt(self, session: Session, event_id: str) -> None:
        """Count an attempt that is about to begin, and note its time.

        Commit it before the handlers run: then it also counts if they end the process,
        and until the event is due again no other worker takes it.
        """
        values = {"event__id": event_id, "event__now": datetime.now(UTC)}
        self._connection(session).execute(self._count_attempt, values)

    def begin(
        self, session: Session, event_id: str, *, is_counted: bool = False
    ) -> bool:
        """Mark an unprocessed event as processed, count the attempt, clear the error.

        Call it in the transaction of the handlers, before they run: the mark locks the
        row, is committed with their writes, and is rolled back with them. Another
        delivery waits here until then.

        :param is_counted: Whether :meth:`count_attempt` has counted this attempt.
        :return: ``False`` if the event is processed already: run nothing.
        """
        values = {"event__id": event_id, "event__now": datetime.now(UTC)}
        statement = self._mark_processed[is_counted]
        return bool(self._connection(session).execute(statement, values).rowcount)

    def reopen(self, session: Session, event_id: str) -> bool:
        """Mark an event as unprocessed, as if its handlers had never been tried.

        :return: ``False`` if the event is not stored.
        """
        values = {"event__id": event_id}
        return bool(
            self._connection(session).execute(self._mark_unprocessed, values).rowcount
        )

    def forget(self, session: Session, event_id: str) -> None:
        """Delete the entry of a change, after the app was notified of it."""
        self._connection(session).execute(self._delete, {"event__id": event_id})

    def list_processed(
        self, session: Session, before: datetime, after: str = "", *, limit: int
    ) -> list[str]:
        """List the ids of processed events that were received before a time.

        :param after: The last id of the former list. The list goes on behind it.
        :param limit: The largest number of ids.
        :return: The ids, in their own order.
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
        return self._list_ids(session, statement)

    def delete_processed(self, session: Session, event_ids: Collection[str]) -> int:
        """Delete events that are processed.

        An event that was reopened since its id was listed stays.

        :return: The number of deleted events.
        """
        columns = self._mapper.columns
        statement = delete(self.table).where(
            columns.id.in_(event_ids), columns.processed_at.is_not(None)
        )
        return int(self._connection(session).execute(statement).rowcount)

    def fail(
        self,
        session: Session,
        event_id: str,
        error: BaseException,
        *,
        is_counted: bool = False,
    ) -> None:
        """Store the error of an attempt, and count the attempt.

        Call it after the transaction of the handlers was rolled back, as that also
        takes back the count. The text is the error's type and message, cut to 2,000
        characters, without NUL and lone surrogates: not every database stores those.

        :param is_counted: Whether :meth:`count_attempt` has counted this attempt.
        """
        text = f"{type(error).__name__}: {error}".replace("\x00", "")
        text = text.encode(errors="backslashreplace").decode()  # no lone surrogates
        values: dict[str, Any] = {
            "event__id": event_id,
            "event__failure": text[:_MAX_ERROR_LENGTH],
        }

        if not is_counted:
            values["event__now"] = datetime.now(UTC)

        self._connection(session).execute(self._set_error[is_counted], values)


def to_joined_entry(row: Sequence[Any]) -> Entry | None:
    """Read an entry from the row of an outer join.

    :param row: The values of :attr:`Ledger.entry_columns`, all null if the event is not
        stored.
    """
    return _to_entry(row) if row and row[0] is not None else None


def _to_entry(row: Sequence[Any]) -> Entry:
    _, customer_id, user_id, change, processed_at = row
    return Entry(customer_id, user_id, change, processed_at is not None)
