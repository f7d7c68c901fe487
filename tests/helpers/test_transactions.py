"""Helpers commit before they call Stripe, yet not inside a handler."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
import requests
import responses

from flask_kavach_stripe import APIConnectionError
from flask_kavach_stripe.testing import make_event
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import expect_new_customer
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import stored_customer
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import URLS


def test_all_is_committed_before_stripe_is_called(
    kept_shop: Any, context: None, stripe_api: responses.RequestsMock
) -> None:
    """A call takes seconds; a lock that long would stop the others."""
    session = kept_shop.db.session()

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        assert not session.in_transaction()
        path = kept_shop.app.config["SQLALCHEMY_DATABASE_URI"]
        connection = sqlite3.connect(path.removeprefix("sqlite:///"), timeout=0)
        connection.execute("UPDATE users SET email = 'other' WHERE id = 1")
        count = connection.execute("SELECT count(*) FROM note").fetchone()[0]
        connection.commit()
        connection.close()
        calls.append((request.url.partition("?")[0], count))
        return 200, {}, bodies.pop(0)

    calls: list[tuple[str, int]] = []
    bodies = [
        '{"data": []}',
        '{"id": "cus_new"}',
        '{"id": "cs_1", "url": "https://checkout.stripe.com/1"}',
        '{"id": "bps_1", "url": "https://billing.stripe.com/1"}',
    ]
    stripe_api.add_callback("GET", CUSTOMERS, answer)
    stripe_api.add_callback("POST", CUSTOMERS, answer)
    stripe_api.add_callback("POST", CHECKOUT_SESSIONS, answer)
    stripe_api.add_callback("POST", PORTAL_SESSIONS, answer)
    user = kept_shop.User(email="new@example.com")
    session.add(user)
    kept_shop.note("one")
    kept_shop.kavach_stripe.create_checkout_session(user, "price_pro", **URLS)
    kept_shop.note("two")
    kept_shop.kavach_stripe.create_portal_session(user, "https://a.example")

    assert calls == [
        (CUSTOMERS, 1),
        (CUSTOMERS, 1),
        (CHECKOUT_SESSIONS, 1),
        (PORTAL_SESSIONS, 2),
    ]


@pytest.mark.parametrize("helper", ["sync_subscription", "complete_checkout"])
def test_all_is_committed_before_stripe_is_asked(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock, helper: str
) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        assert not kept_shop.db.session().in_transaction()
        assert kept_shop.notes == ["one"]
        return 200, {}, '{"object": "list", "data": [], "status": "open"}'

    stripe_api.add_callback("GET", SUBSCRIPTIONS, answer)
    stripe_api.add_callback("GET", f"{CHECKOUT_SESSIONS}/cs_1", answer)
    stripe_api.assert_all_requests_are_fired = False
    kept_shop.note("one")

    if helper == "sync_subscription":
        kept_shop.kavach_stripe.sync_subscription(user)
    else:
        kept_shop.kavach_stripe.complete_checkout("cs_1", user)

    assert len(stripe_api.calls) == 1


def test_error_of_stripe_leaves_a_session_that_works(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, body=requests.ConnectionError("down"))

    with pytest.raises(APIConnectionError):
        kept_shop.kavach_stripe.create_customer(newcomer)

    assert newcomer.stripe_customer_id is None
    kept_shop.note("one")
    kept_shop.db.session.commit()
    assert kept_shop.notes == ["one"]


def test_inside_a_handler_nothing_is_committed(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    kept_shop.add_user(email="bob@example.com")
    expect_new_customer(stripe_api, json={"id": "cus_bob"})
    stripe_api.get(
        SUBSCRIPTIONS,
        json={"data": [subscription()]},
    )

    def handler(event: Any) -> None:
        kept_shop.note("before")
        assert kept_shop.kavach_stripe.create_customer(2) == "cus_bob"
        assert kept_shop.kavach_stripe.sync_subscription(1) is not None
        assert stored_customer(kept_shop, 2) is None
        raise RuntimeError("undo")

    kept_shop.kavach_stripe.on("invoice.paid")(handler)

    assert kept_shop.post_event(make_event("invoice.paid", {})).status_code == 500
    assert kept_shop.notes == []
    assert kept_shop.columns(2)["customer_id"] is None
    assert kept_shop.columns(1)["subscription_id"] is None


def test_inside_a_handler_all_is_committed_with_the_event(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    kept_shop.add_user(email="bob@example.com")
    expect_new_customer(stripe_api, json={"id": "cus_bob"})

    def handler(event: Any) -> None:
        user = kept_shop.db.session.get(kept_shop.User, 2)
        kept_shop.kavach_stripe.create_customer(user)
        assert user.stripe_customer_id == "cus_bob"
        kept_shop.note("done")

    kept_shop.kavach_stripe.on("invoice.paid")(handler)

    assert kept_shop.post_event(make_event("invoice.paid", {})).status_code == 200
    assert kept_shop.notes == ["done"]
    assert kept_shop.columns(2)["customer_id"] == "cus_bob"
