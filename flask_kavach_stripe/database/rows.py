"""The rows of subscriptions: read, list, write."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from sqlalchemy import bindparam
from sqlalchemy import exists
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import literal
from sqlalchemy import select
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session

from ..stripe_api.objects import FINAL_STATUSES
from ..stripe_api.objects import SubscriptionState
from ..subscriptions import StoredSubscription
from .ledger import Ledger
from .models import StripeSubscriptionMixin
from .statements import Table
from .statements import Write
from .transactions import connection_to

#: The attributes of ``StripeSubscriptionMixin``, in the order of a row here.
_NAMES = (*SubscriptionState._fields, "synced_at", "revision")


class RunningSubscription(NamedTuple):
    """A row that has not ended, as far as a list of many needs it."""

    id: str
    customer_id: str


class SubscriptionRows:
    """The table behind ``StripeSubscriptionMixin``. Nothing here commits.

    :param ledger: The table that is looked at in the same statement.
    """

    def __init__(self, model: type[StripeSubscriptionMixin], ledger: Ledger) -> None:
        mapper: Mapper[Any] = inspect(model)
        columns = mapper.columns
        self._model = model
        self._mapper = mapper
        self._columns = columns
        self.table: Any = columns.id.table
        #: What :func:`to_stored` takes.
        self.row_columns: list[Any] = [columns[name] for name in _NAMES]
        #: Whether a row is of the customer ``customer``, for those who join the table.
        self.of_customer: Any = columns.customer_id == bindparam("customer")
        is_stored: Any = exists(ledger.entry_columns[0]).where(ledger.by_event_id)

        # Tables of different databases cannot be read at once.
        if self.table.metadata is not ledger.table.metadata:
            is_stored = literal(False)

        one = select(literal(1).label("one")).subquery("one_row")
        self._rows = select(is_stored, *self.row_columns).select_from(
            one.outerjoin(self.table, self.of_customer)
        )
        self._committed_rows = self._rows.with_for_update()
        self._revision = select(columns.revision).where(
            columns.id == bindparam("subscription")
        )
        own_columns = {name: columns[name] for name in _NAMES}
        self._subscriptions = Table(mapper, own_columns, columns.id)

    def of(self, session: Session, customer_id: str) -> dict[str, StoredSubscription]:
        """The rows of a customer, by subscription id."""
        return to_subscriptions(self.read(session, customer_id, None)[1])

    def read(
        self,
        session: Session,
        customer_id: str,
        event_id: str | None,
        *,
        has_read: bool = False,
    ) -> tuple[bool, list[Sequence[Any]]]:
        """Whether an event is in the ledger, and the rows of a customer.

        :param has_read: Whether the transaction may have read before. MariaDB then
            shows the rows of that time, unless they are locked as well.
        """
        connection = connection_to(session, self._mapper)
        is_old_snapshot = has_read and connection.dialect.name in ("mysql", "mariadb")
        statement = self._committed_rows if is_old_snapshot else self._rows
        values = {"customer": customer_id, "event__id": event_id}
        rows = connection.execute(statement, values).all()
        return bool(rows[0][0]), [row[1:] for row in rows]

    def of_all(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, dict[str, StoredSubscription]]:
        """The rows of customers, by customer id and subscription id."""
        by_customer: dict[str, dict[str, StoredSubscription]] = {
            customer_id: {} for customer_id in customer_ids
        }
        columns = self._columns
        statement = select(*self.row_columns).where(
            columns.customer_id.in_(customer_ids)
        )
        connection = connection_to(session, self._mapper)

        for row in connection.execute(statement):
            stored = to_stored(row)
            by_customer[stored.state.customer_id][stored.state.id] = stored

        return by_customer

    def list_running(
        self, session: Session, after: str = "", *, limit: int
    ) -> list[RunningSubscription]:
        """Subscriptions that have not ended, in the order of their ids.

        :param after: The id that the list goes on after.
        """
        model = self._model
        statement = (
            select(model.id, model.customer_id)
            .where(model.id > after, model.status.not_in(sorted(FINAL_STATUSES)))
            .order_by(model.id)
            .limit(limit)
        )
        return [RunningSubscription(*row) for row in session.execute(statement)]

    def count(self, session: Session) -> int:
        """How many rows there are."""
        model = self._model
        return session.scalar(select(func.count()).select_from(model)) or 0

    def revisions(self, session: Session, subscription_id: str) -> dict[str, int]:
        """The revision of a row by its id, empty if there is none."""
        connection = connection_to(session, self._mapper)
        revision = connection.scalar(self._revision, {"subscription": subscription_id})
        return {} if revision is None else {subscription_id: revision}

    def write(
        self,
        before: Mapping[str, StoredSubscription],
        after: Iterable[StoredSubscription],
    ) -> Iterator[Write]:
        """Insert the rows that are new, and rewrite those that differ."""
        for stored in after:
            old = before.get(stored.state.id)
            row = dict(zip(_NAMES, _to_row(stored), strict=True))

            if old is None:
                yield self._subscriptions.insert(row)
            elif stored != old:
                yield self._subscriptions.update(stored.state.id, row)


def to_subscriptions(rows: Iterable[Sequence[Any]]) -> dict[str, StoredSubscription]:
    """The subscriptions in the rows of an outer join, by id."""
    return {row[0]: to_stored(row) for row in rows if row and row[0] is not None}


def to_stored(row: Sequence[Any]) -> StoredSubscription:
    """A row, read in the order of :attr:`SubscriptionRows.row_columns`."""
    *state, synced_at, revision = row
    return StoredSubscription(SubscriptionState(*state), synced_at, revision)


def _to_row(stored: StoredSubscription) -> tuple[Any, ...]:
    return (*stored.state, stored.synced_at, stored.revision)
