"""No header or body, however odd, gives a 5xx or changes a row."""

from __future__ import annotations

import codecs
import copy
import gzip
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_thin_event
from tests.vocabulary import sign
from tests.vocabulary import store_subscription
from tests.vocabulary import SUBSCRIPTION
from tests.vocabulary import subscription
from tests.vocabulary import T
from tests.vocabulary import WEBHOOK
from tests.webhook.endings import ending
from tests.webhook.endings import GOOD

MEBIBYTE = 1024 * 1024


LONE = "\ud800"  # a lone surrogate: no text that can be encoded


@pytest.fixture
def shop(shop: Any) -> Any:
    """Ada has a subscription."""
    store_subscription(shop)
    return shop


@pytest.fixture
def any_answer() -> Iterator[responses.RequestsMock]:
    """A Stripe that answers whatever it is asked with Ada's subscription."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(re.compile("https://api.stripe.com/"), json=subscription())
        yield mock


# -- the request -----------------------------------------------------------------------


BODIES = {
    "empty": b"",
    "blank": b" \n\t",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "NaN": b"NaN",
    "text": b'"customer.subscription.deleted"',
    "array": b"[]",
    "array of events": b"[" + GOOD + b"]",
    "two events": GOOD + GOOD,
    "cut": GOOD[:-1],
    "a byte more": GOOD + b"}",
    "single quotes": str(ending()).encode(),
    "trailing comma": GOOD[:-1] + b",}",
    "form": b"payload=%7B%7D",
    "XML": b"<?xml version='1.0'?><event/>",
    "UTF-8 with a mark": codecs.BOM_UTF8 + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16, little": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "Latin-1": GOOD.replace(b"sub_1", b"sub_\xe9"),
    "encoded surrogate": GOOD.replace(b"sub_1", b"sub_\xed\xa0\x80"),
    "overlong": GOOD.replace(b"sub_1", b"sub_\xc0\xaf"),
    "NUL after": GOOD + b"\x00",
    "NUL inside": GOOD.replace(b"sub_1", b"sub_\x00"),
    "line break inside": GOOD.replace(b"sub_1", b"sub_\n"),
    "gzip": gzip.compress(GOOD),
    "deep arrays": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge integer": GOOD.replace(b"1790000060", b"9" * 5000),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.usefixtures("unchanged")
def test_signed_body_that_is_no_object_is_a_400(shop: Any, name: str) -> None:
    answer = shop.post_event(BODIES[name])
    assert answer.status_code == 400
    assert answer.json["code"] == "invalid_json"


@pytest.mark.parametrize("depth", [100, 500, 900])
@pytest.mark.parametrize("bracket", ['{"a":%s}', "[%s]"])
def test_deep_metadata_is_no_fault_of_ours(
    shop: Any, any_answer: Any, depth: int, bracket: str
) -> None:
    nested = "7"

    for _ in range(depth):
        nested = bracket % nested

    sessions: list[dict[str, Any]] = [
        {"metadata": {"kavach_user_id": "@"}},
        {"metadata": "@"},
        {"client_reference_id": "@"},
    ]

    for values in sessions:
        session = {**make_checkout_session(customer="cus_x"), **values}
        sent = make_event("checkout.session.completed", session)
        body = json.dumps(sent).replace('"@"', nested).encode()
        assert shop.post_event(body).status_code in (200, 400)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": ""}, 200),
        ({"Content-Type": "nonsense"}, 200),
        ({"Content-Type": "text/plain; charset=utf-16"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 200),
        ({"Content-Type": "multipart/form-data"}, 200),
        ({"Content-Encoding": "gzip"}, 200),
        ({"Cookie": "session=x; remember_token=y; \xff"}, 200),
        ({"Authorization": "Basic \xff"}, 200),
        ({"Authorization": "Bearer"}, 200),
        ({"Accept": "\xff", "Accept-Language": ";;q=x"}, 200),
        ({"Range": "bytes=x"}, 200),
        ({"If-Match": '"', "If-Modified-Since": "soon"}, 200),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 200),
        ({"X-Forwarded-For": "x" * 10_000}, 200),
    ],
)
def test_other_headers_do_not_matter(
    shop: Any, headers: dict[str, str], status: int
) -> None:
    names = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in headers}
    environ = {
        "CONTENT_TYPE" if name == "Content-Type" else names[name]: value
        for name, value in headers.items()
    }
    environ["HTTP_STRIPE_SIGNATURE"] = sign(GOOD)
    answer = shop.app.test_client().post(WEBHOOK, data=GOOD, environ_overrides=environ)
    assert answer.status_code == status
    assert shop.columns()["subscription_status"] == "canceled"


@pytest.mark.parametrize(
    "environ",
    [
        {"CONTENT_LENGTH": "abc"},
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": "7"},
        {"CONTENT_LENGTH": str(len(GOOD) + 1)},
        {"CONTENT_LENGTH": "\u0667"},
        {"CONTENT_LENGTH": "9" * 30},
    ],
    ids=str,
)
@pytest.mark.usefixtures("unchanged")
def test_odd_length_is_refused(shop: Any, environ: dict[str, str]) -> None:
    environ = {**environ, "HTTP_STRIPE_SIGNATURE": sign(GOOD)}
    answer = shop.app.test_client().post(WEBHOOK, data=GOOD, environ_overrides=environ)
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.usefixtures("unchanged")
def test_more_than_a_mebibyte_is_a_413(shop: Any, chunked: bool, signed: bool) -> None:
    body = GOOD + b" " * (MEBIBYTE + 1 - len(GOOD))
    environ: dict[str, Any] = {
        "HTTP_STRIPE_SIGNATURE": sign(body) if signed else "t=1,v1=0"
    }

    if chunked:  # a server that decodes it says so, and gives no length
        environ |= {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(body)}

    answer = shop.app.test_client().post(
        WEBHOOK, data=None if chunked else body, environ_overrides=environ
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("chunked", [False, True])
def test_a_mebibyte_is_taken(shop: Any, chunked: bool) -> None:
    body = GOOD + b" " * (MEBIBYTE - len(GOOD))
    environ: dict[str, Any] = {"HTTP_STRIPE_SIGNATURE": sign(body)}

    if chunked:
        environ |= {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(body)}

    answer = shop.app.test_client().post(
        WEBHOOK, data=None if chunked else body, environ_overrides=environ
    )
    assert answer.status_code == 200
    assert shop.columns()["subscription_status"] == "canceled"


def test_smaller_limit_of_the_app_does_not_stop_stripe(make_shop: Any) -> None:
    shop = make_shop(MAX_CONTENT_LENGTH=1024)
    sent = ending(padding="x" * 100_000)
    assert shop.post_event(sent).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.usefixtures("unchanged")
def test_other_methods_are_refused(shop: Any, method: str) -> None:
    headers = {"Stripe-Signature": sign(GOOD)}
    answer = shop.app.test_client().open(
        WEBHOOK, method=method, data=GOOD, headers=headers
    )
    assert answer.status_code == 405


@pytest.mark.parametrize(
    "query", ["", "?a=%ff", "?%00", "?" + "x" * 10_000, "?stripe-signature=t=1"]
)
def test_query_does_not_matter(shop: Any, query: str) -> None:
    headers = {"Stripe-Signature": sign(GOOD)}
    answer = shop.app.test_client().post(WEBHOOK + query, data=GOOD, headers=headers)
    assert answer.status_code == 200


# -- the event -------------------------------------------------------------------------


ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    0.5,
    -1e308,
    float("nan"),
    float("inf"),
    10**18,
    10**25,
    -(10**4000),
    "",
    " ",
    "x",
    "..",
    "a/../b?c#d",
    "\x00",
    "cus_\x00",
    LONE,
    "ü\u202e\U0001f600",
    "9" * 10_000,
    "' OR 1=1; --",
    "%s%n{0}",
    [],
    [None],
    [[], {}],
    ["cus_ada"],
    {},
    {"id": None},
    {"id": {"id": "sub_1"}},
    {"id": 7},
    {"id": LONE},
    {"data": None},
    {"data": {"0": {}}},
    {"data": [None, 7, "x", [], {"price": []}]},
    {"data": [{"period": 7, "parent": []}, {"current_period_end": "x"}]},
)

CHECKOUT = make_event(
    "checkout.session.completed",
    make_checkout_session(
        customer="cus_ada", subscription="sub_1", client_reference_id="1"
    ),
    created=T + 60,
)
UPDATED = make_event(
    "customer.subscription.updated",
    subscription(status="past_due"),
    created=T,
    previous_attributes={"status": "active"},
)
FAILED = make_event(
    "invoice.payment_failed",
    make_invoice(customer="cus_ada", subscription="sub_1"),
    created=T + 60,
)
GONE = make_event("customer.deleted", make_customer("cus_ada"), created=T + 60)
THIN = make_thin_event("customer.subscription.updated", "sub_1", created=T + 60)
THIN_CHECKOUT = make_thin_event("checkout.session.completed", "cs_1", created=T + 60)
OBJECT = ("data", "object")
ITEM = (*OBJECT, "items", "data", 0)
LINE = (*OBJECT, "lines", "data", 0)

FIELDS: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    *(
        (UPDATED, (name,))
        for name in (
            "id",
            "object",
            "type",
            "created",
            "livemode",
            "account",
            "api_version",
            "data",
        )
    ),
    (UPDATED, OBJECT),
    (UPDATED, ("data", "previous_attributes")),
    *(
        (UPDATED, (*OBJECT, name))
        for name in (
            "id",
            "customer",
            "status",
            "items",
            "cancel_at",
            "cancel_at_period_end",
            "current_period_end",
            "trial_end",
            "ended_at",
            "created",
            "test_clock",
        )
    ),
    (UPDATED, (*OBJECT, "items", "data")),
    (UPDATED, ITEM),
    *(
        (UPDATED, (*ITEM, name))
        for name in ("price", "plan", "quantity", "current_period_end")
    ),
    (UPDATED, (*ITEM, "price", "id")),
    *((ending(), (*OBJECT, name)) for name in ("id", "customer", "status", "ended_at")),
    *(
        (CHECKOUT, (*OBJECT, name))
        for name in (
            "customer",
            "subscription",
            "client_reference_id",
            "mode",
            "metadata",
            "payment_link",
            "status",
        )
    ),
    (CHECKOUT, (*OBJECT, "metadata", "kavach_user_id")),
    *(
        (FAILED, (*OBJECT, name))
        for name in ("customer", "billing_reason", "lines", "parent", "subscription")
    ),
    (FAILED, ("created",)),
    (FAILED, (*OBJECT, "parent", "subscription_details")),
    (FAILED, (*OBJECT, "parent", "subscription_details", "subscription")),
    (FAILED, (*OBJECT, "lines", "data")),
    *((FAILED, (*LINE, name)) for name in ("period", "parent")),
    (FAILED, (*LINE, "period", "end")),
    (FAILED, (*LINE, "parent", "subscription_item_details")),
    (GONE, (*OBJECT, "id")),
    (GONE, ("created",)),
    *(
        (sent, (name,))
        for sent in (THIN, THIN_CHECKOUT)
        for name in (
            "id",
            "object",
            "type",
            "created",
            "livemode",
            "context",
            "related_object",
            "snapshot_event",
        )
    ),
    *(
        (sent, ("related_object", name))
        for sent in (THIN, THIN_CHECKOUT)
        for name in ("id", "type", "url")
    ),
]


def spoilt(sent: dict[str, Any], path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of an event with another value at a place."""
    changed = copy.deepcopy(sent)
    *parents, last = path
    target: Any = changed

    for name in parents:
        target = target[name]

    target[last] = value
    return changed


