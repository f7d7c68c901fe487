"""Events in the version of the endpoint that they go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import NOON
from .versions_vocabulary import ACACIA
from .versions_vocabulary import BASIL
from .versions_vocabulary import Caller
from .versions_vocabulary import CLOVER
from .versions_vocabulary import ENDIVE
from .versions_vocabulary import hook_url
from .versions_vocabulary import HookByUrl
from .versions_vocabulary import NEXT_NOON

Subscribe = Callable[..., Any]


@pytest.fixture
def hook() -> HookByUrl:
    return HookByUrl()


def test_endpoint_of_an_unknown_version_is_refused(api: Api) -> None:
    params = {
        "url": "https://shop.test/x",
        "enabled_events[0]": "*",
        "api_version": "2019-01-01",
    }
    status, error = api.error("POST", "/v1/webhook_endpoints", params)
    assert (status, error["param"]) == (400, "api_version")


def test_endpoints_get_the_same_event_in_their_own_version(
    sandbox: Sandbox, api: Api, hook: HookByUrl, subscribe: Subscribe
) -> None:
    old, newer = (hook_url(sandbox, api, version) for version in (ACACIA, CLOVER))
    subscribe()
    sandbox.advance(days=31)
    ids = [[event["id"] for event in hook.by_url[url]] for url in (old, newer)]
    assert ids[0] == ids[1]
    assert {event["api_version"] for event in hook.by_url[old]} == {ACACIA}
    assert {event["api_version"] for event in hook.by_url[newer]} == {CLOVER}
    # Their common log has one version.
    assert {event["api_version"] for event in sandbox.events} == {ENDIVE}


def test_previous_attributes_have_the_shape_of_the_version(
    sandbox: Sandbox, api: Api, hook: HookByUrl, subscribe: Subscribe
) -> None:
    old, new = (hook_url(sandbox, api, version) for version in (ACACIA, BASIL))
    subscription = subscribe()
    sandbox.advance(days=31)
    renewed = [
        next(
            event
            for event in hook.by_url[url]
            if event["type"] == "customer.subscription.updated"
        )["data"]
        for url in (old, new)
    ]
    latest = {"latest_invoice": subscription["latest_invoice"]}
    assert renewed[0]["previous_attributes"] == {
        "current_period_end": NEXT_NOON,
        "current_period_start": NOON,
        **latest,
    }
    assert renewed[0]["object"]["current_period_start"] == NEXT_NOON
    previous = renewed[1]["previous_attributes"]
    assert previous["items"]["data"][0]["current_period_end"] == NEXT_NOON
    assert previous.keys() == {"items", "latest_invoice"}


def test_list_in_previous_attributes_has_the_shape_of_the_version(
    sandbox: Sandbox, api: Api, hook: HookByUrl, subscribe: Subscribe
) -> None:
    """A changed list appears whole, and has the old shape inside."""
    url = hook_url(sandbox, api, ACACIA)
    subscription = subscribe()
    item = subscription["items"]["data"][0]
    params = {"items[0][id]": item["id"], "items[0][quantity]": "2"}
    api.post(f"/v1/subscriptions/{subscription['id']}", params)
    sandbox.wait_idle()
    updated = hook.by_url[url][-1]["data"]
    assert updated["object"]["items"]["data"][0]["quantity"] == 2
    (before,) = updated["previous_attributes"]["items"]["data"]
    assert before["quantity"] == 1
    assert "current_period_end" not in before


def test_event_is_written_when_it_happens(
    sandbox: Sandbox, api: Api, hook: HookByUrl
) -> None:
    """Not when it is sent at last, nor when it is looked at."""
    url = hook_url(sandbox, api, ACACIA)
    customer = api.post("/v1/customers", {"email": "old@shop.test"})
    (event,) = api.get("/v1/events", {"limit": "1"})["data"]
    api.post(f"/v1/customers/{customer['id']}", {"email": "new@shop.test"})
    hook.answers = [500] * 4
    sandbox.wait_idle()
    emails = [
        sent["data"]["object"]["email"]
        for sent in hook.by_url[url]
        if sent["id"] == event["id"]
    ]
    assert len(emails) > 1
    assert set(emails) == {"old@shop.test"}
    assert "customer_account" not in hook.by_url[url][0]["data"]["object"]

    seen = Caller(api, ACACIA).get(f"/v1/events/{event['id']}")
    assert seen["api_version"] == ENDIVE
    assert "customer_account" in seen["data"]["object"]
