"""Deliveries and helpers at the same moment, from threads and from processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError

from flask_kavach_stripe import Event
from flask_kavach_stripe import StripeError
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from tests.conftest import Shop
from tests.databases.deliveries import assert_taken
from tests.databases.deliveries import at_once
from tests.databases.deliveries import Database
from tests.databases.deliveries import deliver
from tests.databases.deliveries import deliver_all
from tests.databases.deliveries import GAP_LOCKS
from tests.databases.deliveries import MAX_TRIES
from tests.databases.deliveries import Processes
from tests.databases.deliveries import STRICT
from tests.databases.deliveries import subscription
from tests.databases.deliveries import subscription_event as event
from tests.databases.stripe import serve
from tests.databases.stripe import Stripe
from tests.vocabulary import items_of

Send = Callable[[Sequence[dict[str, Any]]], list[list[int]]]

#: Deliveries of one event, or of eight.
MANY = 16

#: The levels of isolation that do not make a helper fail.
COMMON = pytest.mark.databases("sqlite*", "postgresql", "mariadb*")


@pytest.fixture(params=["threads", pytest.param("processes", marks=pytest.mark.slow)])
def send(request: pytest.FixtureRequest, database: Database, shop: Shop) -> Send:
    """Deliver events at the same moment. A handler notes each event's id."""
    if request.param == "threads":
        shop.kavach_stripe.on("*")(lambda received: shop.note(received.id))
        deliver_these: Send = partial(deliver_all, shop)
    else:
        processes: Processes = request.getfixturevalue("processes")
        deliver_these = partial(processes.run, deliver_all, database)

    return deliver_these


def updates(user: str = "ada") -> list[dict[str, Any]]:
    """Eight states of a subscription, one after the other."""
    return [
        event(
            "updated", 5 * n, id=f"sub_{user}", customer=f"cus_{user}", price=f"p_{n}"
        )
        for n in range(8)
    ]


def shuffled(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return random.Random(1).sample(events, len(events))  # noqa: S311  (no secret)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(event("created"), id="subscription"),
        pytest.param(
            make_event("invoice.paid", make_invoice(customer="cus_ada")),
            id="handlers only",
        ),
        pytest.param(
            make_event("invoice.paid", make_invoice(customer="cus_nobody")), id="nobody"
        ),
        pytest.param(
            make_event("customer.deleted", make_customer("cus_ada")), id="deleted"
        ),
    ],
)
def test_one_event_that_comes_many_times_is_handled_once(
    database: Database, shop: Shop, send: Send, sent: dict[str, Any]
) -> None:
    assert_taken(send([sent] * MANY), at_once=database.name not in STRICT | GAP_LOCKS)
    assert shop.notes == [sent["id"]]

    if database.name not in STRICT:
        # One more if a duplicate overtook the delivery that stored the event.
        assert all(row.attempts in (1, 2) for row in shop.events)
        assert len(shop.events) == 1


def test_eight_events_of_one_user_end_in_the_newest_state(
    database: Database, shop: Shop, send: Send
) -> None:
    events = updates()
    assert_taken(send(shuffled(events * 2)), at_once=database.name not in STRICT)
    assert shop.columns()["price_id"] == "p_7"
    assert [items_of(row)[0].price_id for row in shop.subscriptions] == ["p_7"]
    assert sorted(shop.notes) == sorted(each["id"] for each in events)


def test_events_of_different_users_end_in_their_newest_states(
    database: Database, shop: Shop, send: Send
) -> None:
    users = ["bob", "cyd", "dan", "eve"]

    for number, user in enumerate(users, 2):
        shop.add_user(id=number, stripe_customer_id=f"cus_{user}")

    events = [each for user in users for each in updates(user)[-4:]]
    assert_taken(send(shuffled(events)), at_once=database.name not in STRICT)
    found = [shop.columns(number) for number in range(2, 6)]
    assert [each["price_id"] for each in found] == ["p_7"] * 4
    assert [each["subscription_id"] for each in found] == [f"sub_{u}" for u in users]
    assert sorted(shop.notes) == sorted(each["id"] for each in events)


def test_subscriptions_of_one_user_are_all_stored(
    database: Database, shop: Shop, send: Send
) -> None:
    events = [event("created", id=f"sub_{number:02}") for number in range(MANY)]
    assert_taken(send(shuffled(events)), at_once=database.name not in STRICT)
    assert len(shop.subscriptions) == MANY
    assert shop.columns()["subscription_id"] == "sub_00"


@COMMON
def test_failing_handler_is_undone_and_the_columns_stay(shop: Shop) -> None:
    """Every second run of the handler raises, whoever it runs for."""
    outcomes = [ValueError(), None] * MANY

    @shop.kavach_stripe.on("customer.subscription.updated")
    def fail(received: Event) -> None:
        shop.note(received.id or "")
        shop.db.session.flush()
        outcome = outcomes.pop(0)

        if outcome:
            raise outcome

    events = updates()
    answers = deliver_all(shop, events)
    assert {status for each in answers for status in each} == {200, 500}
    assert shop.columns()["price_id"] == "p_7"

    while unprocessed := [row for row in shop.events if row.processed_at is None]:
        for row in unprocessed:
            deliver(shop, next(each for each in events if each["id"] == row.id))

    assert sorted(shop.notes) == sorted(each["id"] for each in events)


@pytest.mark.parametrize("order", ["deleted first", "deleted last"])
def test_deleted_customer_beside_updates(
    database: Database, shop: Shop, send: Send, order: str
) -> None:
    """Whatever is first, the link is gone and nothing runs."""
    assert deliver(shop, event("created")) == [200]
    deleted = make_event("customer.deleted", make_customer("cus_ada"))
    changes = [event("updated", 5 * n) for n in range(1, 8)]
    events = [deleted, *changes] if order == "deleted first" else [*changes, deleted]

    assert_taken(send(events), at_once=database.name not in STRICT | GAP_LOCKS)
    columns = shop.columns()
    assert (columns["customer_id"], columns["subscription_id"]) == (None, None)
    assert columns["subscription_status"] == "canceled"


