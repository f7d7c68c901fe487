"""The ledger knows each event, and a duplicate runs nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any

import pytest
import responses
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import inspect

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_thin_event
from tests.vocabulary import at
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import on_change
from tests.vocabulary import paid
from tests.vocabulary import T

# -- the ledger ------------------------------------------------------------------------


def test_ledger_row_of_a_stored_event(shop: Any) -> None:
    sent = event("created")
    before = datetime.now(UTC)
    body = json.dumps(sent, indent=1).encode()
    ok(shop.post_event(body))
    [row] = shop.events
    assert row.id == sent["id"]
    assert row.type == "customer.subscription.created"
    assert row.created == at(T)
    assert row.object_id == "sub_1"
    assert row.customer_id == "cus_ada"
    assert row.user_id == "1"
    assert row.livemode is False
    assert row.api_version == "2026-10-28.endive"
    assert row.payload == body.decode()
    assert json.loads(row.change)["before"] is None
    assert json.loads(row.change)["after"]["id"] == "sub_1"
    assert before <= row.received_at <= datetime.now(UTC)
    assert row.processed_at == row.received_at  # nothing had to run
    assert (row.attempts, row.error) == (0, None)


def test_ledger_row_of_a_handled_event(shop: Any) -> None:
    on(shop, "invoice.paid")(lambda received: None)
    ok(shop.post_event(paid()))
    [row] = shop.events
    assert row.change is None
    assert row.processed_at - row.received_at < timedelta(seconds=60)
    assert row.processed_at >= row.received_at
    assert (row.attempts, row.error) == (1, None)


@pytest.mark.parametrize("kind", ["created", "updated"])
def test_ledger_knows_whether_the_columns_changed(shop: Any, kind: str) -> None:
    shop.post_event(event("created"))
    shop.post_event(event(kind, 60))  # the same state, later
    shop.post_event(event(kind, -60, status="past_due"))  # too late
    shop.post_event(event("created", id="sub_2", status="incomplete"))  # not the best
    assert [row.change is not None for row in shop.events] == [
        True,
        False,
        False,
        False,
    ]


def test_ledger_holds_a_payload_of_a_mebibyte(shop: Any) -> None:
    sent = event("created", metadata={"a": ""})
    sent["data"]["object"]["metadata"]["a"] = "ü" * (
        (1024 * 1024 - len(json.dumps(sent))) // 2
    )
    body = json.dumps(sent, ensure_ascii=False).encode()
    assert 1024 * 1024 - 3 < len(body) <= 1024 * 1024
    ok(shop.post_event(body))
    assert shop.events[0].payload == body.decode()


def test_events_that_differ_only_by_case_are_two(shop: Any) -> None:
    called: list[Any] = []
    on(shop, "invoice.paid")(called.append)
    ok(shop.post_event({**paid(), "id": "evt_a"}))
    ok(shop.post_event({**paid(), "id": "evt_A"}))
    assert len(called) == 2


@pytest.mark.parametrize(
    "sent",
    [
        make_event("invoice.finalized", make_invoice(customer="cus_ada")),
        make_event("customer.updated", make_customer("cus_ada")),
        make_event("price.created", {"id": "price_1"}),
        make_thin_event("customer.subscription.past_due", "sub_1"),
        {"type": "nonsense"},
        {},
    ],
)
def test_event_that_nobody_handles_touches_no_table(
    shop: Any, sent: dict[str, Any]
) -> None:
    on(shop, "invoice.paid")(print)

    with shop.statements() as statements:
        ok(shop.post_event(sent))

    assert statements == []


def test_event_of_nobody_is_recorded_only_for_a_handler(shop: Any) -> None:
    ok(shop.post_event(event("created", customer="cus_nobody")))
    assert shop.events == []
    on(shop, "customer.subscription.created")(lambda received: None)
    sent = event("created", customer="cus_nobody")
    ok(shop.post_event(sent))
    assert [(row.id, row.customer_id, row.user_id) for row in shop.events] == [
        (sent["id"], "cus_nobody", None)
    ]


# -- duplicates ------------------------------------------------------------------------


def test_duplicate_runs_nothing(shop: Any) -> None:
    @on(shop, "*")
    def write(received: Event) -> None:
        shop.note(received.type)

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        shop.note("changed")

    sent = event("created")

    for _ in range(3):
        ok(shop.post_event(sent))

    assert shop.notes == ["changed", "customer.subscription.created"]
    assert [row.attempts for row in shop.events] == [1]


def test_duplicate_changes_no_column(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Made by hand, it would be applied in order of arrival; it is the same event."""
    first = event("updated", status="trialing")
    second = event("updated", status="active")
    del first["data"]["previous_attributes"], second["data"]["previous_attributes"]
    ok(shop.post_event(first))
    ok(shop.post_event(second))
    ok(shop.post_event(first))
    assert shop.columns()["subscription_status"] == "active"


