"""Readers of Stripe's objects. The differences between API versions end here.

A reader takes any JSON value, from an event or from an answer of Stripe. It returns
values of the right type that every database can store, and ``None`` in place of a value
that is missing or unusable. It does not raise: one odd field must not stop a webhook.
:func:`read_page` and :func:`read_checkout_page` are exceptions, as nothing can be done
without their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import UTC
from typing import Any
from typing import Final
from typing import NamedTuple

from ..errors import APIError

#: A subscription with one of these has ended and never comes back.
FINAL_STATUSES: Final = frozenset({"canceled", "incomplete_expired"})

#: The metadata key under which everything that we create names its user.
USER_ID_KEY: Final = "kavach_user_id"

#: The metadata key under which a Checkout session says what it sells.
SALE_KEY: Final = "kavach_sale"
#: Its value for a plan, of which a customer may have only one open page.
PLAN_SALE: Final = "plan"

# Not only dots: `..` in a URL path would address another object.
_ID = re.compile(r"(?!\.+\Z)[\x21-\x7e]{1,255}")
_STATUS = re.compile(r"[\x21-\x7e]{1,32}")
# 9999-12-30T23:59:59Z. A database may answer in any time zone, and Python has no
# `datetime` after the year 9999 in any of them.
_LAST_SECOND = 253402214399
_MAX_QUANTITY = 2**31 - 1  # the largest value of an INTEGER column
_MAX_REFERENCE_LENGTH = 200  # Stripe's, for `client_reference_id`


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def read_text(value: object) -> str | None:
    """Read an id, an event type or a version: printable ASCII without spaces.

    :return: The text; ``None`` if it has other characters, or more than 255.
    """
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def now() -> datetime:
    """Return the current time, in UTC and in whole seconds like Stripe's times."""
    return datetime.now(UTC).replace(microsecond=0)


def read_id(value: object) -> str | None:
    """Read the id in a field that holds an id or, if it is expanded, the whole object.

    Source: https://docs.stripe.com/api/expanding_objects
    """
    return read_text(
        value["id"] if isinstance(value, Mapping) and "id" in value else value
    )


def read_time(value: object) -> datetime | None:
    """Read Unix seconds, or the ISO 8601 text of a thin event.

    :return: An aware UTC time of whole seconds, ``None`` if the time is before 1970, or
        too late to be stored.
    """
    if isinstance(value, str):
        value = _read_iso_time(value)

    if isinstance(value, bool) or not isinstance(value, int | float):
        return None

    if not 0 <= value <= _LAST_SECOND:  # false for NaN, too
        return None

    return datetime.fromtimestamp(int(value), UTC)


def _read_iso_time(text: str) -> float | None:
    """Return the Unix seconds of an ISO 8601 text, ``None`` without a time zone."""
    try:
        time = datetime.fromisoformat(text)
        return time.timestamp() if time.tzinfo else None
    except (OverflowError, ValueError):
        return None


def _first_known(*values: datetime | str | None) -> Any:
    """Return the first value that is not ``None``.

    For a field that moved: give the newer place first, then the older.
    """
    return next((value for value in values if value is not None), None)


