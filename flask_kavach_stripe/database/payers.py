"""The users table, as far as its six columns go, and the table of subscriptions.

Its statements are built once and run on the session's connection: to build them for
each webhook would take longer than to run them. No parameter of an update may have the
name of a column, which could be the app's own: SQLAlchemy would take it for a value.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import Connection
from sqlalchemy import Executable
from sqlalchemy import exists
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import Integer
from sqlalchemy import literal
from sqlalchemy import or_
from sqlalchemy import Row
from sqlalchemy import select
from sqlalchemy import SmallInteger
from sqlalchemy import true
from sqlalchemy import update
from sqlalchemy import Uuid
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Mapper
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.types import TypeEngine

from ..errors import ConfigurationError
from ..stripe_api.objects import FINAL_STATUSES
from ..stripe_api.objects import SubscriptionState
from ..subscriptions import CustomerState
from ..subscriptions import Payer
from ..subscriptions import StoredSubscription
from ..subscriptions import SubscriptionColumns
from .ledger import Entry
from .ledger import ENTRY_NAMES
from .ledger import Ledger
from .ledger import to_joined_entry
from .models import StripeSubscriptionMixin
from .models import StripeUserMixin
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
#: The attributes of ``StripeSubscriptionMixin``.
_ROW_NAMES = (*SubscriptionState._fields, "synced_at", "revision")
#: Where in a joined row the user's columns end, and where a subscription's begin.
_USER_WIDTH = 1 + len(COLUMN_NAMES)
_ROW_START = _USER_WIDTH + len(ENTRY_NAMES)
#: How large the keys of a type may be, where the database tells them apart.
_INTEGER_BITS = {SmallInteger: 16, Integer: 32}


class RunningSubscription(NamedTuple):
    """A row that has not ended, as far as a list of many needs it."""

    created: datetime
    id: str
    customer_id: str


class Payers:
    """The tables behind ``StripeUserMixin`` and ``StripeSubscriptionMixin``.

    Nothing here commits.
    """

    def __init__(
        self,
        user_model: type[StripeUserMixin],
        subscription_model: type[StripeSubscriptionMixin],
        ledger: Ledger,
    ) -> None:
        mapper = inspect(user_model)

        if len(mapper.primary_key) != 1:
            raise ConfigurationError(
                f"The primary key of {user_model.__name__!r} must be one column."
            )

        key_column = mapper.primary_key[0]
        self.user_model = user_model
        self._ledger = ledger
        self.subscription_model = subscription_model
        self.table_name: Final = str(mapper.local_table.name)
        self._column_type = key_column.type
        self.key_type: Final = _python_type(key_column.type)
        self._user_mapper: Mapper[Any] = mapper
        self._subscription_mapper: Mapper[Any] = inspect(subscription_model)
        self._user_columns: dict[str, Any] = {
            name: mapper.columns[name] for name in COLUMN_NAMES
        }
        self._prepare_users(mapper, key_column)
        self._prepare_subscriptions()

    def _prepare_users(self, mapper: Mapper[Any], key_column: Any) -> None:
        customer = self._user_columns["stripe_customer_id"]
        # A subclass may have a table of its own, with the same key by any name.
        key_columns = mapper.get_property_by_column(key_column).columns
        key = next(
            column
            for column in (*key_columns, *customer.table.primary_key)
            if column.table is customer.table
        )
        find = select(key, *self._user_columns.values())

        if mapper.single and mapper.polymorphic_on is not None:
            kinds = [each.polymorphic_identity for each in mapper.self_and_descendants]
            find = find.where(mapper.polymorphic_on.in_(kinds))

        self._key = key
        self._find = find
        self._find_by_key = find.where(key == bindparam("user_id"))
        self._find_by_customer = find.where(customer == bindparam("customer"))
        self._lock = self._find_by_customer.with_for_update()
        self._users = Table(mapper, self._user_columns, key)
        link = (
            update(customer.table)
            .where(key == bindparam("link__user_id"))
            .values({customer: bindparam("link__customer")})
        )
        self._link = link.where(customer.is_(None))

    def _prepare_subscriptions(self) -> None:
        ledger = self._ledger
        columns = self._subscription_mapper.columns
        users, events = self._key.table, ledger.table
        table = columns.id.table
        row_columns = [columns[name] for name in _ROW_NAMES]
        is_stored: Any = exists(ledger.entry_columns[0]).where(ledger.is_meant)

        # Tables of different databases cannot be read at once.
        if table.metadata is not events.metadata:
            is_stored = literal(False)

        one = select(literal(1).label("one")).subquery("one_row")
        of_customer = columns.customer_id == bindparam("customer")
        self._rows = select(is_stored, *row_columns).select_from(
            one.outerjoin(table, of_customer)
        )
        self._committed_rows = self._rows.with_for_update()
        self._revision = select(columns.revision).where(
            columns.id == bindparam("subscription")
        )
        self._subscriptions = Table(
            self._subscription_mapper, dict(columns), columns.id
        )
        self._can_join = users.metadata is table.metadata is events.metadata

        if self._can_join:
            self._prepare_joins(row_columns, of_customer)

    def _prepare_joins(self, row_columns: list[Any], of_customer: Any) -> None:
        ledger, key, users = self._ledger, self._key, self._key.table
        table = row_columns[0].table
        found = users.alias()
        # Of the row that is locked, and of the one that was found before. Whoever
        # writes a customer's rows writes the user's, too: if both are the same row,
        # nothing was written while the lock was waited for.
        # Source: https://www.postgresql.org/docs/current/ddl-system-columns.html
        is_same = func.xmin(users.table_valued()) == func.xmin(found.table_valued())
        find = self._find_by_customer.add_columns(*ledger.entry_columns, *row_columns)
        joined = users.outerjoin(ledger.table, ledger.is_meant)
        joined = joined.outerjoin(table, of_customer)
        self._find_all = find.add_columns(true()).select_from(joined)
        self._lock_all = (
            find.add_columns(is_same)
            .select_from(joined.join(found, found.c[key.key] == key))
            .with_for_update(of=users)
        )

    # -- users ---------------------------------------------------------------------

    def key_of(self, user: Any) -> Any:
        """The primary key of an instance, ``None`` before it is stored."""
        identity = inspect(user).identity
        return None if identity is None else identity[0]

    def parse_key(self, session: Session, value: Any) -> Any:
        """A primary key of the right type, or ``None`` where the value is none."""
        if isinstance(value, str):
            key = self._parse_text(value)
        else:
            key = value if isinstance(value, self.key_type) else None

        if isinstance(key, bool):
            return None

        return None if self._is_too_large(session, key) else key

    def _parse_text(self, text: str) -> Any:
        """A key that is written as we write it: `int` would take " 1" and "1_0"."""
        if self.key_type is object:
            return text

        is_uuid = isinstance(self._column_type, Uuid)

        try:
            key = uuid.UUID(text) if is_uuid else self.key_type(text)
        except (ArithmeticError, TypeError, ValueError):
            return None

        if str(key) != (text.lower() if isinstance(key, uuid.UUID) else text):
            return None

        return key if isinstance(key, self.key_type) else str(key)

    def _is_too_large(self, session: Session, key: Any) -> bool:
        """Whether the column cannot hold an integer."""
        if not isinstance(key, int):
            return False

        bits = 64
        bind = session.get_bind(mapper=inspect(self.user_model))

        if bind.dialect.name != "sqlite":  # whose integers are all of this size
            bits = _INTEGER_BITS.get(type(self._column_type), bits)

        return bool(abs(key) >= 1 << (bits - 1))

    def load(self, session: Session, value: Any) -> Any:
        """The user with a primary key, also one given as text, or ``None``."""
        key = self.parse_key(session, value)

        try:
            return None if key is None else session.get(self.user_model, key)
        except StatementError as error:
            _raise_database_error(error)
            return None

    def attached(self, session: Session, user: Any) -> Any:
        """The instance; the session's own of it, where it can load nothing itself."""
        found = inspect(user)

        if found.detached and found.expired_attributes:
            return session.get(self.user_model, found.identity[0])

        return user

    def find(self, session: Session, customer_id: str) -> Payer | None:
        """The payer of a customer."""
        return self._one(session, self._find_by_customer, customer=customer_id)

    def lock(
        self,
        session: Session,
        customer_id: str,
        event_id: str | None = None,
        *,
        has_read: bool = False,
    ) -> tuple[CustomerState | None, Entry | None]:
        """Lock the user of a customer until we commit, and read what belongs to it.

        What a statement joins to a row is as old as the statement, and may be older
        than the row's lock. So this takes two where the lock was waited for, and where
        the database does not tell.

        :param has_read: Whether the transaction may have read before. MariaDB would
            then show the rows of that time, not those of the lock, unless they are
            locked as well; PostgreSQL shows them or fails.
        :return: And the event's entry, if it is in the ledger; then without rows.
        """
        connection = connection_to(session, self._user_mapper)
        dialect = connection.dialect.name
        values = {"customer": customer_id, "event__id": event_id}
        statement = self._lock

        if self._can_join and dialect == "sqlite":  # which is locked already
            statement = self._find_all
        elif self._can_join and dialect == "postgresql":
            statement = self._lock_all

        found = _fetch(connection, statement, values)

        if not found:
            return None, None

        payer = _to_payer(found[0][:_USER_WIDTH])
        entry = to_joined_entry(found[0][_USER_WIDTH:_ROW_START])
        rows: list[Sequence[Any]] = []

        if entry is None and statement is not self._lock and found[0][-1]:
            rows = [row[_ROW_START:-1] for row in found]
        elif entry is None:
            is_stored, rows = self._read(session, values, has_read=has_read)

            if is_stored and event_id is not None:
                entry = self._ledger.find(session, event_id)

        return CustomerState(payer, _to_subscriptions(rows)), entry

    def get(self, session: Session, user_id: Any) -> Payer | None:
        """The payer of a primary key, as the database has it now."""
        return self._one(session, self._find_by_key, user_id=user_id)

    def find_all(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, Payer]:
        """The payers of customers, by customer id. Not for thousands of them."""
        is_one = self._user_columns["stripe_customer_id"].in_(customer_ids)
        connection = connection_to(session, self._user_mapper)
        payers = map(_to_payer, connection.execute(self._find.where(is_one)))
        return {str(payer.customer_id): payer for payer in payers}

    def list_paying(
        self, session: Session, after: Any = None, *, limit: int
    ) -> list[Payer]:
        """Those who have a customer, in the order of their primary keys.

        :param after: The key that the list goes on after.
        """
        customer = self._user_columns["stripe_customer_id"]
        statement = self._find.where(customer.is_not(None))

        if after is not None:
            statement = statement.where(self._key > after)

        statement = statement.order_by(self._key).limit(limit)
        connection = connection_to(session, self._user_mapper)
        return [_to_payer(row) for row in connection.execute(statement)]

    def _one(
        self, session: Session, statement: Executable, **values: Any
    ) -> Payer | None:
        connection = connection_to(session, self._user_mapper)
        rows = _fetch(connection, statement, values)
        return _to_payer(rows[0]) if rows else None

    def link(self, session: Session, user_id: Any, customer_id: str) -> None:
        """Set the customer of a user who has none."""
        values = {"link__user_id": user_id, "link__customer": customer_id}
        connection_to(session, self._user_mapper).execute(self._link, values)

    def write_payer(self, before: Payer, after: Payer) -> Write:
        """Write what has changed into the user's row; one column, if nothing has."""
        changed = _difference(COLUMN_NAMES, _user_row(before), _user_row(after))
        same = {"stripe_cancel_at_period_end": after.columns.cancel_at_period_end}
        return self._users.update(after.user_id, changed or same)

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

        connection = connection_to(session, self._user_mapper)
        values = {"user_id": self.key_of(user)}
        row = connection.execute(self._find_by_key, values).one_or_none()

        if row is None:
            return

        for name, value in zip(COLUMN_NAMES, row[1:], strict=True):
            set_committed_value(user, name, value)

    # -- subscriptions ---------------------------------------------------------------

    def subscriptions(
        self, session: Session, customer_id: str
    ) -> dict[str, StoredSubscription]:
        """The rows of a customer, by subscription id."""
        values = {"customer": customer_id, "event__id": None}
        return _to_subscriptions(self._read(session, values)[1])

    def _read(
        self, session: Session, values: Mapping[str, Any], *, has_read: bool = False
    ) -> tuple[bool, list[Sequence[Any]]]:
        """Whether an event is in the ledger, and the rows of a customer."""
        connection = connection_to(session, self._subscription_mapper)
        is_behind = has_read and connection.dialect.name in ("mysql", "mariadb")
        statement = self._committed_rows if is_behind else self._rows
        found = connection.execute(statement, values).all()
        return bool(found[0][0]), [row[1:] for row in found]

    def subscriptions_of(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, dict[str, StoredSubscription]]:
        """The rows of customers, by customer id and subscription id."""
        found: dict[str, dict[str, StoredSubscription]] = {
            customer_id: {} for customer_id in customer_ids
        }
        columns = self._subscription_mapper.columns
        statement = select(*(columns[name] for name in _ROW_NAMES)).where(
            columns.customer_id.in_(customer_ids)
        )
        connection = connection_to(session, self._subscription_mapper)

        for row in connection.execute(statement):
            stored = _to_stored(row)
            found[stored.state.customer_id][stored.state.id] = stored

        return found

    def list_running(
        self,
        session: Session,
        after: RunningSubscription | None = None,
        *,
        limit: int,
    ) -> list[RunningSubscription]:
        """Subscriptions that have not ended and whose time of creation is known.

        :param after: The one that the list goes on after.
        :return: Newest first, as Stripe lists them.
        """
        model = self.subscription_model
        statement = select(model.created, model.id, model.customer_id).where(
            model.created.is_not(None), model.status.not_in(sorted(FINAL_STATUSES))
        )

        if after is not None:
            older = model.created < after.created
            as_old = and_(model.created == after.created, model.id < after.id)
            statement = statement.where(or_(older, as_old))

        statement = statement.order_by(model.created.desc(), model.id.desc())
        rows = session.execute(statement.limit(limit))
        return [
            RunningSubscription(created, subscription_id, customer_id)
            for created, subscription_id, customer_id in rows
            if created is not None
        ]

    def count_subscriptions(self, session: Session) -> int:
        """How many rows there are."""
        model = self.subscription_model
        return session.scalar(select(func.count()).select_from(model)) or 0

    def revisions(self, session: Session, subscription_id: str) -> dict[str, int]:
        """The revision of a row by its id, empty if there is none."""
        connection = connection_to(session, self._subscription_mapper)
        revision = connection.scalar(self._revision, {"subscription": subscription_id})
        return {} if revision is None else {subscription_id: revision}

    def write_subscriptions(
        self,
        before: Mapping[str, StoredSubscription],
        after: Iterable[StoredSubscription],
    ) -> Iterator[Write]:
        """Insert the rows that are new, and write what has changed in the others."""
        for stored in after:
            old = before.get(stored.state.id)

            if old is None:
                row = zip(_ROW_NAMES, _row(stored), strict=True)
                yield self._subscriptions.insert(dict(row))
            elif stored != old:
                changed = _difference(_ROW_NAMES, _row(old), _row(stored))
                yield self._subscriptions.update(stored.state.id, changed)


