"""Thin events: the object is read by type and id, never by its URL."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_thin_event
from tests.vocabulary import API
from tests.vocabulary import at
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import event
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import payment_failed
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import T


@pytest.mark.parametrize("kind", ["created", "updated", "paused", "resumed"])
def test_thin_subscription_event_reads_the_subscription(
    shop: Any, stripe_api: responses.RequestsMock, kind: str
) -> None:
    stripe_api.get(SUB_1, json=subscription())
    ok(shop.post_event(make_thin_event(f"customer.subscription.{kind}", "sub_1")))
    assert shop.columns()["subscription_id"] == "sub_1"
    assert shop.events[0].type == f"customer.subscription.{kind}"
    assert shop.events[0].object_id == "sub_1"


def test_thin_deleted_event_ends_the_subscription(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.post_event(event("created"))
    stripe_api.get(SUB_1, json=subscription(status="canceled", ended_at=T + 5))
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
    stripe_api.get(f"{CHECKOUT_SESSIONS}/cs_1", json=session)
    stripe_api.get(SUB_1, json=subscription(customer="cus_bob"))
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
    stripe_api.get(SUB_1, json=subscription())
    ok(shop.post_event(sent))
    assert [call.request.url for call in stripe_api.calls] == [SUB_1]


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
    stripe_api.get(f"{SUBSCRIPTIONS}/{path}", json=subscription())
    shop.post_event(make_thin_event("customer.subscription.updated", object_id))
    [call] = stripe_api.calls
    assert call.request.url == f"{SUBSCRIPTIONS}/{path}"


def test_thin_event_counts_as_its_snapshot(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    called: list[str] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Any) -> None:
        called.append(received.id)

    stripe_api.get(SUB_1, json=subscription())
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
    stripe_api.get(SUB_1, json=subscription())
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
    stripe_api.get(SUB_1, json=subscription(), match=[matcher])
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
    stripe_api.get(SUB_1, json=subscription())
    ok(shop.post_event(sent))
    assert shop.columns()["subscription_id"] == "sub_1"


def test_thin_event_is_sent_again_when_stripe_fails(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    sent = make_thin_event("customer.subscription.updated", "sub_1")
    stripe_api.get(SUB_1, status=500, json={"error": {"message": "no"}})
    assert shop.post_event(sent).status_code == 503
    assert (shop.events, shop.subscriptions) == ([], [])


def test_thin_event_of_an_object_that_is_gone(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Stripe did answer; it would say the same for three days."""
    error = {"type": "invalid_request_error", "code": "resource_missing"}
    stripe_api.get(f"{SUBSCRIPTIONS}/sub_x", json={"error": error}, status=404)
    event = make_thin_event("customer.subscription.updated", "sub_x")
    assert shop.post_event(event).status_code == 200
