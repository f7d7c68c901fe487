"""One store, many shapes: what each API version sees of the same objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client

from flask_kavach_stripe.objects import read_checkout_session
from flask_kavach_stripe.objects import read_invoice
from flask_kavach_stripe.objects import read_subscription
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.object_store import Store
from flask_kavach_stripe.sandbox.sandbox_errors import ApiError
from flask_kavach_stripe.sandbox.versions.downgrades import downgrade
from flask_kavach_stripe.sandbox.versions.downgrades import OBJECTS
from flask_kavach_stripe.sandbox.versions.known_versions import VERSIONS
from flask_kavach_stripe.sandbox.versions.upgrades import PARAMS
from flask_kavach_stripe.sandbox.versions.upgrades import upgrade_params

from .conftest import Api
from .conftest import checkout_params
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON

ACACIA = "2024-12-18.acacia"
BASIL = "2025-03-31.basil"
CLOVER = "2025-09-30.clover"
DAHLIA = "2026-03-25.dahlia"
ENDIVE = "2026-10-28.endive"
TRAINS = (ACACIA, BASIL, CLOVER, DAHLIA, ENDIVE)
#: 15 February 2026, 12:00 UTC
NEXT_NOON = NOON + 31 * DAY

Subscribe = Callable[..., Any]


class Caller:
    """Calls the API with a version."""

    def __init__(self, api: Api, version: str) -> None:
        self._api = api
        self._headers = {"Stripe-Version": version}

    def get(self, path: str, **params: str) -> Any:
        response = self._api.call("GET", path, _brackets(params), self._headers)
        assert response.status_code == 200, response.text
        return response.json

    def post(self, path: str, **params: str) -> Any:
        response = self._api.call("POST", path, _brackets(params), self._headers)
        assert response.status_code == 200, response.text
        return response.json

    def error(self, method: str, path: str, **params: str) -> dict[str, Any]:
        response = self._api.call(method, path, _brackets(params), self._headers)
        assert response.status_code == 400, response.text
        assert response.json is not None
        error: dict[str, Any] = response.json["error"]
        return error


class HookByUrl(Hook):
    """Keeps what it gets by the URL that it was sent to."""

    def __init__(self) -> None:
        super().__init__()
        self.by_url: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.by_url.setdefault(url, []).append(json.loads(body))
        return super().__call__(url, body, headers)


@pytest.fixture
def hook() -> HookByUrl:
    return HookByUrl()


def _brackets(params: dict[str, str]) -> dict[str, str]:
    result = {}

    for name, value in params.items():
        first, *rest = name.split("__")
        result[first + "".join(f"[{part}]" for part in rest)] = value

    return result


def hook_url(sandbox: Sandbox, api: Api, version: str) -> str:
    """Add an endpoint with a version; its URL is returned, and names it."""
    url = f"https://shop.test/{version}"
    params = {"url": url, "enabled_events[0]": "*", "api_version": version}
    assert api.post("/v1/webhook_endpoints", params)["api_version"] == version
    return url


def cancel_in_portal(sandbox: Sandbox, api: Api, session: Any) -> None:
    """Press the button that ends what was bought with its period."""
    params = {"customer": session["customer"]}
    portal = api.post("/v1/billing_portal/sessions", params)
    path = urlsplit(portal["url"]).path
    Client(sandbox.wsgi_app).post(
        f"{path}/subscriptions/{session['subscription']}/cancel"
    )


# Requests


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


# Objects


@pytest.mark.parametrize("version", TRAINS)
def test_period_of_a_subscription(api: Api, subscribe: Subscribe, version: str) -> None:
    subscription = subscribe()
    path = f"/v1/subscriptions/{subscription['id']}"
    found = Caller(api, version).get(path)
    period = {"current_period_start": NOON, "current_period_end": NEXT_NOON}
    on_subscription = {name: found[name] for name in period if name in found}
    item = found["items"]["data"][0]
    on_item = {name: item[name] for name in period if name in item}
    is_old = version < BASIL
    assert (on_subscription, on_item) == ((period, {}) if is_old else ({}, period))


def test_period_of_several_items_is_the_one_that_all_are_in() -> None:
    periods = [(10, 40), (20, 30)]
    items = [
        {
            "object": "subscription_item",
            "current_period_start": start,
            "current_period_end": end,
        }
        for start, end in periods
    ]
    subscription: dict[str, Any] = {
        "object": "subscription",
        "items": {"data": items},
    }
    downgrade(subscription, ACACIA, Store())
    assert subscription["current_period_start"] == 20
    assert subscription["current_period_end"] == 30
    assert items == [{"object": "subscription_item"}] * 2


@pytest.mark.parametrize("version", [BASIL, ENDIVE])
def test_invoice_has_a_parent(api: Api, subscribe: Subscribe, version: str) -> None:
    subscription = subscribe(subscription_data__metadata__a="1")
    caller = Caller(api, version)
    invoice = caller.get(f"/v1/invoices/{subscription['latest_invoice']}")
    details = invoice["parent"]["subscription_details"]
    assert details["subscription"] == subscription["id"]
    assert details["metadata"] == {"a": "1"}
    assert not {"charge", "paid", "payment_intent", "subscription"} & set(invoice)
    line = invoice["lines"]["data"][0]
    assert line["pricing"]["price_details"]["price"] == "price_pro"
    assert not {"price", "plan", "proration", "subscription_item"} & set(line)


def test_invoice_in_acacia(api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe(subscription_data__metadata__a="1")
    path = f"/v1/invoices/{subscription['latest_invoice']}"
    invoice = Caller(api, ACACIA).get(path)
    assert invoice["subscription"] == subscription["id"]
    assert invoice["subscription_details"] == {"metadata": {"a": "1"}}
    assert invoice["paid"] is True
    assert not {"parent", "amount_overpaid", "total_taxes"} & set(invoice)
    line = invoice["lines"]["data"][0]
    item = subscription["items"]["data"][0]
    assert line["price"]["id"] == line["plan"]["id"] == "price_pro"
    assert line["price"]["recurring"]["aggregate_usage"] is None
    assert line["plan"]["aggregate_usage"] is None
    assert line["subscription_item"] == item["id"]
    assert (line["type"], line["proration"]) == ("subscription", False)
    assert line["amount_excluding_tax"] == line["amount"] == 900
    assert not {"parent", "pricing", "taxes"} & set(line)


def test_lists_and_expanded_objects_have_the_version(
    api: Api, subscribe: Subscribe
) -> None:
    subscribe()
    caller = Caller(api, ACACIA)
    found = caller.get("/v1/subscriptions", expand__0="data.latest_invoice")
    invoice = found["data"][0]["latest_invoice"]
    assert found["data"][0]["current_period_end"] == NEXT_NOON
    assert invoice["subscription"] == found["data"][0]["id"]
    invoice = caller.get(f"/v1/invoices/{invoice['id']}", expand__0="subscription")
    assert invoice["subscription"]["current_period_end"] == NEXT_NOON


def test_payment_intent_is_expanded_in_old_invoices_only(
    api: Api, subscribe: Subscribe
) -> None:
    """The call that most programs of that time make."""
    path = f"/v1/subscriptions/{subscribe()['id']}"
    expand = "latest_invoice.payment_intent"
    old = Caller(api, ACACIA).get(path, expand__0=expand)
    assert "payment_intent" in old["latest_invoice"]
    error = Caller(api, BASIL).error("GET", path, expand__0=expand)
    assert "cannot be expanded" in error["message"]


@pytest.mark.parametrize("version", TRAINS)
def test_name_of_the_hosted_page(api: Api, version: str) -> None:
    session = api.checkout()
    found = Caller(api, version).get(f"/v1/checkout/sessions/{session['id']}")
    assert found["ui_mode"] == ("hosted" if version < DAHLIA else "hosted_page")


@pytest.mark.parametrize("version", [ACACIA, BASIL, CLOVER])
def test_coupon_of_a_discount(version: str) -> None:
    """Always there in full before clover, named by a source since."""
    store = Store()
    store.add({"id": "TEN", "object": "coupon", "percent_off": 10})
    discount = {
        "id": "di_1",
        "object": "discount",
        "source": {"coupon": "TEN", "type": "coupon"},
    }
    store.add(discount)
    subscription: dict[str, Any] = {
        "object": "subscription",
        "discounts": ["di_1"],
        "items": {"data": []},
    }
    shown = {**discount, "source": {"coupon": "TEN", "type": "coupon"}}
    downgrade(shown, version, store)
    downgrade(subscription, version, store)

    if version == CLOVER:
        assert shown == discount
    else:
        assert shown["coupon"] == store.find("coupon", "TEN")
        assert "source" not in shown

    if version == ACACIA:
        assert subscription["discount"]["coupon"]["percent_off"] == 10
    else:
        assert "discount" not in subscription


@pytest.mark.parametrize("version", [BASIL, CLOVER])
def test_coupon_of_a_promotion_code(api: Api, version: str) -> None:
    api.post("/v1/coupons", {"id": "TEN", "percent_off": "10"})
    is_old = version < CLOVER
    params = {"coupon": "TEN"} if is_old else {"promotion__coupon": "TEN"}
    params |= {} if is_old else {"promotion__type": "coupon"}
    code = Caller(api, version).post("/v1/promotion_codes", code="CODE", **params)

    if is_old:
        assert code["coupon"]["percent_off"] == 10
        assert "promotion" not in code
    else:
        assert code["promotion"] == {"coupon": "TEN", "type": "coupon"}
        assert "coupon" not in code


@pytest.mark.parametrize("version", [BASIL, CLOVER])
def test_promotion_code_is_created_as_its_version_does(api: Api, version: str) -> None:
    """The other version's parameter is unknown."""
    other = {"promotion__coupon": "TEN"} if version < CLOVER else {"coupon": "TEN"}
    error = Caller(api, version).error("POST", "/v1/promotion_codes", **other)
    assert error["code"] == "parameter_unknown"


