"""Products, prices and portal configurations: what there is to buy and to do."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import path_of


def make_price(api: Api, **params: Any) -> Any:
    wanted = {
        "currency": "usd",
        "unit_amount": "500",
        "recurring[interval]": "month",
        "product_data[name]": "Extra",
        **params,
    }
    return api.post("/v1/prices", wanted)


def test_price_is_renamed_but_costs_the_same(sandbox: Sandbox, api: Api) -> None:
    price = make_price(api)
    changed = api.change(price, nickname="Cheap", metadata__a="1")
    assert changed == {**price, "nickname": "Cheap", "metadata": {"a": "1"}}
    assert sandbox.events[-1]["type"] == "price.updated"
    status, error = api.error("POST", path_of(price), {"unit_amount": "1"})
    assert (status, error["code"]) == (400, "parameter_unknown")


@pytest.mark.parametrize(
    ("param", "values"),
    [
        ("unit_amount", {"unit_amount": -5}),
        ("unit_amount", {"unit_amount": 9.99}),
        ("currency", {"currency": "dollars"}),
        ("recurring[interval]", {"interval": "fortnight"}),
        ("product_data[name]", {"product_name": ""}),
    ],
)
def test_price_that_the_api_refuses_cannot_be_made_in_python(
    sandbox: Sandbox, param: str, values: dict[str, Any]
) -> None:
    with pytest.raises(ApiError) as error:
        sandbox.create_price("price_odd", **values)

    assert error.value.param == param
    assert not sandbox.has_price("price_odd")


def test_inactive_price_is_kept_by_those_who_have_it(
    sandbox: Sandbox, api: Api
) -> None:
    subscription = api.subscribe(api.customer())
    api.post("/v1/prices/price_pro", {"active": "false"})
    status, error = api.error(
        "POST",
        "/v1/subscriptions",
        {"customer": subscription["customer"], "items[0][price]": "price_pro"},
    )
    assert (status, error["code"]) == (400, "price_inactive")
    sandbox.advance(days=31)
    renewed = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert renewed["amount_paid"] == 900


def test_lookup_key_is_moved_if_asked_for(api: Api) -> None:
    old = make_price(api, lookup_key="pro")
    wanted = {
        "currency": "usd",
        "unit_amount": "1",
        "product": old["product"],
        "lookup_key": "pro",
    }
    assert api.error("POST", "/v1/prices", wanted)[1]["param"] == "lookup_key"
    new = api.post("/v1/prices", {**wanted, "transfer_lookup_key": "true"})
    assert api.again(old)["lookup_key"] is None
    found = api.get("/v1/prices", {"lookup_keys[]": "pro"})["data"]
    assert [price["id"] for price in found] == [new["id"]]


def test_product_is_changed_and_deleted(sandbox: Sandbox, api: Api) -> None:
    product = api.post("/v1/products", {"name": "Team", "description": "Many"})
    changed = api.change(product, name="Teams", description="")
    assert (changed["name"], changed["description"]) == ("Teams", None)
    assert sandbox.events[-1]["data"]["previous_attributes"] == {
        "description": "Many",
        "name": "Team",
    }
    price = make_price(api)
    foreign = {"default_price": price["id"]}
    assert api.error("POST", path_of(product), foreign)[0] == 400
    own = f"/v1/products/{price['product']}"
    assert api.post(own, foreign)["default_price"] == price["id"]
    assert api.error("DELETE", own)[0] == 400
    assert api.delete(path_of(product))["deleted"] is True
    assert api.error("GET", path_of(product))[0] == 404


# Portal configurations

CONFIGURATIONS = "/v1/billing_portal/configurations"


def test_default_configuration_is_there(api: Api) -> None:
    (default,) = api.get(CONFIGURATIONS)["data"]
    assert default["is_default"] is True
    assert default["features"]["subscription_cancel"]["enabled"] is True
    session = api.post(
        "/v1/billing_portal/sessions", {"customer": api.customer()["id"]}
    )
    assert session["configuration"] == default["id"]


def test_own_configuration_offers_what_it_names(api: Api) -> None:
    product = api.get("/v1/prices/price_pro")["product"]
    own = api.post(
        CONFIGURATIONS,
        {
            "default_return_url": "https://shop.test/account",
            "features[subscription_update][enabled]": "true",
            "features[subscription_update][default_allowed_updates][]": "price",
            "features[subscription_update][products][0][product]": product,
            "features[subscription_update][products][0][prices][0]": "price_pro",
            "name": "Upgrades",
        },
    )
    assert own["features"]["subscription_update"]["products"] == [
        {
            "adjustable_quantity": {"enabled": True, "maximum": None, "minimum": 1},
            "prices": ["price_pro"],
            "product": product,
        }
    ]
    enabled = [name for name, entry in own["features"].items() if entry["enabled"]]
    assert enabled == ["subscription_update"]
    session = api.post(
        "/v1/billing_portal/sessions",
        {"customer": api.customer()["id"], "configuration": own["id"]},
    )
    assert session["return_url"] == "https://shop.test/account"
    path = f"{CONFIGURATIONS}/{own['id']}"
    changed = api.post(path, {"features[invoice_history][enabled]": "true"})
    assert changed["features"]["invoice_history"] == {"enabled": True}
    assert changed["features"]["subscription_update"]["enabled"] is True
    assert api.get(CONFIGURATIONS, {"is_default": "false"})["data"] == [changed]


def test_wrong_configuration_is_refused(api: Api) -> None:
    assert api.error("POST", CONFIGURATIONS)[1]["param"] == "features"
    wrong = {"customer": api.customer()["id"], "configuration": "bpc_none"}
    _, error = api.error("POST", "/v1/billing_portal/sessions", wrong)
    assert (error["code"], error["param"]) == ("resource_missing", "configuration")


@pytest.mark.parametrize("flow", ["subscription_cancel", "subscription_update"])
def test_flow_of_a_portal_session(api: Api, flow: str) -> None:
    subscription = api.subscribe(api.customer())
    wanted = {
        "customer": subscription["customer"],
        "flow_data[type]": flow,
        f"flow_data[{flow}][subscription]": subscription["id"],
    }
    session = api.post("/v1/billing_portal/sessions", wanted)
    assert session["flow"]["type"] == flow
    assert session["flow"][flow]["subscription"] == subscription["id"]
    wanted["customer"] = api.customer(card=None)["id"]
    _, error = api.error("POST", "/v1/billing_portal/sessions", wanted)
    assert error["param"] == f"flow_data[{flow}][subscription]"


def test_flow_that_confirms_an_update(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_team", 2900)
    subscription = api.subscribe(api.customer())
    item_id = subscription["items"]["data"][0]["id"]
    path = "flow_data[subscription_update_confirm]"
    session = api.post(
        "/v1/billing_portal/sessions",
        {
            "customer": subscription["customer"],
            "flow_data[type]": "subscription_update_confirm",
            f"{path}[subscription]": subscription["id"],
            f"{path}[items][0][id]": item_id,
            f"{path}[items][0][price]": "price_team",
        },
    )
    assert session["flow"]["subscription_update_confirm"]["items"] == [
        {"id": item_id, "price": "price_team", "quantity": 1}
    ]