def look_at(received: Event) -> None:
    """Have a handler use all that an event offers."""
    for name in (
        "id",
        "type",
        "created",
        "livemode",
        "account",
        "api_version",
        "data",
        "object",
        "previous_attributes",
        "user",
        "object_id",
        "time",
    ):
        getattr(received, name)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(7, id="some values"),
        pytest.param(1, id="all values", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("sent", "path"),
    FIELDS,
    ids=[f"{sent['type']}-{'.'.join(map(str, path))}" for sent, path in FIELDS],
)
def test_odd_value_in_any_field_is_no_fault_of_ours(
    shop: Any,
    any_answer: Any,
    sent: dict[str, Any],
    path: tuple[str | int, ...],
    step: int,
) -> None:
    """Also where a handler looks at all of it, and where an event comes after it."""
    shop.kavach_stripe.on("*")(look_at)
    shop.kavach_stripe.on_subscription_change(lambda user, found: found.is_active)
    first = FIELDS.index((sent, path)) % step  # other values for each field

    for number, value in enumerate(ODD_VALUES[first::step]):
        numbered = {**sent, "id": f"evt_{number}"}
        answer = shop.post_event(spoilt(numbered, path, value))
        assert answer.status_code in (200, 400), value

    assert shop.browser(1).get(SUBSCRIPTION).status_code == 200
    assert shop.post_event(CHECKOUT).status_code == 200
    assert len({row.id for row in shop.subscriptions}) < 5