@pytest.mark.parametrize("paid", [True, False])
def test_invoice_in_acacia_names_its_payment_and_its_charge(
    api: Api, paid: bool
) -> None:
    customer = api.customer("pm_card_visa" if paid else "pm_card_chargeCustomerFail")
    old = Caller(api, ACACIA)
    answered = old.post(
        "/v1/subscriptions",
        customer=customer["id"],
        items__0__price="price_pro",
        expand__0="latest_invoice",
    )["latest_invoice"]
    path = f"/v1/invoices/{answered['id']}"
    (charge,) = old.get("/v1/charges")["data"]
    (intent,) = old.get("/v1/payment_intents")["data"]
    assert charge["invoice"] == intent["invoice"] == answered["id"]
    assert intent["latest_charge"] == charge["id"]
    expected = (paid, False, charge["id"], intent["id"])

    for invoice in (answered, old.get(path), *old.get("/v1/invoices")["data"]):
        assert (
            invoice["paid"],
            invoice["paid_out_of_band"],
            invoice["charge"],
            invoice["payment_intent"],
        ) == expected

    expand = {"expand__0": "charge", "expand__1": "payment_intent.latest_charge"}
    expanded = old.get(path, **expand)
    assert expanded["charge"] == expanded["payment_intent"]["latest_charge"] == charge


