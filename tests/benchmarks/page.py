"""What a guarded page costs more than the same page unguarded.

    python -m tests.benchmarks.page [--database sqlite|postgresql] [--rounds N]

Both show the e-mail address of the user, whom Flask-Login loads in one query. The
guarded one asks for an active subscription and shows its status, too. The extension
puts ``current_subscription`` into every template, so a second case compares with the
page of an app that does not have it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from typing import Final

from flask import Flask
from flask import render_template
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from sqlalchemy.event import listen
from sqlalchemy.event import remove
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import StripeUserMixin
from tests.benchmarks.harness import Calls
from tests.benchmarks.harness import compare
from tests.benchmarks.harness import conclude
from tests.benchmarks.harness import EXTRA
from tests.benchmarks.harness import Figures
from tests.benchmarks.harness import Result
from tests.benchmarks.options import Options
from tests.benchmarks.options import run_alone
from tests.benchmarks.shops import call
from tests.benchmarks.shops import open_shop
from tests.benchmarks.shops import PAGES
from tests.benchmarks.shops import Shop

#: Requests of each side in one round.
COUNT: Final = 500


def run(options: Options) -> Iterator[Result]:
    for database in options.databases:
        with open_shop(database) as shop, _plain_app(shop) as plain_app:
            shop.seed(COUNT)
            yield from _run_cases(database, shop.app, plain_app, options.rounds)


def _run_cases(
    database: str, app: Flask, plain_app: Flask, rounds: int
) -> Iterator[Result]:
    guarded = _requests(app, "/guarded")
    assert guarded[0]() == b"<p>user1@example.com</p><p>active</p>"
    yardsticks: list[tuple[str, Flask, float | None]] = [
        ("unguarded page", app, 20),
        ("page of an app without", plain_app, None),
    ]

    for yardstick, other, goal in yardsticks:
        unguarded = _requests(other, "/page")
        assert unguarded[0]() == b"<p>user1@example.com</p>"
        yield compare(
            f"{database}: guarded page",
            yardstick,
            partial(_same_pages, guarded, unguarded),
            measure=EXTRA,
            goal=goal,
            rounds=4 * rounds,  # a few microseconds of a thousand are meant
        )

    ours = _count_queries(app, guarded[0])
    theirs = _count_queries(plain_app, unguarded[0])
    yield conclude(
        f"{database}: guarded page",
        "page of an app without",
        Figures(ours),
        Figures(theirs),
        pairs=[(ours, theirs)],
        measure=EXTRA,
        goal=0,
        unit="queries",
    )


def _same_pages(guarded: Calls, unguarded: Calls, number: int) -> tuple[Calls, Calls]:
    return guarded, unguarded


@contextmanager
def _plain_app(shop: Shop) -> Iterator[Flask]:
    """An app without the extension, on the same tables."""
    app = Flask("plain")
    app.config.update(
        SECRET_KEY=shop.app.config["SECRET_KEY"],
        SQLALCHEMY_DATABASE_URI=shop.app.config["SQLALCHEMY_DATABASE_URI"],
    )
    db = SQLAlchemy(app)
    login_manager = LoginManager(app)

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None]

    login_manager.user_loader(lambda user_id: db.session.get(User, int(user_id)))
    app.jinja_loader = DictLoader(PAGES)

    @app.get("/page")
    def page() -> str:
        return render_template("page")

    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


def _requests(app: Flask, path: str) -> list[Callable[[], bytes]]:
    """One by each user, logged in."""
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    return [
        partial(
            call,
            app,
            _environment(path, serializer.dumps({"_user_id": str(user)})),
            200,
        )
        for user in range(1, COUNT + 1)
    ]


def _environment(path: str, session: str | bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "shop.example",
        "HTTP_COOKIE": f"session={session!s}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "payload": b"",
    }


def _count_queries(app: Flask, request: Callable[[], object]) -> int:
    collected: list[str] = []

    def collect(connection: Any, cursor: Any, statement: str, *args: Any) -> None:
        collected.append(statement)

    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine

    listen(engine, "before_cursor_execute", collect)
    request()
    remove(engine, "before_cursor_execute", collect)
    return len(collected)


if __name__ == "__main__":
    run_alone(run, __doc__)
