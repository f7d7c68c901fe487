"""A clock, a server on 127.0.0.1, and words for what ``StripeClient`` sends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any
from typing import NamedTuple

import responses

from flask_kavach_stripe.stripe_api.client import StripeClient

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
BASE = "https://api.stripe.com"


class FakeClock:
    """A clock that stands still, but for its own sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        self.now += seconds


def sent(api: responses.RequestsMock, name: str) -> list[str | None]:
    """The values of one header in all requests, in order."""
    return [call.request.headers.get(name) for call in api.calls]


def page(*ids: str, has_more: bool = False, **more: Any) -> dict[str, Any]:
    data = [{"id": value} for value in ids]
    return {"object": "list", "data": data, "has_more": has_more, **more}


class Received(NamedTuple):
    """One request as the server read it."""

    port: int  # of the client, so one number is one connection
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """Answers with ``answers``, byte for byte, then with empty objects.

    An empty answer closes the connection, ``None`` keeps it open and says nothing.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[Received] = []
        self.answers: list[bytes | None] = []
        self.over = threading.Event()

    def client(self, **options: Any) -> StripeClient:
        options.setdefault("clock", FakeClock())
        return StripeClient(KEY, base_url=self.url, **options)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(
            Received(
                self.client_address[1],
                self.command,
                self.path,
                dict(self.headers.items()),
                body,
            )
        )
        answers = self.server.answers
        answer = answers.pop(0) if answers else http(json.dumps({"path": self.path}))

        if answer is None:
            self.server.over.wait(10)

        self.wfile.write(answer or b"")
        self.close_connection = not answer or b"Connection: close" in answer

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def http(body: str = "{}", *headers: str, status: str = "200 OK") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body)
    return "\r\n".join(lines).encode("latin-1")


@contextmanager
def serve() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()
