"""``flask stripe sync`` brings the tables to what Stripe lists (docs/cli.rst)."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextvars import Context
from datetime import datetime
from datetime import UTC
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest
import responses

from flask_kavach_stripe.catalogue import Catalogue
from flask_kavach_stripe.customer_state import SubscriptionColumns
from flask_kavach_stripe.database.payers import COLUMN_NAMES
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.stripe_api.objects import read_subscription
from flask_kavach_stripe.stripe_api.objects import SubscriptionState
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing.sandbox import connect
from tests.operations.lossy_stripe import LossyStripe
from tests.vocabulary import dated
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import no_such_customer
from tests.vocabulary import run
from tests.vocabulary import run_well
from tests.vocabulary import SUBSCRIPTIONS

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
NOON_SECONDS = int(NOON.timestamp())


def sync(shop: Any, *args: str) -> list[str]:
    """A run that succeeds: the lines about users."""
    lines = run_well(shop, "sync", *args).splitlines()
    return [line for line in lines if line.startswith("user ")]


class Account(LossyStripe):
    """With subscriptions of which only Stripe knows."""

    def add_payer(self, **columns: Any) -> tuple[int, str, str]:
        """A user who has subscribed, of which only Stripe knows; with both ids."""
        card = "pm_card_visa"
        customer = self.call(
            "post",
            "/v1/customers",
            {
                "payment_method": card,
                "invoice_settings": {"default_payment_method": card},
            },
        )
        user_id = self.shop.add_user(stripe_customer_id=customer["id"], **columns)
        return user_id, customer["id"], self.subscribe(customer["id"])

    def subscribe(self, customer_id: str) -> str:
        params = {"customer": customer_id, "items": [{"price": "price_pro"}]}
        return str(self.call("post", "/v1/subscriptions", params)["id"])


@pytest.fixture
def shop(make_shop: Any) -> Any:
    return make_shop()


@pytest.fixture
def account(shop: Any) -> Iterator[Account]:
    with connect(shop.app, Sandbox(clock=Clock(NOON))) as sandbox:
        yield Account(shop, sandbox)


def change(shop: Any, model: Any, **values: Any) -> None:
    """Edit a table by hand."""
    with shop.app.app_context():
        shop.db.session.execute(shop.db.update(model).values(**values))
        shop.db.session.commit()


def subscription_model(shop: Any) -> Any:
    return shop.app.extensions["kavach_stripe"].subscription_model


# -- what Stripe lists -----------------------------------------------------------------


def test_sync_stores_what_no_webhook_brought(shop: Any, account: Account) -> None:
    user_id, customer_id, subscription_id = account.add_payer()
    account.requests.clear()

    result = run(shop, "sync")

    assert result.exit_code == 0
    assert result.stdout == (
        f"user {user_id} ({customer_id}):"
        f" stripe_subscription_id None -> {subscription_id},"
        " stripe_subscription_status None -> active,"
        " stripe_price_id None -> price_pro,"
        " stripe_current_period_end None -> 2026-02-15T12:00:00+00:00\n"
        "1 subscription read in 1 request, 1 user changed\n"
    )
    assert shop.columns(user_id)["subscription_status"] == "active"
    assert account.requests == ["GET /v1/subscriptions"]


def test_second_sync_changes_nothing(shop: Any, account: Account) -> None:
    for _ in range(3):
        account.add_payer()

    sync(shop)
    rows = [vars(row) for row in shop.subscriptions]

    with shop.statements() as statements:
        result = run(shop, "sync")

    assert result.stdout == "3 subscriptions read in 1 request, 0 users changed\n"
    assert not [each for each in statements if not each.startswith("SELECT")]
    assert [row.revision for row in shop.subscriptions] == [
        row["revision"] for row in rows
    ]


def test_sync_stores_an_end_that_no_webhook_brought(
    shop: Any, account: Account
) -> None:
    user_id, _, subscription_id = account.add_payer()
    sync(shop)
    account.sandbox.advance(hours=1)
    account.call("delete", f"/v1/subscriptions/{subscription_id}")
    (line,) = sync(shop)

    assert "stripe_subscription_status active -> canceled" in line
    assert shop.columns(user_id)["subscription_id"] is None


def test_sync_within_the_second_of_the_row_asks_again(
    shop: Any, account: Account
) -> None:
    """The row's time is that of the list: neither is the newer one."""
    user_id, _, subscription_id = account.add_payer()
    sync(shop)
    account.call(
        "post", f"/v1/subscriptions/{subscription_id}", {"cancel_at_period_end": True}
    )
    account.requests.clear()
    sync(shop)

    assert shop.columns(user_id)["cancel_at_period_end"] is True
    assert account.requests == ["GET /v1/subscriptions"] * 2