def test_invoice_events_in_acacia_name_the_payment_as_soon_as_there_is_one(
    sandbox: Sandbox, api: Api, hook: HookByUrl
) -> None:
    url = hook_url(sandbox, api, ACACIA)
    subscription = api.subscribe(api.customer())
    sandbox.deliver()
    (charge,) = api.get("/v1/charges")["data"]
    intent_id = charge["payment_intent"]
    told = {
        event["type"]: (
            event["data"]["object"]["paid"],
            event["data"]["object"]["payment_intent"],
            event["data"]["object"]["charge"],
        )
        for event in hook.by_url[url]
        if event["data"]["object"]["object"] == "invoice"
    }
    assert told == {
        "invoice.created": (False, None, None),
        "invoice.finalized": (False, intent_id, None),
        "invoice.paid": (True, intent_id, charge["id"]),
        "invoice.payment_succeeded": (True, intent_id, charge["id"]),
    }
    assert subscription["latest_invoice"]


def test_invoice_paid_out_of_band_in_acacia(api: Api) -> None:
    subscription = api.subscribe(api.customer("pm_card_chargeCustomerFail"))
    path = f"/v1/invoices/{subscription['latest_invoice']}"
    new = api.post(f"{path}/pay", {"paid_out_of_band": "true"})
    assert (new["amount_paid"], new["amount_paid_off_stripe"]) == (900, 900)
    old = Caller(api, ACACIA).get(path)
    assert (old["paid"], old["paid_out_of_band"]) == (True, True)


