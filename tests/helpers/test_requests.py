"""Every parameter that we send is one of Stripe's own package.

The requests are made by the helpers and the endpoints, and taken apart as Stripe does:
a name like ``line_items[0][price]`` must lead through the types of ``stripe.params``.
"""

from __future__ import annotations

import builtins
import re
import sys
import types
import typing
from typing import Any
from urllib.parse import parse_qsl
from urllib.parse import urlsplit

import pytest
import responses
from stripe.params import CustomerCreateParams
from stripe.params import CustomerListParams
from stripe.params import SubscriptionListParams
from stripe.params import SubscriptionRetrieveParams
from stripe.params.billing_portal import SessionCreateParams as PortalCreateParams
from stripe.params.checkout import SessionCreateParams as CheckoutCreateParams
from stripe.params.checkout import SessionExpireParams as CheckoutExpireParams
from stripe.params.checkout import SessionListParams as CheckoutListParams
from stripe.params.checkout import SessionRetrieveParams as CheckoutRetrieveParams

from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_subscription
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import expect_new_customer
from tests.vocabulary import mark
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import SUB_1
from tests.vocabulary import SUBSCRIPTIONS

#: Method and path of each request that the extension makes, and its parameters.
REQUESTS = {
    "GET /v1/customers": CustomerListParams,
    "POST /v1/customers": CustomerCreateParams,
    "POST /v1/checkout/sessions": CheckoutCreateParams,
    "GET /v1/checkout/sessions": CheckoutListParams,
    "GET /v1/checkout/sessions/cs_1": CheckoutRetrieveParams,
    "POST /v1/checkout/sessions/cs_0/expire": CheckoutExpireParams,
    "POST /v1/billing_portal/sessions": PortalCreateParams,
    "GET /v1/subscriptions": SubscriptionListParams,
    "GET /v1/subscriptions/sub_1": SubscriptionRetrieveParams,
}

#: Of an open page of Bob's, which a newer one expires.
OLDER_METADATA = {**mark(2, "cus_bob"), "kavach_sale": "plan"}


