"""What is locked, for how long, and what becomes of those who wait in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import create_engine
from sqlalchemy import NullPool
from sqlalchemy import text

from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_thin_event
from tests.conftest import Shop
from tests.databases.deliveries import Database
from tests.databases.deliveries import deliver
from tests.databases.deliveries import PATIENCE
from tests.databases.deliveries import subscription
from tests.databases.deliveries import subscription_event as event
from tests.databases.stripe import serve
from tests.databases.stripe import Stripe

MakeShop = Callable[..., Shop]

ROW_LOCKS = pytest.mark.databases("postgresql*", "mariadb*")

#: How many of the database's sessions wait for a lock.
WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx"
    " WHERE trx_state = 'LOCK WAIT'",
}


@contextmanager
def connect(database: Database) -> Iterator[Connection]:
    """A session beside the app's."""
    engine = create_engine(database.uri, poolclass=NullPool)

    with engine.connect() as connection:
        yield connection


@contextmanager
def locked_user(database: Database) -> Iterator[Callable[[int], None]]:
    """Lock Ada's row. Gives a function that waits until so many wait for a lock."""
    with connect(database) as locker, connect(database) as observer:
        locker.execute(text("SELECT * FROM users WHERE id = 1 FOR UPDATE"))

        def wait_for(number: int) -> None:
            deadline = time.monotonic() + PATIENCE
            question = text(WAITING[observer.engine.name])

            while observer.scalar(question) != number:
                observer.rollback()
                assert time.monotonic() < deadline, f"{number} did not wait"
                time.sleep(0.2)  # InnoDB shows old news to who asks more often

        yield wait_for


def deliver_in_turn(
    shop: Shop, database: Database, *events: dict[str, Any]
) -> list[list[int]]:
    """Deliver events that are all at work before the first one gets its lock."""
    with ThreadPoolExecutor(len(events)) as pool:
        with locked_user(database) as wait_for:
            answers: list[Future[list[int]]] = []

            for number, each in enumerate(events, 1):
                answers.append(pool.submit(deliver, shop, each))
                wait_for(number)

        return [each.result(PATIENCE) for each in answers]


@ROW_LOCKS
def test_older_event_that_waited_for_a_newer_one_is_ignored(
    shop: Shop, database: Database
) -> None:
    """It decides by the row as the newer one left it, not as it was before."""
    assert deliver(shop, event("created")) == [200]
    newer = event("updated", 20, price="price_new")
    older = event("updated", 10, price="price_old")

    answers = deliver_in_turn(shop, database, newer, older)
    assert [each[-1] for each in answers] == [200, 200]
    assert shop.columns()["price_id"] == "price_new"


@ROW_LOCKS
def test_columns_know_what_was_stored_while_an_event_waited(
    shop: Shop, database: Database
) -> None:
    """The first event changes a second subscription alone; then the first one ends."""
    for each in (event("created"), event("created", id="sub_2", status="incomplete")):
        assert deliver(shop, each) == [200]

    second = event("updated", 10, id="sub_2", status="past_due")
    end = event("deleted", 10, status="canceled")

    answers = deliver_in_turn(shop, database, second, end)
    assert [each[-1] for each in answers] == [200, 200]
    columns = shop.columns()
    assert (columns["subscription_id"], columns["subscription_status"]) == (
        "sub_2",
        "past_due",
    )


@ROW_LOCKS
def test_subscription_that_was_new_while_an_event_waited_is_known(
    shop: Shop, database: Database
) -> None:
    assert deliver(shop, event("created")) == [200]
    second = event("created", 10, id="sub_2", status="incomplete")
    end = event("deleted", 10, status="canceled")

    answers = deliver_in_turn(shop, database, second, end)
    assert [each[-1] for each in answers] == [200, 200]
    assert shop.columns()["subscription_id"] == "sub_2"


@ROW_LOCKS
def test_locks_of_other_users_are_not_waited_for(
    shop: Shop, database: Database
) -> None:
    shop.add_user(id=2, stripe_customer_id="cus_bob")
    sent = event("created", id="sub_b", customer="cus_bob")

    with ThreadPoolExecutor(1) as pool, locked_user(database):
        assert pool.submit(deliver, shop, sent).result(PATIENCE) == [200]


# -- a slow Stripe ---------------------------------------------------------------------


@pytest.fixture
def slow_stripe() -> Iterator[Stripe]:
    """A Stripe that answers nothing until it is told to."""
    with serve() as stripe:
        stripe.add_subscription(subscription(price="price_read"))
        session = make_checkout_session(
            "cs_test_1", customer="cus_ada", subscription="sub_1"
        )
        stripe.add_session(session)
        stripe.objects["/v1/customers"] = {"id": "cus_new", "object": "customer"}
        stripe.answers.clear()
        yield stripe


def post_checkout(shop: Shop) -> int:
    session = make_checkout_session(customer="cus_ada", subscription="sub_1")
    sent = make_event("checkout.session.completed", session)
    return shop.post_event(sent).status_code


def post_update_of_the_same_second(shop: Shop) -> int:
    return shop.post_event(event("updated", 0, price="price_x")).status_code


