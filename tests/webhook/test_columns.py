"""What went wrong for users of the plugin that this extension is a port of.

K1 to K22 number its bugs, each of which was seen in its code or by running it. A test
is named after what the user of an app sees here instead.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from datetime import UTC
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
import responses
from requests import PreparedRequest
from werkzeug.test import TestResponse

from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription

API = "https://api.stripe.com/v1"
SUBSCRIPTIONS = f"{API}/subscriptions"
T = 1_790_000_000  # when everything begins, in Unix seconds
MONTH = 2_592_000


def subscription(**values: Any) -> dict[str, Any]:
    """Ada's subscription."""
    defaults = {
        "id": "sub_1",
        "customer": "cus_ada",
        "price": "price_pro",
        "created": T,
        "current_period_end": T + MONTH,
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


def payment_failed(after: int, /, **values: Any) -> dict[str, Any]:
    defaults = {
        "customer": "cus_ada",
        "subscription": "sub_1",
        "period_end": T + 2 * MONTH,
    }
    invoice = make_invoice(**{**defaults, **values})
    return make_event("invoice.payment_failed", invoice, created=T + after)


def send(shop: Any, *events: dict[str, Any]) -> None:
    for sent in events:
        assert shop.post_event(sent).status_code == 200


def shown(shop: Any, user_id: int = 1) -> Any:
    """What a browser is shown of the logged-in user's subscription."""
    answer = shop.browser(user_id).get("/auth/stripe/subscription")
    assert answer.status_code == 200
    return answer.json["subscription"]


def buy(shop: Any, user_id: int = 1, **fields: Any) -> TestResponse:
    """Have a browser start a checkout."""
    body = {"priceId": "price_pro", **fields}
    answer: TestResponse = shop.browser(user_id).post(
        "/auth/stripe/checkout", json=body
    )
    return answer


def sent_form(call: Any) -> dict[str, str]:
    """The parameters of a call to Stripe."""
    fields = parse_qs(call.request.body)
    return {name: values[0] for name, values in fields.items()}


def answer_checkout(stripe_api: responses.RequestsMock) -> None:
    page = {"id": "cs_1", "url": "https://checkout.stripe.com/c/cs_1"}
    stripe_api.post(f"{API}/checkout/sessions", json=page)


@pytest.mark.parametrize(
    "api_version", ["2024-12-18.acacia", "2025-03-31.basil", "2026-10-28.endive"]
)
def test_k1_payer_is_subscribed_on_every_api_version(
    kept_shop: Any, api_version: str
) -> None:
    send(kept_shop, event("created", api_version=api_version))
    assert shown(kept_shop) == {
        "id": "sub_1",
        "status": "active",
        "priceId": "price_pro",
        "currentPeriodEnd": datetime.fromtimestamp(T + MONTH, UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
        "cancelAtPeriodEnd": False,
    }


@pytest.mark.parametrize("missing", [None, [], {}])
def test_k1_payer_without_a_period_end_is_subscribed(
    kept_shop: Any, missing: Any
) -> None:
    sent = event("created")
    sent["data"]["object"]["items"] = missing
    send(kept_shop, sent)
    assert shown(kept_shop)["status"] == "active"
    assert shown(kept_shop)["currentPeriodEnd"] is None


@pytest.mark.parametrize("api_version", ["2024-12-18.acacia", "2025-03-31.basil"])
def test_k2_failed_renewal_is_noticed_on_every_api_version(
    kept_shop: Any, api_version: str
) -> None:
    send(kept_shop, event("created"), payment_failed(60, api_version=api_version))
    assert shown(kept_shop)["status"] == "past_due"


def test_k3_canceled_plan_stays_canceled_when_an_update_comes_late(
    kept_shop: Any,
) -> None:
    send(
        kept_shop,
        event("created"),
        event("deleted", 60, status="canceled"),
        event("updated", 30),
        event("updated", 90),
    )
    assert shown(kept_shop) is None


def test_k4_end_of_the_old_plan_keeps_the_new_one(kept_shop: Any) -> None:
    send(
        kept_shop,
        event("created", id="sub_old"),
        event("created", 60, id="sub_new", created=T + 60),
        event("deleted", 61, id="sub_old", status="canceled"),
    )
    assert shown(kept_shop)["id"] == "sub_new"
    assert shown(kept_shop)["status"] == "active"


def test_k5_failed_payment_of_another_subscription_leaves_the_present_one(
    kept_shop: Any,
) -> None:
    send(
        kept_shop,
        event("created", id="sub_pro", created=T + 1),
        event("created", id="sub_addon"),
        payment_failed(60, subscription="sub_addon"),
    )
    assert shown(kept_shop)["id"] == "sub_pro"
    assert shown(kept_shop)["status"] == "active"


def test_k6_payer_who_recovered_stays_active_when_the_failure_comes_late(
    kept_shop: Any,
) -> None:
    send(
        kept_shop,
        event("created"),
        event("updated", 60, status="past_due"),
        event("updated", 90, current_period_end=T + 2 * MONTH),
        payment_failed(58),
        payment_failed(90),
        payment_failed(95, period_end=T + MONTH),
    )
    assert shown(kept_shop)["status"] == "active"


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle", None])
def test_k7_who_never_paid_is_not_in_a_grace_period(
    kept_shop: Any, reason: str | None
) -> None:
    send(
        kept_shop,
        event("created", status="incomplete"),
        payment_failed(60, billing_reason=reason),
    )
    assert shown(kept_shop)["status"] == "incomplete"


def test_k8_payer_is_active_though_the_creation_comes_last(kept_shop: Any) -> None:
    send(kept_shop, event("updated", 1), event("created", 0, status="incomplete"))
    assert shown(kept_shop)["status"] == "active"


@pytest.mark.parametrize("last", ["incomplete_expired", "canceled", "incomplete"])
def test_k9_abandoned_second_checkout_keeps_the_first_plan(
    kept_shop: Any, last: str
) -> None:
    send(
        kept_shop,
        event("created", id="sub_paid"),
        event("created", 60, id="sub_2", status="incomplete", created=T + 60),
        event("updated", 90, id="sub_2", status=last, created=T + 60),
    )
    assert shown(kept_shop)["id"] == "sub_paid"
    assert shown(kept_shop)["status"] == "active"


@pytest.mark.parametrize("stripe_forgets_keys", [False, True])
def test_k10_two_tabs_make_one_customer_and_its_end_is_noticed(
    kept_shop: Any, stripe_api: responses.RequestsMock, stripe_forgets_keys: bool
) -> None:
    bob = kept_shop.add_user(email="bob@example.com")
    both = threading.Barrier(2)
    made: dict[str, str] = {}

    def make_one(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        both.wait(10)  # neither tab has found a customer
        key = request.headers["Idempotency-Key"]
        key = uuid4().hex if stripe_forgets_keys else key
        customer_id = made.setdefault(key, f"cus_bob_{len(made)}")
        return 200, {}, json.dumps({"id": customer_id, "object": "customer"})

    stripe_api.add_callback("POST", f"{API}/customers", callback=make_one)
    answer_checkout(stripe_api)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: buy(kept_shop, bob), range(2)))

    assert [answer.status_code for answer in answers] == [200, 200]
    customer_id = kept_shop.columns(bob)["customer_id"]
    assert customer_id in made.values()
    assert stripe_forgets_keys or len(made) == 1
    sessions = [
        sent_form(call)["customer"]
        for call in stripe_api.calls
        if call.request.url == f"{API}/checkout/sessions"
    ]
    assert sessions == [customer_id] * 2

    send(
        kept_shop,
        event("created", customer=customer_id),
        event("deleted", 60, customer=customer_id, status="canceled"),
    )
    assert shown(kept_shop, bob) is None


@pytest.fixture
def strict_shop(make_shop: Any) -> Any:
    """A shop that says what is for sale."""
    shop = make_shop(
        STRIPE_SECRET_KEY="sk_live_of_the_tests",
        STRIPE_PRICES={"pro": "price_pro"},
        STRIPE_TRIAL_DAYS=7,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"priceId": "price_of_one_cent"}, "price_not_allowed"),
        ({"trialDays": 730}, "trial_not_allowed"),
        ({"successUrl": "javascript:alert(1)"}, "untrusted_redirect"),
        ({"successUrl": "https://evil.example/"}, "untrusted_redirect"),
        ({"cancelUrl": "//evil.example/"}, "untrusted_redirect"),
    ],
)
def test_k11_browser_cannot_choose_price_trial_or_redirect(
    strict_shop: Any,
    stripe_api: responses.RequestsMock,
    fields: dict[str, Any],
    code: str,
) -> None:
    answer = buy(strict_shop, **fields)
    assert (answer.status_code, answer.get_json()["code"]) == (400, code)


