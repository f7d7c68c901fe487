"""Who buys is one customer, pays once and gets back to the app.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
import responses
from requests import PreparedRequest

from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests.buyers import answer_checkout
from tests.buyers import shown
from tests.buyers import start_checkout
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import event
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import expect_list
from tests.vocabulary import expect_new_customer
from tests.vocabulary import expect_search
from tests.vocabulary import no_such_customer
from tests.vocabulary import send
from tests.vocabulary import sent_params
from tests.vocabulary import subscription


@pytest.mark.parametrize("stripe_forgets_keys", [False, True])
def test_two_tabs_make_one_customer_and_its_end_is_noticed(
    kept_shop: Any, stripe_api: responses.RequestsMock, stripe_forgets_keys: bool
) -> None:
    """K10: parallel checkouts made two customers; the end of one was never noticed."""
    bob = kept_shop.add_user(email="bob@example.com")
    both = threading.Barrier(2)
    made: dict[str, str] = {}

    def make_one(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        both.wait(10)  # neither tab has found a customer
        key = request.headers["Idempotency-Key"]
        key = uuid4().hex if stripe_forgets_keys else key
        customer_id = made.setdefault(key, f"cus_bob_{len(made)}")
        return 200, {}, json.dumps({"id": customer_id, "object": "customer"})

    expect_search(stripe_api)
    stripe_api.add_callback("POST", CUSTOMERS, callback=make_one)
    answer_checkout(stripe_api)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: start_checkout(kept_shop, bob), range(2)))

    assert [answer.status_code for answer in answers] == [200, 200]
    customer_id = kept_shop.columns(bob)["customer_id"]
    assert customer_id in made.values()
    assert stripe_forgets_keys or len(made) == 1
    sessions = [
        dict(parse_qsl(str(call.request.body)))["customer"]
        for call in stripe_api.calls
        if (call.request.method, call.request.url) == ("POST", CHECKOUT_SESSIONS)
    ]
    assert sessions == [customer_id] * 2

    send(
        kept_shop,
        event("created", customer=customer_id),
        event("deleted", 60, customer=customer_id, status="canceled"),
    )
    assert shown(kept_shop, bob) is None


@pytest.mark.parametrize("webhook_came", [True, False])
def test_who_was_deleted_at_stripe_can_buy_again(
    kept_shop: Any, stripe_api: responses.RequestsMock, webhook_came: bool
) -> None:
    """K16: after that, each checkout failed with "No such customer"."""
    if webhook_came:
        send(kept_shop, make_event("customer.deleted", make_customer("cus_ada")))

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        if "cus_ada" not in str(request.body):
            return 200, {}, json.dumps({"id": "cs_1", "url": "https://stripe/c"})

        return 400, {}, json.dumps(no_such_customer())

    stripe_api.add_callback("POST", CHECKOUT_SESSIONS, callback=answer)

    if not webhook_came:
        expect_deleted_customer(stripe_api)

    expect_new_customer(stripe_api, json=make_customer("cus_again"))
    assert start_checkout(kept_shop).status_code == 200
    assert kept_shop.columns()["customer_id"] == "cus_again"


@pytest.mark.parametrize(
    "status", ["active", "trialing", "past_due", "unpaid", "paused"]
)
def test_subscriber_is_not_charged_twice(
    kept_shop: Any, stripe_api: responses.RequestsMock, status: str
) -> None:
    """K21: nothing kept a subscriber from a second checkout."""
    send(kept_shop, event("created", status=status))
    expect_list(stripe_api, subscription(status=status))
    answer = start_checkout(kept_shop)
    assert (answer.status_code, answer.get_json()["code"]) == (
        409,
        "already_subscribed",
    )


def test_second_checkout_behind_a_newer_incomplete_one(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_ACTIVE_STATUSES=("active", "trialing", "incomplete"))
    shop.add_user(stripe_customer_id="cus_ada")
    paid = make_subscription("sub_a", customer="cus_ada", created=1000)
    tried = make_subscription(
        "sub_b", customer="cus_ada", created=2000, status="incomplete"
    )

    for each in (paid, tried):
        shop.post_event(make_event("customer.subscription.created", each))

    assert shop.columns()["subscription_id"] == "sub_b"
    expect_list(stripe_api, paid, tried)
    response = shop.browser(1).post(
        CHECKOUT, json={"priceId": "price_1", "trialDays": 7}
    )
    assert (response.status_code, response.json["code"]) == (409, "already_subscribed")


def test_payer_returns_to_the_app_when_no_url_is_given(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """K12: without a URL, payers were sent to ``https://example.com/success``."""
    answer_checkout(stripe_api)
    assert start_checkout(kept_shop).status_code == 200
    form = sent_params(stripe_api, 0)
    assert form["success_url"] == "http://localhost/?session_id={CHECKOUT_SESSION_ID}"
    assert form["cancel_url"] == "http://localhost/"


def test_page_of_a_proxy_instead_of_stripe_is_a_502(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """K18: a proxy's HTML page became a 500 with the JSON parser's message."""
    html = "<html>502 Bad Gateway</html>"
    stripe_api.post(CHECKOUT_SESSIONS, status=502, body=html)
    answer = start_checkout(kept_shop)
    assert (answer.status_code, answer.get_json()["code"]) == (502, "stripe_error")
    assert "JSON" not in answer.text
    assert "html" not in answer.text
