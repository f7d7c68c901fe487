"""Whose event it is: a linked customer decides alone.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy import Uuid
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests.buyers import shown
from tests.vocabulary import checkout
from tests.vocabulary import event
from tests.vocabulary import ok
from tests.vocabulary import payment_failed
from tests.vocabulary import SECRET_KEY
from tests.vocabulary import send
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import WEBHOOK_SECRET

# -- linked customers ------------------------------------------------------------------


def test_linked_customer_decides_alone(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Who puts another one's id into a session of their own changes nothing there."""
    eve = shop.add_user()
    stripe_api.get(SUB_1, json=subscription())
    shop.post_event(checkout(client_reference_id=str(eve)))
    assert shop.columns()["subscription_id"] == "sub_1"
    assert shop.columns(eve)["customer_id"] is None


def test_linked_customer_decides_also_with_metadata_of_another_app(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB_1, json=subscription())
    shop.post_event(checkout(metadata={"kavach_user_id": "77"}, payment_link="plink_1"))
    assert shop.columns()["subscription_id"] == "sub_1"


# -- which session links ---------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"payment_link": "plink_1"}, id="payment link"),
        pytest.param({"payment_link": {"id": "plink_1"}}, id="expanded payment link"),
        pytest.param({"metadata": {"kavach_user_id": "2"}}, id="of another app"),
        pytest.param({"metadata": {"kavach_user_id": ""}}, id="empty user id"),
        pytest.param({"client_reference_id": None}, id="no reference"),
        pytest.param({"client_reference_id": "999"}, id="unknown user"),
        pytest.param({"client_reference_id": "1"}, id="has another customer"),
        pytest.param({"customer": None}, id="no customer"),
        pytest.param({"client_reference_id": 2}, id="a number"),
        pytest.param({"client_reference_id": True}, id="true"),
        pytest.param({"client_reference_id": [2]}, id="a list"),
        pytest.param({"client_reference_id": {"id": "2"}}, id="an object"),
        *(
            pytest.param({"client_reference_id": text}, id=ascii(text))
            for text in (
                " 2",
                "2 ",
                "2\n",
                "+2",
                "02",
                "0_2",
                "2.0",
                "2e0",
                "0x2",
                "-2",
                "\u0662",
                "\uff12",
                "2\x00",
                "",
                "2" * 18,
                "9" * 19,
                "2" * 4000,
                "9" * 5000,
                "\ud800",
                "None",
                "' OR 1=1 --",
            )
        ),
    ],
)
def test_checkout_of_an_unknown_customer_links_nobody(
    shop: Any, stripe_api: responses.RequestsMock, values: dict[str, Any]
) -> None:
    bob = shop.add_user()
    assert bob == 2
    defaults = {"customer": "cus_new", "client_reference_id": "2"}
    ok(shop.post_event(checkout(**{**defaults, **values})))
    assert shop.columns(bob)["customer_id"] is None
    assert shop.columns(1)["customer_id"] == "cus_ada"
    assert shop.events == []


def test_subscription_event_never_links(shop: Any) -> None:
    shop.add_user()
    ok(
        shop.post_event(
            event(
                "created",
                customer="cus_new",
                metadata={"kavach_user_id": "2"},
                client_reference_id="2",
            )
        )
    )
    assert shop.columns(2)["customer_id"] is None


def test_reference_links_once(shop: Any, stripe_api: responses.RequestsMock) -> None:
    bob = shop.add_user()
    stripe_api.get(SUB_1, json=subscription(customer="cus_bob"))
    shop.post_event(checkout(customer="cus_bob", client_reference_id=str(bob)))
    ok(shop.post_event(checkout(customer="cus_eve", client_reference_id=str(bob))))
    assert shop.columns(bob)["customer_id"] == "cus_bob"
    assert shop.columns(bob)["subscription_id"] == "sub_1"


