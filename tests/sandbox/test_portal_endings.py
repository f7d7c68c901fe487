"""What a customer does to a subscription in the portal: end it, keep it, pause it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON
from .portal_vocabulary import CARD
from .portal_vocabulary import configure
from .portal_vocabulary import HALF
from .portal_vocabulary import path_to

Subscribe = Callable[..., Any]


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
