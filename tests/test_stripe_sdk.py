"""Client and signatures agree with Stripe's own library.

First what must be equal, on made-up input. Then one test for each thing that we do
otherwise on purpose, which shows both sides: if Stripe's side fails, Stripe changed
its mind, and the difference may be no longer needed.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl
from urllib.parse import urlsplit

import pytest
import requests
import stripe
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from flask_kavach_stripe.errors import SignatureVerificationError
from flask_kavach_stripe.errors import StripeError
from flask_kavach_stripe.stripe_api.client import StripeClient
from flask_kavach_stripe.stripe_api.client import StripeResponse
from flask_kavach_stripe.stripe_api.encoding import encode
from flask_kavach_stripe.stripe_api.encoding import quote_path
from flask_kavach_stripe.stripe_api.signatures import sign_payload
from flask_kavach_stripe.stripe_api.signatures import verify_signature

KEY = "sk_test_1"
SECRET = "whsec_one"

examples = settings(max_examples=150, deadline=None)


class Answer(SimpleNamespace):
    """What both clients are answered."""

    status: int = 200
    headers: Mapping[str, str]
    body: str


class Sent(SimpleNamespace):
    """A request in the form in which the two are compared."""

    method: str
    path: str
    query: list[tuple[str, str]]
    body: list[tuple[str, str]]
    headers: Mapping[str, str]


def as_sent(
    method: str, url: str, headers: Mapping[str, str], body: str | bytes | None
) -> Sent:
    parts = urlsplit(url)
    text = body.decode() if isinstance(body, bytes) else body or ""
    return Sent(
        method=method.upper(),
        path=parts.path,
        query=parse_qsl(parts.query, keep_blank_values=True),
        body=parse_qsl(text, keep_blank_values=True),
        headers=requests.structures.CaseInsensitiveDict(headers),
    )


class TheirTransport(stripe.HTTPClient):
    """Takes the place of the network in Stripe's client."""

    name = "test"

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.sent: list[Sent] = []

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        self.sent.append(as_sent(method, url, headers or {}, post_data))
        answer = self.answer
        return (
            answer.body,
            answer.status,
            requests.structures.CaseInsensitiveDict(answer.headers),
        )

    def _sleep_time_seconds(self, num_retries: int) -> float:
        return 0


