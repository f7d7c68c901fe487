"""The helpers, called as an app calls them."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
import responses
from flask import Flask
from flask import url_for
from flask_login import AnonymousUserMixin
from flask_login import current_user
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from responses.matchers import header_matcher
from responses.matchers import query_param_matcher
from responses.matchers import urlencoded_params_matcher
from sqlalchemy import String
from sqlalchemy import Uuid
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from werkzeug.local import LocalProxy

from flask_kavach_stripe import APIConnectionError
from flask_kavach_stripe import APIError
from flask_kavach_stripe import CheckoutSession
from flask_kavach_stripe import CheckoutSessionMismatch
from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import InvalidRequestError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import NoCustomerError
from flask_kavach_stripe import PortalSession
from flask_kavach_stripe import StripeError
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import Subscription
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription

API = "https://api.stripe.com/v1"
CUSTOMERS = f"{API}/customers"
SESSIONS = f"{API}/checkout/sessions"
PORTAL_SESSIONS = f"{API}/billing_portal/sessions"
SUBSCRIPTIONS = f"{API}/subscriptions"
SESSION = {"id": "cs_test_1", "url": "https://checkout.stripe.com/c/1"}
PORTAL_SESSION = {"id": "bps_1", "url": "https://billing.stripe.com/p/1"}
URLS = {"success_url": "https://a.example/ok", "cancel_url": "https://a.example/no"}

#: What every Checkout session with ``URLS`` says.
PARAMS = {
    "mode": "subscription",
    "customer": "cus_ada",
    "client_reference_id": "1",
    "line_items[0][price]": "price_pro",
    "line_items[0][quantity]": "1",
    **URLS,
    "metadata[kavach_user_id]": "1",
    "subscription_data[metadata][kavach_user_id]": "1",
}

NO_SUCH_CUSTOMER = {
    "error": {
        "type": "invalid_request_error",
        "code": "resource_missing",
        "param": "customer",
        "message": "No such customer: 'cus_ada'",
    }
}
OTHER_MODE = {
    "error": {
        **NO_SUCH_CUSTOMER["error"],
        "message": "No such customer: 'cus_ada'; a similar object exists in live mode,"
        " but a test mode key was used to make this request.",
    }
}


@pytest.fixture
def context(kept_shop: Any) -> Iterator[None]:
    """An app context, as in a script."""
    with kept_shop.app.app_context():
        yield


@pytest.fixture
def user(kept_shop: Any, context: None) -> Any:
    """Ada, who has a customer, loaded."""
    return kept_shop.db.session.get(kept_shop.User, 1)


@pytest.fixture
def newcomer(kept_shop: Any, context: None) -> Any:
    """Bob, who has no customer, loaded. His primary key is 2."""
    kept_shop.add_user(email="bob@example.com")
    return kept_shop.db.session.get(kept_shop.User, 2)


def sent(stripe_api: responses.RequestsMock, index: int = -1) -> dict[str, str]:
    return dict(parse_qsl(str(stripe_api.calls[index].request.body)))


def stored_customer(shop: Any, user_id: int = 1) -> str | None:
    """What another connection sees: what is committed."""
    path = shop.app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///")
    connection = sqlite3.connect(path)

    try:
        query = "SELECT stripe_customer_id FROM users WHERE id = ?"
        row = connection.execute(query, [user_id]).fetchone()
        return None if row is None else row[0]
    finally:
        connection.close()


# -- which user ----------------------------------------------------------------------

HELPERS = {
    "create_customer": lambda ks, user: ks.create_customer(user),
    "create_checkout_session": lambda ks, user: ks.create_checkout_session(user, "p"),
    "create_portal_session": lambda ks, user: ks.create_portal_session(user, "/"),
    "sync_subscription": lambda ks, user: ks.sync_subscription(user),
    "complete_checkout": lambda ks, user: ks.complete_checkout("cs_1", user),
}
GETTERS: dict[str, tuple[Callable[..., Any], Any]] = {
    "get_customer_id": (lambda ks, user: ks.get_customer_id(user), None),
    "get_subscription": (lambda ks, user: ks.get_subscription(user), None),
    "list_subscriptions": (lambda ks, user: ks.list_subscriptions(user), []),
}
NOBODY = {
    "none": None,
    "anonymous": AnonymousUserMixin(),
    "proxy of anonymous": LocalProxy(AnonymousUserMixin),
    "unknown": 99,
    "unknown text": "99",
    "not a number": "ada",
    "empty text": "",
    "white space": " 1",
    "leading zero": "01",
    "sign": "+1",
    "underscore": "1_0",
    "other digits": "\u0661",
    "huge": 2**63,
    "huge text": "9" * 100,
    "uuid": uuid.UUID(int=1),
}


@pytest.mark.parametrize("call", HELPERS.values(), ids=HELPERS)
@pytest.mark.parametrize("nobody", NOBODY.values(), ids=NOBODY)
def test_nobody_cannot_pay(
    kept_shop: Any, context: None, call: Callable[..., Any], nobody: Any
) -> None:
    with pytest.raises(NoCustomerError):
        call(kept_shop.kavach_stripe, nobody)


@pytest.mark.parametrize(("call", "expected"), GETTERS.values(), ids=GETTERS)
@pytest.mark.parametrize("nobody", NOBODY.values(), ids=NOBODY)
def test_nobody_has_nothing(
    kept_shop: Any,
    context: None,
    call: Callable[..., Any],
    expected: Any,
    nobody: Any,
) -> None:
    assert call(kept_shop.kavach_stripe, nobody) == expected


@pytest.mark.parametrize("call", HELPERS.values(), ids=HELPERS)
def test_user_who_was_never_added_cannot_pay(
    kept_shop: Any, context: None, call: Callable[..., Any]
) -> None:
    with pytest.raises(NoCustomerError):
        call(kept_shop.kavach_stripe, kept_shop.User())


@pytest.mark.parametrize("call", HELPERS.values(), ids=HELPERS)
@pytest.mark.parametrize("thing", [True, 1.0, b"1", object(), [1], {"id": 1}])
def test_what_is_no_user_is_a_type_error(
    kept_shop: Any, context: None, call: Callable[..., Any], thing: Any
) -> None:
    with pytest.raises(TypeError, match="'user' must be a 'User'"):
        call(kept_shop.kavach_stripe, thing)


@pytest.mark.parametrize("by", ["instance", "key", "text", "proxy"])
def test_user_is_found(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock, by: str
) -> None:
    ways = {"instance": user, "key": 1, "text": "1", "proxy": LocalProxy(lambda: user)}
    kept_shop.post_event(
        make_event(
            "customer.subscription.created",
            make_subscription("sub_1", customer="cus_ada"),
        )
    )
    stripe_api.post(SESSIONS, json=SESSION, match=[urlencoded_params_matcher(PARAMS)])
    stripe_api.post(PORTAL_SESSIONS, json=PORTAL_SESSION)
    kavach_stripe, way = kept_shop.kavach_stripe, ways[by]
    found = kavach_stripe.get_subscription(way)

    assert kavach_stripe.get_customer_id(way) == "cus_ada"
    assert kavach_stripe.create_customer(way) == "cus_ada"
    assert kavach_stripe.create_checkout_session(way, "price_pro", **URLS)
    assert kavach_stripe.create_portal_session(way)
    assert sent(stripe_api) == {"customer": "cus_ada"}
    assert found is not None
    assert found.id == "sub_1"
    assert kavach_stripe.list_subscriptions(way) == [found]


def test_current_user(kept_shop: Any, stripe_api: responses.RequestsMock) -> None:
    kept_shop.add_user(email="bob@example.com")
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})

    with kept_shop.app.test_request_context():
        login_user(kept_shop.db.session.get(kept_shop.User, 2))
        assert kept_shop.kavach_stripe.get_customer_id(current_user) is None
        assert kept_shop.kavach_stripe.create_customer(current_user) == "cus_bob"
        assert current_user.stripe_customer_id == "cus_bob"
        assert kept_shop.kavach_stripe.get_customer_id(current_user) == "cus_bob"


def test_nobody_is_logged_in(kept_shop: Any) -> None:
    with kept_shop.app.test_request_context():
        assert kept_shop.kavach_stripe.get_customer_id(current_user) is None

        with pytest.raises(NoCustomerError):
            kept_shop.kavach_stripe.complete_checkout("cs_1")


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make an app whose users have a primary key of another type."""
    apps: list[tuple[Flask, SQLAlchemy]] = []

    def make(key_type: Any) -> Any:
        app = Flask("other")
        app.config.update(
            SECRET_KEY="secret of the tests",
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/{len(apps)}.db",
            STRIPE_SECRET_KEY="sk_test_1",
            STRIPE_MAX_NETWORK_RETRIES=0,
            STRIPE_PRICES="*",
            STRIPE_TRIAL_DAYS=0,
            STRIPE_TRUSTED_ORIGINS=[],
        )
        db = SQLAlchemy(app)
        LoginManager(app)

        class Member(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
            key: Mapped[Any] = mapped_column("member_key", key_type, primary_key=True)

        kavach_stripe = KavachStripe(app)
        apps.append((app, db))

        with app.app_context():
            db.create_all()

        return app, db, Member, kavach_stripe

    yield make

    for app, db in apps:
        with app.app_context():
            db.engine.dispose()


KEY = uuid.UUID("0b9d6e7e-3a58-4b3c-8d9d-0c1d2e3f4a5b")


@pytest.mark.parametrize(
    ("key_type", "key", "ways", "nobody"),
    [
        (String(64), "ada@example.com", ["ada@example.com"], ["Ada@example.com", 1]),
        (String(64), "1", ["1"], ["01", "", 1]),
        (Uuid(), KEY, [KEY, str(KEY), str(KEY).upper()], [KEY.hex, "x", 1]),
    ],
)
def test_other_types_of_primary_keys(
    make_app: Callable[..., Any],
    stripe_api: responses.RequestsMock,
    key_type: Any,
    key: Any,
    ways: list[Any],
    nobody: list[Any],
) -> None:
    app, db, member, kavach_stripe = make_app(key_type)
    stripe_api.post(CUSTOMERS, json={"id": "cus_1"})
    stripe_api.post(SESSIONS, json=SESSION)

    with app.app_context():
        db.session.add(member(key=key))
        kavach_stripe.create_checkout_session(ways[0], "price_pro", **URLS)

        assert sent(stripe_api, 0) == {"metadata[kavach_user_id]": str(key)}
        assert sent(stripe_api, 1)["client_reference_id"] == str(key)
        assert [kavach_stripe.get_customer_id(way) for way in ways] == ["cus_1"] * len(
            ways
        )
        assert [kavach_stripe.get_customer_id(each) for each in nobody] == [None] * len(
            nobody
        )


# -- customers -----------------------------------------------------------------------


def test_create_customer(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expected = {"email": "bob@example.com", "metadata[kavach_user_id]": "2"}
    stripe_api.post(
        CUSTOMERS,
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
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})

    kept_shop.kavach_stripe.create_customer(newcomer, "b@example.org", "Bob é")

    assert sent(stripe_api) == {
        "email": "b@example.org",
        "name": "Bob é",
        "metadata[kavach_user_id]": "2",
    }


def test_name_of_the_user_is_the_default(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})
    newcomer.name = "Bob"

    kept_shop.kavach_stripe.create_customer(newcomer, name=None)

    assert sent(stripe_api)["name"] == "Bob"


