"""Each ``STRIPE_*`` key: its default, what it takes, what is refused (DESIGN §2)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask

from flask_kavach_stripe.config import DEFAULTS
from flask_kavach_stripe.config import Price
from flask_kavach_stripe.config import Settings
from flask_kavach_stripe.errors import ConfigurationError

TEST_KEY = "sk_test_51Nq0mWhisper"
LIVE_KEY = "sk_live_51Nq0mWhisper"


@pytest.fixture(autouse=True)
def no_keys_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET", raising=False)


def read(**config: Any) -> Settings:
    app = Flask(__name__)
    app.config.from_mapping(config)
    return Settings.from_app(app)


# --- as a whole ------------------------------------------------------------------


def test_defaults() -> None:
    settings = read()

    assert settings == Settings(
        secret_key=None,
        webhook_secrets=(),
        api_version="2026-10-28.endive",
        api_base="https://api.stripe.com",
        url_prefix="/auth/stripe",
        auto_create_customer=True,
        prices={},
        any_price=True,
        trial_days=None,
        success_url=None,
        cancel_url=None,
        portal_return_url=None,
        trusted_origins=frozenset(),
        any_redirect_origin=True,
        active_statuses=("active", "trialing"),
        webhook_tolerance=300,
        timeout=(3.05, 30),
        max_network_retries=2,
        subscription_view=None,
    )
    assert settings.livemode is None


def test_defaults_are_written_to_the_app() -> None:
    app = Flask(__name__)
    app.config["STRIPE_TIMEOUT"] = 7
    Settings.from_app(app)

    assert {key: app.config[key] for key in DEFAULTS} == DEFAULTS | {
        "STRIPE_TIMEOUT": 7
    }


def test_two_apps_have_their_own_settings() -> None:
    first = read(STRIPE_SECRET_KEY="sk_test_1", STRIPE_TRIAL_DAYS=7)
    second = read(STRIPE_SECRET_KEY="sk_test_2")

    assert (first.secret_key, first.trial_days) == ("sk_test_1", 7)
    assert (second.secret_key, second.trial_days) == ("sk_test_2", None)


def test_from_prefixed_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that Flask reads from the environment as JSON are of the right types."""
    for name, value in {
        "FLASK_STRIPE_SECRET_KEY": LIVE_KEY,
        "FLASK_STRIPE_WEBHOOK_SECRET": '["whsec_a", "whsec_b"]',
        "FLASK_STRIPE_PRICES": '{"team": {"price": "price_1", "trial_days": 14}}',
        "FLASK_STRIPE_TRIAL_DAYS": "7",
        "FLASK_STRIPE_TRUSTED_ORIGINS": "https://www.example.com, http://b.example",
        "FLASK_STRIPE_ACTIVE_STATUSES": '["active"]',
        "FLASK_STRIPE_TIMEOUT": "[3, 10.5]",
        "FLASK_STRIPE_AUTO_CREATE_CUSTOMER": "false",
    }.items():
        monkeypatch.setenv(name, value)

    app = Flask(__name__)
    app.config.from_prefixed_env()
    settings = Settings.from_app(app)

    assert settings.secret_key == LIVE_KEY
    assert settings.webhook_secrets == ("whsec_a", "whsec_b")
    assert settings.prices == {"team": Price("price_1", 14)}
    assert settings.trial_days == 7
    assert settings.trusted_origins == {"https://www.example.com", "http://b.example"}
    assert settings.active_statuses == ("active",)
    assert settings.timeout == (3, 10.5)
    assert settings.auto_create_customer is False


def test_settings_cannot_be_changed() -> None:
    settings = read(STRIPE_PRICES={"pro": "price_1"})

    with pytest.raises(AttributeError):
        settings.any_price = True  # type: ignore[misc] # what is tested

    with pytest.raises(TypeError):
        settings.prices["free"] = Price("price_0", None)  # type: ignore[index] # same


def test_settings_do_not_follow_the_configuration() -> None:
    prices = {"pro": "price_1"}
    settings = read(STRIPE_PRICES=prices)
    prices["free"] = "price_0"

    assert list(settings.prices) == ["pro"]