def test_sync_repairs_columns_that_were_edited(shop: Any, account: Account) -> None:
    user_id, *_ = account.add_payer()
    sync(shop)
    before = shop.columns(user_id)
    change(
        shop,
        shop.User,
        stripe_subscription_status="past_due",
        stripe_cancel_at_period_end=True,
    )
    (line,) = sync(shop)

    assert line.endswith(
        ": stripe_subscription_status past_due -> active,"
        " stripe_cancel_at_period_end True -> False"
    )
    assert shop.columns(user_id) == before


def test_sync_repairs_rows_that_were_edited(shop: Any, account: Account) -> None:
    _, _, subscription_id = account.add_payer()
    sync(shop)
    [row] = shop.subscriptions
    change(shop, subscription_model(shop), items="[]")
    account.sandbox.advance(hours=1)
    (line,) = sync(shop)

    assert line.endswith(f": {subscription_id}")
    assert [repaired.items for repaired in shop.subscriptions] == [row.items]
    assert [item["quantity"] for item in json.loads(row.items)] == [1]


def test_sync_adopts_payers_from_before_there_were_rows(
    shop: Any, account: Account
) -> None:
    user_id, _, subscription_id = account.add_payer(
        stripe_subscription_status="active", stripe_price_id="price_pro"
    )
    change(shop, shop.User, stripe_subscription_id=subscription_id)
    sync(shop)

    (row,) = shop.subscriptions
    assert (row.id, row.created) == (subscription_id, NOON)
    assert shop.columns(user_id)["subscription_status"] == "active"


def test_sync_ignores_customers_that_nobody_has(shop: Any, account: Account) -> None:
    account.add_payer()
    change(shop, shop.User, stripe_customer_id=None)

    assert sync(shop) == []
    assert shop.subscriptions == []


def test_sync_with_two_subscriptions_of_one_customer(
    shop: Any, account: Account
) -> None:
    user_id, customer_id, first = account.add_payer()
    second = account.subscribe(customer_id)
    account.call("delete", f"/v1/subscriptions/{second}")

    assert len(sync(shop)) == 1
    assert shop.columns(user_id)["subscription_id"] == first
    assert {row.id: row.status for row in shop.subscriptions} == {
        first: "active",
        second: "canceled",
    }


# -- what Stripe does not list ---------------------------------------------------------


def add_row(shop: Any, **values: Any) -> None:
    with shop.app.app_context():
        row = {"status": "active", "created": NOON, "revision": 1, **values}
        shop.db.session.add(subscription_model(shop)(**row))
        shop.db.session.commit()


@pytest.mark.parametrize("created", [NOON, None])
def test_sync_keeps_and_reports_a_row_that_stripe_does_not_know(
    created: datetime | None, shop: Any, account: Account
) -> None:
    account.add_payer()
    user_id, customer_id, subscription_id = account.add_payer()
    sync(shop)
    add_row(shop, id="sub_gone", customer_id=customer_id, created=created)
    account.requests.clear()
    lines = sync(shop)

    assert lines[-1] == (
        f"user {user_id} ({customer_id}): Stripe does not know sub_gone under the"
        " present key. It is kept as it is."
    )
    assert {row.status for row in shop.subscriptions} == {"active"}
    assert shop.columns(user_id)["subscription_id"] == subscription_id
    assert account.requests == [
        "GET /v1/subscriptions",
        "GET /v1/subscriptions",
        "GET /v1/subscriptions/sub_gone",
    ]
    assert len(sync(shop)) == 1


def test_sync_keeps_what_only_the_columns_know(shop: Any, account: Account) -> None:
    account.add_payer()
    customer = account.call("post", "/v1/customers")
    user_id = shop.add_user(
        stripe_customer_id=customer["id"],
        stripe_subscription_id="sub_gone",
        stripe_subscription_status="active",
    )
    sync(shop)

    assert shop.columns(user_id)["subscription_id"] == "sub_gone"
    assert shop.columns(user_id)["subscription_status"] == "active"