# -- beside a Stripe that is asked -----------------------------------------------------


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with serve() as served:
        yield served


@pytest.fixture
def new_shop(make_shop: Callable[..., Shop], stripe: Stripe) -> Shop:
    """An app with a user who has no customer yet, and a handler."""
    shop = make_shop(STRIPE_API_BASE=stripe.url)
    shop.add_user(id=1, email="ada@example.com")
    shop.kavach_stripe.on("*")(lambda received: shop.note(received.id))
    return shop


def first_purchase(stripe: Stripe) -> list[dict[str, Any]]:
    """What Stripe sends at once when somebody buys for the first time."""
    state = subscription(price="price_new")
    session = make_checkout_session(
        "cs_test_1",
        customer="cus_ada",
        subscription="sub_1",
        client_reference_id="1",
    )
    stripe.add_subscription(state)
    stripe.add_session(session)
    return [
        make_event("checkout.session.completed", session),
        make_event("customer.subscription.created", state),
        make_event("customer.subscription.updated", state, previous_attributes={}),
        make_event(
            "invoice.paid", make_invoice(customer="cus_ada", subscription="sub_1")
        ),
    ]


def assert_bought(shop: Shop) -> None:
    columns = shop.columns()
    assert columns["customer_id"] == "cus_ada"
    assert columns["subscription_id"] == "sub_1"
    assert columns["subscription_status"] == "active"
    assert columns["price_id"] == "price_new"
    assert len(shop.subscriptions) == 1


def test_first_purchase_with_all_its_events_at_once(
    new_shop: Shop, stripe: Stripe, database: Database
) -> None:
    events = first_purchase(stripe)
    answers = deliver_all(new_shop, events * 3)
    assert_taken(answers, at_once=database.name not in STRICT | GAP_LOCKS)

    assert_bought(new_shop)
    assert sorted(new_shop.notes) == sorted(each["id"] for each in events)


@COMMON
def test_helpers_beside_the_events_of_a_purchase(
    new_shop: Shop, stripe: Stripe
) -> None:
    events = first_purchase(stripe)

    def call(name: str, *arguments: Any) -> None:
        """Call a helper until nobody wrote to the rows while it asked Stripe."""
        with new_shop.app.app_context():
            for _ in range(MAX_TRIES):
                try:
                    getattr(new_shop.kavach_stripe, name)(*arguments)
                except (OperationalError, StripeError):
                    new_shop.db.session.rollback()
                else:
                    return

    complete = partial(call, "complete_checkout", "cs_test_1", 1)
    sync = partial(call, "sync_subscription", 1)
    posts = [partial(deliver, new_shop, each) for each in events * 2]
    found = at_once([*[complete] * 3, *[sync] * 3, *posts])
    assert_taken(found[6:], at_once=False)

    assert_bought(new_shop)
    assert sorted(new_shop.notes) == sorted(each["id"] for each in events)


@pytest.mark.databases("postgresql", "mariadb*")
def test_success_page_while_the_webhook_links(new_shop: Shop, stripe: Stripe) -> None:
    """The webhook commits between two questions of the page to the database."""
    first_purchase(stripe)
    asked: list[str] = []

    def link(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        key, customer = "users.id = ", "users.stripe_customer_id = "

        if asked and key in statement and customer in asked[-1]:
            asked.clear()

            with new_shop.app.app_context(), new_shop.db.engine.begin() as other:
                other.exec_driver_sql("UPDATE users SET stripe_customer_id = 'cus_ada'")

        asked.append(statement)

    with new_shop.app.app_context():
        listen(new_shop.db.engine, "before_cursor_execute", link)
        found = new_shop.kavach_stripe.complete_checkout("cs_test_1", 1)

    assert found is not None
    assert found.is_active
    assert_bought(new_shop)


@COMMON
def test_customer_that_the_app_creates_beside_one_that_checkout_made(
    new_shop: Shop, stripe: Stripe
) -> None:
    """One of the two is linked, and everybody is told which."""
    first_purchase(stripe)
    stripe.objects["/v1/customers"] = {"id": "cus_other", "object": "customer"}
    session = make_checkout_session(
        customer="cus_ada", subscription="sub_1", client_reference_id="1"
    )
    sent = make_event("checkout.session.completed", session)

    def create() -> str:
        with new_shop.app.app_context():
            return new_shop.kavach_stripe.create_customer(1)

    post = partial(deliver, new_shop, sent)
    found = at_once([create, create, create, post, post, post])

    linked = new_shop.columns()["customer_id"]
    assert linked in {"cus_ada", "cus_other"}
    assert found[:3] == [linked] * 3
    assert_taken(found[3:], at_once=False)
    assert len(new_shop.subscriptions) == (linked == "cus_ada")


@COMMON
def test_app_that_writes_to_its_users_meanwhile(shop: Shop) -> None:
    """By primary key, while the events come by customer."""

    def write(number: int) -> list[int]:
        for turn in range(10):
            with shop.app.app_context():
                user = shop.db.session.get(shop.User, 1)
                assert user is not None
                user.email = f"{number}-{turn}@example.com"
                shop.db.session.commit()

        return [200]

    posts = [partial(deliver, shop, each) for each in updates()]
    writes = [partial(write, number) for number in range(4)]
    assert at_once([*posts, *writes]) == [[200]] * 12
    assert shop.columns()["price_id"] == "p_7"
