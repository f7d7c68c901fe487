"""What each of Stripe's events does to the columns, seen from outside the app."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from typing import cast
from typing import TypeVar

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from requests import ConnectionError as NoConnection
from requests import PreparedRequest
from sqlalchemy import String
from sqlalchemy import Uuid
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from werkzeug.test import TestResponse

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import make_thin_event
from flask_kavach_stripe.testing import post_event

H = TypeVar("H", bound=Callable[..., Any])
API = "https://api.stripe.com/v1"
SUB = f"{API}/subscriptions/sub_1"
CLEARED = {
    "subscription_id": None,
    "price_id": None,
    "current_period_end": None,
    "cancel_at_period_end": False,
}

#: Every version that an endpoint can have, from the oldest one that we read.
API_VERSIONS = (
    "2024-12-18.acacia",
    "2025-01-27.acacia",
    "2025-02-24.acacia",
    "2025-03-31.basil",
    "2025-06-30.basil",
    "2025-08-27.basil",
    "2025-09-30.clover",
    "2026-02-25.clover",
    "2026-03-25.dahlia",
    "2026-08-26.dahlia",
    "2026-09-30.endive",
    "2026-10-28.endive",
)

T = 1_790_000_000  # when everything begins, in Unix seconds
END = T + 2_592_000  # when the first period ends


@pytest.fixture
def shop(kept_shop: Any) -> Any:
    return kept_shop


def on(shop: Any, *event_types: str) -> Callable[[H], H]:
    """Register a handler, as ``@kavach_stripe.on(...)`` does."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on(*event_types))


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def subscription(**values: Any) -> dict[str, Any]:
    """Ada's subscription."""
    defaults = {
        "id": "sub_1",
        "customer": "cus_ada",
        "price": "price_pro",
        "created": T,
        "current_period_end": END,
    }
    return make_subscription(**{**defaults, **values})


def event(kind: str, after: int = 0, /, **values: Any) -> dict[str, Any]:
    """An event of Ada's subscription, some seconds after the beginning."""
    return make_event(
        f"customer.subscription.{kind}",
        subscription(**values),
        created=T + after,
        previous_attributes={"metadata": {}} if kind == "updated" else None,
    )


def checkout(**values: Any) -> dict[str, Any]:
    """The event of a completed Checkout session of Ada's."""
    defaults = {"customer": "cus_ada", "subscription": "sub_1"}
    return make_event(
        "checkout.session.completed",
        make_checkout_session(**{**defaults, **values}),
        created=T,
    )


def payment_failed(after: int = 100, /, **values: Any) -> dict[str, Any]:
    """The event of a renewal that was not paid."""
    defaults = {
        "customer": "cus_ada",
        "subscription": "sub_1",
        "period_end": END + 2_592_000,
    }
    return make_event(
        "invoice.payment_failed",
        make_invoice(**{**defaults, **values}),
        created=T + after,
    )


def dated(seconds: int) -> dict[str, str]:
    return {"Date": format_datetime(at(seconds), usegmt=True)}


def ok(answer: TestResponse) -> None:
    assert (answer.status_code, answer.json) == (200, {"received": True})


# -- the table of events ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["created", "updated", "paused", "resumed"])
def test_subscription_event_fills_the_columns(shop: Any, kind: str) -> None:
    ok(shop.post_event(event(kind, status="trialing", quantity=3)))
    assert shop.columns() == {
        "customer_id": "cus_ada",
        "subscription_id": "sub_1",
        "subscription_status": "trialing",
        "price_id": "price_pro",
        "current_period_end": at(END),
        "cancel_at_period_end": False,
    }


def test_subscription_event_fills_the_row(shop: Any) -> None:
    shop.post_event(event("created", 7, quantity=3, trial_end=T + 50))
    [row] = shop.subscriptions
    assert row.id == "sub_1"
    assert row.customer_id == "cus_ada"
    assert row.status == "active"
    assert row.price_id == "price_pro"
    assert row.quantity == 3
    assert row.current_period_end == at(END)
    assert row.cancel_at_period_end is False
    assert row.trial_end == at(T + 50)
    assert row.ended_at is None
    assert row.created == at(T)
    assert row.synced_at == at(T + 7)
    assert row.revision == 1


def test_paused_subscription_keeps_its_columns_and_gives_no_access(shop: Any) -> None:
    shop.post_event(event("created"))
    shop.post_event(event("paused", 9, status="paused"))

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)

    assert (found.id, found.status, found.is_active) == ("sub_1", "paused", False)


def test_deleted_subscription_has_ended(shop: Any) -> None:
    shop.post_event(event("created"))
    ok(shop.post_event(event("deleted", 9, status="canceled", ended_at=T + 8)))
    columns = shop.columns()
    assert columns == {
        "customer_id": "cus_ada",
        "subscription_status": "canceled",
        **CLEARED,
    }
    [row] = shop.subscriptions
    assert (row.status, row.ended_at) == ("canceled", at(T + 8))


@pytest.mark.parametrize(
    ("status", "final"),
    [
        ("canceled", "canceled"),
        ("incomplete_expired", "incomplete_expired"),
        ("active", "canceled"),
        (None, "canceled"),
    ],
)
def test_deleted_is_an_end_whatever_the_status(
    shop: Any, status: str | None, final: str
) -> None:
    shop.post_event(event("created", cancel_at_period_end=True))
    shop.post_event(event("deleted", 9, status=status, cancel_at_period_end=True))
    [row] = shop.subscriptions
    assert (row.status, row.ended_at, row.cancel_at_period_end) == (
        final,
        at(T + 9),
        False,
    )
    assert shop.columns()["subscription_status"] == final


