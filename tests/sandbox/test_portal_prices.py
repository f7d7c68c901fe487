"""Another price or quantity in the portal: what is offered, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import NOON
from .conftest import path_of
from .portal_vocabulary import configure_update
from .portal_vocabulary import due_today
from .portal_vocabulary import HALF
from .portal_vocabulary import path_to

Subscribe = Callable[..., Any]


@pytest.fixture
def team(sandbox: Sandbox) -> Any:
    """A second price, for 29 dollars a month."""
    return sandbox.create_price("price_team", 2900, product_name="Team")


def test_change_of_price(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    sandbox.create_price("price_swiss", 2900, "chf", product_name="Swiss")
    subscription = subscribe(line_items__0__quantity="2")
    portal = api.portal(subscription["customer"])
    path = path_to(portal, subscription, "price")
    assert f'href="{path}"' in browser.get(portal).text
    page = browser.get(path).text
    assert "Team" in page
    assert "price_swiss" not in page
    # Half of the period is over, so half of the difference is due.
    sandbox.advance(seconds=HALF)
    wanted = {"price": "price_team"}
    preview = browser.get(f"{path}/confirm", query_string=wanted)
    assert due_today(preview) == "$20.00"
    assert "Unused time on" in preview.text
    assert api.again(subscription)["items"] == subscription["items"]
    answer = browser.post(f"{path}/confirm", data=wanted)
    assert answer.location == f"{portal}?home=1"
    changed = api.again(subscription, "latest_invoice")
    (item,) = changed["items"]["data"]
    assert (item["price"]["id"], item["quantity"]) == ("price_team", 2)
    assert changed["latest_invoice"]["amount_paid"] == 2000


@pytest.mark.parametrize(
    ("behavior", "next_total"), [("none", "$29.00"), ("create_prorations", "$39.00")]
)
def test_change_that_is_paid_later(
    sandbox: Sandbox,
    api: Api,
    browser: Client,
    subscribe: Subscribe,
    team: Any,
    behavior: str,
    next_total: str,
) -> None:
    configuration = configure_update(api, team, proration_behavior=behavior)
    subscription = subscribe()
    portal = api.portal(subscription["customer"], configuration=configuration)
    path = path_to(portal, subscription, "price/confirm")
    sandbox.advance(seconds=HALF)
    preview = browser.get(path, query_string={"price": team["id"]})
    assert due_today(preview) == "$0.00"
    assert "The next invoice, 15 February 2026" in preview.text
    assert next_total in preview.text
    browser.post(path, data={"price": team["id"]})
    sandbox.advance(seconds=HALF)
    renewed = api.again(subscription, "latest_invoice")
    assert f"${renewed['latest_invoice']['amount_paid'] / 100:.2f}" == next_total


def test_cheaper_price_is_credited(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe(line_items__0__price="price_team")
    portal = api.portal(subscription["customer"])
    path = path_to(portal, subscription, "price/confirm")
    preview = browser.get(path, query_string={"price": "price_pro"})
    assert due_today(preview) == "$0.00"
    assert "-$20.00" in preview.text
    assert "It is credited" in preview.text


def test_change_with_the_configuration_of_one_price(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    other = sandbox.create_price("price_other", 1900, product_name="Other")
    subscription = subscribe()
    configuration = configure_update(api, team)
    portal = api.portal(subscription["customer"], configuration=configuration)
    path = path_to(portal, subscription, "price")
    page = browser.get(path).text
    assert team["id"] in page
    assert other["id"] not in page
    assert 'name="quantity"' not in page
    assert 'name="promotion_code"' not in page

    for wanted in (
        {"price": other["id"]},
        {"price": team["id"], "quantity": "2"},
        {"price": team["id"], "promotion_code": "HALF"},
        {"quantity": "2"},
    ):
        shown = browser.get(f"{path}/confirm", query_string=wanted)
        assert shown.status_code == 400, wanted
        assert 'role="alert"' in shown.text
        assert browser.post(f"{path}/confirm", data=wanted).status_code == 400

    assert api.again(subscription) == subscription
    browser.post(f"{path}/confirm", data={"price": team["id"]})
    assert api.again(subscription)["items"]["data"][0]["price"]["id"] == team["id"]


def test_change_of_quantity_alone(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe()
    configuration = configure_update(
        api,
        team,
        default_allowed_updates__0="quantity",
        proration_behavior="always_invoice",
    )
    portal = api.portal(subscription["customer"], configuration=configuration)
    path = path_to(portal, subscription, "price")
    page = browser.get(path).text
    assert 'name="quantity"' in page
    assert team["id"] not in page
    preview = browser.get(f"{path}/confirm", query_string={"quantity": "3"})
    assert due_today(preview) == "$18.00"
    browser.post(f"{path}/confirm", data={"quantity": "3"})
    assert api.again(subscription)["items"]["data"][0]["quantity"] == 3


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ("1", "The quantity has to be 2 to 5."),
        ("6", "The quantity has to be 2 to 5."),
        ("-1", "Invalid integer"),
        ("two", "Invalid integer"),
    ],
)
def test_quantity_has_limits(
    api: Api,
    browser: Client,
    subscribe: Subscribe,
    team: Any,
    quantity: str,
    message: str,
) -> None:
    subscription = subscribe()
    limits = "products__0__adjustable_quantity__"
    configuration = configure_update(
        api,
        team,
        default_allowed_updates__1="quantity",
        **{f"{limits}enabled": "true", f"{limits}minimum": 2, f"{limits}maximum": 5},
    )
    portal = api.portal(subscription["customer"], configuration=configuration)
    path = path_to(portal, subscription, "price/confirm")
    wanted = {"price": team["id"], "quantity": quantity}
    page = browser.get(path, query_string=wanted)
    assert page.status_code == 400
    assert message in page.text
    assert f'value="{quantity}"' in page.text
    assert browser.post(path, data=wanted).status_code == 400
    wanted["quantity"] = "5"
    assert browser.post(path, data=wanted).status_code == 303


def test_promotion_code(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    coupon = api.post("/v1/coupons", {"percent_off": "50", "duration": "forever"})
    code = api.post(
        "/v1/promotion_codes",
        {
            "code": "HALF",
            "promotion[type]": "coupon",
            "promotion[coupon]": coupon["id"],
        },
    )
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    path = path_to(portal, subscription, "price/confirm")
    wrong = browser.get(path, query_string={"promotion_code": "NONE"})
    assert "This code is invalid." in wrong.text
    wanted = {"price": team["id"], "promotion_code": "half"}
    # Half of 29 dollars, and the 9 dollars that were paid are given back.
    assert due_today(browser.get(path, query_string=wanted)) == "$5.50"
    # Looking does not use the code up.
    assert api.again(code)["times_redeemed"] == 0
    assert api.again(coupon)["times_redeemed"] == 0
    browser.post(path, data=wanted)
    assert api.again(code)["times_redeemed"] == 1
    changed = api.again(subscription, "latest_invoice")
    assert changed["latest_invoice"]["amount_paid"] == 550
    assert len(changed["discounts"]) == 1


@pytest.mark.parametrize(
    ("rule", "due", "status"),
    [
        pytest.param("end_trial", "$29.00", "active", id="ends the trial"),
        pytest.param("continue_trial", "$0.00", "trialing", id="goes on"),
    ],
)
def test_change_in_a_trial(
    api: Api,
    browser: Client,
    subscribe: Subscribe,
    team: Any,
    rule: str,
    due: str,
    status: str,
) -> None:
    subscription = subscribe(subscription_data__trial_period_days="14")
    configuration = configure_update(api, team, trial_update_behavior=rule)
    portal = api.portal(subscription["customer"], configuration=configuration)
    path = path_to(portal, subscription, "price/confirm")
    wanted = {"price": team["id"]}
    preview = browser.get(path, query_string=wanted)
    assert due_today(preview) == due
    assert ("The trial ends with this change." in preview.text) == (due != "$0.00")
    browser.post(path, data=wanted)
    changed = api.again(subscription, "latest_invoice")
    assert changed["status"] == status
    assert changed["items"]["data"][0]["price"]["id"] == team["id"]
    assert f"${changed['latest_invoice']['amount_paid'] / 100:.2f}" == due


def test_change_can_begin_a_new_period(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe()
    configuration = configure_update(
        api, team, billing_cycle_anchor="now", proration_behavior="always_invoice"
    )
    portal = api.portal(subscription["customer"], configuration=configuration)
    path = path_to(portal, subscription, "price/confirm")
    sandbox.advance(seconds=HALF)
    # The whole new price, less half of the old one.
    preview = browser.get(path, query_string={"price": team["id"]})
    assert due_today(preview) == "$24.50"
    browser.post(path, data={"price": team["id"]})
    (item,) = api.again(subscription)["items"]["data"]
    assert item["current_period_start"] == NOON + HALF


def test_change_that_cannot_be_paid_is_not_made(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe("4000000000000341")
    events = len(sandbox.events)
    portal = api.portal(subscription["customer"])
    path = path_to(portal, subscription, "price/confirm")
    page = browser.post(path, data={"price": team["id"]})
    assert page.status_code == 402
    assert "Your card was declined." in page.text
    # The same page again, to try again after another card was given.
    assert due_today(page) == "$20.00"
    assert api.again(subscription) == subscription
    assert len(sandbox.events) == events


def test_change_to_what_there_is_already(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe()
    path = path_to(api.portal(subscription["customer"]), subscription, "price/confirm")
    page = browser.get(path, query_string={"price": "price_pro", "quantity": "1"})
    assert page.status_code == 400
    assert "This is what you have already." in page.text


def test_what_cannot_be_changed_is_not_offered(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    ending, double = subscribe(), subscribe()
    api.change(ending, cancel_at_period_end="true")
    api.change(double, items__0__price=team["id"])

    for subscription in (ending, double):
        before = api.again(subscription)
        portal = api.portal(subscription["customer"])
        assert "Change subscription" not in browser.get(portal).text
        path = path_to(portal, subscription, "price")
        assert "There is nothing to choose." in browser.get(path).text
        answer = browser.post(f"{path}/confirm", data={"price": team["id"]})
        assert answer.status_code == 400
        assert api.again(subscription) == before


def test_customer_on_a_test_clock(api: Api, browser: Client, team: Any) -> None:
    clock = api.post("/v1/test_helpers/test_clocks", {"frozen_time": str(NOON)})
    customer = api.customer(test_clock=clock["id"])
    subscription = api.subscribe(customer)
    api.post(f"{path_of(clock)}/advance", {"frozen_time": str(NOON + HALF)})
    path = path_to(api.portal(customer), subscription, "price/confirm")
    preview = browser.get(path, query_string={"price": team["id"]})
    assert due_today(preview) == "$10.00"
    browser.post(path, data={"price": team["id"]})
    changed = api.again(subscription, "latest_invoice")
    assert changed["latest_invoice"]["amount_paid"] == 1000
    assert changed["latest_invoice"]["created"] == NOON + HALF