class OurTransport(BaseAdapter):
    """Takes the place of the network in our client."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.sent: list[Sent] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self.sent.append(
            as_sent(
                request.method or "", request.url or "", request.headers, request.body
            )
        )
        response = requests.Response()
        response.status_code = self.answer.status
        response.headers.update(self.answer.headers)
        response.raw = io.BytesIO(self.answer.body.encode())
        response.request = request
        response.url = request.url or ""
        return response

    def close(self) -> None:
        """Nothing to close."""


class NoWait:
    """A clock on which waiting takes no time."""

    def time(self) -> float:
        return 0

    def monotonic(self) -> float:
        return 0

    def sleep(self, seconds: float, /) -> None:
        """Return at once."""


def call_both(
    method: str,
    path: str,
    params: dict[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    retries: int = 0,
) -> tuple[TheirTransport, OurTransport, Any, Any]:
    """Make one call with both, and return the transports and the two outcomes."""
    answer = Answer(
        status=status,
        headers=headers or {},
        body=json.dumps({} if body is None else body),
    )
    theirs = TheirTransport(answer)
    their_client = stripe.StripeClient(
        KEY, http_client=theirs, max_network_retries=retries
    )
    ours = OurTransport(answer)

    with requests.Session() as session:
        session.mount("https://", ours)
        our_client = StripeClient(
            KEY, session=session, max_network_retries=retries, clock=NoWait()
        )
        call = getattr(our_client, method.lower())

        try:
            our_outcome: Any = call(path, params)
        except StripeError as error:
            our_outcome = error

    try:
        their_outcome: Any = their_client.raw_request(
            method.lower(), path, **(params or {})
        )
    except stripe.StripeError as error:
        their_outcome = error

    return theirs, ours, their_outcome, our_outcome


# Equal: requests

keys = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1).map(
    lambda key: f"x_{key}"  # never the name of one of Stripe's options
)
times = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)
plain = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = plain | st.none() | st.booleans() | times | st.decimals(-999, 999, places=2)


def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    mappings = st.dictionaries(keys, scalars | children, max_size=4)
    return mappings | st.lists(plain | mappings, max_size=4) | st.tuples(mappings)


params_of_both = st.dictionaries(
    keys,
    st.recursive(scalars, containers, max_leaves=12),
    max_size=5,
)


@examples
@given(params_of_both, st.sampled_from(["GET", "POST", "DELETE"]))
def test_same_request(params: dict[str, Any], method: str) -> None:
    theirs, ours, _, _ = call_both(method, "/v1/customers", params)

    (their_request,) = theirs.sent
    (our_request,) = ours.sent
    assert our_request.method == their_request.method
    assert our_request.path == their_request.path
    assert our_request.query == their_request.query
    assert our_request.body == their_request.body

    for name in ("Authorization", "Content-Type", "Stripe-Version"):
        assert our_request.headers.get(name) == their_request.headers.get(name)

    for request in (our_request, their_request):
        assert ("Idempotency-Key" in request.headers) == (method == "POST")


@examples
@given(params_of_both)
def test_encode_is_what_the_client_sends(params: dict[str, Any]) -> None:
    _, ours, _, _ = call_both("POST", "/v1/customers", params)
    assert encode(params) == ours.sent[0].body


def test_same_request_of_a_checkout() -> None:
    """The one that matters, in full, should the made-up ones miss it."""
    params = {
        "mode": "subscription",
        "customer": "cus_1",
        "client_reference_id": "42",
        "line_items": [{"price": "price_1", "quantity": 2}],
        "success_url": "https://x.test/ok?session_id={CHECKOUT_SESSION_ID}",
        "subscription_data": {"trial_period_days": 14, "metadata": {"a": "ü & b"}},
        "allow_promotion_codes": True,
        "cancel_url": None,
        "expand": ["subscription", "line_items.data.price"],
    }
    theirs, ours, _, _ = call_both("POST", "/v1/checkout/sessions", params)
    assert ours.sent[0].body == theirs.sent[0].body
    assert ("success_url", params["success_url"]) in ours.sent[0].body


@pytest.mark.parametrize("customer_id", ["cus_1", "a/b", "é ü", "a?b#c", "50%", "a\\b"])
def test_same_path_of_an_id(customer_id: str) -> None:
    """Stripe's library writes a space as ``+``, so compare what they decode to."""
    theirs = TheirTransport(Answer(status=200, headers={}, body="{}"))
    stripe.StripeClient(KEY, http_client=theirs).v1.customers.retrieve(customer_id)
    path = quote_path("/v1/customers/{}", customer_id)
    assert theirs.sent[0].path.replace("+", "%20") == path


# Equal: answers

statuses = st.sampled_from(
    [200, 201, 299, *range(300, 305), *range(400, 432), 500, 503]
)
codes = st.sampled_from(
    [None, "resource_missing", "rate_limit", "lock_timeout", "idempotency_key_in_use"]
)
types = st.sampled_from(
    ["api_error", "card_error", "idempotency_error", "invalid_request_error"]
)


@examples
@given(statuses, types, codes)
def test_same_error(status: int, type: str, code: str | None) -> None:
    error = {"type": type, "code": code, "message": "No.", "param": "items[0][price]"}
    _, _, theirs, ours = call_both(
        "POST",
        "/v1/customers",
        status=status,
        headers={"Request-Id": "req_1"},
        body={"error": error},
    )

    if status < 300:
        assert isinstance(ours, StripeResponse)
        assert isinstance(theirs, stripe.StripeResponse)
        assert ours == theirs.data
        return

    assert isinstance(ours, StripeError)
    assert isinstance(theirs, stripe.StripeError)
    names = {"PermissionError": "PermissionDeniedError"}
    their_name = theirs.__class__.__name__
    assert ours.__class__.__name__ == names.get(their_name, their_name)
    assert ours.message == theirs.user_message
    assert ours.http_status == theirs.http_status
    assert ours.request_id == theirs.request_id
    assert theirs.error is not None
    assert (ours.type, ours.code) == (theirs.error.type, theirs.error.code)


@examples
@given(
    statuses, st.sampled_from([None, "true", "false", "x"]), codes, st.integers(0, 3)
)
def test_same_number_of_tries(
    status: int, advice: str | None, code: str | None, retries: int
) -> None:
    if status == 429 and code == "lock_timeout" and advice not in {"true", "false"}:
        return  # test_lock_timeout_is_retried_here_only

    if status < 300:
        advice = None  # a success is never sent again here, not even on advice

    theirs, ours, _, _ = call_both(
        "POST",
        "/v1/customers",
        status=status,
        headers={} if advice is None else {"Stripe-Should-Retry": advice},
        body={"error": {"code": code}},
        retries=retries,
    )
    assert len(ours.sent) == len(theirs.sent)

    for transport in (theirs, ours):
        assert len({item.headers["Idempotency-Key"] for item in transport.sent}) == 1