def post_thin_event(shop: Shop) -> int:
    thin = make_thin_event("customer.subscription.updated", "sub_1")
    return shop.post_event(thin).status_code


def sync(shop: Shop) -> int:
    with shop.app.app_context():
        assert shop.kavach_stripe.sync_subscription(1)
        return 200


def complete_checkout(shop: Shop) -> int:
    with shop.app.app_context():
        assert shop.kavach_stripe.complete_checkout("cs_test_1", 1)
        return 200


def create_customer(shop: Shop) -> int:
    with shop.app.app_context():
        assert shop.kavach_stripe.create_customer(2) == "cus_new"
        return 200


@pytest.mark.parametrize(
    "ask",
    [
        post_checkout,
        post_update_of_the_same_second,
        post_thin_event,
        sync,
        complete_checkout,
        create_customer,
    ],
)
def test_no_lock_is_held_while_stripe_is_asked(
    make_shop: MakeShop, slow_stripe: Stripe, ask: Callable[[Shop], int]
) -> None:
    """A second delivery for the same user is stored meanwhile."""
    shop = make_shop(STRIPE_API_BASE=slow_stripe.url)
    shop.add_user(id=1, email="ada@example.com", stripe_customer_id="cus_ada")
    shop.add_user(id=2, email="bob@example.com")
    assert deliver(shop, event("created")) == [200]

    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(ask, shop)

        try:
            assert slow_stripe.was_asked.wait(PATIENCE)
            sent = event("updated", 60, price="price_second")
            assert pool.submit(deliver, shop, sent).result(PATIENCE) == [200]
            assert shop.columns()["price_id"] == "price_second"
            write_to_users(shop)
            assert not asking.done()
        finally:
            slow_stripe.answers.set()

        assert asking.result(PATIENCE) == 200


def write_to_users(shop: Shop) -> None:
    """As the app itself may do at any time."""
    with shop.app.app_context():
        for number in (1, 2):
            user = shop.db.session.get(shop.User, number)
            assert user is not None
            user.email = f"{number}@example.org"

        shop.db.session.commit()


# -- in vain ---------------------------------------------------------------------------

#: What an app sets so that nobody waits for ever; the shortest that there is.
TIMEOUTS = {
    "postgresql": {"options": "-c lock_timeout=100"},
    "mariadb": {"init_command": "SET innodb_lock_wait_timeout = 1"},
}


@pytest.mark.databases("postgresql", "mariadb")
def test_lock_that_is_not_granted(make_shop: MakeShop, database: Database) -> None:
    """Stripe sends the event again, and the connection is good for it."""
    arguments = {"connect_args": TIMEOUTS[database.name], "pool_size": 1}
    shop = make_shop(SQLALCHEMY_ENGINE_OPTIONS={**arguments, "max_overflow": 0})
    shop.kavach_stripe.on("*")(lambda received: shop.note("once"))
    shop.add_user(id=1, stripe_customer_id="cus_ada")
    sent = event("created")

    with locked_user(database):
        assert shop.post_event(sent).status_code == 503

    assert (shop.subscriptions, shop.events, shop.notes) == ([], [], [])
    assert shop.post_event(sent).status_code == 200
    assert shop.notes == ["once"]


@pytest.mark.databases("sqlite*")
def test_file_that_another_program_writes_to(
    make_shop: MakeShop, database: Database
) -> None:
    arguments = {"connect_args": {"timeout": 0.1}}
    shop = make_shop(SQLALCHEMY_ENGINE_OPTIONS=arguments)
    shop.add_user(id=1, stripe_customer_id="cus_ada")
    sent = event("created")

    with connect(database) as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        assert shop.post_event(sent).status_code == 503

    assert shop.post_event(sent).status_code == 200
    assert shop.columns()["subscription_id"] == "sub_1"


@ROW_LOCKS
def test_deadlock_of_two_handlers(shop: Shop, database: Database) -> None:
    """One of them fails, is undone, and succeeds when its event comes again."""
    shop.add_user(id=2, stripe_customer_id="cus_bob")
    orders = {"cus_ada": (1, 2), "cus_bob": (2, 1)}
    both = threading.Barrier(2)

    @shop.kavach_stripe.on("customer.subscription.created")
    def write_to_both(received: Any) -> None:
        for number in orders[received.object["customer"]]:
            user = shop.db.session.get(shop.User, number)
            assert user is not None
            user.email = f"{user.email}+"
            shop.db.session.flush()

            with suppress(threading.BrokenBarrierError):  # each has one of the two
                both.wait(5)

            both.abort()  # once is enough

    events = [
        event("created", id=f"sub_{customer}", customer=customer) for customer in orders
    ]
    answers: dict[str, int] = {}

    with ThreadPoolExecutor(2) as pool:
        for sent, answer in zip(events, pool.map(shop.post_event, events), strict=True):
            answers[sent["id"]] = answer.status_code

    # 503 where the database tells no earlier than at the commit.
    assert set(answers.values()) <= {200, 500, 503}
    assert set(answers.values()) != {200}

    for sent in events:
        assert deliver(shop, sent)[-1] == 200

    emails = [user.email for user in shop.rows(shop.User)]
    assert [email.count("+") for email in emails] == [2, 2]
