from __future__ import annotations

import re
from typing import Any

import pytest
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON

CARD = {
    "email": "ada@example.com",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "12 / 34",
    "card_cvc": "123",
    "card_name": "Ada",
}


@pytest.fixture
def browser(sandbox: Sandbox) -> Client:
    return Client(sandbox.wsgi_app)


def path_of(url: str) -> str:
    return re.sub(r"https?://[^/]+", "", url)


def portal_of(api: Api, customer_id: str, **params: str) -> str:
    url = api.post(
        "/v1/billing_portal/sessions",
        {"customer": customer_id, "return_url": "https://shop.test/account", **params},
    )["url"]
    return path_of(url)


def test_checkout_page(api: Api, browser: Client) -> None:
    session = api.checkout(line_items__0__quantity="2", customer_email="a@example.com")
    page = browser.get(path_of(session["url"]))
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
    answer = browser.post(path_of(session["url"]), data=CARD)
    assert answer.status_code == 303
    assert answer.location == f"https://shop.test/ok?session_id={session['id']}"
    # Checkout waits for this webhook before it sends the buyer back.
    assert hook.types[-1] == "checkout.session.completed"


def test_pressing_the_button_twice_pays_once(api: Api, browser: Client) -> None:
    path = path_of(api.checkout()["url"])
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
    page = browser.post(path_of(session["url"]), data={**CARD, **change})
    assert page.status_code == 402
    assert message in page.text
    assert 'role="alert"' in page.text
    assert 'value="Ada"' in page.text
    assert api.get("/v1/subscriptions")["data"] == []
    again = browser.post(path_of(session["url"]), data=CARD)
    assert again.status_code == 303


def test_card_may_expire_this_month(api: Api, browser: Client) -> None:
    form = {**CARD, "card_expiry": "01/2026"}
    answer = browser.post(path_of(api.checkout()["url"]), data=form)
    assert answer.status_code == 303


def test_trial_on_the_page(api: Api, browser: Client) -> None:
    session = api.checkout(subscription_data__trial_period_days="14")
    page = browser.get(path_of(session["url"]))
    assert "Start trial" in page.text
    assert "29 January 2026" in page.text
    assert "$0.00" in page.text


def test_page_without_card_when_none_is_needed(api: Api, browser: Client) -> None:
    session = api.checkout(
        subscription_data__trial_period_days="14",
        payment_method_collection="if_required",
    )
    path = path_of(session["url"])
    assert "card_number" not in browser.get(path).text
    answer = browser.post(path, data={"email": "ada@example.com"})
    assert answer.status_code == 303


def test_closed_sessions_say_so(sandbox: Sandbox, api: Api, browser: Client) -> None:
    path = path_of(api.checkout()["url"])
    sandbox.advance(days=2)
    assert browser.get(path).status_code == 410
    assert "expired" in browser.post(path, data=CARD).text
    paid = api.checkout()
    sandbox.pay(paid["id"])
    page = browser.get(path_of(paid["url"]))
    assert "paid already" in page.text
    assert f"https://shop.test/ok?session_id={paid['id']}" in page.text
    assert browser.get("/c/pay/cs_test_none").status_code == 404


def test_what_people_type_is_escaped(api: Api, browser: Client) -> None:
    customer = api.post("/v1/customers", {"name": "<script>x</script>"})
    page = browser.get(portal_of(api, customer["id"]))
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


# 3-D Secure

ASKS = {**CARD, "card_number": "4000 0027 6000 3184"}


def asked(api: Api, browser: Client, **params: Any) -> tuple[Any, str]:
    """Pay with a card whose bank asks; return the session and the bank's page."""
    session = api.checkout(**params)
    answer = browser.post(path_of(session["url"]), data=ASKS)
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
    assert f'action="{path_of(session["url"])}"' in page.text
    assert api.get("/v1/subscriptions")["data"] == []
    # Nothing waits any more: the bank's page leads to the form.
    assert browser.get(bank).location == path_of(session["url"])
    assert browser.post(bank, data={"answer": "complete"}).location == path_of(
        session["url"]
    )
    assert browser.post(path_of(session["url"]), data=CARD).status_code == 303


def test_card_may_be_refused_after_3d_secure(api: Api, browser: Client) -> None:
    path = path_of(api.checkout()["url"])
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


