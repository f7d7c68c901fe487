"""The secret key and the webhook secrets: what is taken, and not shown."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_kavach_stripe.config import Settings
from flask_kavach_stripe.errors import ConfigurationError
from tests.config.reading import read
from tests.config.reading import TEST_KEY


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
        pytest.param('"sk_test_Whisper"', "quotation marks", id="quotes"),
        pytest.param("'sk_test_Whisper'", "quotation marks", id="single quotes"),
        pytest.param(' "sk_test_Whisper" ', "quotation marks", id="space and quotes"),
        pytest.param('sk_test_Whisper"', "quotation marks", id="quote at the end"),
        pytest.param("\u201csk_test_Whisper\u201d", "quotation", id="curly quotes"),
        pytest.param("'pk_test_Whisper'", "quotation", id="publishable in quotes"),
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


@pytest.mark.parametrize(
    ("value", "match"),
    [
        pytest.param("sk_test_Whisper", r"an API key \(sk_", id="secret key"),
        pytest.param("rk_live_Whisper", r"an API key \(rk_", id="restricted key"),
        pytest.param("pk_test_Whisper", r"an API key \(pk_", id="publishable key"),
        pytest.param("we_Whisper", "the id of an endpoint", id="endpoint"),
        pytest.param("whsec_a, sk_test_Whisper", "an API key", id="second of two"),
        pytest.param(["sk_test_Whisper"], "an API key", id="list"),
        pytest.param('"whsec_Whisper"', "quotation marks", id="quotes"),
        pytest.param("'whsec_Whisper'", "quotation marks", id="single quotes"),
        pytest.param('"whsec_a,whsec_Whisper"', "quotation", id="quotes around two"),
        pytest.param("whsec_a,'whsec_Whisper'", "quotation", id="quotes around one"),
        pytest.param("\u2018whsec_Whisper\u2019", "quotation", id="curly quotes"),
        pytest.param('"', "quotation marks", id="a lone one"),
    ],
)
def test_webhook_secret_that_is_something_else(value: object, match: str) -> None:
    """Every webhook would be rejected, with nothing that says why."""
    with pytest.raises(ConfigurationError, match=match) as caught:
        read(STRIPE_WEBHOOK_SECRET=value)

    assert "'STRIPE_WEBHOOK_SECRET'" in str(caught.value)
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


@pytest.mark.parametrize("key", ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"])
def test_quotes_in_the_environment(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """``docker run --env-file`` takes them as a part of the value."""
    monkeypatch.setenv(key, '"Whisper"')

    with pytest.raises(ConfigurationError, match=f"'{key}' has quotation marks"):
        read()


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
