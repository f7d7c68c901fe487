"""The same app with nothing but ``requests``: the least that calling Stripe takes."""

from __future__ import annotations

import hashlib
import hmac
import sys

import requests
from flask import abort
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
    timestamp, signature = request.headers["Stripe-Signature"].split(",v1=")
    signed = timestamp.removeprefix("t=").encode() + b"." + request.get_data()
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()

    if not hmac.compare_digest(signature, expected):
        abort(400)

    store_status(db.session(), User, request.get_json(force=True))
    return ""


add_user(app, db, User)
deliver(app, db, User, "/webhook")
response = requests.Session().post(
    f"{sys.argv[1]}/v1/checkout/sessions",
    data={
        "mode": "subscription",
        "line_items[0][price]": "price_pro",
        "line_items[0][quantity]": "1",
        "success_url": "https://shop.example/",
    },
    headers={
        "Authorization": f"Bearer {KEY}",
        "Stripe-Version": "2026-10-28.endive",
        "Idempotency-Key": "00000000-0000-4000-8000-000000000000",
    },
    timeout=30,
)
assert response.json()["object"] == "checkout.session"
report()
