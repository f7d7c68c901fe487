"""The users table, as far as its six columns go, and the table of subscriptions."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple

from sqlalchemy import and_
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import inspect
from sqlalchemy import Integer
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import SmallInteger
from sqlalchemy import update
from sqlalchemy import Uuid
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.types import TypeEngine

from .errors import ConfigurationError
from .models import StripeSubscriptionMixin
from .models import StripeUserMixin
from .objects import FINAL_STATUSES
from .objects import SubscriptionState
from .subscriptions import StoredSubscription
from .subscriptions import SubscriptionColumns

#: The attributes of ``StripeUserMixin``.
COLUMN_NAMES = (
    "stripe_customer_id",
    "stripe_subscription_id",
    "stripe_subscription_status",
    "stripe_price_id",
    "stripe_current_period_end",
    "stripe_cancel_at_period_end",
)
_STATE_NAMES = tuple(SubscriptionState.__dataclass_fields__)
#: How large the keys of a type may be, where the database tells them apart.
_INTEGER_BITS = {SmallInteger: 16, Integer: 32}


class Account(NamedTuple):
    """A user who pays: primary key and the six columns."""

    user_id: Any
    customer_id: str | None
    columns: SubscriptionColumns


class RunningSubscription(NamedTuple):
    """A row that has not ended, as far as a list of many needs it."""

    created: datetime
    id: str
    customer_id: str


class Accounts:
    """The tables behind ``StripeUserMixin`` and ``StripeSubscriptionMixin``.

    Nothing here commits.
    """

    def __init__(
        self,
        user_model: type[StripeUserMixin],
        subscription_model: type[StripeSubscriptionMixin],
    ) -> None:
        mapper = inspect(user_model)

        if len(mapper.primary_key) != 1:
            raise ConfigurationError(
                f"The primary key of {user_model.__name__!r} must be one column."
            )

        key_column = mapper.primary_key[0]
        key_property = mapper.get_property_by_column(key_column)
        self.user_model = user_model
        self.subscription_model = subscription_model
        self.table_name: Final = str(mapper.local_table.name)
        self._column_type = key_column.type
        self.key_type: Final = _python_type(key_column.type)
        self._key = getattr(user_model, key_property.key)
        self._find = select(
            self._key, *(getattr(user_model, name) for name in COLUMN_NAMES)
        )
        self._rows = select(
            *(getattr(subscription_model, name) for name in _STATE_NAMES),
            subscription_model.synced_at,
            subscription_model.revision,
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

    def find(self, session: Session, customer_id: str) -> Account | None:
        """The account of a customer."""
        return self._one(session, self.user_model.stripe_customer_id == customer_id)

    def lock(self, session: Session, customer_id: str) -> Account | None:
        """The account of a customer, which nobody else can write until we commit."""
        return self._one(
            session, self.user_model.stripe_customer_id == customer_id, lock=True
        )

    def get(self, session: Session, user_id: Any) -> Account | None:
        """The account of a primary key, as the database has it now."""
        return self._one(session, self._key == user_id)

    def find_all(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, Account]:
        """The accounts of customers, by customer id. Not for thousands of them."""
        rows = session.execute(
            self._find.where(self.user_model.stripe_customer_id.in_(customer_ids))
        )
        accounts = (_to_account(row) for row in rows)
        return {str(account.customer_id): account for account in accounts}

    def list_paying(
        self, session: Session, after: Any = None, *, limit: int
    ) -> list[Account]:
        """Those who have a customer, in the order of their primary keys.

        :param after: The key that the list goes on after.
        """
        statement = self._find.where(self.user_model.stripe_customer_id.is_not(None))

        if after is not None:
            statement = statement.where(self._key > after)

        rows = session.execute(statement.order_by(self._key).limit(limit))
        return [_to_account(row) for row in rows]

    def _one(
        self, session: Session, criterion: Any, *, lock: bool = False
    ) -> Account | None:
        statement = self._find.where(criterion)

        if lock:
            statement = statement.with_for_update()

        try:
            row = session.execute(statement).one_or_none()
        except StatementError as error:
            _raise_database_error(error)
            return None

        return None if row is None else _to_account(row)

    def link(
        self,
        session: Session,
        user_id: Any,
        customer_id: str | None,
        *,
        replacing: str | None = None,
    ) -> bool:
        """Set the customer of a user, if it still is the one to replace."""
        result = session.execute(
            update(self.user_model)
            .where(
                self._key == user_id, self.user_model.stripe_customer_id == replacing
            )
            .values(stripe_customer_id=customer_id)
            .execution_options(synchronize_session=False)
        )
        return bool(result.rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def write_columns(
        self, session: Session, user_id: Any, columns: SubscriptionColumns
    ) -> None:
        """Write what the projection says into the user's row."""
        session.execute(
            update(self.user_model)
            .where(self._key == user_id)
            .values(
                stripe_subscription_id=columns.subscription_id,
                stripe_subscription_status=columns.status,
                stripe_price_id=columns.price_id,
                stripe_current_period_end=columns.current_period_end,
                stripe_cancel_at_period_end=columns.cancel_at_period_end,
            )
            .execution_options(synchronize_session=False)
        )

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
        """Have an instance show what the database has now."""
        if user in session:
            session.expire(user, COLUMN_NAMES)
            return

        row = session.execute(self._find.where(self._key == self.key_of(user))).one()

        for name, value in zip(COLUMN_NAMES, row[1:], strict=True):
            set_committed_value(user, name, value)

    # -- subscriptions ---------------------------------------------------------------

    def subscriptions(
        self, session: Session, customer_id: str
    ) -> dict[str, StoredSubscription]:
        """The rows of a customer, by subscription id."""
        rows = session.execute(
            self._rows.where(self.subscription_model.customer_id == customer_id)
        )
        return {row.id: _to_stored(row) for row in rows}

    def subscriptions_of(
        self, session: Session, customer_ids: Collection[str]
    ) -> dict[str, dict[str, StoredSubscription]]:
        """The rows of customers, by customer id and subscription id."""
        found: dict[str, dict[str, StoredSubscription]] = {
            customer_id: {} for customer_id in customer_ids
        }
        rows = session.execute(
            self._rows.where(self.subscription_model.customer_id.in_(customer_ids))
        )

        for row in rows:
            found[row.customer_id][row.id] = _to_stored(row)

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
        model = self.subscription_model
        revision = session.scalar(
            select(model.revision).where(model.id == subscription_id)
        )
        return {} if revision is None else {subscription_id: revision}

    def write_subscriptions(
        self,
        session: Session,
        before: dict[str, StoredSubscription],
        after: Iterable[StoredSubscription],
    ) -> None:
        """Insert and update the rows that are not as they were."""
        for stored in after:
            subscription_id = stored.state.id
            values = {
                **asdict(stored.state),
                "synced_at": stored.synced_at,
                "revision": stored.revision,
            }

            if subscription_id not in before:
                session.execute(insert(self.subscription_model), [values])
            elif stored != before[subscription_id]:
                session.execute(
                    update(self.subscription_model)
                    .where(self.subscription_model.id == subscription_id)
                    .values(values)
                    .execution_options(synchronize_session=False)
                )


def _to_account(row: Any) -> Account:
    user_id, customer_id, *columns = row
    return Account(user_id, customer_id, SubscriptionColumns(*columns))


def _to_stored(row: Any) -> StoredSubscription:
    return StoredSubscription(SubscriptionState(*row[:-2]), row.synced_at, row.revision)


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
