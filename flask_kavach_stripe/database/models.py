"""The columns: six on the app's user model, and two tables of our own.

An app puts :class:`StripeUserMixin` on its user model. The other two mixins become
models of the extension, or of the app if it wants columns of its own there. Migrations
are generated from these classes, so a change here is a migration in every app.
"""

from __future__ import annotations

from datetime import datetime
from datetime import UTC
from typing import Any
from typing import TYPE_CHECKING

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
    """A time that is an aware UTC ``datetime`` in Python, whatever the database.

    SQLite and MariaDB store no time zone. What they return, and a naive value that an
    app writes, counts as UTC.
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
        return None if value is None else as_utc(value)

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        return None if value is None else as_utc(value)


def as_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


# Stripe's ids are case-sensitive, and the default collations of MySQL and MariaDB are
# not. The collation also sets the column's character set: the database's own may lack
# most letters.
# Source: https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible
_COLLATION = "utf8mb4_bin"
_Id = String(255).with_variant(String(255, collation=_COLLATION), "mysql", "mariadb")

_Text = Text().with_variant(Text(collation=_COLLATION), "mysql", "mariadb")


class MEDIUMTEXT(Text):
    """MySQL's type for a text of up to 16 MiB; a TEXT there ends at 64 KiB.

    A ``TEXT`` with a length would not do: MySQL turns it into another type, and every
    ``flask db migrate`` would find a change. The class of ``sqlalchemy.dialects.mysql``
    would make an app on any other database load that whole dialect. Alembic writes this
    class into a migration just like that one.
    """

    __visit_name__ = "MEDIUMTEXT"
    __module__ = "sqlalchemy.dialects.mysql.types"

    def __repr__(self) -> str:
        return f"MEDIUMTEXT(collation={self.collation!r})"


_MAX_NAME_LENGTH = 256  # Stripe's

_LongText = Text().with_variant(MEDIUMTEXT(collation=_COLLATION), "mysql", "mariadb")

# A string: every database casts '0' to false. Alembic would render `sa.false()` for the
# database that generates the migration, and PostgreSQL rejects the number 0.
_FALSE = "0"


class StripeUserMixin:
    """Six columns for the app's user model.

    .. code-block:: python

        class User(UserMixin, StripeUserMixin, db.Model):
            id: Mapped[int] = mapped_column(primary_key=True)

    The extension writes the columns from Stripe's events and answers. The app reads
    them.
    """

    if TYPE_CHECKING:
        # SQLAlchemy must not see these annotations: if the app uses MappedAsDataclass,
        # it would make each column an argument of the user's ``__init__``.
        stripe_customer_id: Mapped[str | None]
        stripe_subscription_id: Mapped[str | None]
        stripe_subscription_status: Mapped[str | None]
        stripe_price_id: Mapped[str | None]
        stripe_current_period_end: Mapped[datetime | None]
        stripe_cancel_at_period_end: Mapped[bool]

    #: The Stripe customer, ``cus_...``.
    stripe_customer_id = mapped_column(_Id, unique=True, index=True)
    #: The subscription that counts, ``sub_...``. Null if none is running.
    stripe_subscription_id = mapped_column(_Id, index=True)
    #: The status of that subscription, as Stripe names it. After its end, the final
    #: status.
    stripe_subscription_status = mapped_column(String(32))
    #: The price of the subscription's plan, ``price_...``.
    stripe_price_id = mapped_column(_Id)
    #: When the paid period ends. Aware, in UTC.
    stripe_current_period_end = mapped_column(UTCDateTime)
    #: Whether the subscription is scheduled to cancel.
    stripe_cancel_at_period_end = mapped_column(
        Boolean, nullable=False, default=False, server_default=_FALSE
    )

    def stripe_customer_params(self) -> dict[str, Any]:
        """The parameters of this user's customer at Stripe. Override it to send others.

        By default ``email`` and ``name``, if the model has them, without spaces at the
        ends, and the name without what is above Stripe's 256 characters. The e-mail
        also decides whether a customer that lost its user is this user's.

        .. versionadded:: 0.1
        """
        params: dict[str, Any] = {}

        for name, length in (("email", None), ("name", _MAX_NAME_LENGTH)):
            value = getattr(self, name, None)

            if isinstance(value, str) and value.strip():
                params[name] = value.strip()[:length]

        return params


class StripeSubscriptionMixin:
    """One row for each subscription of a known customer, also after it has ended.

    The user's columns show the best of a customer's rows. Times are aware and in UTC.
    """

    __tablename__ = "stripe_subscription"

    #: The id of the subscription, ``sub_...``.
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    #: The customer, ``cus_...``.
    customer_id: Mapped[str] = mapped_column(_Id, index=True)
    #: The status, as Stripe names it.
    status: Mapped[str] = mapped_column(String(32))
    #: JSON: ``[{"id": "si_...", "price": "price_...", "quantity": 1}]``, in Stripe's
    #: order. A metered price has no quantity.
    items: Mapped[str] = mapped_column(_LongText, default="[]")
    #: When the paid period began; of the same item as ``current_period_end``.
    current_period_start: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When the paid period ends; of several items, the earliest end.
    current_period_end: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When the subscription ends, if a day is set.
    cancel_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Whether the subscription is scheduled to cancel, at the end of the period or at
    #: ``cancel_at``.
    cancel_at_period_end: Mapped[bool] = mapped_column(
        Boolean, default=False, server_default=_FALSE
    )
    #: Whether nothing is charged for now (``pause_collection``). The status stays.
    collection_paused: Mapped[bool] = mapped_column(
        Boolean, default=False, server_default=_FALSE
    )
    #: When the trial ends or ended.
    trial_end: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When the subscription ended.
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When the subscription was created at Stripe.
    created: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Stripe's time of this state: events are ordered by it. It never goes back.
    synced_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: Counts every write to the row. An answer of Stripe is only stored if no other
    #: write came between the question and the answer.
    revision: Mapped[int] = mapped_column(BigInteger, default=1)


class StripeEventMixin:
    """The ledger: one row for each event that the extension or the app handles.

    An event is *unprocessed* while ``processed_at`` is null. Times are aware and in
    UTC.
    """

    __tablename__ = "stripe_event"

    #: The id of the event, ``evt_...``.
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
    #: Whether the event happened in live mode.
    livemode: Mapped[bool | None] = mapped_column(Boolean)
    #: The API version that the payload is written in.
    api_version: Mapped[str | None] = mapped_column(_Id)
    #: The event as Stripe sent it, as JSON.
    payload: Mapped[str] = mapped_column(_LongText)
    #: JSON of what the event did to the user's subscription: ``before`` and ``after``,
    #: each a subscription or null. Null if nothing changed.
    change: Mapped[str | None] = mapped_column(_LongText)
    #: When the event was stored first.
    received_at: Mapped[datetime] = mapped_column(UTCDateTime)
    #: When the handlers of the event have run. Null while they have to run.
    processed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: When the handlers were tried last.
    attempted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    #: How often the handlers were tried.
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    #: Type and message of the error from the last attempt. Null if it succeeded.
    error: Mapped[str | None] = mapped_column(_Text)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Index, ...]:
        """Index the unprocessed events in the order of their arrival.

        The index is partial: it is empty while every event is processed. MariaDB has no
        partial indexes. There the index holds all events, and its first column finds
        the unprocessed ones.
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
