"""What ``flask stripe sync`` costs where there are many subscriptions.

    python tests/benchmarks/sync_of_many.py [--subscriptions 100000]

A database in a file, and a Stripe that pages through made-up subscriptions without
waiting. The first run finds one difference for each thousand, the second none. The
memory is that of Python's objects at its peak, the program itself left out: it must not
grow with the number of subscriptions.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import requests
from flask import Flask
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from requests.adapters import BaseAdapter
from sqlalchemy import insert
from sqlalchemy import update
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.catalogue import Catalogue
from flask_kavach_stripe.customer_state import SubscriptionColumns
from flask_kavach_stripe.state import make_client
from flask_kavach_stripe.state import State
from flask_kavach_stripe.stripe_api.objects import read_subscription
from flask_kavach_stripe.testing import make_subscription

NEWEST = 1_790_000_000


def make(number: int) -> dict[str, Any]:
    """Subscription 0 is the newest; three of them in each second."""
    return make_subscription(
        id=f"sub_{number}",
        customer=f"cus_{number}",
        created=NEWEST - number // 3,
        current_period_end=NEWEST + 2_592_000,
    )


class Pages(BaseAdapter):
    """Answers for Stripe: one page, made when it is asked for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.requests = 0

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self.requests += 1
        query = parse_qs(urlsplit(request.url or "").query)
        cursor = query.get("starting_after", ["sub_-1"])[0]
        start = int(cursor.removeprefix("sub_")) + 1
        end = min(start + int(query["limit"][0]), self.count)
        data = [make(number) for number in range(start, end)]
        body = {"object": "list", "data": data, "has_more": end < self.count}
        response = requests.Response()
        response.status_code = 200
        response.headers["Date"] = "Wed, 01 Jan 2031 00:00:00 GMT"
        response.raw = io.BytesIO(json.dumps(body).encode())
        response.url = request.url or ""
        return response

    def close(self) -> None:
        """Nothing to close."""


@contextmanager
def open_app(path: Path, pages: Pages) -> Iterator[Flask]:
    app = Flask("shop")
    app.config.update(
        SECRET_KEY="benchmark",
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{path}",
        STRIPE_SECRET_KEY="sk_test_benchmark",
        STRIPE_PRICES="*",
    )
    db = SQLAlchemy(app)
    LoginManager(app)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)

    KavachStripe(app)
    state: State = app.extensions["kavach_stripe"]
    session = requests.Session()
    session.mount("https://", pages)
    state.use(state.settings, make_client(state.settings, session))

    with app.app_context():
        db.create_all()

        for start in range(0, pages.count, 5000):
            numbers = range(start, min(start + 5000, pages.count))
            fill(state, User, numbers)

        # One in a thousand missed a webhook.
        db.session.execute(
            update(state.subscription_model)
            .where(state.subscription_model.id.like("sub_%500"))
            .values(status="past_due")
        )
        db.session.commit()

    yield app

    with app.app_context():
        db.engine.dispose()


def fill(state: State, user_model: Any, numbers: range) -> None:
    users, rows = [], []

    for number in numbers:
        found = read_subscription(make(number))
        assert found is not None
        columns = SubscriptionColumns.of(found, Catalogue())
        users.append(
            {
                "id": number + 1,
                "stripe_customer_id": found.customer_id,
                "stripe_subscription_id": columns.subscription_id,
                "stripe_subscription_status": columns.status,
                "stripe_price_id": columns.price_id,
                "stripe_current_period_end": columns.current_period_end,
                "stripe_cancel_at_period_end": columns.cancel_at_period_end,
            }
        )
        items = [
            {"id": item.id, "price": item.price_id, "quantity": item.quantity}
            for item in found.items
        ]
        rows.append(
            {
                **found._asdict(),
                "items": json.dumps(items),
                "synced_at": found.created,
                "revision": 1,
            }
        )

    state.session.execute(insert(user_model), users)
    state.session.execute(insert(state.subscription_model), rows)
    state.session.commit()


def measure(app: Flask, pages: Pages, *, trace: bool) -> None:
    pages.requests = 0

    if trace:
        tracemalloc.start()

    began, cpu = time.perf_counter(), time.process_time()
    result = app.test_cli_runner().invoke(args=["stripe", "sync"])
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert result.exit_code == 0, result.output
    summary = result.stdout.splitlines()[-1]

    if trace:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{summary}; {peak / 2**20:.1f} MiB at the peak")
    else:
        print(f"{summary}; {wall:.1f} s ({cpu:.1f} s of CPU)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--subscriptions", type=int, nargs="*", default=[10_000, 100_000]
    )

    for count in parser.parse_args().subscriptions:
        with tempfile.TemporaryDirectory() as folder:
            pages = Pages(count)

            with open_app(Path(folder, "shop.db"), pages) as app:
                measure(app, pages, trace=False)
                measure(app, pages, trace=False)
                measure(app, pages, trace=True)


if __name__ == "__main__":
    main()
