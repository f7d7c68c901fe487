"""What a guarded page costs more than the same page unguarded.

    python -m tests.benchmarks.page [--database sqlite|postgresql] [--rounds N]

Both show the e-mail address of the user, whom Flask-Login loads in one query. The
guarded one asks for an active subscription and shows its status, too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from typing import Final

from flask.sessions import SecureCookieSessionInterface
from sqlalchemy.event import listen
from sqlalchemy.event import remove

from tests.benchmarks.harness import Calls
from tests.benchmarks.harness import compare
from tests.benchmarks.harness import conclude
from tests.benchmarks.harness import EXTRA
from tests.benchmarks.harness import Figures
from tests.benchmarks.harness import Result
from tests.benchmarks.options import Options
from tests.benchmarks.options import run_alone
from tests.benchmarks.shops import open_shop
from tests.benchmarks.shops import Shop

#: Requests of each side in one round.
COUNT: Final = 500


def run(options: Options) -> Iterator[Result]:
    for database in options.databases:
        with open_shop(database) as shop:
            shop.seed(COUNT)
            pages = _requests(shop, "/guarded-page"), _requests(shop, "/page")
            both = pages[0][0](), pages[1][0]()
            assert both == (
                b"<p>user1@example.com</p><p>active</p>",
                b"<p>user1@example.com</p>",
            )

            def prepare(
                number: int, pages: tuple[Calls, Calls] = pages
            ) -> tuple[Calls, Calls]:
                return pages

            yield compare(
                f"{database}: guarded page",
                "unguarded page",
                prepare,
                measure=EXTRA,
                goal=20,
                rounds=options.rounds,
            )
            ours, theirs = (_count_queries(shop, requests[0]) for requests in pages)
            yield conclude(
                f"{database}: guarded page",
                "unguarded page",
                Figures(ours),
                Figures(theirs),
                pairs=[(ours, theirs)],
                measure=EXTRA,
                goal=0,
                unit="queries",
            )


def _requests(shop: Shop, path: str) -> list[Callable[[], bytes]]:
    """One by each user, logged in."""
    serializer = SecureCookieSessionInterface().get_signing_serializer(shop.app)
    assert serializer is not None
    return [
        partial(
            shop.call,
            _environment(path, serializer.dumps({"_user_id": str(number)})),
            200,
        )
        for number in range(1, COUNT + 1)
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


def _count_queries(shop: Shop, request: Callable[[], object]) -> int:
    with _statements(shop) as statements:
        request()

    return len(statements)


@contextmanager
def _statements(shop: Shop) -> Iterator[list[str]]:
    collected: list[str] = []

    def collect(connection: Any, cursor: Any, statement: str, *args: Any) -> None:
        collected.append(statement)

    with shop.app.app_context():
        engine = shop.db.engine

    listen(engine, "before_cursor_execute", collect)

    try:
        yield collected
    finally:
        remove(engine, "before_cursor_execute", collect)


if __name__ == "__main__":
    run_alone(run, __doc__)