# --- the two secrets -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(TEST_KEY, TEST_KEY, id="text"),
        pytest.param(f" {TEST_KEY}\n", TEST_KEY, id="white space around it"),
        pytest.param("", None, id="empty"),
        pytest.param(" \n", None, id="blank"),
        pytest.param("mk_1", "mk_1", id="unknown prefix"),
    ],
)
def test_secret_key(value: str, expected: str | None) -> None:
    assert read(STRIPE_SECRET_KEY=value).secret_key == expected


@pytest.mark.parametrize(
    ("key", "livemode"),
    [
        ("sk_live_1", True),
        ("rk_live_1", True),
        ("sk_org_1", True),
        ("sk_test_1", False),
        ("rk_test_1", False),
        ("sk_1", False),
    ],
)
def test_livemode(key: str, livemode: bool) -> None:
    settings = read(STRIPE_SECRET_KEY=key, STRIPE_PRICES="*")

    assert settings.livemode is livemode


@pytest.mark.parametrize(
    ("value", "match"),
    [
        pytest.param("pk_test_Whisper", "publishable", id="publishable"),
        pytest.param("pk_live_Whisper", "publishable", id="publishable and live"),
        pytest.param(" pk_live_Whisper", "publishable", id="publishable after a space"),
        pytest.param("whsec_Whisper", "STRIPE_WEBHOOK_SECRET", id="signing secret"),
        pytest.param("sk_test_Whi sper", "white space", id="inner space"),
        pytest.param("sk_test_Whi\nsper", "white space", id="inner line feed"),
        pytest.param("sk_test_Whi\x00sper", "control", id="NUL"),
        pytest.param("sk_test_Whi\x7fsper", "control", id="DEL"),
        pytest.param("sk_test_Whispér", "non-ASCII", id="not ASCII"),
        pytest.param("sk_test_Whisper\u200b", "non-ASCII", id="zero width space"),
        pytest.param("sk_test_Whisper\ud800", "non-ASCII", id="surrogate"),
        pytest.param(b"sk_test_Whisper", "text", id="bytes"),
        pytest.param(["sk_test_Whisper"], "text", id="list"),
        pytest.param(0, "text", id="zero"),
    ],
)
def test_wrong_secret_key(value: object, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match) as caught:
        read(STRIPE_SECRET_KEY=value)

    assert "STRIPE_SECRET_KEY" in str(caught.value)
    assert "Whi" not in str(caught.value)
    # Loggers show the causes, too.
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("whsec_a", ("whsec_a",), id="text"),
        pytest.param("not from stripe", ("not from stripe",), id="any text"),
        pytest.param(" whsec_a\n", ("whsec_a",), id="white space around it"),
        pytest.param("whsec_a, whsec_b", ("whsec_a", "whsec_b"), id="commas"),
        pytest.param(",whsec_a,,", ("whsec_a",), id="blank between commas"),
        pytest.param(["whsec_a", " ", "whsec_b "], ("whsec_a", "whsec_b"), id="list"),
        pytest.param(("whsec_a",), ("whsec_a",), id="tuple"),
        pytest.param({"whsec_a"}, ("whsec_a",), id="set"),
        pytest.param(["a,b"], ("a,b",), id="comma in a list"),
        pytest.param(["b", "a", "b"], ("b", "a"), id="twice"),
        pytest.param("", (), id="empty"),
        pytest.param(" , ", (), id="blank"),
        pytest.param([], (), id="empty list"),
        pytest.param(["", "\t"], (), id="list of blanks"),
    ],
)
def test_webhook_secrets(value: object, expected: tuple[str, ...]) -> None:
    assert read(STRIPE_WEBHOOK_SECRET=value).webhook_secrets == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"whsec_Whisper", id="bytes"),
        pytest.param(1, id="number"),
        pytest.param({"whsec_Whisper": 1}, id="dict"),
        pytest.param(["whsec_Whisper", None], id="list with None"),
        pytest.param([["whsec_Whisper"]], id="list of lists"),
        pytest.param("whsec_Whisper\udcff", id="surrogate, as from a Latin-1 variable"),
    ],
)
def test_wrong_webhook_secret(value: object) -> None:
    with pytest.raises(ConfigurationError, match="'STRIPE_WEBHOOK_SECRET'") as caught:
        read(STRIPE_WEBHOOK_SECRET=value)

    assert "Whi" not in str(caught.value)
    assert caught.value.__context__ is None


