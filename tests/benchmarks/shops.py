"""The app that is measured, and the views that a careful developer writes by hand."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from datetime import datetime
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any
from typing import Final

import stripe
from flask import abort
from flask import Flask
from flask import jsonify
from flask import render_template
from flask import request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from sqlalchemy import bindparam
from sqlalchemy import cast
from sqlalchemy import Connection
from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import literal
from sqlalchemy import null
from sqlalchemy import select
from sqlalchemy import String
from sqlalchemy import true
from sqlalchemy import update
from sqlalchemy.event import listen
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import subscription_required
from tests.benchmarks.samples import Delivery
from tests.benchmarks.samples import make_delivery
from tests.benchmarks.samples import SECRET
from tests.benchmarks.samples import START
from tests.benchmarks.samples import UPDATED
from tests.servers import postgresql

OURS: Final = "/auth/stripe/webhook"
DATABASES: Final = ("sqlite", "postgresql")

#: An event type that nothing but a handler of the app takes to do more.
WITH_HANDLER: Final = "customer.subscription.resumed"

PAGES: Final = {
    "page": "<p>{{ current_user.email }}</p>",
    "guarded": (
        "<p>{{ current_user.email }}</p><p>{{ current_subscription.status }}</p>"
    ),
}

# Records are made, as in an app, and shown nowhere.
logging.getLogger().addHandler(logging.NullHandler())


class Shop:
    """One app, with our endpoint and the hand-written ones on the same tables."""

    def __init__(self, database_uri: str) -> None:
        self.app = app = Flask("benchmarks")
        app.config.update(
            SECRET_KEY="of the benchmarks",
            SQLALCHEMY_DATABASE_URI=database_uri,
            STRIPE_SECRET_KEY="sk_test_of_the_benchmarks",
            STRIPE_WEBHOOK_SECRET=SECRET,
            STRIPE_PRICES="*",
            STRIPE_TRIAL_DAYS=0,
            STRIPE_TRUSTED_ORIGINS=[],
        )
        self.db = db = SQLAlchemy(app)
        login_manager = LoginManager(app)

        class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)
            email: Mapped[str | None]

        class Note(db.Model):  # type: ignore[name-defined, misc]  # as above
            id: Mapped[int] = mapped_column(primary_key=True)
            text: Mapped[str]

        login_manager.user_loader(lambda user_id: db.session.get(User, int(user_id)))
        self.User = User
        self.Note = Note
        self.kavach_stripe = KavachStripe(app)
        state = app.extensions["kavach_stripe"]
        self.event_model = state.event_model
        self.subscription_model = state.subscription_model

        @self.kavach_stripe.on(WITH_HANDLER)
        def note(event: Any) -> None:
            db.session.add(Note(text=event.id))

        app.jinja_loader = DictLoader(PAGES)

        @app.get("/page")
        def page() -> str:
            return render_template("page")

        @app.get("/guarded")
        @subscription_required
        def guarded() -> str:
            return render_template("guarded")

        self.hand_written = HandWritten(self)

        with app.app_context():
            if db.engine.name == "sqlite":
                listen(db.engine, "connect", _do_not_wait_for_the_disk)

            db.create_all()

    def seed(self, count: int) -> None:
        """Empty the tables, then add users with an active subscription each."""
        start = datetime.fromtimestamp(START, UTC)
        past = start.replace(year=start.year - 1)
        numbers = select(literal(1).label("n")).cte(recursive=True)
        numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < count))
        number = cast(numbers.c.n, String)
        users: dict[str, Any] = {
            "id": numbers.c.n,
            "email": "user" + number + "@example.com",
            "stripe_customer_id": "cus_" + number,
            "stripe_subscription_id": "sub_" + number,
            "stripe_subscription_status": "active",
            "stripe_price_id": "price_pro",
            "stripe_current_period_end": start,
            "stripe_cancel_at_period_end": False,
        }
        subscriptions: dict[str, Any] = {
            "id": "sub_" + number,
            "customer_id": "cus_" + number,
            "status": "active",
            "items": '[{"id": "si_'
            + number
            + '", "price": "price_pro", "quantity": 1}]',
            "current_period_start": past,
            "current_period_end": start,
            "cancel_at": null(),
            "cancel_at_period_end": False,
            "collection_paused": False,
            "trial_end": null(),
            "ended_at": null(),
            "created": past,
            "synced_at": past,
            "revision": 1,
        }
        models: tuple[Any, ...] = (
            self.Note,
            self.event_model,
            self.subscription_model,
            self.User,
        )

        with self.app.app_context(), self.db.engine.begin() as connection:
            for model in models:
                connection.execute(delete(model))

            for model, values in (
                (self.User, users),
                (self.subscription_model, subscriptions),
            ):
                columns = model.__table__.c
                row: list[Any] = [
                    literal(value, columns[name].type)
                    if isinstance(value, (str, int, datetime))
                    else value
                    for name, value in values.items()
                ]
                statement = insert(model).from_select(list(values), select(*row))
                connection.execute(statement)

        self.settle()

    def count_changes(self) -> int:
        """How many events changed a user's columns."""
        counted = select(func.count()).where(self.event_model.change.is_not(None))

        with self.app.app_context():
            return int(self.db.session.scalar(counted) or 0)

    def settle(self) -> None:
        """Let PostgreSQL clean up now, and not while something is measured."""
        with self.app.app_context():
            if self.db.engine.name == "postgresql":
                with self.db.engine.connect() as connection:
                    connection = connection.execution_options(
                        isolation_level="AUTOCOMMIT"
                    )
                    connection.exec_driver_sql("VACUUM ANALYZE")

    def check(
        self, *, users: int, subscriptions: int, events: int, notes: int = 0
    ) -> None:
        """Raise unless this many rows are not as they were seeded."""
        start = datetime.fromtimestamp(START, UTC)
        user, subscription = self.User, self.subscription_model
        found = {}

        with self.app.app_context():
            for name, model, condition in (
                ("users", user, user.stripe_current_period_end > start),
                (
                    "subscriptions",
                    subscription,
                    subscription.current_period_end > start,
                ),
                ("events", self.event_model, true()),
                ("notes", self.Note, true()),
            ):
                counted = select(func.count()).select_from(model).where(condition)
                found[name] = self.db.session.scalar(counted)

        expected = {
            "users": users,
            "subscriptions": subscriptions,
            "events": events,
            "notes": notes,
        }

        if found != expected:
            raise AssertionError(f"The tables have {found}, not {expected}.")

    def calls(
        self,
        path: str,
        numbers: Iterable[int],
        event_type: str = UPDATED,
        *,
        month: int = 1,
        secret: str = SECRET,
        status: int = 200,
    ) -> list[Callable[[], object]]:
        """Deliveries of one event for each of these users, through WSGI."""
        return [
            partial(
                call,
                self.app,
                environment_of(
                    make_delivery(path, number, event_type, month=month, secret=secret)
                ),
                status,
            )
            for number in numbers
        ]

    def close(self) -> None:
        with self.app.app_context():
            self.db.session.remove()
            self.db.drop_all()
            self.db.engine.dispose()


