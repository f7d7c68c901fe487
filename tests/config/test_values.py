"""Each other ``STRIPE_*`` key: what is taken, and what is refused."""

from __future__ import annotations

import re

import pytest

from flask_kavach_stripe.config import DEFAULTS
from flask_kavach_stripe.errors import ConfigurationError
from tests.config.reading import read


@pytest.mark.parametrize(
    ("key", "value", "attribute", "expected"),
    [
        ("STRIPE_API_VERSION", "2023-08-16", "api_version", "2023-08-16"),
        ("STRIPE_API_VERSION", "2024-12-18.acacia", "api_version", "2024-12-18.acacia"),
        (
            "STRIPE_API_BASE",
            "http://localhost:12111/",
            "api_base",
            "http://localhost:12111",
        ),
        ("STRIPE_API_BASE", "http://[::1]:9/mock/", "api_base", "http://[::1]:9/mock"),
        ("STRIPE_URL_PREFIX", "/billing/", "url_prefix", "/billing"),
        ("STRIPE_URL_PREFIX", "/", "url_prefix", ""),
        ("STRIPE_WEBHOOK_PATHS", None, "webhook_paths", ()),
        ("STRIPE_WEBHOOK_PATHS", ["/a", "/b/", "/a"], "webhook_paths", ("/a", "/b/")),
        ("STRIPE_WEBHOOK_PATHS", "/a, /b", "webhook_paths", ("/a", "/b")),
        ("STRIPE_AUTO_CREATE_CUSTOMER", False, "auto_create_customer", False),
        ("STRIPE_TRIAL_DAYS", 730, "trial_days", 730),
        ("STRIPE_TRIAL_DAYS", 0, "trial_days", 0),
        ("STRIPE_SUCCESS_URL", "/thanks?a=b#c", "success_url", "/thanks?a=b#c"),
        (
            "STRIPE_SUCCESS_URL",
            "https://a.example/{CHECKOUT_SESSION_ID}",
            "success_url",
            "https://a.example/{CHECKOUT_SESSION_ID}",
        ),
        ("STRIPE_CANCEL_URL", "/", "cancel_url", "/"),
        ("STRIPE_PORTAL_RETURN_URL", "http://a", "portal_return_url", "http://a"),
        ("STRIPE_ACTIVE_STATUSES", ["past_due"], "active_statuses", ("past_due",)),
        (
            "STRIPE_ACTIVE_STATUSES",
            ("active", "trialing", "active"),
            "active_statuses",
            ("active", "trialing"),
        ),
        ("STRIPE_WEBHOOK_TOLERANCE", 1, "webhook_tolerance", 1),
        ("STRIPE_TIMEOUT", 5, "timeout", 5),
        ("STRIPE_TIMEOUT", 0.5, "timeout", 0.5),
        ("STRIPE_TIMEOUT", [1, 2.5], "timeout", (1, 2.5)),
        ("STRIPE_MAX_NETWORK_RETRIES", 0, "max_network_retries", 0),
        ("STRIPE_SUBSCRIPTION_VIEW", "shop.plans", "subscription_view", "shop.plans"),
    ],
)
def test_value(key: str, value: object, attribute: str, expected: object) -> None:
    assert getattr(read(**{key: value}), attribute) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, set(), id="None"),
        pytest.param([], set(), id="empty list"),
        pytest.param("https://a.example", {"https://a.example"}, id="text"),
        pytest.param(
            "https://a.example , http://b.example,",
            {"https://a.example", "http://b.example"},
            id="commas",
        ),
        pytest.param(("https://a.example/",), {"https://a.example"}, id="slash"),
        pytest.param({"HTTPS://A.Example"}, {"https://a.example"}, id="capitals"),
        pytest.param(["https://a.example:443"], {"https://a.example"}, id="https port"),
        pytest.param(["http://a.example:80"], {"http://a.example"}, id="http port"),
        pytest.param(["http://a:443"], {"http://a:443"}, id="port of the other scheme"),
        pytest.param(["http://localhost:5173"], {"http://localhost:5173"}, id="port"),
        pytest.param(["http://127.0.0.1:05000"], {"http://127.0.0.1:5000"}, id="zeros"),
        pytest.param(["http://[0:0::0:1]:5000"], {"http://[::1]:5000"}, id="IPv6"),
        pytest.param(
            ["https://xn--bcher-kva.de"], {"https://xn--bcher-kva.de"}, id="x"
        ),
    ],
)
def test_trusted_origins(value: object, expected: set[str]) -> None:
    assert read(STRIPE_TRUSTED_ORIGINS=value).trusted_origins == expected