def test_invoice_payments_came_with_basil(api: Api) -> None:
    headers = {"Stripe-Version": ACACIA}
    response = api.call("GET", "/v1/invoice_payments", headers=headers)
    assert response.status_code == 404
    assert "Unrecognized request URL" in response.text
    assert Caller(api, BASIL).get("/v1/invoice_payments")["data"] == []


@pytest.mark.parametrize("version", [ACACIA, "2025-02-24.acacia"])
def test_upcoming_invoice_in_acacia(sandbox: Sandbox, api: Api, version: str) -> None:
    sandbox.create_price("price_team", unit_amount=3000)
    subscription = api.subscribe(api.customer())
    old = Caller(api, version)
    plain = old.get("/v1/invoices/upcoming", customer=subscription["customer"])
    assert "id" not in plain
    assert (plain["subscription"], plain["total"]) == (subscription["id"], 900)
    changed = old.get(
        "/v1/invoices/upcoming",
        subscription=subscription["id"],
        subscription_items__0__id=subscription["items"]["data"][0]["id"],
        subscription_items__0__price="price_team",
        subscription_proration_behavior="always_invoice",
        subscription_billing_cycle_anchor="now",
    )
    assert [line["amount"] for line in changed["lines"]["data"]] == [-900, 3000]
    lines = old.get(
        "/v1/invoices/upcoming/lines", customer=subscription["customer"], limit="1"
    )
    assert [line["amount"] for line in lines["data"]] == [900]
    assert api.again(subscription) == subscription


def test_upcoming_invoice_with_a_coupon_in_acacia(api: Api) -> None:
    api.post("/v1/coupons", {"id": "TEN", "percent_off": "10", "duration": "once"})
    customer = api.customer()
    upcoming = Caller(api, ACACIA).get(
        "/v1/invoices/upcoming",
        customer=customer["id"],
        subscription_items__0__price="price_pro",
        coupon="TEN",
    )
    assert upcoming["total"] == 810


@pytest.mark.parametrize("path", ["upcoming", "upcoming/lines"])
@pytest.mark.parametrize("version", [BASIL, ENDIVE])
def test_upcoming_invoice_is_unknown_since_basil(
    api: Api, version: str, path: str
) -> None:
    headers = {"Stripe-Version": version}
    params = {"customer": api.customer()["id"]}
    response = api.call("GET", f"/v1/invoices/{path}", params, headers)
    assert response.status_code == 404
    assert "Unrecognized request URL" in response.text


def test_customer_without_a_subscription_has_no_upcoming_invoice(api: Api) -> None:
    params = {"customer": api.customer()["id"]}
    status, error = api.error("POST", "/v1/invoices/create_preview", params)
    assert (status, error["code"]) == (404, "invoice_upcoming_none")


def test_anchor_of_a_preview_is_plain_before_endive(api: Api) -> None:
    subscription = api.subscribe(api.customer())
    params = {
        "subscription": subscription["id"],
        "subscription_details__billing_cycle_anchor": "now",
    }
    assert (
        Caller(api, DAHLIA).post("/v1/invoices/create_preview", **params)["total"] == 0
    )
    error = Caller(api, ENDIVE).error("POST", "/v1/invoices/create_preview", **params)
    assert error["param"] == "subscription_details[billing_cycle_anchor]"


def test_end_can_wait_for_a_payment_since_endive(api: Api) -> None:
    subscription = api.subscribe(api.customer())
    path = f"/v1/subscriptions/{subscription['id']}"
    params = {
        "cancel_at_period_end": "true",
        "payment_behavior": "pending_if_incomplete",
    }
    error = Caller(api, DAHLIA).error("POST", path, **params)
    assert error["param"] == "cancel_at_period_end"
    assert Caller(api, ENDIVE).post(path, **params)["cancel_at_period_end"] is True


def test_shipping_of_a_session_in_acacia(api: Api) -> None:
    path = f"/v1/checkout/sessions/{api.checkout()['id']}"
    assert Caller(api, ACACIA).get(path)["shipping_details"] is None
    assert "shipping_details" not in Caller(api, BASIL).get(path)


