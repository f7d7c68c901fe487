"""The app that is measured, and the views that a careful developer writes by hand."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable
from collections.abc import Sequence
from datetime import datetime
from datetime import UTC
from functools import partial
from typing import Any

import stripe
from flask import abort
from flask import Flask
from flask import jsonify
from flask import request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import sign_payload

SECRET = "whsec_of_the_benchmarks"
OURS = "/auth/stripe/webhook"
MONTH = 30 * 24 * 3600  # seconds


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

        @self.kavach_stripe.on("customer.subscription.resumed")
        def note(event: Any) -> None:
            db.session.add(Note(text=event.id))

        self.hand_written = HandWritten(self)

        with app.app_context():
            db.create_all()

    def seed(self, count: int) -> None:
        """Empty the tables, then add users with an active subscription each."""
        now = datetime.now(UTC).replace(microsecond=0)
        end = datetime.fromtimestamp(int(time.time()) + 1000, UTC)
        users = [
            {
                "id": number,
                "email": f"user{number}@example.com",
                "stripe_customer_id": f"cus_{number}",
                "stripe_subscription_id": f"sub_{number}",
                "stripe_subscription_status": "active",
                "stripe_price_id": "price_pro",
                "stripe_current_period_end": end,
                "stripe_cancel_at_period_end": False,
            }
            for number in range(1, count + 1)
        ]
        subscriptions = [
            {
                "id": f"sub_{number}",
                "customer_id": f"cus_{number}",
                "status": "active",
                "price_id": "price_pro",
                "quantity": 1,
                "current_period_end": end,
                "cancel_at_period_end": False,
                "created": now.replace(year=now.year - 1),
                "synced_at": now.replace(year=now.year - 1),
                "revision": 1,
            }
            for number in range(1, count + 1)
        ]

        with self.app.app_context():
            with self.db.engine.begin() as connection:
                for model in (
                    self.Note,
                    self.event_model,
                    self.subscription_model,
                    self.User,
                ):
                    connection.execute(delete(model))

                for start in range(0, count, 10_000):
                    part = slice(start, start + 10_000)
                    connection.execute(insert(self.User), users[part])
                    connection.execute(
                        insert(self.subscription_model), subscriptions[part]
                    )

            if self.db.engine.name == "postgresql":
                with self.db.engine.connect() as connection:
                    connection = connection.execution_options(
                        isolation_level="AUTOCOMMIT"
                    )
                    connection.exec_driver_sql("VACUUM ANALYZE")

    def calls(
        self,
        path: str,
        numbers: Sequence[int],
        event_type: str = "customer.subscription.updated",
        *,
        secret: str = SECRET,
        status: int = 200,
    ) -> list[Callable[[], object]]:
        """Deliveries of one event for each of these users."""
        return [
            partial(
                self._deliver, make_delivery(path, number, event_type, secret), status
            )
            for number in numbers
        ]

    def _deliver(self, environ: dict[str, Any], expected: int) -> None:
        statuses: list[str] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            statuses.append(status)

        # A copy, as a delivery may be sent again.
        environ = {**environ, "wsgi.input": io.BytesIO(environ["payload"])}
        body = self.app.wsgi_app(environ, start_response)
        b"".join(body)

        if hasattr(body, "close"):
            body.close()

        if not statuses[0].startswith(str(expected)):
            raise AssertionError(f"{environ['PATH_INFO']} answered {statuses[0]}.")

    def close(self) -> None:
        with self.app.app_context():
            self.db.drop_all()
            self.db.engine.dispose()


def make_payload(number: int, event_type: str) -> bytes:
    """An event for a user, whose subscription it moves on by a month."""
    subscription = make_subscription(
        id=f"sub_{number}",
        customer=f"cus_{number}",
        price="price_pro",
        current_period_end=int(time.time()) + MONTH,
    )
    event = make_event(
        event_type,
        subscription,
        id=f"evt_{number}",
        previous_attributes={"current_period_end": 1},
    )
    return json.dumps(event).encode()


def make_delivery(
    path: str, number: int, event_type: str, secret: str = SECRET
) -> dict[str, Any]:
    """The WSGI environment of a signed delivery."""
    payload = make_payload(number, event_type)
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "shop.example",
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(payload)),
        "HTTP_STRIPE_SIGNATURE": sign_payload(
            payload, secret, timestamp=int(time.time())
        ),
        "HTTP_USER_AGENT": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "payload": payload,
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
        self.update_subscription = (
            update(subscriptions)
            .where(subscriptions.c.id == bindparam("subscription_id"))
            .values(
                {
                    name: bindparam(f"new_{name}")
                    for name in (
                        "status",
                        "price_id",
                        "quantity",
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

        for name in ("durable", "two_commits", "orm", "sdk", "known", "verify"):
            shop.app.post(f"/{name}", endpoint=name)(getattr(self, name))

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
        subscription = event["data"]["object"]
        item = subscription["items"]["data"][0]
        end = datetime.fromtimestamp(item["current_period_end"], UTC)
        created = datetime.fromtimestamp(event["created"], UTC)
        now = datetime.now(UTC)
        connection = self.shop.db.session.connection()
        connection.execute(
            self.insert_event,
            {
                "id": event["id"],
                "type": event["type"],
                "created": created,
                "object_id": subscription["id"],
                "customer_id": subscription["customer"],
                "user_id": None,
                "livemode": event["livemode"],
                "api_version": event["api_version"],
                "payload": request.get_data(as_text=True),
                "changed": True,
                "received_at": now,
                "processed_at": processed_at,
                "attempts": 0,
            },
        )
        user_id = connection.execute(
            self.lock_user, {"customer_id": subscription["customer"]}
        ).scalar_one()
        connection.execute(
            self.update_subscription,
            {
                "subscription_id": subscription["id"],
                "new_status": subscription["status"],
                "new_price_id": item["price"]["id"],
                "new_quantity": item["quantity"],
                "new_current_period_end": end,
                "new_cancel_at_period_end": subscription["cancel_at_period_end"],
                "new_synced_at": created,
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

    def two_commits(self) -> ResponseReturnValue:
        """The same; then the mark and a row of the app's, in a second transaction."""
        event = self.read_event()
        session, events = self.shop.db.session, self.shop.event_model.__table__
        self.store(event, None)
        session.commit()
        session.execute(
            update(events)
            .where(events.c.id == event["id"], events.c.processed_at.is_(None))
            .values(processed_at=datetime.now(UTC), attempts=1)
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
        event = stripe.Webhook.construct_event(
            request.get_data(), request.headers["Stripe-Signature"], SECRET
        )
        self.update_with_orm(event)
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
        """Look whether the event is known already."""
        event = self.read_event()
        connection = self.shop.db.session.connection()

        try:
            connection.execute(self.find_event, {"event_id": event["id"]}).one()
        except IntegrityError:
            abort(500)

        return jsonify(received=True)

    def verify(self) -> ResponseReturnValue:
        """Verify, parse, and look at the type."""
        event = self.read_event()

        if event["type"] == "customer.subscription.updated":
            abort(500)

        return jsonify(received=True)
