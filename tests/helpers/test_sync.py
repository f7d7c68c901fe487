"""``sync_subscription`` stores what Stripe says of a customer now."""

from __future__ import annotations

import json
import time
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any

import pytest
import requests
import responses

from flask_kavach_stripe import APIConnectionError
from flask_kavach_stripe import APIError
from flask_kavach_stripe import StripeError
from flask_kavach_stripe import Subscription
from flask_kavach_stripe import UnknownCustomerError
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests.vocabulary import customer_of_other_mode
from tests.vocabulary import dated
from tests.vocabulary import error_of
from tests.vocabulary import event
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import expect_list
from tests.vocabulary import expect_unknown_customer
from tests.vocabulary import no_such_customer
from tests.vocabulary import send
from tests.vocabulary import store_subscription
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS


def test_sync(kept_shop: Any, user: Any, stripe_api: responses.RequestsMock) -> None:
    expect_list(
        stripe_api,
        subscription(status="past_due"),
        subscription("sub_2", status="canceled"),
    )

    found = kept_shop.kavach_stripe.sync_subscription(user)

    assert found is not None
    assert (found.id, found.status) == ("sub_1", "past_due")
    assert user.stripe_subscription_id == "sub_1"
    assert kept_shop.columns()["subscription_status"] == "past_due"
    assert {row.id: row.status for row in kept_shop.subscriptions} == {
        "sub_1": "past_due",
        "sub_2": "canceled",
    }


