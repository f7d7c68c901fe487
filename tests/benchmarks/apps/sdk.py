"""The same app with Stripe's own package."""

from __future__ import annotations

import sys
from typing import Any

import stripe
from flask import request
from flask_login import UserMixin
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from tests.benchmarks.apps.common import add_user
from tests.benchmarks.apps.common import deliver
from tests.benchmarks.apps.common import KEY
from tests.benchmarks.apps.common import make_app
from tests.benchmarks.apps.common import report
from tests.benchmarks.apps.common import SECRET
from tests.benchmarks.apps.common import store_status

app, db = make_app()


class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
    id: Mapped[int] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_subscription_status: Mapped[str | None]


@app.post("/webhook")
def webhook() -> str:
    event: Any = stripe.Webhook.construct_event(
        request.get_data(), request.headers["Stripe-Signature"], SECRET
    )
    store_status(db.session(), User, event)
    return ""


add_user(app, db, User)
deliver(app, db, User, "/webhook")
client = stripe.StripeClient(KEY, base_addresses={"api": sys.argv[1]})
session = client.v1.checkout.sessions.create(
    {
        "mode": "subscription",
        "line_items": [{"price": "price_pro", "quantity": 1}],
        "success_url": "https://shop.example/",
    }
)
assert session.object == "checkout.session"
report()
