"""One grammar of URLs, for the configuration and for what browsers send. Pure.

``config`` checks the app's own URLs with it, ``origins`` the redirects and the
``Origin`` headers of requests. It accepts less than URL parsers do: a URL that a
browser could understand in another way than Python is refused. Otherwise such a URL
could pass our check of the host and still lead the user elsewhere.

Source: https://url.spec.whatwg.org/#url-parsing
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

# Characters that browsers drop, rewrite or read as "/" when they parse a URL, and lone
# surrogates (`"\ud800"` in JSON), which cannot be encoded as UTF-8. White space is
# unsafe only at the ends.
UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]"  # also C1 and line separators
    r"|\A\s|\s\Z"
)


# Scheme, host and port, with nothing in which a browser could see another host: no user
# name, no percent sign, no empty port, ASCII only. (re.ASCII matters: without it, "k"
# and "s" also match U+212A and U+017F when case is ignored.)
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)|\[(?P<ipv6>[0-9a-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)


_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """The origin of an absolute http(s) URL.

    :return: ``scheme://host[:port]`` in lower case, without the scheme's default port:
        equal origins are equal texts. ``None`` for everything else, and for a URL that
        browsers could read in another way: with a user name, a backslash, control
        characters, white space around it, a host that is not ASCII, or a wrong port.
    """
    split = split_url(url)
    return None if split is None else split[0]


def is_path(url: str) -> bool:
    """Whether ``url`` is a path on this site, with or without a query and fragment.

    ``/x`` is one. ``//x`` is not: to a browser, it is the host ``x``.
    """
    return re.match(r"/(?!/)", url) is not None and UNSAFE.search(url) is None


def split_url(url: str) -> tuple[str, str] | None:
    """The origin of an absolute http(s) URL, and everything after it.

    :return: The origin in the form of :func:`origin_of`, then path, query and fragment
        as they are written, perhaps empty. ``None`` as for :func:`origin_of`.
    """
    match = _ORIGIN.match(url)

    if match is None or UNSAFE.search(url):
        return None

    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])

    if not 0 < port < 65536:
        return None

    if match["ipv6"] is None:
        host = match["name"].lower()
    else:
        try:
            host = f"[{IPv6Address(match['ipv6'])}]"
        except ValueError:
            return None

    suffix = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{suffix}", url[match.end() :]
