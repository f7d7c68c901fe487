"""The rules of ordering and of the user's columns, one by one."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from datetime import datetime
from datetime import timedelta
from datetime import UTC

import pytest

from flask_kavach_stripe.catalogue import Access
from flask_kavach_stripe.catalogue import Catalogue
from flask_kavach_stripe.catalogue import Price
from flask_kavach_stripe.customer_state import adopt
from flask_kavach_stripe.customer_state import Answer
from flask_kavach_stripe.customer_state import best_first
from flask_kavach_stripe.customer_state import CustomerDeleted
from flask_kavach_stripe.customer_state import CustomerState
from flask_kavach_stripe.customer_state import decide
from flask_kavach_stripe.customer_state import latest
from flask_kavach_stripe.customer_state import Payer
from flask_kavach_stripe.customer_state import PaymentFailure
from flask_kavach_stripe.customer_state import project
from flask_kavach_stripe.customer_state import Snapshot
from flask_kavach_stripe.customer_state import StoredSubscription
from flask_kavach_stripe.customer_state import SubscriptionChange
from flask_kavach_stripe.customer_state import SubscriptionColumns
from flask_kavach_stripe.customer_state import Verdict
from flask_kavach_stripe.stripe_api.objects import ItemState
from flask_kavach_stripe.stripe_api.objects import SubscriptionState
from flask_kavach_stripe.subscription import Subscription

STANDARD = Access()
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PERIOD_END = NOON + timedelta(days=30)
ACTIVE = SubscriptionState(
    id="sub_1",
    customer_id="cus_1",
    status="active",
    items=(ItemState("si_1", "price_pro", 1),),
    current_period_end=PERIOD_END,
    created=NOON - timedelta(days=60),
)
PAST_DUE = ACTIVE._replace(status="past_due")
CANCELED = ACTIVE._replace(status="canceled", ended_at=NOON)
EXPIRED = ACTIVE._replace(status="incomplete_expired")

#: The same subscription with a second seat.
SEATS = ACTIVE._replace(items=(ItemState("si_1", "price_pro", 2),))

#: How many seconds an event is younger than the row.
SECONDS = (-3600, -2, -1, 0, 1, 2, 3600)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def row(
    state: SubscriptionState = ACTIVE,
    synced_at: datetime | None = NOON,
    revision: int = 3,
) -> StoredSubscription:
    return StoredSubscription(state, synced_at, revision)


def event(
    state: SubscriptionState,
    seconds: float | None = 0,
    kind: str = "updated",
    *,
    has_previous_attributes: bool = True,
) -> Snapshot:
    return Snapshot(
        state,
        None if seconds is None else after(seconds),
        f"customer.subscription.{kind}",
        has_previous_attributes,
    )


# -- a subscription that is not stored yet -------------------------------------------


@pytest.mark.parametrize("kind", ["created", "updated", "paused", "resumed", "deleted"])
def test_first_event_is_stored(kind: str) -> None:
    assert decide(None, event(ACTIVE, 5, kind)) == row(ACTIVE, after(5), revision=1)


@pytest.mark.parametrize("state", [ACTIVE, CANCELED, EXPIRED])
def test_first_answer_is_stored(state: SubscriptionState) -> None:
    assert decide(None, Answer(state, NOON)) == row(state, NOON, revision=1)


def test_first_event_without_time_is_stored_without_time() -> None:
    assert decide(None, event(ACTIVE, None)) == row(ACTIVE, None, revision=1)


def test_payment_failure_of_unknown_subscription_is_ignored() -> None:
    assert decide(None, failure()) is Verdict.KEEP


# -- final statuses ------------------------------------------------------------------


@pytest.mark.parametrize("final", [CANCELED, EXPIRED])
@pytest.mark.parametrize(
    "change",
    [
        event(ACTIVE, 3600),
        event(ACTIVE, None),
        event(ACTIVE, 3600, has_previous_attributes=False),
        event(ACTIVE, 3600, "created"),
        event(
            CANCELED._replace(items=(ItemState("si_1", "price_other", 1),)),
            3600,
            "deleted",
        ),
        event(EXPIRED, 3600),
        Answer(ACTIVE, after(3600)),
        PaymentFailure("sub_1", after(3600), "subscription_cycle", None),
    ],
)
def test_nothing_is_applied_over_a_final_status(
    final: SubscriptionState, change: SubscriptionChange
) -> None:
    assert decide(row(final), change) is Verdict.KEEP


@pytest.mark.parametrize("seconds", [*SECONDS, None])
@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
@pytest.mark.parametrize("final", [CANCELED, EXPIRED])
def test_final_status_always_applies(
    final: SubscriptionState, kind: str, seconds: float | None
) -> None:
    decision = decide(row(), event(final, seconds, kind))
    assert decision == row(final, after(max(seconds or 0, 0)), revision=4)


# -- created -------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [*SECONDS, None])
@pytest.mark.parametrize("synced_at", [NOON, None])
def test_created_is_not_applied_over_a_row(
    synced_at: datetime | None, seconds: float | None
) -> None:
    created = event(ACTIVE._replace(status="incomplete"), seconds, "created")
    assert decide(row(synced_at=synced_at), created) is Verdict.KEEP


# -- by time -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["updated", "paused", "resumed"])
@pytest.mark.parametrize(
    ("seconds", "decision"),
    [
        pytest.param(-3600, Verdict.KEEP, id="an hour older"),
        pytest.param(-2, Verdict.KEEP, id="2 s older"),
        pytest.param(-1, Verdict.REREAD, id="1 s older"),
        pytest.param(0, Verdict.REREAD, id="same second"),
        pytest.param(1, Verdict.REREAD, id="1 s newer"),
        pytest.param(2, row(PAST_DUE, after(2), 4), id="2 s newer"),
        pytest.param(3600, row(PAST_DUE, after(3600), 4), id="an hour newer"),
    ],
)
def test_event_is_ordered_by_time(
    kind: str, seconds: int, decision: StoredSubscription | Verdict
) -> None:
    assert decide(row(), event(PAST_DUE, seconds, kind)) == decision


@pytest.mark.parametrize(
    ("seconds", "synced_at"), [(-1, NOON), (0, NOON), (1, after(1)), (9, after(9))]
)
def test_same_state_moves_time_on_and_never_back(
    seconds: int, synced_at: datetime
) -> None:
    assert decide(row(), event(ACTIVE, seconds)) == row(ACTIVE, synced_at, revision=4)


def test_same_state_of_older_event_is_ignored() -> None:
    assert decide(row(), event(ACTIVE, -2)) is Verdict.KEEP


@pytest.mark.parametrize(
    "change", [event(ACTIVE), event(ACTIVE, None), Answer(ACTIVE, NOON)]
)
def test_write_that_changes_nothing_counts(change: SubscriptionChange) -> None:
    """Someone may be waiting for an older answer of Stripe, to store it."""
    assert decide(row(), change) == row(revision=4)


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_hand_made_update_in_the_same_second_is_applied(seconds: int) -> None:
    hand_made = event(PAST_DUE, seconds, has_previous_attributes=False)
    assert decide(row(), hand_made) == row(PAST_DUE, after(max(seconds, 0)), 4)


def test_hand_made_update_that_is_older_is_ignored() -> None:
    hand_made = event(PAST_DUE, -2, has_previous_attributes=False)
    assert decide(row(), hand_made) is Verdict.KEEP


@pytest.mark.parametrize("kind", ["paused", "resumed"])
def test_only_updates_have_previous_attributes(kind: str) -> None:
    change = event(PAST_DUE, 0, kind, has_previous_attributes=False)
    assert decide(row(), change) is Verdict.REREAD


def test_event_without_time_is_applied_on_arrival() -> None:
    assert decide(row(), event(PAST_DUE, None)) == row(PAST_DUE, NOON, revision=4)


@pytest.mark.parametrize("seconds", [*SECONDS, None])
def test_row_without_time_takes_what_arrives(seconds: float | None) -> None:
    time = None if seconds is None else after(seconds)
    decision = decide(row(synced_at=None), event(PAST_DUE, seconds))
    assert decision == row(PAST_DUE, time, revision=4)


@pytest.mark.parametrize(
    "synced_at",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC, microsecond=0),
    ],
)
@pytest.mark.parametrize("change", [event(PAST_DUE), event(ACTIVE), event(CANCELED)])
def test_times_at_the_ends_of_the_calendar_do_not_raise(
    synced_at: datetime, change: Snapshot
) -> None:
    decide(row(synced_at=synced_at), change)
    decide(row(), change._replace(time=synced_at))
    decide(row(synced_at=synced_at), change._replace(time=synced_at))
    decide(row(synced_at=synced_at), failure())


# -- answers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "synced_at"), [(-9, NOON), (0, NOON), (9, after(9)), (None, NOON)]
)
def test_answer_is_stored_and_time_never_goes_back(
    seconds: float | None, synced_at: datetime
) -> None:
    time = None if seconds is None else after(seconds)
    assert decide(row(), Answer(PAST_DUE, time)) == row(PAST_DUE, synced_at, 4)


# -- invoice.payment_failed ----------------------------------------------------------


def failure(
    seconds: float | None = 60,
    billing_reason: str | None = "subscription_cycle",
    period_end: datetime | None = PERIOD_END,
) -> PaymentFailure:
    time = None if seconds is None else after(seconds)
    return PaymentFailure("sub_1", time, billing_reason, period_end)


@pytest.mark.parametrize("status", ["active", "trialing"])
def test_failed_payment_makes_past_due_and_leaves_time(status: str) -> None:
    before = row(ACTIVE._replace(status=status))
    assert decide(before, failure()) == row(PAST_DUE, NOON, revision=4)


def test_failed_payment_leaves_past_due_past_due() -> None:
    decision = decide(row(PAST_DUE), failure())
    assert decision is Verdict.KEEP or decision == row(PAST_DUE, NOON, revision=4)


@pytest.mark.parametrize(
    "status", ["incomplete", "unpaid", "paused", "canceled", "incomplete_expired", "x"]
)
def test_failed_payment_changes_no_other_status(status: str) -> None:
    assert decide(row(ACTIVE._replace(status=status)), failure()) is Verdict.KEEP


@pytest.mark.parametrize(
    ("reason", "is_applied"),
    [
        (None, True),
        ("subscription_cycle", True),
        ("subscription_create", False),
        ("subscription_update", False),
        ("subscription_threshold", False),
        ("manual", False),
        ("upcoming", False),
    ],
)
def test_failed_payment_counts_for_renewals(
    reason: str | None, is_applied: bool
) -> None:
    decision = decide(row(), failure(billing_reason=reason))
    assert (decision is not Verdict.KEEP) == is_applied


@pytest.mark.parametrize(
    ("seconds", "is_applied"),
    [(-9, False), (0, False), (1, False), (2, True), (3600, True), (None, True)],
)
def test_failed_payment_must_be_clearly_newer(
    seconds: float | None, is_applied: bool
) -> None:
    decision = decide(row(), failure(seconds))
    assert (decision is not Verdict.KEEP) == is_applied


def test_failed_payment_applies_to_row_without_time() -> None:
    decision = decide(row(synced_at=None), failure())
    assert decision == row(PAST_DUE, None, revision=4)


@pytest.mark.parametrize(
    ("period_end", "paid_until", "is_applied"),
    [
        pytest.param(PERIOD_END, PERIOD_END, True, id="this period"),
        pytest.param(PERIOD_END + timedelta(30), PERIOD_END, True, id="the next one"),
        pytest.param(PERIOD_END - timedelta(30), PERIOD_END, False, id="old invoice"),
        pytest.param(None, PERIOD_END, True, id="invoice without period"),
        pytest.param(PERIOD_END, None, True, id="row without period"),
    ],
)
def test_failed_payment_of_an_old_invoice_is_ignored(
    period_end: datetime | None, paid_until: datetime | None, is_applied: bool
) -> None:
    before = row(ACTIVE._replace(current_period_end=paid_until))
    decision = decide(before, failure(period_end=period_end))
    assert (decision is not Verdict.KEEP) == is_applied


def test_recovery_in_the_same_second_as_the_failure_is_not_lost() -> None:
    failed = decide(row(), failure(60))
    assert isinstance(failed, StoredSubscription)

    recovered = decide(failed, event(SEATS, 60))
    assert recovered == row(SEATS, after(60), revision=5)


# -- the end of a customer -----------------------------------------------------------


def after_the_customer(
    stored: StoredSubscription, time: datetime | None
) -> StoredSubscription:
    """The row of a subscription after its customer was deleted."""
    payer = Payer(1, "cus_1", SubscriptionColumns())
    customer = CustomerState(payer, {stored.state.id: stored})
    customer_after = customer.after([CustomerDeleted(time)])
    assert customer_after is not None and customer_after.payer.customer_id is None
    return customer_after.rows[stored.state.id]


@pytest.mark.parametrize("status", ["active", "trialing", "incomplete", "paused", "x"])
def test_deleted_customer_cancels(status: str) -> None:
    before = row(ACTIVE._replace(status=status, cancel_at_period_end=True))
    ended = ACTIVE._replace(status="canceled", ended_at=after(9))
    assert after_the_customer(before, after(9)) == row(ended, after(9), revision=4)


@pytest.mark.parametrize("time", [None, after(-9)])
def test_deleted_customer_leaves_later_time(time: datetime | None) -> None:
    ended = ACTIVE._replace(status="canceled", ended_at=time)
    assert after_the_customer(row(), time) == row(ended, NOON, revision=4)


@pytest.mark.parametrize("final", [CANCELED, EXPIRED])
def test_deleted_customer_leaves_what_has_ended(final: SubscriptionState) -> None:
    assert after_the_customer(row(final), after(3600)) == row(final)


# -- projection ----------------------------------------------------------------------


def subscription(
    id_: str, status: str, age: int | None = 0, **values: object
) -> SubscriptionState:
    created = None if age is None else NOON - timedelta(days=age)
    state = SubscriptionState(id_, "cus_1", status, created=created)
    return state._replace(**values)  # type: ignore[arg-type]  # of any field


def test_no_rows_fill_no_columns() -> None:
    assert project([], Access(("active",))) == SubscriptionColumns()


def test_columns_tell_of_the_best() -> None:
    leaving = ACTIVE._replace(cancel_at_period_end=True)
    assert project([CANCELED, leaving], Access(("active",))) == SubscriptionColumns(
        subscription_id="sub_1",
        status="active",
        price_id="price_pro",
        current_period_end=PERIOD_END,
        cancel_at_period_end=True,
    )


@pytest.mark.parametrize(
    ("active_statuses", "order"),
    [
        pytest.param(
            ("active",),
            "active trialing past_due paused unpaid incomplete surprising canceled",
            id="active gives access",
        ),
        pytest.param(
            ("past_due",),
            "past_due trialing active paused unpaid incomplete surprising canceled",
            id="past due gives access",
        ),
        pytest.param(
            ("surprising",),
            "surprising trialing active past_due paused unpaid incomplete canceled",
            id="an unknown status gives access",
        ),
        pytest.param(
            (),
            "trialing active past_due paused unpaid incomplete surprising canceled",
            id="none gives access",
        ),
    ],
)
def test_status_comes_before_age_and_id(
    active_statuses: Sequence[str], order: str
) -> None:
    states = [
        subscription(f"sub_{9 - rank}", status, age=9 - rank)
        for rank, status in enumerate(order.split())
    ]
    assert best_first(reversed(states), Access(active_statuses)) == states


def test_statuses_that_give_access_are_equal() -> None:
    old, new = subscription("sub_1", "trialing", 2), subscription("sub_2", "active", 1)
    assert best_first([old, new], Access(("active", "trialing"))) == [new, old]


def test_unknown_statuses_are_equal() -> None:
    old, new = subscription("sub_1", "a", 2), subscription("sub_2", "b", 1)
    assert best_first([old, new], Access(("active",))) == [new, old]


@pytest.mark.parametrize("status", ["active", "past_due", "canceled"])
def test_age_comes_before_id_and_unknown_age_last(status: str) -> None:
    newest = subscription("sub_4", status, 1)
    twins = [subscription("sub_2", status, 2), subscription("sub_3", status, 2)]
    undated = subscription("sub_1", status, None)
    states = [newest, *twins, undated]

    assert best_first(reversed(states), Access(("active",))) == states


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["canceled"], "canceled"),
        (["incomplete_expired"], "incomplete_expired"),
        (["canceled", "incomplete_expired"], "incomplete_expired"),
        (["incomplete_expired", "canceled"], "canceled"),
    ],
)
def test_of_ended_ones_only_the_newest_status_is_left(
    statuses: list[str], expected: str
) -> None:
    states = [
        ACTIVE._replace(id=f"sub_{number}", status=status, created=after(number))
        for number, status in enumerate(statuses)
    ]
    assert project(states, Access(("active",))) == SubscriptionColumns(status=expected)


@pytest.mark.parametrize("final", ["canceled", "incomplete_expired"])
def test_newer_ended_one_hides_no_running_one(final: str) -> None:
    ended = subscription("sub_1", final, age=0)
    running = subscription("sub_2", "incomplete", age=9)
    assert project([ended, running], Access((final,))).subscription_id == "sub_2"


# -- columns from before there were rows ---------------------------------------------


def test_columns_become_a_row_without_times() -> None:
    columns = SubscriptionColumns("sub_1", "active", "price_pro", PERIOD_END, True)
    assert adopt(columns, "cus_1") == StoredSubscription(
        SubscriptionState(
            id="sub_1",
            customer_id="cus_1",
            status="active",
            items=(ItemState(None, "price_pro"),),
            current_period_end=PERIOD_END,
            cancel_at_period_end=True,
        ),
        synced_at=None,
        revision=1,
    )


@pytest.mark.parametrize(
    "columns",
    [
        SubscriptionColumns("sub_1", "active", "price_pro", PERIOD_END, True),
        SubscriptionColumns("sub_1", "surprising"),
    ],
)
def test_adopted_row_projects_what_it_came_from(columns: SubscriptionColumns) -> None:
    adopted = adopt(columns, "cus_1")

    assert adopted is not None
    assert project([adopted.state], Access(("active",))) == columns


@pytest.mark.parametrize("status", [None, "active", "canceled"])
def test_columns_that_name_no_subscription_become_no_row(status: str | None) -> None:
    assert adopt(SubscriptionColumns(None, status), "cus_1") is None


def test_columns_without_status_give_no_access() -> None:
    adopted = adopt(SubscriptionColumns("sub_1"), "cus_1")

    assert adopted is not None
    assert adopted.state.status == "incomplete"


def test_any_event_is_applied_to_an_adopted_row() -> None:
    adopted = adopt(SubscriptionColumns("sub_1", "trialing"), "cus_1")
    assert decide(adopted, event(ACTIVE)) == row(ACTIVE, NOON, revision=2)


# -- what users get ------------------------------------------------------------------


def described(
    status: str,
    *,
    leaving: bool = False,
    price_id: str | None = "price_pro",
    access: Access = STANDARD,
) -> Subscription:
    """The subscription in a user's columns; it has no row."""
    columns = SubscriptionColumns("sub_1", status, price_id, PERIOD_END, leaving)
    subscription = Subscription.describe(columns, access, NOON, lambda id_: None)
    assert subscription is not None
    return subscription


