"""The official package, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import pytest
import stripe

from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox

from .conftest import DAY
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
    # Two for the new month, and one more for the old one.
    assert [invoice.total for invoice in invoices.data] == [2700, 900]

    portal = v1.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "https://shop.test/account"}
    )
    assert portal.url.startswith(served.url)

    assert v1.subscriptions.cancel(subscription.id).status == "canceled"
    types = [event.type for event in v1.events.list({"limit": 5}).auto_paging_iter()]
    assert types[0] == "customer.subscription.deleted"
    assert types[-1] == "customer.created"
    assert len(types) == len(served.events)


def test_journey_on_a_test_clock(served: Sandbox, client: stripe.StripeClient) -> None:
    """Without Checkout: a card, a trial, a discount, and a clock of its own."""
    served.create_price()
    v1 = client.v1
    clocks = v1.test_helpers.test_clocks
    clock = clocks.create({"frozen_time": NOON, "name": "A trial"})
    coupon = v1.coupons.create({"percent_off": 10, "duration": "forever"})
    code = v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "TEN"}
    )
    customer = v1.customers.create({"test_clock": clock.id})
    card = v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    subscription = v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": "price_pro"}],
            "default_payment_method": card.id,
            "discounts": [{"promotion_code": code.id}],
            "trial_period_days": 14,
            "expand": ["discounts"],
        }
    )
    assert subscription.status == "trialing"
    assert subscription.test_clock == clock.id
    assert subscription.discounts is not None
    (discount,) = subscription.discounts
    assert isinstance(discount, stripe.Discount)
    assert discount.source.coupon == coupon.id
    preview = v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 810

    clocks.advance(clock.id, {"frozen_time": NOON + 14 * DAY})
    assert clocks.retrieve(clock.id).status == "ready"
    renewed = v1.subscriptions.retrieve(
        subscription.id, {"expand": ["latest_invoice.payments"]}
    )
    assert renewed.status == "active"
    invoice = renewed.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid) == ("paid", 810)
    assert invoice.payments is not None
    assert len(invoice.payments.data) == 1

    # The same, as a program of that time sees it.
    old: Any = v1.subscriptions.retrieve(
        subscription.id,
        {"expand": ["latest_invoice.payment_intent"]},
        {"stripe_version": "2024-12-18.acacia"},
    )
    assert old["discount"]["coupon"]["percent_off"] == 10
    assert old.latest_invoice["discount"]["coupon"]["id"] == coupon.id
    intent = old.latest_invoice["payment_intent"]
    assert (intent.status, intent.amount) == ("succeeded", 810)
    assert intent["invoice"] == invoice.id

    paused = v1.subscriptions.pause(subscription.id)
    assert paused.status == "paused"
    assert v1.subscriptions.resume(subscription.id).status == "active"
    clocks.delete(clock.id)

    with pytest.raises(stripe.InvalidRequestError, match="No such"):
        clocks.retrieve(clock.id)


def test_test_clock_journey(served: Sandbox, client: stripe.StripeClient) -> None:
    served.create_price()
    served.create_price("price_team", 2900, product_name="Team")
    v1 = client.v1
    clock = v1.test_helpers.test_clocks.create({"frozen_time": NOON})
    customer = v1.customers.create(
        {
            "test_clock": clock.id,
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
    )
    coupon = v1.coupons.create({"percent_off": 50, "duration": "once"})
    subscription = v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": "price_pro"}],
            "discounts": [{"coupon": coupon.id}],
            "expand": ["latest_invoice.payments"],
        }
    )
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert invoice.amount_paid == 450
    assert invoice.payments is not None
    intent_id = invoice.payments.data[0].payment.payment_intent
    assert isinstance(intent_id, str)
    assert v1.payment_intents.retrieve(intent_id).status == "succeeded"

    item = v1.subscription_items.list({"subscription": subscription.id}).data[0]
    preview = v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": {
                "items": [{"id": item.id, "price": "price_team"}],
                "proration_behavior": "always_invoice",
            },
        }
    )
    assert [line.amount for line in preview.lines.data] == [-450, 2900]
    v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": NOON + 31 * DAY})
    invoices = v1.invoices.list({"customer": customer.id}).data
    assert [invoice.total for invoice in invoices] == [900, 450]

    v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    cards = v1.payment_methods.list({"customer": customer.id}).data
    assert len(cards) == 2
    v1.subscriptions.update(
        subscription.id, {"default_payment_method": cards[0].id, "cancel_at": ""}
    )
    paused = v1.subscriptions.pause(subscription.id)
    assert paused.status == "paused"
    resumed = v1.subscriptions.resume(
        subscription.id, {"billing_cycle_anchor": {"type": "unchanged"}}
    )
    assert resumed.status == "active"

    with pytest.raises(stripe.CardError) as caught:
        v1.subscription_items.update(
            item.id,
            {
                "quantity": 2,
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )

    assert caught.value.code == "card_declined"
    v1.test_helpers.test_clocks.delete(clock.id)
    assert v1.subscriptions.retrieve(subscription.id).status == "canceled"


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


def test_journey_of_an_older_program(served: Sandbox) -> None:
    """What was written for acacia finds everything where it was then."""
    client = stripe.StripeClient(
        served.api_key,
        base_addresses={"api": served.url},
        stripe_version="2024-12-18.acacia",
    )
    v1 = client.v1
    price = v1.prices.create(
        {
            "unit_amount": 900,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "product_data": {"name": "Pro"},
        }
    )
    endpoint = v1.webhook_endpoints.create(
        {
            "url": "https://shop.test/hook",
            "enabled_events": ["*"],
            "api_version": "2024-12-18.acacia",
        }
    )
    assert endpoint.api_version == "2024-12-18.acacia"
    customer = v1.customers.create({"email": "ada@example.com"})
    params: Any = {
        "mode": "subscription",
        "customer": customer.id,
        "payment_method_types": ["card"],
        "ui_mode": "hosted",
        "line_items": [{"price": price.id, "quantity": 1}],
        "success_url": "https://shop.test/ok",
    }
    session = v1.checkout.sessions.create(params)
    assert session.ui_mode == "hosted"
    served.pay(session.id)
    session = v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    subscription: Any = session.subscription
    assert subscription["current_period_start"] == NOON
    assert subscription["current_period_end"] == NOON + 31 * DAY
    assert "current_period_end" not in subscription["items"].data[0]

    anchor: Any = {"billing_cycle_anchor": "unchanged", "cancel_at_period_end": True}
    updated: Any = v1.subscriptions.update(subscription.id, anchor)
    assert updated.cancel_at == updated["current_period_end"]
    v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    served.advance(days=31)
    expand: Any = {"customer": customer.id, "expand": ["data.payment_intent"]}
    invoices: list[Any] = v1.invoices.list(expand).data
    assert [invoice["paid"] for invoice in invoices] == [True, True]
    assert {invoice["subscription"] for invoice in invoices} == {subscription.id}
    assert invoices[0].lines.data[0]["price"]["id"] == price.id
    portal = v1.billing_portal.sessions.create({"customer": customer.id})
    assert portal.url.startswith(served.url)

    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        v1.invoices.list(expand, {"stripe_version": "2025-03-31.basil"})

    assert v1.subscriptions.cancel(subscription.id).status == "canceled"
    event = next(v1.events.list({"types": ["invoice.*"]}).auto_paging_iter())
    assert event.api_version == "2026-10-28.endive"

    clocks = v1.test_helpers.test_clocks
    clock = clocks.create({"frozen_time": NOON})
    customer = v1.customers.create(
        {
            "test_clock": clock.id,
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
    )
    renewing: Any = v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}]}
    )
    clocks.advance(clock.id, {"frozen_time": NOON + 31 * DAY})
    renewing = v1.subscriptions.retrieve(renewing.id)
    assert renewing.status == "active"
    assert renewing["current_period_start"] == NOON + 31 * DAY


def test_unknown_version(served: Sandbox) -> None:
    client = stripe.StripeClient(
        served.api_key,
        base_addresses={"api": served.url},
        stripe_version="2011-01-01",
    )

    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        client.v1.customers.list()


def test_thin_events_of_a_destination() -> None:
    """From the secret to the object that an event is about."""
    received: list[tuple[bytes, str]] = []

    def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        received.append((body, headers["Stripe-Signature"]))
        return 200

    with Sandbox(clock=Clock(NOON), send=send) as sandbox:
        client = stripe.StripeClient(
            sandbox.api_key, base_addresses={"api": sandbox.url}
        )
        destinations = client.v2.core.event_destinations
        destination = destinations.create(
            {
                "name": "Shop",
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": ["v1.customer.created"],
                "webhook_endpoint": {"url": "https://shop.test/thin"},
                "include": ["webhook_endpoint.signing_secret"],
            }
        )
        assert destination.webhook_endpoint is not None
        secret = destination.webhook_endpoint.signing_secret
        assert secret is not None
        customer = client.v1.customers.create({"email": "ada@example.com"})
        sandbox.wait_idle()
        ((body, signature),) = received
        notification: Any = client.parse_event_notification(body, signature, secret)
        assert notification.type == "v1.customer.created"
        assert notification.fetch_related_object().email == "ada@example.com"
        assert notification.fetch_event().related_object.id == customer.id

        found = destinations.retrieve(destination.id)
        assert found.webhook_endpoint is not None
        assert found.webhook_endpoint.signing_secret is None
        listed = destinations.list().auto_paging_iter()
        assert [entry.id for entry in listed] == [destination.id]
        destinations.disable(destination.id)
        client.v1.customers.create({"email": "eve@example.com"})
        sandbox.wait_idle()
        assert len(received) == 1
        destinations.delete(destination.id)

        with pytest.raises(stripe.InvalidRequestError):
            destinations.retrieve(destination.id)
