"""A session that sends what only reads to a replica, as SQLAlchemy's docs show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import create_engine
from sqlalchemy import Delete
from sqlalchemy import Engine
from sqlalchemy import Insert
from sqlalchemy import Update
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import post_event
from tests import servers
from tests.databases.deliveries import Database
from tests.databases.deliveries import subscription
from tests.databases.deliveries import subscription_event
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import SUB_1
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import URLS

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")


class RoutingSession(Session):
    """Reads from the replica, whatever is not a write by its looks."""

    leader: Engine
    replica: Engine

    def get_bind(self, mapper: Any = None, clause: Any = None) -> Engine:  # type: ignore[override]  # as in SQLAlchemy's docs
        if self._flushing or isinstance(clause, Insert | Update | Delete):
            return self.leader

        return self.replica


class Site:
    """An app with a leader, and a replica that is never brought up to date.

    Both know Ada, who has a customer, and Bob, who has none.
    """

    def __init__(self, leader: str, replica: str) -> None:
        self.app = Flask("site")
        self.app.config.update(
            SECRET_KEY="secret of the tests",
            SQLALCHEMY_DATABASE_URI=replica,
            STRIPE_SECRET_KEY="sk_test_of_the_tests",
            STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
            STRIPE_MAX_NETWORK_RETRIES=0,
        )
        self.engines = create_engine(leader), create_engine(replica)
        RoutingSession.leader, RoutingSession.replica = self.engines
        options: Any = {"class_": RoutingSession}
        self.db: Any = SQLAlchemy(self.app, session_options=options)

        class User(UserMixin, StripeUserMixin, self.db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)

        self.User: Any = User
        self.kavach_stripe = KavachStripe(self.app)

        for engine in self.engines:
            self.db.metadata.create_all(engine)

            with engine.begin() as connection:
                users = self.db.metadata.tables["users"]
                values: list[dict[str, Any]] = [
                    {"id": 1, "stripe_customer_id": "cus_ada"},
                    {"id": 2, "stripe_customer_id": None},
                ]
                connection.execute(users.insert(), values)

    def post(self, event: dict[str, Any]) -> int:
        return post_event(self.app.test_client(), event).status_code

    def leading(self, table: str) -> list[Any]:
        """The rows of a table of the leader."""
        return self._rows(self.engines[0], table)

    def behind(self, table: str) -> list[Any]:
        """The rows of a table of the replica."""
        return self._rows(self.engines[1], table)

    def _rows(self, engine: Engine, name: str) -> list[Any]:
        table = self.db.metadata.tables[name]

        with engine.connect() as connection:
            rows = connection.execute(table.select().order_by(table.c.id))
            return list(rows)

    def close(self) -> None:
        for engine in self.engines:
            engine.dispose()

        with self.app.app_context():
            self.db.engine.dispose()


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        if database.name == "sqlite":
            uris = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two")]
        else:
            uris = [
                stack.enter_context(servers.new_database(database.uri))
                for _ in range(2)
            ]

        made = Site(*uris)

        try:
            yield made
            assert made.behind("stripe_subscription") == []
            assert made.behind("stripe_event") == []
            assert [row.stripe_customer_id for row in made.behind("users")] == [
                "cus_ada",
                None,
            ]
        finally:
            made.close()


def test_webhook_is_stored_where_writes_go(site: Site) -> None:
    """Every one used to be answered with 503."""
    assert site.post(subscription_event("created")) == 200
    assert site.post(subscription_event("updated", 9, status="past_due")) == 200
    [row] = site.leading("stripe_subscription")
    assert (row.status, row.revision) == ("past_due", 2)
    assert site.leading("users")[0].stripe_subscription_status == "past_due"


def test_duplicate_is_found_where_it_was_written(site: Site) -> None:
    called: list[str] = []
    invoice = make_invoice(customer="cus_ada", subscription="sub_1")
    site.kavach_stripe.on("invoice.paid")(lambda event: called.append(event.id))
    sent = make_event("invoice.paid", invoice, id="evt_1")
    assert [site.post(sent) for _ in range(3)] == [200] * 3
    assert called == ["evt_1"]


def test_handlers_write_with_the_ledger(site: Site) -> None:
    statuses: list[str] = []
    tries: list[Any] = []

    @site.kavach_stripe.on_subscription_change
    def changed(user: Any, subscription: Any) -> None:
        statuses.append(subscription.status)  # not the state of the replica

    @site.kavach_stripe.on("customer.subscription.*")
    def fail_once(event: Any) -> None:
        tries.append(event.user.id)

        if len(tries) == 1:
            raise ValueError("once")

    sent = subscription_event("created", status="trialing")
    assert [site.post(sent) for _ in range(3)] == [500, 200, 200]
    assert statuses == ["trialing", "trialing"]
    assert site.leading("stripe_event")[0].attempts == 2


def test_first_checkout_of_a_user(
    site: Site, stripe_api: responses.RequestsMock
) -> None:
    """It used to make a customer and then to fail, at each try."""
    urls: dict[str, Any] = {**URLS}
    stripe_api.post(CUSTOMERS, json={"id": "cus_bob"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    with site.app.test_request_context():
        user = site.db.session.get(site.User, 2)
        site.kavach_stripe.create_checkout_session(user, "price_pro", **urls)
        assert user.stripe_customer_id == "cus_bob"  # as it was written

    assert site.leading("users")[1].stripe_customer_id == "cus_bob"


def test_link_of_a_checkout_is_written_where_writes_go(
    site: Site, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUB_1, json=subscription(customer="cus_bob"))
    session = make_checkout_session(
        customer="cus_bob", client_reference_id="2", subscription="sub_1"
    )
    assert site.post(make_event("checkout.session.completed", session)) == 200
    bob = site.leading("users")[1]
    assert (bob.stripe_customer_id, bob.stripe_subscription_id) == ("cus_bob", "sub_1")


def test_sync_shows_the_new_state_and_not_the_replicas(
    site: Site, stripe_api: responses.RequestsMock
) -> None:
    answer = {"object": "list", "data": [subscription()], "has_more": False}
    stripe_api.get(SUBSCRIPTIONS, json=answer)
    called: list[str] = []

    @site.kavach_stripe.on_subscription_change
    def changed(user: Any, subscription: Any) -> None:
        called.append(subscription.id)

    with site.app.app_context():
        user = site.db.session.get(site.User, 1)
        synced = site.kavach_stripe.sync_subscription(user)
        assert synced is not None
        assert user.stripe_subscription_id == "sub_1"

    assert called == ["sub_1"]
    assert site.leading("stripe_event") == []  # the app was told


def test_commands_work_on_what_was_written(
    site: Site, stripe_api: responses.RequestsMock
) -> None:
    tries: list[str] = []

    @site.kavach_stripe.on("customer.subscription.created")
    def fail_once(event: Any) -> None:
        tries.append(event.id)

        if len(tries) == 1:
            raise ValueError("once")

    assert site.post(subscription_event("created")) == 500
    runner = site.app.test_cli_runner()
    replayed = runner.invoke(args=["stripe", "replay", "--failed"])
    assert replayed.exit_code == 0, replayed.output
    assert len(tries) == 2

    answer = {"object": "list", "data": [subscription()], "has_more": False}
    stripe_api.get(SUBSCRIPTIONS, json=answer)
    synced = runner.invoke(args=["stripe", "sync"])
    assert synced.exit_code == 0, synced.output
    assert "0 users changed" in synced.output

    pruned = runner.invoke(args=["stripe", "prune", "--older-than", "0d", "--yes"])
    assert site.leading("stripe_event") == [] or pruned.exit_code != 0


def test_user_whom_the_replica_does_not_have_yet_is_tried_again(site: Site) -> None:
    """A user who has just signed up: the event waits, and nothing is dropped."""
    users = site.db.metadata.tables["users"]
    called: list[str] = []
    new = {"id": 3, "stripe_customer_id": "cus_eve"}

    with site.engines[0].begin() as connection:
        connection.execute(users.insert(), new)

    @site.kavach_stripe.on_subscription_change
    def changed(user: Any, subscription: Any) -> None:
        called.append(subscription.id)

    sent = subscription_event("created", customer="cus_eve")
    assert site.post(sent) == 500
    assert site.leading("users")[2].stripe_subscription_id == "sub_1"

    with site.engines[1].begin() as connection:
        connection.execute(users.insert(), new)

    assert site.post(sent) == 200
    assert called == ["sub_1"]

    with site.engines[1].begin() as connection:
        connection.execute(users.delete().where(users.c.id == 3))
