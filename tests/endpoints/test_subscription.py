"""``GET /auth/stripe/subscription`` says what the user has."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC
from typing import Any

import pytest

from tests.vocabulary import event
from tests.vocabulary import send
from tests.vocabulary import store_subscription
from tests.vocabulary import SUBSCRIPTION


def ask(shop: Any, user_id: int = 1) -> Any:
    response = shop.browser(user_id).get(SUBSCRIPTION)
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    return response.json


def test_user_without_a_subscription(kept_shop: Any) -> None:
    assert ask(kept_shop) == {"subscription": None}


def test_user_without_a_customer(kept_shop: Any) -> None:
    assert ask(kept_shop, kept_shop.add_user()) == {"subscription": None}


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize(
    "status",
    ["active", "trialing", "past_due", "paused", "unpaid", "incomplete", "odd"],
)
def test_running_subscription(kept_shop: Any, status: str, cancel: bool) -> None:
    store_subscription(
        kept_shop,
        status=status,
        current_period_end=1_800_000_000,
        cancel_at_period_end=cancel,
    )

    assert ask(kept_shop) == {
        "subscription": {
            "id": "sub_1",
            "status": status,
            "priceId": "price_pro",
            "currentPeriodEnd": "2027-01-15T08:00:00Z",
            "cancelAtPeriodEnd": cancel,
        }
    }


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_ended_subscription_is_null(kept_shop: Any, status: str) -> None:
    send(kept_shop, event("deleted", status=status))

    assert kept_shop.columns()["subscription_status"] == status
    assert ask(kept_shop) == {"subscription": None}


def test_columns_that_are_not_known_are_null(kept_shop: Any) -> None:
    user_id = kept_shop.add_user(
        stripe_subscription_id="sub_1", stripe_subscription_status="active"
    )

    assert ask(kept_shop, user_id) == {
        "subscription": {
            "id": "sub_1",
            "status": "active",
            "priceId": None,
            "currentPeriodEnd": None,
            "cancelAtPeriodEnd": False,
        }
    }


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (datetime(2027, 1, 15, 8, tzinfo=UTC), "2027-01-15T08:00:00Z"),
        (
            datetime(2027, 1, 15, 8, tzinfo=timezone(timedelta(hours=2))),
            "2027-01-15T06:00:00Z",
        ),
        (datetime(2027, 1, 15, 8, 0, 0, 999_999, tzinfo=UTC), "2027-01-15T08:00:00Z"),
    ],
)
def test_time_is_utc_in_whole_seconds(kept_shop: Any, end: datetime, text: str) -> None:
    """As JavaScript's ``new Date()`` reads it."""
    user_id = kept_shop.add_user(
        stripe_subscription_id="sub_1",
        stripe_subscription_status="active",
        stripe_current_period_end=end,
    )

    assert ask(kept_shop, user_id)["subscription"]["currentPeriodEnd"] == text


def test_answer_is_not_cached(kept_shop: Any) -> None:
    response = kept_shop.browser(1).get(SUBSCRIPTION)

    assert response.headers["Cache-Control"] == "no-store"


def test_401_is_never_a_redirect(make_shop: Any) -> None:
    shop = make_shop()
    shop.app.login_manager.login_view = "login"

    response = shop.browser().get(SUBSCRIPTION)

    assert response.status_code == 401
    assert response.json["code"] == "authentication_required"
    assert response.json["error"].endswith(".")
    assert "Location" not in response.headers


@pytest.mark.parametrize("site", ["same-origin", "same-site", "cross-site"])
def test_question_may_come_from_anywhere(kept_shop: Any, site: str) -> None:
    """A link from a mail is cross-site. Other sites cannot read the answer."""
    headers = {"Sec-Fetch-Site": site, "Origin": "https://other.example"}

    assert kept_shop.browser(1).get(SUBSCRIPTION, headers=headers).status_code == 200


def test_nobody_sees_what_another_user_has(kept_shop: Any) -> None:
    store_subscription(kept_shop)
    user_id = kept_shop.add_user(stripe_customer_id="cus_bob")

    assert ask(kept_shop, user_id) == {"subscription": None}


def test_question_costs_one_query(kept_shop: Any) -> None:
    browser = kept_shop.browser(1)

    with kept_shop.statements() as statements:
        browser.get(SUBSCRIPTION)

    assert len(statements) == 1, "loading the user"


def test_post_is_not_allowed(kept_shop: Any) -> None:
    assert kept_shop.browser(1).post(SUBSCRIPTION).status_code == 405
