"""``create_checkout_session`` sends what the app says, and our metadata."""

from __future__ import annotations

from datetime import datetime
from datetime import UTC
from typing import Any

import pytest
import responses
from flask import url_for
from responses.matchers import urlencoded_params_matcher

from flask_kavach_stripe import CheckoutSession
from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import NoCustomerError
from tests.vocabulary import checkout_marks
from tests.vocabulary import CHECKOUT_PAGE
from tests.vocabulary import CHECKOUT_PARAMS
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import expect_new_customer
from tests.vocabulary import no_such_customer
from tests.vocabulary import PORTAL_SESSION
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import sent_params
from tests.vocabulary import store_subscription
from tests.vocabulary import URLS


def test_checkout_session(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api, False, **URLS)

    session = kept_shop.kavach_stripe.create_checkout_session(user, "price_pro", **URLS)

    assert session == CheckoutSession("cs_test_1", CHECKOUT_PAGE)


def test_checkout_session_with_everything(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        CHECKOUT_SESSIONS,
        json=CHECKOUT_SESSION,
        match=[
            urlencoded_params_matcher(
                {
                    **CHECKOUT_PARAMS,
                    **checkout_marks(),
                    **URLS,
                    "line_items[0][quantity]": "5",
                    "line_items[1][price]": "price_setup",
                    "line_items[1][quantity]": "1",
                    "metadata[campaign]": "may",
                    "subscription_data[metadata][campaign]": "may",
                    "subscription_data[metadata][team]": "7",
                    "subscription_data[trial_period_days]": "14",
                    "subscription_data[trial_settings][end_behavior]"
                    "[missing_payment_method]": "cancel",
                    "discounts[0][coupon]": "co_1",
                    "discounts[1][promotion_code]": "promo_1",
                    "automatic_tax[enabled]": "true",
                    "expires_at": "1800000000",
                    "custom_text[submit][message]": "Thank you & bye",
                }
            )
        ],
    )

    kept_shop.kavach_stripe.create_checkout_session(
        user,
        "price_pro",
        **URLS,
        quantity=5,
        trial_days=14,
        metadata={"campaign": "may"},
        line_items=[{"price": "price_setup", "quantity": 1}],
        subscription_data={
            "metadata": {"team": "7"},
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        },
        discounts=[{"coupon": "co_1"}, {"promotion_code": "promo_1"}],
        automatic_tax={"enabled": True},
        expires_at=datetime(2027, 1, 15, 8, tzinfo=UTC),
        custom_text={"submit": {"message": "Thank you & bye"}},
        locale=None,
    )


