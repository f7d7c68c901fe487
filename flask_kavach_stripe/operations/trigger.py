"""Post a signed sample event to the app's own webhook, to try its handlers.

The event goes the whole way of a real one, and writes to the database. About a user it
shows the user's own subscription in the state after the event. Without a user it is
about a customer that nobody has.
"""

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

from ..customer_state import CustomerState
from ..customer_state import Payer
from ..customer_state import StoredSubscription
from ..database.payers import COLUMN_NAMES
from ..errors import ConfigurationError
from ..errors import KavachStripeError
from ..errors import NoCustomerError
from ..state import State
from ..testing import make_checkout_session
from ..testing import make_customer
from ..testing import make_event
from ..testing import make_invoice
from ..testing import make_subscription
from .webhook_probe import Answer
from .webhook_probe import post_to_webhook

_MONTH: Final = 30 * 24 * 3600  # seconds
_MARGIN: Final = 2  # seconds; events closer together have no clear order


class Subject(NamedTuple):
    """The user, the customer and the subscription of a sample event."""

    #: The primary key as text, ``None`` if the event is about no user.
    user_id: str | None
    customer_id: str
    #: The subscription that the user's columns name.
    current: StoredSubscription | None

    def sample(self, **values: Any) -> dict[str, Any]:
        """The current subscription as Stripe's object, with some values replaced.

        A new subscription if the user has none.

        :param values: As for :func:`flask_kavach_stripe.testing.make_subscription`.
        """
        return make_subscription(**{**self._values, **values})

    @property
    def _values(self) -> dict[str, Any]:
        """The arguments of ``make_subscription`` for the subscription as it is now."""
        if self.current is None:
            return self.new()

        state = self.current.state
        item = state.items[0] if state.items else None
        return {
            "id": state.id,
            "customer": self.customer_id,
            "status": state.status,
            "price": (item and item.price_id) or "price_sample",
            "quantity": (item and item.quantity) or 1,
            "current_period_end": _timestamp(state.current_period_end),
            "cancel_at_period_end": state.cancel_at_period_end,
            "created": _timestamp(state.created),
            "trial_end": _timestamp(state.trial_end),
        }

    def new(self) -> dict[str, Any]:
        """The arguments of ``make_subscription`` for a subscription with a new id."""
        return {"id": f"sub_sample_{uuid.uuid4().hex}", "customer": self.customer_id}

    @property
    def period_end(self) -> int | None:
        """The end of the current period, in Unix seconds."""
        end = None if self.current is None else self.current.state.current_period_end
        return _timestamp(end)

    @property
    def now(self) -> int:
        """The time of a sample event, in Unix seconds.

        Clearly after the row's time, which may be ahead of our clock. Otherwise the
        event would count as old, or Stripe would be asked.
        """
        synced_at = None if self.current is None else self.current.synced_at
        stored = -math.inf if synced_at is None else synced_at.timestamp() + _MARGIN
        return int(max(time.time(), stored))


class Delivery(NamedTuple):
    """A sample event, the webhook's response to it, and the changed columns."""

    event: Mapping[str, Any]
    answer: Answer
    #: The values before and after, by the name of the user's column.
    changes: Mapping[str, tuple[Any, Any]]


def trigger(state: State, event_type: str, user_id: str | None = None) -> Delivery:
    """Post a signed sample event to the app's own webhook.

    The request runs in this process, in an app context and a session of its own. It may
    call Stripe, as a real event may.

    :param event_type: Any of Stripe's event types, also one without a sample here.
    :param user_id: The primary key of the event's user, as text. By default the event
        is about a customer that nobody has.
    :raises ConfigurationError: If the key is a live one, or there is no webhook secret.
    :raises NoCustomerError: If there is no such user, or the user has no customer.
    :raises KavachStripeError: If there can be no such event about the user now.
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

    # Further paths are those that Stripe has, and its events come in there.
    path = next(iter(state.settings.webhook_paths), None)
    answer = post_to_webhook(event, path=path)
    after = _columns(state, user_id)
    return Delivery(
        event,
        answer,
        {
            name: (before[name], after[name])
            for name in before
            if before[name] != after[name]
        },
    )


def make_sample_event(event_type: str, subject: Subject) -> dict[str, Any]:
    """Make a sample event of any type, with a time after the stored subscription's."""
    make = _SAMPLES.get(event_type, _make_other)
    stripe_object, previous_attributes = make(event_type, subject)
    return make_event(
        event_type,
        stripe_object,
        created=subject.now,
        previous_attributes=previous_attributes,
    )


def _find_subject(state: State, user_id: str | None) -> Subject:
    """Read the user and the current subscription from the database.

    :raises NoCustomerError: If there is no such user, or the user has no customer.
    """
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

    subscription = _find_subscription(state, payer, payer.customer_id)
    return Subject(user_id, payer.customer_id, subscription)


def _find_subscription(
    state: State, payer: Payer, customer_id: str
) -> StoredSubscription | None:
    """The subscription that the user's columns name, from its row if it has one."""
    subscription_id = payer.columns.subscription_id

    if subscription_id is None:
        return None

    rows = state.rows.of(state.session, customer_id)
    return CustomerState(payer, rows).known.get(subscription_id)


def _columns(state: State, user_id: str | None) -> dict[str, Any]:
    """The values of the user's six columns in the database, by name. Rolls back.

    :return: Empty if the event is about no user.
    """
    if user_id is None:
        return {}

    user = state.payers.keys.load(state.session, user_id)
    columns = {name: getattr(user, name, None) for name in COLUMN_NAMES}
    state.session.rollback()  # holds no lock, and the next call reads again
    return columns


# -- the samples -----------------------------------------------------------------------

#: The object of an event, and for updates its ``previous_attributes``.
Sample = tuple[dict[str, Any], dict[str, Any] | None]


def _make_created(event_type: str, subject: Subject) -> Sample:
    return make_subscription(**subject.new()), None


def _make_updated(event_type: str, subject: Subject) -> Sample:
    """A paid renewal: the subscription is active, for one month more.

    ``previous_attributes`` has the old value of each key that differs, as at Stripe.
    """
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
    """A completed Checkout session of the user.

    The app reads the session's subscription from Stripe, so it has to exist there: a
    made-up id would be answered with 404.

    :raises KavachStripeError: If the user has no subscription.
    """
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
    """An unpaid invoice for the next period.

    A failed payment counts only for a period that is not paid already.
    """
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
    """An object with the keys that all of Stripe's objects have, and a customer.

    For the event types without a sample of their own. The kind of the object follows
    from the event type: ``charge.dispute.created`` is about a dispute.
    """
    kind = event_type.rpartition(".")[0] or event_type

    # Only some prefixes are dropped: the object of `checkout.session.expired` is a
    # "checkout.session".
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


#: By event type: the function that makes the object of a sample event. For all other
#: types it is :func:`_make_other`.
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
    """Unix seconds, as Stripe writes a time."""
    return None if moment is None else int(moment.timestamp())
