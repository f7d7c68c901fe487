"""The users who pay: find one, lock one with its subscriptions, write its columns.

Every change of a subscription begins with :meth:`Payers.lock`: the lock on the user's
row lets one process at a time change a customer. It ends with :meth:`Payers.write`.

All statements are built once and run on the session's connection. To build them for
each webhook would take longer than to run them. No parameter of an update may have the
name of a column, not even of a column that only the app knows: SQLAlchemy would take
the parameter for a value to write.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import bindparam
from sqlalchemy import Connection
from sqlalchemy import DateTime
from sqlalchemy import Executable
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import or_
from sqlalchemy import Row
from sqlalchemy import select
from sqlalchemy import true
from sqlalchemy import update
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from ..customer_state import CustomerState
from ..customer_state import Payer
from ..customer_state import SubscriptionColumns
from ..errors import ConfigurationError
from .keys import Keys
from .keys import raise_database_error
from .ledger import Entry
from .ledger import ENTRY_NAMES
from .ledger import Ledger
from .ledger import to_joined_entry
from .models import as_utc
from .models import StripeUserMixin
from .rows import SubscriptionRows
from .rows import to_subscriptions
from .transactions import connection_to
from .transactions import is_read_elsewhere
from .writes import Table
from .writes import Write

#: The attributes of ``StripeUserMixin``, in the order of each row read here.
COLUMN_NAMES = (
    "stripe_customer_id",
    "stripe_subscription_id",
    "stripe_subscription_status",
    "stripe_price_id",
    "stripe_current_period_end",
    "stripe_cancel_at_period_end",
)


class _JoinedRow(NamedTuple):
    """A row of the one statement that reads a user, an event and the subscriptions.

    There is a row for each subscription. User and entry are the same in all of them.
    """

    #: The user's key, and the columns of ``COLUMN_NAMES``.
    user: Sequence[Any]
    #: For :func:`.to_joined_entry`.
    entry: Sequence[Any]
    #: For :func:`.to_subscriptions`.
    subscription: Sequence[Any]
    #: Whether the subscriptions are as new as the lock on the user.
    is_current: bool

    @classmethod
    def split(cls, row: Sequence[Any]) -> _JoinedRow:
        """Split the flat row that the database gives."""
        entry = 1 + len(COLUMN_NAMES)  # behind the user's key
        subscription = entry + len(ENTRY_NAMES)
        return cls(
            row[:entry], row[entry:subscription], row[subscription:-1], bool(row[-1])
        )


class Payers:
    """Reads and writes the table of ``StripeUserMixin``. Nothing here commits.

    :param keys: The primary keys of the user model.
    :param rows: The subscriptions. :meth:`lock` reads them in the statement that locks
        the user, if the database allows it.
    :param ledger: The ledger. :meth:`lock` looks there for the event, in the same
        statement.
    """

    def __init__(self, keys: Keys, rows: SubscriptionRows, ledger: Ledger) -> None:
        mapper: Mapper[Any] = inspect(keys.user_model)
        self.keys = keys
        self.user_model: type[StripeUserMixin] = keys.user_model
        self.table_name: Final = str(inspect(keys.user_model).local_table.name)
        self._rows = rows
        self._ledger = ledger
        self._mapper = mapper
        self._columns = _columns_of(mapper)
        time_type = self._columns["stripe_current_period_end"].type
        # Only where the app defines the column itself: the mixin's has a time zone.
        self._has_naive_time = (
            isinstance(time_type, DateTime) and not time_type.timezone
        )
        customer = self._columns["stripe_customer_id"]
        key = _key_beside(customer, keys)
        find = select(key, *self._columns.values())

        if mapper.single and mapper.polymorphic_on is not None:
            mappers = mapper.self_and_descendants
            identities = [submapper.polymorphic_identity for submapper in mappers]
            find = find.where(mapper.polymorphic_on.in_(identities))

        self._key = key
        self._find = find
        self._find_by_key = find.where(key == bindparam("user_id"))
        self._find_by_customer = find.where(customer == bindparam("customer"))
        self._lock = self._find_by_customer.with_for_update()
        self._users = Table(mapper, self._columns, key)
        self._link = (
            update(customer.table)
            .where(
                key == bindparam("link__user_id"),
                or_(customer.is_(None), customer == ""),
            )
            .values({customer: bindparam("link__customer")})
        )
        self._can_join = (
            key.table.metadata is rows.table.metadata is ledger.table.metadata
        )

        if self._can_join:
            self._prepare_joins()

    def _prepare_joins(self) -> None:
        """Build the statements that read user, event and subscriptions at once.

        One reads them without a lock, for SQLite, where the database is locked already.
        The other one locks the user's row, for PostgreSQL.
        """
        ledger, rows, key, users = self._ledger, self._rows, self._key, self._key.table
        first_seen = users.alias()
        # Compare the locked version of the user's row with the version that this
        # statement saw first. Every writer of a customer's subscriptions also updates
        # the user's row, so if `xmin` is equal, the joined rows are current.
        # Source: https://www.postgresql.org/docs/current/ddl-system-columns.html
        locked_xmin = func.xmin(users.table_valued())
        is_current = locked_xmin == func.xmin(first_seen.table_valued())
        find = self._find_by_customer.add_columns(
            *ledger.entry_columns, *rows.row_columns
        )
        joined = users.outerjoin(ledger.table, ledger.by_event_id)
        joined = joined.outerjoin(rows.table, rows.of_customer)
        self._find_all = find.add_columns(true()).select_from(joined)
        self._lock_all = (
            find.add_columns(is_current)
            .select_from(joined.join(first_seen, first_seen.c[key.key] == key))
            .with_for_update(of=users)
        )

    def find(self, session: Session, customer_id: str) -> Payer | None:
        """Find the payer of a customer, ``None`` if no user has it. Locks nothing."""
        return self._find_one(session, self._find_by_customer, customer=customer_id)

    def get(self, session: Session, user_id: Any) -> Payer | None:
        """Find the payer with a primary key, past the objects in the session.

        :return: ``None`` if no user has the key. Locks nothing.
        """
        return self._find_one(session, self._find_by_key, user_id=user_id)

    def load(self, session: Session, user_id: Any) -> Any:
        """Load the user with a key that one of our tables names.

        :param user_id: A key, or the text of one; ``None`` for nobody.
        :return: The session's instance; ``None`` if there is no row under the key.
        :raises ConfigurationError: If there is a row, and the session does not give it.
        """
        key = None if user_id is None else self.keys.parse(session, user_id)

        if key is None:
            return None

        user = session.get(self.user_model, key)

        if user is None and self.get(session, key) is not None:
            raise ConfigurationError(
                f"The user {user_id!s} is in the table {self.table_name!r}, and"
                " 'session.get' does not return it: a loader criterion of the app hides"
                " the row, or a replica does not have it yet. The handlers are tried"
                " again. Do not apply the criterion in webhooks and workers."
            )

        return user

    def lock(
        self,
        session: Session,
        customer_id: str,
        event_id: str | None = None,
        *,
        has_read: bool = False,
    ) -> tuple[CustomerState | None, Entry | None]:
        """Lock the row of a customer's user, and read the customer's state.

        The lock is held until the session commits or rolls back. Another process that
        wants it waits.

        SQLite and PostgreSQL take one statement. But PostgreSQL joins rows as they were
        when the statement began. If the statement had to wait for the lock, these may
        be older than the lock. Then a second statement reads them again. MariaDB always
        takes two, and so do tables in several databases.

        :param event_id: The event to look for in the ledger; ``None`` for none.
        :param has_read: As for :meth:`.SubscriptionRows.read`.
        :return: The customer's state, ``None`` if no user has the customer; and the
            event's entry, if the event is stored already. In that case the rows were
            not needed, and the state has none.

        Source: https://www.postgresql.org/docs/current/transaction-iso.html
        """
        connection = connection_to(session, self._mapper)
        dialect = connection.dialect.name
        values = {"customer": customer_id, "event__id": event_id}

        if self._can_join and dialect == "sqlite":  # begin_write() locked it
            statement = self._find_all
        elif self._can_join and dialect == "postgresql":
            statement = self._lock_all
        else:
            return self._lock_and_read(session, customer_id, event_id, has_read)

        rows = [
            _JoinedRow.split(row) for row in _fetch_all(connection, statement, values)
        ]

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
        """As :meth:`lock`, in two statements that every database understands."""
        payer = self._find_one(session, self._lock, customer=customer_id)

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
        """Read the event and the subscriptions, now that the user's row is locked."""
        is_stored, rows = self._rows.read(
            session, customer_id, event_id, has_read=has_read
        )

        if is_stored and event_id is not None:
            return CustomerState(payer, {}), self._ledger.find(session, event_id)

        return CustomerState(payer, to_subscriptions(rows)), None

    def find_all(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, Payer]:
        """Find the payers of several customers, by customer id. Locks nothing.

        All ids go into one statement, so give a page of them and not thousands. A
        customer that no user has is left out.
        """
        is_listed = self._columns["stripe_customer_id"].in_(customer_ids)
        connection = connection_to(session, self._mapper)
        payers = map(_to_payer, connection.execute(self._find.where(is_listed)))
        return {str(payer.customer_id): payer for payer in payers}

    def list_paying(
        self, session: Session, after: Any = None, *, limit: int
    ) -> list[Payer]:
        """List the payers who have a customer, in the order of their primary keys.

        :param after: The last key of the former list. The list goes on behind it.
        :param limit: The largest number of payers.
        """
        customer = self._columns["stripe_customer_id"]
        statement = self._find.where(customer != "")  # nor null

        if after is not None:
            statement = statement.where(self._key > after)

        statement = statement.order_by(self._key).limit(limit)
        connection = connection_to(session, self._mapper)
        return [_to_payer(row) for row in connection.execute(statement)]

    def list_newest(self, session: Session, *, limit: int) -> list[Payer]:
        """List payers who have a customer, those with the largest keys first."""
        customer = self._columns["stripe_customer_id"]
        statement = self._find.where(customer != "")  # nor null
        statement = statement.order_by(self._key.desc()).limit(limit)
        connection = connection_to(session, self._mapper)
        return [_to_payer(row) for row in connection.execute(statement)]

    def _find_one(
        self, session: Session, statement: Executable, **values: Any
    ) -> Payer | None:
        """Run a statement that gives at most one user."""
        connection = connection_to(session, self._mapper)
        rows = _fetch_all(connection, statement, values)
        return _to_payer(rows[0]) if rows else None

    def link(self, session: Session, user_id: Any, customer_id: str) -> None:
        """Set the customer of a user who has none; does nothing for any other.

        If two parallel checkouts create a customer each, only the first is linked.
        """
        values = {"link__user_id": user_id, "link__customer": customer_id}
        connection_to(session, self._mapper).execute(self._link, values)

    def write(self, payer: Payer) -> Write:
        """Return the write of a user's six columns."""
        values = (payer.customer_id, *payer.columns)
        row: dict[str, Any] = dict(zip(COLUMN_NAMES, values, strict=True))
        end = payer.columns.current_period_end

        if self._has_naive_time and end is not None:
            # PostgreSQL would turn an aware time into the session's time zone.
            row["stripe_current_period_end"] = end.replace(tzinfo=None)

        return self._users.update(payer.user_id, row)

    def customer_id_of(self, user: Any) -> str | None:
        """Read the customer of an instance. A blank one, a form's default, is none."""
        return user.stripe_customer_id or None

    def columns_of(self, user: Any) -> SubscriptionColumns:
        """Read the five subscription columns of an instance.

        No query, unless the session has to load expired attributes.
        """
        return _to_columns(*(getattr(user, name) for name in COLUMN_NAMES[1:]))

    def latest_columns(self, session: Session, user: Any) -> SubscriptionColumns:
        """As :meth:`columns_of`, but never from a replica.

        One query if the session reads users from another database than it writes to.
        """
        if is_read_elsewhere(session, self._mapper):
            payer = self.get(session, self.keys.of(user))

            if payer is not None:
                return payer.columns

        return self.columns_of(user)

    def refresh(self, session: Session, user: Any) -> None:
        """Make an instance show the six columns as they are in the database now.

        In the session, its columns expire, and are loaded when the app reads them. An
        instance of no session is given the values here, without a mark as changed, and
        so is one of a session that would load them from a replica. If its row is gone,
        it keeps its values.
        """
        if user in session and not is_read_elsewhere(session, self._mapper):
            session.expire(user, COLUMN_NAMES)
            return

        connection = connection_to(session, self._mapper)
        values = {"user_id": self.keys.of(user)}
        row = connection.execute(self._find_by_key, values).one_or_none()

        if row is None:
            return

        for name, value in zip(COLUMN_NAMES, row[1:], strict=True):
            set_committed_value(user, name, value)


