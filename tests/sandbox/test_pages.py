from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON
from .conftest import page_path

CARD = {
    "email": "ada@example.com",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "12 / 34",
    "card_cvc": "123",
    "card_name": "Ada",
}


def test_checkout_page(api: Api, browser: Client) -> None:
    session = api.checkout(line_items__0__quantity="2", customer_email="a@example.com")
    page = browser.get(page_path(session["url"]))
    assert page.status_code == 200
    assert "Sandbox, no real money" in page.text
    assert "$18.00" in page.text
    assert 'value="a@example.com" readonly' in page.text
    assert 'href="https://shop.test/pricing"' in page.text

    for name in ("email", "card_number", "card_expiry", "card_cvc", "card_name"):
        assert f'<label for="{name}">' in page.text
        assert f'id="{name}"' in page.text


def test_paying_leads_back_to_the_app(api: Api, browser: Client, hook: Hook) -> None:
    session = api.checkout()
    answer = browser.post(page_path(session["url"]), data=CARD)
    assert answer.status_code == 303
    assert answer.location == f"https://shop.test/ok?session_id={session['id']}"
    # Checkout waits for this webhook before it sends the buyer back.
    assert hook.types[-1] == "checkout.session.completed"


def test_pressing_the_button_twice_pays_once(api: Api, browser: Client) -> None:
    path = page_path(api.checkout()["url"])
    first, second = (browser.post(path, data=CARD) for _ in range(2))
    assert (second.status_code, second.location) == (303, first.location)
    assert len(api.get("/v1/subscriptions")["data"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"card_number": "4000000000000002"}, "Your card was declined."),
        ({"card_expiry": "12 / 25"}, "in the past"),
        ({"card_expiry": "13 / 34"}, "invalid"),
        ({"card_cvc": "12"}, "security code is incomplete"),
        ({"card_number": "1234"}, "number is invalid"),
        ({"email": ""}, "e-mail address is needed"),
    ],
)
def test_refused_form_says_why_and_keeps_what_was_typed(
    api: Api, browser: Client, change: dict[str, str], message: str
) -> None:
    session = api.checkout()
    page = browser.post(page_path(session["url"]), data={**CARD, **change})
    assert page.status_code == 402
    assert message in page.text
    assert 'role="alert"' in page.text
    assert 'value="Ada"' in page.text
    assert api.get("/v1/subscriptions")["data"] == []
    again = browser.post(page_path(session["url"]), data=CARD)
    assert again.status_code == 303


def test_card_may_expire_this_month(api: Api, browser: Client) -> None:
    form = {**CARD, "card_expiry": "01/2026"}
    answer = browser.post(page_path(api.checkout()["url"]), data=form)
    assert answer.status_code == 303


def test_trial_on_the_page(api: Api, browser: Client) -> None:
    session = api.checkout(subscription_data__trial_period_days="14")
    page = browser.get(page_path(session["url"]))
    assert "Start trial" in page.text
    assert "29 January 2026" in page.text
    assert "$0.00" in page.text


def test_page_without_card_when_none_is_needed(api: Api, browser: Client) -> None:
    session = api.checkout(
        subscription_data__trial_period_days="14",
        payment_method_collection="if_required",
    )
    path = page_path(session["url"])
    assert "card_number" not in browser.get(path).text
    answer = browser.post(path, data={"email": "ada@example.com"})
    assert answer.status_code == 303


def test_promotion_code_on_the_page(api: Api, browser: Client) -> None:
    api.post("/v1/coupons", {"id": "C", "percent_off": "25"})
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": "C"}
    api.post("/v1/promotion_codes", {"code": "SPRING", **promotion})
    plain = page_path(api.checkout()["url"])
    assert "Promotion code" not in browser.get(plain).text
    refused = browser.post(f"{plain}/code", data={"promotion_code": "SPRING"})
    assert refused.status_code == 402
    session = api.checkout(allow_promotion_codes="true")
    path = page_path(session["url"])
    wrong = browser.post(f"{path}/code", data={"promotion_code": "AUTUMN"})
    assert wrong.status_code == 402
    assert "This code is invalid." in wrong.text
    assert 'value="AUTUMN"' in wrong.text
    taken = browser.post(f"{path}/code", data={"promotion_code": "spring"})
    assert (taken.status_code, taken.location) == (303, path)
    page = browser.get(path).text

    for text in ("SPRING", "-$2.25", "Pay $6.75", "$9.00 <small>"):
        assert text in re.sub(r"\s+", " ", page)

    browser.post(f"{path}/code")
    assert "Pay $9.00" in browser.get(path).text
    browser.post(f"{path}/code", data={"promotion_code": "SPRING"})
    assert browser.post(path, data=CARD).status_code == 303
    assert api.again(session)["amount_total"] == 675


