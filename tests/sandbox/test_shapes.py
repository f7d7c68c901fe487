"""The shape of every object, held against Stripe's own: its sample objects, and the
attributes that its package declares."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from stripe._object_classes import get_object_class
from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox.sandbox_errors import ApiError
from flask_kavach_stripe.sandbox.versions.expansion import parse_path
from flask_kavach_stripe.sandbox.versions.known_versions import VERSIONS
from flask_kavach_stripe.sandbox.web.routes import CALLS

from .conftest import Api
from .conftest import NOON

#: ``openapi/fixtures3.json`` of https://github.com/stripe/openapi, which is no part of
#: this project.
FIXTURES = Path(
    os.environ.get("STRIPE_FIXTURES")
    or Path(__file__).parents[3] / "shared" / "reference" / "stripe_fixtures3.json"
)
#: Keys of the samples that objects of the newest version do not have, and why.
GONE = {
    "charge.refunds": "shown when expanded since 2022-11-15; there are no refunds",
    "charge.source": "for payments without a payment method",
    "invoice.subscription": "in parent.subscription_details since 2025-03-31.basil",
}
#: Keys that the classes of the package do not declare, and why they are there.
UNDECLARED = {
    "list.object": "every object has it",
    "v2.core.event.related_object": "declared by the class of each event type",
}
#: Kinds that the journey below must show.
KINDS = {
    "billing_portal.configuration",
    "billing_portal.session",
    "charge",
    "checkout.session",
    "coupon",
    "customer",
    "discount",
    "event",
    "invoice",
    "invoice_payment",
    "item",
    "line_item",
    "list",
    "payment_intent",
    "payment_method",
    "plan",
    "price",
    "product",
    "promotion_code",
    "subscription",
    "subscription_item",
    "test_helpers.test_clock",
    "webhook_endpoint",
    "v2.core.event",
    "v2.core.event_destination",
}


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Everything in JSON data that says what kind of object it is."""
    if isinstance(value, list):
        for entry in value:
            yield from objects_in(entry)
    elif isinstance(value, dict):
        if isinstance(value.get("object"), str):
            yield value

        for name, entry in value.items():
            if name != "metadata":
                yield from objects_in(entry)


