"""A Stripe on this machine that answers when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import abort
from flask import Flask
from flask import request
from werkzeug.serving import make_server

#: Seconds. Far more than it takes, for a machine that is busy.
PATIENCE = 60


class Stripe:
    """Its objects, by the path that they are read at."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, dict[str, Any]] = {}
        #: While it is cleared, nothing is answered.
        self.answers = threading.Event()
        self.answers.set()
        #: Set by every request.
        self.was_asked = threading.Event()

    def add_subscription(self, subscription: dict[str, Any]) -> None:
        """Store a subscription, which is all that its customer has."""
        self.objects[f"/v1/subscriptions/{subscription['id']}"] = subscription
        self.objects["/v1/subscriptions"] = {
            "object": "list",
            "data": [subscription],
            "has_more": False,
        }

    def add_session(self, session: dict[str, Any]) -> None:
        self.objects[f"/v1/checkout/sessions/{session['id']}"] = session

    def make_app(self) -> Flask:
        app = Flask("stripe")

        @app.route("/<path:path>", methods=["GET", "POST"])
        def answer(path: str) -> Any:
            self.was_asked.set()

            if not self.answers.wait(PATIENCE):
                abort(500)

            if (request.method, request.path) == ("GET", "/v1/customers"):
                return {"object": "list", "data": [], "has_more": False}

            return self.objects.get(request.path) or abort(404)

        return app


@contextmanager
def serve() -> Iterator[Stripe]:
    stripe = Stripe()
    server = make_server("127.0.0.1", 0, stripe.make_app(), threaded=True)
    stripe.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()

    try:
        yield stripe
    finally:
        stripe.answers.set()
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()