def test_closed_sessions_say_so(sandbox: Sandbox, api: Api, browser: Client) -> None:
    path = page_path(api.checkout()["url"])
    sandbox.advance(days=2)
    assert browser.get(path).status_code == 410
    assert "expired" in browser.post(path, data=CARD).text
    paid = api.checkout()
    sandbox.pay(paid["id"])
    page = browser.get(page_path(paid["url"]))
    assert "paid already" in page.text
    assert f"https://shop.test/ok?session_id={paid['id']}" in page.text
    assert browser.get("/c/pay/cs_test_none").status_code == 404


def test_what_people_type_is_escaped(api: Api, browser: Client) -> None:
    customer = api.post("/v1/customers", {"name": "<script>x</script>"})
    page = browser.get(api.portal(customer))
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


# 3-D Secure

ASKS = {**CARD, "card_number": "4000 0027 6000 3184"}


def asked(api: Api, browser: Client, **params: Any) -> tuple[Any, str]:
    """Pay with a card whose bank asks; return the session and the bank's page."""
    session = api.checkout(**params)
    answer = browser.post(page_path(session["url"]), data=ASKS)
    assert answer.status_code == 303
    return session, answer.location


def test_bank_asks_on_a_page_of_its_own(api: Api, browser: Client, hook: Hook) -> None:
    session, bank = asked(api, browser)
    page = browser.get(bank)
    assert page.status_code == 200

    for text in ("$9.00", "3184", "Complete authentication", "Fail authentication"):
        assert text in page.text

    assert api.again(session)["status"] == "open"
    assert hook.types == []


def test_passing_3d_secure_pays(api: Api, browser: Client, hook: Hook) -> None:
    session, bank = asked(api, browser)
    answer = browser.post(bank, data={"answer": "complete"})
    assert answer.status_code == 303
    assert answer.location == f"https://shop.test/ok?session_id={session['id']}"
    assert hook.types[-1] == "checkout.session.completed"
    assert api.again(session)["status"] == "complete"
    again = browser.post(bank, data={"answer": "complete"})
    assert (again.status_code, again.location) == (303, answer.location)
    assert len(api.get("/v1/subscriptions")["data"]) == 1


def test_failing_3d_secure_leads_back_to_the_form(api: Api, browser: Client) -> None:
    session, bank = asked(api, browser)
    page = browser.post(bank, data={"answer": "fail"})
    assert page.status_code == 402
    assert "We are unable to authenticate your payment method." in page.text
    assert 'value="ada@example.com"' in page.text
    # A full card number is typed in anew.
    assert '3184"' not in page.text
    assert f'action="{page_path(session["url"])}"' in page.text
    assert api.get("/v1/subscriptions")["data"] == []
    # Nothing waits any more: the bank's page leads to the form.
    assert browser.get(bank).location == page_path(session["url"])
    assert browser.post(bank, data={"answer": "complete"}).location == page_path(
        session["url"]
    )
    assert browser.post(page_path(session["url"]), data=CARD).status_code == 303


def test_card_may_be_refused_after_3d_secure(api: Api, browser: Client) -> None:
    path = page_path(api.checkout()["url"])
    form = {**CARD, "card_number": "4000008260003178"}
    bank = browser.post(path, data=form).location
    page = browser.post(bank, data={"answer": "complete"})
    assert page.status_code == 402
    assert "insufficient funds" in page.text


def test_bank_takes_no_other_answer(api: Api, browser: Client) -> None:
    session, bank = asked(api, browser)
    assert browser.post(bank, data={"answer": "perhaps"}).status_code == 400
    assert browser.post(bank).status_code == 400
    assert browser.get("/authenticate/pi_none").status_code == 404
    assert browser.get(bank).status_code == 200
    assert api.again(session)["status"] == "open"


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ("complete", "active", "Paid on 15 January 2026"),
        ("fail", "incomplete", "We are unable to authenticate"),
    ],
)
def test_3d_secure_of_an_invoice(
    api: Api, browser: Client, answer: str, status: str, message: str
) -> None:
    customer = api.customer("pm_card_authenticationRequired")
    subscription = api.subscribe(customer)
    assert subscription["status"] == "incomplete"
    invoice = f"/i/{subscription['latest_invoice']}"
    page = browser.get(invoice).text
    assert "The bank asks for 3-D Secure" in page
    bank = re.findall(r'href="(/authenticate/[^"]+)"', page)[0]
    assert "$9.00" in browser.get(bank).text
    assert browser.post(bank, data={"answer": answer}).location == invoice
    assert message in browser.get(invoice).text
    assert api.again(subscription)["status"] == status
    assert browser.get(bank).location == invoice
    assert browser.post(bank, data={"answer": "fail"}).location == invoice


