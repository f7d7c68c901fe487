"""A malformed body of a logged-in browser is refused, and nothing happens.

Every price and redirect is open here, so that no allow-list hides a missing check, and
any call to Stripe fails the test.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses

from tests.vocabulary import CHECKOUT
from tests.vocabulary import PORTAL

PATHS = {
    CHECKOUT: "priceId",
    PORTAL: "returnUrl",
}


def with_price(**fields: Any) -> bytes:
    """A body for checkout that would do, but for what is given."""
    return json.dumps({"priceId": "price_pro", **fields}).encode()


#: What is not a JSON object, for both endpoints.
NOT_OBJECTS = {
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "text": b'"priceId"',
    "empty array": b"[]",
    "array of an object": b'[{"priceId": "price_pro"}]',
    "array of pairs": b'[["priceId", "price_pro"]]',
    "NaN": b"NaN",
    "white space": b"  \n",
    "broken": b'{"priceId": "price_pro"',
    "trailing comma": b'{"priceId": "price_pro",}',
    "two objects": b'{"priceId": "a"}{"priceId": "b"}',
    "single quotes": b"{'priceId': 'price_pro'}",
    "comment": b'/* */ {"priceId": "price_pro"}',
    "BOM": b'\xef\xbb\xbf{"priceId": "price_pro"}',
    "Latin-1": '{"priceId": "é"}'.encode("latin-1"),
    "UTF-16": '{"priceId": "p", "returnUrl": "/"}'.encode("utf-16"),
    "UTF-32": '{"priceId": "p", "returnUrl": "/"}'.encode("utf-32"),
    "lone bytes": b"\xff\xfe\xfd",
    "overlong": b'{"priceId": "\xc0\xaf"}',
    "surrogate bytes": b'{"priceId": "\xed\xa0\x80"}',
    "NUL": b"\0",
    "raw control character": b'{"priceId": "a\0b", "returnUrl": "/\n"}',
    "form, called JSON": b"priceId=price_pro&returnUrl=/",
    "deep array": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "deep value": b'{"priceId": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "endless number": b'{"quantity": ' + b"9" * 10_000 + b"}",
    "XML": b"<?xml version='1.0'?><a/>",
}

#: Objects whose one field is of a wrong type, for both endpoints.
WRONG_TEXTS = {
    "true": True,
    "zero": 0,
    "number": 12,
    "float": 1.5,
    "infinite": float("inf"),
    "array": ["price_pro"],
    "empty array": [],
    "object": {"id": "price_pro"},
    "empty object": {},
    "half character": "\ud800",
    "half character inside": "/a\udfffb",
    "endless": "/" + "x" * 5000,
}

#: Bodies of checkout, and the field that the sentence names.
WRONG_FIELDS = {
    "quantity zero": ("quantity", with_price(quantity=0)),
    "quantity negative": ("quantity", with_price(quantity=-1)),
    "quantity too large": ("quantity", with_price(quantity=1_000_000)),
    "quantity huge": ("quantity", with_price(quantity=10**30)),
    "quantity float": ("quantity", with_price(quantity=1.5)),
    "quantity whole float": ("quantity", with_price(quantity=1.0)),
    "quantity NaN": ("quantity", with_price(quantity=float("nan"))),
    "quantity infinite": ("quantity", with_price(quantity=float("-inf"))),
    "quantity exponent": ("quantity", b'{"priceId": "p", "quantity": 1e400}'),
    "quantity text": ("quantity", with_price(quantity="1")),
    "quantity true": ("quantity", with_price(quantity=True)),
    "quantity array": ("quantity", with_price(quantity=[1])),
    "quantity object": ("quantity", with_price(quantity={})),
    "trialDays negative": ("trialDays", with_price(trialDays=-1)),
    "trialDays float": ("trialDays", with_price(trialDays=7.0)),
    "trialDays text": ("trialDays", with_price(trialDays="7")),
    "trialDays false": ("trialDays", with_price(trialDays=False)),
    "trialDays array": ("trialDays", with_price(trial_days=[7])),
    "trialDays huge": ("trialDays", with_price(trialDays=10**18)),
    "price number": ("price", with_price(price=1)),
    "price array": ("price", with_price(price=["pro"])),
    "successUrl number": ("successUrl", with_price(successUrl=1)),
    "successUrl object": ("successUrl", with_price(successUrl={"url": "/"})),
    "cancelUrl true": ("cancelUrl", with_price(cancelUrl=True)),
    "cancelUrl array": ("cancelUrl", with_price(cancel_url=["/"])),
    "successUrl relative": ("successUrl", with_price(successUrl="account")),
    "successUrl half character": ("successUrl", with_price(successUrl="/\udc00")),
    "cancelUrl blank": ("cancelUrl", with_price(cancelUrl=" ")),
    "cancelUrl with NUL": ("cancelUrl", with_price(cancelUrl="/\0")),
    "metadata text": ("metadata", with_price(metadata="a=b")),
    "metadata array": ("metadata", with_price(metadata=[["a", "b"]])),
    "metadata number": ("metadata", with_price(metadata=1)),
    "metadata true": ("metadata", with_price(metadata=True)),
    "metadata of a number": ("metadata.a", with_price(metadata={"a": 1})),
    "metadata of null": ("metadata.a", with_price(metadata={"a": None})),
    "metadata of an object": ("metadata.a", with_price(metadata={"a": {}})),
    "metadata of an array": ("metadata.a", with_price(metadata={"a": ["b"]})),
    "metadata long value": ("metadata.a", with_price(metadata={"a": "b" * 501})),
    "metadata half character": ("metadata.a", with_price(metadata={"a": "\ud800"})),
    "metadata half a key": ("metadata", with_price(metadata={"\ud800": "a"})),
    "metadata half a key, number": ("metadata", with_price(metadata={"\ud800": 1})),
    "metadata long key": ("metadata", with_price(metadata={"a" * 41: "b"})),
    "metadata empty key": ("metadata", with_price(metadata={"": "b"})),
    "metadata brackets": ("metadata", with_price(metadata={"a[b]": "c"})),
    "metadata keys": (
        "metadata",
        with_price(metadata={str(number): "a" for number in range(49)}),
    ),
}


def post(
    shop: Any, path: str, body: bytes, content_type: str = "application/json"
) -> Any:
    """Post as a user with a customer; with a mock of Stripe that takes nothing."""
    before = (shop.columns(), len(shop.subscriptions), len(shop.events))

    with responses.RequestsMock() as stripe_api:
        response = shop.browser(1).post(path, data=body, content_type=content_type)

        assert len(stripe_api.calls) == 0

    assert (shop.columns(), len(shop.subscriptions), len(shop.events)) == before
    return response


def assert_refused(response: Any, *codes: str, name: str = "") -> None:
    assert response.status_code == 400
    assert response.json.keys() == {"error", "code"}
    assert response.json["code"] in codes
    assert name in response.json["error"]
    assert response.json["error"].endswith(".")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", NOT_OBJECTS.values(), ids=NOT_OBJECTS)
def test_body_that_is_not_a_json_object(kept_shop: Any, path: str, body: bytes) -> None:
    assert_refused(post(kept_shop, path, body), "invalid_json")


@pytest.mark.parametrize(("path", "field"), PATHS.items())
@pytest.mark.parametrize("value", WRONG_TEXTS.values(), ids=WRONG_TEXTS)
def test_field_that_is_not_a_text(
    kept_shop: Any, path: str, field: str, value: Any
) -> None:
    response = post(kept_shop, path, json.dumps({field: value}).encode())

    assert_refused(response, "invalid_field", name=f"'{field}'")


@pytest.mark.parametrize(
    ("name", "body"), WRONG_FIELDS.values(), ids=WRONG_FIELDS.keys()
)
def test_wrong_field_of_checkout(kept_shop: Any, name: str, body: bytes) -> None:
    response = post(kept_shop, CHECKOUT, body)

    assert_refused(response, "invalid_field", "untrusted_redirect", name=f"'{name}'")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"priceId": null, "returnUrl": null}',
        b'{"priceId": "", "returnUrl": ""}',
        b'{"PriceId": "p", "ReturnUrl": "/"}',
        b'{"__proto__": {"priceId": "p"}}',
    ],
)
def test_missing_field(kept_shop: Any, path: str, body: bytes) -> None:
    response = post(kept_shop, path, body)

    assert_refused(response, "missing_field", name=f"'{PATHS[path]}'")


FORM = "application/x-www-form-urlencoded"
BOUNDARY = "multipart/form-data; boundary=b"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"\xff\xfe", FORM, id="bytes"),
        pytest.param(b"&&&===&", FORM, id="signs"),
        pytest.param(b"%%%=%zz&%00=%00", FORM, id="wrong escapes"),
        pytest.param(b'{"priceId": "p", "returnUrl": "/"}', FORM, id="JSON as form"),
        pytest.param(b"priceId[]=p&returnUrl[]=/", FORM, id="brackets"),
        pytest.param(b"", BOUNDARY, id="empty multipart"),
        pytest.param(b"--b\r\n", BOUNDARY, id="cut multipart"),
        pytest.param(b"\r\n--b--\r\n", BOUNDARY, id="multipart of nothing"),
        pytest.param(b"x", "multipart/form-data", id="multipart without a boundary"),
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="priceId"; filename="a"'
            b"\r\n\r\nprice_pro\r\n--b--\r\n",
            BOUNDARY,
            id="file",
        ),
    ],
)
def test_malformed_form(
    kept_shop: Any, path: str, body: bytes, content_type: str
) -> None:
    """It has no field that is needed; the person is sent back."""
    response = post(kept_shop, path, body, content_type)

    assert (response.status_code, response.location) == (303, "/")


@pytest.mark.parametrize("path", PATHS)
def test_field_of_multipart_that_is_too_large(kept_shop: Any, path: str) -> None:
    """Werkzeug's own refusal is its page, for a form."""
    head = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    body = head + b"x" * 600_000 + b"\r\n--b--\r\n"

    response = post(kept_shop, path, body, BOUNDARY)

    assert (response.status_code, response.mimetype) == (413, "text/html")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fields", [b"a&" * 3000, b"a=b&" * 100_000])
def test_form_of_many_fields(kept_shop: Any, path: str, fields: bytes) -> None:
    assert post(kept_shop, path, fields, FORM).status_code in (303, 413)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        ";",
        "application/json; charset=utf-16",
        "application/json; charset=\0",
        "\xff",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_odd_content_type(kept_shop: Any, path: str, content_type: str) -> None:
    assert_refused(post(kept_shop, path, b"[]", content_type), "invalid_json")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_odd_content_length(kept_shop: Any, path: str, length: str) -> None:
    browser = kept_shop.browser(1)

    response = browser.post(path, environ_overrides={"CONTENT_LENGTH": length})

    assert response.status_code in (400, 413)


@pytest.mark.parametrize(
    "name",
    ["Origin", "Sec-Fetch-Site", "Accept", "Accept-Language", "Referer", "User-Agent"],
)
@pytest.mark.parametrize("value", ["", "\xff\xfe", "a" * 10_000, ";;,,==", "%00"])
@pytest.mark.parametrize("path", PATHS)
def test_odd_header(kept_shop: Any, path: str, name: str, value: str) -> None:
    browser = kept_shop.browser(1)

    response = browser.post(path, json=[], headers={name: value})

    assert response.status_code in (400, 403)
