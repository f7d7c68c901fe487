"""A typing error in an event type is a warning that names the nearest one."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import stripe

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.events.effects import EFFECTS
from flask_kavach_stripe.stripe_api.event_types import known_types
from tests.event_types import declared_types
from tests.event_types import LIST
from tests.event_types import render


def handler(event: Any) -> None:
    """Takes any event."""


def test_list_has_the_types_that_stripe_declares() -> None:
    """If this fails after an upgrade of ``stripe``: ``python -m tests.event_types``."""
    assert declared_types() - known_types() == set()


def test_list_is_what_the_script_writes() -> None:
    text = LIST.read_text("utf-8")

    if f" {stripe.VERSION}." not in text.partition("\n")[0]:
        pytest.skip("the list is from another version of Stripe's package")

    assert text == render()


def test_list_has_the_types_with_an_effect() -> None:
    assert EFFECTS.keys() <= known_types()


@pytest.mark.parametrize(
    ("event_type", "message"),
    [
        (
            "customer.subscription.update",
            "Stripe has no event type 'customer.subscription.update'. The nearest is"
            " 'customer.subscription.updated'.",
        ),
        (
            "v1.invoice.paid",
            "Stripe has no event type 'v1.invoice.paid'. The nearest is"
            " 'invoice.paid'.",
        ),
        ("of mine", "Stripe has no event type 'of mine'."),
        (
            "custmer.*",
            "No event type of Stripe matches 'custmer.*'. The nearest is 'customer.*'.",
        ),
        (
            "checkout.sessions.*",
            "No event type of Stripe matches 'checkout.sessions.*'. The nearest is"
            " 'checkout.session.*'.",
        ),
        ("*.of mine", "No event type of Stripe matches '*.of mine'."),
    ],
)
def test_handler_of_a_type_that_stripe_does_not_have_is_warned_of(
    caplog: pytest.LogCaptureFixture, event_type: str, message: str
) -> None:
    registered = KavachStripe().on("invoice.paid", event_type)(handler)

    (record,) = caplog.records
    assert registered is handler
    assert record.levelno == logging.WARNING
    assert record.name == "flask_kavach_stripe.registry"
    assert record.getMessage() == (
        f"A handler waits for events that never come. {message}"
    )


@pytest.mark.parametrize(
    "event_type",
    [
        "invoice.paid",
        "v2.core.account.updated",
        "*",
        "invoice.*",
        "*.created",
        "checkout.*.completed",
        "customer.subscription*",
    ],
)
def test_handler_of_a_type_that_stripe_has_needs_no_warning(
    caplog: pytest.LogCaptureFixture, event_type: str
) -> None:
    KavachStripe().on(event_type)(handler)

    assert caplog.records == []