def test_sync_goes_through_all_pages(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    ids = [f"sub_{number:03}" for number in range(250)]
    pages = [
        [subscription(id_, status="canceled") for id_ in page]
        for page in (ids[:100], ids[100:200], ids[200:])
    ]
    pages[2][-1]["status"] = "active"
    expect_list(stripe_api, *pages[0], has_more=True)
    expect_list(stripe_api, *pages[1], has_more=True, starting_after="sub_099")
    expect_list(stripe_api, *pages[2], starting_after="sub_199")

    found = kept_shop.kavach_stripe.sync_subscription(user)

    assert found is not None
    assert found.id == "sub_249"
    assert len(kept_shop.subscriptions) == 250


def expect_by_id(stripe_api: responses.RequestsMock, id: str, **values: Any) -> Any:
    """Answer requests for a subscription by its id. Without values: unknown."""
    if values:
        return stripe_api.get(f"{SUBSCRIPTIONS}/{id}", json=subscription(id, **values))

    error = error_of(code="resource_missing", param="id")
    return stripe_api.get(f"{SUBSCRIPTIONS}/{id}", status=404, json=error)


@pytest.mark.parametrize("status", ["canceled", "past_due", "active"])
def test_sync_reads_by_its_id_what_stripe_does_not_list(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock, status: str
) -> None:
    kept_shop.add_user(stripe_customer_id="cus_bob")
    store_subscription(kept_shop, "sub_1", status="incomplete")
    store_subscription(kept_shop, "sub_2")
    store_subscription(kept_shop, "sub_3", status="canceled")
    store_subscription(kept_shop, "sub_bob", customer="cus_bob")
    expect_list(stripe_api, subscription("sub_1"))
    expect_by_id(stripe_api, "sub_2", status=status)

    kept_shop.kavach_stripe.sync_subscription(user)

    assert {row.id: row.status for row in kept_shop.subscriptions} == {
        "sub_1": "active",
        "sub_2": status,
        "sub_3": "canceled",
        "sub_bob": "active",
    }


@pytest.mark.parametrize(
    "of_another", [False, True], ids=["unknown", "another customer's"]
)
def test_sync_keeps_what_stripe_does_not_know_and_says_so(
    kept_shop: Any,
    user: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    of_another: bool,
) -> None:
    store_subscription(kept_shop)
    expect_list(stripe_api)
    expect_by_id(stripe_api, "sub_1", **{"customer": "cus_x"} if of_another else {})

    found = kept_shop.kavach_stripe.sync_subscription(user)

    assert found is not None
    assert [row.status for row in kept_shop.subscriptions] == ["active"]
    assert "Stripe does not know subscription sub_1 of customer cus_ada" in caplog.text


@pytest.mark.parametrize("status", [None, "canceled"])
def test_sync_reads_what_only_the_columns_say(
    kept_shop: Any,
    context: None,
    stripe_api: responses.RequestsMock,
    status: str | None,
) -> None:
    kept_shop.add_user(
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
    )
    stripe_api.get(SUBSCRIPTIONS, json={"data": []})
    values = {"customer": "cus_bob", "status": status} if status else {}
    expect_by_id(stripe_api, "sub_bob", **values)

    found = kept_shop.kavach_stripe.sync_subscription(2)

    assert (found is None) == (status == "canceled")
    assert kept_shop.columns(2)["subscription_status"] == (status or "active")


def test_sync_that_cannot_read_by_id_changes_nothing(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop)
    before = kept_shop.columns()
    expect_list(stripe_api, subscription("sub_2"))
    stripe_api.get(f"{SUBSCRIPTIONS}/sub_1", status=500, json=error_of("api_error"))

    with pytest.raises(APIError):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.columns() == before
    assert len(kept_shop.subscriptions) == 1


def test_sync_does_not_bring_back_what_ended(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop, status="canceled")
    expect_list(stripe_api, subscription())

    assert kept_shop.kavach_stripe.sync_subscription(user) is None


def test_sync_ignores_what_is_another_customers(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_list(stripe_api, make_subscription("sub_eve", customer="cus_eve"))

    assert kept_shop.kavach_stripe.sync_subscription(user) is None
    assert kept_shop.subscriptions == []


def test_sync_takes_the_time_from_the_date_header(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    """Less the duration of the call, and rounded down."""
    date = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
    listed = subscription(created=1_700_000_000)
    expect_list(stripe_api, listed, headers=dated(int(date.timestamp())))

    kept_shop.kavach_stripe.sync_subscription(user)

    [row] = kept_shop.subscriptions
    assert date - timedelta(seconds=3) <= row.synced_at <= date


def test_event_before_a_sync_is_not_applied_after_it(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    date = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
    expect_list(
        stripe_api,
        subscription(status="active"),
        headers=dated(int(date.timestamp())),
    )
    kept_shop.kavach_stripe.sync_subscription(user)
    late = make_event(
        "customer.subscription.updated",
        subscription(status="past_due"),
        created=int(date.timestamp()) - 60,
        previous_attributes={"status": "active"},
    )

    assert kept_shop.post_event(late).status_code == 200
    assert kept_shop.columns()["subscription_status"] == "active"


def test_time_of_a_test_clock_is_not_ours(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    listed = subscription(test_clock="clock_1")
    expect_list(stripe_api, listed, headers=dated(int(time.time())))

    kept_shop.kavach_stripe.sync_subscription(user)

    assert [row.synced_at for row in kept_shop.subscriptions] == [None]


def test_sync_asks_again_when_an_event_came_meanwhile(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop, status="incomplete")
    answers = iter(["active", "unpaid"])

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        status = next(answers)

        if status == "active":  # and now Stripe sends what happened in between
            send(kept_shop, event("updated", 600, status="past_due"))

        return 200, {}, json.dumps({"data": [subscription(status=status)]})

    stripe_api.add_callback("GET", SUBSCRIPTIONS, answer)

    found = kept_shop.kavach_stripe.sync_subscription(user)

    assert found is not None
    assert found.status == "unpaid"
    assert len(stripe_api.calls) == 2


def test_sync_gives_up_after_three_answers(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop, status="incomplete")
    calls: list[int] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        calls.append(1)
        store_subscription(kept_shop, f"sub_new_{len(calls)}", status="incomplete")
        return 200, {}, json.dumps({"data": [subscription(status="incomplete")]})

    stripe_api.add_callback("GET", SUBSCRIPTIONS, answer)
    expect_by_id(stripe_api, "sub_new_1", status="incomplete")
    expect_by_id(stripe_api, "sub_new_2", status="incomplete")

    with pytest.raises(APIError, match="changed during each of 3 reads"):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert len(calls) == 3
    assert {row.status for row in kept_shop.subscriptions} == {"incomplete"}


def test_sync_without_a_customer_asks_nobody(kept_shop: Any, newcomer: Any) -> None:
    assert kept_shop.kavach_stripe.sync_subscription(newcomer) is None


def test_sync_of_a_deleted_customer(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop)
    stripe_api.get(SUBSCRIPTIONS, status=404, json=no_such_customer())
    expect_deleted_customer(stripe_api)

    assert kept_shop.kavach_stripe.sync_subscription(user) is None
    assert user.stripe_customer_id is None
    assert user.stripe_subscription_status == "canceled"


def test_sync_of_a_customer_of_the_other_mode(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop)
    before = kept_shop.columns()
    stripe_api.get(SUBSCRIPTIONS, status=404, json=customer_of_other_mode())
    expect_unknown_customer(stripe_api)

    with pytest.raises(UnknownCustomerError, match="'cus_ada' under the present key"):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.columns() == before


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "body": "oops"},
        {"body": requests.ReadTimeout("slow")},
        {"json": {"object": "list"}},
        {"json": {"data": ["sub_1"]}},
        {"json": {"data": [{"id": "sub_1"}]}},
        {"json": {"data": [{"id": "sub_2"}], "has_more": True}},
    ],
)
def test_sync_that_fails_changes_nothing(
    kept_shop: Any,
    user: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
) -> None:
    store_subscription(kept_shop)
    before = kept_shop.columns()
    stripe_api.get(SUBSCRIPTIONS, **answer)

    with pytest.raises(StripeError):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.columns() == before
    assert [row.revision for row in kept_shop.subscriptions] == [1]


def test_sync_that_breaks_off_after_a_page_changes_nothing(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop, "sub_9")
    expect_list(stripe_api, subscription(), has_more=True)
    stripe_api.get(SUBSCRIPTIONS, body=requests.ConnectionError("down"))

    with pytest.raises(APIConnectionError):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.columns()["subscription_id"] == "sub_9"
    assert len(kept_shop.subscriptions) == 1


def test_sync_tells_those_who_want_to_know(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    told: list[Any] = []

    def handler(user: Any, subscription: Subscription) -> None:
        told.append((user.id, subscription.id, subscription.status))
        kept_shop.note(subscription.status)
        kept_shop.db.session.commit()

    kept_shop.kavach_stripe.on_subscription_change(handler)
    running = subscription()
    expect_list(stripe_api, running)
    expect_list(stripe_api, running)
    expect_list(stripe_api, {**running, "status": "canceled"})

    for _ in range(3):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert told == [(1, "sub_1", "active"), (1, "sub_1", "canceled")]
    assert kept_shop.notes == ["active", "canceled"]


def test_handler_that_raises_undoes_no_column(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    """A bug in a mail locks out nobody; that it is owed stays in the ledger."""

    def handler(user: Any, subscription: Subscription) -> None:
        kept_shop.note("one")
        raise RuntimeError("a bug")

    kept_shop.kavach_stripe.on_subscription_change(handler)
    expect_list(stripe_api, subscription())

    with pytest.raises(RuntimeError, match="a bug"):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.notes == []
    assert kept_shop.columns()["subscription_id"] == "sub_1"
    (owed,) = kept_shop.events
    assert (owed.processed_at, owed.attempts) == (None, 1)
    change = json.loads(owed.change)
    assert (change["before"], change["after"]["id"]) == (None, "sub_1")
    assert (owed.customer_id, owed.error) == ("cus_ada", "RuntimeError: a bug")


def test_handler_that_was_told_leaves_no_entry(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    kept_shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: kept_shop.note(subscription.id)
    )
    expect_list(stripe_api, subscription())
    kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.notes == ["sub_1"]
    assert kept_shop.events == []
