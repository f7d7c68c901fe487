"""What older calls write differently, or do not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.sandbox_errors import ApiError
from flask_kavach_stripe.sandbox.versions.upgrades import upgrade_params

from .conftest import Api
from .conftest import checkout_params
from .versions_vocabulary import ACACIA
from .versions_vocabulary import BASIL
from .versions_vocabulary import Caller
from .versions_vocabulary import cancel_in_portal
from .versions_vocabulary import CLOVER
from .versions_vocabulary import DAHLIA
from .versions_vocabulary import ENDIVE
from .versions_vocabulary import NEXT_NOON

Subscribe = Callable[..., Any]


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
