"""The settings as a whole: defaults, the environment, what a key opens."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask

from flask_kavach_stripe.catalogue import Catalogue
from flask_kavach_stripe.catalogue import Price
from flask_kavach_stripe.config import DEFAULTS
from flask_kavach_stripe.config import Settings
from flask_kavach_stripe.errors import ConfigurationError
from tests.config.reading import LIVE_KEY
from tests.config.reading import read
from tests.config.reading import TEST_KEY

# --- as a whole ------------------------------------------------------------------


def test_defaults() -> None:
    settings = read()

    assert settings == Settings(
        secret_key=None,
        webhook_secrets=(),
        api_version="2026-10-28.endive",
        api_base="https://api.stripe.com",
        url_prefix="/auth/stripe",
        webhook_paths=(),
        auto_create_customer=True,
        catalogue=Catalogue(),
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
        protect_billed=True,
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
    assert settings.prices == {"team": Price(("price_1",), 14)}
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
        settings.prices["free"] = Price(("price_0",))  # type: ignore[index] # same


def test_settings_do_not_follow_the_configuration() -> None:
    prices = {"pro": "price_1"}
    settings = read(STRIPE_PRICES=prices)
    prices["free"] = "price_0"

    assert list(settings.prices) == ["pro"]


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


# --- typing errors in keys --------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("STRIPE_TRAIL_DAYS", "STRIPE_TRIAL_DAYS"),
        ("STRIPE_PRICE", "STRIPE_PRICES"),
        ("STRIPE_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRET"),
        ("STRIPE_ACTIVE_STATUS", "STRIPE_ACTIVE_STATUSES"),
        ("STRIPE_NETWORK_RETRIES", "STRIPE_MAX_NETWORK_RETRIES"),
        ("STRIPE_SUCESS_URL", "STRIPE_SUCCESS_URL"),
    ],
)
def test_misspelt_key_is_warned_of(
    caplog: pytest.LogCaptureFixture, key: str, nearest: str
) -> None:
    read(**{key: "sk_test_Whisper"})

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flask_kavach_stripe", logging.WARNING)
    assert record.getMessage() == f"'{key}' has no effect. Did you mean '{nearest}'?"


@pytest.mark.parametrize(
    "key",
    [
        "STRIPE_PUBLISHABLE_KEY",
        "STRIPE_PUBLIC_KEY",
        "STRIPE_LIVE_SECRET_KEY",
        "STRIPE_TEST_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET_TEST",
        "STRIPE_API_KEY",
        "STRIPE_PRICE_ID",
        "STRIPE_PRICING_TABLE_ID",
        "STRIPE_CURRENCY",
        "STRIPE_ACCOUNT_ID",
        "TRIAL_DAYS",
    ],
)
def test_key_of_the_app_itself_is_not_warned_of(
    caplog: pytest.LogCaptureFixture, key: str
) -> None:
    read(**{key: 1})

    assert caplog.records == []