def _fetch_all(
    connection: Connection, statement: Executable, values: Mapping[str, Any]
) -> Sequence[Row[Any]]:
    """Run a statement by key or by customer.

    :return: All rows; none if the app's column type cannot take the key.
    """
    try:
        return connection.execute(statement, values).all()
    except StatementError as error:
        raise_database_error(error)
        return []


def _to_payer(row: Sequence[Any]) -> Payer:
    """Read a row: the key, then the columns of ``COLUMN_NAMES``."""
    user_id, customer_id, *columns = row
    return Payer(user_id, customer_id or None, _to_columns(*columns))


def _to_columns(
    subscription_id: str | None,
    status: str | None,
    price_id: str | None,
    current_period_end: datetime | None,
    cancel_at_period_end: bool | None,
) -> SubscriptionColumns:
    """Read columns that may be of the app's own types.

    A blank id is none, and a naive time is UTC.
    """
    return SubscriptionColumns(
        subscription_id or None,
        status or None,
        price_id or None,
        current_period_end and as_utc(current_period_end),
        bool(cancel_at_period_end),
    )


def _key_beside(column: Any, keys: Keys) -> Any:
    """The key's column in the table of another column.

    If the user model inherits from a model with another table, the key is in both
    tables, perhaps by another name.
    """
    mapper: Mapper[Any] = inspect(keys.user_model)
    key_columns = mapper.get_property_by_column(keys.column).columns
    return next(
        key
        for key in (*key_columns, *column.table.primary_key)
        if key.table is column.table
    )


def _columns_of(mapper: Mapper[Any]) -> dict[str, Any]:
    """The six columns, by the names in the mixin.

    :raises ConfigurationError: If the model has something else by that name.
    """
    for name in COLUMN_NAMES:
        if name not in mapper.columns:
            raise ConfigurationError(
                f"{mapper.class_.__name__}.{name} is not a column. The extension writes"
                " it, so 'StripeUserMixin' must keep it: give the synonym or property"
                " another name."
            )

    return {name: mapper.columns[name] for name in COLUMN_NAMES}