def test_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", f"{TEST_KEY}\n")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_a,whsec_b")
    app = Flask(__name__)
    app.config["STRIPE_SECRET_KEY"] = None
    settings = Settings.from_app(app)

    assert settings.secret_key == TEST_KEY
    assert settings.webhook_secrets == ("whsec_a", "whsec_b")
    # Pages that show the configuration do not show what was not in it.
    assert app.config["STRIPE_SECRET_KEY"] is None


@pytest.mark.parametrize("value", ["", "configured"])
def test_configured_secrets_win_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Blank is configured, too: it switches the variable off."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", TEST_KEY)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_a")
    settings = read(STRIPE_SECRET_KEY=value, STRIPE_WEBHOOK_SECRET=value)

    assert settings.secret_key == (value or None)
    assert settings.webhook_secrets == ((value,) if value else ())


def test_wrong_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "pk_test_Whisper")

    with pytest.raises(ConfigurationError, match="'STRIPE_SECRET_KEY'") as caught:
        read()

    assert "Whi" not in str(caught.value)


def test_other_keys_are_not_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRIPE_API_BASE", "https://evil.example")

    assert read().api_base == "https://api.stripe.com"


def test_repr_shows_no_secret() -> None:
    settings = read(
        STRIPE_SECRET_KEY="sk_test_Whisper", STRIPE_WEBHOOK_SECRET="whsec_Whisper"
    )

    assert "api.stripe.com" in repr(settings)
    assert "Whi" not in repr(settings)


# --- open with a test key, closed with a live one --------------------------------


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "sk_org_1"])
def test_live_key_needs_prices(key: str) -> None:
    with pytest.raises(ConfigurationError, match="'STRIPE_PRICES' is None"):
        read(STRIPE_SECRET_KEY=key)


def test_live_key_closes_what_is_not_set() -> None:
    settings = read(STRIPE_SECRET_KEY=LIVE_KEY, STRIPE_PRICES={"pro": "price_1"})

    assert not settings.any_price
    assert not settings.any_redirect_origin
    assert settings.max_requested_trial_days == 0


@pytest.mark.parametrize("key", [None, TEST_KEY])
def test_test_key_opens_what_is_not_set(key: str | None) -> None:
    settings = read(STRIPE_SECRET_KEY=key)

    assert settings.any_price
    assert settings.any_redirect_origin
    assert settings.max_requested_trial_days == 730


@pytest.mark.parametrize("key", [None, TEST_KEY, LIVE_KEY])
def test_what_is_set_counts_with_every_key(key: str | None) -> None:
    settings = read(
        STRIPE_SECRET_KEY=key,
        STRIPE_PRICES={"pro": "price_1"},
        STRIPE_TRIAL_DAYS=14,
        STRIPE_TRUSTED_ORIGINS=["https://www.example.com"],
    )

    assert not settings.any_price
    assert not settings.any_redirect_origin
    assert settings.max_requested_trial_days == 14


@pytest.mark.parametrize("key", [TEST_KEY, LIVE_KEY])
def test_zero_and_empty_are_closed(key: str) -> None:
    settings = read(
        STRIPE_SECRET_KEY=key,
        STRIPE_PRICES={},
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS="",
    )

    assert not settings.any_price
    assert not settings.any_redirect_origin
    assert settings.max_requested_trial_days == 0