def test_stored_objects_keep_the_newest_shape(api: Api, subscribe: Subscribe) -> None:
    path = f"/v1/subscriptions/{subscribe()['id']}"
    before = api.get(path, {"expand[0]": "latest_invoice"})
    Caller(api, ACACIA).get(path, expand__0="latest_invoice")
    assert api.get(path, {"expand[0]": "latest_invoice"}) == before


def test_metadata_is_never_taken_for_an_object(api: Api) -> None:
    customer = Caller(api, ACACIA).post("/v1/customers", metadata__object="invoice")
    assert customer["metadata"] == {"object": "invoice"}


# Parameters


@pytest.mark.parametrize(
    ("version", "given", "mode"),
    [
        (ACACIA, None, "classic"),
        (BASIL, None, "classic"),
        ("2025-08-27.basil", None, "classic"),
        ("2025-08-27.basil", "flexible", "flexible"),
        (CLOVER, None, "flexible"),
        (ENDIVE, "classic", "classic"),
    ],
)
def test_billing_mode_follows_the_version_that_created(
    sandbox: Sandbox, api: Api, version: str, given: str | None, mode: str
) -> None:
    params = {"subscription_data__billing_mode__type": given} if given else {}
    session = Caller(api, version).post(
        "/v1/checkout/sessions", **checkout_params(**params)
    )
    paid = sandbox.pay(session["id"])
    path = f"/v1/subscriptions/{paid['subscription']}"
    assert api.get(path)["billing_mode"]["type"] == mode
    assert "billing_mode" not in Caller(api, ACACIA).get(path)

    # What the customer portal sets is what the mode is known for.
    cancel_in_portal(sandbox, api, paid)
    canceled = Caller(api, version).get(path)
    assert canceled["cancel_at"] == NEXT_NOON
    assert canceled["cancel_at_period_end"] is (mode == "classic")


@pytest.mark.parametrize(
    ("version", "params", "wrong"),
    [
        (ACACIA, {"payment_method_types__0": "card"}, None),
        (DAHLIA, {"payment_method_types__0": "card"}, None),
        (ENDIVE, {"payment_method_types__0": "card"}, "payment_method_types"),
        (CLOVER, {"ui_mode": "hosted"}, None),
        (CLOVER, {"ui_mode": "hosted_page"}, "ui_mode"),
        (DAHLIA, {"ui_mode": "hosted"}, "ui_mode"),
        (DAHLIA, {"ui_mode": "hosted_page"}, None),
        (
            BASIL,
            {"subscription_data__billing_mode__type": "classic"},
            "subscription_data[billing_mode]",
        ),
        (CLOVER, {"integration_identifier": "x"}, "integration_identifier"),
        (DAHLIA, {"integration_identifier": "x"}, None),
        (
            DAHLIA,
            {"allowed_payment_method_types__0": "card"},
            "allowed_payment_method_types",
        ),
        (ENDIVE, {"allowed_payment_method_types__0": "card"}, None),
    ],
)
def test_parameters_of_checkout(
    api: Api, version: str, params: dict[str, str], wrong: str | None
) -> None:
    caller, sent = Caller(api, version), checkout_params(**params)

    if wrong is None:
        assert caller.post("/v1/checkout/sessions", **sent)["status"] == "open"
    else:
        error = caller.error("POST", "/v1/checkout/sessions", **sent)
        assert error["param"] == wrong


@pytest.mark.parametrize(
    ("version", "params", "wrong"),
    [
        (DAHLIA, {"billing_cycle_anchor": "now"}, None),
        (DAHLIA, {"billing_cycle_anchor": "later"}, "billing_cycle_anchor"),
        (DAHLIA, {"billing_cycle_anchor__type": "now"}, "billing_cycle_anchor"),
        (ENDIVE, {"billing_cycle_anchor": "now"}, "billing_cycle_anchor"),
        (ENDIVE, {"billing_cycle_anchor__type": "now"}, None),
        ("2025-06-30.basil", {"cancel_at": "min_period_end"}, "cancel_at"),
        ("2025-07-30.basil", {"cancel_at": "min_period_end"}, None),
    ],
)
def test_parameters_of_an_update(
    api: Api,
    subscribe: Subscribe,
    version: str,
    params: dict[str, str],
    wrong: str | None,
) -> None:
    caller, path = Caller(api, version), f"/v1/subscriptions/{subscribe()['id']}"

    if wrong is None:
        assert caller.post(path, **params)["status"] == "active"
    else:
        assert caller.error("POST", path, **params)["param"] == wrong