@pytest.mark.parametrize("kind", ["updated", "paused", "resumed", "created"])
@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_final_status_ends_by_every_door(shop: Any, kind: str, status: str) -> None:
    shop.post_event(event("updated", 50))
    shop.post_event(event(kind, 0, status=status))
    assert shop.columns()["subscription_status"] == status
    assert shop.columns()["subscription_id"] is None


def test_final_status_in_an_answer_of_stripe_ends_it(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    stripe_api.get(SUB, json=subscription(status="canceled"))
    shop.post_event(checkout())
    assert shop.columns()["subscription_status"] == "canceled"


def test_checkout_links_and_stores_what_stripe_says(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    bob = shop.add_user(email="bob@example.com")
    stripe_api.get(SUB, json=subscription(customer="cus_bob", status="trialing"))
    ok(
        shop.post_event(
            checkout(
                customer="cus_bob", client_reference_id=str(bob), payment_status="paid"
            )
        )
    )
    assert shop.columns(bob) == {
        "customer_id": "cus_bob",
        "subscription_id": "sub_1",
        "subscription_status": "trialing",
        "price_id": "price_pro",
        "current_period_end": at(END),
        "cancel_at_period_end": False,
    }


def test_checkout_asks_stripe_exactly_once_also_when_the_row_is_there(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created", 500))
    stripe_api.get(SUB, json=subscription(price="price_new"))
    ok(shop.post_event(checkout()))
    assert len(stripe_api.calls) == 1
    assert shop.columns()["price_id"] == "price_new"


@pytest.mark.parametrize("mode", ["payment", "setup", "later_modes", "", 7])
def test_checkout_of_another_mode_is_ignored(
    shop: Any, stripe_api: responses.RequestsMock, mode: Any
) -> None:
    bob = shop.add_user()
    ok(
        shop.post_event(
            checkout(customer="cus_bob", client_reference_id=str(bob), mode=mode)
        )
    )
    assert shop.columns(bob)["customer_id"] is None
    assert shop.events == []


def test_checkout_without_a_mode_counts_as_subscription(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    sent = checkout()
    del sent["data"]["object"]["mode"]
    stripe_api.get(SUB, json=subscription())
    ok(shop.post_event(sent))
    assert shop.columns()["subscription_id"] == "sub_1"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"status": 500, "json": {"error": {"message": "x"}}}, id="500"),
        pytest.param({"status": 401, "json": {"error": {"message": "x"}}}, id="key"),
        pytest.param({"status": 429, "json": {"error": {"message": "x"}}}, id="rate"),
        pytest.param({"body": "<html>", "status": 502}, id="proxy"),
        pytest.param({"body": NoConnection("no route")}, id="no connection"),
        pytest.param({"json": {"object": "list"}}, id="something else"),
    ],
)
def test_checkout_keeps_the_link_when_stripe_fails(
    shop: Any, stripe_api: responses.RequestsMock, failure: dict[str, Any]
) -> None:
    bob = shop.add_user()
    sent = checkout(customer="cus_bob", client_reference_id=str(bob))
    stripe_api.get(SUB, **failure)
    answer = shop.post_event(sent)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert shop.columns(bob)["customer_id"] == "cus_bob"
    assert shop.columns(bob)["subscription_id"] is None
    assert (shop.events, shop.subscriptions) == ([], [])

    stripe_api.reset()
    stripe_api.get(SUB, json=subscription(customer="cus_bob"))
    ok(shop.post_event(sent))
    assert shop.columns(bob)["subscription_id"] == "sub_1"


def test_checkout_stores_no_subscription_of_another_customer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB, json=subscription(customer="cus_eve"))
    ok(shop.post_event(checkout()))
    assert shop.columns()["subscription_id"] is None
    assert shop.subscriptions == []


@pytest.mark.parametrize("status", ["active", "trialing", "past_due"])
def test_failed_renewal_is_past_due(shop: Any, status: str) -> None:
    shop.post_event(event("created", status=status))
    ok(shop.post_event(payment_failed()))
    assert shop.columns()["subscription_status"] == "past_due"
    assert shop.columns()["subscription_id"] == "sub_1"


@pytest.mark.parametrize("status", ["incomplete", "unpaid", "paused", "from_tomorrow"])
def test_failed_payment_leaves_other_statuses(shop: Any, status: str) -> None:
    shop.post_event(event("created", status=status))
    shop.post_event(payment_failed())
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (None, "past_due"),
        ("subscription_cycle", "past_due"),
        ("subscription_create", "active"),
        ("subscription_update", "active"),
        ("manual", "active"),
    ],
)
def test_failed_payment_counts_for_renewals_only(
    shop: Any, reason: str | None, status: str
) -> None:
    shop.post_event(event("created"))
    shop.post_event(payment_failed(billing_reason=reason))
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize(
    ("after", "status"),
    [(0, "active"), (1, "active"), (-9, "active"), (2, "past_due")],
)
def test_failed_payment_must_be_clearly_newer(
    shop: Any, after: int, status: str
) -> None:
    shop.post_event(event("created"))
    shop.post_event(payment_failed(after))
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize(
    ("period_end", "status"), [(END - 1, "active"), (END, "past_due")]
)
def test_failed_retry_of_an_old_invoice_changes_nothing(
    shop: Any, period_end: int, status: str
) -> None:
    shop.post_event(event("created"))
    shop.post_event(payment_failed(period_end=period_end))
    assert shop.columns()["subscription_status"] == status


