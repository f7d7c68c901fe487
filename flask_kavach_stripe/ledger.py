"""The ledger of events: what was stored, and what its handlers still owe."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Any
from typing import NamedTuple

from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update
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

    def find(self, session: Session, event_id: str) -> Entry | None:
        """The entry of an event, ``None`` if it was never stored."""
        row = session.execute(
            self._find.where(self._model.id == event_id)
        ).one_or_none()

        if row is None:
            return None

        return Entry(
            row.customer_id, row.user_id, row.changed, row.processed_at is not None
        )

    def find_known(self, session: Session, event_ids: Collection[str]) -> set[str]:
        """Which of some events were stored. Not for thousands of them."""
        statement = select(self._model.id).where(self._model.id.in_(event_ids))
        return set(session.scalars(statement))

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

    def forget(self, session: Session, event_id: str) -> None:
        """Delete an entry that is done with."""
        session.execute(delete(self._model).where(self._model.id == event_id))

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
        session.execute(
            update(self._model)
            .where(self._model.id == event_id, self._model.processed_at.is_(None))
            .values(attempts=self._model.attempts + 1, error=text[:_MAX_ERROR_LENGTH])
            .execution_options(synchronize_session=False)
        )