WRONG_ORIGINS = [
    "*",
    "null",
    "a.example",
    "a.example:443",
    "//a.example",
    "ftp://a.example",
    "https://",
    "https://*.a.example",
    "https://a.example/path",
    "https://a.example//",
    "https://a.example?",
    "https://a.example#",
    "https://user@a.example",
    "https://a.example\\",
    "https://a.example:0",
    "https://a.example:65536",
    "https://a.example:",
    "https://a.example:https",
    "https://bücher.de",
    "https://a..example",
    "https://[::1",
    "https://[:::1]",
    "https://[a.example]",
]


@pytest.mark.parametrize("origin", WRONG_ORIGINS)
def test_wrong_trusted_origin(origin: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(STRIPE_TRUSTED_ORIGINS=["https://good.example", origin])

    assert "'STRIPE_TRUSTED_ORIGINS'" in str(caught.value)
    assert repr(origin) in str(caught.value)


NUMBERS = ["STRIPE_WEBHOOK_TOLERANCE", "STRIPE_MAX_NETWORK_RETRIES"]
URLS = ["STRIPE_SUCCESS_URL", "STRIPE_CANCEL_URL", "STRIPE_PORTAL_RETURN_URL"]
NEVER_NONE = [
    key
    for key, default in DEFAULTS.items()
    if default is not None and key != "STRIPE_PRICES"
]
WRONG_URLS = [
    "",
    "thanks",
    "?done",
    "//evil.example",
    "/\\evil.example",
    "/a\tb",
    " /thanks",
    "/thanks ",
    "https:",
    "https:/a.example",
    "javascript:alert(1)",
    "https://me:pw@a.example/",
    "https://a.example:99999/",
    7,
    b"/thanks",
    ["/thanks"],
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, None) for key in NEVER_NONE),
        *((key, value) for key in NUMBERS for value in (-1, 1.0, "1", True, [1])),
        ("STRIPE_WEBHOOK_TOLERANCE", 0),
        *((key, value) for key in URLS for value in WRONG_URLS),
        ("STRIPE_API_VERSION", ""),
        ("STRIPE_API_VERSION", "latest"),
        ("STRIPE_API_VERSION", "2026-10-28."),
        ("STRIPE_API_VERSION", "2026-10-28.endive\n"),
        ("STRIPE_API_VERSION", "2026-10-28\r\nX: y"),
        ("STRIPE_API_VERSION", "٢٠٢٦-10-28"),
        ("STRIPE_API_VERSION", 20261028),
        ("STRIPE_API_BASE", ""),
        ("STRIPE_API_BASE", "api.stripe.com"),
        ("STRIPE_API_BASE", "ftp://api.stripe.com"),
        ("STRIPE_API_BASE", "https://api.stripe.com?a=b"),
        ("STRIPE_API_BASE", "https://api.stripe.com/#a"),
        ("STRIPE_API_BASE", "https://api.stripe.com/a b"),
        ("STRIPE_API_BASE", ["https://api.stripe.com"]),
        ("STRIPE_URL_PREFIX", ""),
        ("STRIPE_URL_PREFIX", "stripe"),
        ("STRIPE_URL_PREFIX", "//stripe"),
        ("STRIPE_URL_PREFIX", "/stripe?a"),
        ("STRIPE_URL_PREFIX", "/<lang>/stripe"),
        ("STRIPE_URL_PREFIX", "https://a.example/stripe"),
        ("STRIPE_URL_PREFIX", 1),
        ("STRIPE_WEBHOOK_PATHS", 1),
        ("STRIPE_WEBHOOK_PATHS", [1]),
        ("STRIPE_WEBHOOK_PATHS", "hook"),
        ("STRIPE_WEBHOOK_PATHS", "//hook"),
        ("STRIPE_WEBHOOK_PATHS", "/hook?a=b"),
        ("STRIPE_WEBHOOK_PATHS", "/<lang>/hook"),
        ("STRIPE_WEBHOOK_PATHS", "https://a.example/hook"),
        ("STRIPE_AUTO_CREATE_CUSTOMER", 1),
        ("STRIPE_AUTO_CREATE_CUSTOMER", "false"),
        ("STRIPE_TRIAL_DAYS", -1),
        ("STRIPE_TRIAL_DAYS", 731),
        ("STRIPE_TRIAL_DAYS", 7.0),
        ("STRIPE_TRIAL_DAYS", "7"),
        ("STRIPE_TRIAL_DAYS", True),
        ("STRIPE_TRUSTED_ORIGINS", 5),
        ("STRIPE_TRUSTED_ORIGINS", True),
        ("STRIPE_TRUSTED_ORIGINS", ["https://a.example", None]),
        ("STRIPE_TRUSTED_ORIGINS", {"https://a.example": 1}),
        ("STRIPE_ACTIVE_STATUSES", "active"),
        ("STRIPE_ACTIVE_STATUSES", []),
        ("STRIPE_ACTIVE_STATUSES", ()),
        ("STRIPE_ACTIVE_STATUSES", {"active"}),
        ("STRIPE_TIMEOUT", 0),
        ("STRIPE_TIMEOUT", -1.5),
        ("STRIPE_TIMEOUT", True),
        ("STRIPE_TIMEOUT", "30"),
        ("STRIPE_TIMEOUT", float("inf")),
        ("STRIPE_TIMEOUT", float("nan")),
        ("STRIPE_TIMEOUT", ()),
        ("STRIPE_TIMEOUT", (3,)),
        ("STRIPE_TIMEOUT", (3, 30, 1)),
        ("STRIPE_TIMEOUT", (3, 0)),
        ("STRIPE_TIMEOUT", (None, 30)),
        ("STRIPE_TIMEOUT", [3, "30"]),
        ("STRIPE_SUBSCRIPTION_VIEW", ""),
        ("STRIPE_SUBSCRIPTION_VIEW", " "),
        ("STRIPE_SUBSCRIPTION_VIEW", 1),
    ],
)
def test_wrong_value(key: str, value: object) -> None:
    """The message has the key and the value, so that it can be found and put right."""
    with pytest.raises(ConfigurationError) as caught:
        read(**{key: value})

    message = str(caught.value).replace('"', "'")  # texts may be in either
    assert re.match(f"'?{key}'? must be", message)
    assert repr(value) in message


@pytest.mark.parametrize(
    "status",
    [
        pytest.param("canceled", id="ended"),
        pytest.param("incomplete_expired", id="ended before it began"),
        pytest.param("cancelled", id="British"),
        pytest.param("trialling", id="misspelt"),
        pytest.param("Active", id="capital"),
        pytest.param(" active", id="space"),
        pytest.param("", id="empty"),
        pytest.param(None, id="None"),
        pytest.param(["active"], id="list"),
    ],
)
def test_wrong_status(status: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(STRIPE_ACTIVE_STATUSES=("active", status))

    assert "'STRIPE_ACTIVE_STATUSES'" in str(caught.value)
    assert f"not {status!r}." in str(caught.value)
