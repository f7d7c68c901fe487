"""A subscriber stays one while Stripe or the database cannot say who it is.

Another account's key, a restored backup: what was paid for is neither taken away nor
sold again.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from flask_kavach_stripe import UnknownCustomerError
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.conftest import Shop
from tests.vocabulary import assert_error
from tests.vocabulary import CHECKOUT
from tests.vocabulary import PORTAL
from tests.vocabulary import run

pytestmark = pytest.mark.databases("sqlite*", "postgresql", "mariadb")


@pytest.fixture
def sandbox(shop: Shop) -> Sandbox:
    """Ben has bought; his primary key is 2."""
    shop.add_user(id=2, email="ben@example.com")
    account = Sandbox()

    with connect(shop.app, account):
        bought = buy(shop)
        account.pay(bought.json["sessionId"])
        assert shop.columns(2)["subscription_status"] == "active"

    return account


def buy(shop: Shop) -> Any:
    return shop.browser(2).post(CHECKOUT, json={"priceId": "price_pro"})


def stored(shop: Shop) -> Any:
    return shop.columns(2), [vars(row) for row in shop.subscriptions]


def values(shop: Shop) -> Any:
    """What is stored, but for SQLAlchemy's own state."""
    columns, rows = stored(shop)
    return columns, [{k: v for k, v in row.items() if k[0] != "_"} for row in rows]


def sync_helper(shop: Shop) -> Any:
    with shop.app.app_context():
        return shop.kavach_stripe.sync_subscription(2)