# Equal: signatures


def we_accept(payload: str | bytes, header: str | None, secret: str = SECRET) -> bool:
    body = payload.encode() if isinstance(payload, str) else payload

    try:
        verify_signature(body, header, [secret], now=time.time())
    except SignatureVerificationError:
        return False

    return True


def they_accept(payload: str | bytes, header: str | None, secret: str = SECRET) -> bool:
    try:
        stripe.WebhookSignature.verify_header(payload, header, secret, tolerance=300)
    except stripe.SignatureVerificationError:
        return False

    return True


def signature(payload: str | bytes, timestamp: int, secret: str = SECRET) -> str:
    return sign_payload(payload, secret, timestamp=timestamp).partition("v1=")[2]


# At 300 itself the seconds that a test takes would decide.
ages = st.sampled_from([0, 1, 60, 290, 310, 3600, 10**6, 10**9])
ascii_secrets = st.text(st.characters(codec="ascii"), max_size=8)


@examples
@given(st.text(), ascii_secrets, st.integers(0, 10**11))
def test_same_signature(payload: str, secret: str, timestamp: int) -> None:
    theirs = stripe.WebhookSignature.generate_signature_header(
        payload, secret, timestamp
    )
    assert sign_payload(payload, secret, timestamp=timestamp) == theirs


@examples
@given(st.data())
def test_same_signatures_accepted(data: st.DataObject) -> None:
    payload = data.draw(st.text())
    secret = data.draw(st.just(SECRET) | ascii_secrets)
    timestamp = int(time.time()) - data.draw(ages)
    good = signature(payload, timestamp, secret)
    items = data.draw(
        st.lists(
            st.sampled_from(
                [
                    f"v1={good}",
                    f"v1={signature(payload + ' ', timestamp, secret)}",
                    f"v1={signature(payload, timestamp, secret + '1')}",
                    f"v1={good.upper()}",
                    f"v1={good[:-1]}",
                    f"v1={good} ",
                    f" v1={good}",
                    f"V1={good}",
                    f"v0={good}",
                    f"v2={good}",
                    "v1=",
                    "scheme=x",
                ]
            ),
            max_size=5,
        )
    )
    position = data.draw(st.integers(0, len(items)) | st.none())

    if position is not None:
        items.insert(position, f"t={timestamp}")

    header = ",".join(items)
    assert we_accept(payload, header, secret) == they_accept(payload, header, secret)


@examples
@given(st.text(), ages)
def test_same_event_constructed(payload: str, age: int) -> None:
    """A header of ours, an event by Stripe's library."""
    body = json.dumps({"id": "evt_1", "object": "event", "x": payload})
    header = sign_payload(body, SECRET, timestamp=int(time.time()) - age)

    if we_accept(body, header):
        event = stripe.Webhook.construct_event(body, header, SECRET)
        assert event.id == "evt_1"
    else:
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, header, SECRET)


@examples
@given(st.data())
def test_damaged_header_is_never_accepted_by_us_alone(data: st.DataObject) -> None:
    header = sign_payload("{}", SECRET, timestamp=int(time.time()))
    start = data.draw(st.integers(0, len(header)))
    end = data.draw(st.integers(start, min(len(header), start + 3)))
    noise = data.draw(st.text("tv019af=,. +_\tx", max_size=4))
    damaged = header[:start] + noise + header[end:]

    if we_accept("{}", damaged):
        assert they_accept("{}", damaged)


# Otherwise on purpose: signatures


def test_timestamp_of_the_future_is_refused_here_only() -> None:
    """A leaked header with a far timestamp could be replayed for years."""
    header = sign_payload("{}", SECRET, timestamp=int(time.time()) + 10**8)
    assert they_accept("{}", header)
    assert not we_accept("{}", header)


@pytest.mark.parametrize("header", ["t=1,v1=é", "t=1,v1=\xff", "t=1,v1=\ud800"])
def test_header_that_is_not_ascii_is_a_type_error_there(header: str) -> None:
    """An uncaught error would be a 500, from anybody's request."""
    with pytest.raises(TypeError):
        they_accept("{}", header)

    assert not we_accept("{}", header)


def test_body_that_is_not_utf8_is_a_decode_error_there() -> None:
    body = b"\xff"
    header = sign_payload(body, SECRET, timestamp=int(time.time()))

    with pytest.raises(UnicodeDecodeError):
        they_accept(body, header)

    assert we_accept(body, header)
    assert not we_accept(b"\xfe", header)


