"""The rows of subscriptions: what we keep of every subscription of a known customer.

The rows are what an event is compared with; the user's columns are computed from them
(see ``customer_state``). Whoever writes a row also writes the user's row, in the same
transaction, under the lock that ``payers`` took on it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import exists
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import literal
from sqlalchemy import select
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session

from ..customer_state import StoredSubscription
from ..stripe_api.objects import FINAL_STATUSES
from ..stripe_api.objects import ItemState
from ..stripe_api.objects import SubscriptionState
from .ledger import Ledger
from .models import StripeSubscriptionMixin
from .transactions import connection_to
from .writes import Table
from .writes import Write

#: The attributes of ``StripeSubscriptionMixin``, in the order of each row read here.
_ROW_NAMES = (*SubscriptionState._fields, "synced_at", "revision")

#: Where the items are in a row, as JSON.
_ITEMS = _ROW_NAMES.index("items")


class RunningSubscription(NamedTuple):
    """The ids of a subscription that has not ended, for lists of very many."""

    id: str
    customer_id: str


class SubscriptionRows:
    """Reads and writes the table of ``StripeSubscriptionMixin``. Nothing here commits.

    :param ledger: The ledger, in which :meth:`read` also looks for an event, to save a
        round trip.
    """

    def __init__(self, model: type[StripeSubscriptionMixin], ledger: Ledger) -> None:
        mapper: Mapper[Any] = inspect(model)
        columns = mapper.columns
        self._model = model
        self._mapper = mapper
        self._columns = columns
        self.table: Any = columns.id.table
        #: The columns of a row, in the order that :func:`to_stored` reads.
        self.row_columns: list[Any] = [columns[name] for name in _ROW_NAMES]
        #: The condition that a row is of the customer ``customer``, also for joins.
        self.of_customer: Any = columns.customer_id == bindparam("customer")
        is_stored: Any = exists(ledger.entry_columns[0]).where(ledger.by_event_id)

        # One statement cannot read tables of two databases. `literal(False)` stands for
        # "not looked up"; the ledger's primary key then finds a duplicate.
        if self.table.metadata is not ledger.table.metadata:
            is_stored = literal(False)

        # The outer join gives `is_stored` also for a customer without subscriptions.
        one_row = select(literal(1).label("one")).subquery("one_row")
        self._rows = select(is_stored, *self.row_columns).select_from(
            one_row.outerjoin(self.table, self.of_customer)
        )
        self._committed_rows = self._rows.with_for_update()
        by_id = columns.id == bindparam("subscription")
        self._by_id = select(*self.row_columns).where(by_id)
        self._revision = select(columns.revision).where(by_id)
        written_columns = {name: columns[name] for name in _ROW_NAMES}
        self._subscriptions = Table(mapper, written_columns, columns.id)

    def of(self, session: Session, customer_id: str) -> dict[str, StoredSubscription]:
        """Return the subscriptions of a customer, by subscription id. Locks nothing."""
        return to_subscriptions(self.read(session, customer_id, None)[1])

    def find(self, session: Session, subscription_id: str) -> SubscriptionState | None:
        """Read the state in the row of a subscription. Locks nothing."""
        connection = connection_to(session, self._mapper)
        row = connection.execute(
            self._by_id, {"subscription": subscription_id}
        ).one_or_none()
        return None if row is None else to_stored(row).state

    def read(
        self,
        session: Session,
        customer_id: str,
        event_id: str | None,
        *,
        has_read: bool = False,
    ) -> tuple[bool, list[Sequence[Any]]]:
        """Look for an event in the ledger, and read the rows of a customer.

        :param event_id: The event; ``None`` to look for none.
        :param has_read: Whether the transaction may have read before. MariaDB then
            shows the rows as they were at that first read. To see what others have
            committed since, this method locks the rows.
        :return: Whether the event is in the ledger; and the rows, for
            :func:`to_subscriptions`.

        Source: https://dev.mysql.com/doc/refman/8.4/en/innodb-consistent-read.html
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
        """Return the subscriptions of several customers. Locks nothing.

        All ids go into one statement, so give a page of them and not thousands.

        :return: By customer id and subscription id; empty for a customer without rows.
        """
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
        """List subscriptions that have not ended, in the order of their ids.

        :param after: The last id of the former list. The list goes on behind it.
        :param limit: The largest number of subscriptions.
        """
        model = self._model
        statement = (
            select(model.id, model.customer_id)
            .where(model.id > after, model.status.not_in(sorted(FINAL_STATUSES)))
            .order_by(model.id)
            .limit(limit)
        )
        connection = connection_to(session, self._mapper)
        return [RunningSubscription(*row) for row in connection.execute(statement)]

    def count(self, session: Session) -> int:
        """Count all rows, also those of subscriptions that have ended."""
        statement = select(func.count()).select_from(self.table)
        return connection_to(session, self._mapper).scalar(statement) or 0

    def list_doubled(self, session: Session, statuses: Collection[str]) -> list[str]:
        """List the customers with several subscriptions of some statuses."""
        columns = self._columns
        statement = (
            select(columns.customer_id)
            .where(columns.status.in_(sorted(statuses)))
            .group_by(columns.customer_id)
            .having(func.count() > 1)
            .order_by(columns.customer_id)
        )
        return list(connection_to(session, self._mapper).scalars(statement))

    def delete_of(self, session: Session, customer_id: str) -> None:
        """Delete all rows of a customer: only for one whom Stripe does not know."""
        statement = delete(self.table).where(self.of_customer)
        connection_to(session, self._mapper).execute(
            statement, {"customer": customer_id}
        )

    def revisions(self, session: Session, subscription_id: str) -> dict[str, int]:
        """Read the revision of one row, to compare it with a later one. Locks nothing.

        :return: The revision by the subscription's id, as
            :meth:`.CustomerState.revisions` gives it; empty if there is no row.
        """
        connection = connection_to(session, self._mapper)
        revision = connection.scalar(self._revision, {"subscription": subscription_id})
        return {} if revision is None else {subscription_id: revision}

    def write(
        self,
        before: Mapping[str, StoredSubscription],
        after: Iterable[StoredSubscription],
    ) -> Iterator[Write]:
        """Yield a write for each row that is new or has changed.

        A row of ``before`` that ``after`` lacks stays: no row is ever deleted.

        :param before: The rows as they are in the database, by subscription id.
        :param after: The rows as they should be.
        """
        for stored in after:
            old = before.get(stored.state.id)

            if stored == old:
                continue

            row = _to_row(stored)

            if old is None:
                yield self._subscriptions.insert(row)
            else:
                yield self._subscriptions.update(stored.state.id, row)


def to_subscriptions(rows: Iterable[Sequence[Any]]) -> dict[str, StoredSubscription]:
    """Read the rows of an outer join, by subscription id.

    A customer without subscriptions gives one row of nulls, which is left out.
    """
    return {row[0]: to_stored(row) for row in rows if row and row[0] is not None}


def to_stored(row: Sequence[Any]) -> StoredSubscription:
    """Read a row with the columns of :attr:`SubscriptionRows.row_columns`."""
    *fields, synced_at, revision = row
    return StoredSubscription(_to_state(fields), synced_at, revision)


def _to_state(fields: Sequence[Any]) -> SubscriptionState:
    state = SubscriptionState(*fields)
    items = json.loads(fields[_ITEMS])
    return state._replace(
        items=tuple(
            ItemState(item["id"], item["price"], item["quantity"]) for item in items
        )
    )


def _to_row(stored: StoredSubscription) -> dict[str, Any]:
    """Return the values of a row, by :data:`_ROW_NAMES`."""
    items = [
        {"id": item.id, "price": item.price_id, "quantity": item.quantity}
        for item in stored.state.items
    ]
    return {
        **stored.state._asdict(),
        "items": json.dumps(items),
        "synced_at": stored.synced_at,
        "revision": stored.revision,
    }
