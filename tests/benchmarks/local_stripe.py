"""A server that gives one answer to every request, with as little work as it can.

    python -m tests.benchmarks.local_stripe

It reads the answer from standard input and prints its port. What is left of a call's
time is the client's. It keeps connections, one at a time, and answers 400 to a request
without key, version or form.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.samples import checkout_session

HEAD = (
    "HTTP/1.1 {}\r\n"
    "Server: nginx\r\n"
    "Date: Mon, 02 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {}\r\n"
    "Connection: keep-alive\r\n"
    "Access-Control-Allow-Credentials: true\r\n"
    "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Max-Age: 300\r\n"
    "Cache-Control: no-cache, no-store\r\n"
    "Idempotency-Key: 00000000-0000-4000-8000-000000000000\r\n"
    "Original-Request: req_0000000000000\r\n"
    "Request-Id: req_0000000000000\r\n"
    "Strict-Transport-Security: max-age=63072000; includeSubDomains; preload\r\n"
    "Stripe-Version: 2026-10-28.endive\r\n"
    "Vary: Origin\r\n\r\n"
)


def serve(listener: socket.socket, body: bytes) -> None:
    good = HEAD.format("200 OK", len(body)).encode() + body
    bad = HEAD.format("400 Bad Request", 2).encode() + b"{}"

    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        with connection:
            received = b""

            while chunk := connection.recv(65536):
                received += chunk
                head, end, form = received.partition(b"\r\n\r\n")

                if end and len(form) >= _length(head.lower()):
                    connection.sendall(good if _is_complete(head, form) else bad)
                    received = b""


def _length(head: bytes) -> int:
    return int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])


def _is_complete(head: bytes, form: bytes) -> bool:
    return (
        b"Bearer sk_test_" in head
        and b"stripe-version:" in head.lower()
        and b"idempotency-key:" in head.lower()
        and b"line_items" in form
    )


@contextmanager
def local_stripe() -> Iterator[str]:
    """Run one in a process of its own, and give its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.local_stripe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(checkout_session())
        process.stdin.close()
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdout.close()
    finally:
        process.kill()
        process.wait()


def main() -> None:
    body = sys.stdin.buffer.read()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(listener, body)


if __name__ == "__main__":
    main()