def call(app: Flask, environ: dict[str, Any], expected: int) -> bytes:
    """Do what a WSGI server does, and give the body."""
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    # A copy, as a request may be sent again.
    environ = {**environ, "wsgi.input": io.BytesIO(environ["payload"])}
    body = app.wsgi_app(environ, start_response)
    content = b"".join(body)

    if hasattr(body, "close"):
        body.close()

    if not statuses[0].startswith(str(expected)):
        raise AssertionError(f"{environ['PATH_INFO']} answered {statuses[0]}.")

    return content


def _do_not_wait_for_the_disk(connection: Any, record: Any) -> None:
    """Both sides would wait for it equally long, which would hide what they cost.

    Our PostgreSQL does not wait for it either.
    """
    connection.execute("PRAGMA synchronous = OFF")


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The URI of an empty database."""
    with ExitStack() as stack:
        if kind == "postgresql":
            yield stack.enter_context(postgresql()).uri
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            yield f"sqlite:///{Path(folder) / 'shop.db'}"


@contextmanager
def open_shop(kind: str) -> Iterator[Shop]:
    """An app on an empty database."""
    with database(kind) as uri:
        shop = Shop(uri)

        try:
            yield shop
        finally:
            shop.close()


def make_app() -> Flask:
    """The app for a server, on the database that the environment names."""
    return Shop(os.environ["BENCHMARK_DATABASE"]).app


def environment_of(delivery: Delivery) -> dict[str, Any]:
    """The WSGI environment of a delivery."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": delivery.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "shop.example",
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(delivery.payload)),
        "HTTP_STRIPE_SIGNATURE": delivery.signature,
        "HTTP_USER_AGENT": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "payload": delivery.payload,
    }


