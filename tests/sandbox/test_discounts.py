"""Coupons and promotion codes, in Checkout and on subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import bracketed
from .conftest import checkout_params
from .conftest import DAY
from .conftest import NOON
from .conftest import path_of


def make_coupon(api: Api, **params: Any) -> Any:
    wanted = {"id": "C", "duration": "once", "percent_off": "25", **params}
    sent = {name: value for name, value in wanted.items() if value is not None}
    return api.post("/v1/coupons", sent)


def make_code(api: Api, **params: Any) -> Any:
    wanted = {"promotion__type": "coupon", "promotion__coupon": "C", "code": "SPRING"}
    return api.post("/v1/promotion_codes", bracketed({**wanted, **params}))


def totals(api: Api, count: int) -> list[int]:
    """Totals of the newest invoices, oldest first."""
    page = api.get("/v1/invoices", {"limit": str(count)})
    return [invoice["total"] for invoice in reversed(page["data"])]


@pytest.mark.parametrize(
    ("coupon", "expected"),
    [
        ({"duration": "once"}, [675, 900, 900, 900]),
        ({"duration": "forever"}, [675, 675, 675, 675]),
        ({"duration": "repeating", "duration_in_months": "2"}, [675, 675, 900, 900]),
        (
            {"percent_off": None, "amount_off": "250", "currency": "usd"},
            [650, 900, 900, 900],
        ),
        ({"percent_off": "33.3", "duration": "forever"}, [600, 600, 600, 600]),
    ],
)
def test_discount_on_the_first_or_on_all_invoices(
    sandbox: Sandbox, api: Api, coupon: dict[str, Any], expected: list[int]
) -> None:
    make_coupon(api, **coupon)
    session = api.checkout(discounts__0__coupon="C")
    assert session["discounts"] == [{"coupon": "C", "promotion_code": None}]
    assert session["amount_subtotal"] == 900
    assert session["amount_total"] == expected[0]
    assert session["total_details"]["amount_discount"] == 900 - expected[0]
    sandbox.pay(session["id"])
    sandbox.advance(days=31 + 28 + 31)
    assert totals(api, 4) == expected


def test_discount_is_shown_on_subscription_and_invoice(
    sandbox: Sandbox, api: Api
) -> None:
    make_coupon(api, duration="forever", name="A quarter off")
    paid = sandbox.pay(api.checkout(discounts__0__coupon="C")["id"])
    subscription = api.get(
        f"/v1/subscriptions/{paid['subscription']}",
        {
            "expand[0]": "discounts.source.coupon",
            "expand[1]": "latest_invoice.discounts",
        },
    )
    discount = subscription["discounts"][0]
    assert discount["source"]["coupon"]["name"] == "A quarter off"
    assert discount["source"]["coupon"]["times_redeemed"] == 1
    assert discount["checkout_session"] == paid["id"]
    invoice = subscription["latest_invoice"]
    assert invoice["discounts"][0]["id"] == discount["id"]
    assert (invoice["subtotal"], invoice["total"]) == (900, 675)
    taken = [{"amount": 225, "discount": discount["id"]}]
    assert invoice["total_discount_amounts"] == taken
    assert invoice["lines"]["data"][0]["discount_amounts"] == taken


def test_whole_price_off_needs_no_card(sandbox: Sandbox, api: Api) -> None:
    make_coupon(api, percent_off="100")
    session = api.checkout(
        discounts__0__coupon="C", payment_method_collection="if_required"
    )
    paid = sandbox.pay(session["id"], card=None)
    assert (paid["amount_total"], paid["payment_status"]) == (0, "no_payment_required")


def test_trial_does_not_use_a_coupon_up(sandbox: Sandbox, api: Api) -> None:
    make_coupon(api)
    session = api.checkout(
        discounts__0__coupon="C", subscription_data__trial_period_days="3"
    )
    assert session["amount_total"] == 0
    sandbox.pay(session["id"])
    sandbox.advance(days=3 + 31)
    assert totals(api, 3) == [0, 675, 900]


def test_promotion_code_is_typed_in_and_taken_back(sandbox: Sandbox, api: Api) -> None:
    make_coupon(api)
    code = make_code(api)
    session = api.checkout(allow_promotion_codes="true", line_items__0__quantity="2")
    checkout = sandbox._account.checkout
    stored = checkout.get(session["id"])
    checkout.apply_promotion_code(stored, " spring ")
    applied = api.again(session, "line_items")
    assert applied["amount_total"] == 1350
    assert applied["discounts"] == [{"coupon": None, "promotion_code": code["id"]}]
    assert applied["line_items"]["data"][0]["amount_discount"] == 450
    checkout.apply_promotion_code(stored, "")
    assert api.again(session)["amount_total"] == 1800

    with pytest.raises(ApiError, match="invalid"):
        checkout.apply_promotion_code(stored, "AUTUMN")

    checkout.apply_promotion_code(stored, "SPRING")
    assert sandbox.pay(session["id"])["amount_total"] == 1350
    assert api.again(code)["times_redeemed"] == 1


def test_session_that_asks_for_no_code_takes_none(sandbox: Sandbox, api: Api) -> None:
    make_coupon(api)
    make_code(api)
    checkout = sandbox._account.checkout

    with pytest.raises(ApiError, match="does not take promotion codes"):
        checkout.apply_promotion_code(checkout.get(api.checkout()["id"]), "SPRING")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"expires_at": str(NOON)}, "expired or inactive"),
        ({"active": "false"}, "expired or inactive"),
        ({"restrictions__minimum_amount": "901"}, "below the minimum"),
        ({"customer": "other"}, "another customer"),
        ({"restrictions__first_time_transaction": "true"}, "first purchase"),
    ],
)
def test_promotion_code_that_may_not_be_used(
    api: Api, params: dict[str, Any], words: str
) -> None:
    make_coupon(api)
    customer = api.customer()
    api.subscribe(customer)

    if "customer" in params:
        params = {"customer": api.customer(card=None)["id"]}

    code = make_code(api, **params)
    wanted = checkout_params(
        customer=customer["id"], discounts__0__promotion_code=code["id"]
    )
    status, error = api.error("POST", "/v1/checkout/sessions", wanted)
    assert status == 400
    assert words in error["message"]
    assert error["param"] == "discounts[0][promotion_code]"


def test_coupon_is_used_up(sandbox: Sandbox, api: Api) -> None:
    coupon = make_coupon(api, max_redemptions="1")
    late = api.checkout(discounts__0__coupon="C")
    sandbox.pay(api.checkout(discounts__0__coupon="C")["id"])
    assert api.again(coupon)["valid"] is False

    with pytest.raises(ApiError, match="used up"):
        sandbox.pay(late["id"])

    assert len(api.get("/v1/subscriptions")["data"]) == 1


def test_preview_does_not_use_a_coupon_up(sandbox: Sandbox, api: Api) -> None:
    make_coupon(api, max_redemptions="1")
    code = make_code(api)
    subscription = sandbox.pay(api.checkout()["id"])["subscription"]
    wanted = {
        "subscription": subscription,
        "discounts[0][promotion_code]": code["id"],
    }

    for _ in range(2):
        preview = api.post("/v1/invoices/create_preview", wanted)
        assert preview["total"] == 675

    assert api.again(code)["times_redeemed"] == 0
    assert api.get("/v1/coupons/C")["times_redeemed"] == 0


def test_discount_with_codes_to_type_in_is_refused(api: Api) -> None:
    make_coupon(api)
    both = checkout_params(discounts__0__coupon="C", allow_promotion_codes="true")
    status, error = api.error("POST", "/v1/checkout/sessions", both)
    assert (status, error["param"]) == (400, "allow_promotion_codes")


def test_discount_of_a_subscription_is_set_and_cleared(
    sandbox: Sandbox, api: Api
) -> None:
    make_coupon(api, duration="forever")
    subscription = api.subscribe(api.customer(), discounts__0__coupon="C")
    assert totals(api, 1) == [675]
    assert api.change(subscription, metadata__a="1")["discounts"] != []
    assert api.change(subscription, discounts="")["discounts"] == []
    sandbox.advance(days=31)
    assert totals(api, 1) == [900]
    api.change(subscription, discounts__0__coupon="C")
    sandbox.advance(days=28)
    assert totals(api, 1) == [675]


def test_rest_that_is_given_back_is_what_was_paid(sandbox: Sandbox, api: Api) -> None:
    make_coupon(api, percent_off="50")
    sandbox.create_price("price_team", 2900)
    subscription = api.subscribe(api.customer(), discounts__0__coupon="C")
    sandbox.advance(seconds=31 * DAY // 2)
    api.change(
        subscription,
        items__0__id=subscription["items"]["data"][0]["id"],
        items__0__price="price_team",
        proration_behavior="always_invoice",
    )
    latest = api.again(subscription, "latest_invoice")["latest_invoice"]
    assert [line["amount"] for line in latest["lines"]["data"]] == [-225, 1450]


def test_deleted_coupon_goes_on_for_those_who_have_it(
    sandbox: Sandbox, api: Api
) -> None:
    coupon = make_coupon(api, duration="forever")
    sandbox.pay(api.checkout(discounts__0__coupon="C")["id"])
    assert api.delete(path_of(coupon))["deleted"] is True
    assert api.error("GET", path_of(coupon))[0] == 404
    sandbox.advance(days=31)
    assert totals(api, 1) == [675]


def test_coupons_and_codes_are_listed_and_changed(sandbox: Sandbox, api: Api) -> None:
    coupon, code = make_coupon(api), make_code(api)
    assert api.get("/v1/coupons")["data"] == [coupon]
    assert api.change(coupon, name="New")["name"] == "New"
    assert api.get("/v1/promotion_codes", {"code": "SPRING"})["data"] == [code]
    assert api.get("/v1/promotion_codes", {"code": "AUTUMN"})["data"] == []
    assert api.change(code, active="false")["active"] is False
    assert sandbox.events[-1]["type"] == "promotion_code.updated"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"percent_off": "101"}, "percent_off"),
        ({"percent_off": "0"}, "percent_off"),
        ({"percent_off": None}, "percent_off"),
        ({"amount_off": "5"}, "percent_off"),
        ({"percent_off": None, "amount_off": "5"}, "currency"),
        ({"duration": "repeating"}, "duration_in_months"),
        ({"duration": "sometimes"}, "duration"),
    ],
)
def test_wrong_coupon_is_refused(api: Api, params: dict[str, Any], param: str) -> None:
    wanted = {"duration": "once", "percent_off": "25", **params}
    sent = {name: value for name, value in wanted.items() if value is not None}
    status, error = api.error("POST", "/v1/coupons", sent)
    assert (status, error["param"]) == (400, param)
