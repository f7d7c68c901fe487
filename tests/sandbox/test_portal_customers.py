"""A customer's card, details and invoices in the portal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import Hook
from .portal_vocabulary import ASKS
from .portal_vocabulary import CARD
from .portal_vocabulary import configure

Subscribe = Callable[..., Any]


# The card, and the details


def test_card(api: Api, browser: Client, subscribe: Subscribe) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    assert f'href="{portal}/card"' in browser.get(portal).text
    form = {**CARD, "card_number": "4000000000000002"}
    refused = browser.post(f"{portal}/card", data=form)
    assert refused.status_code == 402
    assert "Your card was declined." in refused.text
    assert 'value="Ada"' in refused.text
    assert browser.post(f"{portal}/card", data=CARD).status_code == 303
    assert "Mastercard ending in" in browser.get(portal).text
    changed = api.again(subscription, "default_payment_method")
    assert changed["default_payment_method"]["card"]["last4"] == "4444"
    customer = api.get(f"/v1/customers/{subscription['customer']}")
    settings = customer["invoice_settings"]
    assert settings["default_payment_method"] == changed["default_payment_method"]["id"]


def test_card_whose_bank_asks_is_taken_after_3d_secure(
    api: Api, browser: Client, hook: Hook, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    told = len(hook.types)
    answer = browser.post(f"{portal}/card", data=ASKS)
    assert answer.status_code == 303
    page = browser.get(answer.location).text

    for text in ("Confirm this card", "3184", "Complete authentication"):
        assert text in page

    assert "Amount" not in page
    assert api.again(subscription) == subscription
    assert len(hook.types) == told
    passed = browser.post(answer.location, data={"answer": "complete"})
    assert (passed.status_code, passed.location) == (303, f"{portal}?home=1")
    changed = api.again(subscription, "default_payment_method")
    assert changed["default_payment_method"]["card"]["last4"] == "3184"
    assert hook.types[told:] == [
        "payment_method.attached",
        "customer.updated",
        "customer.subscription.updated",
    ]
    # The button was pressed twice.
    browser.post(answer.location, data={"answer": "complete"})
    assert api.again(subscription) == api.again(changed)


def test_card_that_fails_3d_secure_is_not_taken(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    bank = browser.post(f"{portal}/card", data=ASKS).location
    failed = browser.post(bank, data={"answer": "fail"})
    assert failed.status_code == 402
    assert "We are unable to authenticate your payment method." in failed.text
    assert f'action="{portal}/card"' in failed.text
    assert 'value="Ada"' in failed.text
    assert api.again(subscription) == subscription
    # Nothing waits any more.
    assert browser.get(bank).location == f"{portal}?home=1"
    browser.post(bank, data={"answer": "complete"})
    assert api.again(subscription) == subscription


def test_card_that_asks_once_pays_renewals(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    form = {**CARD, "card_number": "4000 0025 0000 3155"}
    bank = browser.post(f"{portal}/card", data=form).location
    browser.post(bank, data={"answer": "complete"})
    sandbox.advance(days=31)
    assert api.again(subscription)["status"] == "active"


def test_details(api: Api, browser: Client, hook: Hook, subscribe: Subscribe) -> None:
    customer = subscribe()["customer"]
    portal = api.portal(customer)
    page = browser.get(f"{portal}/details").text
    assert 'value="buyer@example.com"' in page
    form = {
        "email": "ada@example.com",
        "name": "Ada",
        "address[line1]": "1 Main St",
        "address[country]": "GB",
    }
    assert browser.post(f"{portal}/details", data=form).status_code == 303
    changed = api.get(f"/v1/customers/{customer}")
    assert (changed["email"], changed["name"]) == ("ada@example.com", "Ada")
    assert changed["address"]["line1"] == "1 Main St"
    assert hook.types[-1] == "customer.updated"
    assert 'value="1 Main St"' in browser.get(f"{portal}/details").text


def test_details_that_may_be_changed(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    customer = subscribe()["customer"]
    configuration = configure(
        api,
        customer_update__enabled="true",
        customer_update__allowed_updates__0="name",
    )
    portal = api.portal(customer, configuration=configuration)
    page = browser.get(f"{portal}/details").text
    assert 'name="name"' in page
    assert 'name="email"' not in page

    for name in ("email", "balance", "metadata[x]"):
        answer = browser.post(f"{portal}/details", data={"name": "Ada", name: "1"})
        assert answer.status_code == 403, name

    assert api.get(f"/v1/customers/{customer}")["name"] is None


# Invoices


def test_way_to_an_invoice_and_back(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    session_id = portal.rsplit("/", 1)[1]
    invoice = f"/i/{subscription['latest_invoice']}"
    assert f'href="{invoice}?portal={session_id}"' in browser.get(portal).text
    back = f'href="{portal}?home=1"'
    assert back in browser.get(f"{invoice}?portal={session_id}").text
    assert back not in browser.get(invoice).text
    assert browser.get(f"{invoice}?portal=bps_none").status_code == 200
    other = api.portal(subscribe()["customer"]).rsplit("/", 1)[1]
    assert "Your subscription" not in browser.get(f"{invoice}?portal={other}").text


def test_way_back_survives_the_bank(api: Api, browser: Client) -> None:
    customer = api.customer("pm_card_authenticationRequired")
    subscription = api.subscribe(customer)
    session_id = api.portal(customer).rsplit("/", 1)[1]
    invoice = f"/i/{subscription['latest_invoice']}?portal={session_id}"
    bank = re.findall(r'href="(/authenticate/[^"]+)"', browser.get(invoice).text)[0]
    assert browser.post(bank, data={"answer": "fail"}).location == invoice
    bank = browser.post(invoice).location
    assert browser.post(bank, data={"answer": "complete"}).location == invoice
    assert "Paid on" in browser.get(invoice).text
    assert browser.post(invoice).location == invoice
