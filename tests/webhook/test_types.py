"""What each type of event does.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

from typing import Any

import pytest
import responses
from requests import ConnectionError as NoConnection

from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from tests.buyers import shown
from tests.vocabulary import at
from tests.vocabulary import checkout
from tests.vocabulary import END
from tests.vocabulary import event
from tests.vocabulary import items_of
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import payment_failed
from tests.vocabulary import send
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import T
from tests.webhook.api_versions import API_VERSIONS

CLEARED = {
    "subscription_id": None,
    "price_id": None,
    "current_period_end": None,
    "cancel_at_period_end": False,
}


# -- subscriptions ---------------------------------------------------------------------


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
    assert [item[1:] for item in items_of(row)] == [("price_pro", 3)]
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


# -- ends ------------------------------------------------------------------------------


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
    stripe_api.get(SUB_1, json=subscription(status="canceled"))
    shop.post_event(checkout())
    assert shop.columns()["subscription_status"] == "canceled"


# -- completed Checkout sessions -------------------------------------------------------


def test_checkout_links_and_stores_what_stripe_says(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    bob = shop.add_user(email="bob@example.com")
    stripe_api.get(SUB_1, json=subscription(customer="cus_bob", status="trialing"))
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
    stripe_api.get(SUB_1, json=subscription(price="price_new"))
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
    stripe_api.get(SUB_1, json=subscription())
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
    stripe_api.get(SUB_1, **failure)
    answer = shop.post_event(sent)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert shop.columns(bob)["customer_id"] == "cus_bob"
    assert shop.columns(bob)["subscription_id"] is None
    assert (shop.events, shop.subscriptions) == ([], [])

    stripe_api.reset()
    stripe_api.get(SUB_1, json=subscription(customer="cus_bob"))
    ok(shop.post_event(sent))
    assert shop.columns(bob)["subscription_id"] == "sub_1"


def test_checkout_stores_no_subscription_of_another_customer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB_1, json=subscription(customer="cus_eve"))
    ok(shop.post_event(checkout()))
    assert shop.columns()["subscription_id"] is None
    assert shop.subscriptions == []


# -- failed payments -------------------------------------------------------------------


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


@pytest.mark.parametrize("api_version", ["2024-12-18.acacia", "2025-03-31.basil"])
def test_failed_renewal_is_noticed_on_every_api_version(
    shop: Any, api_version: str
) -> None:
    """K2: since basil the invoice names its subscription elsewhere, and was ignored."""
    send(shop, event("created"), payment_failed(60, api_version=api_version))
    assert shown(shop)["status"] == "past_due"


def test_failed_payment_of_another_subscription_leaves_the_present_one(
    shop: Any,
) -> None:
    """K5: an unpaid invoice of any subscription made the present one past due."""
    send(
        shop,
        event("created", id="sub_pro", created=T + 1),
        event("created", id="sub_addon"),
        payment_failed(60, subscription="sub_addon"),
    )
    assert shown(shop)["id"] == "sub_pro"
    assert shown(shop)["status"] == "active"


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle", None])
def test_who_never_paid_is_not_in_a_grace_period(shop: Any, reason: str | None) -> None:
    """K7: a first payment that failed turned ``incomplete`` into ``past_due``."""
    send(
        shop,
        event("created", status="incomplete"),
        payment_failed(60, billing_reason=reason),
    )
    assert shown(shop)["status"] == "incomplete"


# -- deleted customers -----------------------------------------------------------------


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


def test_access_ends_with_the_customer(shop: Any) -> None:
    """K16: ``customer.deleted`` was ignored, and the user stayed active."""
    send(
        shop,
        event("created"),
        make_event("customer.deleted", make_customer("cus_ada")),
    )
    assert shown(shop) is None
    assert shop.columns()["subscription_status"] == "canceled"


# -- mode, account, other types --------------------------------------------------------


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
    assert [(row.user_id, row.change) for row in shop.events] == [(None, None)]


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
