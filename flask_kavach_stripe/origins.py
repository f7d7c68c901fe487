"""Where a browser may be sent, and from which sites it may post.

Both rules compare origins, ``scheme://host[:port]``, and know three kinds: the app's
own, those of ``STRIPE_TRUSTED_ORIGINS``, and all others. ``views`` applies them to what
browsers send. The app's own URLs only become absolute here, as Stripe takes no paths.

A path means one of two things. In the configuration it is a path *of the app*, and gets
the path below which the app is mounted (:func:`app_path`). A path that the app's code
or a browser gives is one *of the site*: ``url_for``, a link and ``location.pathname``
have the app's own part in it already, and it is not added again (:func:`site_url`).
"""

from __future__ import annotations

import logging
from typing import Final
from weakref import WeakSet

from flask import current_app
from flask import Flask
from flask import has_request_context
from flask import Request
from flask import request

from .config import Settings
from .errors import ConfigurationError
from .errors import KavachStripeError
from .urls import is_path
from .urls import origin_of
from .urls import split_url

logger: Final = logging.getLogger(__name__)

#: The schemes of ``Authorization`` for which browsers remember a password and send it
#: by themselves, as they send cookies. ``Bearer`` is none: a script has to add it.
_REMEMBERED_SCHEMES: Final = ("basic", "digest", "negotiate", "ntlm")

#: The apps that have logged the warning of :func:`warn_of_proxy`.
_warned_apps: Final[WeakSet[Flask]] = WeakSet()


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

    warn_of_proxy(request, origin + url)
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


def own_path(url: str | None) -> str | None:
    """The path and query of a URL of the app's own site, such as a ``Referer``.

    :return: A path to which a browser may be sent. ``None`` for a URL of another site,
        and for one in which a browser could read another site.
    """
    split = None if url is None else split_url(url)

    if split is None or split[0] not in _own_origins(request):
        return None

    path = split[1].partition("#")[0] or "/"
    return path if is_path(path) else None


def warn_of_proxy(request: Request, built: str) -> None:
    """Warn, once for each app in a process, that a proxy's headers are not looked at.

    Without ``ProxyFix`` the app takes the proxy's address for its own. Buyers then come
    back to a place that only the server can reach, and an older browser's ``Origin``
    looks like another site.

    :param built: The absolute URL that the extension made from the request.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy

    if app in _warned_apps or "werkzeug.proxy_fix.orig" in request.environ:
        return

    header = {
        name: value.rpartition(",")[2].strip()  # of several proxies, the nearest one's
        for name in ("X-Forwarded-Proto", "X-Forwarded-Host")
        if (value := request.headers.get(name)) is not None
    }
    scheme = header.get("X-Forwarded-Proto", request.scheme)
    host = header.get("X-Forwarded-Host", request.host)
    origin, built_origin = origin_of(f"{scheme}://{host}"), origin_of(built)

    if None in (origin, built_origin) or origin == built_origin:
        return

    _warned_apps.add(app)
    logger.warning(
        "A request has %s, so the app is at %s, but the extension built %s. If the app"
        " is behind a proxy of yours, have the app believe it:"
        " app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1), from"
        " werkzeug.middleware.proxy_fix.",
        " and ".join(f"{name!r}" for name in header),
        origin,
        built,
    )


def root_path() -> str:
    """The path of the app's root, with a slash at the end.

    From the request, where a proxy or a dispatcher may have mounted the app below a
    path; without a request, ``APPLICATION_ROOT``.
    """
    if has_request_context():
        return f"{request.script_root}/"

    return f"{str(current_app.config['APPLICATION_ROOT']).rstrip('/')}/"


def app_path(url: str) -> str:
    """Put the path of the app's root before ``url``, if it is a path.

    For URLs of the configuration: ``/welcome`` is ``/shop/welcome`` in an app that is
    mounted below ``/shop``, as ``url_for`` would say.
    """
    return root_path() + url[1:] if is_path(url) else url


def site_url(url: str) -> str:
    """Put the app's origin before ``url``, if it is a path.

    For URLs of the app's code and configuration. The path is not changed, as the result
    of ``url_for`` has the app's root in it. Nothing else is checked.

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
