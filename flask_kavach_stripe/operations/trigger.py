"""Sample events, about nobody or about a user, posted to the app itself."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from typing import Final
from typing import NamedTuple

from flask import current_app

from ..database.payers import COLUMN_NAMES
from ..errors import ConfigurationError
from ..errors import KavachStripeError
from ..errors import NoCustomerError
from ..state import State
from ..subscriptions import CustomerState
from ..subscriptions import Payer
from ..subscriptions import StoredSubscription
from ..testing import make_checkout_session
from ..testing import make_customer
from ..testing import make_event
from ..testing import make_invoice
from ..testing import make_subscription
from ..testing import post_event

_MONTH: Final = 30 * 24 * 3600  # seconds
_MARGIN: Final = 2  # seconds; in less, the order of two events is not clear


class Subject(NamedTuple):
    """Whom and what a sample event is about."""

    #: The primary key as text, ``None`` where the event is about nobody.
    user_id: str | None
    customer_id: str
    #: What the user has now.
    current: StoredSubscription | None

    def sample(self, **values: Any) -> dict[str, Any]:
        """The current subscription, or a new one, with some values replaced."""
        return make_subscription(**{**self._values, **values})

    @property
    def _values(self) -> dict[str, Any]:
        if self.current is None:
            return self.new()

        state = self.current.state
        return {
            "id": state.id,
            "customer": self.customer_id,
            "status": state.status,
            "price": state.price_id or "price_sample",
            "quantity": state.quantity or 1,
            "current_period_end": _timestamp(state.current_period_end),
            "cancel_at_period_end": state.cancel_at_period_end,
            "created": _timestamp(state.created),
            "trial_end": _timestamp(state.trial_end),
        }

    def new(self) -> dict[str, Any]:
        """The values of a subscription that nobody knows yet."""
        return {"id": f"sub_sample_{uuid.uuid4().hex}", "customer": self.customer_id}

    @property
    def period_end(self) -> int | None:
        """The end of the current period, in Unix seconds."""
        end = None if self.current is None else self.current.state.current_period_end
        return _timestamp(end)

    @property
    def now(self) -> int:
        """A time for an event, clearly after all that is stored."""
        synced_at = None if self.current is None else self.current.synced_at
        stored = -math.inf if synced_at is None else synced_at.timestamp() + _MARGIN
        return int(max(time.time(), stored))


class Delivery(NamedTuple):
    """What became of a sample event."""

    event: Mapping[str, Any]
    #: The app's answer.
    status: int
    #: What it said was wrong.
    error: str | None
    #: Before and after, by column.
    changes: Mapping[str, tuple[Any, Any]]


def trigger(state: State, event_type: str, user_id: str | None = None) -> Delivery:
    """Post a signed sample event to the app's own webhook.

    :param user_id: The primary key of the user whom it is about, as text. By default
        it is about a customer that nobody has.
    :raises ConfigurationError: With a live key, or without a webhook secret.
    :raises NoCustomerError: If there is no such user, or the user has no customer.
    """
    if state.settings.livemode:
        raise ConfigurationError(
            "'STRIPE_SECRET_KEY' is a live key, and a sample event would write a"
            " made-up subscription. Use a test key."
        )

    if not state.settings.webhook_secrets:
        raise ConfigurationError(
            "'STRIPE_WEBHOOK_SECRET' is not set, so the event cannot be signed. Any"
            " text will do here."
        )

    subject = _find_subject(state, user_id)
    event = make_sample_event(event_type, subject)
    before = _columns(state, user_id)

    with current_app.app_context():  # else the request would share our session
        response = post_event(current_app.test_client(), event)
        body = response.get_json(silent=True)

    after = _columns(state, user_id)
    return Delivery(
        event,
        response.status_code,
        body.get("error") if isinstance(body, dict) else None,
        {
            name: (before[name], after[name])
            for name in before
            if before[name] != after[name]
        },
    )


def make_sample_event(event_type: str, subject: Subject) -> dict[str, Any]:
    """A sample of any event type."""
    make = _SAMPLES.get(event_type, _make_other)
    stripe_object, previous_attributes = make(event_type, subject)
    return make_event(
        event_type,
        stripe_object,
        created=subject.now,
        previous_attributes=previous_attributes,
    )


def _find_subject(state: State, user_id: str | None) -> Subject:
    if user_id is None:
        return Subject(None, "cus_sample", None)

    session, payers = state.session, state.payers
    key = payers.keys.parse(session, user_id)
    payer = None if key is None else payers.get(session, key)

    if payer is None:
        raise NoCustomerError(f"There is no user with the primary key {user_id!r}.")

    if payer.customer_id is None:
        raise NoCustomerError(
            f"User {user_id!r} has no Stripe customer. Begin a checkout as this user,"
            " or call 'create_customer'."
        )

    return Subject(
        user_id, payer.customer_id, _current(state, payer, payer.customer_id)
    )


def _current(state: State, payer: Payer, customer_id: str) -> StoredSubscription | None:
    named = payer.columns.subscription_id

    if named is None:
        return None

    rows = state.rows.of(state.session, customer_id)
    return CustomerState(payer, rows).known.get(named)


def _columns(state: State, user_id: str | None) -> dict[str, Any]:
    """The user's six columns, as the database has them now."""
    if user_id is None:
        return {}

    user = state.payers.keys.load(state.session, user_id)
    columns = {name: getattr(user, name, None) for name in COLUMN_NAMES}
    state.session.rollback()  # keeps no lock, and reads anew the next time
    return columns


