"""What a portal offers: its first page, and its configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .portal_vocabulary import CARD
from .portal_vocabulary import CONFIGURATIONS
from .portal_vocabulary import configure
from .portal_vocabulary import path_to
from .portal_vocabulary import SESSIONS

Subscribe = Callable[..., Any]


@pytest.fixture
def team(sandbox: Sandbox) -> Any:
    """A second price, for 29 dollars a month."""
    return sandbox.create_price("price_team", 2900, product_name="Team")


# The first page


def test_first_page_shows_the_subscription(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    page = browser.get(api.portal(subscription["customer"])).text

    for text in (
        "Pro",
        "$9.00",
        "15 February 2026",
        "4242",
        'href="https://shop.test/account"',
        "-0001",
    ):
        assert text in page


def test_portal_of_one_customer_changes_nothing_of_another(
    api: Api, browser: Client, subscribe: Subscribe, team: Any
) -> None:
    mine, theirs = subscribe(), subscribe()
    portal = api.portal(mine["customer"])

    for page in ("cancel", "keep", "pause", "resume", "price/confirm"):
        answer = browser.post(path_to(portal, theirs, page), data={"price": team["id"]})
        assert answer.status_code == 404, page

    assert api.again(theirs) == theirs


# Configurations


def test_default_configuration_offers_what_is_sold(
    sandbox: Sandbox, api: Api, team: Any
) -> None:
    sandbox.create_price("price_once_sold", 100, product_name="Old")
    api.post("/v1/prices/price_once_sold", {"active": "false"})
    (default,) = api.get(CONFIGURATIONS)["data"]
    rules = default["features"]["subscription_update"]
    assert rules["enabled"] is True
    assert rules["default_allowed_updates"] == ["price", "promotion_code", "quantity"]
    assert [product["prices"] for product in rules["products"]] == [
        ["price_pro"],
        ["price_team"],
    ]
    sandbox.create_price("price_later", 100, product_name="Later")
    again = api.get(f"{CONFIGURATIONS}/{default['id']}")
    last = again["features"]["subscription_update"]["products"][-1]
    assert last["prices"] == ["price_later"]
    session = api.post(
        SESSIONS, {"customer": api.customer()["id"], "expand[]": "configuration"}
    )
    assert session["configuration"] == again


def test_default_configuration_offers_what_it_is_told(
    sandbox: Sandbox, api: Api, team: Any
) -> None:
    (default,) = api.get(CONFIGURATIONS)["data"]
    products = "features[subscription_update][products][0]"
    changed = api.post(
        f"{CONFIGURATIONS}/{default['id']}",
        {f"{products}[product]": team["product"], f"{products}[prices][0]": team["id"]},
    )
    sandbox.create_price("price_later", 100, product_name="Later")
    assert api.get(f"{CONFIGURATIONS}/{default['id']}") == changed
    rules = changed["features"]["subscription_update"]
    assert rules["products"] == [
        {
            "adjustable_quantity": {"enabled": True, "maximum": None, "minimum": 1},
            "prices": ["price_team"],
            "product": team["product"],
        }
    ]


def test_other_configurations_allow_what_they_say(api: Api) -> None:
    configuration = api.post(
        CONFIGURATIONS, {"features[invoice_history][enabled]": "true"}
    )
    features = configuration["features"]
    enabled = [name for name, feature in features.items() if feature["enabled"]]
    assert enabled == ["invoice_history"]
    assert features["subscription_update"]["default_allowed_updates"] == []
    assert features["subscription_update"]["products"] == []


@pytest.mark.parametrize(
    ("product", "price", "param"),
    [
        pytest.param("prod_none", "price_team", "[product]", id="no such product"),
        pytest.param("TEAM", "price_none", "[prices][0]", id="no such price"),
        pytest.param("TEAM", "price_pro", "[prices][0]", id="of another product"),
    ],
)
def test_configuration_with_prices_that_do_not_fit(
    api: Api, team: Any, product: str, price: str, param: str
) -> None:
    product = product.replace("TEAM", team["product"])
    path = "features[subscription_update][products][0]"
    wanted = {f"{path}[product]": product, f"{path}[prices][0]": price}
    status, error = api.error("POST", CONFIGURATIONS, wanted)
    assert (status, error["param"]) == (400, path + param)


def test_changes_that_wait_for_the_end_of_the_period_are_refused(api: Api) -> None:
    path = "features[subscription_update][schedule_at_period_end][conditions][0][type]"
    _, error = api.error("POST", CONFIGURATIONS, {path: "shortening_interval"})
    assert error["code"] == "sandbox_not_simulated"


@pytest.mark.parametrize(
    ("words", "pages"),
    [
        pytest.param("your card", ["card"], id="card"),
        pytest.param("your details", ["details"], id="details"),
        pytest.param("Cancel subscription", ["cancel"], id="cancel"),
        pytest.param("Keep my subscription", ["keep"], id="keep"),
        pytest.param("Pause subscription", ["pause"], id="pause"),
        pytest.param("Resume subscription", ["resume"], id="resume"),
        pytest.param(
            "Change subscription", ["price", "price/confirm"], id="price and quantity"
        ),
        pytest.param("Invoices", [], id="invoices"),
    ],
)
def test_what_is_disabled_is_neither_shown_nor_accepted(
    api: Api,
    browser: Client,
    subscribe: Subscribe,
    team: Any,
    words: str,
    pages: list[str],
) -> None:
    subscription = subscribe()

    if words.startswith("Keep"):
        api.change(subscription, cancel_at_period_end="true")
    elif words.startswith("Resume"):
        api.change(subscription, pause_collection__behavior="void")

    before = api.again(subscription)
    assert words in browser.get(api.portal(subscription["customer"])).text
    closed = api.portal(subscription["customer"], configuration=configure(api))
    assert words not in browser.get(closed).text

    for name in pages:
        in_session = name in ("card", "details")
        path = f"{closed}/{name}" if in_session else path_to(closed, before, name)
        form = {**CARD, "price": team["id"]} if name != "details" else {"email": "a@b"}
        answer = browser.post(path, data=form)
        assert answer.status_code in ((405,) if name == "price" else (400, 403)), name
        assert browser.get(path).status_code in (403, 405), name

    assert api.again(subscription) == before
    customer = api.get(f"/v1/customers/{subscription['customer']}")
    assert customer["email"] == "buyer@example.com"
    assert customer["invoice_settings"]["default_payment_method"] is None


def test_page_says_what_is_disabled(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    closed = api.portal(subscribe()["customer"], configuration=configure(api))
    page = browser.get(f"{closed}/card")
    assert page.status_code == 403
    assert "Changing the card is disabled" in page.text
    assert 'role="alert"' in page.text
