"""Parameters and paths are encoded as Stripe reads them, or refused."""

from __future__ import annotations

from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC
from decimal import Decimal
from enum import Enum
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest

from flask_kavach_stripe.stripe_api.encoding import encode
from flask_kavach_stripe.stripe_api.encoding import quote_path


class Count(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("params", "pairs"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"a": "x", "b": "y"}, [("a", "x"), ("b", "y")], id="strings"),
        pytest.param({"a": {"b": {"c": 1}}}, [("a[b][c]", "1")], id="mappings"),
        pytest.param(
            {"items": [{"price": "p", "quantity": 2}, {"price": "q"}]},
            [
                ("items[0][price]", "p"),
                ("items[0][quantity]", "2"),
                ("items[1][price]", "q"),
            ],
            id="list of mappings",
        ),
        pytest.param(
            {"expand": ["a", "b"]}, [("expand[0]", "a"), ("expand[1]", "b")], id="list"
        ),
        pytest.param({"a": ("x",)}, [("a[0]", "x")], id="tuple"),
        pytest.param(
            {"a": [["x", "y"]]}, [("a[0][0]", "x"), ("a[0][1]", "y")], id="2d"
        ),
        pytest.param(
            {"a": MappingProxyType({"b": 1})}, [("a[b]", "1")], id="any mapping"
        ),
        pytest.param(
            {"a": True, "b": False}, [("a", "true"), ("b", "false")], id="bool"
        ),
        pytest.param(
            {"a": [True, {"b": False}]},
            [("a[0]", "true"), ("a[1][b]", "false")],
            id="bool in list",
        ),
        pytest.param({"a": None, "b": {"c": None}}, [], id="None"),
        pytest.param({"a": [None, "x"]}, [("a[1]", "x")], id="None in list"),
        pytest.param({"a": ""}, [("a", "")], id="empty string"),
        pytest.param({"a": [], "b": {}, "c": [{}, []]}, [], id="empty list, mapping"),
        pytest.param({"a": 0, "b": -5}, [("a", "0"), ("b", "-5")], id="int"),
        pytest.param(
            {"a": 12.5, "b": 1e-07}, [("a", "12.5"), ("b", "1e-07")], id="float"
        ),
        pytest.param({"a": Decimal("1E+2")}, [("a", "100")], id="Decimal is plain"),
        pytest.param({"a": Decimal("0.10")}, [("a", "0.10")], id="Decimal"),
        pytest.param(
            {"a": Decimal("1E+400")}, [("a", "1" + "0" * 400)], id="large Decimal"
        ),
        pytest.param({"a": Count.ONE}, [("a", "1")], id="IntEnum"),
        pytest.param(
            {"a": datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC)},
            [("a", "1767323045")],
            id="time",
        ),
        pytest.param(
            {"a": datetime(1969, 12, 31, 23, 59, 59, 1, UTC)},
            [("a", "-1")],
            id="time before 1970",
        ),
        pytest.param(
            {"a": [datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))]},
            [("a[0]", "1767315600")],
            id="time of a zone",
        ),
        pytest.param({"a[b]": "x"}, [("a[b]", "x")], id="brackets stay"),
    ],
)
def test_encode(params: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    assert encode(params) == pairs


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(datetime(2026, 1, 1), ValueError, id="naive time"),  # noqa: DTZ001
        pytest.param(float("nan"), ValueError, id="nan"),
        pytest.param(float("-inf"), ValueError, id="inf"),
        pytest.param(Decimal("NaN"), ValueError, id="Decimal nan"),
        pytest.param(Decimal("sNaN"), ValueError, id="signalling nan"),
        pytest.param(Decimal("Infinity"), ValueError, id="Decimal inf"),
        pytest.param("\ud800", ValueError, id="surrogate"),
        pytest.param(b"x", TypeError, id="bytes"),
        pytest.param(bytearray(b"x"), TypeError, id="bytearray"),
        pytest.param({"x"}, TypeError, id="set"),
        pytest.param(iter("x"), TypeError, id="iterator"),
        pytest.param(date(2026, 1, 1), TypeError, id="date"),
        pytest.param(timedelta(1), TypeError, id="timedelta"),
        pytest.param(1j, TypeError, id="complex"),
        pytest.param(Enum, TypeError, id="Enum class"),
        pytest.param(object(), TypeError, id="object"),
    ],
)
def test_encode_refuses_value_and_names_it(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"'items\[1\]\[metadata\]\[x\]'"):
        encode({"items": ["a", {"metadata": {"x": value}}]})


@pytest.mark.parametrize("key", [1, None, b"x", ("x",)])
def test_encode_refuses_key_that_is_no_string(key: Any) -> None:
    with pytest.raises(TypeError, match=r"'metadata\[.+\]'"):
        encode({"metadata": {key: "x"}})


def test_quote_path() -> None:
    assert quote_path("/v1/prices") == "/v1/prices"
    assert quote_path("/v1/subscriptions/{}/pause", "sub_1") == (
        "/v1/subscriptions/sub_1/pause"
    )
    assert quote_path("/v1/a/{}/b/{}", "x/../y", "é ?#%{}") == (
        "/v1/a/x%2F..%2Fy/b/%C3%A9%20%3F%23%25%7B%7D"
    )


@pytest.mark.parametrize("value", ["", ".", "..", "...."])
def test_quote_path_refuses_what_names_another_path(value: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        quote_path("/v1/customers/{}", value)


@pytest.mark.parametrize("value", [None, 1, b"cus_1"])
def test_quote_path_refuses_what_is_no_string(value: Any) -> None:
    with pytest.raises(TypeError, match="must be a string"):
        quote_path("/v1/customers/{}", value)
