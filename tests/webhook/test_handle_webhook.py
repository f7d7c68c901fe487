"""``handle_webhook``, for events that arrive in another way than HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses

from flask_kavach_stripe import Event
from flask_kavach_stripe import SignatureVerificationError
from flask_kavach_stripe import StripeError
from tests.vocabulary import checkout
from tests.vocabulary import event
from tests.vocabulary import handle
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import SUB_1


def test_handle_webhook_returns_the_event(shop: Any) -> None:
    with shop.app.app_context():
        received = handle(shop, event("created"))
        assert isinstance(received, Event)
        assert received.type == "customer.subscription.created"

    assert shop.columns()["subscription_id"] == "sub_1"


def test_handle_webhook_shows_the_new_values_in_loaded_users(shop: Any) -> None:
    with shop.app.app_context():
        user = shop.db.session.get(shop.User, 1)
        assert user.stripe_subscription_id is None
        handle(shop, event("created"))
        assert user.stripe_subscription_id == "sub_1"


def test_handle_webhook_shows_them_where_a_commit_expires_nothing(shop: Any) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.created")
    def look(received: Event) -> None:
        seen.append(received.user.stripe_subscription_id)

    with shop.app.app_context():
        shop.db.session().expire_on_commit = False
        user = shop.db.session.get(shop.User, 1)
        assert user.stripe_subscription_id is None
        handle(shop, event("created"))
        assert user.stripe_subscription_id == "sub_1"

    assert seen == ["sub_1"]


def test_handle_webhook_raises_the_error_of_the_handler(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def fail(received: Event) -> None:
        raise ZeroDivisionError

    with shop.app.app_context(), pytest.raises(ZeroDivisionError):
        handle(shop, paid())

    assert shop.events[0].error == "ZeroDivisionError: "


@pytest.mark.parametrize("signature", [None, "", "t=1,v1=0", "ü", b"\xff"])
def test_handle_webhook_refuses_other_signatures(shop: Any, signature: Any) -> None:
    body = json.dumps(paid()).encode()

    with shop.app.app_context(), pytest.raises(SignatureVerificationError):
        shop.kavach_stripe.handle_webhook(body, signature)


def test_handle_webhook_raises_the_error_of_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB_1, status=500, body="{}")

    with shop.app.app_context(), pytest.raises(StripeError):
        handle(shop, checkout())


def test_user_of_an_event_that_nobody_handles(shop: Any) -> None:
    sent = event("created")

    with shop.app.app_context():
        handled = [handle(shop, sent), handle(shop, sent)]
        assert [found.user.id for found in handled] == [1, 1]
