"""``complete_checkout`` links and stores before the webhook arrives."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import responses
from flask_login import current_user
from flask_login import login_user

from flask_kavach_stripe import APIConnectionError
from flask_kavach_stripe import CheckoutSessionMismatch
from flask_kavach_stripe import StripeError
from flask_kavach_stripe.testing import make_checkout_session
from tests.vocabulary import checkout
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import store_subscription
from tests.vocabulary import stored_customer
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription


def expect_checkout(stripe_api: responses.RequestsMock, **fields: Any) -> None:
    fields = {"customer": "cus_ada", "subscription": "sub_1", **fields}
    stripe_api.get(
        f"{CHECKOUT_SESSIONS}/cs_1", json=make_checkout_session("cs_1", **fields)
    )


def expect_subscription(stripe_api: responses.RequestsMock, **fields: Any) -> None:
    stripe_api.get(SUB_1, json=subscription(**fields))


def test_complete_checkout(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    told: list[str] = []
    kept_shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append(subscription.id)
    )
    expect_checkout(stripe_api)
    expect_subscription(stripe_api, price="price_pro")

    found = kept_shop.kavach_stripe.complete_checkout("cs_1", user)

    assert found is not None
    assert (found.id, found.status, found.price_id) == ("sub_1", "active", "price_pro")
    assert user.stripe_subscription_id == "sub_1"
    assert kept_shop.columns()["subscription_id"] == "sub_1"
    assert told == ["sub_1"]


def test_complete_checkout_in_the_success_view(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(stripe_api)
    expect_subscription(stripe_api)

    with kept_shop.app.test_request_context("/?session_id=cs_1"):
        login_user(kept_shop.db.session.get(kept_shop.User, 1))
        found = kept_shop.kavach_stripe.complete_checkout("cs_1")
        assert found is not None
        assert current_user.stripe_subscription_id == "sub_1"


def test_complete_checkout_reads_expanded_objects(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(
        stripe_api, customer={"id": "cus_ada"}, subscription={"id": "sub_1"}
    )
    expect_subscription(stripe_api, customer={"id": "cus_ada", "object": "customer"})

    assert kept_shop.kavach_stripe.complete_checkout("cs_1", user) is not None


def test_webhook_after_complete_checkout_changes_nothing(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    told: list[str] = []
    kept_shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append(subscription.id)
    )
    expect_checkout(stripe_api)
    expect_subscription(stripe_api)
    expect_subscription(stripe_api)
    kept_shop.kavach_stripe.complete_checkout("cs_1", user)
    event = checkout(id="cs_1", client_reference_id="1")

    assert kept_shop.post_event(event).status_code == 200
    assert told == ["sub_1"]


def test_complete_checkout_links_the_customer(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    """Of a session that the app made by itself."""
    expect_checkout(stripe_api, customer="cus_bob", client_reference_id="2")
    expect_subscription(stripe_api, customer="cus_bob")

    found = kept_shop.kavach_stripe.complete_checkout("cs_1", newcomer)

    assert found is not None
    assert newcomer.stripe_customer_id == "cus_bob"
    assert kept_shop.columns(2)["subscription_id"] == "sub_1"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"customer": "cus_ada", "client_reference_id": "2"}, id="linked customer"
        ),
        pytest.param(
            {"customer": "cus_new", "client_reference_id": "3"}, id="other reference"
        ),
        pytest.param({"customer": "cus_new"}, id="no reference"),
        pytest.param(
            {"customer": "cus_new", "client_reference_id": "02"}, id="odd reference"
        ),
        pytest.param(
            {
                "customer": "cus_new",
                "client_reference_id": "2",
                "payment_link": "plink_1",
            },
            id="payment link",
        ),
        pytest.param(
            {
                "customer": "cus_new",
                "client_reference_id": "2",
                "metadata": {"kavach_user_id": "2"},
            },
            id="another app's",
        ),
    ],
)
def test_session_of_somebody_else(
    kept_shop: Any,
    newcomer: Any,
    stripe_api: responses.RequestsMock,
    fields: dict[str, Any],
) -> None:
    kept_shop.add_user(email="eve@example.com")
    before = [kept_shop.columns(user_id) for user_id in (1, 2, 3)]
    expect_checkout(stripe_api, **fields)

    with pytest.raises(CheckoutSessionMismatch, match="cs_1"):
        kept_shop.kavach_stripe.complete_checkout("cs_1", newcomer)

    assert [kept_shop.columns(user_id) for user_id in (1, 2, 3)] == before
    assert kept_shop.subscriptions == []


def test_reference_does_not_replace_a_customer(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(stripe_api, customer="cus_new", client_reference_id="1")

    with pytest.raises(CheckoutSessionMismatch):
        kept_shop.kavach_stripe.complete_checkout("cs_1", user)

    assert kept_shop.columns()["customer_id"] == "cus_ada"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "open"},
        {"status": "expired"},
        {"status": None},
        {"mode": "payment"},
        {"mode": "setup"},
        {"customer": None},
    ],
)
def test_session_that_is_not_finished_changes_nothing(
    kept_shop: Any,
    user: Any,
    stripe_api: responses.RequestsMock,
    fields: dict[str, Any],
) -> None:
    store_subscription(kept_shop, "sub_0")
    before = kept_shop.columns()
    expect_checkout(stripe_api, **fields)

    found = kept_shop.kavach_stripe.complete_checkout("cs_1", user)

    assert found is not None
    assert found.id == "sub_0"
    assert kept_shop.columns() == before


@pytest.mark.parametrize("mode", ["payment", "setup"])
def test_session_of_another_mode_links_nobody(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock, mode: str
) -> None:
    expect_checkout(stripe_api, mode=mode, customer="cus_bob", client_reference_id="2")

    assert kept_shop.kavach_stripe.complete_checkout("cs_1", newcomer) is None
    assert newcomer.stripe_customer_id is None


@pytest.mark.parametrize(
    "session_id",
    [
        "",
        None,
        " ",
        "{CHECKOUT_SESSION_ID}",
        "%7BCHECKOUT_SESSION_ID%7D",
        "cs_1/../../customers",
        "../subscriptions",
        "cs_1?expand[]=customer",
        "cs_1#",
        "cs_1\n",
        "cs_\ud800",
        "ć",
        "..",
        "c" * 256,
        12,
        b"cs_1",
        ["cs_1"],
    ],
)
def test_what_is_no_session_id_asks_nobody(
    kept_shop: Any, user: Any, session_id: Any
) -> None:
    store_subscription(kept_shop, "sub_0")

    found = kept_shop.kavach_stripe.complete_checkout(session_id, user)

    assert found is not None
    assert found.id == "sub_0"


def test_unknown_session_changes_nothing(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    error = {"code": "resource_missing", "param": "session", "message": "No such"}
    stripe_api.get(f"{CHECKOUT_SESSIONS}/cs_1", status=404, json={"error": error})

    assert kept_shop.kavach_stripe.complete_checkout("cs_1", user) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "body": "oops"},
        {"body": requests.ConnectionError("down")},
        {"status": 401, "json": {"error": {"message": "Invalid API Key"}}},
        {"status": 400, "json": {"error": {"code": "other", "message": "Odd"}}},
    ],
)
def test_complete_checkout_without_stripe(
    kept_shop: Any,
    user: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
) -> None:
    stripe_api.get(f"{CHECKOUT_SESSIONS}/cs_1", **answer)

    with pytest.raises(StripeError):
        kept_shop.kavach_stripe.complete_checkout("cs_1", user)

    assert kept_shop.columns()["subscription_id"] is None


def test_link_is_kept_when_the_subscription_cannot_be_read(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(stripe_api, customer="cus_bob", client_reference_id="2")
    stripe_api.get(SUB_1, body=requests.ConnectionError("down"))

    with pytest.raises(APIConnectionError):
        kept_shop.kavach_stripe.complete_checkout("cs_1", newcomer)

    assert stored_customer(kept_shop, 2) == "cus_bob"


def test_session_without_a_subscription_links_only(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(
        stripe_api, customer="cus_bob", client_reference_id="2", subscription=None
    )

    assert kept_shop.kavach_stripe.complete_checkout("cs_1", newcomer) is None
    assert newcomer.stripe_customer_id == "cus_bob"


def test_subscription_of_another_customer_is_not_stored(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(stripe_api)
    expect_subscription(stripe_api, customer="cus_eve")

    assert kept_shop.kavach_stripe.complete_checkout("cs_1", user) is None
    assert kept_shop.subscriptions == []
