"""1 MiB is the most that is read of a webhook, and a header costs a bounded effort."""

from __future__ import annotations

import hmac
import io
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flask_kavach_stripe.errors import SignatureVerificationError
from flask_kavach_stripe.stripe_api.signatures import sign_payload
from flask_kavach_stripe.stripe_api.signatures import verify_signature
from tests.programs import PATIENCE
from tests.programs import running

URL = "/auth/stripe/webhook"
SECRET = "whsec_of_the_tests"
MEBIBYTE = 1024 * 1024

#: What is read beyond the limit, at most: one buffer of werkzeug's.
BUFFER = 64 * 1024


class Body(io.RawIOBase):
    """A request body of any length, made as it is read, which counts what was read."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        self._left -= wanted
        self.taken += wanted
        return b" " * wanted

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def post(shop: Any, body: Body, **environ: Any) -> Any:
    signature = sign_payload(b"{}", SECRET)
    return shop.app.test_client().post(
        URL,
        headers={"Stripe-Signature": signature},
        environ_overrides={"wsgi.input": body, **environ},
    )


@pytest.mark.parametrize("length", [MEBIBYTE + 2, 100 * MEBIBYTE])
def test_body_that_says_it_is_too_long_is_not_read(kept_shop: Any, length: int) -> None:
    body = Body(length)
    answer = post(kept_shop, body, CONTENT_LENGTH=str(length))
    assert (answer.status_code, body.taken) == (413, 0)


@pytest.mark.parametrize("length", [MEBIBYTE + 1, 100 * MEBIBYTE])
def test_body_in_chunks_is_read_up_to_the_limit(kept_shop: Any, length: int) -> None:
    """A server that undoes the chunks says that the stream ends by itself."""
    body = Body(length)
    answer = post(
        kept_shop,
        body,
        **{
            "CONTENT_LENGTH": "",
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input_terminated": True,
        },
    )
    assert answer.status_code == 413
    assert MEBIBYTE < body.taken <= MEBIBYTE + BUFFER


def test_body_without_a_length_is_not_read(kept_shop: Any) -> None:
    """On a server that does not undo chunks, nobody knows where it ends."""
    body = Body(100 * MEBIBYTE)
    answer = post(kept_shop, body, CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
    assert (answer.status_code, body.taken) == (400, 0)


def test_limit_of_the_app_does_not_raise_ours(make_shop: Any) -> None:
    shop = make_shop(MAX_CONTENT_LENGTH=500 * MEBIBYTE)
    body = Body(2 * MEBIBYTE)
    answer = post(shop, body, CONTENT_LENGTH=str(2 * MEBIBYTE))
    assert (answer.status_code, body.taken) == (413, 0)


@pytest.mark.parametrize("over", [0, 1])
def test_limit_is_one_mebibyte(kept_shop: Any, over: int) -> None:
    payload = b" " * (MEBIBYTE - 2 + over) + b"{}"
    assert kept_shop.post_event(payload).status_code == (413 if over else 200)


# -- over sockets ----------------------------------------------------------------------

APP = """
import resource
from flask import Flask
from flask_login import LoginManager, UserMixin
from flask_sqlalchemy import SQLAlchemy
from flask_kavach_stripe import KavachStripe, StripeUserMixin

app = Flask(__name__)
app.config.update(
    SECRET_KEY="secret of the tests",
    SQLALCHEMY_DATABASE_URI="sqlite://",
    STRIPE_SECRET_KEY="sk_test_of_the_tests",
    STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
)
db = SQLAlchemy(app)
LoginManager(app)

class User(UserMixin, StripeUserMixin, db.Model):
    id = db.Column(db.Integer, primary_key=True)

KavachStripe(app)

@app.get("/memory")
def memory():
    return str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # KiB

if __name__ == "__main__":
    app.run(port=0)