@pytest.mark.parametrize("value", [None, "", 12, b"bob"])
def test_what_is_no_email_is_not_sent(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock, value: Any
) -> None:
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})
    newcomer.name = value
    newcomer.email = None

    kept_shop.kavach_stripe.create_customer(newcomer)

    assert sent(stripe_api) == {"metadata[kavach_user_id]": "2"}


def test_customer_is_created_once(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    answer = stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})

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
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
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
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})
    kept_shop.db.session.expunge(newcomer)

    assert kept_shop.kavach_stripe.create_customer(newcomer) == "cus_bob"
    assert newcomer.stripe_customer_id == "cus_bob"


def test_detached_user_shows_what_was_stored(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        SUBSCRIPTIONS, json={"data": [make_subscription("sub_1", customer="cus_ada")]}
    )
    assert user.stripe_customer_id == "cus_ada"
    kept_shop.db.session.expunge(user)

    assert kept_shop.kavach_stripe.sync_subscription(user) is not None
    assert user.stripe_subscription_id == "sub_1"


# -- transactions --------------------------------------------------------------------


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
        calls.append((request.url, count))
        return 200, {}, bodies.pop(0)

    calls: list[tuple[str, int]] = []
    bodies = [
        '{"id": "cus_new"}',
        '{"id": "cs_1", "url": "https://checkout.stripe.com/1"}',
        '{"id": "bps_1", "url": "https://billing.stripe.com/1"}',
    ]
    stripe_api.add_callback("POST", CUSTOMERS, answer)
    stripe_api.add_callback("POST", SESSIONS, answer)
    stripe_api.add_callback("POST", PORTAL_SESSIONS, answer)
    user = kept_shop.User(email="new@example.com")
    session.add(user)
    kept_shop.note("one")
    kept_shop.kavach_stripe.create_checkout_session(user, "price_pro", **URLS)
    kept_shop.note("two")
    kept_shop.kavach_stripe.create_portal_session(user, "https://a.example")

    assert calls == [(CUSTOMERS, 1), (SESSIONS, 1), (PORTAL_SESSIONS, 2)]


