"""Who is told: webhook endpoints, event destinations, and the log of events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from stripe.events._event_classes import _V2_EVENT_CLASS_LOOKUP
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.stripe_api.signatures import verify_signature

from .conftest import Api
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON

ENDPOINTS = "/v1/webhook_endpoints"
DESTINATIONS = "/v2/core/event_destinations"
SECRET = "webhook_endpoint.signing_secret"
URL = "webhook_endpoint.url"

Subscribe = Callable[..., Any]


class JsonApi:
    """Calls the second version of the API, which takes JSON."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._client = Client(sandbox.wsgi_app)
        self._headers = {"Authorization": f"Bearer {sandbox.api_key}"}

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        response = self._client.open(
            path, method=method, json=body, headers=self._headers
        )
        return response.status_code, response.json

    def create(self, payload: str = "thin", **params: Any) -> Any:
        status, destination = self.call("POST", DESTINATIONS, thin(payload, **params))
        assert status == 200, destination
        return destination


def thin(payload: str = "thin", **params: Any) -> dict[str, Any]:
    body = {
        "name": "Shop",
        "type": "webhook_endpoint",
        "event_payload": payload,
        "enabled_events": ["*"],
        "webhook_endpoint": {"url": "https://shop.test/thin"},
        **params,
    }
    return {name: value for name, value in body.items() if value is not None}


@pytest.fixture
def quiet(hook: Hook) -> Sandbox:
    """A sandbox without endpoints."""
    return Sandbox(clock=Clock(NOON), send=hook, retry_delays=())


@pytest.fixture
def v2(quiet: Sandbox) -> JsonApi:
    return JsonApi(quiet)


# Webhook endpoints


def test_secret_is_shown_once(quiet: Sandbox) -> None:
    api = Api(quiet)
    params = {"url": "https://shop.test/x", "enabled_events[0]": "*"}
    created = api.post(ENDPOINTS, params)
    assert created.pop("secret").startswith("whsec_")
    path = f"{ENDPOINTS}/{created['id']}"
    assert api.get(path) == created
    assert api.get(ENDPOINTS)["data"] == [created]
    assert api.post(path, {"description": "Mine"}) == {**created, "description": "Mine"}


def test_endpoint_without_a_version_has_the_accounts(
    quiet: Sandbox, hook: Hook
) -> None:
    params = {"url": "https://shop.test/x", "enabled_events[0]": "*"}
    assert Api(quiet).post(ENDPOINTS, params)["api_version"] is None
    quiet.create_price()
    quiet.wait_idle()
    assert {event["api_version"] for event in hook.received} == {"2026-10-28.endive"}


def test_version_of_an_endpoint_cannot_be_changed(sandbox: Sandbox, api: Api) -> None:
    (endpoint,) = api.get(ENDPOINTS)["data"]
    params = {"api_version": "2024-12-18.acacia"}
    status, error = api.error("POST", f"{ENDPOINTS}/{endpoint['id']}", params)
    assert (status, error["code"]) == (400, "parameter_unknown")
    assert error["param"] == "api_version"


@pytest.mark.parametrize("event_type", ["invoice.*", "invoice", "", "Invoice.paid"])
def test_endpoint_wants_types_or_all_of_them(
    sandbox: Sandbox, api: Api, event_type: str
) -> None:
    params = {"url": "https://shop.test/x", "enabled_events[0]": event_type}
    status, error = api.error("POST", ENDPOINTS, params)
    assert (status, error["param"]) == (400, "enabled_events[0]")