# Invoices


def test_invoice_page(browser: Client, subscribe: Callable[..., Any]) -> None:
    subscription = subscribe()
    page = browser.get(f"/i/{subscription['latest_invoice']}").text

    for text in ("-0001", "1 × Pro", "$9.00", "Paid on 15 January 2026"):  # noqa: RUF001
        assert text in page

    assert "<button" not in page
    assert browser.get("/i/in_none").status_code == 404


def test_open_invoice_can_be_paid_on_its_page(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    session = sandbox.pay(api.checkout()["id"], "4000000000000341")
    subscription = api.get(f"/v1/subscriptions/{session['subscription']}")
    sandbox.advance(days=31)
    late = api.again(subscription)
    assert late["status"] == "past_due"
    invoice = f"/i/{late['latest_invoice']}"
    page = browser.get(invoice)
    assert "Your card was declined." in page.text
    assert "tried again on 18 February 2026" in page.text
    refused = browser.post(invoice)
    assert refused.status_code == 402
    assert "Your card was declined." in refused.text
    card = api.post(
        "/v1/payment_methods/pm_card_visa/attach", {"customer": late["customer"]}
    )
    api.change(late, default_payment_method=card["id"])
    assert browser.post(invoice).status_code == 303
    assert "Paid on 15 February 2026" in browser.get(invoice).text
    assert api.again(late)["status"] == "active"
    # Once more does nothing.
    assert browser.post(invoice).status_code == 303


# The dashboard


def test_dashboard_shows_what_there_is(
    api: Api,
    browser: Client,
    hook: Hook,
    subscribe: Callable[..., Any],
) -> None:
    hook.answers = [500]
    subscription = subscribe()
    api.checkout()
    page = browser.get("/").text

    for text in (
        subscription["id"],
        subscription["customer"],
        "buyer@example.com",
        "checkout.session.completed",
        "https://shop.test/hook",
        "Open checkouts",
        ">500<",
        ">200<",
        "15 Jan 2026, 12:00:00 UTC",
    ):
        assert text in page


def test_clock_buttons(
    sandbox: Sandbox, browser: Client, subscribe: Callable[..., Any]
) -> None:
    subscribe()
    browser.post("/clock", data={"jump": "day"})
    assert sandbox.clock.now() == NOON + DAY
    assert "To the next renewal" in browser.get("/").text
    browser.post("/clock", data={"jump": "next"})
    assert sandbox.clock.now() == NOON + 31 * DAY
    assert sandbox.events[-1]["type"] == "invoice.payment_succeeded"
    assert browser.post("/clock", data={"jump": "back"}).status_code == 400


def test_clock_goes_to_the_end_of_the_trial(
    sandbox: Sandbox,
    api: Api,
    browser: Client,
    hook: Hook,
    subscribe: Callable[..., Any],
) -> None:
    subscription = subscribe(subscription_data__trial_period_days="14")
    page = browser.get("/").text
    assert "To the trial reminder" in page
    assert "To the end of the trial" in page
    assert "To the next renewal" not in page
    browser.post("/clock", data={"jump": "trial"})
    assert sandbox.clock.now() == NOON + 14 * DAY
    assert api.again(subscription)["status"] == "active"
    assert "customer.subscription.trial_will_end" in hook.types
    browser.post("/clock", data={"jump": "renewal"})
    assert sandbox.clock.now() == NOON + 44 * DAY
    # There is no trial any more: nothing to go to.
    assert "To the end of the trial" not in browser.get("/").text
    browser.post("/clock", data={"jump": "trial"})
    assert sandbox.clock.now() == NOON + 44 * DAY


def test_clock_goes_to_no_renewal_that_will_not_be(
    api: Api, browser: Client, subscribe: Callable[..., Any]
) -> None:
    api.change(subscribe(), cancel_at_period_end="true")
    page = browser.get("/").text
    assert "To the next renewal" not in page
    assert "To the end of the subscription" in page


def test_resend_button(sandbox: Sandbox, api: Api, browser: Client, hook: Hook) -> None:
    api.post("/v1/customers")
    event = sandbox.events[-1]["id"]
    sandbox.deliver()
    button = f'action="/events/{event}/resend"'
    assert button in browser.get("/").text
    assert button in browser.get(f"/events/{event}").text
    hook.answers = [503]
    answer = browser.post(f"/events/{event}/resend")
    assert (answer.status_code, answer.location) == (303, f"/#{event}")
    assert hook.types == ["customer.created"] * 2
    page = browser.get(f"/events/{event}").text
    assert ">200<" in page
    assert ">503<" in page
    answer = browser.post(f"/events/{event}/resend", data={"back": "event"})
    assert answer.location == f"/events/{event}"
    assert len(hook.received) == 3
    assert browser.post("/events/evt_none/resend").status_code == 404


def test_event_that_nobody_wanted_has_no_resend_button(hook: Hook) -> None:
    sandbox = Sandbox(clock=Clock(NOON), send=hook)
    sandbox.create_price()
    browser = Client(sandbox.wsgi_app)
    assert "No webhook endpoint: events are sent nowhere." in browser.get("/").text
    page = browser.get(f"/events/{sandbox.events[-1]['id']}").text
    assert "Resend" not in page
    assert "No webhook endpoint wanted it" in page


def test_fault_switches(
    sandbox: Sandbox, api: Api, browser: Client, hook: Hook
) -> None:
    assert "Nothing goes wrong." in browser.get("/").text
    answer = browser.post("/faults", data={"kind": "drop", "on": "customer.*"})
    assert (answer.status_code, answer.location) == (303, "/#faults")
    page = browser.get("/").text
    assert "<td>The webhook does not arrive; only a retry brings it</td>" in page
    assert "1 more, 0 so far" in page
    api.post("/v1/customers")
    sandbox.advance()
    dropped = browser.get(f"/events/{sandbox.events[-1]['id']}").text
    assert "Dropped by a fault." in dropped
    # It has struck as often as it was to.
    assert "Nothing goes wrong." in browser.get("/").text


@pytest.mark.parametrize(
    ("count", "words"),
    [
        ("thrice", "3 more, 0 so far"),
        ("sometimes", "25% of the time, 0 so far"),
        ("always", "every time, 0 so far"),
    ],
)
def test_how_often_a_fault_strikes(browser: Client, count: str, words: str) -> None:
    browser.post("/faults", data={"kind": "duplicate", "count": count})
    assert words in browser.get("/").text


def test_faults_are_taken_back(sandbox: Sandbox, browser: Client) -> None:
    for kind in ("duplicate", "delay", "server_error"):
        browser.post("/faults", data={"kind": kind, "count": "always"})

    keys = re.findall(r'name="fault" value="([0-9a-f]+)"', browser.get("/").text)
    assert len(keys) == 3
    browser.post("/faults/remove", data={"fault": keys[1]})
    assert [fault.kind for fault in sandbox.faults] == ["duplicate", "server_error"]
    browser.post("/faults/remove", data={"fault": "none"})
    assert len(list(sandbox.faults)) == 2
    browser.post("/faults/remove")
    assert list(sandbox.faults) == []


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"kind": "x"},
        {"kind": "drop", "count": "x"},
        {"kind": "drop", "on": "GET /v1/prices"},
    ],
)
def test_faults_that_there_are_not(browser: Client, form: dict[str, str]) -> None:
    assert browser.post("/faults", data=form).status_code == 400


def test_event_page_shows_the_payload(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    customer = api.post("/v1/customers")
    page = browser.get(f"/events/{sandbox.events[-1]['id']}")
    assert customer["id"] in page.text
    assert browser.get("/events/evt_none").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:5000"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 303),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://localhost:5000"}, 403),
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_cannot_press_buttons(
    browser: Client, headers: dict[str, str], status: int
) -> None:
    answer = browser.post("/clock", data={"jump": "day"}, headers=headers)
    assert answer.status_code == status


def test_other_sites_cannot_call_the_api(api: Api) -> None:
    """The key is known to all, and a form's URL can name it as the user."""
    answer = api.call("POST", "/v1/customers", {}, {"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert api.get("/v1/customers")["data"] == []


def test_pages_need_nothing_from_elsewhere(api: Api, browser: Client) -> None:
    for path in ("/", page_path(api.checkout()["url"])):
        page = browser.get(path)
        assert "<script" not in page.text
        assert not re.search(r'(src|<link[^>]*href)="https?:', page.text)
        assert page.headers["Cache-Control"] == "no-store"
