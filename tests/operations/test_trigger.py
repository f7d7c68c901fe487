"""``flask stripe trigger`` sends the app an event as Stripe would (docs/cli.rst)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import responses
from sqlalchemy import event

from flask_kavach_stripe.testing import make_subscription
from tests.vocabulary import API
from tests.vocabulary import items_of
from tests.vocabulary import OUR_EVENTS
from tests.vocabulary import run
from tests.vocabulary import store_subscription


@pytest.fixture
def seen(shop: Any) -> list[Any]:
    """The events that a handler of the app was given."""
    events: list[Any] = []

    def remember(given: Any) -> None:
        assert given.user is None or given.user.id == 1
        events.append(given)

    shop.kavach_stripe.on("*")(remember)
    return events


def give_subscription(shop: Any, **values: Any) -> None:
    """Have ada subscribe, as an event from Stripe would."""
    store_subscription(shop, "sub_real", **values)
    assert shop.columns()["subscription_id"] == "sub_real"


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("customer.subscription.created", "active"),
        ("customer.subscription.updated", "active"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.resumed", "active"),
        ("customer.subscription.deleted", "canceled"),
    ],
)
def test_trigger_gives_a_user_without_subscription_one(
    shop: Any, event_type: str, status: str
) -> None:
    result = run(shop, "trigger", event_type, "--user", "1")

    assert result.exit_code == 0
    assert "status 200" in result.output
    assert f"None -> {status}" in result.output
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("customer.subscription.updated", "active"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.resumed", "active"),
        ("invoice.payment_failed", "past_due"),
    ],
)
def test_trigger_is_about_the_subscription_that_the_user_has(
    shop: Any, seen: list[Any], event_type: str, status: str
) -> None:
    give_subscription(shop, status="trialing", price="price_pro", quantity=3)
    seen.clear()

    result = run(shop, "trigger", event_type, "--user", "1")

    columns = shop.columns()
    assert result.exit_code == 0
    assert f"stripe_subscription_status   trialing -> {status}" in result.output
    assert columns["subscription_id"] == "sub_real"
    assert columns["subscription_status"] == status
    assert columns["price_id"] == "price_pro"
    assert [items_of(row)[0].quantity for row in shop.subscriptions] == [3]
    assert [given.type for given in seen] == [event_type]


def test_trigger_ends_the_subscription_that_the_user_has(shop: Any) -> None:
    give_subscription(shop)

    result = run(shop, "trigger", "customer.subscription.deleted", "--user", "1")

    assert "stripe_subscription_id       sub_real -> None" in result.output
    assert shop.columns()["subscription_status"] == "canceled"
    assert shop.columns()["subscription_id"] is None


def test_trigger_renews_with_what_was_before(shop: Any, seen: list[Any]) -> None:
    give_subscription(shop, status="past_due")
    before = shop.columns()["current_period_end"]

    run(shop, "trigger", "customer.subscription.updated", "--user", "1")

    assert (shop.columns()["current_period_end"] - before).days == 30
    previous = seen[-1].previous_attributes
    assert previous["status"] == "past_due"
    item = previous["items"]["data"][0]
    assert item["current_period_end"] == int(before.timestamp())


def test_trigger_works_many_times_in_a_second(shop: Any) -> None:
    """No call to Stripe is needed to tell which event is the newer one."""
    for event_type, status in [
        ("customer.subscription.created", "active"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.resumed", "active"),
        ("invoice.payment_failed", "past_due"),
        ("customer.subscription.updated", "active"),
        ("invoice.payment_failed", "past_due"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.deleted", "canceled"),
        ("customer.subscription.created", "active"),
    ]:
        assert run(shop, "trigger", event_type, "--user", "1").exit_code == 0
        assert shop.columns()["subscription_status"] == status


def test_trigger_of_a_new_subscription_beside_another(shop: Any) -> None:
    give_subscription(shop, created=1_700_000_000)

    run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert len(shop.subscriptions) == 2
    assert shop.columns()["subscription_id"] != "sub_real"


def test_trigger_starts_from_columns_that_have_no_row(shop: Any) -> None:
    user_id = shop.add_user(
        stripe_customer_id="cus_eve",
        stripe_subscription_id="sub_moved",
        stripe_subscription_status="active",
        stripe_price_id="price_pro",
    )

    result = run(shop, "trigger", "invoice.payment_failed", "--user", str(user_id))

    assert "active -> past_due" in result.output
    assert shop.columns(user_id)["subscription_id"] == "sub_moved"


def test_trigger_of_a_deleted_customer(shop: Any) -> None:
    give_subscription(shop)

    result = run(shop, "trigger", "customer.deleted", "--user", "1")

    assert "stripe_customer_id           cus_ada -> None" in result.output
    assert shop.columns()["customer_id"] is None


def test_trigger_of_a_completed_session_reads_from_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    give_subscription(shop, status="incomplete", created=1_700_000_000)
    paid = make_subscription("sub_real", customer="cus_ada", created=1_700_000_000)
    stripe_api.get(f"{API}/subscriptions/sub_real", json=paid)

    result = run(shop, "trigger", "checkout.session.completed", "--user", "1")

    assert result.exit_code == 0
    assert "incomplete -> active" in result.output


def test_trigger_of_a_completed_session_that_stripe_does_not_know(
    shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    give_subscription(shop)
    stripe_api.get(
        f"{API}/subscriptions/sub_real",
        json={"error": {"message": "No such subscription"}},
        status=404,
    )

    result = run(shop, "trigger", "checkout.session.completed", "--user", "1")

    assert result.exit_code == 1
    assert "status 503" in result.output
    assert "The log says more." in result.output
    assert "No such subscription" in caplog.text


def test_trigger_of_a_completed_session_needs_a_subscription(shop: Any) -> None:
    result = run(shop, "trigger", "checkout.session.completed", "--user", "1")

    assert result.exit_code == 1
    assert "has no running subscription" in result.output


@pytest.mark.parametrize("event_type", OUR_EVENTS)
def test_trigger_about_nobody_runs_handlers_and_changes_nobody(
    shop: Any, seen: list[Any], event_type: str
) -> None:
    before = shop.columns()

    result = run(shop, "trigger", event_type)

    assert result.exit_code == 0
    assert "Handlers of this app for it: 1" in result.output
    assert "--user" in result.output
    assert [given.type for given in seen] == [event_type]
    assert [row.user_id for row in shop.events] == [None]
    assert seen[0].livemode is False
    assert shop.columns() == before
    assert shop.subscriptions == []


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("invoice.paid", "invoice"),
        ("invoice.payment_succeeded", "invoice"),
        ("checkout.session.expired", "checkout.session"),
        ("customer.created", "customer"),
        ("customer.updated", "customer"),
        ("customer.subscription.trial_will_end", "subscription"),
        ("customer.discount.created", "discount"),
        ("charge.refunded", "charge"),
        ("charge.dispute.created", "dispute"),
        ("payment_method.attached", "payment_method"),
        ("billing_portal.session.created", "billing_portal.session"),
    ],
)
def test_trigger_knows_a_sample_of_any_type(
    shop: Any, seen: list[Any], event_type: str, kind: str
) -> None:
    result = run(shop, "trigger", event_type, "--user", "1")

    assert result.exit_code == 0
    assert seen[0].object["object"] == kind
    assert [row.user_id for row in shop.events] == ["1"]
    assert "No column of user 1 changed." in result.output


def test_trigger_shows_the_columns_as_they_are_now(shop: Any) -> None:
    """Also where the app keeps its users in memory."""
    kept: list[Any] = []
    event.listen(shop.User, "load", lambda user, context: kept.append(user))

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert "None -> active" in result.output
    assert kept


def test_trigger_handles_the_event_in_a_context_of_its_own(shop: Any) -> None:
    """As a webhook from Stripe, which finds nothing in ``g`` or in the session."""
    ended: list[str] = []
    shop.app.teardown_appcontext(lambda error: ended.append("context"))

    run(shop, "trigger", "invoice.paid")

    assert ended == ["context", "context"]  # that of the event, that of the command


def test_trigger_reaches_an_app_that_knows_its_name(make_shop: Any) -> None:
    shop = make_shop(SERVER_NAME="shop.example", PREFERRED_URL_SCHEME="https")

    assert run(shop, "trigger", "invoice.paid").exit_code == 0


def test_trigger_says_where_the_app_sends_it(shop: Any) -> None:
    """Such as an app that redirects everything to https."""
    shop.app.before_request(lambda: ("moved", 301, {"Location": "https://x/"}))

    result = run(shop, "trigger", "invoice.paid")

    assert result.exit_code == 1
    assert "status 301" in result.output


def test_trigger_tells_about_a_handler_that_failed(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.kavach_stripe.on("invoice.paid")  # type: ignore[untyped-decorator]  # shop is Any
    def fail(given: Any) -> None:
        raise ValueError("the mail server is down")

    with caplog.at_level(logging.ERROR):
        result = run(shop, "trigger", "invoice.paid", "--user", "1")

    assert result.exit_code == 1
    assert "status 500" in result.output
    assert "A handler of this event failed." in result.output
    assert "the mail server is down" in caplog.text


def test_trigger_is_processed_once_as_from_stripe(shop: Any, seen: list[Any]) -> None:
    run(shop, "trigger", "invoice.paid", "--user", "1")

    (row,) = shop.events
    assert row.processed_at is not None
    assert (row.customer_id, row.user_id) == ("cus_ada", "1")


@pytest.mark.parametrize("user_id", ["99", "ada", "01", ""])
def test_trigger_for_an_unknown_user(shop: Any, user_id: str) -> None:
    result = run(shop, "trigger", "invoice.paid", "--user", user_id)

    assert result.exit_code == 1
    assert result.output == (
        f"Error: There is no user with the primary key {user_id!r}.\n"
    )


def test_trigger_for_a_user_without_customer(shop: Any) -> None:
    result = run(shop, "trigger", "customer.subscription.updated", "--user", "2")

    assert result.exit_code == 1
    assert "User '2' has no Stripe customer." in result.output


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "sk_org_1"])
def test_trigger_refuses_a_live_key(make_shop: Any, key: str) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=key)
    shop.add_user(stripe_customer_id="cus_ada")

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert result.exit_code == 1
    assert "live key" in result.output
    assert key not in result.output
    assert shop.subscriptions == []


@pytest.mark.usefixtures("bare_environment")
def test_trigger_works_without_a_key(make_shop: Any) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=None)
    shop.add_user(stripe_customer_id="cus_ada")

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert result.exit_code == 0
    assert shop.columns()["subscription_status"] == "active"


@pytest.mark.usefixtures("bare_environment")
def test_trigger_needs_a_webhook_secret(make_shop: Any) -> None:
    shop = make_shop(STRIPE_WEBHOOK_SECRET=" ")

    result = run(shop, "trigger", "invoice.paid")

    assert result.exit_code == 1
    assert "'STRIPE_WEBHOOK_SECRET' is not set" in result.output


@pytest.mark.parametrize("event_type", ["paid", "invoice.", "Invoice.paid", "a b.c"])
def test_trigger_needs_an_event_type(shop: Any, event_type: str) -> None:
    result = run(shop, "trigger", event_type)

    assert result.exit_code == 2
    assert "is not an event type" in result.output


def test_trigger_without_tables_says_what_to_run(shop: Any) -> None:
    with shop.app.app_context():
        shop.db.drop_all()

    result = run(shop, "trigger", "customer.subscription.updated", "--user", "1")

    assert result.exit_code == 1
    assert "flask stripe doctor" in result.output
