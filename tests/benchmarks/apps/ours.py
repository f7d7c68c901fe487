"""The same app with this extension."""

from __future__ import annotations

import sys

from flask_login import UserMixin
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from tests.benchmarks.apps.common import add_user
from tests.benchmarks.apps.common import deliver
from tests.benchmarks.apps.common import make_app
from tests.benchmarks.apps.common import report

app, db = make_app()
app.config["STRIPE_API_BASE"] = sys.argv[1]


class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
    id: Mapped[int] = mapped_column(primary_key=True)


kavach_stripe = KavachStripe(app)
add_user(app, db, User)
deliver(app, db, User, "/auth/stripe/webhook")

with app.app_context():
    session = kavach_stripe.create_checkout_session(
        1,
        "price_pro",
        success_url="https://shop.example/",
        cancel_url="https://shop.example/",
    )

assert session.id
report()
