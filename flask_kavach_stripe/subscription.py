"""Subscriptions as the app sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any
from typing import Final
from typing import NamedTuple

from .catalogue import Access
from .customer_state import SubscriptionColumns
from .stripe_api.objects import SubscriptionState

#: How long a scheduled end is waited for: its webhook may be late.
GRACE: Final = timedelta(days=1)

#: Reads the row of a subscription by its id; ``None`` if there is no row.
ReadRow = Callable[[str], SubscriptionState | None]


class Item(NamedTuple):
    """One item of a subscription."""

    #: ``si_...``; ``None`` if only the user's columns are known.
    id: str | None
    #: ``price_...``
    price_id: str | None
    #: ``None`` for a metered price.
    quantity: int | None
    #: The name of the price in ``STRIPE_PRICES``.
    price: str | None


@dataclass(frozen=True)
class Subscription:
    """A user's subscription.

    The five fields come from the user's columns: without a query, and anywhere. The
    other attributes are in the subscription's row. It is read with one query when one
    of them is asked for first, unless it was read already, as ``list_subscriptions``
    does. Comparing, printing and pickling know the five fields alone.
    """

    #: ``sub_...``
    id: str
    #: One of Stripe's statuses, such as ``"active"``.
    status: str
    #: The price of the item that counts, ``price_...``.
    price_id: str | None
    #: When the paid period ends, as an aware UTC time.
    current_period_end: datetime | None
    #: Whether it is scheduled to cancel, by ``cancel_at_period_end`` or ``cancel_at``.
    cancel_at_period_end: bool

    @classmethod
    def describe(
        cls,
        columns: SubscriptionColumns,
        access: Access,
        as_of: datetime,
        row: SubscriptionState | ReadRow | None,
    ) -> Subscription | None:
        """Make one from the user's columns.

        :param access: What gives access in this app.
        :param as_of: The time at which it is looked at.
        :param row: The row, or what reads it.
        :return: ``None`` if the columns name no subscription.
        """
        if columns.subscription_id is None:
            return None

        subscription = cls(
            columns.subscription_id,
            columns.known_status,
            columns.price_id,
            columns.current_period_end,
            columns.cancel_at_period_end,
        )
        subscription.__dict__.update(_access=access, _as_of=as_of, _row=row)
        return subscription

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (
            self.id,
            self.status,
            self.price_id,
            self.current_period_end,
            self.cancel_at_period_end,
        )
        return type(self), fields

    # -- from the fields -------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether it gives access: the status is in ``STRIPE_ACTIVE_STATUSES``.

        A scheduled end that is past by a day gives none, whether or not Stripe's event
        of the end arrived. Only where an end is scheduled, the row is read for its day.
        """
        return self.status in self._access_rules.active_statuses and not self._is_over

    @property
    def on_trial(self) -> bool:
        """Whether the free trial is running."""
        return self.status == "trialing"

    @property
    def past_due(self) -> bool:
        """Whether the last payment failed and Stripe tries again."""
        return self.status == "past_due"

    @property
    def canceled(self) -> bool:
        """Whether it was canceled and has ended."""
        return self.status == "canceled"

    @property
    def on_grace_period(self) -> bool:
        """Whether it is scheduled to cancel and still gives access."""
        return self.cancel_at_period_end and self.is_active

    @property
    def price(self) -> str | None:
        """The name of the price in ``STRIPE_PRICES``."""
        return self._access_rules.catalogue.names.get(self.price_id or "")

    # -- from the row ----------------------------------------------------------------

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, in Stripe's order."""
        row, names = self._read_row(), self._access_rules.catalogue.names

        if row is None:
            known = self.price_id is not None
            return (Item(None, self.price_id, None, self.price),) if known else ()

        return tuple(
            Item(item.id, item.price_id, item.quantity, names.get(item.price_id or ""))
            for item in row.items
        )

    @property
    def quantity(self) -> int | None:
        """The quantity of the item that counts; ``None`` for a metered price."""
        item = self._access_rules.catalogue.main_item(self.items)
        return None if item is None else item.quantity

    @property
    def trial_end(self) -> datetime | None:
        """When the trial ends or ended."""
        row = self._read_row()
        return None if row is None else row.trial_end

    @property
    def created(self) -> datetime | None:
        """When it was created at Stripe."""
        row = self._read_row()
        return None if row is None else row.created

    @property
    def current_period_start(self) -> datetime | None:
        """When the paid period began. Quotas of the app count from it."""
        row = self._read_row()
        return None if row is None else row.current_period_start

    @property
    def collection_paused(self) -> bool | None:
        """Whether nothing is charged for now. The status stays ``active``."""
        row = self._read_row()
        return None if row is None else row.collection_paused

    @property
    def ends_at(self) -> datetime | None:
        """When it ends, ``None`` if no end is scheduled."""
        if not self.cancel_at_period_end:
            return None

        row = self._read_row()
        cancel_at = None if row is None else row.cancel_at
        return cancel_at or self.current_period_end

    # -- behind them -----------------------------------------------------------------

    @property
    def _access_rules(self) -> Access:
        access: Access = self.__dict__.get("_access", Access())
        return access

    @property
    def _is_over(self) -> bool:
        """Whether a scheduled end is past by a day."""
        if not self.cancel_at_period_end:
            return False

        try:
            end = self.ends_at
        except RuntimeError:  # no app context: the fields have to do
            end = self.current_period_end

        return end is not None and end + GRACE < self._looked_at

    @property
    def _looked_at(self) -> datetime:
        as_of: datetime = self.__dict__.get("_as_of") or datetime.now(UTC)
        return as_of

    def _read_row(self) -> SubscriptionState | None:
        """The row; read once, with a query.

        :raises RuntimeError: If it was not read yet and there is no app context.
        """
        row: SubscriptionState | ReadRow | None
        row = self.__dict__.get("_row", _read_nothing)

        if row is not None and not isinstance(row, SubscriptionState):
            row = self.__dict__["_row"] = row(self.id)

        return row


def _read_nothing(subscription_id: str) -> SubscriptionState | None:
    raise RuntimeError(
        f"Only the five fields of subscription {subscription_id!r} are known here."
        " Read the others in an app context, or take the subscription from"
        " 'list_subscriptions', which loads all of them."
    )
