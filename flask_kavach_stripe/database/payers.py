"""The users who pay: find one, lock one with all that belongs to it, write one.

Statements are built once and run on the session's connection: to build them for each
webhook would take longer than to run them. No parameter of an update may have the name
of a column, which could be the app's own: SQLAlchemy would take it for a value.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import bindparam
from sqlalchemy import Connection
from sqlalchemy import Executable
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import Row
from sqlalchemy import select
from sqlalchemy import true
from sqlalchemy import update
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from ..subscriptions import CustomerState
from ..subscriptions import Payer
from ..subscriptions import SubscriptionColumns
from .keys import Keys
from .keys import raise_database_error
from .ledger import Entry
from .ledger import ENTRY_NAMES
from .ledger import Ledger
from .ledger import to_joined_entry
from .rows import SubscriptionRows
from .rows import to_subscriptions
from .statements import Table
from .statements import Write
from .transactions import connection_to

#: The attributes of ``StripeUserMixin``.
COLUMN_NAMES = (
    "stripe_customer_id",
    "stripe_subscription_id",
    "stripe_subscription_status",
    "stripe_price_id",
    "stripe_current_period_end",
    "stripe_cancel_at_period_end",
)


class _JoinedRow(NamedTuple):
    """A row of the statement that reads the user, the event and one subscription."""

    user: Sequence[Any]
    entry: Sequence[Any]
    subscription: Sequence[Any]
    #: Whether the subscriptions are as new as the lock on the user.
    is_current: bool

    @classmethod
    def split(cls, row: Sequence[Any]) -> _JoinedRow:
        entry = 1 + len(COLUMN_NAMES)  # behind the key
        subscription = entry + len(ENTRY_NAMES)
        return cls(
            row[:entry], row[entry:subscription], row[subscription:-1], bool(row[-1])
        )


class Payers:
    """The table behind ``StripeUserMixin``. Nothing here commits.

    :param rows: The subscriptions, which are read in the same statement where the
        database allows it.
    :param ledger: The events, likewise.
    """

    def __init__(self, keys: Keys, rows: SubscriptionRows, ledger: Ledger) -> None:
        mapper: Mapper[Any] = inspect(keys.user_model)
        self.keys = keys
        self.user_model = keys.user_model
        self.table_name: Final = str(inspect(keys.user_model).local_table.name)
        self._rows = rows
        self._ledger = ledger
        self._mapper = mapper
        self._columns: dict[str, Any] = {
            name: mapper.columns[name] for name in COLUMN_NAMES
        }
        customer = self._columns["stripe_customer_id"]
        # A subclass may have a table of its own, with the same key by any name.
        key_columns = mapper.get_property_by_column(keys.column).columns
        key = next(
            column
            for column in (*key_columns, *customer.table.primary_key)
            if column.table is customer.table
        )
        find = select(key, *self._columns.values())

        if mapper.single and mapper.polymorphic_on is not None:
            kinds = [each.polymorphic_identity for each in mapper.self_and_descendants]
            find = find.where(mapper.polymorphic_on.in_(kinds))

        self._key = key
        self._find = find
        self._find_by_key = find.where(key == bindparam("user_id"))
        self._find_by_customer = find.where(customer == bindparam("customer"))
        self._lock = self._find_by_customer.with_for_update()
        self._users = Table(mapper, self._columns, key)
        self._link = (
            update(customer.table)
            .where(key == bindparam("link__user_id"), customer.is_(None))
            .values({customer: bindparam("link__customer")})
        )
        self._can_join = (
            key.table.metadata is rows.table.metadata is ledger.table.metadata
        )

        if self._can_join:
            self._prepare_joins()

    def _prepare_joins(self) -> None:
        ledger, rows, key, users = self._ledger, self._rows, self._key, self._key.table
        first_seen = users.alias()
        # Compare the locked version of the user's row with the version that this
        # statement saw first. Every writer of a customer's subscriptions also updates
        # the user's row, so if `xmin` is equal, the joined rows are current.
        # Source: https://www.postgresql.org/docs/current/ddl-system-columns.html
        locked_xmin = func.xmin(users.table_valued())
        is_same = locked_xmin == func.xmin(first_seen.table_valued())
        find = self._find_by_customer.add_columns(
            *ledger.entry_columns, *rows.row_columns
        )
        joined = users.outerjoin(ledger.table, ledger.by_event_id)
        joined = joined.outerjoin(rows.table, rows.of_customer)
        self._find_all = find.add_columns(true()).select_from(joined)
        self._lock_all = (
            find.add_columns(is_same)
            .select_from(joined.join(first_seen, first_seen.c[key.key] == key))
            .with_for_update(of=users)
        )

    def find(self, session: Session, customer_id: str) -> Payer | None:
        """The payer of a customer."""
        return self._one(session, self._find_by_customer, customer=customer_id)

    def get(self, session: Session, user_id: Any) -> Payer | None:
        """The payer of a primary key, as the database has it now."""
        return self._one(session, self._find_by_key, user_id=user_id)

    def lock(
        self,
        session: Session,
        customer_id: str,
        event_id: str | None = None,
        *,
        has_read: bool = False,
    ) -> tuple[CustomerState | None, Entry | None]:
        """Lock the user of a customer until the commit, and read what belongs to it.

        PostgreSQL joins rows as they were when the statement began, which may be older
        than the lock that it waited for. So this takes a second statement where the
        first one waited, and where the database cannot say whether it did.

        :param has_read: As for :meth:`.SubscriptionRows.read`.
        :return: The customer, and the event's entry if it is in the ledger. The rows
            are left out then.
        """
        connection = connection_to(session, self._mapper)
        dialect = connection.dialect.name
        values = {"customer": customer_id, "event__id": event_id}

        if self._can_join and dialect == "sqlite":  # which is locked already
            statement = self._find_all
        elif self._can_join and dialect == "postgresql":
            statement = self._lock_all
        else:
            return self._lock_and_read(session, customer_id, event_id, has_read)

        rows = [_JoinedRow.split(row) for row in _fetch(connection, statement, values)]

        if not rows:
            return None, None

        payer, entry = _to_payer(rows[0].user), to_joined_entry(rows[0].entry)

        if entry is not None:
            return CustomerState(payer, {}), entry

        if not rows[0].is_current:
            return self._read_locked(session, payer, customer_id, event_id, has_read)

        subscriptions = to_subscriptions(row.subscription for row in rows)
        return CustomerState(payer, subscriptions), None

    def _lock_and_read(
        self, session: Session, customer_id: str, event_id: str | None, has_read: bool
    ) -> tuple[CustomerState | None, Entry | None]:
        payer = self._one(session, self._lock, customer=customer_id)

        if payer is None:
            return None, None

        return self._read_locked(session, payer, customer_id, event_id, has_read)

    def _read_locked(
        self,
        session: Session,
        payer: Payer,
        customer_id: str,
        event_id: str | None,
        has_read: bool,
    ) -> tuple[CustomerState, Entry | None]:
        is_stored, rows = self._rows.read(
            session, customer_id, event_id, has_read=has_read
        )

        if is_stored and event_id is not None:
            return CustomerState(payer, {}), self._ledger.find(session, event_id)

        return CustomerState(payer, to_subscriptions(rows)), None

    def find_all(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, Payer]:
        """The payers of customers, by customer id. Not for thousands of them."""
        is_one = self._columns["stripe_customer_id"].in_(customer_ids)
        connection = connection_to(session, self._mapper)
        payers = map(_to_payer, connection.execute(self._find.where(is_one)))
        return {str(payer.customer_id): payer for payer in payers}

    def list_paying(
        self, session: Session, after: Any = None, *, limit: int
    ) -> list[Payer]:
        """Those who have a customer, in the order of their primary keys.

        :param after: The key that the list goes on after.
        """
        customer = self._columns["stripe_customer_id"]
        statement = self._find.where(customer.is_not(None))

        if after is not None:
            statement = statement.where(self._key > after)

        statement = statement.order_by(self._key).limit(limit)
        connection = connection_to(session, self._mapper)
        return [_to_payer(row) for row in connection.execute(statement)]

    def _one(
        self, session: Session, statement: Executable, **values: Any
    ) -> Payer | None:
        connection = connection_to(session, self._mapper)
        rows = _fetch(connection, statement, values)
        return _to_payer(rows[0]) if rows else None

    def link(self, session: Session, user_id: Any, customer_id: str) -> None:
        """Set the customer of a user who has none."""
        values = {"link__user_id": user_id, "link__customer": customer_id}
        connection_to(session, self._mapper).execute(self._link, values)

    def write(self, payer: Payer) -> Write:
        """Write the six columns. Those that stay as they are cost nothing."""
        values = (payer.customer_id, *payer.columns)
        row = dict(zip(COLUMN_NAMES, values, strict=True))
        return self._users.update(payer.user_id, row)

    def columns_of(self, user: Any) -> SubscriptionColumns:
        """What an instance's columns say. No query, if it is loaded."""
        return SubscriptionColumns(
            subscription_id=user.stripe_subscription_id,
            status=user.stripe_subscription_status,
            price_id=user.stripe_price_id,
            current_period_end=user.stripe_current_period_end,
            cancel_at_period_end=bool(user.stripe_cancel_at_period_end),
        )

    def refresh(self, session: Session, user: Any) -> None:
        """Have an instance show what the database has now.

        One that is in no session stays as it is where its row is gone.
        """
        if user in session:
            session.expire(user, COLUMN_NAMES)
            return

        connection = connection_to(session, self._mapper)
        values = {"user_id": self.keys.of(user)}
        row = connection.execute(self._find_by_key, values).one_or_none()

        if row is None:
            return

        for name, value in zip(COLUMN_NAMES, row[1:], strict=True):
            set_committed_value(user, name, value)


def _fetch(
    connection: Connection, statement: Executable, values: Mapping[str, Any]
) -> Sequence[Row[Any]]:
    """The rows of users; none, if the app's own key type cannot take the key."""
    try:
        return connection.execute(statement, values).all()
    except StatementError as error:
        raise_database_error(error)
        return []


def _to_payer(row: Sequence[Any]) -> Payer:
    user_id, customer_id, *columns = row
    return Payer(user_id, customer_id, SubscriptionColumns(*columns))
