"""Events may arrive in any order: time and finality decide.

``test_every_order.py`` goes through all orders; here are the rules, one by one. K1 to
K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

from typing import Any

import pytest
import responses

from tests.buyers import shown
from tests.vocabulary import at
from tests.vocabulary import END
from tests.vocabulary import event
from tests.vocabulary import MONTH
from tests.vocabulary import ok
from tests.vocabulary import payment_failed
from tests.vocabulary import send
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import T


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
@pytest.mark.parametrize("kind", ["created", "updated", "resumed"])
def test_nothing_comes_after_the_end(shop: Any, status: str, kind: str) -> None:
    shop.post_event(event("deleted", 5, status=status))
    ok(shop.post_event(event(kind, 3600)))
    assert shop.columns()["subscription_status"] == status
    assert shop.columns()["subscription_id"] is None


def test_end_applies_whatever_its_time(shop: Any) -> None:
    shop.post_event(event("updated", 3600))
    shop.post_event(event("deleted", -3600, status="canceled"))
    assert shop.columns()["subscription_status"] == "canceled"
    assert shop.subscriptions[0].synced_at == at(T + 3600)


def test_created_does_not_overwrite(shop: Any) -> None:
    shop.post_event(event("updated", 0))
    ok(shop.post_event(event("created", 3600, status="incomplete")))
    assert shop.columns()["subscription_status"] == "active"


@pytest.mark.parametrize(("after", "applied"), [(-2, False), (2, True)])
def test_more_than_a_second_apart_the_time_decides(
    shop: Any, stripe_api: responses.RequestsMock, after: int, applied: bool
) -> None:
    shop.post_event(event("updated", 0))
    ok(shop.post_event(event("updated", after, status="past_due")))
    expected = "past_due" if applied else "active"
    assert shop.columns()["subscription_status"] == expected
    assert shop.subscriptions[0].synced_at == at(T + max(0, after))


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_same_state_within_a_second_only_moves_the_time(
    shop: Any, stripe_api: responses.RequestsMock, after: int
) -> None:
    shop.post_event(event("updated", 0))
    ok(shop.post_event(event("updated", after)))
    assert shop.subscriptions[0].synced_at == at(T + max(0, after))
    assert shop.events[-1].change is None


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_within_a_second_stripe_is_asked(
    shop: Any, stripe_api: responses.RequestsMock, after: int
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB_1, json=subscription(status="unpaid"))
    ok(shop.post_event(event("updated", after, status="past_due")))
    assert shop.columns()["subscription_status"] == "unpaid"
    [call] = stripe_api.calls
    assert call.request.headers["Authorization"] == "Bearer sk_test_of_the_tests"


@pytest.mark.parametrize("previous", [{}, {"status": "active"}])
def test_matching_previous_attributes_prove_nothing(
    shop: Any, stripe_api: responses.RequestsMock, previous: dict[str, Any]
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB_1, json=subscription())
    sent = event("updated", 0, status="past_due")
    sent["data"]["previous_attributes"] = previous
    shop.post_event(sent)
    assert shop.columns()["subscription_status"] == "active"


def test_updated_made_by_hand_is_applied_in_order_of_arrival(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    for status in ("active", "past_due", "unpaid", "active", "paused"):
        sent = event("updated", 0, status=status)
        del sent["data"]["previous_attributes"]
        ok(shop.post_event(sent))
        assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize("kind", ["paused", "resumed"])
def test_paused_and_resumed_are_never_taken_for_made_by_hand(
    shop: Any, stripe_api: responses.RequestsMock, kind: str
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB_1, json=subscription(status="paused"))
    shop.post_event(event(kind, 0, status="trialing"))
    assert shop.columns()["subscription_status"] == "paused"


@pytest.mark.parametrize(
    "created",
    [None, "absent", "soon", -1, 10**20, [], True, "0001-01-01T00:00:00Z"],
)
def test_event_without_a_time_is_applied_on_arrival(
    shop: Any, stripe_api: responses.RequestsMock, created: Any
) -> None:
    shop.post_event(event("updated", 0))
    sent = event("updated", status="past_due")
    sent["created"] = created

    if created == "absent":
        del sent["created"]

    ok(shop.post_event(sent))
    assert shop.columns()["subscription_status"] == "past_due"
    assert shop.subscriptions[0].synced_at == at(T)


def test_row_without_a_time_takes_any_event(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    sent = event("updated")
    del sent["created"]
    shop.post_event(sent)
    ok(shop.post_event(event("updated", 0, status="past_due")))
    assert shop.columns()["subscription_status"] == "past_due"


@pytest.mark.parametrize("time", [0, 253402214399, "9999-12-30T00:00:00Z"])
def test_events_at_the_ends_of_time_are_ordered_too(
    shop: Any, stripe_api: responses.RequestsMock, time: Any
) -> None:
    stripe_api.get(SUB_1, json=subscription(status="unpaid"))
    shop.post_event({**event("updated"), "created": time})
    ok(shop.post_event({**event("updated", status="past_due"), "created": time}))
    ok(shop.post_event({**payment_failed(), "created": time}))
    assert shop.columns()["subscription_status"] == "unpaid"


def test_subscriptions_are_ordered_one_by_one(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 3600, id="sub_2"))
    ok(shop.post_event(event("updated", 0, id="sub_1", status="past_due")))
    assert {row.id: row.status for row in shop.subscriptions} == {
        "sub_1": "past_due",
        "sub_2": "active",
    }


def test_canceled_plan_stays_canceled_when_an_update_comes_late(
    shop: Any,
) -> None:
    """K3: a late ``updated`` made a canceled subscription active, for ever."""
    send(
        shop,
        event("created"),
        event("deleted", 60, status="canceled"),
        event("updated", 30),
        event("updated", 90),
    )
    assert shown(shop) is None


def test_payer_who_recovered_stays_active_when_the_failure_comes_late(
    shop: Any,
) -> None:
    """K6: a failure that arrived after the recovery left the payer past due."""
    send(
        shop,
        event("created"),
        event("updated", 60, status="past_due"),
        event("updated", 90, current_period_end=END + MONTH),
        payment_failed(58),
        payment_failed(90),
        payment_failed(95, period_end=END),
    )
    assert shown(shop)["status"] == "active"


def test_payer_is_active_though_the_creation_comes_last(shop: Any) -> None:
    """K8: ``created`` after ``updated`` left a payer ``incomplete``."""
    send(shop, event("updated", 1), event("created", 0, status="incomplete"))
    assert shown(shop)["status"] == "active"
