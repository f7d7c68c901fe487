"""A plan is sold once, whatever was lost and however many tabs are open.

Over the lifetime of subscriptions in the sandbox; where Stripe is asked at the same
moment, with answers made by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import responses

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT_PAGE
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import expect_list
from tests.vocabulary import expect_new_customer
from tests.vocabulary import expect_open_pages
from tests.vocabulary import mark
from tests.vocabulary import sent_params
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import T

PRICES = {
    "pro": "price_pro",
    "team": {"price": "price_team", "trial_days": 14},
    "storage": {"price": "price_storage", "addon": True},
}


@pytest.fixture
def lively(make_shop: Any) -> Any:
    """An app with one user, without a customer."""
    shop = make_shop(STRIPE_PRICES=PRICES, STRIPE_TRIAL_DAYS=0)
    shop.add_user(email="ada@example.com")
    return shop


@pytest.fixture
def stripe(lively: Any) -> Iterator[Sandbox]:
    with connect(lively.app, Sandbox(seed=1)) as sandbox:
        yield sandbox


@pytest.fixture
def strict_api() -> Iterator[responses.RequestsMock]:
    """Unlike ``stripe_api`` here, it answers nothing by itself."""
    with responses.RequestsMock() as mock:
        yield mock


def open_tab(shop: Any, price: str = "pro") -> str:
    """Have Ada choose a price: the id of the page that Stripe makes."""
    answer = buy(shop, {"price": price})
    assert answer.status_code == 200, answer.text
    return str(answer.json["sessionId"])


def status_of(shop: Any, session_id: str) -> str:
    """The status of a page at Stripe."""
    client = shop.app.extensions["kavach_stripe"].client
    return str(client.get(f"/v1/checkout/sessions/{session_id}")["status"])


def lose_all_webhooks(stripe: Sandbox) -> None:
    stripe.faults.add("drop", times=float("inf"))


# -- lost webhooks -------------------------------------------------------------------


def test_subscriber_whose_webhooks_were_lost_buys_no_second_subscription(
    lively: Any, stripe: Sandbox
) -> None:
    page = open_tab(lively)
    lose_all_webhooks(stripe)
    stripe.pay(page)
    stripe.faults.clear()
    assert lively.subscriptions == []

    assert_error(buy(lively, {"price": "pro"}), 409, "already_subscribed")
    assert [row.status for row in lively.subscriptions] == ["active"]
    assert lively.columns()["subscription_status"] == "active"


def test_subscriber_of_the_dashboard_buys_no_second_subscription(
    lively: Any, stripe: Sandbox, subscribe: Callable[..., Any]
) -> None:
    open_tab(lively)
    subscribe(lively.columns()["customer_id"], "price_team")

    assert_error(buy(lively, {"price": "pro"}), 409, "already_subscribed")
    assert lively.columns()["price_id"] == "price_team"


def test_lost_subscription_that_ended_leaves_no_second_trial(
    lively: Any, stripe: Sandbox, subscribe: Callable[..., Any]
) -> None:
    open_tab(lively)
    subscription_id = subscribe(lively.columns()["customer_id"], "price_team")
    client = lively.app.extensions["kavach_stripe"].client
    client.delete(f"/v1/subscriptions/{subscription_id}")
    assert lively.subscriptions == []

    lose_all_webhooks(stripe)
    stripe.pay(open_tab(lively, "team"))

    running, _ = client.get("/v1/subscriptions", {"status": "all"})["data"]
    assert (running["status"], running["trial_end"]) == ("active", None)


def test_blank_columns_of_a_form_take_no_trial_away(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES, STRIPE_TRIAL_DAYS=0)
    blank = dict.fromkeys(("stripe_customer_id", "stripe_subscription_status"), "")
    shop.add_user(email="ada@example.com", **blank)

    with connect(shop.app, Sandbox(seed=1)) as stripe:
        stripe.pay(open_tab(shop, "team"))

    assert shop.columns()["subscription_status"] == "trialing"


@pytest.fixture
def subscribe(lively: Any, stripe: Sandbox) -> Callable[..., Any]:
    """Subscribe a customer in the Dashboard. No webhook has come yet."""

    def call(customer_id: str, price_id: str) -> Any:
        client = lively.app.extensions["kavach_stripe"].client
        method = client.post(
            "/v1/payment_methods/pm_card_visa/attach", {"customer": customer_id}
        )
        return client.post(
            "/v1/subscriptions",
            {
                "customer": customer_id,
                "items": [{"price": price_id}],
                "default_payment_method": method["id"],
            },
        )["id"]

    return call


# -- two tabs ------------------------------------------------------------------------


def test_older_of_two_tabs_has_expired(lively: Any, stripe: Sandbox) -> None:
    older = open_tab(lively)
    newer = open_tab(lively, "team")

    assert status_of(lively, older) == "expired"
    stripe.pay(newer)
    assert [row.status for row in lively.subscriptions] == ["trialing"]
    assert_error(buy(lively, {"price": "pro"}), 409, "already_subscribed")


def test_of_many_tabs_one_is_open(lively: Any, stripe: Sandbox) -> None:
    tabs = [open_tab(lively) for _ in range(4)]

    assert [status_of(lively, tab) for tab in tabs] == [*["expired"] * 3, "open"]


def test_tab_of_another_user_stays_open(lively: Any, stripe: Sandbox) -> None:
    lively.add_user(email="bob@example.com")
    answer = lively.browser(2).post("/auth/stripe/checkout", json={"price": "pro"})

    open_tab(lively)

    assert status_of(lively, answer.json["sessionId"]) == "open"


def test_tab_with_an_addon_stays_open_and_expires_none(
    lively: Any, stripe: Sandbox
) -> None:
    plan, addon = open_tab(lively), open_tab(lively, "storage")
    assert [status_of(lively, each) for each in (plan, addon)] == ["open", "open"]

    other_plan = open_tab(lively, "team")

    assert status_of(lively, plan) == "expired"
    assert [status_of(lively, each) for each in (addon, other_plan)] == ["open", "open"]


def test_addon_is_a_subscription_of_its_own_beside_the_plan(
    lively: Any, stripe: Sandbox
) -> None:
    stripe.pay(open_tab(lively))
    stripe.pay(open_tab(lively, "storage"))

    assert len(lively.subscriptions) == 2
    assert lively.columns()["price_id"] == "price_pro"


def test_addon_has_no_trial_that_could_be_had_again(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES, STRIPE_TRIAL_DAYS=7)
    shop.add_user(email="ada@example.com")

    with connect(shop.app, Sandbox(seed=1)) as stripe:
        stripe.pay(open_tab(shop, "storage"))

    assert [row.status for row in shop.subscriptions] == ["active"]


# -- the same moment -----------------------------------------------------------------


#: The metadata of a page for a plan of Ada's.
OURS: dict[str, Any] = {**mark(1, "cus_ada"), "kavach_sale": "plan"}


def page(id: str, created: int = T, **values: Any) -> dict[str, Any]:
    """A page for a plan of Ada's, as Stripe lists it."""
    defaults = {
        **CHECKOUT_SESSION,
        "url": f"https://checkout.stripe.com/c/pay/{id}",
        "status": "open",
        "metadata": OURS,
    }
    return {**defaults, "id": id, "created": created, **values}