@pytest.mark.parametrize("helper", ["sync_subscription", "complete_checkout"])
def test_all_is_committed_before_stripe_is_asked(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock, helper: str
) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        assert not kept_shop.db.session().in_transaction()
        assert kept_shop.notes == ["one"]
        return 200, {}, '{"object": "list", "data": [], "status": "open"}'

    stripe_api.add_callback("GET", SUBSCRIPTIONS, answer)
    stripe_api.add_callback("GET", f"{SESSIONS}/cs_1", answer)
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
    stripe_api.post(CUSTOMERS, body=requests.ConnectionError("down"))

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
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})
    stripe_api.get(
        SUBSCRIPTIONS,
        json={"data": [make_subscription("sub_1", customer="cus_ada")]},
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
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})

    def handler(event: Any) -> None:
        user = kept_shop.db.session.get(kept_shop.User, 2)
        kept_shop.kavach_stripe.create_customer(user)
        assert user.stripe_customer_id == "cus_bob"
        kept_shop.note("done")

    kept_shop.kavach_stripe.on("invoice.paid")(handler)

    assert kept_shop.post_event(make_event("invoice.paid", {})).status_code == 200
    assert kept_shop.notes == ["done"]
    assert kept_shop.columns(2)["customer_id"] == "cus_bob"