def test_arguments_are_not_changed(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    metadata = {"a": "b"}
    subscription_data: dict[str, Any] = {"metadata": {"c": "d"}}
    line_items = [{"price": "price_setup"}]

    kept_shop.kavach_stripe.create_checkout_session(
        user,
        "price_pro",
        trial_days=3,
        metadata=metadata,
        subscription_data=subscription_data,
        line_items=line_items,
        **URLS,
    )

    assert metadata == {"a": "b"}
    assert subscription_data == {"metadata": {"c": "d"}}
    assert line_items == [{"price": "price_setup"}]


def test_our_metadata_cannot_be_overridden(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout_session(stripe_api, False, **URLS)

    kept_shop.kavach_stripe.create_checkout_session(
        user,
        "price_pro",
        metadata={"kavach_user_id": "2"},
        subscription_data={"metadata": {"kavach_user_id": "2"}},
        **URLS,
    )


@pytest.mark.parametrize("name", ["mode", "customer", "client_reference_id"])
def test_reserved_parameter(kept_shop: Any, user: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"'{name}'"):
        kept_shop.kavach_stripe.create_checkout_session(
            user, "price_pro", **URLS, **{name: "x"}
        )


@pytest.mark.parametrize("arguments", [{"trial_days": -1}, {"quantity": 0}])
def test_wrong_number(kept_shop: Any, user: Any, arguments: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        kept_shop.kavach_stripe.create_checkout_session(
            user, "price_pro", **URLS, **arguments
        )


@pytest.mark.parametrize("trial_days", [None, 0])
def test_no_trial_by_default(
    make_shop: Any, stripe_api: responses.RequestsMock, trial_days: int | None
) -> None:
    """``STRIPE_TRIAL_DAYS`` is for the endpoint."""
    shop = make_shop(STRIPE_TRIAL_DAYS=30)
    shop.add_user(stripe_customer_id="cus_ada")
    expect_checkout_session(stripe_api, False, **URLS)

    with shop.app.app_context():
        shop.kavach_stripe.create_checkout_session(
            1, "price_pro", trial_days=trial_days, **URLS
        )


def test_rules_of_the_endpoint_do_not_bind_helpers(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_SECRET_KEY="sk_live_1",
        STRIPE_PRICES={"pro": "price_pro"},
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    shop.add_user(
        stripe_customer_id="cus_ada",
        stripe_subscription_id="sub_1",
        stripe_subscription_status="active",
    )
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    with shop.app.app_context():
        shop.kavach_stripe.create_checkout_session(
            1, "price_other", trial_days=400, **URLS
        )

    assert sent_params(stripe_api)["subscription_data[trial_period_days]"] == "400"
    assert sent_params(stripe_api)["line_items[0][price]"] == "price_other"


def test_url_for_may_make_the_success_url(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    with kept_shop.app.test_request_context(base_url="https://shop.example"):
        kept_shop.kavach_stripe.create_checkout_session(
            user,
            "price_pro",
            success_url=url_for(
                "kavach_stripe.subscription", session_id="{CHECKOUT_SESSION_ID}"
            ),
        )

    assert sent_params(stripe_api)["success_url"] == (
        "https://shop.example/auth/stripe/subscription?session_id={CHECKOUT_SESSION_ID}"
    )
    assert sent_params(stripe_api)["cancel_url"] == "https://shop.example/"


def test_path_outside_of_a_request_needs_a_server_name(
    kept_shop: Any, user: Any
) -> None:
    with pytest.raises(ConfigurationError, match="'SERVER_NAME'"):
        kept_shop.kavach_stripe.create_checkout_session(user, "price_pro")


def test_path_outside_of_a_request_with_a_server_name(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        SERVER_NAME="shop.example",
        PREFERRED_URL_SCHEME="https",
        APPLICATION_ROOT="/app",
        STRIPE_PORTAL_RETURN_URL="/account",
    )
    shop.add_user(stripe_customer_id="cus_ada")
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    stripe_api.post(PORTAL_SESSIONS, json=PORTAL_SESSION)

    with shop.app.app_context():
        shop.kavach_stripe.create_checkout_session(1, "price_pro")
        shop.kavach_stripe.create_portal_session(1)

    assert sent_params(stripe_api, 0)["success_url"] == (
        "https://shop.example/app/?session_id={CHECKOUT_SESSION_ID}"
    )
    assert sent_params(stripe_api, 0)["cancel_url"] == "https://shop.example/app/"
    assert sent_params(stripe_api, 1)["return_url"] == (
        "https://shop.example/app/account"
    )


def test_checkout_session_without_a_customer_if_none_are_created(
    make_shop: Any,
) -> None:
    shop = make_shop(STRIPE_AUTO_CREATE_CUSTOMER=False)
    shop.add_user()

    with shop.app.app_context():
        with pytest.raises(NoCustomerError, match="'STRIPE_AUTO_CREATE_CUSTOMER'"):
            shop.kavach_stripe.create_checkout_session(1, "price_pro", **URLS)


def test_create_customer_works_if_checkout_creates_none(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_AUTO_CREATE_CUSTOMER=False)
    shop.add_user()
    stripe_api.post(CUSTOMERS, json={"id": "cus_1"})

    with shop.app.app_context():
        assert shop.kavach_stripe.create_customer(1) == "cus_1"


def test_deleted_customer_is_replaced_and_the_instance_shows_it(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    told: list[Any] = []
    kept_shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append((user.id, subscription.status))
    )
    store_subscription(kept_shop)
    stripe_api.post(CHECKOUT_SESSIONS, status=400, json=no_such_customer())
    expect_deleted_customer(stripe_api)
    expect_new_customer(stripe_api, json={"id": "cus_new"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    kept_shop.kavach_stripe.create_checkout_session(user, "price_pro", **URLS)

    assert user.stripe_customer_id == "cus_new"
    assert user.stripe_subscription_id is None
    assert user.stripe_subscription_status == "canceled"
    assert told == [(1, "active"), (1, "canceled")]
