"""What failed runs again: by the next delivery, or by a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.event import listen

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from tests.conftest import Shop
from tests.queueing import CREATED
from tests.queueing import created
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import process
from tests.vocabulary import run

# -- the next delivery -----------------------------------------------------------------


def test_next_delivery_runs_all_handlers_again(shop: Any) -> None:
    outcomes = iter([ValueError("once"), KeyError("twice"), None, None])

    @on(shop, "invoice.paid")
    def write(received: Event) -> None:
        shop.note("first")

    @on(shop, "invoice.paid")
    def fail_twice(received: Event) -> None:
        shop.note("second")
        outcome = next(outcomes)

        if outcome is not None:
            raise outcome

    sent = paid()
    failed(shop.post_event(sent))
    failed(shop.post_event(sent))
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert shop.notes == ["first", "second"]
    [row] = shop.events
    assert (row.attempts, row.error) == (3, None)
    assert row.processed_at is not None


def test_failed_event_does_not_stop_later_ones(shop: Any) -> None:
    @on(shop, "customer.subscription.created")
    def fail(received: Event) -> None:
        raise ValueError("no")

    created = event("created")
    failed(shop.post_event(created))
    ok(shop.post_event(event("updated", 60, status="past_due")))
    failed(shop.post_event(created))
    assert shop.columns()["subscription_status"] == "past_due"


def test_worker_that_dies_in_a_handler_leaves_the_event(shop: Any) -> None:
    dies = [True, False]

    @on(shop, "invoice.paid")
    def die(received: Event) -> None:
        shop.note("x")

        if dies.pop(0):
            raise SystemExit

    sent = paid()

    with pytest.raises(SystemExit):
        shop.post_event(sent)

    assert shop.notes == []
    assert shop.events[0].processed_at is None
    ok(shop.post_event(sent))
    assert shop.notes == ["x"]


# -- flask stripe replay ---------------------------------------------------------------


def test_replay_runs_the_handlers_of_a_processed_event_again(queued_shop: Any) -> None:
    queued_shop.post_event(created())
    process(queued_shop, "evt_1")
    result = run(queued_shop, "replay", "evt_1")

    assert result.exit_code == 0
    assert result.output == "evt_1  processed\n"
    assert queued_shop.notes == ["evt_1 of ada@example.com"] * 2


def test_replay_of_the_failed_leaves_the_others(queued_shop: Any) -> None:
    broken = [True]

    @on(queued_shop, CREATED)
    def fail(event: Any) -> None:
        if broken:
            raise LookupError("no template")

    for event_id in ("evt_1", "evt_2"):
        queued_shop.post_event(created(event_id))

    with pytest.raises(LookupError):
        process(queued_shop, "evt_1")

    failing = run(queued_shop, "replay", "--failed")
    assert failing.exit_code == 1
    assert "evt_1  failed: LookupError: no template" in failing.output
    assert "1 of 1 failed" in failing.output

    broken.clear()
    assert run(queued_shop, "replay", "--failed").output == "evt_1  processed\n"
    assert queued_shop.notes == ["evt_1 of ada@example.com"]
    assert {event.id: event.attempts for event in queued_shop.events} == {
        "evt_1": 3,
        "evt_2": 0,
    }


def test_replay_of_the_pending_runs_what_was_never_enqueued(queued_shop: Any) -> None:
    """The process ended between storing an event and enqueuing it."""

    class Killed(BaseException):
        """What a process that is killed does not come back from."""

    def crash(event_id: str) -> None:
        raise Killed

    queued_shop.app.extensions["kavach_stripe"].enqueue = crash

    with pytest.raises(Killed):
        queued_shop.post_event(created())

    assert run(queued_shop, "replay", "--pending").output == "evt_1  processed\n"
    assert run(queued_shop, "replay", "--pending").output == ""
    assert queued_shop.notes == ["evt_1 of ada@example.com"]


def test_replay_of_an_unknown_event_fails(queued_shop: Any) -> None:
    queued_shop.post_event(created())
    result = run(queued_shop, "replay", "evt_9", "evt_1")

    assert result.exit_code == 1
    assert "evt_9  failed: Event 'evt_9' is not in the ledger." in result.output
    assert "evt_1  processed" in result.output


def test_replay_of_nothing_is_a_usage_error(queued_shop: Any) -> None:
    result = run(queued_shop, "replay")

    assert result.exit_code == 2
    assert "--failed" in result.output


def test_replay_waits_for_no_transaction_of_its_own(tmp_path: Path) -> None:
    """With a real BEGIN before each read, as SQLAlchemy's documentation has it."""
    options = {"connect_args": {"timeout": 0.1, "isolation_level": None}}
    shop = Shop(f"sqlite:///{tmp_path}/shop.db", SQLALCHEMY_ENGINE_OPTIONS=options)
    attempts: list[object] = []

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with shop.app.app_context():
        listen(shop.db.engine, "begin", begin)

    @on(shop, "invoice.paid")
    def note(event: object) -> None:
        attempts.append(event)

        if len(attempts) == 1:
            raise RuntimeError("The first attempt fails.")

        shop.note("paid")

    assert (
        shop.post_event(make_event("invoice.paid", make_invoice())).status_code == 500
    )
    command = ["stripe", "replay", "--failed"]
    assert shop.app.test_cli_runner().invoke(args=command).exit_code == 0
    assert shop.notes == ["paid"]
    shop.close()
