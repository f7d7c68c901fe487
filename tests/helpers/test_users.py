"""The user of a helper: an instance, ``current_user``, or a primary key."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import AnonymousUserMixin
from flask_login import current_user
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy import Uuid
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from werkzeug.local import LocalProxy

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import NoCustomerError
from flask_kavach_stripe import StripeUserMixin
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import expect_checkout_session
from tests.vocabulary import expect_new_customer
from tests.vocabulary import PORTAL_SESSION
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import sent_params
from tests.vocabulary import store_subscription
from tests.vocabulary import URLS

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
    store_subscription(kept_shop)
    expect_checkout_session(stripe_api, False, **URLS)
    stripe_api.post(PORTAL_SESSIONS, json=PORTAL_SESSION)
    kavach_stripe, way = kept_shop.kavach_stripe, ways[by]
    found = kavach_stripe.get_subscription(way)

    assert kavach_stripe.get_customer_id(way) == "cus_ada"
    assert kavach_stripe.create_customer(way) == "cus_ada"
    assert kavach_stripe.create_checkout_session(way, "price_pro", **URLS)
    assert kavach_stripe.create_portal_session(way)
    assert sent_params(stripe_api) == {"customer": "cus_ada"}
    assert found is not None
    assert found.id == "sub_1"
    assert kavach_stripe.list_subscriptions(way) == [found]


def test_current_user(kept_shop: Any, stripe_api: responses.RequestsMock) -> None:
    kept_shop.add_user(email="bob@example.com")
    expect_new_customer(stripe_api, json={"id": "cus_bob"})

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
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    with app.app_context():
        db.session.add(member(key=key))
        kavach_stripe.create_checkout_session(ways[0], "price_pro", **URLS)

        assert sent_params(stripe_api, 0)["metadata[kavach_user_id]"] == str(key)
        assert sent_params(stripe_api, 1)["client_reference_id"] == str(key)
        assert [kavach_stripe.get_customer_id(way) for way in ways] == ["cus_1"] * len(
            ways
        )
        assert [kavach_stripe.get_customer_id(each) for each in nobody] == [None] * len(
            nobody
        )
