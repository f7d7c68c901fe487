"""Where a browser may be sent, and from which sites it may post.

Both rules compare origins, ``scheme://host[:port]``, and know three kinds: the app's
own, those of ``STRIPE_TRUSTED_ORIGINS``, and all others. ``views`` applies them to what
browsers send. The app's own URLs only become absolute here (:func:`site_url`), as
Stripe takes no paths.
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

#: The schemes of ``Authorization`` for which browsers remember a password and send it
#: by themselves, as they send cookies. ``Bearer`` is none: a script has to add it.
_REMEMBERED_SCHEMES: Final = ("basic", "digest", "negotiate", "ntlm")


class UntrustedRedirect(KavachStripeError, ValueError):
    """The URL leads to an origin that a browser may not choose."""


def resolve_redirect(url: str, *, settings: Settings) -> str:
    """Check a URL that a browser chose, and make it absolute.

    :param url: A path, ``/account``, or an absolute http(s) URL.
    :return: The URL as given, with the request's origin before a path. Nothing is
        escaped, so ``{CHECKOUT_SESSION_ID}`` reaches Stripe with its braces.
    :raises UntrustedRedirect: If its origin is neither the app's nor a trusted one, or
        if a browser could read another origin in it.
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
    """Put the current request's origin before ``url``, if it is a path.

    An absolute URL is returned unchecked. Browsers' URLs go through
    :func:`resolve_redirect` instead.

    :raises UntrustedRedirect: If it is a path and the request's host is malformed.
    """
    if not is_path(url):
        return url

    origin = origin_of(f"{request.scheme}://{request.host}")

    if origin is None:
        raise UntrustedRedirect("The host of this request is malformed.")

    return origin + url


def is_cross_site(request: Request, settings: Settings) -> bool:
    """Whether another site made the browser send this request as the logged-in user.

    Only cookies, and passwords that the browser remembers, are sent without the user's
    knowledge, so a request without them passes. A client that is not a browser passes,
    too: it sends neither ``Sec-Fetch-Site`` nor ``Origin``.

    A subdomain counts as another site, as others may control it. Trusted origins do
    not.

    Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    if not request.cookies and not _has_remembered_password(request):
        return False

    site = request.headers.get("Sec-Fetch-Site")

    if site in ("same-origin", "none"):  # "none" is a bookmark or a URL typed in
        return False

    origin_header = request.headers.get("Origin")

    if origin_header is None:
        return site in ("same-site", "cross-site")

    origin = origin_of(origin_header)

    if origin in settings.trusted_origins:
        return False

    return site == "cross-site" or origin not in _own_origins(request)


def _has_remembered_password(request: Request) -> bool:
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return scheme.lower() in _REMEMBERED_SCHEMES


def _own_origins(request: Request) -> set[str]:
    """The origins under which ``request`` may have reached the app.

    Its own scheme, and ``https``: behind a proxy that ends TLS, an app without
    ``ProxyFix`` sees ``http``.

    :return: Empty if the request's host is malformed.
    """
    # Not `host_url`, which is decoded to an IRI: "bücher.example" for "xn--...".
    urls = (f"{scheme}://{request.host}" for scheme in (request.scheme, "https"))
    return {origin for url in urls if (origin := origin_of(url)) is not None}


def root_path() -> str:
    """The path of the app's root, with a slash at the end.

    From the request, where a proxy or a dispatcher may have mounted the app below a
    path; without a request, ``APPLICATION_ROOT``.
    """
    if has_request_context():
        return f"{request.script_root}/"

    return f"{str(current_app.config['APPLICATION_ROOT']).rstrip('/')}/"


def site_url(url: str) -> str:
    """Put the app's origin before ``url``, if it is a path.

    For URLs of the app's code and configuration. Nothing else is checked.

    :raises ConfigurationError: If it is a path, there is no request, and
        ``SERVER_NAME`` is not set.
    :raises UntrustedRedirect: If it is a path and the request's host is malformed.
    """
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
