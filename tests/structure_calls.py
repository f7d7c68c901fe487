"""Which files one webhook and one checkout run through, call by call.

    python -P tests/structure_calls.py PACKAGE

``tests/structure.py`` runs this in a process of its own, so that the package of any
checkout can be imported; it uses the package's public names alone. Prints, as JSON,
for each request the file of every call, in the order of the calls.

An app on SQLite, in a file, has one user with a stored subscription and one without.
Both requests go through Flask's test client, and both have run once before:

``webhook``
    A signed ``customer.subscription.updated``, which changes the row and the columns of
    the first user and runs one handler of the app.
``checkout``
    The second user, who is logged in, asks for a Checkout session; Stripe's answer is
    made up.

A call is what ``sys.setprofile`` reports as one, in files of the package without its
folder ``sandbox``: also a generator that goes on and, before Python 3.12, a list, set
or dict comprehension. Compare figures of one version of Python.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from typing import Final
from typing import NamedTuple

import responses
from flask import Flask
from flask.testing import FlaskClient
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

import flask_kavach_stripe
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription

SECRET: Final = "whsec_of_the_structure"
CREATED: Final = "customer.subscription.created"
UPDATED: Final = "customer.subscription.updated"
SESSIONS: Final = "https://api.stripe.com/v1/checkout/sessions"
SUBSCRIPTIONS: Final = "https://api.stripe.com/v1/subscriptions"
SESSION: Final = {
    "id": "cs_test_1",
    "object": "checkout.session",
    "url": "https://checkout.stripe.com/c/pay/cs_test_1",
}

#: Unix time, in seconds: before now, so that no event is from the future.
START: Final = int(time.time()) - 1000


def make_app(database: Path) -> tuple[Flask, SQLAlchemy]:
    """An app with two users who have a customer, and one handler."""
    app = Flask("structure")
    app.config.update(
        SECRET_KEY="of the structure",
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{database}",
        STRIPE_SECRET_KEY="sk_test_of_the_structure",
        STRIPE_WEBHOOK_SECRET=SECRET,
        STRIPE_PRICES="*",
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    db = SQLAlchemy(app)
    login_manager = LoginManager(app)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)

    login_manager.user_loader(lambda user_id: db.session.get(User, int(user_id)))
    kavach_stripe = KavachStripe(app)

    @kavach_stripe.on(UPDATED)
    def handle_subscription_updated(event: Any) -> None:
        assert event.type == UPDATED

    @app.post("/login/<int:user_id>")
    def login(user_id: int) -> str:
        login_user(db.session.get(User, user_id))
        return "in"

    with app.app_context():
        db.create_all()
        db.session.add_all(
            [User(stripe_customer_id="cus_1"), User(stripe_customer_id="cus_2")]
        )
        db.session.commit()

    return app, db


class Webhook(NamedTuple):
    """A body and its signature."""

    payload: bytes
    signature: str


def make_webhook(number: int, event_type: str) -> Webhook:
    """A signed event of the first user's subscription, which ends an hour later with
    each number.
    """
    event = make_event(
        event_type,
        make_subscription(
            "sub_1",
            customer="cus_1",
            created=START,
            current_period_end=START + (24 + number) * 3600,
        ),
        id=f"evt_{number}",
        created=START + 10 * number,
    )
    payload, timestamp = json.dumps(event).encode(), int(time.time())
    signed = b"%d.%b" % (timestamp, payload)
    signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return Webhook(payload, f"t={timestamp},v1={signature}")


def post_webhook(client: FlaskClient, webhook: Webhook) -> None:
    """Send an event as Stripe does."""
    response = client.post(
        "/auth/stripe/webhook",
        data=webhook.payload,
        content_type="application/json",
        headers={"Stripe-Signature": webhook.signature},
    )
    assert response.status_code == 200, response.text


def post_checkout(client: FlaskClient) -> None:
    """Ask for a Checkout session."""
    response = client.post("/auth/stripe/checkout", json={"priceId": "price_1"})
    assert response.status_code == 200, response.text


def trace(package: Path, request: Callable[[], None]) -> list[str]:
    """The file of every call while a request runs, relative to the package."""
    files: list[str] = []
    inside, sandbox = f"{package}/", f"{package}/sandbox/"

    def note(frame: FrameType, kind: str, argument: Any) -> None:
        file = frame.f_code.co_filename

        if kind == "call" and file.startswith(inside) and not file.startswith(sandbox):
            files.append(file.removeprefix(inside))

    sys.setprofile(note)

    try:
        request()
    finally:
        sys.setprofile(None)

    return files


def trace_webhook(package: Path, app: Flask) -> list[str]:
    client = app.test_client()
    post_webhook(client, make_webhook(1, CREATED))
    post_webhook(client, make_webhook(2, UPDATED))
    webhook = make_webhook(3, UPDATED)  # not in the trace: the package helps to make it
    return trace(package, lambda: post_webhook(client, webhook))


def trace_checkout(package: Path, app: Flask) -> list[str]:
    client = app.test_client()
    client.post("/login/2")

    with responses.RequestsMock(assert_all_requests_are_fired=False) as stripe_api:
        stripe_api.post(SESSIONS, json=SESSION)
        stripe_api.get(SESSIONS, json={"data": []})
        stripe_api.get(SUBSCRIPTIONS, json={"data": []})
        post_checkout(client)
        return trace(package, lambda: post_checkout(client))


def main(package: Path) -> None:
    """Print the traces.

    :raises RuntimeError: If another copy of the package was imported.
    """
    imported = Path(flask_kavach_stripe.__file__).parent

    if imported != package:
        raise RuntimeError(f"{imported} was imported, not {package}.")

    with tempfile.TemporaryDirectory() as folder:
        app, db = make_app(Path(folder, "structure.db"))
        traces = {
            "webhook": trace_webhook(package, app),
            "checkout": trace_checkout(package, app),
        }

        with app.app_context():
            db.engine.dispose()

    print(json.dumps(traces))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