def test_types_of_an_endpoint_can_be_changed(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    (endpoint,) = api.get(ENDPOINTS)["data"]
    path = f"{ENDPOINTS}/{endpoint['id']}"
    changed = api.post(path, {"enabled_events[0]": "customer.deleted"})
    assert changed["enabled_events"] == ["customer.deleted"]
    customer = api.post("/v1/customers")
    api.delete(f"/v1/customers/{customer['id']}")
    sandbox.wait_idle()
    assert hook.types == ["customer.deleted"]


def test_disabled_endpoint_is_told_again_once_it_is_enabled(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    (endpoint,) = api.get(ENDPOINTS)["data"]
    path = f"{ENDPOINTS}/{endpoint['id']}"
    api.post(path, {"disabled": "true"})
    api.post("/v1/customers", {"name": "unseen"})
    assert api.post(path, {"disabled": "false"})["status"] == "enabled"
    api.post("/v1/customers", {"name": "seen"})
    sandbox.wait_idle()
    assert [event["data"]["object"]["name"] for event in hook.received] == ["seen"]


def test_deleted_endpoint_is_gone(sandbox: Sandbox, api: Api, hook: Hook) -> None:
    (endpoint,) = api.get(ENDPOINTS)["data"]
    path = f"{ENDPOINTS}/{endpoint['id']}"
    deleted = {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}
    assert api.delete(path) == deleted
    assert api.error("GET", path)[0] == 404
    api.post("/v1/customers")
    sandbox.wait_idle()
    assert hook.received == []


def test_there_are_16_endpoints_at_most(quiet: Sandbox, v2: JsonApi) -> None:
    for number in range(15):
        quiet.create_webhook_endpoint(f"https://shop.test/{number}")

    v2.create()
    status, answer = v2.call("POST", DESTINATIONS, thin())
    assert (status, "maximum of 16" in answer["error"]["message"]) == (400, True)
    params = {"url": "https://shop.test/x", "enabled_events[0]": "*"}
    assert Api(quiet).error("POST", ENDPOINTS, params)[0] == 400


# Event destinations


def test_destination_shows_url_and_secret_only_when_asked(v2: JsonApi) -> None:
    created = v2.create(include=[SECRET, URL], description="d", metadata={"a": "1"})
    redacted = {"signing_secret": None, "url": None}
    shown = created["webhook_endpoint"]
    assert shown["signing_secret"].startswith("whsec_")
    assert shown["url"] == "https://shop.test/thin"
    path = f"{DESTINATIONS}/{created['id']}"
    found = {**created, "webhook_endpoint": redacted}
    assert v2.call("GET", path) == (200, found)
    assert v2.call("GET", f"{path}?include[0]={URL}")[1]["webhook_endpoint"] == {
        "signing_secret": None,
        "url": "https://shop.test/thin",
    }
    assert v2.call("GET", f"{path}?include[0]={SECRET}")[0] == 400
    assert v2.call("GET", DESTINATIONS)[1]["data"] == [found]
    assert v2.create()["webhook_endpoint"] == redacted


def test_destination_is_updated_disabled_and_deleted(
    quiet: Sandbox, v2: JsonApi, hook: Hook
) -> None:
    path = f"{DESTINATIONS}/{v2.create()['id']}"
    assert v2.call("POST", path, {"name": "New"})[1]["name"] == "New"
    disabled = v2.call("POST", f"{path}/disable")[1]
    assert disabled["status"] == "disabled"
    assert disabled["status_details"] == {"disabled": {"reason": "user"}}
    quiet.create_price("price_unseen")
    assert v2.call("POST", f"{path}/enable")[1]["status"] == "enabled"
    quiet.create_price("price_seen")
    quiet.wait_idle()
    ids = [event["related_object"]["id"] for event in hook.received]
    assert ids[-1] == "price_seen"
    assert "price_unseen" not in ids
    assert v2.call("DELETE", path)[0] == 200
    assert v2.call("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"name": None}, "name"),
        ({"enabled_events": None}, "enabled_events"),
        ({"webhook_endpoint": None}, "webhook_endpoint"),
        ({"webhook_endpoint": {"url": "nowhere"}}, "webhook_endpoint[url]"),
        ({"type": "amazon_eventbridge"}, "type"),
        ({"event_payload": "fat"}, "event_payload"),
        ({"snapshot_api_version": "2025-03-31.basil"}, "snapshot_api_version"),
        ({"enabled_events": ["v1.invoice.paid", "invoice.paid"]}, "enabled_events[1]"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_destination_is_refused(
    v2: JsonApi, params: dict[str, Any], param: str
) -> None:
    status, answer = v2.call("POST", DESTINATIONS, thin(**params))
    assert (status, answer["error"]["param"]) == (400, param)
    assert v2.call("GET", DESTINATIONS)[1]["data"] == []


@pytest.mark.parametrize("body", ["{", "[]", "name=Shop"])
def test_second_version_takes_json_objects_only(
    quiet: Sandbox, api: Api, body: str
) -> None:
    response = Client(quiet.wsgi_app).post(
        DESTINATIONS,
        data=body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {quiet.api_key}"},
    )
    assert response.status_code == 400
    assert "JSON" in response.text


def test_destination_of_snapshots_has_a_version(
    quiet: Sandbox, v2: JsonApi, hook: Hook
) -> None:
    version = "2025-03-31.basil"
    types = ["price.created"]
    created = v2.create("snapshot", snapshot_api_version=version, enabled_events=types)
    assert created["snapshot_api_version"] == version
    quiet.create_price()
    quiet.wait_idle()
    assert hook.types == types
    assert hook.received[0]["object"] == "event"
    assert hook.received[0]["api_version"] == version


# Thin events


def test_thin_event_names_its_object_only(
    quiet: Sandbox, v2: JsonApi, hook: Hook
) -> None:
    secret = v2.create(include=[SECRET])["webhook_endpoint"]["signing_secret"]
    customer = Api(quiet).post("/v1/customers")
    quiet.wait_idle()
    (event,) = hook.received
    (snapshot,) = quiet.events
    assert event == {
        "id": event["id"],
        "object": "v2.core.event",
        "context": None,
        "created": "2026-01-15T12:00:00.000Z",
        "livemode": False,
        "reason": {"request": snapshot["request"], "type": "request"},
        "related_object": {
            "id": customer["id"],
            "type": "customer",
            "url": f"/v1/customers/{customer['id']}",
        },
        "snapshot_event": None,
        "type": "v1.customer.created",
    }
    assert event["id"] != snapshot["id"]
    signature = hook.headers[0]["Stripe-Signature"]
    verify_signature(hook.bodies[0], signature, [secret], now=time.time())
    assert v2.call("GET", f"/v2/core/events/{event['id']}") == (200, event)


def test_thin_event_of_time_has_no_reason(
    quiet: Sandbox, v2: JsonApi, hook: Hook
) -> None:
    v2.create(enabled_events=["v1.price.created"])
    quiet.create_price()
    quiet.wait_idle()
    assert [event["reason"] for event in hook.received] == [None]


def test_thin_event_names_its_snapshot_where_both_are_sent(
    quiet: Sandbox, v2: JsonApi, hook: Hook
) -> None:
    v2.create()
    quiet.create_webhook_endpoint("https://shop.test/fat", ["price.created"])
    quiet.create_price()
    quiet.wait_idle()
    thin_events = [e for e in hook.received if e["object"] == "v2.core.event"]
    named = {event["type"]: event["snapshot_event"] for event in thin_events}
    (fat,) = [e for e in hook.received if e["object"] == "event"]
    assert named == {"v1.product.created": None, "v1.price.created": fat["id"]}


def test_thin_destination_gets_only_what_it_wants(quiet: Sandbox, hook: Hook) -> None:
    types = ["v1.price.created"]
    secret = quiet.create_thin_destination("https://shop.test/thin", types)
    assert secret.startswith("whsec_")
    quiet.create_price()
    quiet.wait_idle()
    assert hook.types == ["v1.price.created"]


def test_url_of_every_related_object_leads_to_it(
    sandbox: Sandbox, api: Api, hook: Hook, subscribe: Subscribe
) -> None:
    JsonApi(sandbox).create()
    subscribe()
    sandbox.advance(days=31)
    related = [
        event["related_object"]
        for event in hook.received
        if event["object"] == "v2.core.event"
        and event["type"] != "v1.invoice.upcoming"  # about what does not exist yet
    ]
    kinds = {"checkout.session", "customer", "invoice", "subscription"}
    assert kinds <= {entry["type"] for entry in related}

    for entry in related:
        response = api.call("GET", entry["url"])

        if response.status_code != 404:  # what has no API of its own in the sandbox
            assert response.json is not None
            assert response.json["id"] == entry["id"]

        assert response.status_code == 200 or entry["type"] not in kinds


# The log


@pytest.fixture
def log(sandbox: Sandbox, api: Api, hook: Hook) -> Api:
    """Three customers on three days, of whom the second is deleted on the third. The
    first event was never delivered."""
    hook.answers = [500] * 3
    api.post("/v1/customers", {"name": "one"})
    sandbox.wait_idle()
    sandbox.advance(days=1)
    second = api.post("/v1/customers", {"name": "two"})
    sandbox.advance(days=1)
    api.delete(f"/v1/customers/{second['id']}")
    api.post("/v1/customers", {"name": "three"})
    sandbox.wait_idle()
    return api


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"type": "customer.created"}, ["three", "two", "one"]),
        ({"type": "customer.*"}, ["three", "two deleted", "two", "one"]),
        ({"types[0]": "customer.deleted"}, ["two deleted"]),
        (
            {"types[0]": "customer.deleted", "types[1]": "customer.created"},
            ["three", "two deleted", "two", "one"],
        ),
        ({"type": "customer.created", "created": NOON + DAY}, ["two"]),
        ({"type": "customer.*", "created[gt]": NOON}, ["three", "two deleted", "two"]),
        (
            {"type": "customer.created", "created[gte]": NOON + DAY},
            ["three", "two"],
        ),
        ({"type": "customer.created", "created[lt]": NOON + DAY}, ["one"]),
        ({"type": "customer.created", "created[lte]": NOON + DAY}, ["two", "one"]),
        (
            {"created[gt]": NOON, "created[lt]": NOON + 2 * DAY},
            ["two"],
        ),
        ({"type": "customer.*", "delivery_success": "false"}, ["one"]),
        (
            {"type": "customer.*", "delivery_success": "true"},
            ["three", "two deleted", "two"],
        ),
        ({"type": "customer.*", "limit": 1}, ["three"]),
    ],
)
def test_events_are_filtered(
    log: Api, params: dict[str, Any], names: list[str]
) -> None:
    found = log.get("/v1/events", params)["data"]
    assert [name_of(event) for event in found] == names