@pytest.mark.parametrize(
    ("secret", "there"), [("", False), (" \r\n", False), ("\N{NO-BREAK SPACE}", True)]
)
def test_blank_secret_is_refused_in_every_script(secret: str, there: bool) -> None:
    header = sign_payload("{}", secret, timestamp=int(time.time()))
    assert they_accept("{}", header, secret) is there
    assert not we_accept("{}", header, secret)


@pytest.mark.parametrize(
    "form", ["+{}", " {}", "{}\n", "0{}", "\N{ARABIC-INDIC DIGIT ZERO}{}"]
)
def test_timestamp_has_one_form_here(form: str) -> None:
    now = int(time.time())
    header = f"t={form.format(now)},v1={signature('{}', now)}"
    assert they_accept("{}", header)
    assert not we_accept("{}", header)


def test_second_timestamp_is_ignored_there() -> None:
    header = sign_payload("{}", SECRET, timestamp=int(time.time())) + ",t=1"
    assert they_accept("{}", header)
    assert not we_accept("{}", header)


@pytest.mark.parametrize("tail", [",", ",x", "=x"])
def test_malformed_item_is_ignored_there(tail: str) -> None:
    header = sign_payload("{}", SECRET, timestamp=int(time.time())) + tail
    assert they_accept("{}", header)
    assert not we_accept("{}", header)


def test_tolerance_of_zero_turns_the_check_off_there() -> None:
    header = sign_payload("{}", SECRET, timestamp=1)
    assert stripe.WebhookSignature.verify_header("{}", header, SECRET, tolerance=0)

    with pytest.raises(ValueError, match="tolerance"):
        verify_signature(b"{}", header, [SECRET], tolerance=0, now=time.time())


# Otherwise on purpose: requests


@pytest.mark.parametrize(
    ("params", "there", "here"),
    [
        pytest.param({"x": [True]}, "True", "true", id="bool in list"),
        pytest.param(
            {"x": [datetime(2026, 1, 2, tzinfo=UTC)]},
            "2026-01-02 00:00:00+00:00",
            "1767312000",
            id="time in list",
        ),
        pytest.param({"x": [None]}, "None", None, id="None in list"),
        pytest.param({"x": Decimal("1E+2")}, "1E+2", "100", id="Decimal"),
        pytest.param({"x": [Decimal("1E+2")]}, "1E+2", "100", id="Decimal in list"),
    ],
)
def test_value_is_sent_otherwise(
    params: dict[str, Any], there: str, here: str | None
) -> None:
    theirs, ours, _, _ = call_both("POST", "/v1/customers", params)
    assert [value for _, value in theirs.sent[0].body] == [there]
    assert [value for _, value in ours.sent[0].body] == ([] if here is None else [here])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(datetime(2026, 1, 1), id="naive time"),  # noqa: DTZ001
        pytest.param(float("nan"), id="nan"),
        pytest.param(Decimal("Infinity"), id="Decimal inf"),
        pytest.param(b"x", id="bytes"),
        pytest.param({1}, id="set"),
        pytest.param({1: "x"}, id="key that is no string"),
        pytest.param(SimpleNamespace(id="cus_1"), id="object with an id"),
    ],
)
def test_value_is_refused_here_only(value: object) -> None:
    """Stripe's library sends something, such as the local time or ``{1}``."""
    theirs = TheirTransport(Answer(status=200, headers={}, body="{}"))
    client = stripe.StripeClient(KEY, http_client=theirs)
    client.raw_request("post", "/v1/customers", x=value)
    assert theirs.sent[0].body

    with pytest.raises((TypeError, ValueError), match="'x"):
        encode({"x": value})


# Otherwise on purpose: answers


def test_lock_timeout_is_retried_here_only() -> None:
    """Stripe asks for it in its documentation, and does it in its Ruby library."""
    theirs, ours, _, _ = call_both(
        "POST",
        "/v1/customers",
        status=429,
        body={"error": {"code": "lock_timeout"}},
        retries=2,
    )
    assert (len(theirs.sent), len(ours.sent)) == (1, 3)


def test_success_is_sent_again_there_if_so_advised() -> None:
    theirs, ours, _, _ = call_both(
        "POST", "/v1/customers", headers={"Stripe-Should-Retry": "true"}, retries=2
    )
    assert (len(theirs.sent), len(ours.sent)) == (3, 1)


def test_key_in_stripes_text_is_scrubbed_here_only() -> None:
    _, _, theirs, ours = call_both(
        "GET",
        "/v1/customers",
        status=401,
        body={"error": {"message": f"Invalid API Key provided: {KEY}"}},
    )
    assert KEY in str(theirs)
    assert KEY not in str(ours)