def test_invoice_page(sandbox: Sandbox, api: Api, browser: Client) -> None:
    subscription = subscribe(sandbox, api)
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


# The portal


def subscribe(sandbox: Sandbox, api: Api, **params: Any) -> Any:
    session = sandbox.pay(api.checkout(**params)["id"])
    return api.get(f"/v1/subscriptions/{session['subscription']}")


def test_portal_shows_the_subscription(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    subscription = subscribe(sandbox, api)
    page = browser.get(portal_of(api, subscription["customer"])).text

    for text in (
        "Pro",
        "$9.00",
        "15 February 2026",
        "4242",
        'href="https://shop.test/account"',
        "-0001",
    ):
        assert text in page


def test_cancel_in_the_portal_asks_first(
    sandbox: Sandbox, api: Api, browser: Client, hook: Hook
) -> None:
    subscription = subscribe(sandbox, api)
    portal = portal_of(api, subscription["customer"])
    cancel = f"{portal}/subscriptions/{subscription['id']}/cancel"
    assert f'href="{cancel}"' in browser.get(portal).text
    assert "15 February 2026" in browser.get(cancel).text
    path = f"/v1/subscriptions/{subscription['id']}"
    assert api.get(path)["cancel_at"] is None
    assert browser.post(cancel).status_code == 303
    canceled = api.get(path)
    # What flexible billing sets: a reader of cancel_at_period_end alone is misled.
    assert canceled["cancel_at"] == NOON + 31 * DAY
    assert canceled["cancel_at_period_end"] is False
    assert canceled["canceled_at"] == NOON
    assert hook.types[-1] == "customer.subscription.updated"
    assert hook.received[-1]["data"]["previous_attributes"]["cancel_at"] is None
    assert "ends on" in browser.get(portal).text


def test_cancel_in_the_portal_with_classic_billing(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    subscription = subscribe(
        sandbox, api, subscription_data__billing_mode__type="classic"
    )
    portal = portal_of(api, subscription["customer"])
    browser.post(f"{portal}/subscriptions/{subscription['id']}/cancel")
    canceled = api.get(f"/v1/subscriptions/{subscription['id']}")
    assert canceled["cancel_at_period_end"] is True
    assert canceled["cancel_at"] == NOON + 31 * DAY


def test_cancel_can_be_taken_back_in_the_portal(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    subscription = subscribe(sandbox, api)
    portal = portal_of(api, subscription["customer"])
    browser.post(f"{portal}/subscriptions/{subscription['id']}/cancel")
    keep = f"{portal}/subscriptions/{subscription['id']}/keep"
    assert f'action="{keep}"' in browser.get(portal).text
    browser.post(keep)
    kept = api.get(f"/v1/subscriptions/{subscription['id']}")
    assert (kept["cancel_at"], kept["canceled_at"]) == (None, None)
    assert "Renews on" in browser.get(portal).text


def test_canceled_in_the_portal_ends_with_the_period(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    subscription = subscribe(sandbox, api)
    portal = portal_of(api, subscription["customer"])
    browser.post(f"{portal}/subscriptions/{subscription['id']}/cancel")
    sandbox.advance(days=31)
    assert sandbox.events[-1]["type"] == "customer.subscription.deleted"
    assert "Ended on 15 February 2026" in browser.get(portal).text


def test_portal_of_one_customer_cannot_cancel_for_another(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    mine, theirs = subscribe(sandbox, api), subscribe(sandbox, api)
    portal = portal_of(api, mine["customer"])
    answer = browser.post(f"{portal}/subscriptions/{theirs['id']}/cancel")
    assert answer.status_code == 404
    assert api.get(f"/v1/subscriptions/{theirs['id']}")["cancel_at"] is None


def test_flow_leads_straight_to_the_question_and_back_to_the_app(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    subscription = subscribe(sandbox, api)
    portal = portal_of(
        api,
        subscription["customer"],
        **{
            "flow_data[type]": "subscription_cancel",
            "flow_data[subscription_cancel][subscription]": subscription["id"],
            "flow_data[after_completion][type]": "redirect",
            "flow_data[after_completion][redirect][return_url]": "https://shop.test/bye",
        },
    )
    question = browser.get(portal)
    assert question.status_code == 302
    assert question.location == f"{portal}/subscriptions/{subscription['id']}/cancel"
    assert browser.post(question.location).location == "https://shop.test/bye"


def test_change_price_in_the_portal(
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    sandbox.create_price("price_team", 2900, product_name="Team")
    sandbox.create_price("price_swiss", 2900, "chf", product_name="Swiss")
    subscription = subscribe(sandbox, api)
    portal = portal_of(api, subscription["customer"])
    path = f"{portal}/subscriptions/{subscription['id']}/price"
    assert f'href="{path}"' in browser.get(portal).text
    page = browser.get(path).text
    assert "Team" in page
    assert "price_swiss" not in page
    assert browser.post(path, data={"price": "price_swiss"}).status_code == 400
    answer = browser.post(path, data={"price": "price_team"})
    assert answer.location == f"{portal}?home=1"
    item = api.again(subscription)["items"]["data"][0]
    assert item["price"]["id"] == "price_team"


def test_update_card_in_the_portal(sandbox: Sandbox, api: Api, browser: Client) -> None:
    subscription = subscribe(sandbox, api)
    portal = portal_of(api, subscription["customer"])
    assert f'href="{portal}/card"' in browser.get(portal).text
    refused = browser.post(
        f"{portal}/card", data={**CARD, "card_number": "4000000000000002"}
    )
    assert refused.status_code == 402
    assert "Your card was declined." in refused.text
    form = {**CARD, "card_number": "5555 5555 5555 4444"}
    assert browser.post(f"{portal}/card", data=form).status_code == 303
    assert "Mastercard ending in" in browser.get(portal).text
    changed = api.again(subscription, "default_payment_method")
    assert changed["default_payment_method"]["card"]["last4"] == "4444"


def test_resume_in_the_portal(sandbox: Sandbox, api: Api, browser: Client) -> None:
    subscription = subscribe(sandbox, api)
    api.change(subscription, pause_collection__behavior="void")
    portal = portal_of(api, subscription["customer"])
    assert "Resume subscription" in browser.get(portal).text
    browser.post(f"{portal}/subscriptions/{subscription['id']}/resume")
    assert api.again(subscription)["pause_collection"] is None
    assert "Resume subscription" not in browser.get(portal).text


def test_portal_leads_to_invoices(sandbox: Sandbox, api: Api, browser: Client) -> None:
    subscription = subscribe(sandbox, api)
    page = browser.get(portal_of(api, subscription["customer"])).text
    assert f'href="/i/{subscription["latest_invoice"]}"' in page


# The dashboard


def test_dashboard_shows_what_there_is(
    sandbox: Sandbox, api: Api, browser: Client, hook: Hook
) -> None:
    hook.answers = [500]
    subscription = subscribe(sandbox, api)
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


def test_clock_buttons(sandbox: Sandbox, api: Api, browser: Client) -> None:
    subscribe(sandbox, api)
    browser.post("/clock", data={"jump": "day"})
    assert sandbox.clock.now() == NOON + DAY
    assert "To the next renewal" in browser.get("/").text
    browser.post("/clock", data={"jump": "next"})
    assert sandbox.clock.now() == NOON + 31 * DAY
    assert sandbox.events[-1]["type"] == "invoice.payment_succeeded"
    assert browser.post("/clock", data={"jump": "back"}).status_code == 400


def test_clock_goes_to_the_end_of_the_trial(
    sandbox: Sandbox, api: Api, browser: Client, hook: Hook
) -> None:
    subscription = subscribe(sandbox, api, subscription_data__trial_period_days="14")
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
    sandbox: Sandbox, api: Api, browser: Client
) -> None:
    api.change(subscribe(sandbox, api), cancel_at_period_end="true")
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
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 303)]
)
def test_other_sites_cannot_press_buttons(
    browser: Client, site: str, status: int
) -> None:
    answer = browser.post(
        "/clock", data={"jump": "day"}, headers={"Sec-Fetch-Site": site}
    )
    assert answer.status_code == status


def test_pages_need_nothing_from_elsewhere(api: Api, browser: Client) -> None:
    for path in ("/", path_of(api.checkout()["url"])):
        page = browser.get(path)
        assert "<script" not in page.text
        assert not re.search(r'(src|<link[^>]*href)="https?:', page.text)
        assert page.headers["Cache-Control"] == "no-store"
