"""The columns: on the app's user, and in the two tables behind it."""

from __future__ import annotations

from datetime import datetime
from datetime import UTC

from sqlalchemy import BigInteger
from sqlalchemy import Boolean
from sqlalchemy import DateTime
from sqlalchemy import Dialect
from sqlalchemy import Index
from sqlalchemy import Integer
from sqlalchemy import String
from sqlalchemy import Text
from sqlalchemy import text
from sqlalchemy.orm import declared_attr
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator
from sqlalchemy.types import TypeEngine


class UTCDateTime(TypeDecorator[datetime]):
    """A timestamp that is an aware UTC ``datetime`` in Python on every database.

    A naive value counts as UTC.
    """

    impl: TypeEngine[datetime] | type[TypeEngine[datetime]] = DateTime(timezone=True)
    cache_ok: bool | None = True

    # Alembic writes a type into a migration as its module and its repr. With these
    # two a migration says `sa.DateTime(timezone=True)` and imports nothing of ours.
    __module__ = "sqlalchemy.types"

    def __repr__(self) -> str:
        return "DateTime(timezone=True)"

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return None if value is None else _as_utc(value)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return None if value is None else _as_utc(value)


def _as_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


# Stripe's ids are case-sensitive, and the usual collations of MySQL are not. With a
# collation comes its character set: that of the database may lack most letters.
# Source: https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible
_COLLATION = "utf8mb4_bin"
_Id = String(255).with_variant(String(255, collation=_COLLATION), "mysql", "mariadb")

_Text = Text().with_variant(Text(collation=_COLLATION), "mysql", "mariadb")


class MEDIUMTEXT(Text):
    """MySQL's type of this name: a TEXT there ends at 64 KiB.

    Not a TEXT with a length: MySQL makes another type of it, and every ``flask db
    migrate`` would find a change. Not the class of ``sqlalchemy.dialects.mysql``: an
    app on another database would load all of that dialect. Alembic writes this one into
    a migration as it would write that one.
    """

    __visit_name__ = "MEDIUMTEXT"
    __module__ = "sqlalchemy.dialects.mysql.types"

    def __repr__(self) -> str:
        return f"MEDIUMTEXT(collation={self.collation!r})"


_LongText = Text().with_variant(MEDIUMTEXT(collation=_COLLATION), "mysql", "mariadb")

# A string: every database casts '0' to false. Alembic would render `sa.false()` for the
# database that generates the migration, and PostgreSQL takes no 0.
_FALSE = "0"


class StripeUserMixin:
    """Six columns for the model of those who pay.

    .. code-block:: python

        class User(UserMixin, StripeUserMixin, db.Model):
            id: Mapped[int] = mapped_column(primary_key=True)

    The extension writes them, from what Stripe says; an app reads them.
    """

    #: The Stripe customer, ``cus_...``.
    stripe_customer_id: Mapped[str | None] = mapped_column(_Id, unique=True, index=True)
    #: The subscription that counts, ``sub_...``. Null when none is running.
    stripe_subscription_id: Mapped[str | None] = mapped_column(_Id, index=True)
    #: Its status in Stripe's words. After the end, the final one.
    stripe_subscription_status: Mapped[str | None] = mapped_column(String(32))
    #: The price of its first item, ``price_...``.
    stripe_price_id: Mapped[str | None] = mapped_column(_Id)
    #: When the paid period ends.
    stripe_current_period_end: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Whether it is scheduled to cancel.
    stripe_cancel_at_period_end: Mapped[bool] = mapped_column(
        Boolean, default=False, server_default=_FALSE
    )


class StripeSubscriptionMixin:
    """One row per subscription of a known customer."""

    __tablename__ = "stripe_subscription"

    #: ``sub_...``
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    #: ``cus_...``
    customer_id: Mapped[str] = mapped_column(_Id, index=True)
    #: Stripe's status.
    status: Mapped[str] = mapped_column(String(32))
    #: The price of the first item, ``price_...``.
    price_id: Mapped[str | None] = mapped_column(_Id)
    #: The quantity of the first item.
    quantity: Mapped[int | None] = mapped_column(Integer)
    #: When the paid period ends; of several items, the earliest end.
    current_period_end: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Whether it is scheduled to cancel, however Stripe says it.
    cancel_at_period_end: Mapped[bool] = mapped_column(
        Boolean, default=False, server_default=_FALSE
    )
    #: When the trial ends or ended.
    trial_end: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When the subscription ended.
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When it was created at Stripe.
    created: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Stripe's time of this state, by which events are ordered. It never goes back.
    synced_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Counts every write to the row.
    revision: Mapped[int] = mapped_column(BigInteger, default=1)


class StripeEventMixin:
    """The ledger: one row per event that anyone handles."""

    __tablename__ = "stripe_event"

    #: ``evt_...``
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    #: Stripe's event type.
    type: Mapped[str] = mapped_column(_Id)
    #: Stripe's time of the event.
    created: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: The id of the object that the event is about.
    object_id: Mapped[str | None] = mapped_column(_Id)
    #: The customer whom the event concerns.
    customer_id: Mapped[str | None] = mapped_column(_Id, index=True)
    #: The primary key of that customer's user, as text.
    user_id: Mapped[str | None] = mapped_column(_Id)
    #: Whether it happened in live mode.
    livemode: Mapped[bool | None] = mapped_column(Boolean)
    #: The API version that the payload is written in.
    api_version: Mapped[str | None] = mapped_column(_Id)
    #: The event, as sent.
    payload: Mapped[str] = mapped_column(_LongText)
    #: Whether it changed the user's columns.
    changed: Mapped[bool] = mapped_column(Boolean, default=False, server_default=_FALSE)
    #: When it was stored first.
    received_at: Mapped[datetime] = mapped_column(UTCDateTime)
    #: When its last handler was done. Null while handlers have to run.
    processed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: How often its handlers were run.
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    #: What the last attempt failed with.
    error: Mapped[str | None] = mapped_column(_Text)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Index, ...]:
        """An index of what is left to do, in order of arrival.

        It is empty where all is done. MariaDB has no partial indexes: there the first
        column finds what the condition keeps elsewhere.
        """
        unprocessed = text("processed_at IS NULL")
        return (
            Index(
                f"ix_{cls.__tablename__}_unprocessed",
                "processed_at",
                "received_at",
                postgresql_where=unprocessed,
                sqlite_where=unprocessed,
            ),
        )