def _user_row(payer: Payer) -> tuple[Any, ...]:
    return (payer.customer_id, *payer.columns)


def _row(stored: StoredSubscription) -> tuple[Any, ...]:
    return (*stored.state, stored.synced_at, stored.revision)


def _difference(
    names: Iterable[str], before: Iterable[Any], after: Iterable[Any]
) -> dict[str, Any]:
    """The values that are not what they were."""
    values = zip(names, before, after, strict=True)
    return {name: new for name, old, new in values if new != old}


def _fetch(
    connection: Connection, statement: Executable, values: Mapping[str, Any]
) -> Sequence[Row[Any]]:
    """What a statement about a user finds; nobody, if there can be no such user."""
    try:
        return connection.execute(statement, values).all()
    except StatementError as error:
        _raise_database_error(error)
        return []


def _to_subscriptions(rows: Iterable[Sequence[Any]]) -> dict[str, StoredSubscription]:
    """From the rows of an outer join, by id."""
    return {row[0]: _to_stored(row) for row in rows if row and row[0] is not None}


def _to_payer(row: Any) -> Payer:
    user_id, customer_id, *columns = row
    return Payer(user_id, customer_id, SubscriptionColumns(*columns))


def _to_stored(row: Any) -> StoredSubscription:
    return StoredSubscription(SubscriptionState(*row[:-2]), *row[-2:])


def _python_type(column_type: TypeEngine[Any]) -> type[Any]:
    """What a column holds in Python; any object, if its type does not tell."""
    try:
        return column_type.python_type
    except NotImplementedError:
        return object


def _raise_database_error(error: StatementError) -> None:
    """Raise what the database itself says.

    The rest comes of a key that the app's own type cannot take: nobody has it.
    """
    if isinstance(error, DBAPIError):
        raise error
