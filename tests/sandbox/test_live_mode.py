"""With its live key, the sandbox is an account in which nothing was created yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import requests

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.state import make_client
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import buy
from tests.vocabulary import doctor
from tests.vocabulary import run
from tests.vocabulary import run_well

from .conftest import Api


@pytest.fixture
def live(sandbox: Sandbox) -> Any:
    """Call the API with the live key."""
    headers = {"Authorization": f"Bearer {sandbox.live_key}"}
    api = Api(sandbox)

    def call(method: str, path: str, **params: Any) -> Any:
        return api.call(method, path, params, headers).json

    return call


def test_live_key_belongs_to_the_test_key() -> None:
    assert Sandbox().live_key == "sk_live_sandbox_live"
    assert Sandbox("rk_test_a_test_b").live_key == "rk_live_a_test_b_live"


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/subscriptions", "/v1/events"])
def test_lists_are_empty(api: Api, live: Any, path: str) -> None:
    api.customer()

    assert live("GET", path, limit="3") == {
        "object": "list",
        "data": [],
        "has_more": False,
        "url": path,
    }


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        ("GET", "/v1/customers/{}", "id"),
        ("DELETE", "/v1/customers/{}", "id"),
        ("GET", "/v1/subscriptions", "customer"),
        ("POST", "/v1/checkout/sessions", "customer"),
        ("POST", "/v1/billing_portal/sessions", "customer"),
    ],
)
def test_object_of_test_mode_is_named(
    api: Api, live: Any, method: str, path: str, param: str
) -> None:
    customer_id = api.customer()["id"]
    params = {} if param == "id" else {param: customer_id}
    error = live(method, path.format(customer_id), **params)["error"]

    assert (error["code"], error["param"]) == ("resource_missing", param)
    assert error["message"] == (
        f"No such customer: '{customer_id}'; a similar object exists in test mode, but"
        " a live mode key was used to make this request."
    )


def test_object_of_no_mode_is_not(live: Any) -> None:
    error = live("GET", "/v1/customers/cus_x")["error"]

    assert error["message"] == "No such customer: 'cus_x'"


def test_nothing_is_created(api: Api, live: Any) -> None:
    error = live("POST", "/v1/customers", email="ada@example.com")["error"]

    assert error["code"] == "sandbox_not_simulated"
    assert api.get("/v1/customers")["data"] == []


def test_app_that_goes_live_is_told_and_forgets_its_test_customers(
    make_shop: Any,
) -> None:
    """On one database, as people do it."""
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"}, STRIPE_TRIAL_DAYS=0)
    shop.add_user(email="ada@example.com")
    state = shop.app.extensions["kavach_stripe"]

    with connect(shop.app, Sandbox()) as sandbox, requests.Session() as session:
        sandbox.pay(buy(shop).json["sessionId"])
        before = shop.columns()
        sandbox.mount(session)
        settings = replace(state.settings, secret_key=sandbox.live_key)
        state.use(settings, make_client(settings, session))

        answer = buy(shop)
        assert (answer.status_code, answer.json["code"]) == (409, "unknown_customer")
        assert "flask stripe forget" in run(shop, "sync").stderr
        assert "a customer of test mode" in doctor_line(shop)
        assert shop.columns() == before

        run_well(shop, "forget", "--unknown", "--yes")
        assert set(shop.columns().values()) == {None, False}
        assert shop.subscriptions == []


def doctor_line(shop: Any) -> str:
    verdict, text = doctor(shop)["customers"]
    assert verdict == "FAIL"
    return text