def test_events_are_paged_both_ways(log: Api) -> None:
    params = {"type": "customer.*"}
    every = log.get("/v1/events", params)["data"]
    after = {**params, "starting_after": every[1]["id"], "limit": 1}
    page = log.get("/v1/events", after)
    assert (page["data"], page["has_more"]) == ([every[2]], True)
    before = {**params, "ending_before": every[3]["id"], "limit": 2}
    page = log.get("/v1/events", before)
    assert (page["data"], page["has_more"]) == (every[1:3], True)
    assert log.get(f"/v1/events/{every[0]['id']}") == every[0]


@pytest.mark.parametrize(
    "params",
    [
        {"type": "customer.created", "types[0]": "customer.created"},
        {f"types[{number}]": "customer.created" for number in range(21)},
        {"delivery_success": "maybe"},
        {"created[after]": "1"},
    ],
)
def test_wrong_filters_are_refused(api: Api, params: dict[str, str]) -> None:
    assert api.error("GET", "/v1/events", params)[0] == 400


def test_twenty_types_are_allowed(log: Api) -> None:
    params = {f"types[{number}]": "customer.deleted" for number in range(20)}
    assert len(log.get("/v1/events", params)["data"]) == 1


def name_of(event: Any) -> str:
    name: str = event["data"]["object"]["name"]
    return f"{name} deleted" if event["type"] == "customer.deleted" else name