def expect_page(api: responses.RequestsMock, id: str, created: int = T) -> None:
    """Answer one request for a Checkout session."""
    api.post(CHECKOUT_SESSIONS, json=page(id, created))


def expect_expiry(api: responses.RequestsMock, id: str, **answer: Any) -> Any:
    """Answer one request to expire a page."""
    answer = answer or {"json": page(id, status="expired", url=None)}
    return api.post(f"{CHECKOUT_SESSIONS}/{id}/expire", **answer)


NOT_OPEN = {
    "status": 400,
    "json": {"error": {"type": "invalid_request_error", "message": "not open"}},
}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(page("cs_b", T - 1), id="a second before"),
        pytest.param(page("cs_b", T), id="in the same second"),
    ],
)
def test_older_page_is_expired(
    ada: Callable[..., Any], strict_api: responses.RequestsMock, other: dict[str, Any]
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_c"), other)
    expect_expiry(strict_api, "cs_b")

    assert buy(ada()).json["sessionId"] == "cs_c"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(page("cs_b", T + 1), id="a second later"),
        pytest.param(page("cs_d", T), id="in the same second"),
    ],
)
def test_parallel_requests_lead_to_one_page(
    ada: Callable[..., Any], strict_api: responses.RequestsMock, other: dict[str, Any]
) -> None:
    """The other request may have looked for pages before ours was made."""
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, other, page("cs_c"))
    expect_expiry(strict_api, "cs_c")

    assert buy(ada()).json == {"url": other["url"], "sessionId": other["id"]}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({}, id="of another library"),
        pytest.param(mark(1, "cus_ada"), id="not for a plan"),
        pytest.param({"kavach_sale": "plan"}, id="without a user"),
        pytest.param({"kavach_user_id": "1", "kavach_sale": "plan"}, id="no mark"),
        pytest.param({**OURS, "kavach_mark": "0" * 32}, id="a wrong mark"),
        pytest.param({**OURS, **mark(1)}, id="the mark of a customer"),
        pytest.param({**OURS, **mark(1, "cus_eve")}, id="of another customer"),
        pytest.param({**OURS, **mark(2, "cus_ada")}, id="another's"),
        pytest.param({**OURS, "kavach_user_id": 1}, id="odd"),
    ],
)
def test_page_that_is_not_ours_stays_open(
    ada: Callable[..., Any], strict_api: responses.RequestsMock, other: dict[str, Any]
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_b", T - 9, metadata=other))

    assert buy(ada()).status_code == 200


def test_older_page_that_was_paid_meanwhile_is_a_409(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_b", T - 9))
    expect_expiry(strict_api, "cs_b", **NOT_OPEN)
    paid = page("cs_b", T - 9, status="complete", url=None)
    strict_api.get(f"{CHECKOUT_SESSIONS}/cs_b", json=paid)
    expired = expect_expiry(strict_api, "cs_c")

    assert_error(buy(ada()), 409, "already_subscribed")
    assert expired.call_count == 1


def test_older_page_that_expired_meanwhile_is_no_error(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_b", T - 9))
    expect_expiry(strict_api, "cs_b", **NOT_OPEN)
    gone = page("cs_b", T - 9, status="expired", url=None)
    strict_api.get(f"{CHECKOUT_SESSIONS}/cs_b", json=gone)

    assert buy(ada()).json["sessionId"] == "cs_c"


def test_older_page_that_stripe_keeps_open_sells_nothing(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_b", T - 9))
    expect_expiry(strict_api, "cs_b", **NOT_OPEN)
    strict_api.get(f"{CHECKOUT_SESSIONS}/cs_b", json=page("cs_b", T - 9))

    assert_error(buy(ada()), 400, "invalid_request")


# -- how many requests ---------------------------------------------------------------


def requests_of(api: responses.RequestsMock) -> list[str]:
    """Method and path of each request."""
    return [
        f"{call.request.method} {urlsplit(str(call.request.url)).path}"
        for call in api.calls
    ]


def test_requests_for_a_user_without_a_customer(
    newcomer: Any, strict_api: responses.RequestsMock
) -> None:
    expect_new_customer(strict_api, json={"id": "cus_ada"})
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_c"))

    assert buy(newcomer).status_code == 200
    assert requests_of(strict_api) == [
        "GET /v1/customers",
        "POST /v1/customers",
        "POST /v1/checkout/sessions",
        "GET /v1/checkout/sessions",
    ]


@pytest.mark.parametrize("email", [None, "", " "])
def test_requests_for_a_user_without_a_customer_and_an_email(
    keep_shop: Any, strict_api: responses.RequestsMock, email: str | None
) -> None:
    """There is no address to search for."""
    shop = keep_shop(STRIPE_TRIAL_DAYS=0)
    shop.add_user(email=email)
    strict_api.post(CUSTOMERS, json={"id": "cus_ada"})
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_c"))

    assert buy(shop).status_code == 200
    assert requests_of(strict_api) == [
        "POST /v1/customers",
        "POST /v1/checkout/sessions",
        "GET /v1/checkout/sessions",
    ]


def test_requests_for_a_customer(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_c"))

    assert buy(ada()).status_code == 200
    assert requests_of(strict_api) == [
        "GET /v1/subscriptions",
        "POST /v1/checkout/sessions",
        "GET /v1/checkout/sessions",
    ]


def test_requests_for_a_customer_with_an_open_page(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    expect_list(strict_api)
    expect_page(strict_api, "cs_c")
    expect_open_pages(strict_api, page("cs_c"), page("cs_b"))
    expect_expiry(strict_api, "cs_b")

    assert buy(ada()).status_code == 200
    assert requests_of(strict_api) == [
        "GET /v1/subscriptions",
        "POST /v1/checkout/sessions",
        "GET /v1/checkout/sessions",
        "POST /v1/checkout/sessions/cs_b/expire",
    ]


def test_requests_for_an_addon(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    strict_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    body = {"price": "storage", "metadata": {"kavach_sale": "plan"}}

    assert buy(ada(STRIPE_PRICES=PRICES), body).json["url"] == CHECKOUT_PAGE
    assert requests_of(strict_api) == ["POST /v1/checkout/sessions"]
    assert "metadata[kavach_sale]" not in sent_params(strict_api)


def test_nothing_is_made_while_stripe_cannot_be_asked(
    ada: Callable[..., Any], strict_api: responses.RequestsMock
) -> None:
    strict_api.get(SUBSCRIPTIONS, status=429, json={"error": {"code": "rate"}})

    response = buy(ada())

    assert_error(response, 503, "stripe_unavailable")
    assert requests_of(strict_api) == ["GET /v1/subscriptions"]
