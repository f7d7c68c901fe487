from __future__ import annotations

from typing import Any

import pytest
import stripe.params
import stripe.params.billing_portal
import stripe.params.checkout

from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox.hosted import checkout_params
from flask_kavach_stripe.sandbox.hosted import portal_configurations
from flask_kavach_stripe.sandbox.money import discounts
from flask_kavach_stripe.sandbox.money import products_and_prices
from flask_kavach_stripe.sandbox.params import array
from flask_kavach_stripe.sandbox.params import boolean
from flask_kavach_stripe.sandbox.params import choice
from flask_kavach_stripe.sandbox.params import decode
from flask_kavach_stripe.sandbox.params import integer
from flask_kavach_stripe.sandbox.params import mapping
from flask_kavach_stripe.sandbox.params import merge_metadata
from flask_kavach_stripe.sandbox.params import metadata
from flask_kavach_stripe.sandbox.params import read
from flask_kavach_stripe.sandbox.params import text
from flask_kavach_stripe.sandbox.params import url
from flask_kavach_stripe.sandbox.recurring import previews
from flask_kavach_stripe.sandbox.recurring import subscription_params

SPEC = {
    "name": text(5),
    "count": integer(1, 9),
    "flag": boolean,
    "kind": choice("a", "b"),
    "metadata": metadata,
    "target": url,
    "items": array(mapping({"id": text()}, required=("id",)), limit=2),
}


def test_nested_names_become_dicts() -> None:
    pairs = [("a[b][0][c]", "1"), ("a[b][0][d]", "2"), ("e", "3")]
    assert decode(pairs) == {"a": {"b": {"0": {"c": "1", "d": "2"}}}, "e": "3"}


def test_empty_brackets_count() -> None:
    assert decode([("a[]", "x"), ("a[]", "y")]) == {"a": {"0": "x", "1": "y"}}


@pytest.mark.parametrize(
    "key", ["", "[a]", "a[b", "a]b", "a[b]c", "a[[b]]", "a" + "[b]" * 8]
)
def test_malformed_name_is_refused(key: str) -> None:
    with pytest.raises(ApiError, match="Invalid parameter name"):
        decode([(key, "1")])


@pytest.mark.parametrize("keys", [("a", "a[b]"), ("a[b]", "a")])
def test_value_and_mapping_under_one_name_are_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(ApiError, match="Invalid"):
        decode([(key, "1") for key in keys])


def test_values_are_converted() -> None:
    params = {
        "name": "x",
        "count": "3",
        "flag": "false",
        "items": {"1": {"id": "second"}, "0": {"id": "first"}},
    }
    assert read(params, SPEC) == {
        "name": "x",
        "count": 3,
        "flag": False,
        "items": [{"id": "first"}, {"id": "second"}],
    }


def test_empty_value_means_unset_and_is_not_missing() -> None:
    assert read({"name": "", "count": "", "flag": ""}, SPEC) == {
        "name": None,
        "count": None,
        "flag": None,
    }


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"name": "123456"}, "name", id="too long"),
        pytest.param({"name": {"a": "1"}}, "name", id="mapping for a string"),
        pytest.param({"count": "1.5"}, "count", id="not an integer"),
        pytest.param({"count": "٣"}, "count", id="Arabic-Indic digit"),
        pytest.param({"count": "10"}, "count", id="too much"),
        pytest.param({"flag": "True"}, "flag", id="Python's boolean"),
        pytest.param({"kind": "c"}, "kind", id="not among the choices"),
        pytest.param({"target": "javascript:alert(1)"}, "target", id="no http URL"),
        pytest.param({"target": "//host/path"}, "target", id="no scheme"),
        pytest.param({"target": "http://[broken"}, "target", id="broken host"),
        pytest.param({"items": {"x": {}}}, "items", id="not a position"),
        pytest.param({"items": {"9" * 5000: {}}}, "items", id="huge position"),
        pytest.param({"items": {"0": {}}}, "items[0][id]", id="missing inside"),
        pytest.param({"items": {"0": {"x": "1"}}}, "items[0][x]", id="unknown inside"),
        pytest.param({"metadata": {"k" * 41: "v"}}, f"metadata[{'k' * 40}]", id="key"),
        pytest.param({"metadata": {"k": "v" * 501}}, "metadata[k]", id="value"),
        pytest.param({"other": "1"}, "other", id="unknown"),
    ],
)
def test_wrong_value_names_its_parameter(params: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(params, SPEC)

    assert caught.value.param == param
    assert caught.value.status == 400


def test_metadata_is_merged_key_by_key() -> None:
    old = {"a": "1", "b": "2"}
    assert merge_metadata(old, {"b": "", "c": "3"}) == {"a": "1", "c": "3"}
    assert merge_metadata(old, None) == {}


def test_metadata_has_at_most_50_keys() -> None:
    with pytest.raises(ApiError, match="at most 50"):
        merge_metadata({}, {str(number): "x" for number in range(51)})


def declared(params: Any) -> set[str]:
    """The names that the stripe package declares, without its own options."""
    options = set(stripe.RequestOptions.__annotations__) | {"expand"}
    return set(params.__annotations__) - options


@pytest.mark.parametrize(
    ("spec", "params"),
    [
        (checkout_params.CREATE, stripe.params.checkout.SessionCreateParams),
        (subscription_params.CREATE, stripe.params.SubscriptionCreateParams),
        (subscription_params.UPDATE, stripe.params.SubscriptionUpdateParams),
        (subscription_params.PAUSE, stripe.params.SubscriptionPauseParams),
        (subscription_params.RESUME, stripe.params.SubscriptionResumeParams),
        (products_and_prices._PRODUCT_CREATE, stripe.params.ProductCreateParams),
        (products_and_prices._PRODUCT_UPDATE, stripe.params.ProductUpdateParams),
        (products_and_prices._PRICE_CREATE, stripe.params.PriceCreateParams),
        (products_and_prices._PRICE_UPDATE, stripe.params.PriceUpdateParams),
        (discounts._COUPON, stripe.params.CouponCreateParams),
        (discounts._PROMOTION_CODE, stripe.params.PromotionCodeCreateParams),
        (previews._PREVIEW, stripe.params.InvoiceCreatePreviewParams),
        (
            portal_configurations._CONFIGURATION,
            stripe.params.billing_portal.ConfigurationCreateParams,
        ),
    ],
)
def test_parameters_are_those_that_stripe_has(spec: Any, params: Any) -> None:
    """So that an unknown parameter is one at Stripe too, and a known one is not."""
    removed_by_stripe = {"payment_method_types"}
    assert set(spec) - removed_by_stripe == declared(params)
