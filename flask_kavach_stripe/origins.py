"""Where a browser may be sent, and from which sites it may post.

Both rules compare origins, ``scheme://host[:port]``, and know three kinds: ours, those
of ``STRIPE_TRUSTED_ORIGINS``, and all others.
"""

from __future__ import annotations

from typing import Final

from flask import current_app
from flask import has_request_context
from flask import Request
from flask import request

from .config import Settings
from .errors import ConfigurationError
from .errors import KavachStripeError
from .urls import is_path
from .urls import origin_of

#: What browsers remember and then add to requests by themselves, as they do cookies.
_REMEMBERED_SCHEMES: Final = ("basic", "digest", "negotiate", "ntlm")


class UntrustedRedirect(KavachStripeError, ValueError):
    """The URL leads somewhere that a browser may not choose."""


def resolve_redirect(url: str, *, settings: Settings) -> str:
    """Check a URL that a browser chose, and complete it if it is a path.

    :param url: A path, ``/account``, or an absolute http(s) URL.
    :returns: The URL as given, with our origin before a path. Nothing is escaped, so
        ``{CHECKOUT_SESSION_ID}`` reaches Stripe as it must.
    :raises UntrustedRedirect: If its origin is neither ours nor trusted, or it is
        written such that browsers could read another origin in it.
    """
    if is_path(url):
        return absolute_url(url)

    origin = origin_of(url)

    if origin is None:
        raise UntrustedRedirect(
            "A redirect must be a path that begins with one '/' or an http(s) URL,"
            " without user name, backslash, control characters or white space around"
            " it, and with an ASCII host."
        )

    if (
        settings.any_redirect_origin
        or origin in settings.trusted_origins
        or origin in _own_origins(request)
    ):
        return url

    raise UntrustedRedirect(
        f"The origin {origin!r} is neither this site nor one that it trusts."
    )


def absolute_url(url: str) -> str:
    """``url``, with the current request's origin before it if it is a path.

    Nothing is checked: for URLs of the app's own configuration and code.

    :raises UntrustedRedirect: If it is a path and the request's host is malformed.
    """
    if not is_path(url):
        return url

    origin = origin_of(f"{request.scheme}://{request.host}")

    if origin is None:
        raise UntrustedRedirect("The host of this request is malformed.")

    return origin + url


def is_cross_site(request: Request, settings: Settings) -> bool:
    """Whether another site made the browser send this request with its cookies, or
    with the password that it remembers.

    Without them there is nothing to abuse. What is not a browser sends neither
    ``Sec-Fetch-Site`` nor ``Origin``, and passes.

    Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    if not request.cookies and not _has_remembered_password(request):
        return False

    site = request.headers.get("Sec-Fetch-Site")

    if site in ("same-origin", "none"):
        return False

    header = request.headers.get("Origin")

    if header is None:
        return site in ("same-site", "cross-site")

    origin = origin_of(header)

    if origin in settings.trusted_origins:
        return False

    return site == "cross-site" or origin not in _own_origins(request)


def _has_remembered_password(request: Request) -> bool:
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return scheme.lower() in _REMEMBERED_SCHEMES


def _own_origins(request: Request) -> set[str]:
    """The origin of ``request``, and its ``https`` form: behind a proxy that ends TLS,
    an app without ``ProxyFix`` sees ``http``."""
    # Not `host_url`, which is decoded to an IRI: "bücher.example" for "xn--...".
    written = (f"{scheme}://{request.host}" for scheme in (request.scheme, "https"))
    return {origin for url in written if (origin := origin_of(url)) is not None}


def root_path() -> str:
    if has_request_context():
        return f"{request.script_root}/"

    return f"{str(current_app.config['APPLICATION_ROOT']).rstrip('/')}/"


def site_url(url: str) -> str:
    """The URL; a path is completed with the origin of the app."""
    if not is_path(url):
        return url

    if has_request_context():
        return absolute_url(url)

    server_name = current_app.config["SERVER_NAME"]

    if server_name is None:
        raise ConfigurationError(
            f"Outside of a request, {url!r} needs 'SERVER_NAME' to become a URL. Set"
            " it, or give a URL that begins with 'https://'."
        )

    return f"{current_app.config['PREFERRED_URL_SCHEME']}://{server_name}{url}"
