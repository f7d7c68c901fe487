"""Stripe's API, as far as a webhook asks it: ``GET /v1/subscriptions/{id}``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any

from .truth import Truth

HOST = "127.0.0.1"
PATH = "/v1/subscriptions/"


@contextmanager
def serving(truth: Truth) -> Iterator[str]:
    """Answer with the truth, at the base URL that is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            subscription = truth.retrieve(self.path.removeprefix(PATH))
            body = json.dumps(subscription or {"error": {}}).encode()
            self.send_response(404 if subscription is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        # Connections of killed workers are not waited for.
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