def test_failed_payment_leaves_the_time_to_the_true_event(shop: Any) -> None:
    shop.post_event(event("created"))
    shop.post_event(payment_failed(100))
    [row] = shop.subscriptions
    assert (row.synced_at, row.revision) == (at(T), 2)

    shop.post_event(event("updated", 100, status="unpaid"))
    assert shop.columns()["subscription_status"] == "unpaid"


@pytest.mark.parametrize("api_version", API_VERSIONS)
def test_failed_payment_of_every_version(shop: Any, api_version: str) -> None:
    shop.post_event(event("created"))
    shop.post_event(payment_failed(api_version=api_version))
    assert shop.columns()["subscription_status"] == "past_due"


def test_failed_payment_with_expanded_objects(shop: Any) -> None:
    shop.post_event(event("created"))
    details = {"subscription_details": {"subscription": subscription()}}
    shop.post_event(
        payment_failed(
            customer=make_customer("cus_ada"), parent=details, subscription=None
        )
    )
    assert shop.columns()["subscription_status"] == "past_due"


def test_failed_payment_that_only_its_line_connects(shop: Any) -> None:
    shop.post_event(event("created"))
    shop.post_event(payment_failed(parent=None))
    assert shop.columns()["subscription_status"] == "past_due"


def test_failed_payment_of_no_subscription_changes_nothing(shop: Any) -> None:
    shop.post_event(event("created"))
    ok(shop.post_event(payment_failed(subscription=None)))
    ok(shop.post_event(payment_failed(subscription="sub_2")))
    assert shop.columns()["subscription_status"] == "active"
    assert [row.id for row in shop.subscriptions] == ["sub_1"]


def test_deleted_customer_ends_all_and_is_unlinked(shop: Any) -> None:
    shop.post_event(event("created"))
    shop.post_event(event("created", id="sub_2", status="past_due"))
    gone = make_event("customer.deleted", make_customer("cus_ada"), created=T + 60)
    ok(shop.post_event(gone))
    assert shop.columns() == {
        "customer_id": None,
        "subscription_status": "canceled",
        **CLEARED,
    }
    assert [(row.status, row.ended_at) for row in shop.subscriptions] == [
        ("canceled", at(T + 60))
    ] * 2


def test_event_of_a_deleted_customer_brings_nothing_back(shop: Any) -> None:
    shop.post_event(event("created"))
    shop.post_event(make_event("customer.deleted", make_customer("cus_ada")))
    ok(shop.post_event(event("updated", 999_999_999)))
    assert shop.columns()["subscription_id"] is None
    assert [row.status for row in shop.subscriptions] == ["canceled"]


# -- the columns are a projection ------------------------------------------------------


def test_best_subscription_fills_the_columns(shop: Any) -> None:
    shop.post_event(event("created", id="sub_old", status="active", created=T - 99))
    shop.post_event(event("created", id="sub_new", status="past_due", created=T))
    assert shop.columns()["subscription_id"] == "sub_old"
    shop.post_event(event("deleted", 9, id="sub_old", status="canceled"))
    assert shop.columns()["subscription_id"] == "sub_new"
    assert shop.columns()["subscription_status"] == "past_due"


def test_newest_of_equals_fills_the_columns(shop: Any) -> None:
    shop.post_event(event("created", id="sub_b", created=T))
    shop.post_event(event("created", id="sub_a", created=T - 1))
    assert shop.columns()["subscription_id"] == "sub_b"
    shop.post_event(event("created", id="sub_aa", created=T))
    assert shop.columns()["subscription_id"] == "sub_aa"


def test_active_statuses_of_the_app_rank_first(make_shop: Any) -> None:
    shop = make_shop(STRIPE_ACTIVE_STATUSES=["active", "past_due"])
    shop.add_user(stripe_customer_id="cus_ada")
    shop.post_event(event("created", id="sub_1", status="trialing", created=T))
    shop.post_event(event("created", id="sub_2", status="past_due", created=T - 9))
    assert shop.columns()["subscription_id"] == "sub_2"


def test_status_of_the_newest_remains_when_all_have_ended(shop: Any) -> None:
    shop.post_event(event("updated", id="sub_1", status="canceled", created=T))
    shop.post_event(
        event("updated", id="sub_2", status="incomplete_expired", created=T - 9)
    )
    assert shop.columns()["subscription_status"] == "canceled"


def test_columns_of_before_become_a_row_without_times(shop: Any) -> None:
    """Moving from KavachOS: the columns are full, the tables are empty."""
    carol = shop.add_user(
        stripe_customer_id="cus_carol",
        stripe_subscription_id="sub_legacy",
        stripe_subscription_status="active",
        stripe_price_id="price_legacy",
        stripe_current_period_end=at(END),
    )
    incomplete = event("created", id="sub_2", customer="cus_carol", status="incomplete")
    ok(shop.post_event(incomplete))
    assert shop.columns(carol)["subscription_id"] == "sub_legacy"
    row = next(row for row in shop.subscriptions if row.id == "sub_legacy")
    assert (row.customer_id, row.status, row.price_id, row.current_period_end) == (
        "cus_carol",
        "active",
        "price_legacy",
        at(END),
    )
    assert (row.synced_at, row.created, row.trial_end) == (None, None, None)


def test_first_event_applies_over_the_columns_of_before(shop: Any) -> None:
    carol = shop.add_user(
        stripe_customer_id="cus_carol",
        stripe_subscription_id="sub_legacy",
        stripe_subscription_status="past_due",
    )
    shop.post_event(
        event("updated", -9999, id="sub_legacy", customer="cus_carol", price="price_2")
    )
    assert shop.columns(carol)["subscription_status"] == "active"
    assert shop.columns(carol)["price_id"] == "price_2"


