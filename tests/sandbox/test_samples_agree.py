"""The sample objects of the test kit, held against those of the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.stripe_api.client import StripeClient
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import make_thin_event

from .conftest import Api
from .conftest import Hook
from .conftest import NOON

VERSIONS = ("2024-12-18.acacia", "2025-03-31.basil", "2026-10-28.endive")


def unknown_keys(sample: Any, real: Any, path: str = "") -> Iterator[str]:
    """What the sample has and the real object has not."""
    if isinstance(sample, dict) and isinstance(real, dict):
        for key, value in sample.items():
            where = f"{path}.{key}"

            if key in real:
                yield from unknown_keys(value, real[key], where)
            else:
                yield where
    elif isinstance(sample, list) and sample and real:
        yield from unknown_keys(sample[0], real[0], path)
    elif type(sample) is not type(real) and None not in (sample, real):
        yield f"{path}: {sample!r} for {real!r}"


@pytest.fixture
def get(sandbox: Sandbox) -> Iterator[Callable[[str, str], Any]]:
    with requests.Session() as session:
        sandbox.mount(session)

        def get(path: str, version: str) -> Any:
            client = StripeClient(sandbox.api_key, api_version=version, session=session)
            return client.get(path)["data"][0]

        yield get


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("sample", "path"),
    [
        (make_subscription, "/v1/subscriptions"),
        (make_invoice, "/v1/invoices"),
        (lambda api_version: make_checkout_session(), "/v1/checkout/sessions"),
        (lambda api_version: make_customer(), "/v1/customers"),
    ],
    ids=["subscription", "invoice", "checkout session", "customer"],
)
def test_sample_has_only_what_stripe_has(
    subscribe: Any, get: Any, sample: Any, path: str, version: str
) -> None:
    subscribe()
    made = sample(api_version=version)
    assert list(unknown_keys(made, get(path, version))) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_sample_event_has_only_what_stripe_has(version: str) -> None:
    hook = Hook()
    sandbox = Sandbox(clock=Clock(NOON), send=hook)
    sandbox.create_webhook_endpoint("https://shop.test/", api_version=version)
    sandbox.create_price()
    sandbox.deliver()
    made = make_event("price.created", {"object": "price"}, api_version=version)
    assert list(unknown_keys(made, hook.received[-1])) == []
    assert hook.received[-1].keys() == made.keys()


def test_sample_of_a_thin_event_has_only_what_stripe_has() -> None:
    hook = Hook()
    sandbox = Sandbox(clock=Clock(NOON), send=hook)
    sandbox.create_thin_destination("https://shop.test/")
    sandbox.create_price()
    sandbox.deliver()
    made = make_thin_event("price.created", "price_pro")
    assert made["related_object"] == hook.received[-1]["related_object"]
    assert list(unknown_keys(made, hook.received[-1])) == []
    assert hook.received[-1].keys() == made.keys()


def test_sample_of_a_thin_event_names_its_object_as_stripe_does() -> None:
    hook = Hook()
    sandbox = Sandbox(clock=Clock(NOON), send=hook)
    sandbox.create_price()
    sandbox.create_thin_destination("https://shop.test/")
    sandbox.pay(Api(sandbox).checkout()["id"])

    for event in hook.received:
        related, event_type = event["related_object"], event["type"]
        made = make_thin_event(event_type.removeprefix("v1."), related["id"])
        assert (made["type"], made["related_object"]) == (event_type, related)

    assert hook.types[-1] == "v1.checkout.session.completed"