def test_subscriber_loses_nothing_by_another_accounts_key(
    shop: Shop, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    before = values(shop)

    with connect(shop.app, Sandbox(seed=1)):
        answers = [
            buy(shop),
            shop.browser(2).post(PORTAL, json={"returnUrl": "/"}),
        ]

        with pytest.raises(UnknownCustomerError):
            sync_helper(shop)

        one, everyone = run(shop, "sync", "--user", "2"), run(shop, "sync")

    for answer in answers:
        assert_error(answer, 409, "unknown_customer", "under the present key.")

    assert "flask stripe forget" in caplog.text
    assert (one.exit_code, everyone.exit_code) == (1, 1)
    assert "flask stripe forget" in one.stderr
    assert values(shop) == before

    with connect(shop.app, sandbox):
        assert shop.browser(2).post(PORTAL, json={"returnUrl": "/"}).status_code == 200
        assert sync_helper(shop).status == "active"
        assert_error(buy(shop), 409, "already_subscribed")

    assert values(shop)[0] == before[0]


def forget_customer(shop: Shop, *, columns_too: bool = False) -> str:
    """As after a restored backup: Ben has no customer any more."""
    customer_id = shop.columns(2)["customer_id"]
    lost: dict[str, Any] = {"stripe_customer_id": None}

    if columns_too:
        lost |= {"stripe_subscription_id": None, "stripe_subscription_status": None}

    with shop.app.app_context():
        statement = shop.db.update(shop.User).where(shop.User.id == 2).values(lost)
        shop.db.session.execute(statement)

        if columns_too:
            model = shop.app.extensions["kavach_stripe"].subscription_model
            shop.db.session.execute(shop.db.delete(model))

        shop.db.session.commit()

    return str(customer_id)


@pytest.mark.parametrize("columns_too", [False, True])
def test_subscriber_without_a_link_is_linked_again_and_sold_nothing(
    shop: Shop, sandbox: Sandbox, columns_too: bool
) -> None:
    before = shop.columns(2)
    customer_id = forget_customer(shop, columns_too=columns_too)

    with connect(shop.app, sandbox):
        assert_error(buy(shop), 409, "already_subscribed")

    assert shop.columns(2) == before
    assert before["customer_id"] == customer_id


def test_create_customer_finds_the_old_one(shop: Shop, sandbox: Sandbox) -> None:
    before = shop.columns(2)
    forget_customer(shop, columns_too=True)

    with connect(shop.app, sandbox), shop.app.app_context():
        found = shop.kavach_stripe.create_customer(2)

    assert found == before["customer_id"]
    assert shop.columns(2) == before


@pytest.mark.parametrize("args", [[], ["--user", "2"]], ids=["all", "one user"])
@pytest.mark.parametrize(
    ("answer", "is_linked"), [("y\n", True), ("n\n", False), ("", False)]
)
def test_sync_shows_both_addresses_and_asks(
    shop: Shop, sandbox: Sandbox, answer: str, is_linked: bool, args: list[str]
) -> None:
    before = shop.columns(2)
    customer_id = forget_customer(shop, columns_too=True)

    with connect(shop.app, sandbox):
        result = shop.app.test_cli_runner().invoke(
            args=["stripe", "sync", *args], input=answer
        )

    assert result.exit_code == 0, result.output
    assert result.stdout.count("ben@example.com") == 2
    assert "1 x 900 usd/month" in result.stdout
    assert (shop.columns(2) == before) is is_linked

    if not args:
        assert (f"nobody has {customer_id}" in result.stdout) is not is_linked


def test_lost_link_is_said_everywhere(
    shop: Shop, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The doors that link nobody say what they saw, and to nobody that it is his."""
    session_id = next(
        event["data"]["object"]["id"]
        for event in sandbox.events
        if event["type"] == "checkout.session.completed"
    )
    customer_id = forget_customer(shop, columns_too=True)
    state = shop.app.extensions["kavach_stripe"]

    with shop.app.app_context():
        shop.db.session.execute(shop.db.delete(state.event_model))
        shop.db.session.commit()

    with connect(shop.app, sandbox), shop.app.app_context():
        assert shop.kavach_stripe.complete_checkout(session_id, 2) is None
        run(shop, "catch-up")
        foreseen = run(shop, "sync", "--dry-run")
        found = run(shop, "doctor")

    warned = [
        record.message
        for record in caplog.records
        if record.levelno == logging.WARNING and customer_id in record.message
    ]
    assert any("Checkout session was made for user 2" in text for text in warned)
    assert any("created for user 2" in text for text in warned)
    assert f"nobody has {customer_id}" in foreseen.stdout
    assert "1 running at Stripe belong to nobody here" in found.output
    assert shop.columns(2)["customer_id"] is None


def test_catch_up_names_a_subscriber_who_lost_the_link(
    shop: Shop, sandbox: Sandbox
) -> None:
    """The ledger knows all events, so none of them is missed."""
    with connect(shop.app, sandbox):
        assert "has this customer no more" not in run(shop, "catch-up").output
        customer_id = forget_customer(shop)
        result = run(shop, "catch-up")

    assert f"of {customer_id} is running, and the user 2" in result.stderr
    assert "'flask stripe sync' links the two again" in result.stderr
    assert shop.columns(2)["customer_id"] is None


def test_deleted_user_who_is_still_charged_is_listed(
    shop: Shop, sandbox: Sandbox
) -> None:
    """Deleted past the session, by a statement of its own."""
    with shop.app.app_context():
        shop.db.session.execute(shop.db.delete(shop.User).where(shop.User.id == 2))
        shop.db.session.commit()

    with connect(shop.app, sandbox):
        result = run(shop, "sync")

    assert result.exit_code == 0
    assert "orphan: sub_" in result.stdout
    assert "active, 1 x 900 usd/month; nobody has cus_" in result.stdout
    assert "made for user 2" in result.stdout


def test_user_who_pays_twice_is_listed(shop: Shop, sandbox: Sandbox) -> None:
    customer_id = shop.columns(2)["customer_id"]

    with connect(shop.app, sandbox), shop.app.app_context():
        second = shop.kavach_stripe.client.post(
            "/v1/subscriptions",
            {
                "customer": customer_id,
                "items": [{"price": "price_pro"}],
                "trial_period_days": 7,
            },
        )["id"]
        foreseen = run(shop, "sync", "--dry-run").stdout
        done = run(shop, "sync").stdout

    line = f"charged 2 times: user 2 ({customer_id}) has "
    assert line in foreseen
    assert line in done
    assert second in done


@pytest.mark.parametrize("name", ["forget", "link"])
def test_commands_on_each_database(shop: Shop, sandbox: Sandbox, name: str) -> None:
    """An account that was wiped, then the old one again."""
    before = values(shop)
    customer_id = str(shop.columns(2)["customer_id"])

    with connect(shop.app, Sandbox(seed=1)):
        result = run(shop, "forget", "--unknown", "--yes")

    assert result.stdout.splitlines() == [
        "user 1 (cus_ada)",
        f"user 2 ({customer_id})",
        "2 users cleared",
    ]
    assert set(shop.columns(2).values()) == {None, False}
    assert shop.subscriptions == []

    with connect(shop.app, sandbox):
        if name == "link":
            run(shop, "link", "2", customer_id)
        else:
            assert run(shop, "link", "--by-email", "--yes").exit_code == 0

    assert values(shop)[0] == before[0]
    assert len(shop.subscriptions) == 1
