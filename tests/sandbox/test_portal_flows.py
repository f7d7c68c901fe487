"""Sessions of the portal that lead to one page, and what comes after it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import bracketed
from .portal_vocabulary import ASKS
from .portal_vocabulary import CARD
from .portal_vocabulary import configure
from .portal_vocabulary import configure_update
from .portal_vocabulary import due_today
from .portal_vocabulary import flow
from .portal_vocabulary import path_to
from .portal_vocabulary import SESSIONS

Subscribe = Callable[..., Any]


@pytest.fixture
def team(sandbox: Sandbox) -> Any:
    """A second price, for 29 dollars a month."""
    return sandbox.create_price("price_team", 2900, product_name="Team")


def test_flow_that_cancels(api: Api, browser: Client, subscribe: Subscribe) -> None:
    subscription = subscribe()
    wanted = flow("subscription_cancel", "redirect", subscription=subscription["id"])
    portal = api.portal(subscription["customer"], **wanted)
    question = browser.get(portal)
    assert question.status_code == 302
    assert question.location == path_to(portal, subscription, "cancel")
    assert browser.post(question.location).location == "https://shop.test/bye"
    # It is done: the same address now shows what there is.
    assert "Keep my subscription" in browser.get(portal).text


def test_flow_that_updates_the_card(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    wanted = flow("payment_method_update", "redirect")
    portal = api.portal(subscription["customer"], **wanted)
    card = browser.get(portal)
    assert (card.status_code, card.location) == (302, f"{portal}/card")
    assert browser.post(card.location, data=CARD).location == "https://shop.test/bye"
    bank = browser.post(card.location, data=ASKS).location
    passed = browser.post(bank, data={"answer": "complete"})
    assert passed.location == "https://shop.test/bye"


def test_flow_that_updates_the_subscription(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe()
    wanted = flow("subscription_update", "redirect", subscription=subscription["id"])
    portal = api.portal(subscription["customer"], **wanted)
    path = path_to(portal, subscription, "price")
    assert browser.get(portal).location == path
    answer = browser.post(f"{path}/confirm", data={"price": team["id"]})
    assert answer.location == "https://shop.test/bye"


def test_flow_that_confirms_an_update(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    subscription = subscribe()
    wanted = flow(
        "subscription_update_confirm",
        "redirect",
        subscription=subscription["id"],
        items__0__id=subscription["items"]["data"][0]["id"],
        items__0__price=team["id"],
        items__0__quantity="2",
    )
    portal = api.portal(subscription["customer"], **wanted)
    straight = browser.get(portal, follow_redirects=True)
    assert straight.request.path == path_to(portal, subscription, "price/confirm")
    assert due_today(straight) == "$49.00"
    hidden = re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', straight.text)
    answer = browser.post(straight.request.path, data=dict(hidden))
    assert answer.location == "https://shop.test/bye"
    (item,) = api.again(subscription)["items"]["data"]
    assert (item["price"]["id"], item["quantity"]) == (team["id"], 2)


def test_flow_ends_with_a_confirmation(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    message = {
        "flow_data__after_completion__hosted_confirmation__custom_message": "So long."
    }
    subscription = subscribe()
    wanted = flow(
        "subscription_cancel", "hosted_confirmation", subscription=subscription["id"]
    )
    portal = api.portal(subscription["customer"], **wanted, **message)
    done = browser.post(path_to(portal, subscription, "cancel"), follow_redirects=True)
    assert "So long." in done.text
    assert 'href="https://shop.test/account"' in done.text


@pytest.mark.parametrize("after", [None, "portal_homepage"])
def test_flow_ends_on_the_first_page(
    api: Api, browser: Client, subscribe: Subscribe, after: str | None
) -> None:
    portal = api.portal(subscribe()["customer"], **flow("payment_method_update", after))
    assert browser.post(f"{portal}/card", data=CARD).location == f"{portal}?home=1"


def test_flow_is_completed_by_its_own_action_only(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    wanted = flow("payment_method_update", "redirect")
    portal = api.portal(subscription["customer"], **wanted)
    answer = browser.post(path_to(portal, subscription, "cancel"))
    assert answer.location == f"{portal}?home=1"


@pytest.mark.parametrize(
    "kind",
    [
        "payment_method_update",
        "subscription_cancel",
        "subscription_update",
        "subscription_update_confirm",
    ],
)
def test_flow_needs_its_feature(api: Api, subscribe: Subscribe, kind: str) -> None:
    subscription = subscribe()
    details = {}

    if kind.startswith("subscription"):
        details["subscription"] = subscription["id"]

    if kind.endswith("confirm"):
        details["items__0__id"] = subscription["items"]["data"][0]["id"]

    wanted = flow(kind, **details)
    wanted |= {"customer": subscription["customer"], "configuration": configure(api)}
    status, error = api.error("POST", SESSIONS, bracketed(wanted))
    assert (status, error["param"]) == (400, "flow_data[type]")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        pytest.param({}, "already", id="nothing new"),
        pytest.param({"price": "price_other"}, "not offered", id="another price"),
        pytest.param({"price": "price_none"}, "No such price", id="no such price"),
        pytest.param({"quantity": "2"}, "has to be 1", id="quantity"),
        pytest.param({"id": "si_none"}, "No such subscription_item", id="no item"),
    ],
)
def test_flow_confirms_what_the_configuration_offers(
    sandbox: Sandbox,
    api: Api,
    subscribe: Subscribe,
    team: Any,
    item: dict[str, str],
    message: str,
) -> None:
    sandbox.create_price("price_other", 1900, product_name="Other")
    subscription = subscribe()
    given = {"id": subscription["items"]["data"][0]["id"], **item}
    wanted = flow(
        "subscription_update_confirm",
        subscription=subscription["id"],
        **{f"items__0__{name}": value for name, value in given.items()},
    )
    wanted["customer"] = subscription["customer"]
    wanted["configuration"] = configure_update(api, team)
    status, error = api.error("POST", SESSIONS, bracketed(wanted))
    assert status == 400
    assert message in error["message"]


def test_flow_is_about_the_customers_own_subscription(
    api: Api, subscribe: Subscribe
) -> None:
    mine, theirs = subscribe(), subscribe()
    wanted = flow("subscription_cancel", subscription=theirs["id"])
    wanted["customer"] = mine["customer"]
    _, error = api.error("POST", SESSIONS, bracketed(wanted))
    assert error["code"] == "resource_missing"
