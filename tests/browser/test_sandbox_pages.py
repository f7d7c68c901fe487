"""The sandbox's pages, as a person uses them on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping

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


def checkout(sandbox: Sandbox, **params: str) -> dict[str, str]:
    response = requests.post(
        f"{sandbox.url}/v1/checkout/sessions",
        auth=(sandbox.api_key, ""),
        data={
            "mode": "subscription",
            "line_items[0][price]": "price_pro",
            "line_items[0][quantity]": "1",
            "success_url": f"{sandbox.url}/?paid",
            **params,
        },
        timeout=10,
    )
    session: dict[str, str] = response.json()
    return session


def pay(phone: Page, url: str, number: str) -> None:
    phone.goto(url)
    expect_no_sideways_scroll(phone)
    phone.get_by_label("E-mail").fill("ada@example.com")
    fill_card(phone, number)


def fill_card(phone: Page, number: str) -> None:
    phone.get_by_label("Card number").fill(number)
    phone.get_by_label("Expiry").fill("12 / 45")
    phone.get_by_label("CVC").fill("123")
    phone.get_by_label("Name on card").fill("Ada")
    phone.get_by_role("button", name=re.compile("^Pay")).click()


def expect_no_sideways_scroll(phone: Page) -> None:
    width = phone.evaluate("document.documentElement.scrollWidth")
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
