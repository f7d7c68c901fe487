"""Which redirects and which sites are allowed, as plain functions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from flask import request

from flask_kavach_stripe.config import Settings
from flask_kavach_stripe.origins import absolute_url
from flask_kavach_stripe.origins import is_cross_site
from flask_kavach_stripe.origins import resolve_redirect
from flask_kavach_stripe.origins import UntrustedRedirect
from flask_kavach_stripe.urls import origin_of

TEST_KEY = "sk_test_1"
LIVE_KEY = "sk_live_1"
OURS = "https://app.example"
TRUSTED = "https://www.example"
EVIL = "https://evil.example"


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


def settings_of(**config: Any) -> Settings:
    app = Flask(__name__)
    app.config.from_mapping({"STRIPE_PRICES": "*"}, **config)
    return Settings.from_app(app)


#: Only ours and one more.
CLOSED = settings_of(
    STRIPE_SECRET_KEY=LIVE_KEY,
    STRIPE_TRUSTED_ORIGINS=[TRUSTED, "http://localhost:5173"],
)

#: What is not set, is open.
OPEN = settings_of(STRIPE_SECRET_KEY=TEST_KEY)

BOTH = pytest.mark.parametrize(
    "settings", [pytest.param(CLOSED, id="closed"), pytest.param(OPEN, id="open")]
)


# --- redirects -------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/thanks",
        "/thanks?session_id={CHECKOUT_SESSION_ID}",
        "/a b",
        "/bücher",
        "/%2f%2fevil.example",
        "/?next=//evil.example",
        "/#/route",
        "/@evil.example",
        "/.//evil.example",
        "/:80",
    ],
)
def test_path_is_completed_with_our_origin(
    app: Flask, settings: Settings, path: str
) -> None:
    with app.test_request_context(base_url="http://localhost:5000"):
        url = resolve_redirect(path, settings=settings)

    assert url == f"http://localhost:5000{path}"


def test_path_is_not_completed_with_the_mount_point(app: Flask) -> None:
    """A path is one of the site, as a browser reads it, not one of the app."""
    with app.test_request_context(base_url=f"{OURS}/shop"):
        assert resolve_redirect("/thanks", settings=CLOSED) == f"{OURS}/thanks"


def test_international_host_is_not_decoded(app: Flask) -> None:
    host = "https://xn--bcher-kva.example"

    with app.test_request_context(base_url=host):
        assert resolve_redirect("/thanks", settings=CLOSED) == f"{host}/thanks"
        assert resolve_redirect(f"{host}/", settings=CLOSED) == f"{host}/"


@BOTH
@pytest.mark.parametrize(
    "url",
    [
        OURS,
        f"{OURS}/",
        f"{OURS}/thanks?session_id={{CHECKOUT_SESSION_ID}}",
        f"{OURS}?a=b",
        f"{OURS}#a",
        f"{OURS}:443/thanks",
        "HTTPS://APP.Example/Thanks",
        f"{OURS}/a b/é?next={EVIL}&u=a@b",
        f"{TRUSTED}/thanks",
        "http://localhost:5173/#/thanks",
    ],
)
def test_own_and_trusted_urls_are_kept_as_given(
    app: Flask, settings: Settings, url: str
) -> None:
    with app.test_request_context(base_url=OURS):
        assert resolve_redirect(url, settings=settings) == url


OTHER_ORIGINS = [
    pytest.param(EVIL, id="another host"),
    pytest.param(f"{EVIL}/?{OURS}", id="ours in the query"),
    pytest.param(f"{EVIL}/{OURS}", id="ours in the path"),
    pytest.param(f"{EVIL}#@app.example", id="ours after a fragment"),
    pytest.param(f"{EVIL}?@app.example", id="ours after a question mark"),
    pytest.param("https://app.example.evil.example/", id="ours as subdomain"),
    pytest.param("https://app.examples/", id="ours as beginning"),
    pytest.param("https://evil-app.example/", id="ours as end"),
    pytest.param("https://sub.app.example/", id="our subdomain"),
    pytest.param("https://example/", id="our parent"),
    pytest.param("https://app.example./", id="dot at the end"),
    pytest.param("https://app.example:8443/", id="our host, another port"),
    pytest.param("https://app.example:80/", id="our host, the other default port"),
    pytest.param("http://app.example/", id="our host without TLS"),
    pytest.param("http://www.example/", id="trusted host without TLS"),
    pytest.param("https://www.example:8443/", id="trusted host, another port"),
    pytest.param("http://localhost/", id="trusted host without its port"),
    pytest.param("https://localhost:5173/", id="trusted host with TLS"),
    pytest.param("http://127.0.0.1:5173/", id="trusted host as an address"),
]


@pytest.mark.parametrize("url", OTHER_ORIGINS)
def test_other_origins_are_refused_when_closed(app: Flask, url: str) -> None:
    with (
        app.test_request_context(base_url=OURS),
        pytest.raises(UntrustedRedirect, match="neither this site nor"),
    ):
        resolve_redirect(url, settings=CLOSED)


@pytest.mark.parametrize("url", OTHER_ORIGINS)
def test_other_origins_pass_when_open(app: Flask, url: str) -> None:
    with app.test_request_context(base_url=OURS):
        assert resolve_redirect(url, settings=OPEN) == url


def test_other_origins_are_refused_with_a_test_key_if_origins_are_set(
    app: Flask,
) -> None:
    settings = settings_of(STRIPE_SECRET_KEY=TEST_KEY, STRIPE_TRUSTED_ORIGINS=[])

    with app.test_request_context(base_url=OURS), pytest.raises(UntrustedRedirect):
        resolve_redirect(EVIL, settings=settings)


@BOTH
@pytest.mark.parametrize(
    "url",
    [
        # Not absolute, and no path either.
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("thanks", id="relative"),
        pytest.param("./thanks", id="relative with dot"),
        pytest.param("../thanks", id="relative with dots"),
        pytest.param("?done=1", id="query alone"),
        pytest.param("#done", id="fragment alone"),
        pytest.param("app.example/thanks", id="host without scheme"),
        pytest.param("app.example:443", id="host and port without scheme"),
        pytest.param("*", id="star"),
        # Another scheme's, or none.
        pytest.param("//app.example/", id="two slashes, our host"),
        pytest.param("//evil.example/", id="two slashes"),
        pytest.param("///evil.example/", id="three slashes"),
        pytest.param("////evil.example/", id="four slashes"),
        pytest.param("://app.example/", id="colon and slashes"),
        pytest.param("javascript:alert(1)", id="javascript"),
        pytest.param("JavaScript:alert(1)", id="JavaScript"),
        pytest.param("javascript://app.example/%0aalert(1)", id="javascript, our host"),
        pytest.param("data:text/html,<script>alert(1)</script>", id="data"),
        pytest.param("ftp://app.example/", id="ftp"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("ws://app.example/", id="ws"),
        pytest.param("blob:https://app.example/1", id="blob"),
        pytest.param("about:blank", id="about"),
        pytest.param("mailto:a@app.example", id="mailto"),
        pytest.param("view-source:https://app.example/", id="view-source"),
        pytest.param("xhttps://app.example/", id="scheme ends in https"),
        pytest.param("https+x://app.example/", id="scheme begins with https"),
        # Browsers complete these to https://app.example.
        pytest.param("https:app.example", id="no slash"),
        pytest.param("https:/app.example", id="one slash"),
        pytest.param("https:///app.example", id="three slashes after the scheme"),
        pytest.param("https:", id="scheme alone"),
        pytest.param("https:/thanks", id="scheme and path"),
        # No host.
        pytest.param("https://", id="no host"),
        pytest.param("https:///", id="no host but a path"),
        pytest.param("https://?a", id="no host but a query"),
        pytest.param("https://#a", id="no host but a fragment"),
        pytest.param("https://:443/", id="no host but a port"),
        pytest.param("https://@/", id="no host but a user"),
        # Backslashes, which browsers read as slashes.
        pytest.param("/\\evil.example", id="slash, backslash"),
        pytest.param("\\/evil.example", id="backslash, slash"),
        pytest.param("\\\\evil.example", id="backslashes"),
        pytest.param("/x\\y", id="backslash in a path"),
        pytest.param("https:\\\\app.example", id="backslashes after the scheme"),
        pytest.param("https://app.example\\.evil.example/", id="backslash after ours"),
        pytest.param("https://evil.example\\@app.example/", id="backslash before ours"),
        pytest.param("https://app.example/\\", id="backslash in our path"),
        # Users and passwords.
        pytest.param("https://app.example@evil.example/", id="ours as user"),
        pytest.param("https://app.example:443@evil.example/", id="ours as user, port"),
        pytest.param("https://user@app.example/", id="user at ours"),
        pytest.param("https://user:pw@app.example/", id="user and password at ours"),
        pytest.param("https://@app.example/", id="empty user"),
        pytest.param("https://:@app.example/", id="empty user and password"),
        pytest.param("https://a@b@app.example/", id="two users"),
        # Control characters; browsers drop some wherever they stand.
        pytest.param("/\t/evil.example", id="tab between slashes"),
        pytest.param("/\n/evil.example", id="line feed between slashes"),
        pytest.param("/\r/evil.example", id="return between slashes"),
        pytest.param("/a\x00b", id="NUL"),
        pytest.param("/a\x1fb", id="US"),
        pytest.param("/a\x7fb", id="DEL"),
        pytest.param("/a\x85b", id="NEL"),
        pytest.param("/a\x9fb", id="APC"),
        pytest.param("/a\u2028b", id="line separator"),
        pytest.param("/a\u2029b", id="paragraph separator"),
        pytest.param("/a\r\nLocation: https://evil.example", id="header injection"),
        pytest.param("java\nscript:alert(1)", id="line feed in the scheme"),
        pytest.param("ht\ttps://app.example/", id="tab in https"),
        pytest.param("https://app.exa\tmple/", id="tab in the host"),
        pytest.param("https://app.example\x00.evil.example/", id="NUL in the host"),
        pytest.param("https://app.example/\x00", id="NUL in our path"),
        pytest.param("https://app.example/\n", id="line feed at the end"),
        pytest.param("https://app.example\n", id="line feed after the host"),
        pytest.param("\x00https://app.example/", id="NUL before"),
        pytest.param("\x01/thanks", id="SOH before a path"),
        pytest.param("/a\ud800", id="half a surrogate pair in a path"),
        pytest.param("https://app.example/\udfff", id="half a surrogate pair"),
        # White space around it.
        pytest.param(" /thanks", id="space before a path"),
        pytest.param("/thanks ", id="space after a path"),
        pytest.param(" https://app.example/", id="space before"),
        pytest.param("https://app.example/ ", id="space after"),
        pytest.param("https://app.example ", id="space after the host"),
        pytest.param("\u00a0https://app.example/", id="no-break space before"),
        pytest.param("https://app.example/\u3000", id="ideographic space after"),
        pytest.param("/\u2003", id="em space after"),
        pytest.param("\ufeffhttps://app.example/", id="byte order mark before"),
        # Hosts that browsers normalise, and we do not.
        pytest.param("https://app.ex ample/", id="space in the host"),
        pytest.param("https://app%2eexample/", id="percent in the host"),
        pytest.param("https://app.example%2f.evil.example/", id="escaped slash"),
        pytest.param("https://app.example%00/", id="escaped NUL"),
        pytest.param("https://app。example/", id="ideographic full stop"),
        pytest.param("https://\uff41pp.example/", id="full-width letter"),
        pytest.param("https://app.example\uff0fevil/", id="full-width slash"),
        pytest.param("https://evil.example\uff0f@app.example/", id="wide slash, user"),
        pytest.param("https://a\u00adpp.example/", id="soft hyphen"),
        pytest.param("https://bücher.example/", id="umlaut"),
        pytest.param("http\u017f://app.example/", id="long s for s"),
        pytest.param("https://loca\u217chost/", id="roman numeral for l"),
        pytest.param("http://\u212aelvin.example/", id="kelvin sign for k"),
        pytest.param("https://app..example/", id="two dots"),
        pytest.param("https://.app.example/", id="dot before"),
        pytest.param("https://*.example/", id="star in the host"),
        pytest.param("https://{CHECKOUT_SESSION_ID}/", id="template as the host"),
        pytest.param("https://app.example;evil.example/", id="semicolon"),
        pytest.param("https://app.example,evil.example/", id="comma"),
        pytest.param("https://app.example&evil.example/", id="ampersand"),
        pytest.param("https://<app.example>/", id="angles"),
        pytest.param("https://[app.example]/", id="brackets around a name"),
        pytest.param("https://[::1/", id="open bracket"),
        pytest.param("https://::1/", id="IPv6 without brackets"),
        pytest.param("https://[::1]evil.example/", id="text after a bracket"),
        pytest.param("https://[:::1]/", id="no IPv6"),
        pytest.param("https://[fe80::1%25eth0]/", id="IPv6 with a zone"),
        # Ports.
        pytest.param("https://app.example:/", id="empty port"),
        pytest.param("https://app.example:0/", id="port 0"),
        pytest.param("https://app.example:65536/", id="port too large"),
        pytest.param("https://app.example:999999/", id="port too long"),
        pytest.param("https://app.example:-1/", id="negative port"),
        pytest.param("https://app.example:+443/", id="port with a sign"),
        pytest.param("https://app.example:4 43/", id="port with a space"),
        pytest.param("https://app.example:443:443/", id="two ports"),
        pytest.param("https://app.example:https/", id="name as port"),
        pytest.param("https://app.example:٤٤٣/", id="arabic digits"),
    ],
)
def test_nasty_url_is_refused_in_every_mode(
    app: Flask, settings: Settings, url: str
) -> None:
    with (
        app.test_request_context(base_url=OURS),
        pytest.raises(UntrustedRedirect, match="must be a path"),
    ):
        resolve_redirect(url, settings=settings)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://app.example", "https://app.example/"),
        ("http://app.example", "http://app.example:80/"),
        ("http://localhost:5000", "https://localhost:5000/"),
        ("http://APP.example", "https://app.example/"),
        ("http://[::1]:5000", "http://[::1]:5000/"),
        ("http://[::1]:5000", "http://[0:0:0:0:0:0:0:1]:5000/"),
    ],
)
def test_own_origin(app: Flask, base_url: str, url: str) -> None:
    """Ours is the host of the request, with ``https`` if the app sees ``http``."""
    with app.test_request_context(base_url=base_url):
        assert resolve_redirect(url, settings=CLOSED) == url


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://app.example:8080", "https://app.example/"),
        ("http://app.example:8080", "http://app.example/"),
        ("http://app.example", "https://app.example:80/"),
        ("https://app.example", "http://app.example/"),
        ("https://app.example:8443", "https://app.example/"),
    ],
)
def test_not_own_origin(app: Flask, base_url: str, url: str) -> None:
    with app.test_request_context(base_url=base_url), pytest.raises(UntrustedRedirect):
        resolve_redirect(url, settings=CLOSED)


@pytest.mark.parametrize("host", ["", "a b", "a@b", "a/b", "bücher", "a:b", "a:99999"])
def test_malformed_host_is_nobody(app: Flask, host: str) -> None:
    """What a client sends as ``Host`` can break nothing and is never echoed."""
    with app.test_request_context("/", environ_overrides={"HTTP_HOST": host}):
        with pytest.raises(UntrustedRedirect, match="host of this request"):
            resolve_redirect("/thanks", settings=OPEN)

        with pytest.raises(UntrustedRedirect, match="neither this site nor"):
            resolve_redirect(f"{EVIL}/", settings=CLOSED)


def test_error_is_a_value_error() -> None:
    assert issubclass(UntrustedRedirect, ValueError)


def test_absolute_url(app: Flask) -> None:
    with app.test_request_context(base_url=OURS):
        assert absolute_url("/thanks") == f"{OURS}/thanks"
        assert absolute_url(EVIL) == EVIL


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://" + "a." * 500_000 + "!", id="dots"),
        pytest.param("https://" + "a" * 1_000_000 + "!", id="letters"),
        pytest.param("https://[" + ":" * 1_000_000 + "]", id="colons"),
        pytest.param("https://a/" + " " * 1_000_000 + "!", id="spaces"),
        pytest.param("/" * 1_000_000, id="slashes"),
    ],
)
def test_long_url_takes_linear_time(url: str) -> None:
    start = time.thread_time()

    assert origin_of(url) in (None, "https://a")
    assert time.thread_time() - start < 1


# --- cross-site requests ---------------------------------------------------------

NO_COOKIE = None
COOKIE = "session=abc"


def cross_site(
    app: Flask,
    *,
    site: str | None = None,
    origin: str | None = None,
    cookie: str | None = COOKIE,
    settings: Settings = CLOSED,
    base_url: str = OURS,
) -> bool:
    headers = {"Sec-Fetch-Site": site, "Origin": origin, "Cookie": cookie}
    sent = {name: value for name, value in headers.items() if value is not None}

    with app.test_request_context(base_url=base_url, method="POST", headers=sent):
        return is_cross_site(request, settings)


@pytest.mark.parametrize(
    ("site", "origin", "refused"),
    [
        ("same-origin", OURS, False),
        ("same-origin", None, False),
        # A proxy that changes the host: the browser knows better.
        ("same-origin", "https://public.example", False),
        ("none", None, False),
        ("none", "null", False),
        ("cross-site", EVIL, True),
        ("cross-site", None, True),
        ("cross-site", "null", True),
        ("cross-site", "", True),
        ("cross-site", OURS, True),
        ("cross-site", TRUSTED, False),
        ("cross-site", "http://localhost:5173", False),
        ("same-site", "https://blog.example", True),
        ("same-site", None, True),
        ("same-site", "null", True),
        ("same-site", TRUSTED, False),
        ("same-site", OURS, False),
        (None, None, False),
        (None, OURS, False),
        (None, "https://APP.example:443", False),
        (None, TRUSTED, False),
        (None, EVIL, True),
        (None, "null", True),
        (None, "", True),
        (None, "http://app.example", True),
        (None, "https://app.example:8443", True),
        (None, "https://app.example.evil.example", True),
        (None, f"{OURS}, {EVIL}", True),
        (None, f"{OURS} {EVIL}", True),
        (None, "file://", True),
        (None, "chrome-extension://abcdef", True),
        (None, "https://user@app.example", True),
        ("", EVIL, True),
        ("", None, False),
        ("unknown", EVIL, True),
        ("unknown", OURS, False),
        ("same-origin, cross-site", EVIL, True),
    ],
)
def test_cross_site(
    app: Flask, site: str | None, origin: str | None, refused: bool
) -> None:
    assert cross_site(app, site=site, origin=origin) is refused


@pytest.mark.parametrize("site", [None, "same-site", "cross-site"])
@pytest.mark.parametrize("origin", [None, "null", EVIL])
def test_request_without_cookies_passes(
    app: Flask, site: str | None, origin: str | None
) -> None:
    assert not cross_site(app, site=site, origin=origin, cookie=NO_COOKIE)


@pytest.mark.parametrize(
    ("authorization", "refused"),
    [
        ("Basic YWRhOnNlY3JldA==", True),
        ('Digest username="ada"', True),
        ("negotiate YII=", True),
        ("NTLM TlRM", True),
        ("Bearer token", False),
        ("Token abc", False),
    ],
)
def test_credentials_that_browsers_remember_count_as_cookies(
    app: Flask, authorization: str, refused: bool
) -> None:
    """They send those of HTTP authentication from every site, as they send cookies."""
    headers = {
        "Authorization": authorization,
        "Origin": EVIL,
        "Sec-Fetch-Site": "cross-site",
    }

    with app.test_request_context(base_url=OURS, method="POST", headers=headers):
        assert is_cross_site(request, CLOSED) is refused


def test_every_cookie_counts(app: Flask) -> None:
    """The session need not be Flask's: "remember me" logs in, too."""
    assert cross_site(app, site="cross-site", origin=EVIL, cookie="remember_token=1")


@pytest.mark.parametrize("site", [None, "same-site", "cross-site"])
def test_test_key_does_not_open_posts(app: Flask, site: str | None) -> None:
    """Others may be redirected to, but not post."""
    assert OPEN.any_redirect_origin
    assert cross_site(app, site=site, origin=EVIL, settings=OPEN)


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://localhost:5000", False),
        ("https://localhost:5000", False),
        ("http://localhost:3000", True),
        ("http://localhost", True),
    ],
)
def test_own_origin_with_a_port(app: Flask, origin: str, refused: bool) -> None:
    base_url = "http://localhost:5000"

    assert cross_site(app, origin=origin, base_url=base_url) is refused


def test_malformed_host_matches_no_origin(app: Flask) -> None:
    """Neither does an origin that cannot be read: nothing equals nothing."""
    headers = {"Origin": "null", "Cookie": COOKIE}

    with app.test_request_context(
        "/", method="POST", headers=headers, environ_overrides={"HTTP_HOST": "a b"}
    ):
        assert is_cross_site(request, CLOSED)