def test_payload_is_json_of_the_logged_event(
    sandbox: Sandbox, api: Api, hook: Hook
) -> None:
    api.post("/v1/customers")
    sandbox.wait_idle()
    sent = json.loads(hook.bodies[0])
    logged = api.get(f"/v1/events/{sent['id']}")
    assert {**sent, "pending_webhooks": 0} == logged


# Pings, and lists of thin events


def test_ping_is_a_thin_event_about_the_destination(quiet: Sandbox, hook: Hook) -> None:
    v2 = JsonApi(quiet)
    destination = v2.create(enabled_events=["v1.invoice.paid"])
    path = f"{DESTINATIONS}/{destination['id']}"
    status, event = v2.call("POST", f"{path}/ping", {})
    assert (status, event["type"]) == (200, "v2.core.event_destination.ping")
    quiet.deliver()
    assert hook.received == [event]
    assert v2.call("GET", event["related_object"]["url"])[1]["id"] == destination["id"]
    assert v2.call("GET", f"/v2/core/events/{event['id']}") == (200, event)
    assert [attempt.status for attempt in quiet.attempts(event["id"])] == [200]


def test_ping_of_a_snapshot_destination_is_thin_too(quiet: Sandbox, hook: Hook) -> None:
    v2 = JsonApi(quiet)
    quiet.faults.add("old_version")
    destination = v2.create("snapshot", snapshot_api_version="2025-03-31.basil")
    v2.call("POST", f"{DESTINATIONS}/{destination['id']}/ping", {})
    quiet.deliver()
    assert [event["object"] for event in hook.received] == ["v2.core.event"]