def test_duplicate_of_a_checkout_links_nobody_again(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.add_user()
    shop.kavach_stripe.on("checkout.session.completed")(lambda event: None)
    session = make_checkout_session(
        customer="cus_b", client_reference_id="2", subscription=None
    )
    event = make_event("checkout.session.completed", session)
    shop.post_event(event)
    assert shop.columns(2)["customer_id"] == "cus_b"

    shop.post_event(make_event("customer.deleted", {"id": "cus_b"}))
    assert shop.post_event(event).status_code == 200
    assert shop.columns(2)["customer_id"] is None


@pytest.mark.parametrize(
    "session",
    [
        pytest.param({"payment_link": "plink_1"}, id="query of a payment link"),
        pytest.param({"metadata": {"kavach_user_id": "2"}}, id="staging, same account"),
        pytest.param({"mode": "payment"}, id="a one-time purchase"),
        pytest.param({"client_reference_id": "1"}, id="of someone with a customer"),
    ],
)
def test_nobody_gets_the_customer_of_a_stranger(
    shop: Any, stripe_api: responses.RequestsMock, session: dict[str, Any]
) -> None:
    """K13: the reference of any session in the account linked a customer."""
    bob = shop.add_user()
    values = {"client_reference_id": str(bob), "customer": "cus_stranger", **session}
    send(
        shop,
        make_event("checkout.session.completed", make_checkout_session(**values)),
        event("created", customer="cus_stranger"),
    )
    assert shop.columns(1)["customer_id"] == "cus_ada"
    assert shop.columns(bob)["customer_id"] is None
    assert shown(shop, bob) is None


def test_nothing_is_told_of_users_that_do_not_exist(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """K14: the callback ran for users who do not exist."""
    changes: list[Any] = []
    shop.kavach_stripe.on_subscription_change(lambda *args: changes.append(args))
    session = make_checkout_session(client_reference_id="999", customer="cus_x")
    send(
        shop,
        make_event("checkout.session.completed", session),
        event("created", customer="cus_x"),
    )
    assert changes == []


# -- customers that nobody has ---------------------------------------------------------


def test_customers_differ_by_case(shop: Any) -> None:
    ok(shop.post_event(event("created", customer="cus_ADA")))
    assert (shop.subscriptions, shop.events) == ([], [])


@pytest.mark.parametrize("kind", ["created", "updated", "deleted", "paused", "resumed"])
def test_subscription_of_a_customer_that_nobody_has(shop: Any, kind: str) -> None:
    ok(shop.post_event(event(kind, customer="cus_nobody")))
    assert (shop.subscriptions, shop.events) == ([], [])


def test_other_events_of_a_customer_that_nobody_has(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    ok(shop.post_event(payment_failed(customer="cus_nobody")))
    ok(shop.post_event(checkout(customer="cus_nobody")))
    ok(shop.post_event(make_event("customer.deleted", make_customer("cus_nobody"))))
    assert (shop.subscriptions, shop.events) == ([], [])


def test_subscription_does_not_move_to_another_customer(shop: Any) -> None:
    bob = shop.add_user(stripe_customer_id="cus_bob")
    shop.post_event(event("created"))
    ok(shop.post_event(event("updated", 9, customer="cus_bob", status="past_due")))
    ok(shop.post_event(event("deleted", 9, customer="cus_bob", status="canceled")))
    assert shop.columns(bob)["subscription_id"] is None
    assert shop.columns(bob)["subscription_status"] is None
    assert shop.columns()["subscription_status"] == "active"


# -- references to primary keys of other kinds -----------------------------------------


class KeyedApp:
    """An app whose users have another kind of primary key."""

    def __init__(self, path: Path, key_type: Any) -> None:
        self.app = Flask("keyed")
        self.app.config.update(
            TESTING=True,
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}",
            STRIPE_SECRET_KEY=SECRET_KEY,
            STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
            STRIPE_MAX_NETWORK_RETRIES=0,
        )
        self.db = db = SQLAlchemy(self.app)

        class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
            __tablename__ = "users"
            key: Mapped[Any] = mapped_column(key_type, primary_key=True)

        self.User = User
        self.kavach_stripe = KavachStripe(self.app)

        with self.app.app_context():
            db.create_all()

    def add_user(self, key: Any) -> None:
        with self.app.app_context():
            self.db.session.add(self.User(key=key))
            self.db.session.commit()

    def customer(self, key: Any) -> str | None:
        with self.app.app_context():
            user: Any = self.db.session.get(self.User, key)
            return str(user.stripe_customer_id) if user.stripe_customer_id else None

    def close(self) -> None:
        with self.app.app_context():
            self.db.engine.dispose()


@pytest.fixture
def keyed_app(tmp_path: Path) -> Iterator[Callable[[Any], KeyedApp]]:
    made: list[KeyedApp] = []

    def make(key_type: Any) -> KeyedApp:
        made.append(KeyedApp(tmp_path / "keyed.db", key_type))
        return made[-1]

    yield make

    for app in made:
        app.close()


KEY = uuid.UUID("0b5c2f6e-8f0e-4c5e-9d9c-6a3f1d2e4b7a")


@pytest.mark.parametrize(
    ("reference", "linked"),
    [
        (str(KEY), True),
        (str(KEY).upper(), True),
        (KEY.hex, False),
        (f"{{{KEY}}}", False),
        (f"urn:uuid:{KEY}", False),
        (f" {KEY}", False),
        ("7", False),
        ("\x00", False),
    ],
)
def test_uuid_primary_key(
    keyed_app: Any, stripe_api: responses.RequestsMock, reference: str, linked: bool
) -> None:
    app = keyed_app(Uuid())
    app.add_user(KEY)
    sent = checkout(customer="cus_u", client_reference_id=reference)

    if linked:
        stripe_api.get(SUB_1, json=subscription(customer="cus_u"))

    ok(post_event(app.app.test_client(), sent))
    assert app.customer(KEY) == ("cus_u" if linked else None)


@pytest.mark.parametrize("key", ["ada", "Ä", "7", "a b", "x" * 200, "team/7?x=1"])
def test_text_primary_key(
    keyed_app: Any, stripe_api: responses.RequestsMock, key: str
) -> None:
    app = keyed_app(String(255))
    app.add_user(key)
    stripe_api.get(SUB_1, json=subscription(customer="cus_s"))
    sent = checkout(customer="cus_s", client_reference_id=key)
    ok(post_event(app.app.test_client(), sent))
    assert app.customer(key) == "cus_s"

    with app.app.app_context():
        model = app.app.extensions["kavach_stripe"].event_model
        assert app.db.session.scalars(app.db.select(model.user_id)).all() == [key]


@pytest.mark.parametrize("reference", ["\ud800", "a\x00", "ADA", "", "y" * 10_000])
def test_text_primary_key_that_nobody_has(
    keyed_app: Any, stripe_api: responses.RequestsMock, reference: str
) -> None:
    app = keyed_app(String(255))
    app.add_user("ada")
    sent = checkout(customer="cus_s", client_reference_id=reference)
    ok(post_event(app.app.test_client(), sent))
    assert app.customer("ada") is None
