"""The ledger of events: what was stored, and what its handlers still owe."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any
from typing import NamedTuple

from sqlalchemy import and_
from sqlalchemy import ColumnElement
from sqlalchemy import delete
from sqlalchemy import false
from sqlalchemy import insert
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.orm import defer
from sqlalchemy.orm import Session

from .models import StripeEventMixin

_MAX_ERROR_LENGTH = 2000


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


class AlreadyStored(Exception):
    """Another delivery of the same event was stored before."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry


class Ledger:
    """The table behind ``StripeEventMixin``. Nothing here commits."""

    def __init__(self, model: type[StripeEventMixin]) -> None:
        self._model = model
        self._find = select(
            model.customer_id, model.user_id, model.changed, model.processed_at
        )
        self._read = self._find.add_columns(model.id, model.type, model.payload)

    def find(self, session: Session, event_id: str) -> Entry | None:
        """The entry of an event, ``None`` if it was never stored."""
        row = session.execute(
            self._find.where(self._model.id == event_id)
        ).one_or_none()

        return None if row is None else _to_entry(row)

    def read(self, session: Session, event_id: str) -> StoredEvent | None:
        """The entry of an event with the event, ``None`` if it was never stored."""
        return self._read_one(session, self._read.where(self._model.id == event_id))

    def lock(self, session: Session, event_id: str) -> StoredEvent | None:
        """Lock an unprocessed event; ``None`` if another process has it, or had it.

        It is locked by its id: to look for it and to lock it in one statement would
        lock all that MariaDB looks at. SQLite locks nothing here.
        """
        return self._lock(session, event_id, self._model.processed_at.is_(None))

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
        return self._read_one(
            session,
            self._read.where(self._model.id == event_id, condition).with_for_update(
                skip_locked=True
            ),
        )

    def _read_one(self, session: Session, statement: Any) -> StoredEvent | None:
        row = session.execute(statement).one_or_none()

        if row is None:
            return None

        return StoredEvent(row.id, row.type, row.payload, _to_entry(row))

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
            .where(model.processed_at.is_(None), or_(false(), *kinds))
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
        model = self._model
        times = [
            and_(model.attempts == attempts, model.received_at <= now - delay)
            for attempts, delay in enumerate(delays)
        ]
        return and_(model.processed_at.is_(None), or_(false(), *times))

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
            statement = statement.where(
                model.processed_at.is_(None), model.error.is_not(None)
            )

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

    def require_new(self, session: Session, event_id: str) -> None:
        """Check that an event is not stored yet.

        :raises AlreadyStored: If it is.
        """
        entry = self.find(session, event_id)

        if entry is not None:
            raise AlreadyStored(entry)

    def claim(self, session: Session, event: Mapping[str, Any], entry: Entry) -> None:
        """Store an event that is new.

        :param event: The columns that describe the event.
        :raises sqlalchemy.exc.IntegrityError: If it is stored already. The transaction
            must be rolled back then.
        """
        now = datetime.now(UTC)
        values = {
            **event,
            "customer_id": entry.customer_id,
            "user_id": entry.user_id,
            "changed": entry.changed,
            "received_at": now,
            "processed_at": now if entry.is_processed else None,
            "attempts": 0,
        }
        session.execute(insert(self._model), [values])

    def begin(self, session: Session, event_id: str) -> bool:
        """Lock an unprocessed event and mark it as processed.

        The mark is true once the transaction of its handlers is committed. Another
        delivery waits here until then.

        :return: ``False`` if it is processed already.
        """
        result = session.execute(
            update(self._model)
            .where(self._model.id == event_id, self._model.processed_at.is_(None))
            .values(
                processed_at=datetime.now(UTC),
                attempts=self._model.attempts + 1,
                error=None,
            )
            .execution_options(synchronize_session=False)
        )
        return bool(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def reopen(self, session: Session, event_id: str) -> bool:
        """Have the handlers of an event run again, as if they never had.

        :return: ``False`` if it was never stored.
        """
        result = session.execute(
            update(self._model)
            .where(self._model.id == event_id)
            .values(processed_at=None, attempts=0, error=None)
            .execution_options(synchronize_session=False)
        )
        return bool(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def forget(self, session: Session, event_id: str) -> None:
        """Delete an entry that is done with."""
        session.execute(delete(self._model).where(self._model.id == event_id))

    def fail(self, session: Session, event_id: str, error: BaseException) -> None:
        """Remember what an attempt failed with."""
        text = f"{type(error).__name__}: {error}".replace("\x00", "")
        text = text.encode(errors="backslashreplace").decode()  # no lone surrogates
        session.execute(
            update(self._model)
            .where(self._model.id == event_id, self._model.processed_at.is_(None))
            .values(attempts=self._model.attempts + 1, error=text[:_MAX_ERROR_LENGTH])
            .execution_options(synchronize_session=False)
        )


def _to_entry(row: Any) -> Entry:
    return Entry(
        row.customer_id, row.user_id, row.changed, row.processed_at is not None
    )