def test_sync_repairs_columns_whose_rows_have_ended(
    shop: Any, account: Account
) -> None:
    account.add_payer()
    customer = account.call("post", "/v1/customers")
    user_id = shop.add_user(
        stripe_customer_id=customer["id"], stripe_subscription_status="active"
    )
    add_row(shop, id="sub_gone", customer_id=customer["id"], status="canceled")
    sync(shop)

    assert shop.columns(user_id)["subscription_status"] == "canceled"


def test_sync_asks_for_a_row_without_user_nowhere(shop: Any, account: Account) -> None:
    account.add_payer()
    add_row(shop, id="sub_of_nobody", customer_id="cus_of_nobody")
    account.requests.clear()
    sync(shop)

    assert len(account.requests) == 1


def test_sync_with_a_key_of_another_account_ends_nothing(
    shop: Any, account: Account
) -> None:
    user_id = shop.add_user(
        stripe_customer_id="cus_real",
        stripe_subscription_id="sub_real",
        stripe_subscription_status="active",
    )
    result = run(shop, "sync")

    assert result.exit_code == 1
    assert "Is 'STRIPE_SECRET_KEY' a key of this app's account?" in result.stderr
    assert shop.columns(user_id)["subscription_status"] == "active"


# -- one user, and dry runs ------------------------------------------------------------


def test_sync_of_one_user(shop: Any, account: Account) -> None:
    first, *_ = account.add_payer()
    second, customer_id, _ = account.add_payer()
    (line,) = sync(shop, "--user", str(second))

    assert line.startswith(f"user {second} ({customer_id}): ")
    assert shop.columns(first)["subscription_status"] is None
    assert shop.columns(second)["subscription_status"] == "active"


def test_sync_of_a_user_without_customer(shop: Any, account: Account) -> None:
    user_id = shop.add_user()

    assert sync(shop, "--user", str(user_id)) == []


@pytest.mark.parametrize("user_id", ["99", "ada", ""])
def test_sync_of_nobody(user_id: str, shop: Any) -> None:
    result = run(shop, "sync", "--user", user_id)

    assert result.exit_code == 1
    assert result.stderr == "Error: There is no such user.\n"


def make_trouble(shop: Any, account: Account) -> None:
    """Each kind of difference at once."""
    account.add_payer()
    ended = account.add_payer()
    deleted = account.add_payer()
    without_row = account.add_payer()
    sync(shop)
    account.add_payer()
    account.call("delete", f"/v1/subscriptions/{ended[2]}")
    account.call("delete", f"/v1/customers/{deleted[1]}")
    add_row(shop, id="sub_gone", customer_id=ended[1])
    add_row(shop, id="sub_undated", customer_id=without_row[1], created=None)

    with shop.app.app_context():
        model = subscription_model(shop)
        shop.db.session.delete(shop.db.session.get(model, without_row[2]))
        shop.db.session.commit()


@pytest.mark.parametrize("hours", [0, 1])
def test_dry_run_says_what_a_run_does(hours: int, shop: Any, account: Account) -> None:
    make_trouble(shop, account)
    account.sandbox.advance(hours=hours)

    with shop.statements() as statements:
        foreseen = run(shop, "sync", "--dry-run")

    assert not [each for each in statements if not each.startswith("SELECT")]
    done = run(shop, "sync")
    assert foreseen.exit_code == done.exit_code == 0
    assert foreseen.stdout == done.stdout.replace("changed", "would change")
    assert "4 users changed" in done.stdout
    assert len(sync(shop)) == 2  # the rows that Stripe does not know


def test_dry_run_of_one_user(shop: Any, account: Account) -> None:
    user_id, *_ = account.add_payer()
    (foreseen,) = sync(shop, "--user", str(user_id), "--dry-run")

    assert shop.columns(user_id)["subscription_status"] is None
    assert sync(shop, "--user", str(user_id)) == [foreseen]


# -- the app's handlers ----------------------------------------------------------------


def test_handlers_are_told_once(shop: Any, account: Account) -> None:
    def remember(user: Any, subscription: Any) -> None:
        shop.note(f"{user.id} {subscription.status}")

    shop.kavach_stripe.on_subscription_change(remember)
    user_id, *_ = account.add_payer()
    sync(shop)
    sync(shop)

    assert shop.notes == [f"{user_id} active"]
    assert shop.events == []


