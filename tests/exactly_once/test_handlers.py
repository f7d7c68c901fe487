"""Which handlers run, in which order, and what they are given."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_thin_event
from tests.exactly_once.other_process import email_of_ada
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import on_change
from tests.vocabulary import paid
from tests.vocabulary import second_connection
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import T

# -- which handlers run, and in which order --------------------------------------------


def test_handlers_run_in_order_of_registration(shop: Any) -> None:
    called: list[str] = []

    @on(shop, "*")
    def first(received: Event) -> None:
        called.append("first")

    @on(shop, "invoice.paid")
    def second(received: Event) -> None:
        called.append("second")

    @on(shop, "invoice.*")
    def third(received: Event) -> None:
        called.append("third")

    ok(shop.post_event(paid()))
    assert called == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("patterns", "runs"),
    [
        (("customer.subscription.created",), 1),
        (("invoice.paid", "customer.subscription.created"), 1),
        (("customer.subscription.*", "*"), 1),
        (("customer.subscription.*",), 1),
        (("customer.*",), 1),
        (("*.created",), 1),
        (("*",), 1),
        (("customer.subscription",), 0),
        (("customer.subscription.create",), 0),
        (("subscription.created",), 0),
        (("Customer.Subscription.Created",), 0),
        (("customer.subscription.created ",), 0),
        (("customer-subscription-created",), 0),
        (("customer.subscription.create?",), 0),
        (("customer.subscription.[a-d]reated",), 0),
    ],
)
def test_handler_of_types(shop: Any, patterns: tuple[str, ...], runs: int) -> None:
    called: list[Any] = []
    on(shop, *patterns)(called.append)
    ok(shop.post_event(event("created")))
    assert len(called) == runs


def test_decorators_return_the_function(shop: Any) -> None:
    def handler(*args: Any) -> None: ...

    assert on(shop, "invoice.paid")(handler) is handler
    assert on_change(shop)(handler) is handler


@pytest.mark.parametrize("types", [(), ("",), (len,), (None,), (["invoice.paid"],)])
def test_handler_without_types_is_refused(shop: Any, types: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"on.*event types"):
        on(shop, *types)


def test_handlers_run_after_the_columns_are_stored(shop: Any) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.created")
    def look(received: Event) -> None:
        with second_connection(shop) as connection:
            query = "SELECT stripe_subscription_id FROM users"
            seen.append(connection.execute(query).fetchone()[0])

        seen.append(received.user.stripe_subscription_id)

    ok(shop.post_event(event("created")))
    assert seen == ["sub_1", "sub_1"]


def test_async_handlers_work(shop: Any) -> None:
    called: list[Any] = []

    @on(shop, "customer.subscription.created")
    async def write(received: Event) -> None:
        shop.note(f"{received.type} {received.user.email}")

    @on_change(shop)
    async def tell(user: Any, found: Any) -> None:
        called.append((user.id, found.id))

    ok(shop.post_event(event("created")))
    assert shop.notes == ["customer.subscription.created ada@example.com"]
    assert called == [(1, "sub_1")]


def test_async_handler_that_raises_fails_the_event(shop: Any) -> None:
    @on(shop, "invoice.paid")
    async def write(received: Event) -> None:
        shop.note("x")
        raise ValueError("late")

    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert shop.events[0].error == "ValueError: late"


# -- the event -------------------------------------------------------------------------


def test_event_is_the_dict_as_sent_with_attributes(shop: Any) -> None:
    seen: list[Event] = []
    users: list[Any] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Event) -> None:
        seen.append(received)
        users.append(received.user.email)

    sent = {**event("updated"), "account": None, "new_key": {"a": [1, None, "ü"]}}
    ok(shop.post_event(sent))
    [received] = seen
    assert isinstance(received, dict)
    assert received == sent
    assert received.id == sent["id"]
    assert received.type == "customer.subscription.updated"
    assert received.created == T
    assert received.livemode is False
    assert received.account is None
    assert received.api_version == "2026-10-28.endive"
    assert received.data == sent["data"]
    assert received.object == sent["data"]["object"]
    assert received.previous_attributes == {"metadata": {}}
    assert users == ["ada@example.com"]


def test_event_lacks_what_was_not_sent(shop: Any) -> None:
    seen: list[Any] = []

    @on(shop, "*")
    def remember(received: Event) -> None:
        seen.extend(
            [
                received.id,
                received.created,
                received.livemode,
                received.account,
                received.api_version,
                dict(received.data),
                dict(received.object),
                received.previous_attributes,
                received.user,
            ]
        )

    ok(shop.post_event({"type": "invoice.paid"}))
    assert seen == [None, None, None, None, None, {}, {}, None, None]


def test_handler_sees_the_type_of_a_thin_event_without_v1(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    seen: list[Any] = []

    @on(shop, "customer.subscription.updated")
    def remember(received: Event) -> None:
        seen.extend([received.type, received["type"], received.created])
        seen.extend([received.object["id"], received.user.id])

    stripe_api.get(SUB_1, json=subscription())
    sent = make_thin_event("customer.subscription.updated", "sub_1", created=T)
    ok(shop.post_event(sent))
    assert seen == [
        "customer.subscription.updated",
        "v1.customer.subscription.updated",
        T,
        "sub_1",
        1,
    ]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(paid(), id="invoice"),
        pytest.param(paid(customer=make_customer("cus_ada")), id="expanded"),
        pytest.param(event("created"), id="subscription"),
        pytest.param(
            make_event("customer.updated", make_customer("cus_ada")), id="customer"
        ),
        pytest.param(
            make_event("customer.deleted", make_customer("cus_ada")), id="deleted"
        ),
        pytest.param(
            make_event("charge.refunded", {"id": "ch_1", "customer": "cus_ada"}),
            id="charge",
        ),
        pytest.param(
            make_event(
                "entitlements.active_entitlement_summary.updated",
                {"customer": "cus_ada"},
            ),
            id="without id",
        ),
    ],
)
def test_event_knows_its_user(shop: Any, sent: dict[str, Any]) -> None:
    users: list[Any] = []

    @on(shop, "*")
    def remember(received: Event) -> None:
        users.append(received.user.id)
        assert received.user is shop.db.session.get(shop.User, 1)

    ok(shop.post_event(sent))
    assert users == [1]
    assert shop.events[0].user_id == "1"
    assert shop.events[0].customer_id == "cus_ada"


@pytest.mark.parametrize("customer", ["cus_nobody", None, 7, [], {"object": "x"}])
def test_event_of_nobody_has_no_user(shop: Any, customer: Any) -> None:
    users: list[Any] = []

    @on(shop, "*")
    def remember(received: Event) -> None:
        users.append(received.user)

    ok(shop.post_event(paid(customer=customer)))
    assert users == [None]
    assert shop.events[0].user_id is None


def test_user_is_loaded_only_when_asked_for(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def ignore(received: Event) -> None: ...

    with shop.statements() as statements:
        ok(shop.post_event(paid()))

    assert not [each for each in statements if "users.email" in each]


def test_handler_may_write_to_the_user(shop: Any) -> None:
    @on(shop, "invoice.paid")
    def greet(received: Event) -> None:
        received.user.email = f"{received.user.email}!"

    sent = paid()
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert email_of_ada(shop) == "ada@example.com!"


def test_event_of_a_user_deleted_meanwhile_has_none(shop: Any) -> None:
    users: list[Any] = []

    @on(shop, "invoice.paid")
    def remember(received: Event) -> None:
        users.append(received.user)

        if received.user is not None:
            raise ValueError("not yet")

    sent = paid()
    failed(shop.post_event(sent))

    with second_connection(shop) as connection:
        connection.execute("DELETE FROM users")
        connection.commit()

    ok(shop.post_event(sent))
    assert users[-1] is None
