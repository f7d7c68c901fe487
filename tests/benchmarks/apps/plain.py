"""An app that takes the webhook without looking, and calls nobody."""

from __future__ import annotations

from flask import request
from flask_login import UserMixin
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from tests.benchmarks.apps.common import add_user
from tests.benchmarks.apps.common import deliver
from tests.benchmarks.apps.common import make_app
from tests.benchmarks.apps.common import report
from tests.benchmarks.apps.common import store_status

app, db = make_app()


class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
    id: Mapped[int] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_subscription_status: Mapped[str | None]


@app.post("/webhook")
def webhook() -> str:
    store_status(db.session(), User, request.get_json(force=True))
    return ""


add_user(app, db, User)
deliver(app, db, User, "/webhook")
report()