def test_payment_failure_applies_over_the_columns_of_before(shop: Any) -> None:
    carol = shop.add_user(
        stripe_customer_id="cus_carol",
        stripe_subscription_id="sub_legacy",
        stripe_subscription_status="active",
    )
    shop.post_event(payment_failed(customer="cus_carol", subscription="sub_legacy"))
    assert shop.columns(carol)["subscription_status"] == "past_due"


# -- API versions ----------------------------------------------------------------------


@pytest.mark.parametrize("api_version", API_VERSIONS)
def test_subscription_of_every_version(shop: Any, api_version: str) -> None:
    sent = make_event(
        "customer.subscription.updated",
        subscription(api_version=api_version),
        created=T,
        api_version=api_version,
        previous_attributes={},
    )
    ok(shop.post_event(sent))
    columns = shop.columns()
    assert columns["current_period_end"] == at(END)
    assert columns["price_id"] == "price_pro"
    assert columns["subscription_status"] == "active"
    assert shop.events[0].api_version == api_version


@pytest.mark.parametrize("api_version", API_VERSIONS[::4])
def test_answer_of_another_version_than_the_webhook(
    shop: Any, stripe_api: responses.RequestsMock, api_version: str
) -> None:
    stripe_api.get(SUB, json=subscription(api_version=api_version))
    ok(shop.post_event(checkout()))
    assert shop.columns()["current_period_end"] == at(END)


def test_expanded_customer_and_price(shop: Any) -> None:
    sent = subscription(customer=make_customer("cus_ada"))
    sent["items"]["data"][0]["price"] = {"id": "price_x", "product": {"id": "prod_1"}}
    shop.post_event(make_event("customer.subscription.created", sent, created=T))
    assert shop.columns()["price_id"] == "price_x"


def test_price_as_id_and_as_legacy_plan(shop: Any) -> None:
    sent = subscription()
    sent["items"]["data"][0]["price"] = "price_as_id"
    shop.post_event(make_event("customer.subscription.created", sent, created=T))
    assert shop.columns()["price_id"] == "price_as_id"

    sent["items"]["data"][0] |= {"price": None, "plan": {"id": "plan_old"}}
    shop.post_event(make_event("customer.subscription.updated", sent, created=T + 9))
    assert shop.columns()["price_id"] == "plan_old"


def test_of_several_items_the_first_price_and_the_earliest_end(shop: Any) -> None:
    sent = subscription()
    sent["items"]["data"] = [
        {"price": {"id": "price_first"}, "quantity": 2, "current_period_end": END + 9},
        {"price": {"id": "price_second"}, "quantity": 5, "current_period_end": END - 9},
        {"price": {"id": "price_third"}, "quantity": 7},
    ]
    shop.post_event(make_event("customer.subscription.created", sent, created=T))
    [row] = shop.subscriptions
    assert (row.price_id, row.quantity) == ("price_first", 2)
    assert shop.columns()["price_id"] == "price_first"
    assert shop.columns()["current_period_end"] == at(END - 9)


@pytest.mark.parametrize(
    ("cancel_at_period_end", "cancel_at", "scheduled"),
    [(True, END, True), (True, None, True), (False, END, True), (False, None, False)],
)
def test_scheduled_to_cancel_however_stripe_says_it(
    shop: Any, cancel_at_period_end: bool, cancel_at: int | None, scheduled: bool
) -> None:
    shop.post_event(
        event("created", cancel_at_period_end=cancel_at_period_end, cancel_at=cancel_at)
    )
    assert shop.columns()["cancel_at_period_end"] is scheduled


@pytest.mark.parametrize("status", ["from_tomorrow", "x" * 32])
def test_status_that_we_do_not_know_is_stored_and_gives_no_access(
    shop: Any, status: str
) -> None:
    ok(shop.post_event(event("created", status=status)))
    assert shop.columns()["subscription_status"] == status

    with shop.app.app_context():
        assert not shop.kavach_stripe.get_subscription(1).is_active


# -- thin events -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["created", "updated", "paused", "resumed"])
def test_thin_subscription_event_reads_the_subscription(
    shop: Any, stripe_api: responses.RequestsMock, kind: str
) -> None:
    stripe_api.get(SUB, json=subscription())
    ok(shop.post_event(make_thin_event(f"customer.subscription.{kind}", "sub_1")))
    assert shop.columns()["subscription_id"] == "sub_1"
    assert shop.events[0].type == f"customer.subscription.{kind}"
    assert shop.events[0].object_id == "sub_1"


