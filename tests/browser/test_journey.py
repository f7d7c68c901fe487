"""The main job, as a person does it, in the example app as it is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect
from playwright.sync_api import Page

from tests.programs import running

pytestmark = pytest.mark.browser

COMMAND = ("-m", "examples.saas", "--port", "0", "--stripe-port", "0")
ADDRESS = r"(http://127\.0\.0\.1:\d+)"


@dataclass(frozen=True)
class Urls:
    app: str
    stripe: str


@pytest.fixture
def urls() -> Iterator[Urls]:
    """Where the app and the dashboard of its local Stripe are, as it prints it."""
    with running(*COMMAND) as program:
        yield Urls(
            app=program.wait_for(rf"Moonbook +{ADDRESS}"),
            stripe=program.wait_for(rf"Local Stripe +{ADDRESS}"),
        )
        assert "Traceback" not in program.printed


def sign_up(page: Page, urls: Urls) -> None:
    page.goto(urls.app)
    page.get_by_role("main").get_by_role("link", name="Sign up").click()
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign up").click()
    expect(page).to_have_url(f"{urls.app}/pricing")


def expect_closed(page: Page, urls: Urls) -> None:
    """The guarded page leads to the prices."""
    page.goto(f"{urls.app}/nights")
    expect(page).to_have_url(f"{urls.app}/pricing")
    expect(page.get_by_role("status")).to_contain_text("That page is for subscribers.")


def pay(page: Page, urls: Urls) -> None:
    page.get_by_role("button", name="Subscribe to Pro").click()
    expect(page).to_have_url(re.compile(re.escape(f"{urls.stripe}/c/pay/cs_test_")))
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_label("Expiry").fill("12 / 40")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name on card").fill("Ada Lovelace")
    page.get_by_role("button", name=re.compile(r"^Pay \$9")).click()


def cancel_in_the_portal(page: Page, urls: Urls) -> None:
    page.get_by_role("button", name="Manage subscription").click()
    expect(page).to_have_url(re.compile(re.escape(f"{urls.stripe}/p/session/")))
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("button", name="Cancel subscription").click()
    page.get_by_role("link", name="Return to").click()
    expect(page).to_have_url(f"{urls.app}/account")


def let_five_weeks_pass(page: Page, urls: Urls) -> None:
    page.goto(urls.stripe)
    clock = page.get_by_role("region", name="Clock").locator("strong")

    for _ in range(5):
        before = clock.inner_text()
        page.get_by_role("button", name="+1 week").click()
        expect(clock).not_to_have_text(before)


def date_of(page: Page, term: str) -> str:
    """A date on the account page, by the words before it."""
    text = page.get_by_role("region", name="Subscription").inner_text()
    match = re.search(rf"{term}\s+(\d+ \w+ \d+)", text)
    assert match, text
    return match[1]


def test_from_signing_up_to_the_end_of_the_subscription(page: Page, urls: Urls) -> None:
    subscription = page.get_by_role("region", name="Subscription")
    sign_up(page, urls)
    expect_closed(page, urls)

    shown: list[str] = []
    page.on("framenavigated", lambda frame: shown.append(frame.url))
    pay(page, urls)
    expect(page).to_have_url(f"{urls.app}/account")
    expect(page.get_by_role("status")).to_contain_text("You have subscribed")
    expect(subscription).to_contain_text("Active")
    # No page of the app came before this one: nobody waits for the webhook.
    assert [url for url in shown if url.startswith(urls.app)] == [f"{urls.app}/account"]

    page.get_by_role("link", name="See the nights ahead").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The nights ahead")
    expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(14)

    page.get_by_role("link", name="Account").click()
    renewal = date_of(page, "Renews on")
    cancel_in_the_portal(page, urls)
    expect(subscription).to_contain_text("Canceled")
    assert date_of(page, "Open until") == renewal
    page.goto(f"{urls.app}/nights")
    expect(page).to_have_url(f"{urls.app}/nights")

    let_five_weeks_pass(page, urls)
    expect_closed(page, urls)
    page.get_by_role("link", name="Account").click()
    expect(subscription).to_contain_text("Your subscription has ended.")
    expect(page.get_by_role("region", name="Activity")).to_contain_text("You canceled")


def test_button_of_a_second_tab_leads_back_with_a_sentence(
    page: Page, urls: Urls
) -> None:
    """The button is from before the purchase, and a person sees no JSON."""
    sign_up(page, urls)
    second = page.context.new_page()
    second.goto(f"{urls.app}/pricing")
    pay(page, urls)
    expect(page).to_have_url(f"{urls.app}/account")

    second.get_by_role("button", name="Subscribe to Pro").click()

    expect(second).to_have_url(f"{urls.app}/pricing")
    expect(second.get_by_role("status")).to_contain_text("a subscription already")