ODD_IDS: tuple[Any, ...] = (
    None,
    7,
    True,
    "",
    " ",
    "..",
    [],
    ["cus_ada"],
    {},
    {"id": None},
    {"id": ["cus_ada"]},
    "cus_ada ",
    "cus_ada\x00",
    f"cus_ada{LONE}",
    "cus_äda",
    "9" * 256,
    "9" * 10_000,
)
ODD_STATUSES: tuple[Any, ...] = (
    None,
    7,
    True,
    "",
    [],
    {},
    "\x00",
    LONE,
    "past due",
    "x" * 33,
)
INVOICE: dict[str, Any] = {
    "customer": "cus_ada",
    "subscription": "sub_1",
    "lines": None,
}
SESSION: dict[str, Any] = {
    "customer": "cus_x",
    "subscription": "sub_9",
    "client_reference_id": "1",
}
IGNORED: dict[str, Any] = {
    "empty object": {},
    "no type": {"id": "evt_1", "object": "event", "data": {"object": subscription()}},
    "no data": {"id": "evt_1", "type": "customer.subscription.deleted"},
    "data null": ending(data=None),
    "data array": ending(data=[]),
    "data text": ending(data="x"),
    "object missing": ending(data={}),
    "object null": ending(data={"object": None}),
    "object array": ending(data={"object": [subscription()]}),
    "object text": ending(data={"object": "sub_1"}),
    "object empty": ending(data={"object": {}}),
    "type null": ending(type=None),
    "type number": ending(type=7),
    "type array": ending(type=["customer.subscription.deleted"]),
    "type object": ending(type={}),
    "type empty": ending(type=""),
    "type with NUL": ending(type="customer.subscription.deleted\x00"),
    "type with surrogate": ending(type=f"customer.subscription.deleted{LONE}"),
    "type of capitals": ending(type="Customer.Subscription.Deleted"),
    "type with v1": ending(type="v1.customer.subscription.deleted"),
    "type of 10,000": ending(type="customer." * 1111),
    "livemode": ending(livemode=True),
    **{
        f"subscription {name} {ascii(value)[:20]}": ending(
            data={"object": {**subscription(), name: value}}
        )
        for name in ("id", "customer")
        for value in ODD_IDS
    },
    **{
        f"status {ascii(value)[:20]}": make_event(
            "customer.subscription.updated", subscription(status=value), created=T + 60
        )
        for value in ODD_STATUSES
    },
    **{
        f"customer.deleted {ascii(value)[:20]}": make_event(
            "customer.deleted", {"object": "customer", "id": value}
        )
        for value in ODD_IDS
    },
    **{
        f"invoice {name} {ascii(value)[:20]}": make_event(
            "invoice.payment_failed",
            make_invoice(**INVOICE | {name: value}),
            created=T + 60,
        )
        for name in ("customer", "subscription")
        for value in ODD_IDS[::2]
    },
    **{
        f"session {name} {ascii(value)[:20]}": make_event(
            "checkout.session.completed",
            make_checkout_session(**SESSION | {name: value}),
        )
        for name in ("customer", "client_reference_id", "subscription")
        for value in ODD_IDS[1::2]
    },
}


@pytest.mark.parametrize("name", IGNORED)
@pytest.mark.usefixtures("unchanged")
def test_odd_event_is_answered_and_changes_nothing(shop: Any, name: str) -> None:
    answer = shop.post_event(IGNORED[name])
    assert (answer.status_code, answer.json) == (200, {"received": True})


@pytest.mark.parametrize("event_id", [None, 7, "", [], {}, "\x00", LONE, "x" * 10_000])
def test_event_of_an_odd_id_is_processed_and_not_recorded(
    shop: Any, event_id: Any
) -> None:
    assert shop.post_event(ending(id=event_id)).status_code == 200
    assert shop.columns()["subscription_status"] == "canceled"
    assert len(shop.events) == 1
