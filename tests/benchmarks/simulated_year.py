"""How long a simulated year of a subscriber takes.

    python tests/benchmarks/simulated_year.py

One subscriber: 12 renewals, one failure, one recovery, then the end, with each webhook
signed, sent into an app on SQLite in memory, and handled there. Then 50, 100 and 200
subscribers over 12 months: the time of each must not grow with their number.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
from typing import Any

from flask import Flask
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect

GOAL = 1.0  # second, for one subscriber
START = datetime(2026, 1, 15, 12, tzinfo=UTC)
MONTHS = [
    START.replace(year=2026 + month // 12, month=month % 12 + 1, hour=13)
    for month in range(1, 13)
]


@dataclass
class Shop:
    """An app with a sandbox behind it, and what its handlers saw."""

    app: Flask
    kavach_stripe: KavachStripe
    db: SQLAlchemy
    user_model: Any
    sandbox: Sandbox
    seen: list[str]

    def add_user(self) -> int:
        with self.app.app_context():
            user = self.user_model()
            self.db.session.add(user)
            self.db.session.commit()
            return int(user.id)

    def subscribe(self, user_id: int) -> str:
        """Buy, and give the id of the subscription."""
        with self.app.app_context():
            checkout = self.kavach_stripe.create_checkout_session(user_id, "price_pro")

        return str(self.sandbox.pay(checkout.id)["subscription"])

    def status(self, user_id: int) -> str | None:
        with self.app.app_context():
            user: Any = self.db.session.get(self.user_model, user_id)
            status: str | None = user.stripe_subscription_status
            return status

    def call(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        with self.app.app_context():
            return self.kavach_stripe.client.post(path, params)

    def change_card(self, subscription_id: str, card: str) -> None:
        with self.app.app_context():
            subscription = self.kavach_stripe.client.get(
                f"/v1/subscriptions/{subscription_id}"
            )

        customer = {"customer": subscription["customer"]}
        method = self.call(f"/v1/payment_methods/{card}/attach", customer)
        self.call(
            f"/v1/subscriptions/{subscription_id}",
            {"default_payment_method": method["id"]},
        )


@contextmanager
def open_shop() -> Iterator[Shop]:
    app = Flask("shop")
    app.config.update(SECRET_KEY="benchmark", SQLALCHEMY_DATABASE_URI="sqlite://")
    db = SQLAlchemy(app)
    LoginManager(app)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)

    kavach_stripe = KavachStripe(app)
    seen: list[str] = []

    def remember(event: Any) -> None:
        seen.append(event.type)

    kavach_stripe.on("invoice.paid", "invoice.payment_failed")(remember)

    with app.app_context():
        db.create_all()

    with connect(app, Sandbox(clock=Clock(START))) as sandbox:
        yield Shop(app, kavach_stripe, db, User, sandbox, seen)

    with app.app_context():
        db.engine.dispose()


def one_year(shop: Shop) -> list[str | None]:
    """Twelve renewals, of which the sixth fails at first; then the end.

    :returns: The user's status after each renewal, and in the end.
    """
    user_id = shop.add_user()
    subscription_id = shop.subscribe(user_id)
    statuses = []

    for month, moment in enumerate(MONTHS, start=1):
        if month == 6:
            shop.change_card(subscription_id, "pm_card_chargeCustomerFail")

        shop.sandbox.advance_to(moment)
        statuses.append(shop.status(user_id))

        if month == 6:
            shop.change_card(subscription_id, "pm_card_visa")
            shop.sandbox.advance(days=4)
            statuses.append(shop.status(user_id))

    with shop.app.app_context():
        shop.kavach_stripe.client.delete(f"/v1/subscriptions/{subscription_id}")

    shop.sandbox.deliver()
    return [*statuses, shop.status(user_id)]


def many_years(shop: Shop, count: int) -> None:
    """Subscribers who pay for a year."""
    users = [shop.add_user() for _ in range(count)]

    for user_id in users:
        shop.subscribe(user_id)

    for moment in MONTHS:
        shop.sandbox.advance_to(moment)

    assert all(shop.status(user_id) == "active" for user_id in users)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--subscribers", type=int, nargs="*", default=[50, 100, 200])
    arguments = parser.parse_args()
    seconds = []

    for _ in range(1 + arguments.runs):
        with open_shop() as shop:
            gc.collect()
            began, cpu = time.perf_counter(), time.process_time()
            one_year(shop)
            took = time.perf_counter() - began, time.process_time() - cpu
            seconds.append(took)

    wall = statistics.median(wall for wall, _ in seconds[1:])  # after a warm-up
    cpu = statistics.median(cpu for _, cpu in seconds[1:])
    print(
        f"One year of one subscriber: {wall:.3f} s ({cpu:.3f} s of CPU), with"
        f" {len(shop.sandbox.events)} events; goal: under {GOAL:.0f} s"
    )

    for count in arguments.subscribers:
        with open_shop() as shop:
            began, cpu = time.perf_counter(), time.process_time()
            many_years(shop, count)
            wall = time.perf_counter() - began
            cpu = time.process_time() - cpu
            print(
                f"12 months of {count} subscribers: {wall:.1f} s ({cpu:.1f} s of CPU),"
                f" {1000 * cpu / count:.0f} ms of CPU for each,"
                f" {len(shop.sandbox.events)} events"
            )


if __name__ == "__main__":
    main()