@pytest.mark.parametrize(
    ("status", "properties"),
    [
        ("active", {"is_active"}),
        ("trialing", {"is_active", "on_trial"}),
        ("past_due", {"past_due"}),
        ("canceled", {"canceled"}),
        ("unpaid", set()),
        ("paused", set()),
        ("incomplete", set()),
        ("incomplete_expired", set()),
        ("surprising", set()),
    ],
)
def test_properties_by_status(status: str, properties: set[str]) -> None:
    names = ("is_active", "on_trial", "past_due", "canceled", "on_grace_period")
    subscription = described(status)
    assert {name for name in names if getattr(subscription, name)} == properties


@pytest.mark.parametrize(
    ("status", "leaving", "expected"),
    [
        ("active", True, True),
        ("trialing", True, True),
        ("active", False, False),
        ("past_due", True, False),
        ("canceled", True, False),
    ],
)
def test_grace_period_is_scheduled_and_active(
    status: str, leaving: bool, expected: bool
) -> None:
    assert described(status, leaving=leaving).on_grace_period is expected


def test_active_statuses_are_those_of_the_app() -> None:
    access = Access(("past_due",))
    subscription = described("past_due", leaving=True, access=access)
    assert subscription.is_active
    assert subscription.on_grace_period
    assert not described("active", leaving=True, access=access).is_active


@pytest.mark.parametrize(
    ("price_id", "price"), [("price_pro", "pro"), ("price_old", None), (None, None)]
)
def test_price_is_the_name_of_its_id(price_id: str | None, price: str | None) -> None:
    access = Access(catalogue=Catalogue({"pro": Price(("price_pro",))}))
    assert described("active", price_id=price_id, access=access).price == price


def test_price_has_no_name_where_none_are_configured() -> None:
    assert described("active").price is None


def test_subscription_is_a_frozen_value() -> None:
    subscription = described("active")

    with pytest.raises(FrozenInstanceError):
        subscription.status = "canceled"  # type: ignore[misc]  # that is the point

    other_access = Access((), Catalogue({"pro": Price(("price_pro",))}))
    assert subscription == described("active", access=Access(()))
    assert len({subscription, described("active", access=other_access)}) == 1
    assert pickle.loads(pickle.dumps(subscription)) == subscription  # noqa: S301


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((), None),
        ((None, None), None),
        ((NOON, None), NOON),
        ((NOON, after(1), after(-1)), after(1)),
    ],
)
def test_latest_is_of_the_known_times(
    times: tuple[datetime | None, ...], expected: datetime | None
) -> None:
    assert latest(*times) == expected