# -- the samples -----------------------------------------------------------------------

#: The object, and for updates the values that it had before.
Sample = tuple[dict[str, Any], dict[str, Any] | None]


def _make_created(event_type: str, subject: Subject) -> Sample:
    return make_subscription(**subject.new()), None


def _make_updated(event_type: str, subject: Subject) -> Sample:
    """A renewal, which also ends every trouble there was."""
    if subject.current is None:
        return subject.sample(), {"status": "incomplete"}

    old = subject.sample()
    renewed = subject.sample(
        status="active",
        current_period_end=(subject.period_end or subject.now) + _MONTH,
        trial_end=None,
    )
    previous = {key: old[key] for key in old if old[key] != renewed[key]}
    return renewed, previous


def _make_deleted(event_type: str, subject: Subject) -> Sample:
    return subject.sample(
        status="canceled", cancel_at_period_end=False, ended_at=subject.now
    ), None


def _make_paused(event_type: str, subject: Subject) -> Sample:
    return subject.sample(status="paused"), None


def _make_resumed(event_type: str, subject: Subject) -> Sample:
    return subject.sample(status="active"), None


def _make_session(event_type: str, subject: Subject) -> Sample:
    """A completed session. The app reads its subscription from Stripe."""
    if subject.user_id is not None and subject.current is None:
        raise KavachStripeError(
            f"User {subject.user_id!r} has no running subscription, and for"
            f" {event_type!r} the app reads it from Stripe. Pay a Checkout session as"
            " this user, or trigger 'customer.subscription.created'."
        )

    return make_checkout_session(
        customer=subject.customer_id,
        subscription=subject.sample()["id"],
        client_reference_id=subject.user_id,
    ), None


def _make_expired_session(event_type: str, subject: Subject) -> Sample:
    return make_checkout_session(
        customer=subject.customer_id,
        subscription=None,
        client_reference_id=subject.user_id,
        status="expired",
        payment_status="unpaid",
    ), None


def _make_unpaid_invoice(event_type: str, subject: Subject) -> Sample:
    """The invoice of the next period."""
    return make_invoice(
        id=f"in_sample_{uuid.uuid4().hex}",
        customer=subject.customer_id,
        subscription=subject.sample()["id"],
        period_end=(subject.period_end or subject.now) + _MONTH,
    ), None


def _make_paid_invoice(event_type: str, subject: Subject) -> Sample:
    invoice, previous = _make_unpaid_invoice(event_type, subject)
    return {**invoice, "status": "paid"}, previous


def _make_customer(event_type: str, subject: Subject) -> Sample:
    return make_customer(subject.customer_id), None


def _make_changed_customer(event_type: str, subject: Subject) -> Sample:
    return make_customer(subject.customer_id), {"email": None}


def _make_trial_ending(event_type: str, subject: Subject) -> Sample:
    return subject.sample(status="trialing", trial_end=subject.now + _MONTH // 10), None


def _make_other(event_type: str, subject: Subject) -> Sample:
    """An object with what all of Stripe's have, and its customer."""
    kind = event_type.rpartition(".")[0] or event_type

    # ``charge.dispute.created`` is about a dispute, ``checkout.session.*`` about a
    # checkout.session.
    if kind.startswith(("charge.", "customer.")):
        kind = kind.rpartition(".")[2]

    return {
        "id": f"{kind.rpartition('.')[2]}_sample_{uuid.uuid4().hex}",
        "object": kind,
        "created": subject.now,
        "customer": subject.customer_id,
        "livemode": False,
        "metadata": {},
    }, None


#: What makes the object of an event, by type; all others are :func:`_make_other`'s.
_SAMPLES: Final[Mapping[str, Callable[[str, Subject], Sample]]] = {
    "checkout.session.completed": _make_session,
    "checkout.session.expired": _make_expired_session,
    "customer.created": _make_customer,
    "customer.deleted": _make_customer,
    "customer.subscription.created": _make_created,
    "customer.subscription.deleted": _make_deleted,
    "customer.subscription.paused": _make_paused,
    "customer.subscription.resumed": _make_resumed,
    "customer.subscription.trial_will_end": _make_trial_ending,
    "customer.subscription.updated": _make_updated,
    "customer.updated": _make_changed_customer,
    "invoice.paid": _make_paid_invoice,
    "invoice.payment_failed": _make_unpaid_invoice,
    "invoice.payment_succeeded": _make_paid_invoice,
}


def _timestamp(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
