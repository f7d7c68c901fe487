"""The sandbox's pages, as a person uses them on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import pytest
import requests
from playwright.sync_api import expect
from playwright.sync_api import Page

from flask_kavach_stripe.sandbox import Sandbox

pytestmark = pytest.mark.browser

ASKS = "4000 0027 6000 3184"


def answer(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    return 200


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(send=answer) as sandbox:
        sandbox.create_price()
        sandbox.create_webhook_endpoint("https://shop.test/hook")
        yield sandbox


@pytest.fixture
def phone(page: Page) -> Page:
    page.set_viewport_size({"width": 390, "height": 844})
    return page


def post(sandbox: Sandbox, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    response = requests.post(
        f"{sandbox.url}{path}", auth=(sandbox.api_key, ""), data=params, timeout=10
    )
    assert response.ok, response.text
    created: dict[str, Any] = response.json()
    return created


def checkout(sandbox: Sandbox, **params: str) -> dict[str, Any]:
    wanted = {
        "mode": "subscription",
        "line_items[0][price]": "price_pro",
        "line_items[0][quantity]": "1",
        "success_url": f"{sandbox.url}/?paid",
        **params,
    }
    return post(sandbox, "/v1/checkout/sessions", wanted)


def open_portal(phone: Page, sandbox: Sandbox) -> None:
    """Subscribe, and open the portal."""
    paid = sandbox.pay(checkout(sandbox)["id"])
    wanted = {"customer": paid["customer"], "return_url": f"{sandbox.url}/?account"}
    phone.goto(post(sandbox, "/v1/billing_portal/sessions", wanted)["url"])
    expect_no_sideways_scroll(phone)


def pay(phone: Page, url: str, number: str) -> None:
    phone.goto(url)
    expect_no_sideways_scroll(phone)
    phone.get_by_label("E-mail").fill("ada@example.com")
    fill_card(phone, number)


def fill_card(phone: Page, number: str, button: str = "Pay") -> None:
    phone.get_by_label("Card number").fill(number)
    phone.get_by_label("Expiry").fill("12 / 45")
    phone.get_by_label("CVC").fill("123")
    phone.get_by_label("Name on card").fill("Ada")
    phone.get_by_role("button", name=re.compile(f"^{button}")).click()


def expect_no_sideways_scroll(phone: Page) -> None:
    phone.wait_for_load_state()
    width = phone.locator("html").evaluate("html => html.scrollWidth")
    assert width <= 390


def test_declined_card_says_so(phone: Page, sandbox: Sandbox) -> None:
    url = checkout(sandbox)["url"]
    pay(phone, url, "4000 0000 0000 0002")
    expect(phone.get_by_role("alert")).to_have_text("Your card was declined.")
    expect_no_sideways_scroll(phone)
    fill_card(phone, "4242 4242 4242 4242")
    expect(phone).to_have_url(f"{sandbox.url}/?paid")


def test_3d_secure_is_passed(phone: Page, sandbox: Sandbox) -> None:
    pay(phone, checkout(sandbox)["url"], ASKS)
    expect(phone.get_by_role("heading")).to_have_text("Confirm this payment")
    expect_no_sideways_scroll(phone)
    phone.get_by_role("button", name="Complete authentication").click()
    expect(phone).to_have_url(f"{sandbox.url}/?paid")


def test_3d_secure_is_failed(phone: Page, sandbox: Sandbox) -> None:
    pay(phone, checkout(sandbox)["url"], ASKS)
    phone.get_by_role("button", name="Fail authentication").click()
    expect(phone.get_by_role("alert")).to_contain_text("unable to authenticate")
    expect(phone.get_by_label("E-mail")).to_have_value("ada@example.com")
    fill_card(phone, "4242 4242 4242 4242")
    expect(phone).to_have_url(f"{sandbox.url}/?paid")


def test_clock_and_resend_on_the_dashboard(phone: Page, sandbox: Sandbox) -> None:
    trial = {"subscription_data[trial_period_days]": "14"}
    sandbox.pay(checkout(sandbox, **trial)["id"])
    phone.goto(sandbox.url)
    expect_no_sideways_scroll(phone)
    before = sandbox.clock.now()
    phone.get_by_role("button", name="To the end of the trial").click()
    expect(phone.get_by_role("button", name="To the next renewal")).to_be_visible()
    assert sandbox.clock.now() - before >= 14 * 86_400 - 60
    event = sandbox.events[-1]
    attempts = len(sandbox.attempts(event["id"]))
    phone.get_by_role("button", name=f"Resend {event['type']}").first.click()
    expect(phone).to_have_url(re.compile(f"#{event['id']}$"))
    assert len(sandbox.attempts(event["id"])) == attempts + 1
    expect_no_sideways_scroll(phone)


def test_event_page_resends(phone: Page, sandbox: Sandbox) -> None:
    post(sandbox, "/v1/customers", {})
    sandbox.deliver()
    phone.goto(sandbox.url)
    phone.get_by_role("link", name="customer.created").click()
    expect(phone.get_by_role("heading", level=1)).to_have_text("customer.created")
    expect_no_sideways_scroll(phone)
    expect(phone.get_by_text("200", exact=True)).to_have_count(1)
    phone.get_by_role("button", name="Resend").click()
    expect(phone.get_by_text("200", exact=True)).to_have_count(2)


def test_clock_goes_on_by_a_day(phone: Page, sandbox: Sandbox) -> None:
    phone.goto(sandbox.url)
    before = sandbox.clock.now()
    clock = phone.get_by_role("region", name="Clock").locator("strong")
    shown = clock.inner_text()
    phone.get_by_role("button", name="+1 day").click()
    expect(clock).not_to_have_text(shown)
    assert 86_400 <= sandbox.clock.now() - before < 86_400 + 60


def test_fault_is_switched_on_and_off(phone: Page, sandbox: Sandbox) -> None:
    faults = phone.get_by_role("region", name="Faults")
    phone.goto(sandbox.url)
    expect(faults).to_contain_text("Nothing goes wrong.")
    faults.get_by_text("Let something go wrong").click()
    expect_no_sideways_scroll(phone)
    faults.get_by_label("What").select_option("drop")
    faults.get_by_label("Event type, or call").fill("customer.*")
    faults.get_by_label("How often").select_option(label="every time")
    faults.get_by_role("button", name="Add fault").click()
    expect(faults).to_contain_text("every time, 0 so far")
    expect_no_sideways_scroll(phone)
    post(sandbox, "/v1/customers", {})
    sandbox.advance()
    phone.get_by_role("link", name="Refresh").click()
    expect(faults).to_contain_text("every time, 1 so far")
    expect(phone.get_by_text("dropped", exact=True)).to_be_visible()
    faults.get_by_role("button", name=re.compile("^Take back")).click()
    expect(faults).to_contain_text("Nothing goes wrong.")


# The portal


def test_price_is_changed_after_a_look_at_what_it_costs(
    phone: Page, sandbox: Sandbox
) -> None:
    sandbox.create_price("price_team", 2900, product_name="Team")
    open_portal(phone, sandbox)
    phone.get_by_role("link", name="Change subscription").click()
    expect_no_sideways_scroll(phone)
    phone.get_by_label("Team").check()
    phone.get_by_label("Quantity").fill("2")
    phone.get_by_label("Promotion code").fill("NONE")
    phone.get_by_role("button", name="Continue").click()
    expect(phone.get_by_role("alert")).to_have_text("This code is invalid.")
    expect(phone.get_by_label("Team")).to_be_checked()
    expect(phone.get_by_label("Quantity")).to_have_value("2")
    phone.get_by_label("Promotion code").fill("")
    phone.get_by_role("button", name="Continue").click()
    expect(phone.get_by_role("heading", level=1)).to_have_text("Confirm your change")
    expect(phone.locator("#due")).to_have_text(re.compile(r"Due today\s+\$49\.00"))
    expect_no_sideways_scroll(phone)
    phone.get_by_role("button", name="Confirm").click()
    expect(phone.get_by_role("main")).to_contain_text("Team × 2")  # noqa: RUF001
    expect(phone.get_by_role("main")).to_contain_text("$49.00")


@pytest.mark.parametrize(
    ("button", "outcome"),
    [
        ("Complete authentication", "Paid with Visa ending in 3184."),
        ("Fail authentication", "We are unable to authenticate your payment method."),
    ],
)
def test_card_that_asks_for_3d_secure(
    phone: Page, sandbox: Sandbox, button: str, outcome: str
) -> None:
    open_portal(phone, sandbox)
    phone.get_by_role("link", name="your card").click()
    expect_no_sideways_scroll(phone)
    fill_card(phone, ASKS, "Save card")
    expect(phone.get_by_role("heading")).to_have_text("Confirm this card")
    expect_no_sideways_scroll(phone)
    phone.get_by_role("button", name=button).click()
    expect(phone.get_by_role("main")).to_contain_text(outcome)
    expect_no_sideways_scroll(phone)


def test_cancel_and_keep(phone: Page, sandbox: Sandbox) -> None:
    open_portal(phone, sandbox)
    phone.get_by_role("link", name="Cancel subscription").click()
    expect_no_sideways_scroll(phone)
    phone.get_by_role("button", name="Cancel subscription").click()
    expect(phone.get_by_role("main")).to_contain_text("It is canceled and ends on")
    phone.get_by_role("button", name="Keep my subscription").click()
    expect(phone.get_by_role("main")).to_contain_text("Renews on")
    phone.get_by_role("link", name="Return to the app").click()
    expect(phone).to_have_url(f"{sandbox.url}/?account")


def test_pause_and_resume(phone: Page, sandbox: Sandbox) -> None:
    open_portal(phone, sandbox)
    phone.get_by_role("button", name="Pause subscription").click()
    expect(phone.get_by_role("main")).to_contain_text("It is paused.")
    phone.get_by_role("button", name="Resume subscription").click()
    expect(phone.get_by_role("main")).to_contain_text("Renews on")


def test_invoice_leads_back_to_the_portal(phone: Page, sandbox: Sandbox) -> None:
    open_portal(phone, sandbox)
    portal = phone.url
    phone.get_by_role("link", name=re.compile("-0001$")).click()
    expect(phone.get_by_role("heading")).to_contain_text("Invoice")
    expect_no_sideways_scroll(phone)
    phone.get_by_role("link", name="Your subscription").click()
    expect(phone).to_have_url(f"{portal}?home=1")
