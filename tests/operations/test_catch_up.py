"""``flask stripe catch-up`` processes the events that were missed (docs/cli.rst)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest
import responses

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.operations.lossy_stripe import LossyStripe
from tests.vocabulary import API
from tests.vocabulary import OUR_EVENTS
from tests.vocabulary import run
from tests.vocabulary import run_well


def catch_up(shop: Any, *args: str) -> list[str]:
    """A run that succeeds: the types of what was processed."""
    lines = run_well(shop, "catch-up", *args).splitlines()
    return [line.split()[3] for line in lines[:-1]]


class Account(LossyStripe):
    """With subscriptions of which only Stripe knows."""

    @property
    def asked(self) -> list[dict[str, str]]:
        """The queries for events."""
        return self.queries["/v1/events"]

    def subscribe(self, user_id: int) -> str:
        """Buy as a user, and give the id of the subscription."""
        with self.shop.app.app_context():
            checkout = self.shop.kavach_stripe.create_checkout_session(
                user_id, "price_pro"
            )

        return str(self.sandbox.pay(checkout.id)["subscription"])

    def cancel(self, subscription_id: str) -> None:
        self.call("delete", f"/v1/subscriptions/{subscription_id}")
        self.sandbox.deliver()


@pytest.fixture
def shop(make_shop: Any) -> Any:
    made = make_shop()
    made.add_user(email="ada@example.com")
    return made


@pytest.fixture
def account(shop: Any) -> Iterator[Account]:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)

    with connect(shop.app, Sandbox(clock=Clock(start))) as sandbox:
        yield Account(shop, sandbox)


def test_catch_up_processes_what_was_missed_in_order(
    shop: Any, account: Account
) -> None:
    subscription_id = account.subscribe(1)
    account.sandbox.advance(hours=1)
    account.cancel(subscription_id)
    assert shop.columns()["subscription_status"] is None

    result = run(shop, "catch-up")

    assert result.exit_code == 0
    *lines, summary = result.stdout.splitlines()
    events = {event["id"]: event for event in account.sandbox.events}
    assert [line.split("  ")[1:] for line in lines] == [
        [event["id"], event["type"], "user 1"]
        for event in account.sandbox.events
        if event["type"] in OUR_EVENTS
    ]
    first = events[lines[0].split("  ")[1]]
    time = datetime.fromtimestamp(first["created"], UTC)
    assert lines[0].startswith(f"{time:%Y-%m-%d %H:%M:%S}  ")
    assert summary == (
        "3 events read in 2 requests, 3 processed, 0 failed, 0 without effect here"
    )
    assert shop.columns()["subscription_status"] == "canceled"
    assert all(entry.processed_at for entry in shop.events)
    assert all(json.loads(row.payload) == events[row.id] for row in shop.events)


def test_second_catch_up_does_nothing(shop: Any, account: Account) -> None:
    account.subscribe(1)
    catch_up(shop)
    entries = [(entry.id, entry.processed_at) for entry in shop.events]

    result = run(shop, "catch-up")

    assert result.stdout == (
        "2 events read in 1 request, 0 processed, 0 failed, 0 without effect here\n"
    )
    assert [(entry.id, entry.processed_at) for entry in shop.events] == entries


def test_catch_up_leaves_alone_what_the_webhook_brought(
    shop: Any, account: Account
) -> None:
    subscription_id = account.subscribe(1)
    account.sandbox.faults.clear()
    account.call(
        "post", f"/v1/subscriptions/{subscription_id}", {"cancel_at_period_end": True}
    )
    account.sandbox.deliver()

    assert "customer.subscription.updated" not in catch_up(shop)
    assert shop.columns()["cancel_at_period_end"] is True


def test_catch_up_asks_for_what_is_handled_only(shop: Any, account: Account) -> None:
    shop.kavach_stripe.on("invoice.paid")(lambda event: shop.note(event.type))
    account.subscribe(1)

    assert catch_up(shop) != []
    assert shop.notes == ["invoice.paid"]
    asked = account.asked[0]
    types = [asked.pop(f"types[{index}]") for index in range(9)]
    assert types == sorted([*OUR_EVENTS, "invoice.paid"])
    since = datetime.fromtimestamp(int(asked.pop("created[gte]")), UTC)
    assert datetime.now(UTC) - since - timedelta(days=3) < timedelta(minutes=1)
    assert asked == {"limit": "100"}


@pytest.mark.parametrize(
    "event_types",
    [
        pytest.param(["invoice.*"], id="pattern"),
        pytest.param(
            ["invoice.paid", *(f"type.{n}" for n in range(20))], id="more than 20"
        ),
    ],
)
def test_catch_up_asks_for_all_where_stripe_cannot_choose(
    event_types: list[str], shop: Any, account: Account
) -> None:
    shop.kavach_stripe.on(*event_types)(lambda event: shop.note(event.type))
    account.subscribe(1)
    processed = catch_up(shop)

    assert "types[0]" not in account.asked[0]
    assert "invoice.paid" in processed
    assert "customer.created" not in processed
    assert all(note.startswith("invoice.") for note in shop.notes)


def test_catch_up_looks_back_as_far_as_told(shop: Any, account: Account) -> None:
    account.subscribe(1)

    assert catch_up(shop, "--since", "5h") == []
    assert catch_up(shop, "--since", "7h") != []


@pytest.mark.parametrize(
    ("since", "message"),
    [
        ("31d", "31d is too long. Stripe keeps events for 30 days: 30d."),
        ("721h", "721h is too long. Stripe keeps events for 30 days: 30d."),
        ("0s", "0s is too short."),
        ("3", "'3' is not a time such as 90s, 15m, 12h or 3d."),
        ("-3d", "'-3d' is not a time such as 90s, 15m, 12h or 3d."),
        ("3w", "'3w' is not a time such as 90s, 15m, 12h or 3d."),
        ("9999999999d", "'9999999999d' is not a time such as 90s, 15m, 12h or 3d."),
    ],
)
def test_catch_up_with_a_time_that_is_none(since: str, message: str, shop: Any) -> None:
    result = run(shop, "catch-up", f"--since={since}")

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_catch_up_looks_back_30_days_at_most(shop: Any, account: Account) -> None:
    assert catch_up(shop, "--since", "30d") == []


def test_catch_up_over_many_pages(shop: Any, account: Account) -> None:
    """Each page is read on the way back, and once more on the way forth."""
    subscription_id = account.subscribe(1)

    for number in range(250):
        account.sandbox.clock.advance(2)
        account.call(
            "post",
            f"/v1/subscriptions/{subscription_id}",
            {"metadata": {"number": number}},
        )

    processed = catch_up(shop)

    assert processed[2:] == ["customer.subscription.updated"] * 250
    assert len(account.asked) == 6
    assert len(shop.events) == 252


def test_catch_up_ignores_events_of_nobody(shop: Any, account: Account) -> None:
    account.call("post", "/v1/customers", {"payment_method": "pm_card_visa"})
    account.subscribe(1)
    customer_id = shop.columns()["customer_id"]

    with shop.app.app_context():
        shop.db.session.get(shop.User, 1).stripe_customer_id = None
        shop.db.session.commit()

    for _ in range(2):
        result = run(shop, "catch-up")
        assert result.exit_code == 0
        assert result.stdout.endswith("0 processed, 0 failed, 2 without effect here\n")

    assert customer_id
    assert shop.events == []


def test_catch_up_goes_on_after_a_handler_that_raises(
    shop: Any, account: Account
) -> None:
    def fail(event: Any) -> None:
        raise ValueError("secret of a customer")

    shop.kavach_stripe.on("checkout.session.completed")(fail)
    account.subscribe(1)
    result = run(shop, "catch-up")

    assert result.exit_code == 1
    assert "failed: A handler raised ValueError." in result.stderr
    assert result.stderr.endswith(
        "Error: Handlers raised. Run them again with 'flask stripe replay --failed'.\n"
    )
    assert shop.columns()["subscription_status"] == "active"
    failed = [entry.type for entry in shop.events if entry.processed_at is None]
    assert failed == ["checkout.session.completed"]

    again = run(shop, "catch-up")  # what failed is for a replay
    assert again.exit_code == 0
    assert "0 processed" in again.stdout


def test_catch_up_stops_where_stripe_does_not_answer(
    shop: Any, account: Account
) -> None:
    """Nothing is half done: the next run goes on."""
    account.subscribe(1)
    fault = account.sandbox.faults.add("server_error", "GET /v1/events", times=1)
    result = run(shop, "catch-up")

    assert fault.is_over
    assert result.exit_code == 1
    assert "Stripe answered with an error" in result.stderr
    assert len(catch_up(shop)) == 2


def test_catch_up_while_webhooks_arrive(shop: Any, account: Account) -> None:
    """Every handler's row is written once, whichever way the event comes first."""
    shop.kavach_stripe.on("*")(lambda event: shop.note(event.id))
    subscription_id = account.subscribe(1)

    for number in range(40):
        account.sandbox.clock.advance(1)
        account.call(
            "post",
            f"/v1/subscriptions/{subscription_id}",
            {"metadata": {"number": number}},
        )

    events = [json.loads(json.dumps(event)) for event in account.sandbox.events]
    statuses: list[int] = []
    ready = threading.Barrier(3)

    def deliver(part: list[Any]) -> None:
        ready.wait()
        statuses.extend(shop.post_event(event).status_code for event in part)

    threads = [
        threading.Thread(target=deliver, args=(part,))
        for part in (events, events[::-1])
    ]

    for thread in threads:
        thread.start()

    ready.wait()
    result = run(shop, "catch-up")

    for thread in threads:
        thread.join()

    assert result.exit_code == 0, result.output
    assert set(statuses) == {200}
    assert sorted(shop.notes) == sorted(event["id"] for event in events)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        pytest.param(401, "Copy it again from Stripe's Dashboard.", id="key refused"),
        pytest.param(403, "Give it the permission", id="restricted key"),
    ],
)
def test_catch_up_that_stripe_refuses(
    status: int, advice: str, shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/events", json={"error": {"message": "No"}}, status=status)
    result = run(shop, "catch-up")

    assert result.exit_code == 1
    assert advice in result.stderr


def test_catch_up_without_a_key(
    make_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    result = run(make_shop(STRIPE_SECRET_KEY=None), "catch-up")

    assert result.exit_code == 1
    assert "Error: 'STRIPE_SECRET_KEY' is not set." in result.stderr


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(
            500, "1 event could not be stored. Run the command again.", id="goes on"
        ),
        pytest.param(429, "Stripe answered with an error", id="ends"),
    ],
)
def test_event_that_could_not_be_stored(
    status: int, message: str, shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Two states in one second: Stripe has to be asked, and fails."""
    shop.add_user(stripe_customer_id="cus_1")
    events = {}

    for number, found in enumerate(["active", "past_due"]):
        subscription = {"id": "sub_1", "customer": "cus_1", "status": found}
        events[f"evt_{number}"] = {
            "id": f"evt_{number}",
            "object": "event",
            "created": 1_800_000_000,
            "livemode": False,
            "type": "customer.subscription.updated",
            "data": {"object": subscription, "previous_attributes": {"status": "x"}},
        }

    def answer(sent: Any) -> tuple[int, dict[str, str], str]:
        query = parse_qs(urlsplit(sent.url).query)
        listed = [events["evt_1"], events["evt_0"]]
        data = listed[:1] if "ending_before" in query else listed
        return 200, {}, json.dumps({"object": "list", "data": data, "has_more": False})

    stripe_api.add_callback(responses.GET, f"{API}/events", answer)
    stripe_api.get(
        f"{API}/subscriptions/sub_1",
        json={"error": {"message": "Oh no", "type": "api_error"}},
        status=status,
    )
    result = run(shop, "catch-up")

    assert result.exit_code == 1
    line = "evt_1  customer.subscription.updated  failed:"
    assert (line in result.stderr) == (status == 500)
    assert message in result.stderr
    assert [entry.id for entry in shop.events] == ["evt_0"]
