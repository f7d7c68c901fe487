"""Helpers inside of a block of the session that has to commit by itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import responses

from flask_kavach_stripe.testing import make_event
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import expect_new_customer
from tests.vocabulary import handle
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import PORTAL_SESSION
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import stored_customer
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import URLS

Block = Callable[[Any], AbstractContextManager[Any]]

#: Ada has a customer, Bob, user 2, has none.
CALLS: dict[str, Callable[[Any], object]] = {
    "create_customer": lambda shop: shop.kavach_stripe.create_customer(2),
    "create_checkout_session": lambda shop: shop.kavach_stripe.create_checkout_session(
        1, "price_pro", **URLS
    ),
    "checkout of a newcomer": lambda shop: shop.kavach_stripe.create_checkout_session(
        2, "price_pro", **URLS
    ),
    "create_portal_session": lambda shop: shop.kavach_stripe.create_portal_session(
        1, "https://a.example"
    ),
    "sync_subscription": lambda shop: shop.kavach_stripe.sync_subscription(1),
    "complete_checkout": lambda shop: shop.kavach_stripe.complete_checkout("cs_1", 1),
    "handle_webhook": lambda shop: handle(shop, make_event("customer.deleted", {})),
    "process_event": lambda shop: shop.kavach_stripe.process_event("evt_1"),
}

BLOCKS: dict[str, Block] = {
    "begin": lambda session: session.begin(),
    "begin_nested": lambda session: session.begin_nested(),
}


@pytest.fixture
def newcomers_shop(kept_shop: Any) -> Any:
    kept_shop.add_user(id=2, email="bob@example.com")
    return kept_shop


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_helper_in_a_block_is_refused_before_stripe_is_called(
    newcomers_shop: Any,
    stripe_api: responses.RequestsMock,
    block: Block,
    call: Callable[[Any], object],
) -> None:
    """It used to make the customer, and then could not store it."""
    shop = newcomers_shop

    with shop.app.app_context(), block(shop.db.session):
        shop.note("of the block")

        with pytest.raises(RuntimeError, match=r"with db\.session\.begin.*before it"):
            call(shop)

        shop.note("after")

    with shop.app.app_context(), block(shop.db.session):
        shop.note("committed?")

    assert len(stripe_api.calls) == 0
    assert stored_customer(shop, 2) is None
    expected = ["of the block", "after", "committed?"]

    if block is BLOCKS["begin"]:  # its end commits, that of a savepoint does not
        assert shop.notes == expected


def test_getters_work_in_a_block(newcomers_shop: Any) -> None:
    shop = newcomers_shop

    with shop.app.app_context(), shop.db.session.begin():
        assert shop.kavach_stripe.get_customer_id(1) == "cus_ada"
        assert shop.kavach_stripe.get_subscription(1) is None
        assert shop.kavach_stripe.list_subscriptions(1) == []
        assert shop.kavach_stripe.create_customer(1) == "cus_ada"  # no call to Stripe


def test_helper_works_after_a_transaction_that_was_begun_without_a_block(
    newcomers_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = newcomers_shop
    expect_new_customer(stripe_api, json={"id": "cus_bob"})

    with shop.app.app_context():
        shop.db.session.begin()
        shop.note("x")
        assert shop.kavach_stripe.create_customer(2) == "cus_bob"

    assert stored_customer(shop, 2) == "cus_bob"
    assert shop.notes == ["x"]


def test_helpers_work_in_a_savepoint_of_a_handler(
    newcomers_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """There a commit is a flush, so no block is broken."""
    shop = newcomers_shop
    expect_new_customer(stripe_api, json={"id": "cus_bob"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    stripe_api.post(PORTAL_SESSIONS, json=PORTAL_SESSION)
    stripe_api.get(SUBSCRIPTIONS, json={"object": "list", "data": []})

    @on(shop, "invoice.paid")
    def call_all(event: Any) -> None:
        with shop.db.session.begin_nested():
            for name in (
                "create_customer",
                "create_checkout_session",
                "create_portal_session",
                "sync_subscription",
            ):
                CALLS[name](shop)

            shop.note("done")

    ok(shop.post_event(paid()))
    assert shop.notes == ["done"]
    assert stored_customer(shop, 2) == "cus_bob"