def test_thin_deleted_event_ends_the_subscription(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    stripe_api.get(SUB, json=subscription(status="canceled", ended_at=T + 5))
    shop.post_event(make_thin_event("customer.subscription.deleted", "sub_1"))
    assert shop.columns()["subscription_status"] == "canceled"
    assert shop.subscriptions[0].ended_at == at(T + 5)


def test_thin_checkout_event_reads_session_and_subscription(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    bob = shop.add_user()
    session = make_checkout_session(
        "cs_1",
        customer="cus_bob",
        subscription="sub_1",
        client_reference_id=str(bob),
    )
    stripe_api.get(f"{API}/checkout/sessions/cs_1", json=session)
    stripe_api.get(SUB, json=subscription(customer="cus_bob"))
    ok(shop.post_event(make_thin_event("checkout.session.completed", "cs_1")))
    assert shop.columns(bob)["customer_id"] == "cus_bob"
    assert shop.columns(bob)["subscription_id"] == "sub_1"


def test_thin_payment_failure_reads_the_invoice(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    invoice = payment_failed()["data"]["object"]
    stripe_api.get(f"{API}/invoices/in_1", json=invoice)
    ok(
        shop.post_event(
            make_thin_event("invoice.payment_failed", "in_1", created=T + 100)
        )
    )
    assert shop.columns()["subscription_status"] == "past_due"


def test_thin_customer_deleted_asks_nobody(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    ok(shop.post_event(make_thin_event("customer.deleted", "cus_ada", created=T + 9)))
    assert shop.columns()["customer_id"] is None
    assert shop.subscriptions[0].ended_at == at(T + 9)


@pytest.mark.parametrize(
    "event_type",
    [
        "customer.subscription.past_due",
        "customer.subscription.trial_will_end",
        "invoice.paid",
        "billing.meter.error_report_triggered",
    ],
)
def test_thin_event_of_another_type_is_ignored(
    shop: Any, stripe_api: responses.RequestsMock, event_type: str
) -> None:
    called: list[Any] = []
    shop.kavach_stripe.on("*")(called.append)
    ok(shop.post_event(make_thin_event(event_type, "sub_1")))
    assert (shop.events, called) == ([], [])


def test_thin_ping_without_a_related_object_is_ignored(shop: Any) -> None:
    sent = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v2.core.event_destination.ping",
        "created": "2026-10-01T00:00:00.000Z",
        "livemode": False,
    }
    ok(shop.post_event(sent))
    assert shop.events == []


@pytest.mark.parametrize("related", ["absent", None, [], {}, {"id": None}, "sub_1"])
@pytest.mark.parametrize(
    "event_type",
    [
        "checkout.session.completed",
        "customer.deleted",
        "customer.subscription.deleted",
        "customer.subscription.updated",
        "invoice.payment_failed",
    ],
)
def test_thin_event_without_related_object_is_ignored(
    shop: Any, stripe_api: responses.RequestsMock, event_type: str, related: Any
) -> None:
    sent = make_thin_event(event_type, "x")
    sent["related_object"] = related

    if related == "absent":
        del sent["related_object"]

    ok(shop.post_event(sent))
    assert (shop.events, shop.columns()["customer_id"]) == ([], "cus_ada")


@pytest.mark.parametrize(
    "url", ["@evil.example/v1/x", "https://evil.example/", "/v1/subscriptions/sub_9"]
)
def test_thin_event_is_never_read_by_its_url(
    shop: Any, stripe_api: responses.RequestsMock, url: str
) -> None:
    sent = make_thin_event("customer.subscription.updated", "sub_1")
    sent["related_object"]["url"] = url
    stripe_api.get(SUB, json=subscription())
    ok(shop.post_event(sent))
    assert [call.request.url for call in stripe_api.calls] == [SUB]


@pytest.mark.parametrize(
    ("object_id", "path"),
    [
        ("sub_1/../../customers", "sub_1%2F..%2F..%2Fcustomers"),
        ("sub_1?expand[]=x#y", "sub_1%3Fexpand%5B%5D%3Dx%23y"),
        ("@evil.example", "%40evil.example"),
    ],
)
def test_thin_event_names_one_object_whatever_its_id(
    shop: Any, stripe_api: responses.RequestsMock, object_id: str, path: str
) -> None:
    stripe_api.get(f"{API}/subscriptions/{path}", json=subscription())
    shop.post_event(make_thin_event("customer.subscription.updated", object_id))
    [call] = stripe_api.calls
    assert call.request.url == f"{API}/subscriptions/{path}"


def test_thin_event_counts_as_its_snapshot(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    called: list[str] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Any) -> None:
        called.append(received.id)

    stripe_api.get(SUB, json=subscription())
    thin = make_thin_event(
        "customer.subscription.updated", "sub_1", id="evt_thin", snapshot_event="evt_1"
    )
    snapshot = {**event("updated"), "id": "evt_1"}
    ok(shop.post_event(thin))
    ok(shop.post_event(snapshot))
    ok(shop.post_event(thin))
    assert called == ["evt_1"]
    assert [row.id for row in shop.events] == ["evt_1"]
    assert len(stripe_api.calls) == 1


def test_thin_duplicate_of_a_snapshot_does_not_ask_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event({**event("updated"), "id": "evt_1"})
    ok(
        shop.post_event(
            make_thin_event(
                "customer.subscription.updated", "sub_1", snapshot_event="evt_1"
            )
        )
    )
    assert len(shop.events) == 1


def test_thin_event_without_snapshot_has_its_own_id(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB, json=subscription())
    shop.post_event(
        make_thin_event("customer.subscription.updated", "sub_1", id="evt_thin")
    )
    assert [row.id for row in shop.events] == ["evt_thin"]


def test_thin_event_of_a_connected_account_changes_no_columns(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Any) -> None:
        seen.append((received.account, received.object["id"], received.user))

    matcher = responses.matchers.header_matcher({"Stripe-Account": "acct_1"})
    stripe_api.get(SUB, json=subscription(), match=[matcher])
    ok(
        shop.post_event(
            make_thin_event("customer.subscription.updated", "sub_1", context="acct_1")
        )
    )
    assert seen == [("acct_1", "sub_1", None)]
    assert shop.columns()["subscription_id"] is None


@pytest.mark.parametrize("created", ["2026-10-01T00:00:00Z", "nonsense", None, 7, [1]])
def test_thin_event_of_any_time_is_stored(
    shop: Any, stripe_api: responses.RequestsMock, created: Any
) -> None:
    sent = make_thin_event("customer.subscription.updated", "sub_1")
    sent["created"] = created
    stripe_api.get(SUB, json=subscription())
    ok(shop.post_event(sent))
    assert shop.columns()["subscription_id"] == "sub_1"


def test_thin_event_is_sent_again_when_stripe_fails(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    sent = make_thin_event("customer.subscription.updated", "sub_1")
    stripe_api.get(SUB, status=500, json={"error": {"message": "no"}})
    assert shop.post_event(sent).status_code == 503
    assert (shop.events, shop.subscriptions) == ([], [])


# -- whose event is it -----------------------------------------------------------------


def test_linked_customer_decides_alone(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Who puts another one's id into a session of their own changes nothing there."""
    eve = shop.add_user()
    stripe_api.get(SUB, json=subscription())
    shop.post_event(checkout(client_reference_id=str(eve)))
    assert shop.columns()["subscription_id"] == "sub_1"
    assert shop.columns(eve)["customer_id"] is None


def test_linked_customer_decides_also_with_metadata_of_another_app(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB, json=subscription())
    shop.post_event(checkout(metadata={"kavach_user_id": "77"}, payment_link="plink_1"))
    assert shop.columns()["subscription_id"] == "sub_1"


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
    stripe_api.get(SUB, json=subscription(customer="cus_bob"))
    shop.post_event(checkout(customer="cus_bob", client_reference_id=str(bob)))
    ok(shop.post_event(checkout(customer="cus_eve", client_reference_id=str(bob))))
    assert shop.columns(bob)["customer_id"] == "cus_bob"
    assert shop.columns(bob)["subscription_id"] == "sub_1"


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


class KeyedApp:
    """An app whose users have another kind of primary key."""

    def __init__(self, path: Path, key_type: Any) -> None:
        self.app = Flask("keyed")
        self.app.config.update(
            TESTING=True,
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}",
            STRIPE_SECRET_KEY="sk_test_of_the_tests",
            STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
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
        stripe_api.get(SUB, json=subscription(customer="cus_u"))

    ok(post_event(app.app.test_client(), sent))
    assert app.customer(KEY) == ("cus_u" if linked else None)


@pytest.mark.parametrize("key", ["ada", "Ä", "7", "a b", "x" * 200, "team/7?x=1"])
def test_text_primary_key(
    keyed_app: Any, stripe_api: responses.RequestsMock, key: str
) -> None:
    app = keyed_app(String(255))
    app.add_user(key)
    stripe_api.get(SUB, json=subscription(customer="cus_s"))
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


# -- order -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
@pytest.mark.parametrize("kind", ["created", "updated", "resumed"])
def test_nothing_comes_after_the_end(shop: Any, status: str, kind: str) -> None:
    shop.post_event(event("deleted", 5, status=status))
    ok(shop.post_event(event(kind, 3600)))
    assert shop.columns()["subscription_status"] == status
    assert shop.columns()["subscription_id"] is None


def test_end_applies_whatever_its_time(shop: Any) -> None:
    shop.post_event(event("updated", 3600))
    shop.post_event(event("deleted", -3600, status="canceled"))
    assert shop.columns()["subscription_status"] == "canceled"
    assert shop.subscriptions[0].synced_at == at(T + 3600)


def test_created_does_not_overwrite(shop: Any) -> None:
    shop.post_event(event("updated", 0))
    ok(shop.post_event(event("created", 3600, status="incomplete")))
    assert shop.columns()["subscription_status"] == "active"


@pytest.mark.parametrize(("after", "applied"), [(-2, False), (2, True)])
def test_more_than_a_second_apart_the_time_decides(
    shop: Any, stripe_api: responses.RequestsMock, after: int, applied: bool
) -> None:
    shop.post_event(event("updated", 0))
    ok(shop.post_event(event("updated", after, status="past_due")))
    expected = "past_due" if applied else "active"
    assert shop.columns()["subscription_status"] == expected
    assert shop.subscriptions[0].synced_at == at(T + max(0, after))


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_same_state_within_a_second_only_moves_the_time(
    shop: Any, stripe_api: responses.RequestsMock, after: int
) -> None:
    shop.post_event(event("updated", 0))
    ok(shop.post_event(event("updated", after)))
    assert shop.subscriptions[0].synced_at == at(T + max(0, after))
    assert shop.events[-1].changed is False


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_within_a_second_stripe_is_asked(
    shop: Any, stripe_api: responses.RequestsMock, after: int
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB, json=subscription(status="unpaid"))
    ok(shop.post_event(event("updated", after, status="past_due")))
    assert shop.columns()["subscription_status"] == "unpaid"
    [call] = stripe_api.calls
    assert call.request.headers["Authorization"] == "Bearer sk_test_of_the_tests"


@pytest.mark.parametrize("previous", [{}, {"status": "active"}])
def test_matching_previous_attributes_prove_nothing(
    shop: Any, stripe_api: responses.RequestsMock, previous: dict[str, Any]
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB, json=subscription())
    sent = event("updated", 0, status="past_due")
    sent["data"]["previous_attributes"] = previous
    shop.post_event(sent)
    assert shop.columns()["subscription_status"] == "active"


def test_updated_made_by_hand_is_applied_in_order_of_arrival(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    for status in ("active", "past_due", "unpaid", "active", "paused"):
        sent = event("updated", 0, status=status)
        del sent["data"]["previous_attributes"]
        ok(shop.post_event(sent))
        assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize("kind", ["paused", "resumed"])
def test_paused_and_resumed_are_never_taken_for_made_by_hand(
    shop: Any, stripe_api: responses.RequestsMock, kind: str
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB, json=subscription(status="paused"))
    shop.post_event(event(kind, 0, status="trialing"))
    assert shop.columns()["subscription_status"] == "paused"


@pytest.mark.parametrize(
    "created",
    [None, "absent", "soon", -1, 10**20, [], True, "0001-01-01T00:00:00Z"],
)
def test_event_without_a_time_is_applied_on_arrival(
    shop: Any, stripe_api: responses.RequestsMock, created: Any
) -> None:
    shop.post_event(event("updated", 0))
    sent = event("updated", status="past_due")
    sent["created"] = created

    if created == "absent":
        del sent["created"]

    ok(shop.post_event(sent))
    assert shop.columns()["subscription_status"] == "past_due"
    assert shop.subscriptions[0].synced_at == at(T)


def test_row_without_a_time_takes_any_event(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    sent = event("updated")
    del sent["created"]
    shop.post_event(sent)
    ok(shop.post_event(event("updated", 0, status="past_due")))
    assert shop.columns()["subscription_status"] == "past_due"


@pytest.mark.parametrize("time", [0, 253402214399, "9999-12-30T00:00:00Z"])
def test_events_at_the_ends_of_time_are_ordered_too(
    shop: Any, stripe_api: responses.RequestsMock, time: Any
) -> None:
    stripe_api.get(SUB, json=subscription(status="unpaid"))
    shop.post_event({**event("updated"), "created": time})
    ok(shop.post_event({**event("updated", status="past_due"), "created": time}))
    ok(shop.post_event({**payment_failed(), "created": time}))
    assert shop.columns()["subscription_status"] == "unpaid"


def test_subscriptions_are_ordered_one_by_one(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 3600, id="sub_2"))
    ok(shop.post_event(event("updated", 0, id="sub_1", status="past_due")))
    assert {row.id: row.status for row in shop.subscriptions} == {
        "sub_1": "past_due",
        "sub_2": "active",
    }


# -- reading from Stripe ---------------------------------------------------------------


def test_answer_is_as_old_as_its_date(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 0))
    answer = subscription(status="unpaid")
    stripe_api.get(SUB, json=answer, headers=dated(T + 100))
    shop.post_event(event("updated", 0, status="past_due"))
    # Less the duration of the call, in whole seconds.
    assert shop.subscriptions[0].synced_at == at(T + 99)

    shop.post_event(event("updated", 97, status="past_due"))
    assert shop.columns()["subscription_status"] == "unpaid"


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        pytest.param({}, {}, id="no date"),
        pytest.param({}, {"Date": "soon"}, id="no date that can be read"),
        pytest.param({"test_clock": "clock_1"}, dated(T + 100), id="test clock"),
        pytest.param({}, dated(T - 100), id="a date before the event"),
    ],
)
def test_answer_is_at_least_as_new_as_event_and_row(
    shop: Any,
    stripe_api: responses.RequestsMock,
    answer: dict[str, Any],
    headers: dict[str, str],
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB, json=subscription(status="unpaid", **answer), headers=headers)
    shop.post_event(event("updated", 1, status="past_due"))
    assert shop.subscriptions[0].synced_at == at(T + 1)
    shop.post_event(event("updated", 0, status="past_due"))
    assert shop.subscriptions[0].synced_at == at(T + 1)


def test_nothing_is_stored_when_stripe_cannot_be_asked(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 0))
    before = shop.columns()
    stripe_api.get(SUB, body=NoConnection("no route"))
    sent = event("updated", 0, status="past_due")
    answer = shop.post_event(sent)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"].isdigit()
    assert answer.json["code"] == "stripe_unavailable"
    assert (shop.columns(), len(shop.events)) == (before, 1)
    assert shop.subscriptions[0].revision == 1

    stripe_api.reset()
    stripe_api.get(SUB, json=subscription(status="past_due"))
    ok(shop.post_event(sent))
    assert shop.columns()["subscription_status"] == "past_due"


def test_stripe_is_asked_with_one_try_of_eight_seconds(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_MAX_NETWORK_RETRIES=2)
    shop.add_user(stripe_customer_id="cus_ada")
    timeouts: list[Any] = []

    def refuse(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        timeouts.append(request.req_kwargs["timeout"])  # type: ignore[attr-defined]  # of `responses`
        return 500, {}, "{}"

    stripe_api.add_callback("GET", SUB, callback=refuse)
    assert shop.post_event(checkout()).status_code == 503
    [timeout] = timeouts
    assert timeout.total == 8


def test_missing_key_leaves_the_event_to_stripe(make_shop: Any) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=None)
    shop.add_user(stripe_customer_id="cus_ada")
    assert shop.post_event(checkout()).status_code == 503
    ok(shop.post_event(event("created")))


def test_duplicate_is_recognised_before_stripe_is_asked(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("updated", 0))
    stripe_api.get(SUB, json=subscription(status="unpaid"))
    sent = event("updated", 0, status="past_due")
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert len(stripe_api.calls) == 1
    assert len(shop.events) == 2


def test_answer_is_dropped_when_another_event_was_stored_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """That the other one can be stored shows that no lock is held meanwhile."""
    shop.post_event(event("updated", 0))

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        ok(shop.post_event(event("updated", 60, status="unpaid")))
        return 200, {}, json.dumps(subscription(price="price_old"))

    stripe_api.add_callback("GET", SUB, callback=answer)
    ok(shop.post_event(event("updated", 1, status="past_due")))
    assert shop.columns()["subscription_status"] == "unpaid"
    assert shop.columns()["price_id"] == "price_pro"
    assert len(stripe_api.calls) == 1
    assert len(shop.events) == 3


def test_stripe_is_asked_again_when_a_row_appeared_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    prices = iter(["price_first", "price_second"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        if not shop.subscriptions:
            ok(shop.post_event(event("created")))

        answered = subscription(price=next(prices))
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB, callback=answer)
    ok(shop.post_event(checkout()))
    assert shop.columns()["price_id"] == "price_second"


def test_write_that_changes_nothing_else_counts_as_well(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Only the time moved, yet what was read before that may be older."""
    shop.post_event(event("updated", 0))
    answers = iter(["unpaid", "paused"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        status = next(answers)

        if status == "unpaid":
            ok(shop.post_event(event("updated", 1)))

        answered = subscription(status=status)
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB, callback=answer)
    ok(shop.post_event(event("updated", 0, status="past_due")))
    assert shop.columns()["subscription_status"] == "paused"


def test_after_three_reads_the_event_is_left_to_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    times = iter(range(10, 1000, 10))

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        time = next(times)
        ok(shop.post_event(event("updated", time, price=f"price_{time}")))
        answered = subscription(price="price_read")
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB, callback=answer)
    sent = checkout()
    assert shop.post_event(sent).status_code == 503
    assert len(stripe_api.calls) == 3
    assert shop.columns()["price_id"] == "price_30"
    assert sent["id"] not in [row.id for row in shop.events]


def test_thin_answer_is_read_again_when_the_row_changed_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    prices = iter(["price_old", "price_new"])

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        price = next(prices)

        if price == "price_old":
            ok(shop.post_event(event("updated", 60, price="price_between")))

        answered = subscription(price=price)
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB, callback=answer)
    ok(shop.post_event(make_thin_event("customer.subscription.updated", "sub_1")))
    assert shop.columns()["price_id"] == "price_new"


def test_customer_linked_to_another_user_meanwhile(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    bob = shop.add_user()
    carol = shop.add_user()

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        with shop.app.app_context():
            for key, customer in ((bob, None), (carol, "cus_bob")):
                shop.db.session.get(shop.User, key).stripe_customer_id = customer
                shop.db.session.commit()

        answered = subscription(customer="cus_bob")
        return 200, {}, json.dumps(answered)

    stripe_api.add_callback("GET", SUB, callback=answer)
    ok(shop.post_event(checkout(customer="cus_bob", client_reference_id=str(bob))))
    assert shop.columns(bob)["subscription_id"] is None
    assert shop.columns(carol)["subscription_id"] == "sub_1"


# -- mode, account, hand-made ----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "livemode", "taken"),
    [
        ("sk_test_x", False, True),
        ("sk_test_x", True, False),
        ("rk_test_x", True, False),
        ("sk_live_x", True, True),
        ("sk_live_x", False, False),
        ("rk_live_x", False, False),
        ("sk_org_x", False, False),
        ("sk_live_x", None, True),
        ("sk_test_x", "false", True),
        (None, True, True),
    ],
)
def test_event_of_the_other_mode_is_ignored(
    make_shop: Any, caplog: Any, key: str | None, livemode: Any, taken: bool
) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=key, STRIPE_TRUSTED_ORIGINS=[])
    shop.add_user(stripe_customer_id="cus_ada")
    called: list[Any] = []
    shop.kavach_stripe.on("*")(called.append)
    sent = {**event("created"), "livemode": livemode}
    ok(shop.post_event(sent))
    assert (shop.columns()["subscription_id"] == "sub_1") is taken
    assert bool(called) is taken
    assert len(shop.events) == taken
    assert ("livemode" in caplog.text) is not taken
    assert (str(sent["id"]) in caplog.text) is not taken


@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
def test_event_of_a_connected_account_runs_handlers_only(shop: Any, kind: str) -> None:
    accounts: list[Any] = []

    @on(shop, "customer.subscription.*")
    def remember(received: Any) -> None:
        accounts.append((received.account, received.user))

    ok(shop.post_event({**event(kind), "account": "acct_1"}))
    assert accounts == [("acct_1", None)]
    assert shop.columns()["subscription_id"] is None
    assert shop.subscriptions == []
    assert [(row.user_id, row.changed) for row in shop.events] == [(None, False)]


def test_event_of_a_connected_account_that_nobody_handles(shop: Any) -> None:
    ok(shop.post_event({**event("created"), "account": "acct_1"}))
    assert (shop.events, shop.subscriptions) == ([], [])


def test_event_without_id_is_processed_and_not_recorded(shop: Any) -> None:
    called: list[Any] = []

    @on(shop, "customer.subscription.created")
    def remember(received: Any) -> None:
        called.append(received.id)
        shop.note("once")

    sent = event("created")
    del sent["id"]
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert called == [None, None]
    assert shop.notes == ["once", "once"]
    assert shop.columns()["subscription_id"] == "sub_1"
    assert shop.events == []


@pytest.mark.parametrize("event_type", ["nonsense", "customer.subscription", "a.b.c.d"])
def test_unknown_type_is_fine(shop: Any, event_type: str) -> None:
    ok(shop.post_event(make_event(event_type, subscription())))
    assert shop.events == []


@pytest.mark.parametrize(
    "event_type",
    [
        "customer.subscription.trial_will_end",
        "customer.updated",
        "invoice.paid",
        "checkout.session.async_payment_succeeded",
        "checkout.session.expired",
    ],
)
def test_event_of_ada_that_is_not_in_the_table_changes_nothing(
    shop: Any, stripe_api: responses.RequestsMock, event_type: str
) -> None:
    before = shop.columns()
    ok(shop.post_event(make_event(event_type, subscription(status="past_due"))))
    assert (shop.columns(), shop.events) == (before, [])
