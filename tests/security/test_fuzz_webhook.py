"""The webhook under mutated headers and bodies: nothing gets in without the secret, and
what is signed, however odd, is no fault of ours and never half stored.

Each request goes through the WSGI app into a real SQLite file. Plain ``pytest`` sends a
few hundred, ``-m slow`` 20,000, and ``-m slow`` with ``HYPOTHESIS_PROFILE=long``
220,000.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st

from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import make_thin_event

URL = "/auth/stripe/webhook"
SECRET = "whsec_of_the_tests"
MEBIBYTE = 1024 * 1024
CREATED = 1_790_000_000  # Unix seconds

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
FEW = {"unsigned": 250, "signed": 120}
MANY = {
    "unsigned": 200_000 if LONG else 18_000,
    "signed": 20_000 if LONG else 2_000,
}

#: How many headers are tried with a body, how many signed bodies in one life of a shop.
HEADERS = 5
BODIES = 4


# -- what Stripe sends -----------------------------------------------------------------


def subscription(**values: Any) -> dict[str, Any]:
    return make_subscription(
        **{"id": "sub_1", "customer": "cus_ada", "created": CREATED, **values}
    )


_SENT = [
    make_event("customer.subscription.created", subscription(), created=CREATED),
    make_event(
        "customer.subscription.updated",
        subscription(cancel_at_period_end=True),
        created=CREATED + 60,
        previous_attributes={"cancel_at_period_end": False},
    ),
    make_event(
        "customer.subscription.deleted",
        subscription(status="canceled"),
        created=CREATED + 120,
    ),
    make_event("customer.subscription.paused", subscription(status="paused")),
    make_event(
        "invoice.payment_failed", make_invoice(customer="cus_ada", subscription="sub_1")
    ),
    make_event(
        "checkout.session.completed",
        make_checkout_session(
            customer="cus_bob", subscription="sub_2", client_reference_id="2"
        ),
    ),
    make_event("customer.deleted", make_customer("cus_ada")),
    make_event("customer.updated", make_customer("cus_ada")),
    make_event("invoice.paid", make_invoice(customer="cus_ada", subscription="sub_1")),
    make_thin_event("customer.subscription.updated", "sub_1"),
    make_thin_event("invoice.payment_failed", "in_1", snapshot_event="evt_thin"),
]
EVENTS = [json.dumps(event) for event in _SENT]

#: Every key that stands in one of them.
KEYS = sorted(set(re.findall(r'"(\w+)":', "".join(EVENTS))))

_ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    -(10**18),
    2**31,
    2**63,
    253402300800,  # the year 10000
    float("nan"),
    float("inf"),
    "",
    " ",
    "x" * 256,
    "x" * 70_000,
    "\x00",
    "\ud800",
    "\u202e",
    "e\u0301\U0001f4a9",
    "..",
    "../../v1/customers",
    "1 OR 1=1",
    "'; DROP TABLE users; --",
    "1e309",
    "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "cus_ada",
    "cus_bob",
    "sub_1",
    "evt_thin",
    "1",
    "2",
    [],
    {},
    [[]],
    [None],
    {"id": None},
    {"id": "cus_ada"},
    {"id": ["sub_1"]},
    {"data": "x"},
    {"data": [None, 1, {}]},
    {"": ""},
]
ODD_VALUES = [json.dumps(value) for value in _ODD]


def pick(draw: Callable[..., Any], options: Sequence[Any]) -> Any:
    """As ``sampled_from`` does, in a third of the time."""
    return options[draw(st.integers(0, len(options) - 1))]


class Raw:
    """A piece of JSON that ``json.dumps`` would not write."""

    def __init__(self, text: str) -> None:
        self.text = text


RAW_VALUES = [
    Raw("-0"),
    Raw("1e400"),
    Raw("9" * 4000),
    Raw("9" * 5000),
    Raw("[" * 500 + "]" * 500),
    Raw('{"a":' * 300 + "1" + "}" * 300),
    Raw("[" * 30_000 + "]" * 30_000),
    Raw('{"id":"a","id":"cus_ada"}'),
    Raw('"\\ud83d"'),
    Raw("undefined"),
]

_HOLE = "a piece of raw JSON goes here"


def dump(event: Any, raw: Raw | None) -> bytes:
    text = json.dumps(event)
    return (text if raw is None else text.replace(f'"{_HOLE}"', raw.text)).encode()


def containers(value: Any) -> Iterator[Any]:
    """Every dict and list in a value that holds something."""
    if isinstance(value, dict | list) and value:
        yield value

        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


@st.composite
def odd_events(draw: Callable[..., Any]) -> bytes:
    """An event of Stripe's with other values, keys and types in a few places."""
    event = json.loads(pick(draw, EVENTS))
    event["id"] = f"evt_{draw(st.integers(0, 9))}"
    raw = None

    for _ in range(draw(st.integers(0, 3))):
        found = list(containers(event))
        container = found[draw(st.integers(0, len(found) - 1))] if found else event
        keys = (
            list(container) if isinstance(container, dict) else [*range(len(container))]
        )

        if not keys:
            break

        key = keys[draw(st.integers(0, len(keys) - 1))]
        act = pick(draw, ["replace", "delete", "add", "raw"])

        if act == "delete":
            del container[key]
        elif act == "raw" and raw is None:
            container[key], raw = _HOLE, pick(draw, RAW_VALUES)
        else:
            name = pick(draw, KEYS) if act == "add" else key
            name = name if isinstance(container, dict) else key
            container[name] = json.loads(pick(draw, ODD_VALUES))

    return dump(event, raw)


