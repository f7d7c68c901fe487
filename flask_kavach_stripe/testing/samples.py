"""Objects and events with the keys that this extension reads, as Stripe sends them.

Each function takes the values that matter to a test and fills in the others. Keyword
arguments that it does not name are added to the object as they are, or replace a key.
Times are Unix seconds. The default ids fit together: ``make_invoice()`` is an invoice
of ``make_subscription()``, and both belong to ``make_customer()``.

``flask stripe trigger`` makes its events with these functions, too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Any
from typing import Final

from ..stripe_api.client import DEFAULT_API_VERSION

#: From this version on, the billing period is on the items of a subscription, and an
#: invoice names its subscription under ``parent``.
#: Source: https://docs.stripe.com/changelog/basil
BASIL: Final = "2025-03-31.basil"

_MONTH = 30 * 24 * 3600
#: Beginnings of event types that are part of the object's name: the object of
#: ``checkout.session.completed`` is a ``checkout.session``. Other objects are named by
#: the last word before the verb: ``customer.subscription.updated`` is about a
#: ``subscription``.
_NAMESPACES = ("billing_portal.", "checkout.", "test_helpers.")

Object = dict[str, Any]


def _now() -> int:
    return int(time.time())


def make_subscription(
    id: str = "sub_sample",
    *,
    customer: str = "cus_sample",
    status: str = "active",
    price: str = "price_sample",
    quantity: int = 1,
    current_period_end: int | None = None,
    cancel_at_period_end: bool = False,
    cancel_at: int | None = None,
    created: int | None = None,
    ended_at: int | None = None,
    trial_end: int | None = None,
    api_version: str = DEFAULT_API_VERSION,
    **other: Any,
) -> Object:
    """A subscription with one item.

    :param price: The id of the item's price.
    :param current_period_end: By default 30 days after ``created``.
    :param cancel_at: When it is scheduled to cancel, other than at the period's end.
    :param created: By default now.
    :param ended_at: When it ended, with a ``status`` such as ``"canceled"``.
    :param api_version: The version of Stripe's API that gives the object its shape.
    """
    start = _now() if created is None else created
    end = start + _MONTH if current_period_end is None else current_period_end
    period = {"current_period_start": start, "current_period_end": end}
    item = {
        "id": f"si_{id.removeprefix('sub_')}",
        "object": "subscription_item",
        "price": {"id": price, "object": "price"},
        "quantity": quantity,
        "subscription": id,
        **(period if api_version >= BASIL else {}),
    }
    return {
        "id": id,
        "object": "subscription",
        "cancel_at": cancel_at,
        "cancel_at_period_end": cancel_at_period_end,
        "canceled_at": ended_at,
        "created": start,
        "customer": customer,
        "ended_at": ended_at,
        "items": {"object": "list", "data": [item], "has_more": False},
        "livemode": False,
        "metadata": {},
        "start_date": start,
        "status": status,
        "trial_end": trial_end,
        **({} if api_version >= BASIL else period),
        **other,
    }


def make_customer(
    id: str = "cus_sample", *, email: str | None = "sample@example.com", **other: Any
) -> Object:
    """A customer, without subscriptions: those name their customer, not the reverse."""
    return {
        "id": id,
        "object": "customer",
        "created": _now(),
        "email": email,
        "livemode": False,
        "metadata": {},
        **other,
    }


def make_invoice(
    id: str = "in_sample",
    *,
    customer: str = "cus_sample",
    subscription: str | None = "sub_sample",
    status: str = "open",
    billing_reason: str | None = "subscription_cycle",
    period_end: int | None = None,
    api_version: str = DEFAULT_API_VERSION,
    **other: Any,
) -> Object:
    """An invoice of a subscription, with one line.

    :param subscription: ``None`` for an invoice without a subscription.
    :param billing_reason: ``"subscription_cycle"`` for a renewal,
        ``"subscription_create"`` for the first invoice.
    :param period_end: The end of the period that the line bills; by default in 30 days.
    :param api_version: The version of Stripe's API that gives the object its shape.
    """
    now = _now()
    end = now + _MONTH if period_end is None else period_end
    line: Object = {
        "id": f"il_{id.removeprefix('in_')}",
        "object": "line_item",
        "period": {"start": end - _MONTH, "end": end},
    }
    subscription_key: Object = {"subscription": subscription}

    if api_version >= BASIL:
        details = {"subscription": subscription}
        subscription_key = {
            "parent": {"type": "subscription_details", "subscription_details": details}
        }
        line["parent"] = {
            "type": "subscription_item_details",
            "subscription_item_details": details,
        }

    return {
        "id": id,
        "object": "invoice",
        "billing_reason": billing_reason,
        "created": now,
        "customer": customer,
        "lines": {"object": "list", "data": [line], "has_more": False},
        "livemode": False,
        "metadata": {},
        "status": status,
        **subscription_key,
        **other,
    }


def make_checkout_session(
    id: str = "cs_test_sample",
    *,
    customer: str | None = "cus_sample",
    subscription: str | None = "sub_sample",
    client_reference_id: str | None = None,
    status: str = "complete",
    mode: str = "subscription",
    payment_status: str = "paid",
    metadata: Mapping[str, str] | None = None,
    **other: Any,
) -> Object:
    """A Checkout session, by default completed and paid.

    :param customer: ``None`` before the session is completed, if it makes the customer.
    :param subscription: ``None`` before the session is completed.
    :param client_reference_id: The user's primary key as text. By it, the first webhook
        finds the user to whom the customer belongs.
    :param mode: ``"subscription"``, ``"payment"`` or ``"setup"``.
    """
    return {
        "id": id,
        "object": "checkout.session",
        "client_reference_id": client_reference_id,
        "created": _now(),
        "customer": customer,
        "livemode": False,
        "metadata": dict(metadata or {}),
        "mode": mode,
        "payment_link": None,
        "payment_status": payment_status,
        "status": status,
        "subscription": subscription,
        "url": None,
        **other,
    }


def make_event(
    event_type: str,
    stripe_object: Mapping[str, Any],
    *,
    id: str | None = None,
    created: int | None = None,
    previous_attributes: Mapping[str, Any] | None = None,
    livemode: bool = False,
    api_version: str | None = DEFAULT_API_VERSION,
    **other: Any,
) -> Object:
    """A snapshot event, which contains the object as it was when the event happened.

    :param event_type: Such as ``"customer.subscription.updated"``.
    :param stripe_object: The object, as from :func:`make_subscription`.
    :param id: By default a new one. The same id twice is a duplicate.
    :param created: When the event happened; by default now.
    :param previous_attributes: The old values of the keys that an update changed.
        Stripe sends them with every ``*.updated`` event.
    :param livemode: Events of another mode than that of ``STRIPE_SECRET_KEY`` are
        ignored.
    """
    data: Object = {"object": dict(stripe_object)}

    if previous_attributes is not None:
        data["previous_attributes"] = dict(previous_attributes)

    return {
        "id": id or f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": api_version,
        "created": _now() if created is None else created,
        "data": data,
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
        **other,
    }


def make_thin_event(
    event_type: str,
    object_id: str,
    *,
    id: str | None = None,
    created: int | None = None,
    livemode: bool = False,
    snapshot_event: str | None = None,
    **other: Any,
) -> Object:
    """A thin event, which names its object but does not contain it.

    The app reads the object from Stripe when it needs it, so the test has to answer
    that request, or connect a sandbox that has the object.

    :param event_type: The type of the snapshot event, without ``v1.`` before it.
    :param object_id: The id of the object, such as ``"sub_sample"``.
    :param id: By default a new one.
    :param created: When the event happened; by default now.
    :param snapshot_event: The id of the snapshot event about the same happening.

    Source: https://docs.stripe.com/event-destinations#thin-events
    """
    moment = datetime.fromtimestamp(_now() if created is None else created, UTC)
    object_type = event_type.rpartition(".")[0]

    if not object_type.startswith(_NAMESPACES):
        object_type = object_type.rpartition(".")[2]

    return {
        "id": id or f"evt_test_{uuid.uuid4().hex}",
        "object": "v2.core.event",
        "context": None,
        "created": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "livemode": livemode,
        "reason": None,
        "related_object": {
            "id": object_id,
            "type": object_type,
            "url": f"/v1/{object_type.replace('.', '/')}s/{object_id}",
        },
        "snapshot_event": snapshot_event,
        "type": f"v1.{event_type}",
        **other,
    }