def discounted(api: Api) -> list[Any]:
    """A coupon, its code, a subscription with both, and what that leads to."""
    coupon = api.post("/v1/coupons", {"percent_off": "10", "duration": "forever"})
    code = api.post(
        "/v1/promotion_codes",
        {"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]},
    )
    customer = api.post("/v1/customers", {"email": "ada@example.com"})
    card = api.post(
        "/v1/payment_methods/pm_card_visa/attach", {"customer": customer["id"]}
    )
    subscription = api.post(
        "/v1/subscriptions",
        {
            "customer": customer["id"],
            "items[0][price]": "price_pro",
            "default_payment_method": card["id"],
            "discounts[0][promotion_code]": code["id"],
            "expand[0]": "discounts",
            "expand[1]": "latest_invoice.payments",
            "expand[2]": "latest_invoice.confirmation_secret",
        },
    )
    item = subscription["items"]["data"][0]
    changed = api.post(f"/v1/subscription_items/{item['id']}", {"quantity": "2"})
    preview = api.post(
        "/v1/invoices/create_preview", {"subscription": subscription["id"]}
    )
    return [coupon, code, customer, card, subscription, changed, preview]


def paused(api: Api) -> list[Any]:
    """A subscription on a test clock that is paused."""
    clock = api.post("/v1/test_helpers/test_clocks", {"frozen_time": str(NOON)})
    customer = api.post("/v1/customers", {"test_clock": clock["id"]})
    card = api.post(
        "/v1/payment_methods/pm_card_visa/attach", {"customer": customer["id"]}
    )
    subscription = api.post(
        "/v1/subscriptions",
        {
            "customer": customer["id"],
            "items[0][price]": "price_pro",
            "default_payment_method": card["id"],
        },
    )
    return [
        clock,
        subscription,
        api.post(f"/v1/subscriptions/{subscription['id']}/pause"),
    ]


@pytest.fixture(scope="module")
def answers() -> list[Any]:
    """What the API answers in a subscriber's life, and in the end about everything."""
    sandbox = Sandbox(clock=Clock(NOON), send=lambda url, body, headers: 200)
    sandbox.create_price()
    api = Api(sandbox)
    v2 = Client(sandbox.wsgi_app)
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    seen: list[Any] = [
        api.post(
            "/v1/webhook_endpoints",
            {"url": "https://shop.test/x", "enabled_events[0]": "*"},
        ),
        v2.post(
            "/v2/core/event_destinations",
            json={
                "name": "Shop",
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": ["*"],
                "webhook_endpoint": {"url": "https://shop.test/thin"},
            },
            headers=headers,
        ).json,
    ]
    session = api.checkout(subscription_data__trial_period_days="14")
    paid = sandbox.pay(session["id"])
    portal = {"customer": paid["customer"]}
    flow = {
        **portal,
        "flow_data[type]": "subscription_cancel",
        "flow_data[subscription_cancel][subscription]": paid["subscription"],
    }
    seen.append(api.post("/v1/billing_portal/sessions", portal))
    seen.append(api.post("/v1/billing_portal/sessions", flow))
    sandbox.advance(days=46)
    path = f"/v1/subscriptions/{paid['subscription']}"
    seen.append(api.get(path, {"expand[0]": "default_payment_method"}))
    seen.append(api.post(path, {"cancel_at_period_end": "true"}))
    declined = sandbox.pay(api.checkout()["id"], "4000000000000341")
    seen.append(declined)
    sandbox.advance(days=46)
    path = f"/v1/checkout/sessions/{paid['id']}"
    seen.append(api.get(path, {"expand[0]": "line_items"}))
    seen += discounted(api)
    seen += paused(api)
    gone = api.post("/v1/customers")
    seen.append(api.delete(f"/v1/customers/{gone['id']}"))

    needed = {
        "/v1/payment_methods": {"customer": paid["customer"]},
        "/v1/subscription_items": {"subscription": paid["subscription"]},
        "/v1/subscriptions": {"status": "all"},
    }

    for call in CALLS:
        known = call.method == "GET" and call.is_in(VERSIONS[-1])

        if known and "<" not in call.path:
            listed = api.get(call.path, needed.get(call.path))
            assert listed["data"], call.path
            seen.append(listed)

    return [*seen, *sandbox._account.store.all("v2.core.event")]


def test_journey_shows_every_kind(answers: list[Any]) -> None:
    assert KINDS <= {obj["object"] for obj in objects_in(answers)}


# Stripe's samples


def missing(sample: Any, ours: Any, path: str) -> Iterator[str]:
    """The keys that a sample has and our object has not, as paths."""
    if isinstance(sample, list) and isinstance(ours, list):
        for entry in ours if sample else ():
            yield from missing(sample[0], entry, path)
    elif isinstance(sample, dict) and isinstance(ours, dict):
        for name, value in sample.items():
            if name not in ours:
                yield f"{path}.{name}"
            elif name not in ("metadata", "object") and not _is_other(
                value, ours[name]
            ):
                yield from missing(value, ours[name], f"{path}.{name}")


def _is_other(sample: Any, ours: Any) -> bool:
    """An object of its own is held against its own sample."""
    return any(
        isinstance(value, dict)
        and isinstance(value.get("object"), str)
        and value["object"] != "list"
        for value in (sample, ours)
    )


@pytest.mark.skipif(
    not FIXTURES.is_file(),
    reason="Stripe's samples are not part of this project; STRIPE_FIXTURES names them",
)
def test_every_key_of_stripes_samples_is_there(answers: list[Any]) -> None:
    samples = json.loads(FIXTURES.read_text("utf-8"))["resources"]
    lacking: set[str] = set()
    compared: set[str] = set()

    for obj in objects_in(answers):
        kind = obj["object"]
        sample = samples.get(f"deleted_{kind}" if obj.get("deleted") else kind)

        if sample is not None:
            compared.add(kind)
            lacking.update(missing(sample, obj, kind))

    assert lacking == set(GONE)
    assert KINDS - compared == {"list", "v2.core.event", "v2.core.event_destination"}


# Stripe's package


def declared(cls: Any) -> dict[str, Any]:
    """The attributes that a class of the package declares."""
    names: dict[str, Any] = {}

    for base in reversed(cls.__mro__):
        names.update(getattr(base, "__annotations__", {}))

    return names


def undeclared(ours: Any, cls: Any, path: str) -> Iterator[str]:
    """The keys of our object that a class does not declare, as paths."""
    known = declared(cls)
    inner = getattr(cls, "_inner_class_types", {})

    for name, value in ours.items():
        if name not in known:
            yield f"{path}.{name}"
        elif name in inner:
            for entry in value if isinstance(value, list) else [value]:
                if isinstance(entry, dict):
                    yield from undeclared(entry, inner[name], f"{path}.{name}")


def test_every_key_is_declared_by_stripes_package(answers: list[Any]) -> None:
    extra: set[str] = set()

    for obj in objects_in(answers):
        kind = obj["object"]
        cls = get_object_class("V2" if kind.startswith("v2.") else "V1", kind)
        assert cls is not stripe.StripeObject, kind

        if not obj.get("deleted"):
            extra.update(undeclared(obj, cls, kind))

    assert extra == set(UNDECLARED)


def test_attributes_that_can_be_expanded_are_those_of_stripes_package(
    answers: list[Any],
) -> None:
    """``str | ForwardRef`` is an attribute that holds an id or an object."""
    lacking = set()

    for obj in objects_in(answers):
        cls = get_object_class("V1", obj["object"])

        for name, hint in declared(cls).items() if cls else ():
            if name in obj and "str, ForwardRef(" in str(hint):
                try:
                    parse_path(name, obj["object"], VERSIONS[-1])
                except ApiError:
                    lacking.add(f"{obj['object']}.{name}")

    assert sorted(lacking) == []