TOKENS = [
    b"",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b" ",
    b"\r\n",
    b"NaN",
    b"null",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
]


@st.composite
def damaged(draw: Callable[..., Any], bodies: st.SearchStrategy[bytes]) -> bytes:
    """A body with flipped bits, pieces cut out, put in, or taken from another one."""
    body = bytearray(draw(bodies))

    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        act = draw(st.integers(0, 4))

        if act == 0 and at < len(body):
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif act == 1:
            body[at : at + draw(st.integers(1, 50))] = b""
        elif act == 2:
            body[at:at] = pick(draw, TOKENS)
        elif act == 3:
            body[at:] = draw(bodies)[at:]
        else:
            del body[at:]

    return bytes(body)


odd_bodies = st.one_of(
    odd_events(), damaged(odd_events()), damaged(odd_events()), st.binary(max_size=40)
)


# -- Stripe-Signature ------------------------------------------------------------------


def digest(timestamp: str, body: bytes, secret: str = SECRET) -> str:
    """A signature by Stripe's recipe, written down once more on purpose."""
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


ODD_TIMES = [
    "",
    "0",
    "-1",
    "now",
    "1e9",
    "+1",
    "\u0661",
    " 1",
    "9" * 12,
    "9" * 13,
    "9" * 5000,
    "NaN",
    "None",
    "0x1",
]
ODD_SIGNATURES = ["", "0", "x" * 64, "0" * 64, "f" * 63, "\xe9" * 64, "a" * 9_000, "="]
ODD_ITEMS = [
    "",
    "=",
    "==",
    "t",
    "v1",
    "=v1",
    "t=",
    "v1=",
    "v0=0",
    "v2=0",
    "V1=0",
    " v1=0",
    "scheme=v1",
    "\x00=\x00",
    "\x7f",
    "\xff=\xff",
    "x" * 5_000,
    ";",
    "v1=0;v1=0",
    "v1\u2024=0".encode().decode("latin-1"),
]


