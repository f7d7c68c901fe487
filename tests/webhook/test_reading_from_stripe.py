"""What Stripe answers is stored unless the row changed meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses
from requests import ConnectionError as NoConnection
from requests import PreparedRequest

from flask_kavach_stripe.testing import make_thin_event
from tests.vocabulary import at
from tests.vocabulary import checkout
from tests.vocabulary import dated
from tests.vocabulary import event
from tests.vocabulary import ok
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import T


def test_answer_is_as_old_as_its_date(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 0))
    answer = subscription(status="unpaid")
    stripe_api.get(SUB_1, json=answer, headers=dated(T + 100))
    shop.post_event(event("updated", 0, status="past_due"))
    # Less the duration of the call, in whole seconds.
    assert shop.subscriptions[0].synced_at == at(T + 99)

    shop.post_event(event("updated", 97, status="past_due"))
    assert shop.columns()["subscription_status"] == "unpaid"


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        pytest.param({}, {}, id="no date"),
        pytest.param({}, {"Date": "soon"}, id="no date that can be read"),
        pytest.param({"test_clock": "clock_1"}, dated(T + 100), id="test clock"),
        pytest.param({}, dated(T - 100), id="a date before the event"),
    ],
)
def test_answer_is_at_least_as_new_as_event_and_row(
    shop: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
    headers: dict[str, str],
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB_1, json=subscription(status="unpaid", **answer), headers=headers)
    shop.post_event(event("updated", 1, status="past_due"))
    assert shop.subscriptions[0].synced_at == at(T + 1)
    shop.post_event(event("updated", 0, status="past_due"))
    assert shop.subscriptions[0].synced_at == at(T + 1)


def test_nothing_is_stored_when_stripe_cannot_be_asked(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 0))
    before = shop.columns()
    stripe_api.get(SUB_1, body=NoConnection("no route"))
    sent = event("updated", 0, status="past_due")
    answer = shop.post_event(sent)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"].isdigit()
    assert answer.json["code"] == "stripe_unavailable"
    assert (shop.columns(), len(shop.events)) == (before, 1)
    assert shop.subscriptions[0].revision == 1

    stripe_api.reset()
    stripe_api.get(SUB_1, json=subscription(status="past_due"))
    ok(shop.post_event(sent))
    assert shop.columns()["subscription_status"] == "past_due"


def test_stripe_is_asked_with_one_try_of_eight_seconds(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_MAX_NETWORK_RETRIES=2)
    shop.add_user(stripe_customer_id="cus_ada")
    timeouts: list[Any] = []

    def refuse(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        timeouts.append(request.req_kwargs["timeout"])  # type: ignore[attr-defined]  # of `responses`
        return 500, {}, "{}"

    stripe_api.add_callback("GET", SUB_1, callback=refuse)
    assert shop.post_event(checkout()).status_code == 503
    [timeout] = timeouts
    assert timeout.total == 8


def test_missing_key_leaves_the_event_to_stripe(make_shop: Any) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=None)
    shop.add_user(stripe_customer_id="cus_ada")
    assert shop.post_event(checkout()).status_code == 503
    ok(shop.post_event(event("created")))


def test_duplicate_is_recognised_before_stripe_is_asked(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB_1, json=subscription(status="unpaid"))
    sent = event("updated", 0, status="past_due")
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert len(stripe_api.calls) == 1
    assert len(shop.events) == 2


def test_answer_is_dropped_when_another_event_was_stored_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """That the other one can be stored shows that no lock is held meanwhile."""
    shop.post_event(event("updated", 0))

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        ok(shop.post_event(event("updated", 60, status="unpaid")))
        return 200, {}, json.dumps(subscription(price="price_old"))

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(event("updated", 1, status="past_due")))
    assert shop.columns()["subscription_status"] == "unpaid"
    assert shop.columns()["price_id"] == "price_pro"
    assert len(stripe_api.calls) == 1
    assert len(shop.events) == 3


def test_stripe_is_asked_again_when_a_row_appeared_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    prices = iter(["price_first", "price_second"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        if not shop.subscriptions:
            ok(shop.post_event(event("created")))

        answered = subscription(price=next(prices))
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(checkout()))
    assert shop.columns()["price_id"] == "price_second"


def test_write_that_changes_nothing_else_counts_as_well(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Only the time moved, yet what was read before that may be older."""
    shop.post_event(event("updated", 0))
    answers = iter(["unpaid", "paused"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        status = next(answers)

        if status == "unpaid":
            ok(shop.post_event(event("updated", 1)))

        answered = subscription(status=status)
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(event("updated", 0, status="past_due")))
    assert shop.columns()["subscription_status"] == "paused"


def test_after_three_reads_the_event_is_left_to_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    times = iter(range(10, 1000, 10))

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        time = next(times)
        ok(shop.post_event(event("updated", time, price=f"price_{time}")))
        answered = subscription(price="price_read")
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    sent = checkout()
    assert shop.post_event(sent).status_code == 503
    assert len(stripe_api.calls) == 3
    assert shop.columns()["price_id"] == "price_30"
    assert sent["id"] not in [row.id for row in shop.events]


def test_thin_answer_is_read_again_when_the_row_changed_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    prices = iter(["price_old", "price_new"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        price = next(prices)

        if price == "price_old":
            ok(shop.post_event(event("updated", 60, price="price_between")))

        answered = subscription(price=price)
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(make_thin_event("customer.subscription.updated", "sub_1")))
    assert shop.columns()["price_id"] == "price_new"


def test_customer_linked_to_another_user_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    bob = shop.add_user()
    carol = shop.add_user()

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        with shop.app.app_context():
            for key, customer in ((bob, None), (carol, "cus_bob")):
                shop.db.session.get(shop.User, key).stripe_customer_id = customer
                shop.db.session.commit()

        answered = subscription(customer="cus_bob")
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB_1, callback=answer)
    ok(shop.post_event(checkout(customer="cus_bob", client_reference_id=str(bob))))
    assert shop.columns(bob)["subscription_id"] is None
    assert shop.columns(carol)["subscription_id"] == "sub_1"