def test_disabled_destination_is_not_pinged(quiet: Sandbox) -> None:
    v2 = JsonApi(quiet)
    path = f"{DESTINATIONS}/{v2.create()['id']}"
    v2.call("POST", f"{path}/disable", {})
    status, _ = v2.call("POST", f"{path}/ping", {})
    assert status == 400


def test_thin_events_are_listed(quiet: Sandbox) -> None:
    api, v2 = Api(quiet), JsonApi(quiet)
    v2.create()
    ids = [api.post("/v1/customers")["id"] for _ in range(3)]
    quiet.advance(days=1)
    api.post(f"/v1/customers/{ids[0]}", {"name": "Ada"})

    def listed(query: str) -> list[tuple[str, str]]:
        status, found = v2.call("GET", f"/v2/core/events{query}")
        assert status == 200, found
        return [
            (event["type"].removeprefix("v1.customer."), event["related_object"]["id"])
            for event in found["data"]
        ]

    created = [("created", customer_id) for customer_id in reversed(ids)]
    assert listed("") == [("updated", ids[0]), *created]
    assert listed(f"?object_id={ids[1]}") == [("created", ids[1])]
    assert listed("?types[0]=v1.customer.updated") == [("updated", ids[0])]
    assert listed("?created[lt]=2026-01-16T00:00:00.000Z") == created
    query = "limit=2&types[0]=v1.customer.created"
    first = v2.call("GET", f"/v2/core/events?{query}")[1]
    second = v2.call("GET", first["next_page_url"])[1]
    assert [e["related_object"]["id"] for e in first["data"]] == ids[:0:-1]
    assert [e["related_object"]["id"] for e in second["data"]] == ids[:1]
    assert second["next_page_url"] is None
    assert v2.call("GET", second["previous_page_url"])[1] == first


def test_thin_event_types_are_those_of_stripes_package(
    sandbox: Sandbox, api: Api, hook: Hook, subscribe: Subscribe
) -> None:
    JsonApi(sandbox).create()
    customer = api.customer("pm_card_chargeCustomerFail")
    api.delete(f"/v1/subscriptions/{api.subscribe(customer)['id']}")
    subscribe(subscription_data__trial_period_days="10")
    sandbox.advance(days=50)
    api.delete(f"/v1/customers/{customer['id']}")
    sent = {e["type"] for e in hook.received if e["object"] == "v2.core.event"}
    assert len(sent) > 10
    assert sent <= _V2_EVENT_CLASS_LOOKUP.keys()