def test_sync_goes_on_after_a_handler_that_raises(shop: Any, account: Account) -> None:
    first, customer_id, _ = account.add_payer()
    second, *_ = account.add_payer()

    def remember(user: Any, subscription: Any) -> None:
        if user.id == first:
            raise ValueError("secret of a customer")

        shop.note(f"{user.id} {subscription.status}")

    shop.kavach_stripe.on_subscription_change(remember)
    result = run(shop, "sync")

    assert result.exit_code == 1
    assert f"user {first} ({customer_id}) failed: A handler raised" in result.stderr
    assert result.stderr.endswith("Error: 1 user failed.\n")
    assert shop.notes == [f"{second} active"]
    assert shop.columns(first)["subscription_status"] == "active"
    assert [entry.processed_at for entry in shop.events] == [None]  # for a replay


# -- lists made for the case -----------------------------------------------------------


class Lists:
    """Stripe's list of subscriptions, page by page, newest first."""

    def __init__(self, mock: responses.RequestsMock, count: int) -> None:
        self.subscriptions = [
            make_subscription(
                id=f"sub_{number}",
                customer=f"cus_{number}",
                created=int(NOON.timestamp()) - number // 3,
            )
            for number in range(count)
        ]
        #: A customer who is not to be asked for.
        self.refused: str | None = None
        self.refusal = 500
        self.refusal_body: Any = {"error": {"message": "Oh no"}}
        #: Called before each answer.
        self.before: Callable[[], object] = lambda: None
        self.time = NOON
        self.asked: list[str] = []
        mock.add_callback(responses.GET, SUBSCRIPTIONS, self._answer)

    def _answer(self, sent: Any) -> tuple[int, dict[str, str], str]:
        query = parse_qs(urlsplit(sent.url).query)
        self.asked.append(urlsplit(sent.url).query)
        found = self.subscriptions

        if query.get("customer") == [self.refused]:
            return self.refusal, {}, json.dumps(self.refusal_body)

        if customer := query.get("customer"):
            found = [each for each in found if each["customer"] == customer[0]]

        ids = [each["id"] for each in found]
        cursor = query.get("starting_after")
        start = ids.index(cursor[0]) + 1 if cursor else 0
        end = start + int(query["limit"][0])
        body = json.dumps(
            {"object": "list", "data": found[start:end], "has_more": end < len(found)}
        )
        self.before()
        return 200, {"Date": format_datetime(self.time, usegmt=True)}, body


def columns_of(state: SubscriptionState | None) -> dict[str, Any]:
    if state is None:
        return {}

    return dict(
        zip(COLUMN_NAMES[1:], SubscriptionColumns.of(state, Catalogue()), strict=True)
    )


def row_of(state: SubscriptionState) -> dict[str, Any]:
    """The columns of a row, which holds the items as JSON."""
    items = [
        {"id": item.id, "price": item.price_id, "quantity": item.quantity}
        for item in state.items
    ]
    return {**state._asdict(), "items": json.dumps(items)}


def fill(shop: Any, count: int, subscriptions: Sequence[Any] = ()) -> None:
    """Add users, and what they have."""
    states = {
        state.customer_id: state
        for state in map(read_subscription, subscriptions)
        if state is not None
    }

    with shop.app.app_context():
        users = [
            shop.User(
                id=number + 1,
                stripe_customer_id=f"cus_{number}",
                **columns_of(states.get(f"cus_{number}")),
            )
            for number in range(count)
        ]
        model = subscription_model(shop)
        shop.db.session.add_all(
            model(**row_of(state), synced_at=NOON) for state in states.values()
        )
        shop.db.session.add_all(users)
        shop.db.session.commit()