@st.composite
def odd_headers(draw: Callable[..., Any], body: bytes, other: bytes) -> bytes:
    """A ``Stripe-Signature`` of many shapes; now and then a good one for another body,
    another time or with another secret.
    """
    now = int(time.time())
    stamp = pick(draw, [*[str(now)] * 8, str(now - 400), str(now + 400), *ODD_TIMES])
    forgeries: list[Callable[[], str]] = [
        lambda: digest(stamp, other),
        lambda: digest(stamp, body, ""),
        lambda: digest(stamp, body, "whsec_"),
        lambda: digest(stamp, body, SECRET.upper()),
        lambda: digest(stamp, body + b" "),
        lambda: digest("", body),
        lambda: digest(str(now - 1), body),
        lambda: digest(str(now - 10_000), body),
        lambda: digest(stamp, body).upper(),
        lambda: digest(stamp, body)[:-1],
        lambda: pick(draw, ODD_SIGNATURES),
    ]
    items = [f"t={stamp}"]

    for _ in range(draw(st.integers(0, 4))):
        key = pick(draw, ["v1", "v1", "v1", "v0", "v2", "V1", "v1 "])
        items.append(f"{key}={pick(draw, forgeries)()}")

    items += [pick(draw, ODD_ITEMS) for _ in range(draw(st.integers(0, 2)))]

    if draw(st.integers(0, 5)) == 0:
        items.append(f"t={pick(draw, ODD_TIMES)}")

    if draw(st.integers(0, 9)) == 0:
        items *= pick(draw, [2, 300, 2_000])

    if draw(st.booleans()):
        items.reverse()

    header: str = pick(draw, [",", ",", ",", ", ", ";", ",,", "\t"]).join(items)
    return header.encode()[:MEBIBYTE]


# -- the way in ------------------------------------------------------------------------