@pytest.mark.parametrize("key", [TEST_KEY, LIVE_KEY])
def test_star_sells_every_price(key: str) -> None:
    settings = read(STRIPE_SECRET_KEY=key, STRIPE_PRICES="*")

    assert settings.any_price
    assert settings.prices == {}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        pytest.param(
            {},
            "STRIPE_PRICES, STRIPE_TRIAL_DAYS, STRIPE_TRUSTED_ORIGINS",
            id="nothing set",
        ),
        pytest.param(
            {"STRIPE_PRICES": "*", "STRIPE_TRIAL_DAYS": 0},
            "STRIPE_TRUSTED_ORIGINS",
            id="two set",
        ),
    ],
)
def test_test_key_warns_once(
    caplog: pytest.LogCaptureFixture, config: dict[str, Any], named: str
) -> None:
    read(STRIPE_SECRET_KEY=TEST_KEY, **config)

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flask_kavach_stripe", logging.WARNING)
    assert record.getMessage().endswith(f"Not set: {named}.")
    assert "Whisper" not in record.getMessage()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="no key"),
        pytest.param(
            {"STRIPE_SECRET_KEY": LIVE_KEY, "STRIPE_PRICES": "*"}, id="live key"
        ),
        pytest.param(
            {
                "STRIPE_SECRET_KEY": TEST_KEY,
                "STRIPE_PRICES": {},
                "STRIPE_TRIAL_DAYS": 0,
                "STRIPE_TRUSTED_ORIGINS": [],
            },
            id="all set",
        ),
    ],
)
def test_no_warning(caplog: pytest.LogCaptureFixture, config: dict[str, Any]) -> None:
    read(**config)

    assert caplog.records == []


# --- prices ----------------------------------------------------------------------


def test_prices() -> None:
    settings = read(
        STRIPE_PRICES={
            "pro": "price_1",
            "team": {"price": "price_2", "trial_days": 14},
            "plain": {"price": "price_3"},
            "no trial": {"price": "price_4", "trial_days": 0},
            "unset": {"price": "price_5", "trial_days": None},
            "gold-plan": "gold-plan",
        }
    )

    assert settings.prices == {
        "pro": Price("price_1", None),
        "team": Price("price_2", 14),
        "plain": Price("price_3", None),
        "no trial": Price("price_4", 0),
        "unset": Price("price_5", None),
        "gold-plan": Price("gold-plan", None),
    }
    assert settings.price_names["price_2"] == "team"
    assert len(settings.price_names) == 6


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        pytest.param("", "''", id="empty"),
        pytest.param("price 1", "'price 1'", id="space"),
        pytest.param(" price_1", "' price_1'", id="space before"),
        pytest.param("price_é", "'price_é'", id="not ASCII"),
        pytest.param(None, "None", id="None"),
        pytest.param(5, "5", id="number"),
        pytest.param(["price_1"], r"\['price_1'\]", id="list"),
        pytest.param({}, "{}", id="empty dict"),
        pytest.param({"trial_days": 3}, "{'trial_days': 3}", id="no price"),
        pytest.param({"price": None}, "None", id="price None"),
        pytest.param({"price": {"id": "price_1"}}, "{'id': 'price_1'}", id="nested"),
        pytest.param({"price": "price_1", "trial": 3}, "'trial': 3", id="unknown key"),
        pytest.param({"price": "price_1", 3: 3}, "3: 3", id="key of another type"),
        pytest.param({"price": "p", "trial_days": 731}, "731", id="trial too long"),
        pytest.param({"price": "p", "trial_days": "7"}, "'7'", id="trial as text"),
    ],
)
def test_wrong_price(entry: object, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'STRIPE_PRICES\[pro\]'.*{shown}"):
        read(STRIPE_PRICES={"pro": entry})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("price_1", "'price_1'", id="text"),
        pytest.param("", "''", id="empty text"),
        pytest.param(["price_1"], r"\['price_1'\]", id="list"),
        pytest.param(True, "True", id="boolean"),
        pytest.param({1: "price_1"}, "1", id="number as name"),
        pytest.param({"": "price_1"}, "''", id="empty name"),
        pytest.param({" pro": "price_1"}, "' pro'", id="space before the name"),
        pytest.param(
            {"a": "price_1", "b": "price_1"},
            "'price_1' for both 'a' and 'b'",
            id="one price with two names",
        ),
        pytest.param(
            {"a": "price_1", "price_1": "price_2"},
            "'price_1' for both 'a' and 'price_1'",
            id="id as the name of another price",
        ),
    ],
)
def test_wrong_prices(value: object, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'STRIPE_PRICES'.* {shown}"):
        read(STRIPE_PRICES=value)


# --- the rest, value by value ----------------------------------------------------


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

    assert f"'{key}' must be" in str(caught.value)
    assert repr(value) in str(caught.value)


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