class Names(dict[str, Any]):
    """What Stripe's modules import for type checkers only can be anything."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)

        return list if name == "UntypedStripeObject" else Any


def resolve(declared: Any, module: str) -> Any:
    """The type behind a name that is not looked up yet."""
    if isinstance(declared, str | typing.ForwardRef):
        text = declared if isinstance(declared, str) else declared.__forward_arg__
        names = Names(vars(sys.modules[module]))
        return resolve(eval(text, {}, names), module)  # noqa: S307  # of Stripe's

    return declared


def alternatives(declared: Any, module: str) -> list[Any]:
    """The types of a union, without ``NotRequired`` around them."""
    declared = resolve(declared, module)
    origin = typing.get_origin(declared)

    if origin in (typing.NotRequired, typing.Required):
        return alternatives(typing.get_args(declared)[0], module)

    if origin in (typing.Union, types.UnionType):
        args = typing.get_args(declared)
        return [each for arg in args for each in alternatives(arg, module)]

    return [declared]


def accepts(declared: Any, module: str, keys: list[str], value: str) -> bool:
    """Whether a value fits under these keys."""
    for each in alternatives(declared, module):
        origin, args = typing.get_origin(each), typing.get_args(each)

        if hasattr(each, "__required_keys__"):  # a TypedDict, of either module
            if keys and keys[0] in each.__annotations__:
                inner = each.__annotations__[keys[0]]

                if accepts(inner, each.__module__, keys[1:], value):
                    return True
        elif origin is list:
            if (
                keys
                and keys[0].isdecimal()
                and accepts(args[0], module, keys[1:], value)
            ):
                return True
        elif origin is dict:
            if len(keys) == 1:
                return True
        elif keys:
            continue
        elif origin is typing.Literal:
            if value in args:
                return True
        elif each is bool:
            if value in ("true", "false"):
                return True
        elif each is int:
            if re.fullmatch("-?[0-9]+", value):
                return True
        elif each is str:
            return True

    return False


def unknown(params: type[Any], pairs: list[tuple[str, str]]) -> list[str]:
    """The parameters that Stripe does not know, or not like this."""
    return [
        f"{name}={value}"
        for name, value in pairs
        if not accepts(params, params.__module__, re.findall(r"[^\[\]]+", name), value)
    ]


@pytest.fixture
def calls(kept_shop: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """All requests of a long day, with the parameters of each."""
    kept_shop.add_user(email="bob@example.com")
    subscription = make_subscription("sub_1", customer="cus_bob")
    session = make_checkout_session(
        "cs_1", customer="cus_bob", subscription="sub_1", url="https://a.example"
    )
    kavach_stripe = kept_shop.kavach_stripe

    with responses.RequestsMock() as stripe_api:
        expect_new_customer(stripe_api, json={"id": "cus_bob"})
        stripe_api.post(CHECKOUT_SESSIONS, json={**session, "created": 2})
        older = {**session, "id": "cs_0", "created": 1, "metadata": OLDER_METADATA}
        stripe_api.get(CHECKOUT_SESSIONS, json={"data": [older], "has_more": False})
        stripe_api.post(f"{CHECKOUT_SESSIONS}/cs_0/expire", json=older)
        stripe_api.get(f"{CHECKOUT_SESSIONS}/cs_1", json=session)
        stripe_api.post(PORTAL_SESSIONS, json=session)
        stripe_api.get(SUB_1, json=subscription)
        stripe_api.get(SUBSCRIPTIONS, json={"data": [subscription], "has_more": True})
        stripe_api.get(SUBSCRIPTIONS, json={"data": []})
        browser = kept_shop.browser(2)
        browser.post(
            "/auth/stripe/checkout",
            json={
                "priceId": "price_pro",
                "quantity": 2,
                "trialDays": 7,
                "successUrl": "/ok",
                "cancelUrl": "/no",
                "metadata": {"a": "b"},
            },
        )
        browser.post("/auth/stripe/portal", json={"returnUrl": "/account"})

        with kept_shop.app.app_context():
            user = kept_shop.db.session.get(kept_shop.User, 2)
            user.name = "Bob"
            user.stripe_customer_id = None
            kavach_stripe.create_customer(user)
            kavach_stripe.complete_checkout("cs_1", user)
            kavach_stripe.sync_subscription(user)

        return [
            (
                f"{call.request.method} {urlsplit(str(call.request.url)).path}",
                parse_qsl(urlsplit(str(call.request.url)).query)
                + parse_qsl(str(call.request.body or "")),
            )
            for call in stripe_api.calls
        ]


def test_every_parameter_is_one_of_stripes(
    calls: list[tuple[str, list[tuple[str, str]]]],
) -> None:
    assert {call for call, _ in calls} == set(REQUESTS)
    assert [unknown(REQUESTS[call], pairs) for call, pairs in calls] == [[]] * len(
        calls
    )


def test_what_is_sent(calls: list[tuple[str, list[tuple[str, str]]]]) -> None:
    """A new parameter should be thought about: is it in every API version?"""
    names: dict[str, set[str]] = {}

    for call, pairs in calls:
        names.setdefault(call, set()).update(name for name, _ in pairs)

    assert names == {
        "GET /v1/customers": {"email", "limit"},
        "POST /v1/customers": {
            "email",
            "name",
            "metadata[kavach_mark]",
            "metadata[kavach_user_id]",
        },
        "POST /v1/checkout/sessions": {
            "mode",
            "customer",
            "client_reference_id",
            "line_items[0][price]",
            "line_items[0][quantity]",
            "success_url",
            "cancel_url",
            "subscription_data[trial_period_days]",
            "metadata[a]",
            "metadata[kavach_sale]",
            "metadata[kavach_mark]",
            "metadata[kavach_user_id]",
            "subscription_data[metadata][a]",
            "subscription_data[metadata][kavach_mark]",
            "subscription_data[metadata][kavach_user_id]",
        },
        "GET /v1/checkout/sessions": {"customer", "status", "limit"},
        "GET /v1/checkout/sessions/cs_1": set(),
        "POST /v1/checkout/sessions/cs_0/expire": set(),
        "POST /v1/billing_portal/sessions": {"customer", "return_url"},
        "GET /v1/subscriptions": {"customer", "status", "limit", "starting_after"},
        "GET /v1/subscriptions/sub_1": set(),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trial_days", "7"),
        ("line_items[price]", "price_1"),
        ("line_items[0][prise]", "price_1"),
        ("line_items[0][quantity]", "two"),
        ("allow_promotion_codes", "yes"),
        ("success_url[0]", "/"),
        ("metadata", "a"),
        ("metadata[a][b]", "c"),
        ("subscription_data[trial_days]", "7"),
        ("subscription_data", "7"),
    ],
)
def test_wrong_parameter_is_seen(name: str, value: str) -> None:
    """The test above sees something."""
    assert unknown(CheckoutCreateParams, [(name, value)]) == [f"{name}={value}"]