# -- Checkout sessions ---------------------------------------------------------------


def test_checkout_session(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(SESSIONS, json=SESSION, match=[urlencoded_params_matcher(PARAMS)])

    session = kept_shop.kavach_stripe.create_checkout_session(user, "price_pro", **URLS)

    assert session == CheckoutSession("cs_test_1", "https://checkout.stripe.com/c/1")


def test_checkout_session_with_everything(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        SESSIONS,
        json=SESSION,
        match=[
            urlencoded_params_matcher(
                {
                    **PARAMS,
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
    stripe_api.post(SESSIONS, json=SESSION)
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
    stripe_api.post(SESSIONS, json=SESSION, match=[urlencoded_params_matcher(PARAMS)])

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
    stripe_api.post(SESSIONS, json=SESSION, match=[urlencoded_params_matcher(PARAMS)])

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
    stripe_api.post(SESSIONS, json=SESSION)

    with shop.app.app_context():
        shop.kavach_stripe.create_checkout_session(
            1, "price_other", trial_days=400, **URLS
        )

    assert sent(stripe_api)["subscription_data[trial_period_days]"] == "400"
    assert sent(stripe_api)["line_items[0][price]"] == "price_other"


def test_url_for_may_make_the_success_url(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(SESSIONS, json=SESSION)

    with kept_shop.app.test_request_context(base_url="https://shop.example"):
        kept_shop.kavach_stripe.create_checkout_session(
            user,
            "price_pro",
            success_url=url_for(
                "kavach_stripe.subscription", session_id="{CHECKOUT_SESSION_ID}"
            ),
        )

    assert sent(stripe_api)["success_url"] == (
        "https://shop.example/auth/stripe/subscription?session_id={CHECKOUT_SESSION_ID}"
    )
    assert sent(stripe_api)["cancel_url"] == "https://shop.example/"


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
    stripe_api.post(SESSIONS, json=SESSION)
    stripe_api.post(PORTAL_SESSIONS, json=PORTAL_SESSION)

    with shop.app.app_context():
        shop.kavach_stripe.create_checkout_session(1, "price_pro")
        shop.kavach_stripe.create_portal_session(1)

    assert sent(stripe_api, 0)["success_url"] == (
        "https://shop.example/app/?session_id={CHECKOUT_SESSION_ID}"
    )
    assert sent(stripe_api, 0)["cancel_url"] == "https://shop.example/app/"
    assert sent(stripe_api, 1)["return_url"] == "https://shop.example/account"


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
    kept_shop.post_event(
        make_event(
            "customer.subscription.created",
            make_subscription("sub_1", customer="cus_ada"),
        )
    )
    stripe_api.post(SESSIONS, status=400, json=NO_SUCH_CUSTOMER)
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    stripe_api.post(SESSIONS, json=SESSION)

    kept_shop.kavach_stripe.create_checkout_session(user, "price_pro", **URLS)

    assert user.stripe_customer_id == "cus_new"
    assert user.stripe_subscription_id is None
    assert user.stripe_subscription_status == "canceled"
    assert told == [(1, "active"), (1, "canceled")]


# -- portal sessions -----------------------------------------------------------------


def test_portal_session(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    body = {
        "customer": "cus_ada",
        "return_url": "https://a.example",
        "flow_data[type]": "subscription_cancel",
        "flow_data[subscription_cancel][subscription]": "sub_1",
        "locale": "de",
    }
    stripe_api.post(
        PORTAL_SESSIONS,
        json=PORTAL_SESSION,
        match=[urlencoded_params_matcher(body)],
    )

    session = kept_shop.kavach_stripe.create_portal_session(
        user,
        "https://a.example",
        flow_data={
            "type": "subscription_cancel",
            "subscription_cancel": {"subscription": "sub_1"},
        },
        locale="de",
    )

    assert session == PortalSession("bps_1", "https://billing.stripe.com/p/1")


def test_portal_session_of_somebody_else(kept_shop: Any, user: Any) -> None:
    with pytest.raises(TypeError, match="'customer'"):
        kept_shop.kavach_stripe.create_portal_session(user, customer="cus_eve")


def test_portal_session_without_a_customer(kept_shop: Any, newcomer: Any) -> None:
    with pytest.raises(NoCustomerError, match="no Stripe customer"):
        kept_shop.kavach_stripe.create_portal_session(newcomer)


# -- what a user has -----------------------------------------------------------------


def store_subscription(shop: Any, id: str = "sub_1", **fields: Any) -> None:
    subscription = make_subscription(id, **{"customer": "cus_ada", **fields})
    event = make_event("customer.subscription.created", subscription)
    assert shop.post_event(event).status_code == 200


def test_get_subscription(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    shop.add_user(stripe_customer_id="cus_ada")
    store_subscription(
        shop,
        status="trialing",
        price="price_pro",
        current_period_end=1_800_000_000,
        cancel_at_period_end=True,
    )

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)

    assert found == Subscription(
        "sub_1", "trialing", "price_pro", datetime(2027, 1, 15, 8, tzinfo=UTC), True
    )
    assert found.price == "pro"
    assert found.is_active
    assert found.on_trial
    assert found.on_grace_period
    assert not found.past_due
    assert not found.canceled


def test_get_subscription_costs_no_query(kept_shop: Any, context: None) -> None:
    store_subscription(kept_shop)
    user = kept_shop.db.session.get(kept_shop.User, 1)
    get_subscription = kept_shop.kavach_stripe.get_subscription
    kept_shop.db.session.rollback()

    with kept_shop.statements() as statements:
        user = kept_shop.db.session.get(kept_shop.User, 1)
        assert get_subscription(user) is not None
        assert get_subscription(1) is not None
        assert get_subscription("1") is not None
        assert get_subscription(99) is None

    assert len(statements) == 2, "loading user 1, and looking for user 99"


def test_active_statuses_decide_what_is_active(make_shop: Any) -> None:
    shop = make_shop(STRIPE_ACTIVE_STATUSES=["active", "past_due"])
    shop.add_user(stripe_customer_id="cus_ada")
    store_subscription(shop, status="past_due", cancel_at_period_end=True)

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)

    assert found.is_active
    assert found.past_due
    assert found.on_grace_period


def test_list_subscriptions(kept_shop: Any, user: Any) -> None:
    kept_shop.add_user(stripe_customer_id="cus_bob")
    store_subscription(kept_shop, "sub_old", created=1_700_000_000)
    store_subscription(kept_shop, "sub_ended", status="canceled")
    store_subscription(kept_shop, "sub_due", status="past_due")
    store_subscription(kept_shop, "sub_new", created=1_700_000_009)
    store_subscription(kept_shop, "sub_bob", customer="cus_bob")
    kept_shop.db.session.rollback()

    with kept_shop.statements() as statements:
        found = kept_shop.kavach_stripe.list_subscriptions(user)

    assert [each.id for each in found] == ["sub_new", "sub_old", "sub_due", "sub_ended"]
    assert found[0] == kept_shop.kavach_stripe.get_subscription(user)
    assert found[-1].canceled
    assert len(statements) == 2, "the user and the rows"


def test_list_subscriptions_knows_what_only_the_columns_say(
    kept_shop: Any, context: None
) -> None:
    kept_shop.add_user(
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
    )
    [found] = kept_shop.kavach_stripe.list_subscriptions(2)

    assert found == kept_shop.kavach_stripe.get_subscription(2)


# -- sync_subscription ---------------------------------------------------------------


def expect_list(
    stripe_api: responses.RequestsMock, *subscriptions: Any, **other: Any
) -> Any:
    query = {"customer": "cus_ada", "status": "all", "limit": "100"}

    if "starting_after" in other:
        query["starting_after"] = other.pop("starting_after")

    body = {"object": "list", "has_more": other.pop("has_more", False)}
    body["data"] = list(subscriptions)
    return stripe_api.get(
        SUBSCRIPTIONS, json=body, match=[query_param_matcher(query)], **other
    )


def test_sync(kept_shop: Any, user: Any, stripe_api: responses.RequestsMock) -> None:
    expect_list(
        stripe_api,
        make_subscription("sub_1", customer="cus_ada", status="past_due"),
        make_subscription("sub_2", customer="cus_ada", status="canceled"),
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
        [make_subscription(id_, customer="cus_ada", status="canceled") for id_ in page]
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


@pytest.mark.parametrize("listed", [[], ["sub_1"]])
def test_sync_ends_what_stripe_does_not_list(
    kept_shop: Any,
    user: Any,
    stripe_api: responses.RequestsMock,
    listed: list[str],
) -> None:
    kept_shop.add_user(stripe_customer_id="cus_bob")
    store_subscription(kept_shop, "sub_1", status="incomplete")
    store_subscription(kept_shop, "sub_2")
    store_subscription(kept_shop, "sub_bob", customer="cus_bob")
    expect_list(
        stripe_api,
        *(make_subscription(id_, customer="cus_ada") for id_ in listed),
    )

    found = kept_shop.kavach_stripe.sync_subscription(user)

    assert (found and found.id) == (listed[0] if listed else None)
    assert {row.id: row.status for row in kept_shop.subscriptions} == {
        "sub_1": "active" if listed else "canceled",
        "sub_2": "canceled",
        "sub_bob": "active",
    }


def test_sync_ends_what_only_the_columns_say(
    kept_shop: Any, context: None, stripe_api: responses.RequestsMock
) -> None:
    kept_shop.add_user(
        stripe_customer_id="cus_bob",
        stripe_subscription_id="sub_bob",
        stripe_subscription_status="active",
    )
    stripe_api.get(SUBSCRIPTIONS, json={"data": []})

    assert kept_shop.kavach_stripe.sync_subscription(2) is None
    assert kept_shop.columns(2)["subscription_status"] == "canceled"
    assert [row.status for row in kept_shop.subscriptions] == ["canceled"]


def test_sync_does_not_bring_back_what_ended(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop, status="canceled")
    expect_list(stripe_api, make_subscription("sub_1", customer="cus_ada"))

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
    subscription = make_subscription("sub_1", customer="cus_ada", created=1_700_000_000)
    headers = {"Date": format_datetime(date, usegmt=True)}
    expect_list(stripe_api, subscription, headers=headers)

    kept_shop.kavach_stripe.sync_subscription(user)

    [row] = kept_shop.subscriptions
    assert date - timedelta(seconds=3) <= row.synced_at <= date


def test_event_before_a_sync_is_not_applied_after_it(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    date = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
    expect_list(
        stripe_api,
        make_subscription("sub_1", customer="cus_ada", status="active"),
        headers={"Date": format_datetime(date, usegmt=True)},
    )
    kept_shop.kavach_stripe.sync_subscription(user)
    late = make_event(
        "customer.subscription.updated",
        make_subscription("sub_1", customer="cus_ada", status="past_due"),
        created=int(date.timestamp()) - 60,
        previous_attributes={"status": "active"},
    )

    assert kept_shop.post_event(late).status_code == 200
    assert kept_shop.columns()["subscription_status"] == "active"


def test_time_of_a_test_clock_is_not_ours(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    headers = {"Date": format_datetime(datetime.now(UTC), usegmt=True)}
    subscription = make_subscription("sub_1", customer="cus_ada", test_clock="clock_1")
    expect_list(stripe_api, subscription, headers=headers)

    kept_shop.kavach_stripe.sync_subscription(user)

    assert [row.synced_at for row in kept_shop.subscriptions] == [None]


def test_sync_asks_again_when_an_event_came_meanwhile(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop, status="incomplete")
    answers = iter(["active", "unpaid"])

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        status = next(answers)
        subscription = make_subscription("sub_1", customer="cus_ada", status=status)

        if status == "active":  # and now Stripe sends what happened in between
            event = make_event(
                "customer.subscription.updated",
                {**subscription, "status": "past_due"},
                created=subscription["created"] + 600,
                previous_attributes={"status": "active"},
            )
            assert kept_shop.post_event(event).status_code == 200

        return 200, {}, json.dumps({"data": [subscription]})

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
        return 200, {}, '{"data": []}'

    stripe_api.add_callback("GET", SUBSCRIPTIONS, answer)

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
    stripe_api.get(SUBSCRIPTIONS, status=404, json=NO_SUCH_CUSTOMER)

    assert kept_shop.kavach_stripe.sync_subscription(user) is None
    assert user.stripe_customer_id is None
    assert user.stripe_subscription_status == "canceled"


def test_sync_of_a_customer_of_the_other_mode(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    store_subscription(kept_shop)
    before = kept_shop.columns()
    stripe_api.get(SUBSCRIPTIONS, status=404, json=OTHER_MODE)

    with pytest.raises(InvalidRequestError, match="live mode"):
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
    expect_list(
        stripe_api, make_subscription("sub_1", customer="cus_ada"), has_more=True
    )
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
    running = make_subscription("sub_1", customer="cus_ada")
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
    expect_list(stripe_api, make_subscription("sub_1", customer="cus_ada"))

    with pytest.raises(RuntimeError, match="a bug"):
        kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.notes == []
    assert kept_shop.columns()["subscription_id"] == "sub_1"
    (owed,) = kept_shop.events
    assert (owed.changed, owed.processed_at, owed.attempts) == (True, None, 1)
    assert (owed.customer_id, owed.error) == ("cus_ada", "RuntimeError: a bug")


def test_handler_that_was_told_leaves_no_entry(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    kept_shop.kavach_stripe.on_subscription_change(
        lambda user, subscription: kept_shop.note(subscription.id)
    )
    expect_list(stripe_api, make_subscription("sub_1", customer="cus_ada"))
    kept_shop.kavach_stripe.sync_subscription(user)

    assert kept_shop.notes == ["sub_1"]
    assert kept_shop.events == []


def test_ended_by_an_empty_list_has_an_end(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    created = make_subscription("sub_1", customer="cus_ada")
    kept_shop.post_event(make_event("customer.subscription.created", created))
    expect_list(stripe_api)
    kept_shop.kavach_stripe.sync_subscription(user)

    (row,) = kept_shop.subscriptions
    assert (row.status, row.ended_at is None) == ("canceled", False)


# -- complete_checkout ---------------------------------------------------------------


def expect_checkout(stripe_api: responses.RequestsMock, **fields: Any) -> None:
    fields = {"customer": "cus_ada", "subscription": "sub_1", **fields}
    stripe_api.get(f"{SESSIONS}/cs_1", json=make_checkout_session("cs_1", **fields))


def expect_subscription(stripe_api: responses.RequestsMock, **fields: Any) -> None:
    fields = {"customer": "cus_ada", **fields}
    stripe_api.get(f"{SUBSCRIPTIONS}/sub_1", json=make_subscription("sub_1", **fields))


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
    session = make_checkout_session(
        "cs_1", customer="cus_ada", subscription="sub_1", client_reference_id="1"
    )
    event = make_event("checkout.session.completed", session)

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
    stripe_api.get(f"{SESSIONS}/cs_1", status=404, json={"error": error})

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
    stripe_api.get(f"{SESSIONS}/cs_1", **answer)

    with pytest.raises(StripeError):
        kept_shop.kavach_stripe.complete_checkout("cs_1", user)

    assert kept_shop.columns()["subscription_id"] is None


def test_link_is_kept_when_the_subscription_cannot_be_read(
    kept_shop: Any, newcomer: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_checkout(stripe_api, customer="cus_bob", client_reference_id="2")
    stripe_api.get(f"{SUBSCRIPTIONS}/sub_1", body=requests.ConnectionError("down"))

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


# -- the client ----------------------------------------------------------------------


def test_client_is_the_one_of_the_current_app(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shops = [make_shop(STRIPE_SECRET_KEY=f"sk_test_{number}") for number in "12"]
    stripe_api.get(f"{API}/prices", json={"data": []})

    for shop in shops:
        with shop.app.app_context():
            shops[0].kavach_stripe.client.get("/v1/prices")

    keys = [call.request.headers["Authorization"] for call in stripe_api.calls]
    assert keys == ["Bearer sk_test_1", "Bearer sk_test_2"]