def test_sync_takes_one_request_for_100_subscriptions(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """And four queries; each change adds some of its own."""
    lists = Lists(stripe_api, 1000)
    fill(shop, 1000, lists.subscriptions)

    with shop.statements() as statements:
        result = run(shop, "sync")

    assert result.stdout == "1,000 subscriptions read in 10 requests, 0 users changed\n"
    assert len(lists.asked) == 10
    selects = [each for each in statements if each.startswith("SELECT")]
    assert len(selects) == 2 * 10 + 2 + 2 * 2 + 2  # pages, our rows, our users
    assert lists.asked[0] == "status=all&limit=100"


@pytest.mark.parametrize(
    ("seconds", "requests", "status"),
    [
        pytest.param(60, 1, "past_due", id="newer than the list"),
        pytest.param(0, 2, "active", id="in the second of the list"),
        pytest.param(-60, 1, "active", id="older than the list"),
    ],
)
def test_webhook_between_the_list_and_the_database(
    seconds: int,
    requests: int,
    status: str,
    shop: Any,
    stripe_api: responses.RequestsMock,
) -> None:
    """Only what is newer than the list stays; what may be is asked for again."""
    fill(shop, 1)
    lists = Lists(stripe_api, 1)
    event = make_event(
        "customer.subscription.updated",
        make_subscription(id="sub_0", customer="cus_0", status="past_due"),
        created=int(NOON.timestamp()) + seconds,
        previous_attributes={"status": "active"},
    )

    def deliver() -> None:
        lists.before = lambda: None
        assert Context().run(shop.post_event, event).status_code == 200

    lists.before = deliver
    sync(shop)

    assert shop.columns()["subscription_status"] == status
    assert len(lists.asked) == requests


def test_sync_without_a_date_header_asks_for_each_change(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """A proxy may drop it: then nothing tells what is newer."""
    fill(shop, 2)
    subscription = make_subscription(id="sub_0", customer="cus_0")
    stripe_api.get(
        SUBSCRIPTIONS,
        json={"object": "list", "data": [subscription], "has_more": False},
    )
    sync(shop)

    assert len(stripe_api.calls) == 2
    assert shop.columns()["subscription_status"] == "active"


def test_sync_goes_on_after_a_customer_whom_stripe_refuses(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    fill(shop, 2)
    lists = Lists(stripe_api, 1)
    lists.refused = "cus_0"

    for number in (0, 1):
        add_row(shop, id=f"sub_gone{number}", customer_id=f"cus_{number}")

    found = make_subscription(id="sub_gone1", customer="cus_1", status="past_due")
    stripe_api.get(f"{SUBSCRIPTIONS}/sub_gone1", json=found)
    result = run(shop, "sync")

    assert result.exit_code == 1
    assert "user 1 (cus_0) failed: Stripe answered with an error: Oh no" in (
        result.stderr
    )
    assert "user 2 (cus_1): stripe_subscription_id None -> sub_gone1" in result.stdout


def test_sync_reads_by_its_id_a_row_that_stripe_does_not_list(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    lists = Lists(stripe_api, 2)
    fill(shop, 2, lists.subscriptions)
    missing = lists.subscriptions.pop()
    ended = {**missing, "status": "canceled"}
    stripe_api.get(f"{SUBSCRIPTIONS}/sub_1", json=ended, headers=dated(NOON_SECONDS))
    (line,) = sync(shop)

    assert "stripe_subscription_status active -> canceled" in line
    assert shop.columns(2)["subscription_id"] is None


def test_sync_unlinks_a_deleted_customer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    lists = Lists(stripe_api, 2)
    fill(shop, 2, lists.subscriptions)
    del lists.subscriptions[1]
    lists.refused, lists.refusal = "cus_1", 404
    lists.refusal_body = no_such_customer()
    expect_deleted_customer(stripe_api, "cus_1")
    foreseen = sync(shop, "--dry-run")
    lines = sync(shop)

    assert foreseen == lines
    assert "stripe_customer_id cus_1 -> None" in lines[-1]
    assert shop.columns(2)["customer_id"] is None
    assert shop.columns(2)["subscription_status"] == "canceled"


def test_sync_stops_at_the_rate_limit(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    fill(shop, 2)
    lists = Lists(stripe_api, 1)
    lists.refused, lists.refusal = "cus_0", 429

    for number in (0, 1):
        add_row(shop, id=f"sub_gone{number}", customer_id=f"cus_{number}")

    result = run(shop, "sync")

    assert result.exit_code == 1
    assert "Stripe answered with an error: Oh no" in result.stderr
    assert len(lists.asked) == 2


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        pytest.param(401, "Copy it again from Stripe's Dashboard.", id="key refused"),
        pytest.param(403, "Give it the permission", id="restricted key"),
        pytest.param(429, "Stripe answered with an error", id="rate limit"),
    ],
)
def test_sync_that_stripe_refuses(
    status: int, advice: str, shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        SUBSCRIPTIONS,
        json={"error": {"message": "No: sk_test_***ests"}},
        status=status,
    )
    result = run(shop, "sync")

    assert result.exit_code == 1
    assert advice in result.stderr
    assert "Traceback" not in result.output


def test_sync_without_a_key(make_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    result = run(make_shop(STRIPE_SECRET_KEY=None), "sync")

    assert result.exit_code == 1
    assert "Error: 'STRIPE_SECRET_KEY' is not set." in result.stderr