def _list_data(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list of Stripe, ``{"object": "list", "data": [...]}``."""
    data = as_mapping(value).get("data")
    yield from (as_mapping(item) for item in data) if isinstance(data, list) else ()


class ItemState(NamedTuple):
    """The fields of a subscription's item that we keep."""

    #: ``si_...``
    id: str | None
    #: ``price_...``
    price_id: str | None
    #: ``None`` for a metered price.
    quantity: int | None = None


class SubscriptionState(NamedTuple):
    """The fields of a subscription that we keep, the same for every API version.

    Times are aware and in UTC.
    """

    id: str
    customer_id: str
    status: str
    #: In Stripe's order.
    items: tuple[ItemState, ...] = ()
    #: Of the same item as :attr:`current_period_end`.
    current_period_start: datetime | None = None
    current_period_end: datetime | None = None
    #: When it ends, if a day is set.
    cancel_at: datetime | None = None
    #: Whether it is scheduled to cancel, by ``cancel_at_period_end`` or ``cancel_at``.
    cancel_at_period_end: bool = False
    #: Whether ``pause_collection`` is set: nothing is charged, the status stays.
    collection_paused: bool = False
    trial_end: datetime | None = None
    ended_at: datetime | None = None
    created: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the status is final: Stripe never revives this subscription."""
        return self.status in FINAL_STATUSES

    def ended(self, at: datetime | None) -> SubscriptionState:
        """Return the same subscription after its end.

        A final status and a time of the end that are known already stay.

        :param at: When it ended, ``None`` if unknown.
        """
        return self._replace(
            status=self.status if self.has_ended else "canceled",
            cancel_at_period_end=False,
            cancel_at=None,
            ended_at=self.ended_at or at,
        )


def read_subscription(value: object) -> SubscriptionState | None:
    """Read a subscription of any API version since 2024-12-18.acacia.

    The billing period moved from the subscription to its items with
    2025-03-31.basil. If the items' periods end at different times, the period with the
    earliest end counts, as in Stripe's own list filter.

    A subscription that is scheduled to cancel may say so in ``cancel_at`` alone: in
    flexible billing mode the customer portal leaves ``cancel_at_period_end`` false.

    :return: ``None`` if it has no usable id, customer or status.

    Source: https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end
    """
    subscription = as_mapping(value)
    subscription_id = read_id(subscription.get("id"))
    customer_id = read_id(subscription.get("customer"))
    status = subscription.get("status")

    if subscription_id is None or customer_id is None:
        return None

    if not isinstance(status, str) or not _STATUS.fullmatch(status):
        return None

    items = list(_list_data(subscription.get("items")))
    start, end = _read_period(subscription, items)
    has_ended = status in FINAL_STATUSES
    cancel_at = None if has_ended else read_time(subscription.get("cancel_at"))
    is_scheduled = (
        subscription.get("cancel_at_period_end") is True or cancel_at is not None
    )
    return SubscriptionState(
        id=subscription_id,
        customer_id=customer_id,
        status=status,
        items=tuple(map(_read_item, items)),
        current_period_start=start,
        current_period_end=end,
        cancel_at=cancel_at,
        cancel_at_period_end=is_scheduled and not has_ended,
        collection_paused=bool(as_mapping(subscription.get("pause_collection"))),
        trial_end=read_time(subscription.get("trial_end")),
        ended_at=read_time(subscription.get("ended_at")),
        created=read_time(subscription.get("created")),
    )


def has_more_items(value: object) -> bool:
    """Whether a subscription has more items than it shows.

    Stripe shows the first ten or so, and lists the others at
    ``/v1/subscription_items``.
    """
    return as_mapping(as_mapping(value).get("items")).get("has_more") is True


def _read_item(item: Mapping[str, Any]) -> ItemState:
    price_id = _first_known(read_id(item.get("price")), read_id(item.get("plan")))
    return ItemState(
        read_id(item.get("id")), price_id, _read_quantity(item.get("quantity"))
    )


def _read_period(
    subscription: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
) -> tuple[datetime | None, datetime | None]:
    """Read the start and the end of the item's period that ends first."""
    periods = [
        (end, read_time(item.get("current_period_start")))
        for item in items
        if (end := read_time(item.get("current_period_end"))) is not None
    ]

    if periods:
        end, start = min(periods, key=lambda period: period[0])
        return start, end

    return (
        read_time(subscription.get("current_period_start")),
        read_time(subscription.get("current_period_end")),
    )


def _read_quantity(value: object) -> int | None:
    """Read a quantity that an INTEGER column can store; ``None`` for any other."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None

    return value if 0 <= value <= _MAX_QUANTITY else None


class InvoiceFacts(NamedTuple):
    """The facts of an invoice that tell whether its subscription is past due."""

    customer_id: str | None
    subscription_id: str | None
    #: Why Stripe made the invoice, such as ``subscription_cycle`` for a renewal.
    billing_reason: str | None
    #: The latest end of the periods that its lines bill.
    period_end: datetime | None


def read_invoice(value: object) -> InvoiceFacts:
    """Read an invoice of any API version since 2024-12-18.acacia.

    ``invoice.subscription`` became ``invoice.parent.subscription_details`` with
    2025-03-31.basil. The old key may still be there and null. The first line names the
    subscription, too.

    :return: Always facts; each is ``None`` if the invoice does not have it.

    Source: https://docs.stripe.com/changelog/basil/2025-03-31/adds-new-parent-field-to-invoicing-objects
    """
    invoice = as_mapping(value)
    lines = list(_list_data(invoice.get("lines")))
    details = as_mapping(as_mapping(invoice.get("parent")).get("subscription_details"))
    line_parent = as_mapping(lines[0].get("parent")) if lines else {}
    line_details = as_mapping(line_parent.get("subscription_item_details"))
    ends = [read_time(as_mapping(line.get("period")).get("end")) for line in lines]
    return InvoiceFacts(
        customer_id=read_id(invoice.get("customer")),
        subscription_id=_first_known(
            read_id(details.get("subscription")),
            read_id(invoice.get("subscription")),
            read_id(line_details.get("subscription")),
        ),
        billing_reason=read_text(invoice.get("billing_reason")),
        period_end=max((end for end in ends if end is not None), default=None),
    )


class CheckoutFacts(NamedTuple):
    """The facts of a Checkout session that tell who bought which subscription."""

    customer_id: str | None
    subscription_id: str | None
    #: The buyer's user id, as the app or a Payment Link gave it to Stripe.
    client_reference_id: str | None
    #: Whether the mode is ``subscription``. A session without a mode, as in an event
    #: that a test made by hand, counts as one.
    is_subscription: bool
    is_complete: bool
    #: Whether it comes from a Payment Link. Anyone can put a reference into the query
    #: of that link's URL, so the reference proves nothing.
    from_payment_link: bool
    #: Whether the metadata name a user: this extension made the session, here or in
    #: another application of the same Stripe account.
    names_user: bool


def read_checkout_session(value: object) -> CheckoutFacts:
    """Read a Checkout session.

    :return: Always facts. Whether they suffice to link the customer to a user is for
        ``events.link`` to decide.

    Source: https://docs.stripe.com/api/checkout/sessions/object
    """
    session = as_mapping(value)
    return CheckoutFacts(
        customer_id=read_id(session.get("customer")),
        subscription_id=read_id(session.get("subscription")),
        client_reference_id=_read_reference(session.get("client_reference_id")),
        is_subscription=session.get("mode") in (None, "subscription"),
        is_complete=session.get("status") == "complete",
        from_payment_link=session.get("payment_link") is not None,
        names_user=USER_ID_KEY in as_mapping(session.get("metadata")),
    )


class CheckoutPage(NamedTuple):
    """The facts of a Checkout session that tell which of two pages is the older one."""

    id: str
    #: Where to send the browser; ``None`` if it is not open any more.
    url: str | None
    #: In Unix seconds. ``None`` in the answers of a test that leaves it out.
    created: int | None
    #: ``open``, ``complete`` or ``expired``.
    status: str | None
    #: Whether it sells a plan.
    sells_plan: bool

    @property
    def age_rank(self) -> tuple[float, str]:
        """Orders pages: the newest is the largest. Equal seconds go by id."""
        return (float("inf") if self.created is None else self.created, self.id)


def read_checkout_page(value: object) -> CheckoutPage:
    """Read a Checkout session as a page that can be paid or expired.

    :raises APIError: If it has no id.
    """
    session = as_mapping(value)
    session_id, url = read_id(session.get("id")), session.get("url")
    created, metadata = session.get("created"), as_mapping(session.get("metadata"))

    if session_id is None:
        raise APIError("Stripe's answer is not a Checkout session.")

    return CheckoutPage(
        session_id,
        url if isinstance(url, str) else None,
        created if isinstance(created, int) else None,
        read_text(session.get("status")),
        metadata.get(SALE_KEY) == PLAN_SALE,
    )


def _read_reference(value: object) -> str | None:
    """Read a ``client_reference_id``: a printable text of at most 200 characters."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_REFERENCE_LENGTH:
        return None

    return value if value.isprintable() else None


def read_customer_id(value: object) -> str | None:
    """Read the id of the customer of an object, also if the object is a customer."""
    stripe_object = as_mapping(value)

    if stripe_object.get("object") == "customer":
        return read_id(stripe_object.get("id"))

    return read_id(stripe_object.get("customer"))


def read_page(session: Mapping[str, Any]) -> tuple[str, str]:
    """Read where to send the customer: to Checkout or to the billing portal.

    :return: The id and the URL of the session.
    :raises APIError: If it lacks one of them.
    """
    session_id, url = read_id(session.get("id")), session.get("url")

    if session_id is None or not isinstance(url, str):
        raise APIError("Stripe's answer is not a session with a URL.")

    return session_id, url
