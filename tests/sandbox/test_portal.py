"""The customer portal: its pages, its flows, and its configurations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client
from werkzeug.test import TestResponse

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import bracketed
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON
from .conftest import path_of

Subscribe = Callable[..., Any]

CARD = {
    "card_number": "5555 5555 5555 4444",
    "card_expiry": "12 / 34",
    "card_cvc": "123",
    "card_name": "Ada",
}
ASKS = {**CARD, "card_number": "4000 0027 6000 3184"}
HALF = DAY * 31 // 2
CONFIGURATIONS = "/v1/billing_portal/configurations"
SESSIONS = "/v1/billing_portal/sessions"


@pytest.fixture
def team(sandbox: Sandbox) -> Any:
    """A second price, for 29 dollars a month."""
    return sandbox.create_price("price_team", 2900, product_name="Team")


def configure(api: Api, **features: Any) -> str:
    """Create a configuration and return its id; ``__`` stands for brackets."""
    params = {f"features__{name}": value for name, value in features.items()}
    # At least one feature has to be named.
    params.setdefault("features__invoice_history__enabled", "false")
    configuration = api.post(CONFIGURATIONS, bracketed(params))
    configuration_id: str = configuration["id"]
    return configuration_id


def configure_update(api: Api, *prices: Any, **rules: Any) -> str:
    """Create a configuration that lets customers change to these prices."""
    given: dict[str, Any] = {
        "enabled": "true",
        "default_allowed_updates__0": "price",
        **rules,
    }

    for index, price in enumerate(prices):
        given[f"products__{index}__product"] = price["product"]
        given[f"products__{index}__prices__0"] = price["id"]

    return configure(
        api, **{f"subscription_update__{name}": v for name, v in given.items()}
    )


def path_to(portal: str, subscription: Any, page: str) -> str:
    return f"{portal}/subscriptions/{subscription['id']}/{page}"


def due_today(page: TestResponse) -> str:
    match = re.search(r'id="due">.*?(-?\$[\d,.]+)', page.text, re.DOTALL)
    assert match, page.text
    return match[1]


def flow(kind: str, after: str | None = None, **details: Any) -> dict[str, Any]:
    """Return the parameters of a flow."""
    params: dict[str, Any] = {"flow_data__type": kind}
    params |= {f"flow_data__{kind}__{name}": value for name, value in details.items()}

    if after is not None:
        params["flow_data__after_completion__type"] = after

    if after == "redirect":
        params["flow_data__after_completion__redirect__return_url"] = (
            "https://shop.test/bye"
        )

    return params


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


# The end


def test_cancel_asks_first(
    api: Api, browser: Client, hook: Hook, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    cancel = path_to(portal, subscription, "cancel")
    assert f'href="{cancel}"' in browser.get(portal).text
    assert "15 February 2026" in browser.get(cancel).text
    assert api.again(subscription)["cancel_at"] is None
    assert browser.post(cancel).status_code == 303
    canceled = api.again(subscription)
    # What flexible billing sets: a reader of cancel_at_period_end alone is misled.
    assert canceled["cancel_at"] == NOON + 31 * DAY
    assert canceled["cancel_at_period_end"] is False
    assert canceled["canceled_at"] == NOON
    assert hook.types[-1] == "customer.subscription.updated"
    assert hook.received[-1]["data"]["previous_attributes"]["cancel_at"] is None
    assert "ends on" in browser.get(portal).text
    # Pressed twice.
    assert browser.post(cancel).status_code == 303
    assert api.again(subscription) == canceled


def test_cancel_with_classic_billing(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe(subscription_data__billing_mode__type="classic")
    portal = api.portal(subscription["customer"])
    browser.post(path_to(portal, subscription, "cancel"))
    canceled = api.again(subscription)
    assert canceled["cancel_at_period_end"] is True
    assert canceled["cancel_at"] == NOON + 31 * DAY


def test_cancel_can_be_taken_back(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    browser.post(path_to(portal, subscription, "cancel"))
    keep = path_to(portal, subscription, "keep")
    assert f'action="{keep}"' in browser.get(portal).text
    browser.post(keep)
    kept = api.again(subscription)
    assert (kept["cancel_at"], kept["canceled_at"]) == (None, None)
    assert "Renews on" in browser.get(portal).text


def test_canceled_subscription_ends_with_the_period(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    browser.post(path_to(portal, subscription, "cancel"))
    sandbox.advance(days=31)
    assert sandbox.events[-1]["type"] == "customer.subscription.deleted"
    assert "Ended on 15 February 2026" in browser.get(portal).text


@pytest.mark.parametrize(
    ("behavior", "words", "credit"),
    [("none", "not given back", 0), ("always_invoice", "is credited", -450)],
)
def test_cancel_at_once(
    sandbox: Sandbox,
    api: Api,
    browser: Client,
    subscribe: Subscribe,
    behavior: str,
    words: str,
    credit: int,
) -> None:
    configuration = configure(
        api,
        subscription_cancel__enabled="true",
        subscription_cancel__mode="immediately",
        subscription_cancel__proration_behavior=behavior,
    )
    subscription = subscribe()
    portal = api.portal(subscription["customer"], configuration=configuration)
    cancel = path_to(portal, subscription, "cancel")
    sandbox.advance(seconds=HALF)
    page = browser.get(cancel).text
    assert "at once" in page
    assert words in page
    browser.post(cancel)
    assert api.again(subscription)["status"] == "canceled"
    customer = api.get(f"/v1/customers/{subscription['customer']}")
    assert customer["balance"] == credit
    assert "Ended on" in browser.get(portal).text


@pytest.mark.parametrize("mode", ["at_period_end", "immediately"])
def test_cancel_asks_why(
    api: Api, browser: Client, hook: Hook, subscribe: Subscribe, mode: str
) -> None:
    reason = "subscription_cancel__cancellation_reason__"
    configuration = configure(
        api,
        subscription_cancel__enabled="true",
        subscription_cancel__mode=mode,
        **{
            f"{reason}enabled": "true",
            f"{reason}options__0": "too_expensive",
            f"{reason}options__1": "unused",
        },
    )
    subscription = subscribe()
    portal = api.portal(subscription["customer"], configuration=configuration)
    cancel = path_to(portal, subscription, "cancel")
    page = browser.get(cancel).text
    assert "It is too expensive" in page
    assert "The quality" not in page
    refused = browser.post(cancel, data={"feedback": "low_quality"})
    assert refused.status_code == 400
    assert "This reason is not offered." in refused.text
    browser.post(cancel, data={"feedback": "unused", "comment": "Bye"})
    assert api.again(subscription)["cancellation_details"] == {
        "comment": "Bye",
        "feedback": "unused",
        "reason": "cancellation_requested",
    }
    # One event tells it all.
    assert hook.received[-1]["data"]["object"]["cancellation_details"]["comment"]


def test_reason_that_nobody_asked_for_is_refused(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    cancel = path_to(api.portal(subscription["customer"]), subscription, "cancel")
    assert "Why do you cancel" not in browser.get(cancel).text
    answer = browser.post(cancel, data={"feedback": "unused"})
    assert answer.status_code == 403
    assert api.again(subscription) == subscription


# Pauses


def test_pause_and_resume(api: Api, browser: Client, subscribe: Subscribe) -> None:
    subscription = subscribe()
    portal = api.portal(subscription["customer"])
    pause = path_to(portal, subscription, "pause")
    assert f'action="{pause}"' in browser.get(portal).text
    browser.post(pause)
    assert api.again(subscription)["status"] == "paused"
    page = browser.get(portal).text
    assert "It is paused." in page
    assert "Pause subscription" not in page
    assert "Change subscription" not in page
    browser.post(path_to(portal, subscription, "resume"))
    assert api.again(subscription)["status"] == "active"
    assert "Resume subscription" not in browser.get(portal).text


def test_resume_after_a_trial_that_found_no_card(
    sandbox: Sandbox, api: Api, browser: Client, subscribe: Subscribe
) -> None:
    end = "subscription_data__trial_settings__end_behavior__missing_payment_method"
    subscription = subscribe(
        None,
        subscription_data__trial_period_days="7",
        payment_method_collection="if_required",
        **{end: "pause"},
    )
    sandbox.advance(days=8)
    assert api.again(subscription)["status"] == "paused"
    portal = api.portal(subscription["customer"])
    browser.post(f"{portal}/card", data=CARD)
    browser.post(path_to(portal, subscription, "resume"))
    resumed = api.again(subscription, "latest_invoice")
    assert resumed["status"] == "active"
    assert resumed["latest_invoice"]["amount_paid"] == 900
    assert sandbox.events[-1]["created"] == NOON + 8 * DAY


def test_resume_of_paused_payments(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    api.change(subscription, pause_collection__behavior="void")
    portal = api.portal(subscription["customer"])
    assert "Resume subscription" in browser.get(portal).text
    browser.post(path_to(portal, subscription, "resume"))
    assert api.again(subscription)["pause_collection"] is None
    assert "Resume subscription" not in browser.get(portal).text


def test_classic_billing_cannot_be_paused(
    api: Api, browser: Client, subscribe: Subscribe
) -> None:
    subscription = subscribe(subscription_data__billing_mode__type="classic")
    portal = api.portal(subscription["customer"])
    assert "Pause subscription" not in browser.get(portal).text
    browser.post(path_to(portal, subscription, "pause"))
    assert api.again(subscription) == subscription


# Price and quantity


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


# Flows


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
