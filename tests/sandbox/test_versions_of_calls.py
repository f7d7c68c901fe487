"""The version that a call asks for, and the calls that a version has."""

from __future__ import annotations

import pytest

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.versions.downgrades import OBJECTS
from flask_kavach_stripe.sandbox.versions.known_versions import VERSIONS
from flask_kavach_stripe.sandbox.versions.upgrades import PARAMS

from .conftest import Api
from .versions_vocabulary import ACACIA
from .versions_vocabulary import BASIL
from .versions_vocabulary import Caller
from .versions_vocabulary import DAHLIA
from .versions_vocabulary import ENDIVE


@pytest.mark.parametrize("version", VERSIONS)
def test_version_of_the_request_is_the_version_of_the_answer(
    api: Api, version: str
) -> None:
    headers = {"Stripe-Version": version}
    response = api.call("GET", "/v1/customers", {}, headers)
    assert response.status_code == 200
    assert response.headers["Stripe-Version"] == version


def test_without_a_version_the_newest_counts(api: Api) -> None:
    response = api.call("GET", "/v1/customers")
    assert response.headers["Stripe-Version"] == VERSIONS[-1] == ENDIVE


@pytest.mark.parametrize(
    "version", ["2023-08-16", "2026-10-29.endive", "2026-10-28", "x" * 500]
)
def test_unknown_version_is_refused_before_anything_is_done(
    sandbox: Sandbox, api: Api, version: str
) -> None:
    before = len(sandbox.events)
    error = Caller(api, version).error("POST", "/v1/customers")
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"Invalid Stripe API version: {version[:40]}")
    assert len(sandbox.events) == before


def test_tables_name_known_versions_in_order() -> None:
    """What stands between two versions would never be done, or too often."""
    objects = [change.since for change in OBJECTS]
    params = [change.since for change in PARAMS]
    assert {*objects, *params} <= set(VERSIONS[1:])
    assert objects == sorted(objects, reverse=True)
    assert params == sorted(params)


def test_lists_are_counted_before_basil_only(api: Api) -> None:
    for _ in range(3):
        api.post("/v1/customers")

    count = {"limit": "1", "include__0": "total_count"}
    listed = Caller(api, ACACIA).get("/v1/customers", **count)
    assert (len(listed["data"]), listed["total_count"]) == (1, 3)
    assert "total_count" not in Caller(api, ACACIA).get("/v1/customers")
    error = Caller(api, BASIL).error("GET", "/v1/customers", **count)
    assert error["code"] == "property_forbidden"


def test_pause_came_with_endive(api: Api) -> None:
    subscription = api.subscribe(api.customer())
    path = f"/v1/subscriptions/{subscription['id']}/pause"
    headers = {"Stripe-Version": DAHLIA}
    assert api.call("POST", path, headers=headers).status_code == 404
    assert Caller(api, ENDIVE).post(path)["status"] == "paused"


def test_migration_to_flexible_billing(sandbox: Sandbox, api: Api) -> None:
    subscription = api.subscribe(api.customer(), billing_mode__type="classic")
    path = f"/v1/subscriptions/{subscription['id']}/migrate"
    params = {"billing_mode[type]": "flexible"}
    headers = {"Stripe-Version": BASIL}
    assert api.call("POST", path, params, headers).status_code == 404
    assert api.post(path, params)["billing_mode"]["type"] == "flexible"
    assert sandbox.events[-1]["type"] == "customer.subscription.updated"


@pytest.mark.parametrize("kind", ["customers", "invoices", "subscriptions"])
def test_search_is_an_unknown_url(api: Api, kind: str) -> None:
    status, error = api.error("GET", f"/v1/{kind}/search", {"query": "email:'a'"})
    assert status == 404
    assert "Unrecognized request URL" in error["message"]