def test_k11_browser_cannot_buy_for_another_user(
    strict_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_checkout(stripe_api)
    answer = buy(strict_shop, metadata={"kavach_user_id": "2", "color": "red"})
    form = sent_form(stripe_api.calls[0]) if answer.status_code == 200 else {}
    assert form.get("metadata[kavach_user_id]") == "1"
    assert form["subscription_data[metadata][kavach_user_id]"] == "1"
    assert form["client_reference_id"] == "1"
    assert form["metadata[color]"] == "red"


def test_k12_payer_returns_to_the_app_when_no_url_is_given(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_checkout(stripe_api)
    assert buy(kept_shop).status_code == 200
    form = sent_form(stripe_api.calls[0])
    assert form["success_url"] == "http://localhost/?session_id={CHECKOUT_SESSION_ID}"
    assert form["cancel_url"] == "http://localhost/"


@pytest.mark.parametrize(
    "session",
    [
        pytest.param({"payment_link": "plink_1"}, id="query of a payment link"),
        pytest.param({"metadata": {"kavach_user_id": "2"}}, id="staging, same account"),
        pytest.param({"mode": "payment"}, id="a one-time purchase"),
        pytest.param({"client_reference_id": "1"}, id="of someone with a customer"),
    ],
)
def test_k13_nobody_gets_the_customer_of_a_stranger(
    kept_shop: Any, stripe_api: responses.RequestsMock, session: dict[str, Any]
) -> None:
    bob = kept_shop.add_user()
    values = {"client_reference_id": str(bob), "customer": "cus_stranger", **session}
    send(
        kept_shop,
        make_event("checkout.session.completed", make_checkout_session(**values)),
        event("created", customer="cus_stranger"),
    )
    assert kept_shop.columns(1)["customer_id"] == "cus_ada"
    assert kept_shop.columns(bob)["customer_id"] is None
    assert shown(kept_shop, bob) is None


def test_k14_nothing_is_told_of_users_that_do_not_exist(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    told: list[Any] = []
    kept_shop.kavach_stripe.on_subscription_change(lambda *args: told.append(args))
    session = make_checkout_session(client_reference_id="999", customer="cus_x")
    send(
        kept_shop,
        make_event("checkout.session.completed", session),
        event("created", customer="cus_x"),
    )
    assert told == []


def test_k15_welcome_mail_is_sent_once(kept_shop: Any) -> None:
    mails: list[str] = []
    kept_shop.kavach_stripe.on_subscription_change(
        lambda user, found: mails.append(user.email)
    )
    sent = event("created")
    send(kept_shop, sent, sent)
    assert mails == ["ada@example.com"]


def test_k15_callback_that_fails_is_called_again_and_tells_nobody_why(
    kept_shop: Any,
) -> None:
    outcomes = iter([ValueError("the mail server's password is 1234"), None])
    mails: list[str] = []

    def mail(user: Any, found: Any) -> None:
        outcome = next(outcomes)

        if outcome is not None:
            raise outcome

        mails.append(user.email)

    kept_shop.kavach_stripe.on_subscription_change(mail)
    sent = event("created")
    answer = kept_shop.post_event(sent)
    assert answer.status_code == 500
    assert "1234" not in answer.text
    assert shown(kept_shop)["status"] == "active"
    send(kept_shop, sent)
    assert mails == ["ada@example.com"]


def test_k16_access_ends_with_the_customer(kept_shop: Any) -> None:
    send(
        kept_shop,
        event("created"),
        make_event("customer.deleted", make_customer("cus_ada")),
    )
    assert shown(kept_shop) is None
    assert kept_shop.columns()["subscription_status"] == "canceled"


@pytest.mark.parametrize("webhook_came", [True, False])
def test_k16_who_was_deleted_at_stripe_can_buy_again(
    kept_shop: Any, stripe_api: responses.RequestsMock, webhook_came: bool
) -> None:
    if webhook_came:
        send(kept_shop, make_event("customer.deleted", make_customer("cus_ada")))

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        if "cus_ada" not in str(request.body):
            return 200, {}, json.dumps({"id": "cs_1", "url": "https://stripe/c"})

        error = {
            "type": "invalid_request_error",
            "code": "resource_missing",
            "param": "customer",
            "message": "No such customer: 'cus_ada'",
        }
        return 400, {}, json.dumps({"error": error})

    stripe_api.add_callback("POST", f"{API}/checkout/sessions", callback=answer)
    stripe_api.post(f"{API}/customers", json=make_customer("cus_again"))
    assert buy(kept_shop).status_code == 200
    assert kept_shop.columns()["customer_id"] == "cus_again"


def test_k17_cancellation_in_the_portal_is_shown(kept_shop: Any) -> None:
    """Under flexible billing it sets ``cancel_at``, and nothing else."""
    send(kept_shop, event("created"), event("updated", 60, cancel_at=T + MONTH))
    assert shown(kept_shop)["cancelAtPeriodEnd"] is True
    send(kept_shop, event("updated", 90))
    assert shown(kept_shop)["cancelAtPeriodEnd"] is False


def test_k18_page_of_a_proxy_instead_of_stripe_is_a_502(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    html = "<html>502 Bad Gateway</html>"
    stripe_api.post(f"{API}/checkout/sessions", status=502, body=html)
    answer = buy(kept_shop)
    assert (answer.status_code, answer.get_json()["code"]) == (502, "stripe_error")
    assert "JSON" not in answer.text
    assert "html" not in answer.text


@pytest.mark.parametrize("path", ["checkout", "portal"])
@pytest.mark.parametrize("body", [b"null", b"[]", b"7", b'"x"', b"", b"\xff", b"{"])
def test_k18_body_that_is_no_object_is_a_400(
    kept_shop: Any, path: str, body: bytes
) -> None:
    answer = kept_shop.browser(1).post(
        f"/auth/stripe/{path}", data=body, content_type="application/json"
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_k19_end_can_be_seen(kept_shop: Any, status: str) -> None:
    send(kept_shop, event("created"), event("deleted", 60, status=status))
    assert shown(kept_shop) is None
    assert kept_shop.columns()["subscription_status"] == status

    with kept_shop.app.app_context():
        [found] = kept_shop.kavach_stripe.list_subscriptions(1)
        assert (found.id, found.status) == ("sub_1", status)


@pytest.mark.parametrize("status", ["paused", "unpaid", "incomplete", "past_due"])
def test_k19_status_that_gives_no_access_can_be_seen(
    kept_shop: Any, status: str
) -> None:
    send(kept_shop, event("created", status=status))
    assert shown(kept_shop)["status"] == status


def test_k20_helpers_are_where_the_documentation_says(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_checkout(stripe_api)

    with kept_shop.app.test_request_context():
        session = kept_shop.kavach_stripe.create_checkout_session(1, "price_pro")

    assert session.url == "https://checkout.stripe.com/c/cs_1"


@pytest.mark.parametrize(
    "status", ["active", "trialing", "past_due", "unpaid", "paused"]
)
def test_k21_subscriber_is_not_charged_twice(
    kept_shop: Any, stripe_api: responses.RequestsMock, status: str
) -> None:
    send(kept_shop, event("created", status=status))
    page = {
        "object": "list",
        "data": [subscription(status=status)],
        "has_more": False,
    }
    stripe_api.get(SUBSCRIPTIONS, json=page)
    answer = buy(kept_shop)
    assert (answer.status_code, answer.get_json()["code"]) == (
        409,
        "already_subscribed",
    )


@pytest.mark.parametrize(
    "timestamp", ["abc", "NaN", "", "1e9", "-1", "+1", " 1", "0x1", "٣", "Infinity"]
)
def test_k22_timestamp_that_is_no_number_is_refused(
    kept_shop: Any, timestamp: str
) -> None:
    """Even if whoever sent it knows the secret."""
    body = json.dumps(event("created")).encode()
    prefix = f"{timestamp}.".encode()
    mac = hmac.new(b"whsec_of_the_tests", prefix + body, hashlib.sha256)
    header = f"t={timestamp},v1={mac.hexdigest()}"
    answer = kept_shop.app.test_client().post(
        "/auth/stripe/webhook",
        data=body,
        headers={"Stripe-Signature": header.encode().decode("latin-1")},
    )
    assert answer.status_code == 400
    assert shown(kept_shop) is None
