"""``flask stripe events`` lists and shows the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests.queueing import add_queue
from tests.queueing import CREATED
from tests.queueing import created
from tests.vocabulary import on
from tests.vocabulary import process
from tests.vocabulary import run


@pytest.fixture
def shop(make_shop: Any) -> Any:
    """An app with a queue."""
    shop = make_shop()
    add_queue(shop, [])
    return shop


@pytest.fixture
def ledger(shop: Any) -> Any:
    """A shop with one processed, one failed and one pending event."""

    @on(shop, "invoice.paid")
    def fail(event: Any) -> None:
        raise LookupError("no template")

    shop.post_event(created("evt_1"))
    process(shop, "evt_1")
    shop.post_event(
        make_event("invoice.paid", {"id": "in_1", "customer": "cus_ada"}, id="evt_2")
    )

    with pytest.raises(LookupError):
        process(shop, "evt_2")

    other = make_subscription(id="sub_2", customer="cus_bob")
    shop.post_event(make_event(CREATED, other, id="evt_3"))
    return shop


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), ["evt_3", "evt_2", "evt_1"]),
        (("--failed",), ["evt_2"]),
        (("--type", CREATED), ["evt_3", "evt_1"]),
        (("--user", "1"), ["evt_2", "evt_1"]),
        (("--user", "1", "--failed", "--type", "invoice.paid"), ["evt_2"]),
        (("--limit", "1"), ["evt_3"]),
    ],
)
def test_events_lists_the_ledger(
    ledger: Any, options: tuple[str, ...], ids: list[str]
) -> None:
    result = run(ledger, "events", *options)

    assert result.exit_code == 0
    assert [line.split()[-1] for line in result.output.splitlines()] == ids


def test_events_says_how_each_stands(ledger: Any) -> None:
    lines = run(ledger, "events").output.splitlines()

    assert [line.split()[2] for line in lines] == ["pending", "failed", "processed"]
    assert [line.split()[-2] for line in lines] == ["-", "1", "1"]


def test_events_of_nobody_prints_nothing(ledger: Any) -> None:
    result = run(ledger, "events", "--user", "2")

    assert result.exit_code == 0
    assert result.stdout == ""


def test_events_show_prints_the_error_and_the_payload(ledger: Any) -> None:
    output = run(ledger, "events", "show", "evt_2").output
    payload = json.loads(output[output.index("\n{") :])

    assert payload["data"]["object"]["id"] == "in_1"
    assert "LookupError: no template" in output
    assert "attempts      1\n" in output
    assert "customer_id   cus_ada\n" in output


def test_events_show_of_an_unknown_event_fails(ledger: Any) -> None:
    result = run(ledger, "events", "show", "evt_9")

    assert result.exit_code == 1
    assert "'evt_9' is not in the ledger" in result.output