class HandWritten:
    """Views on the same tables, as good as their author could make them.

    ``/durable`` does the work that our promises need and nothing to keep them:
    it is given the user's row, writes what the event says, and trusts the order.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        users = shop.User.__table__
        events = shop.event_model.__table__
        subscriptions = shop.subscription_model.__table__
        self.insert_event = insert(events)
        self.find_event = select(events.c.processed_at).where(
            events.c.id == bindparam("event_id")
        )
        self.lock_user = (
            select(users.c.id)
            .where(users.c.stripe_customer_id == bindparam("customer_id"))
            .with_for_update()
        )
        self.find_all = (
            select(
                users,
                events.c.id.label("event_id"),
                subscriptions.c.id.label("subscription_id"),
                subscriptions.c.status,
                subscriptions.c.created,
                subscriptions.c.synced_at,
                subscriptions.c.revision,
            )
            .select_from(
                users.outerjoin(events, events.c.id == bindparam("event_id")).outerjoin(
                    subscriptions,
                    subscriptions.c.customer_id == users.c.stripe_customer_id,
                )
            )
            .where(users.c.stripe_customer_id == bindparam("customer_id"))
        )
        self.update_subscription = (
            update(subscriptions)
            .where(subscriptions.c.id == bindparam("subscription_id"))
            .values(
                {
                    name: bindparam(f"new_{name}")
                    for name in (
                        "status",
                        "items",
                        "current_period_end",
                        "cancel_at_period_end",
                        "synced_at",
                    )
                }
            )
        )
        self.update_user = (
            update(users)
            .where(users.c.id == bindparam("user_id"))
            .values(
                {
                    name: bindparam(f"new_{name}")
                    for name in (
                        "stripe_subscription_id",
                        "stripe_subscription_status",
                        "stripe_price_id",
                        "stripe_current_period_end",
                        "stripe_cancel_at_period_end",
                    )
                }
            )
        )

        for view in (
            self.durable,
            self.ordered,
            self.two_commits,
            self.orm,
            self.sdk,
            self.sdk_loading,
            self.known,
            self.verify,
            self.nothing,
        ):
            name = view.__name__.replace("_", "-")
            shop.app.post(f"/{name}", endpoint=name)(view)

    # -- what all of them do -----------------------------------------------------------

    def read_event(self) -> dict[str, Any]:
        """Verify as Stripe's documentation says, then parse."""
        payload = request.get_data()
        items = [
            item.partition("=")
            for item in request.headers["Stripe-Signature"].split(",")
        ]
        timestamp = next(value for key, _, value in items if key == "t")
        expected = hmac.new(
            SECRET.encode(), timestamp.encode() + b"." + payload, hashlib.sha256
        ).hexdigest()

        if not any(
            key == "v1" and hmac.compare_digest(value, expected)
            for key, _, value in items
        ):
            abort(400)

        if abs(time.time() - int(timestamp)) > 300:
            abort(400)

        event: dict[str, Any] = json.loads(payload)
        return event

    # -- views -------------------------------------------------------------------------

    def store(self, event: dict[str, Any], processed_at: datetime | None) -> None:
        """The durable work, in the transaction of the session's connection."""
        connection = self.shop.db.session.connection()
        self.write_event(connection, event, processed_at)
        customer_id = event["data"]["object"]["customer"]
        user_id = connection.scalar(self.lock_user, {"customer_id": customer_id})
        self.write_columns(connection, event, user_id)

    def write_event(
        self,
        connection: Connection,
        event: dict[str, Any],
        processed_at: datetime | None,
    ) -> None:
        subscription = event["data"]["object"]
        connection.execute(
            self.insert_event,
            {
                "id": event["id"],
                "type": event["type"],
                "created": datetime.fromtimestamp(event["created"], UTC),
                "object_id": subscription["id"],
                "customer_id": subscription["customer"],
                "user_id": None,
                "livemode": event["livemode"],
                "api_version": event["api_version"],
                "payload": request.get_data(as_text=True),
                "change": json.dumps({"before": None, "after": subscription["id"]}),
                "received_at": datetime.now(UTC),
                "processed_at": processed_at,
                "attempted_at": None,
                "attempts": 0,
            },
        )

    def write_columns(
        self, connection: Connection, event: dict[str, Any], user_id: int | None
    ) -> None:
        subscription = event["data"]["object"]
        item = subscription["items"]["data"][0]
        end = datetime.fromtimestamp(item["current_period_end"], UTC)
        stored_item = {
            "id": item["id"],
            "price": item["price"]["id"],
            "quantity": item["quantity"],
        }
        connection.execute(
            self.update_subscription,
            {
                "subscription_id": subscription["id"],
                "new_status": subscription["status"],
                "new_items": json.dumps([stored_item]),
                "new_current_period_end": end,
                "new_cancel_at_period_end": subscription["cancel_at_period_end"],
                "new_synced_at": datetime.fromtimestamp(event["created"], UTC),
            },
        )
        connection.execute(
            self.update_user,
            {
                "user_id": user_id,
                "new_stripe_subscription_id": subscription["id"],
                "new_stripe_subscription_status": subscription["status"],
                "new_stripe_price_id": item["price"]["id"],
                "new_stripe_current_period_end": end,
                "new_stripe_cancel_at_period_end": subscription["cancel_at_period_end"],
            },
        )

    def durable(self) -> ResponseReturnValue:
        """Event row, lock, subscription row, user: one commit."""
        event = self.read_event()
        self.store(event, datetime.now(UTC))
        self.shop.db.session.commit()
        return jsonify(received=True)

    def ordered(self) -> ResponseReturnValue:
        """The same; but what is stored is read first, without which there is no order
        of events, and no choice between two subscriptions.
        """
        event = self.read_event()
        subscription = event["data"]["object"]
        values = {"event_id": event["id"], "customer_id": subscription["customer"]}
        session = self.shop.db.session
        connection = session.connection()

        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(self.lock_user, values)

        rows = connection.execute(self.find_all, values).all()
        stored = {row.subscription_id: row for row in rows}
        old = stored.pop(subscription["id"])
        is_newer = datetime.fromtimestamp(event["created"], UTC) > old.synced_at

        if rows[0].event_id is not None or not is_newer or stored:
            abort(500)  # nothing of this is measured

        self.write_event(connection, event, datetime.now(UTC))
        self.write_columns(connection, event, rows[0].id)
        session.commit()
        return jsonify(received=True)

    def two_commits(self) -> ResponseReturnValue:
        """The same; then the mark and a row of the app's, in a second transaction."""
        event = self.read_event()
        session, events = self.shop.db.session, self.shop.event_model.__table__
        self.store(event, None)
        session.commit()
        session.execute(
            update(events)
            .where(events.c.id == event["id"], events.c.processed_at.is_(None))
            .values(
                processed_at=datetime.now(UTC),
                attempted_at=datetime.now(UTC),
                attempts=1,
            )
        )
        session.add(self.shop.Note(text=event["id"]))
        session.commit()
        return jsonify(received=True)

    def orm(self) -> ResponseReturnValue:
        """``update(User)``, and nothing that remembers the event."""
        self.update_with_orm(self.read_event())
        return jsonify(received=True)

    def sdk(self) -> ResponseReturnValue:
        """As most apps do it today, with Stripe's own package."""
        event: Any = stripe.Webhook.construct_event(
            request.get_data(), request.headers["Stripe-Signature"], SECRET
        )
        self.update_with_orm(event)
        return jsonify(received=True)

    def sdk_loading(self) -> ResponseReturnValue:
        """The same, with the user loaded and its attributes set."""
        event: Any = stripe.Webhook.construct_event(
            request.get_data(), request.headers["Stripe-Signature"], SECRET
        )
        subscription = event["data"]["object"]
        item = subscription["items"]["data"][0]
        session, user_model = self.shop.db.session, self.shop.User
        user = session.scalars(
            select(user_model).where(
                user_model.stripe_customer_id == subscription["customer"]
            )
        ).one()
        user.stripe_subscription_id = subscription["id"]
        user.stripe_subscription_status = subscription["status"]
        user.stripe_price_id = item["price"]["id"]
        user.stripe_current_period_end = datetime.fromtimestamp(
            item["current_period_end"], UTC
        )
        user.stripe_cancel_at_period_end = subscription["cancel_at_period_end"]
        session.commit()
        return jsonify(received=True)

    def update_with_orm(self, event: Any) -> None:
        subscription = event["data"]["object"]
        item = subscription["items"]["data"][0]
        session, user_model = self.shop.db.session, self.shop.User
        session.execute(
            update(user_model)
            .where(user_model.stripe_customer_id == subscription["customer"])
            .values(
                stripe_subscription_id=subscription["id"],
                stripe_subscription_status=subscription["status"],
                stripe_price_id=item["price"]["id"],
                stripe_current_period_end=datetime.fromtimestamp(
                    item["current_period_end"], UTC
                ),
                stripe_cancel_at_period_end=subscription["cancel_at_period_end"],
            )
        )
        session.commit()

    def known(self) -> ResponseReturnValue:
        """Look whether the event is known already, and done."""
        event = self.read_event()
        connection = self.shop.db.session.connection()
        known = connection.execute(self.find_event, {"event_id": event["id"]}).one()

        if known.processed_at is None:
            abort(500)

        return jsonify(received=True)

    def verify(self) -> ResponseReturnValue:
        """Verify, parse, and look at the type."""
        event = self.read_event()

        if event["type"].startswith("customer.subscription."):
            abort(500)

        return jsonify(received=True)

    def nothing(self) -> ResponseReturnValue:
        """Take the body and answer, which everybody has to."""
        request.get_data()
        return jsonify(received=True)
