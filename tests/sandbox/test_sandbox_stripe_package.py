"""The official package, over HTTP, and the attributes that it declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import NOON


@pytest.fixture
def served() -> Iterator[Sandbox]:
    with Sandbox(clock=Clock(NOON), send=lambda url, body, headers: 200) as sandbox:
        yield sandbox


@pytest.fixture
def client(served: Sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(
        served.api_key, base_addresses={"api": served.url}, max_network_retries=0
    )


def test_whole_journey(served: Sandbox, client: stripe.StripeClient) -> None:
    v1 = client.v1
    customer = v1.customers.create({"email": "ada@example.com", "metadata": {"a": "1"}})
    price = v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Pro"},
        }
    )
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "client_reference_id": "7",
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://shop.test/ok?id={CHECKOUT_SESSION_ID}",
            "subscription_data": {"metadata": {"kavach_user_id": "7"}},
        }
    )
    served.pay(session.id)
    session = v1.checkout.sessions.retrieve(
        session.id, {"expand": ["subscription", "customer"]}
    )
    subscription = session.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert isinstance(session.customer, stripe.Customer)
    assert session.customer.email == "ada@example.com"
    assert subscription.status == "active"
    assert subscription.metadata["kavach_user_id"] == "7"

    item = subscription["items"].data[0]
    updated = v1.subscriptions.update(
        subscription.id,
        {"items": [{"id": item.id, "quantity": 2}], "cancel_at_period_end": True},
    )
    assert updated["items"].data[0].quantity == 2
    assert updated.cancel_at_period_end
    v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    served.advance(days=31)
    invoices = v1.invoices.list({"customer": customer.id})
    assert [invoice.total for invoice in invoices.data] == [1800 + 900, 900]

    portal = v1.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "https://shop.test/account"}
    )
    assert portal.url.startswith(served.url)

    assert v1.subscriptions.cancel(subscription.id).status == "canceled"
    types = [event.type for event in v1.events.list({"limit": 5}).auto_paging_iter()]
    assert types[0] == "customer.subscription.deleted"
    assert types[-1] == "customer.created"
    assert len(types) == len(served.events)


def test_errors_become_the_packages_classes(
    served: Sandbox, client: stripe.StripeClient
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.retrieve("cus_none")

    assert caught.value.http_status == 404
    assert caught.value.code == "resource_missing"
    assert caught.value.request_id is not None

    wrong = stripe.StripeClient("sk_test_wrong", base_addresses={"api": served.url})

    with pytest.raises(stripe.AuthenticationError):
        wrong.v1.customers.list()

    options: stripe.RequestOptions = {"idempotency_key": "k"}
    client.v1.customers.create({"name": "Ada"}, options)

    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Eve"}, options)


def test_every_key_is_an_attribute_that_the_package_declares(served: Sandbox) -> None:
    served.create_price()
    classes: dict[str, Any] = {
        "billing_portal.session": stripe.billing_portal.Session,
        "checkout.session": stripe.checkout.Session,
        "customer": stripe.Customer,
        "event": stripe.Event,
        "invoice": stripe.Invoice,
        "item": stripe.LineItem,
        "line_item": stripe.InvoiceLineItem,
        "list": stripe.ListObject,
        "payment_method": stripe.PaymentMethod,
        "plan": stripe.Plan,
        "price": stripe.Price,
        "product": stripe.Product,
        "subscription": stripe.Subscription,
        "subscription_item": stripe.SubscriptionItem,
        "webhook_endpoint": stripe.WebhookEndpoint,
    }
    client = stripe.StripeClient(served.api_key, base_addresses={"api": served.url})
    session = client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": "price_pro", "quantity": 1}],
            "success_url": "https://shop.test/ok",
        }
    )
    paid = served.pay(session.id)
    raw: list[Any] = [
        client.v1.checkout.sessions.retrieve(
            paid["id"],
            {"expand": ["line_items", "invoice", "customer"]},
        ),
        client.v1.subscriptions.retrieve(
            paid["subscription"],
            {"expand": ["default_payment_method", "items.data.price.product"]},
        ),
        client.v1.billing_portal.sessions.create({"customer": paid["customer"]}),
        client.v1.webhook_endpoints.create(
            {"url": "https://shop.test/x", "enabled_events": ["*"]}
        ),
        *client.v1.events.list({"limit": 100}).data,
    ]
    seen: set[str] = set()

    def check(value: Any) -> None:
        if isinstance(value, list):
            for entry in value:
                check(entry)
        elif isinstance(value, dict):
            kind = value.get("object")

            if kind is not None and not isinstance(kind, dict):
                seen.add(kind)
                unknown = set(value) - {"object"} - declared(classes[kind])
                assert not unknown, (kind, unknown)

            for entry in value.values():
                check(entry)

    check([entry.to_dict(for_json=True) for entry in raw])
    assert seen == set(classes)


def declared(cls: Any) -> set[str]:
    names: set[str] = set()

    for base in cls.__mro__:
        names |= set(getattr(base, "__annotations__", {}))

    return names