@pytest.mark.parametrize(
    ("version", "name"),
    [(DAHLIA, "billing_cycle_anchor"), (ENDIVE, "billing_cycle_anchor__type")],
)
def test_anchor_of_a_resumed_subscription(
    api: Api, subscribe: Subscribe, version: str, name: str
) -> None:
    path = f"/v1/subscriptions/{subscribe()['id']}"
    api.post(f"{path}/pause")
    resumed = Caller(api, version).post(f"{path}/resume", **{name: "now"})
    assert resumed["status"] == "active"


@pytest.mark.parametrize(
    ("params", "discounts"),
    [
        ({"coupon": "TEN"}, {"0": {"coupon": "TEN"}}),
        ({"promotion_code": "promo_1"}, {"0": {"promotion_code": "promo_1"}}),
        ({"coupon": ""}, ""),
    ],
)
def test_single_coupon_becomes_a_discount(
    params: dict[str, Any], discounts: object
) -> None:
    path = "/v1/subscriptions/<id>"
    new = dict(params)
    upgrade_params("POST", path, new, BASIL)
    assert new == params
    upgrade_params("POST", path, params, ACACIA)
    assert params == {"discounts": discounts}


@pytest.mark.parametrize("name", ["coupon", "promotion_code"])
def test_coupon_of_a_whole_customer(api: Api, name: str) -> None:
    """Stripe had it until basil, so it must not be taken for a mistake."""
    customer = api.post("/v1/customers")

    for path in ("/v1/customers", f"/v1/customers/{customer['id']}"):
        error = Caller(api, ACACIA).error("POST", path, **{name: "TEN"})
        assert (error["code"], error["param"]) == ("sandbox_not_simulated", name)
        error = Caller(api, BASIL).error("POST", path, **{name: "TEN"})
        assert error["code"] == "parameter_unknown"


@pytest.fixture
def order(api: Api) -> dict[str, str]:
    """Parameters that create a subscription."""
    coupon = {"id": "TEN", "percent_off": "10", "duration": "forever"}
    api.post("/v1/coupons", coupon)
    customer = api.post("/v1/customers")["id"]
    path = "/v1/payment_methods/pm_card_visa/attach"
    return {
        "customer": customer,
        "items__0__price": "price_pro",
        "default_payment_method": api.post(path, {"customer": customer})["id"],
    }


@pytest.mark.parametrize(
    ("version", "mode"), [("2025-08-27.basil", "classic"), (CLOVER, "flexible")]
)
def test_billing_mode_of_a_subscription_without_checkout(
    api: Api, order: dict[str, str], version: str, mode: str
) -> None:
    created = Caller(api, version).post("/v1/subscriptions", **order)
    assert created["billing_mode"]["type"] == mode


def test_subscription_with_a_single_coupon(api: Api, order: dict[str, str]) -> None:
    created = Caller(api, ACACIA).post("/v1/subscriptions", **order, coupon="TEN")
    assert created["discount"]["coupon"]["id"] == "TEN"
    error = Caller(api, BASIL).error("POST", "/v1/subscriptions", **order, coupon="TEN")
    assert (error["code"], error["param"]) == ("parameter_unknown", "coupon")


@pytest.mark.parametrize(
    ("version", "params", "wrong"),
    [
        (BASIL, {"billing_mode__type": "classic"}, "billing_mode"),
        ("2025-06-30.basil", {"billing_mode__type": "classic"}, None),
        ("2025-06-30.basil", {"cancel_at": "min_period_end"}, "cancel_at"),
        ("2025-07-30.basil", {"cancel_at": "min_period_end"}, None),
    ],
)
def test_parameters_of_a_new_subscription(
    api: Api,
    order: dict[str, str],
    version: str,
    params: dict[str, str],
    wrong: str | None,
) -> None:
    caller = Caller(api, version)

    if wrong is None:
        created = caller.post("/v1/subscriptions", **order, **params)
        assert created["status"] == "active"
    else:
        error = caller.error("POST", "/v1/subscriptions", **order, **params)
        assert error["param"] == wrong