class Door:
    """The WSGI app of a shop, and its database seen from another connection."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.answers: Counter[int] = Counter()

        with shop.app.app_context():
            self.path = shop.db.engine.url.database

        shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
        shop.add_user(email="bob@example.com")

        @shop.kavach_stripe.on("*")  # type: ignore[untyped-decorator]  # Any
        def note(event: Any) -> None:
            shop.note(str(event.id))

    def post(self, body: bytes, header: bytes | None) -> tuple[int, Any]:
        environ: dict[str, Any] = {
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json; charset=utf-8",
            "PATH_INFO": URL,
            "QUERY_STRING": "",
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "HTTP_HOST": "shop.test",
            "SERVER_NAME": "shop.test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.errors": io.StringIO(),
            "wsgi.input": io.BytesIO(body),
            "wsgi.multiprocess": False,
            "wsgi.multithread": False,
            "wsgi.run_once": False,
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
        }

        if header is not None:
            environ["HTTP_STRIPE_SIGNATURE"] = header.decode(
                "latin-1"
            )  # as in PEP 3333

        status = 0

        def start_response(line: str, *_: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line.split()[0])
            return lambda written: None

        written = self.shop.app.wsgi_app(environ, start_response)
        answer = json.loads(b"".join(written))
        written.close()
        self.answers[status] += 1
        return status, answer


def version(connection: sqlite3.Connection) -> int:
    """A number that is another one once somebody else has written to the file."""
    (number,) = connection.execute("PRAGMA data_version").fetchone()
    return int(number)


def check_that_nothing_is_half_stored(connection: sqlite3.Connection) -> None:
    """Each event of the ledger was handled once, and the columns are those of a row."""
    unprocessed = connection.execute(
        "SELECT id, error FROM stripe_event WHERE processed_at IS NULL"
    ).fetchall()
    recorded = Counter(
        id_ for (id_,) in connection.execute("SELECT id FROM stripe_event")
    )
    noted = Counter(text for (text,) in connection.execute("SELECT text FROM note"))
    noted.pop("None", None)  # an event without an id is not recorded
    assert unprocessed == []
    assert noted == recorded

    users = connection.execute(
        "SELECT stripe_customer_id, stripe_subscription_id, stripe_subscription_status,"
        " stripe_price_id FROM users WHERE stripe_subscription_id IS NOT NULL"
    ).fetchall()
    rows = connection.execute(
        "SELECT customer_id, id, status, json_extract(items, '$[0].price')"
        " FROM stripe_subscription"
    ).fetchall()
    assert set(users) <= set(rows)


def configured(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def door(keep_shop: Any, caplog: pytest.LogCaptureFixture) -> Door:
    caplog.set_level(logging.CRITICAL, "flask_kavach_stripe")  # a line for each request
    return Door(keep_shop())


def send_unsigned(door: Door, examples: int) -> None:
    """Nothing gets in, fails, or writes a row."""

    with closing(sqlite3.connect(door.path)) as connection:

        @configured(examples)
        @given(data=st.data(), body=odd_bodies, other=odd_events())
        def run(data: Any, body: bytes, other: bytes) -> None:
            other += b" " if other == body else b""

            for _ in range(HEADERS):
                header = data.draw(st.none() | odd_headers(body, other))
                before = version(connection)
                status, answer = door.post(body, header)
                assert status == 400, (status, answer)
                assert answer["code"] == "invalid_signature"
                assert SECRET not in answer["error"]
                assert version(connection) == before

        run()

    assert set(door.answers) == {400}
    assert sum(door.answers.values()) >= examples * HEADERS


def answer_with_a_subscription(request: Any) -> tuple[int, dict[str, str], str]:
    """As Stripe, whatever subscription it is asked for."""
    customer = "cus_bob" if request.url.endswith("sub_2") else "cus_ada"
    found = subscription(id=request.url.rpartition("/")[2][:255], customer=customer)
    return 200, {}, json.dumps(found)


def send_signed(door: Door, examples: int) -> None:
    """Whatever Stripe might sign is taken or refused, never a fault of ours."""

    with (
        closing(sqlite3.connect(door.path)) as connection,
        responses.RequestsMock(assert_all_requests_are_fired=False) as stripe,
    ):
        stripe.add_callback(
            "GET", re.compile("https://api.stripe.com/"), answer_with_a_subscription
        )

        @configured(examples)
        @given(bodies=st.lists(odd_bodies, min_size=BODIES, max_size=BODIES))
        def run(bodies: list[bytes]) -> None:
            stripe.calls.reset()
            connection.execute("DELETE FROM stripe_event")
            connection.execute("DELETE FROM note")
            connection.execute("DELETE FROM stripe_subscription")
            connection.execute(
                "UPDATE users SET stripe_subscription_id = NULL,"
                " stripe_subscription_status = NULL, stripe_price_id = NULL,"
                " stripe_current_period_end = NULL,"
                " stripe_customer_id = CASE id WHEN 1 THEN 'cus_ada' END"
            )
            connection.commit()

            for body in bodies:
                stamp = str(int(time.time()))
                header = f"t={stamp},v1={digest(stamp, body)}"
                before = version(connection)
                status, answer = door.post(body, header.encode())
                assert status in (200, 400), (status, answer)

                if status == 400:
                    assert answer["code"] == "invalid_json"
                    assert version(connection) == before

            check_that_nothing_is_half_stored(connection)

        run()

    assert set(door.answers) == {200, 400}
    assert sum(door.answers.values()) >= examples * BODIES


def test_unsigned_requests_get_in_nowhere(door: Door) -> None:
    send_unsigned(door, FEW["unsigned"] // HEADERS)


def test_signed_odd_bodies_are_no_fault_of_ours(door: Door) -> None:
    send_signed(door, FEW["signed"] // BODIES)


@pytest.mark.slow
def test_many_unsigned_requests_get_in_nowhere(door: Door) -> None:
    send_unsigned(door, MANY["unsigned"] // HEADERS)


@pytest.mark.slow
def test_many_signed_odd_bodies_are_no_fault_of_ours(door: Door) -> None:
    send_signed(door, MANY["signed"] // BODIES)
