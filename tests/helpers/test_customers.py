"""``create_customer`` makes one customer for a user, and stores the id."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
import responses
from responses.matchers import header_matcher
from responses.matchers import urlencoded_params_matcher

from tests.vocabulary import customer_marks
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import expect_new_customer
from tests.vocabulary import sent_params
from tests.vocabulary import stored_customer
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS


def test_create_customer(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expected = {"email": "bob@example.com", **customer_marks(2)}
    expect_new_customer(
        stripe_api,
        json={"id": "cus_bob"},
        match=[
            urlencoded_params_matcher(expected),
            header_matcher({"Authorization": "Bearer sk_test_of_the_tests"}),
        ],
    )

    assert kept_shop.kavach_stripe.create_customer(newcomer) == "cus_bob"
    assert newcomer.stripe_customer_id == "cus_bob"
    assert stored_customer(kept_shop, 2) == "cus_bob"


def test_create_customer_with_email_and_name(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, json={"id": "cus_bob"})

    kept_shop.kavach_stripe.create_customer(newcomer, "b@example.org", "Bob é")

    assert sent_params(stripe_api) == {
        "email": "b@example.org",
        "name": "Bob é",
        **customer_marks(2),
    }


def test_name_of_the_user_is_the_default(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, json={"id": "cus_bob"})
    newcomer.name = "Bob"

    kept_shop.kavach_stripe.create_customer(newcomer, name=None)

    assert sent_params(stripe_api)["name"] == "Bob"


def test_spaces_at_the_ends_and_long_names_are_cut(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, json={"id": "cus_bob"})
    newcomer.name = "  " + "b" * 300
    newcomer.email = " bob@example.com "

    kept_shop.kavach_stripe.create_customer(newcomer)

    assert sent_params(stripe_api)["name"] == "b" * 256
    assert sent_params(stripe_api)["email"] == "bob@example.com"


def test_app_says_what_a_customer_gets(
    kept_shop: Any,
    newcomer: Any,
    stripe_api: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All but the marks."""
    params = {"phone": "1", "metadata": {"plan": "x", "kavach_mark": "y"}}
    monkeypatch.setattr(
        kept_shop.User, "stripe_customer_params", lambda self: params, raising=True
    )
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})

    kept_shop.kavach_stripe.create_customer(newcomer)

    assert sent_params(stripe_api) == {
        "phone": "1",
        "metadata[plan]": "x",
        **customer_marks(2),
    }


@pytest.mark.parametrize("value", [None, "", 12, b"bob"])
def test_what_is_no_email_is_not_sent(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock, value: Any
) -> None:
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})
    newcomer.name = value
    newcomer.email = None

    kept_shop.kavach_stripe.create_customer(newcomer)

    assert sent_params(stripe_api) == customer_marks(2)


def test_customer_is_created_once(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    answer = expect_new_customer(stripe_api, json={"id": "cus_bob"})

    for _ in range(3):
        assert kept_shop.kavach_stripe.create_customer(newcomer, "x@y.z") == "cus_bob"

    assert answer.call_count == 1


def test_customer_that_another_process_stored_is_used(
    kept_shop: Any, newcomer: Any
) -> None:
    """The instance does not know it yet, and Stripe is not called."""
    assert newcomer.stripe_customer_id is None
    kept_shop.db.session.commit()
    assert newcomer.stripe_customer_id is None

    path = kept_shop.app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///")
    kept_shop.db.session.commit()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE users SET stripe_customer_id = 'cus_x' WHERE id = 2")
    connection.commit()
    connection.close()

    assert kept_shop.kavach_stripe.create_customer(newcomer) == "cus_x"


def test_user_who_was_just_added_gets_a_customer(
    kept_shop: Any, context: None, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, json={"id": "cus_new"})
    user = kept_shop.User(email="new@example.com")
    kept_shop.db.session.add(user)

    assert kept_shop.kavach_stripe.create_customer(user) == "cus_new"
    assert user.stripe_customer_id == "cus_new"
    assert stored_customer(kept_shop, user.id) == "cus_new"


@pytest.mark.parametrize("way", [7, "7"], ids=["key", "text"])
def test_user_who_was_just_added_is_found_by_key(
    kept_shop: Any, context: None, way: Any
) -> None:
    kept_shop.db.session.add(kept_shop.User(id=7, stripe_customer_id="cus_7"))

    assert kept_shop.kavach_stripe.get_customer_id(way) == "cus_7"


def test_subscription_of_a_user_who_was_just_added_is_found_by_key(
    kept_shop: Any, context: None
) -> None:
    kept_shop.db.session.add(
        kept_shop.User(
            id=7, stripe_subscription_id="sub_7", stripe_subscription_status="active"
        )
    )
    found = kept_shop.kavach_stripe.get_subscription(7)

    assert found is not None
    assert found.id == "sub_7"
    assert kept_shop.kavach_stripe.list_subscriptions(7) == [found]


def test_getters_work_before_a_user_is_stored(kept_shop: Any, context: None) -> None:
    user = kept_shop.User()

    assert kept_shop.kavach_stripe.get_customer_id(user) is None
    assert kept_shop.kavach_stripe.get_subscription(user) is None
    assert kept_shop.kavach_stripe.list_subscriptions(user) == []


def test_detached_user_shows_the_new_values(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_new_customer(stripe_api, json={"id": "cus_bob"})
    kept_shop.db.session.expunge(newcomer)

    assert kept_shop.kavach_stripe.create_customer(newcomer) == "cus_bob"
    assert newcomer.stripe_customer_id == "cus_bob"


def test_detached_user_shows_what_was_stored(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUBSCRIPTIONS, json={"data": [subscription()]})
    assert user.stripe_customer_id == "cus_ada"
    kept_shop.db.session.expunge(user)

    assert kept_shop.kavach_stripe.sync_subscription(user) is not None
    assert user.stripe_subscription_id == "sub_1"