def test_single_coupon_and_discounts_exclude_each_other() -> None:
    params = {"coupon": "TEN", "discounts": {"0": {"coupon": "TEN"}}}

    with pytest.raises(ApiError, match="only specify one"):
        upgrade_params("POST", "/v1/subscriptions/<id>", params, ACACIA)


# Events


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


# Our extension


@pytest.mark.parametrize("version", VERSIONS)
def test_extension_reads_the_same_from_every_version(
    sandbox: Sandbox, api: Api, hook: HookByUrl, subscribe: Subscribe, version: str
) -> None:
    """Each event of a subscriber's life, from the first payment to the end."""
    url = hook_url(sandbox, api, version)
    subscription = subscribe(subscription_data__trial_period_days="14")
    path = f"/v1/subscriptions/{subscription['id']}"
    sandbox.advance(days=46)
    api.post(path, {"cancel_at_period_end": "true"})
    sandbox.advance(days=31)
    assert api.get(path)["status"] == "canceled"
    sandbox.wait_idle()
    newest = {event["id"]: event["data"]["object"] for event in sandbox.events}
    kinds: set[str] = set()

    for event in hook.by_url[url]:
        old, new = event["data"]["object"], newest[event["id"]]
        kinds.add(old["object"])

        if old["object"] == "subscription":
            assert read_subscription(old) == read_subscription(new) is not None
        elif old["object"] == "invoice":
            assert read_invoice(old) == read_invoice(new)
            assert read_invoice(old).subscription_id == subscription["id"]
        elif old["object"] == "checkout.session":
            assert read_checkout_session(old) == read_checkout_session(new)

    assert {"checkout.session", "invoice", "subscription"} <= kinds


@pytest.mark.parametrize("version", [*TRAINS, "thin"])
def test_app_follows_a_subscription(make_shop: Any, version: str) -> None:
    """Webhooks of one version, while the app asks the API in the same one."""

    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        browser: FlaskClient = shop.browser()
        path = "/auth/stripe/webhook"
        return browser.post(path, data=body, headers=dict(headers)).status_code

    with Sandbox(clock=Clock(NOON), send=send, retry_delays=()) as sandbox:
        sandbox.create_price()
        api = Api(sandbox)
        customer = api.post("/v1/customers")
        is_thin = version == "thin"
        rest_version = ENDIVE if is_thin else version
        url = "https://shop.test/hook"
        secret = (
            sandbox.create_thin_destination(url)
            if is_thin
            else sandbox.create_webhook_endpoint(url, api_version=version)
        )
        shop = make_shop(
            STRIPE_SECRET_KEY=sandbox.api_key,
            STRIPE_API_BASE=sandbox.url,
            STRIPE_API_VERSION=rest_version,
            STRIPE_WEBHOOK_SECRET=secret,
        )
        shop.add_user(email="ada@example.com", stripe_customer_id=customer["id"])
        params = checkout_params(customer=customer["id"])
        session = Caller(api, rest_version).post("/v1/checkout/sessions", **params)
        paid = sandbox.pay(session["id"])
        bought = shop.columns()
        sandbox.advance(days=32)
        renewed = shop.columns()
        cancel_in_portal(sandbox, api, paid)
        assert sandbox.wait_idle()
        scheduled = shop.columns()
        sandbox.advance(days=31)
        ended = shop.columns()
        failed = [
            attempt
            for event in sandbox.events
            for attempt in sandbox.attempts(event["id"])
            if not attempt.succeeded
        ]

    assert failed == []
    assert bought == {
        "customer_id": customer["id"],
        "subscription_id": paid["subscription"],
        "subscription_status": "active",
        "price_id": "price_pro",
        "current_period_end": datetime(2026, 2, 15, 12, tzinfo=UTC),
        "cancel_at_period_end": False,
    }
    end = datetime(2026, 3, 15, 12, tzinfo=UTC)
    assert renewed == {**bought, "current_period_end": end}
    assert scheduled == {**renewed, "cancel_at_period_end": True}
    assert ended["subscription_status"] == "canceled"
    assert ended["cancel_at_period_end"] is False


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