"""


@pytest.fixture
def app_file(tmp_path: Path) -> Path:
    path = tmp_path / "huge_app.py"
    path.write_text(APP)
    return path


@pytest.fixture(params=["gunicorn", "gunicorn, threads", "werkzeug"])
def port(request: pytest.FixtureRequest, app_file: Path) -> Iterator[int]:
    """A server in a process of its own."""
    folder = str(app_file.parent)
    path = os.pathsep.join([folder, str(Path(__file__).parents[2])])

    if request.param == "werkzeug":
        command = [str(app_file)]
    else:
        command = ["-m", "gunicorn", "-b", "127.0.0.1:0", "--chdir", folder]
        command += ["--worker-tmp-dir", folder]
        command += ["--threads", "2"] if "threads" in request.param else []
        command += ["huge_app:app"]

    with running(*command, PYTHONPATH=path) as program:
        yield int(program.wait_for(r"http://127\.0\.0\.1:(\d+)"))
        program.stop()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def memory(port: int) -> int:
    """The most memory that the server has ever held, in KiB."""
    with closing(connect(port)) as connection:
        connection.sendall(b"GET /memory HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
        return int(answer.rpartition(b"\r\n\r\n")[2])


def status_of(connection: socket.socket) -> int:
    answer = connection.recv(4096)
    found = re.match(rb"HTTP/1\.[01] (\d+)", answer)
    assert found, answer
    return int(found[1])


def send_head(connection: socket.socket, header: str) -> None:
    head = (
        f"POST {URL} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"
        f"Stripe-Signature: {sign_payload(b'', SECRET)}\r\n\r\n"
    )
    connection.sendall(head.encode())


def send_chunks(connection: socket.socket, mebibytes: int) -> None:
    chunk = b"%x\r\n" % MEBIBYTE + b" " * MEBIBYTE + b"\r\n"

    for _ in range(mebibytes):
        try:
            connection.sendall(chunk)
        except OSError:  # it has answered and hung up, as it may
            return


@pytest.mark.slow
def test_server_refuses_a_long_body_before_it_comes(port: int) -> None:
    """The answer is there while not one byte of a gigabyte was sent."""
    with closing(connect(port)) as connection:
        send_head(connection, f"Content-Length: {1024 * MEBIBYTE}")
        assert status_of(connection) == 413


@pytest.mark.slow
def test_server_does_not_hold_a_long_body_in_chunks(port: int) -> None:
    before = memory(port)

    with closing(connect(port)) as connection:
        send_head(connection, "Transfer-Encoding: chunked")
        send_chunks(connection, 2)
        assert status_of(connection) == 413
        send_chunks(connection, 98)

    assert memory(port) - before < 16 * 1024


# -- the header ------------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many signatures are computed and how many compared."""
    counted = {"computed": 0, "compared": 0}
    new, compare_digest = hmac.new, hmac.compare_digest

    def counting_new(*args: Any, **kwargs: Any) -> Any:
        counted["computed"] += 1
        return new(*args, **kwargs)

    def counting_compare(ours: bytes, theirs: bytes) -> bool:
        counted["compared"] += 1
        return compare_digest(ours, theirs)

    monkeypatch.setattr(hmac, "new", counting_new)
    monkeypatch.setattr(hmac, "compare_digest", counting_compare)
    return counted


@pytest.mark.parametrize(
    ("signatures", "computed", "compared"),
    [(1, 2, 2), (1000, 2, 2000), (1024, 0, 0), (100_000, 0, 0)],
)
def test_header_costs_a_bounded_effort(
    work: dict[str, int], signatures: int, computed: int, compared: int
) -> None:
    """One computation for each secret, whatever the header holds; none for a header
    with more items than Stripe would send.
    """
    header = f"t={int(time.time())}" + ",v1=abcdef" * signatures

    with pytest.raises(SignatureVerificationError, match="signature"):
        verify_signature(b"{}", header, ["whsec_1", "whsec_2"], now=time.time())

    assert work == {"computed": computed, "compared": compared}


def test_header_of_a_megabyte_is_refused_at_the_door(
    kept_shop: Any, work: dict[str, int]
) -> None:
    header = f"t={int(time.time())}" + ",v1=abcdef" * 100_000
    answer = kept_shop.app.test_client().post(
        URL, data=b"{}", headers={"Stripe-Signature": header}
    )
    assert answer.status_code == 400
    assert work == {"computed": 0, "compared": 0}