def test_duplicate_differs_in_signature_and_body(shop: Any) -> None:
    """Each try of Stripe is signed anew, and may be written in another way."""
    called: list[Any] = []
    on(shop, "invoice.paid")(called.append)
    sent = paid()
    now = int(time.time())
    ok(shop.post_event(sent, timestamp=now))
    ok(shop.post_event({**sent, "pending_webhooks": 0}, timestamp=now - 9))
    ok(shop.post_event(json.dumps(sent, indent=2).encode()))
    assert len(called) == 1


# -- statements and commits ------------------------------------------------------------


@contextmanager
def traced(shop: Any) -> Iterator[list[str]]:
    """What the database is asked: the first words of each statement, and commits."""
    collected: list[str] = []

    with shop.app.app_context():
        engine = shop.db.engine

    def execute(
        connection: Any, cursor: Any, statement: str, parameters: Any, *args: Any
    ) -> None:
        words = statement.replace("\n", " ").split()
        tables = [word for word in words if word in TABLES] or words[-1:]
        collected.append(f"{words[0]} {tables[0]}")

    def commit(connection: Any) -> None:
        if collected and collected[-1] != "COMMIT":
            collected.append("COMMIT")

    sqlalchemy_event.listen(engine, "before_cursor_execute", execute)
    sqlalchemy_event.listen(engine, "commit", commit)

    try:
        yield collected
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", execute)
        sqlalchemy_event.remove(engine, "commit", commit)


TABLES = ("users", "stripe_subscription", "stripe_event", "note")
#: User, event and rows are read in one statement.
LOCK = ["BEGIN IMMEDIATE", "SELECT users"]


def test_statements_of_a_change(shop: Any) -> None:
    shop.post_event(event("created"))

    with traced(shop) as statements:
        ok(shop.post_event(event("updated", 60, status="past_due")))

    assert statements == [
        *LOCK,
        "UPDATE stripe_subscription",
        "UPDATE users",
        "INSERT stripe_event",
        "COMMIT",
    ]


def test_statements_of_a_new_subscription(shop: Any) -> None:
    with traced(shop) as statements:
        ok(shop.post_event(event("created")))

    assert statements == [
        *LOCK,
        "SELECT stripe_subscription",  # whether another customer has it
        "INSERT stripe_subscription",
        "UPDATE users",
        "INSERT stripe_event",
        "COMMIT",
    ]


def test_statements_of_an_event_that_is_too_old(shop: Any) -> None:
    shop.post_event(event("created"))

    with traced(shop) as statements:
        ok(shop.post_event(event("updated", -60, status="past_due")))

    assert statements == [
        *LOCK,
        "INSERT stripe_event",
        "COMMIT",
    ]


def test_statements_of_an_event_with_handlers(shop: Any) -> None:
    on(shop, "customer.subscription.updated")(lambda received: shop.note("x"))
    shop.post_event(event("created"))

    with traced(shop) as statements:
        ok(shop.post_event(event("updated", 60, status="past_due")))

    assert statements == [
        *LOCK,
        "UPDATE stripe_subscription",
        "UPDATE users",
        "INSERT stripe_event",
        "COMMIT",
        "UPDATE stripe_event",
        "INSERT note",
        "COMMIT",
    ]


def test_statements_of_an_event_that_only_handlers_take(shop: Any) -> None:
    on(shop, "invoice.paid")(lambda received: shop.note("x"))

    with traced(shop) as statements:
        ok(shop.post_event(paid()))

    assert statements == [
        "BEGIN IMMEDIATE",
        "SELECT users",
        "INSERT stripe_event",
        "COMMIT",
        "UPDATE stripe_event",
        "INSERT note",
        "COMMIT",
    ]


def test_statements_of_a_duplicate(shop: Any) -> None:
    on(shop, "customer.subscription.created")(lambda received: shop.note("x"))
    sent = event("created")
    shop.post_event(sent)

    with traced(shop) as statements:
        ok(shop.post_event(sent))

    assert statements == LOCK


def test_statements_of_a_customer_that_nobody_has(shop: Any) -> None:
    with traced(shop) as statements:
        ok(shop.post_event(event("created", customer="cus_nobody")))

    assert statements == ["BEGIN IMMEDIATE", "SELECT users", "COMMIT"]


def test_statements_of_a_failure(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ValueError

    with traced(shop) as statements:
        failed(shop.post_event(paid()))

    assert statements == [
        "BEGIN IMMEDIATE",
        "SELECT users",
        "INSERT stripe_event",
        "COMMIT",
        "UPDATE stripe_event",
        "UPDATE stripe_event",
        "COMMIT",
    ]


def test_bytes_stored_of_an_event(shop: Any) -> None:
    """The payload once, as sent, and little beside it."""
    payload = json.dumps(event("created")).encode()
    ok(shop.post_event(payload))
    [row] = shop.events
    others = [
        str(getattr(row, column.key))
        for column in inspect(type(row)).columns
        if column.key not in ("payload", "change")
    ]
    assert row.payload.encode() == payload
    assert len(row.change) < 500, row.change
    assert sum(map(len, others)) < 300, others
