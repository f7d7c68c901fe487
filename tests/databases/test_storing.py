"""What is stored, as each database gives it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import make_url
from sqlalchemy import NullPool
from sqlalchemy import text as sql

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from tests.conftest import Shop
from tests.databases.deliveries import Database
from tests.databases.deliveries import END
from tests.databases.deliveries import subscription_event as event
from tests.databases.deliveries import T

MakeShop = Callable[..., Shop]

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


def test_six_columns_of_a_subscription(shop: Shop) -> None:
    sent = event("created", status="trialing", cancel_at_period_end=True)
    assert shop.post_event(sent).status_code == 200
    assert shop.columns() == {
        "customer_id": "cus_ada",
        "subscription_id": "sub_1",
        "subscription_status": "trialing",
        "price_id": "price_pro",
        "current_period_end": datetime.fromtimestamp(END, UTC),
        "cancel_at_period_end": True,
    }


def test_six_columns_after_the_end(shop: Shop) -> None:
    for sent in (event("created"), event("deleted", 9, status="canceled")):
        assert shop.post_event(sent).status_code == 200

    assert shop.columns() == {
        "customer_id": "cus_ada",
        "subscription_id": None,
        "subscription_status": "canceled",
        "price_id": None,
        "current_period_end": None,
        "cancel_at_period_end": False,
    }


def reads_of(shop: Shop, sent: dict[str, Any]) -> int:
    """How many statements read while a delivery is answered with 200."""
    reads: list[str] = []

    def collect(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith("SELECT"):
            reads.append(statement)

    with shop.app.app_context():
        engine = shop.db.engine

    sqlalchemy_event.listen(engine, "before_cursor_execute", collect)

    try:
        assert shop.post_event(sent).status_code == 200
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", collect)

    return len(reads)


def test_reads_of_a_change_and_of_a_duplicate(shop: Shop) -> None:
    """All at once where the database tells whether that is true."""
    shop.post_event(event("created"))
    sent = event("updated", 60, status="past_due")

    with shop.app.app_context():
        change, duplicate = {
            "sqlite": (1, 1),
            "postgresql": (1, 1),
            "mysql": (2, 3),
            "mariadb": (2, 3),
        }[shop.db.engine.dialect.name]

    assert reads_of(shop, sent) == change
    assert reads_of(shop, sent) == duplicate


def test_times_are_aware_and_utc(shop: Shop) -> None:
    shop.post_event(event("created", trial_end=END))
    [row], [entry] = shop.subscriptions, shop.events
    assert shop.columns()["current_period_end"].tzinfo is UTC
    assert row.synced_at.tzinfo is row.trial_end.tzinfo is UTC
    assert (row.created, row.synced_at) == (datetime.fromtimestamp(T, UTC),) * 2
    assert entry.received_at.tzinfo is UTC
    assert abs((datetime.now(UTC) - entry.received_at).total_seconds()) < 60


@pytest.mark.databases("postgresql")
def test_times_are_utc_where_the_session_has_a_time_zone(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "America/New_York")
    shop = make_shop()
    shop.add_user(id=1, stripe_customer_id="cus_ada")
    shop.post_event(event("created"))
    end = shop.columns()["current_period_end"]
    assert (end, end.tzinfo) == (datetime.fromtimestamp(END, UTC), UTC)


def test_customers_that_differ_only_by_case_are_two(shop: Shop) -> None:
    shop.add_user(id=2, stripe_customer_id="cus_ADA")
    shop.post_event(event("created", customer="cus_ADA", id="sub_b"))
    assert shop.columns(1)["subscription_id"] is None
    assert shop.columns(2)["subscription_id"] == "sub_b"


def test_subscriptions_that_differ_only_by_case_are_two(shop: Shop) -> None:
    shop.post_event(event("created", id="sub_a"))
    shop.post_event(event("created", id="sub_A"))
    assert {row.id for row in shop.subscriptions} == {"sub_a", "sub_A"}


def test_events_that_differ_only_by_case_are_two(shop: Shop) -> None:
    shop.kavach_stripe.on("invoice.paid")(lambda event: shop.note(event.id))
    paid = make_event("invoice.paid", make_invoice(customer="cus_ada"))

    for event_id in ("evt_a", "evt_A"):
        assert shop.post_event({**paid, "id": event_id}).status_code == 200

    assert sorted(shop.notes) == ["evt_A", "evt_a"]


@pytest.mark.parametrize("character", ["x", "é", "😀", "\\u0000"])
def test_payload_of_a_mebibyte(shop: Shop, character: str) -> None:
    body = json.dumps({**event("created"), "filling": ""}, ensure_ascii=False).encode()
    room = 1024 * 1024 - len(body)
    filling = character.encode() * (room // len(character.encode()))
    filling += b"x" * (room - len(filling))
    body = body.replace(b'"filling": ""', b'"filling": "%s"' % filling)
    assert len(body) == 1024 * 1024

    assert shop.post_event(body).status_code == 200
    assert [row.payload for row in shop.events] == [body.decode()]


ODD_TEXTS = [
    pytest.param("", id="empty"),
    pytest.param("x" * 255, id="255"),
    pytest.param("x" * 256, id="256"),
    pytest.param("é" * 255, id="accents"),
    pytest.param("😀" * 255, id="emoji"),
    pytest.param("a\x00b", id="NUL"),
    pytest.param("\ud800", id="lone surrogate"),
    pytest.param("a ", id="trailing blank"),
    pytest.param("' OR 1=1 --", id="quotes"),
    pytest.param("\x1b\r\n\\", id="control characters"),
]


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("place", ["id", "type", "api_version"])
def test_event_with_odd_text(shop: Shop, place: str, text: str) -> None:
    """Stripe would send it again for days if it failed."""
    shop.kavach_stripe.on("*")(lambda event: None)
    assert shop.post_event({**event("created"), place: text}).status_code == 200


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("place", ["id", "customer", "status", "price"])
def test_subscription_with_odd_text(shop: Shop, place: str, text: str) -> None:
    shop.kavach_stripe.on("*")(lambda event: None)
    assert shop.post_event(event("created", **{place: text})).status_code == 200


@pytest.mark.parametrize(
    "number", [-1, 0, 2**31 - 1, 2**31, 2**63, 253402300799, 253402300800, 10**400]
)
@pytest.mark.parametrize("place", ["created", "current_period_end", "quantity"])
def test_subscription_with_odd_number(shop: Shop, place: str, number: int) -> None:
    assert shop.post_event(event("created", **{place: number})).status_code == 200


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_checkout_with_odd_reference(shop: Shop, text: str) -> None:
    session = {
        "object": "checkout.session",
        "customer": "cus_new",
        "client_reference_id": text,
    }
    sent = make_event("checkout.session.completed", session)
    assert shop.post_event(sent).status_code == 200


@pytest.mark.parametrize("reference", [2**31 - 1, 2**31, 2**63, 10**30, -(2**31) - 1])
def test_checkout_with_a_reference_that_no_key_can_be(
    shop: Shop, reference: int
) -> None:
    session = {
        "object": "checkout.session",
        "customer": "cus_new",
        "client_reference_id": str(reference),
    }
    sent = make_event("checkout.session.completed", session)
    assert shop.post_event(sent).status_code == 200


@pytest.mark.parametrize("text", ["x" * 70_000, "😀" * 3000, "a\x00b", "\ud800"])
def test_error_of_any_text_is_recorded(shop: Shop, text: str) -> None:
    @shop.kavach_stripe.on("customer.subscription.created")
    def fail(received: Event) -> None:
        raise ValueError(text)

    assert shop.post_event(event("created")).status_code == 500
    [row] = shop.events
    assert row.error.startswith("ValueError: ")
    assert (row.attempts, row.processed_at) == (1, None)
    assert shop.columns()["subscription_id"] == "sub_1"


@pytest.fixture(params=["latin1", "utf8mb3"])
def narrow_shop(request: pytest.FixtureRequest, database: Database) -> Iterator[Shop]:
    """An app in a database that cannot store every character by itself."""
    engine = create_engine(database.uri, poolclass=NullPool)
    uri = make_url(database.uri).set(database=f"test_{request.param}")

    with engine.connect() as connection:
        connection.execute(
            sql(f"CREATE DATABASE {uri.database} CHARACTER SET {request.param}")
        )

        try:
            with closing(database._replace(uri=str(uri)).make_shop()) as shop:
                shop.add_user(id=1, stripe_customer_id="cus_ada")
                yield shop
        finally:
            connection.execute(sql(f"DROP DATABASE {uri.database}"))


@pytest.mark.databases("mariadb")
def test_character_set_of_the_database_does_not_matter(narrow_shop: Shop) -> None:
    """That of MariaDB was latin1 by default until 11.6."""

    @narrow_shop.kavach_stripe.on("*")
    def fail(received: Event) -> None:
        raise ValueError("😀")

    sent = json.dumps({**event("created"), "description": "😀"}, ensure_ascii=False)
    assert narrow_shop.post_event(sent.encode()).status_code == 500
    [row] = narrow_shop.events
    assert row.payload == sent
    assert row.error == "ValueError: 😀"
