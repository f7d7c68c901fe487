"""One grammar of URLs, for the configuration and for what browsers send. Pure.

Narrower than URL parsers are: what two programs could read differently is refused.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

# What browsers drop, rewrite or read as "/" when they parse a URL, and half characters
# (``"\ud800"`` in JSON), which have no bytes. White space counts at the ends only.
UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]"  # also C1 and line separators
    r"|\A\s|\s\Z"
)


# Narrower than what URL parsers take, so that a browser cannot see another host in it:
# no user name, no percent sign, no empty port, ASCII only. (re.ASCII matters: else "k"
# and "s" match U+212A and U+017F when case is ignored.)
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)|\[(?P<ipv6>[0-9a-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)


_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """The origin of an absolute http(s) URL, ``scheme://host[:port]``: lower case,
    without the scheme's own port.

    :returns: ``None`` for everything else, and for every URL that browsers could read
        in another way than we do: with a user name, a backslash, control characters,
        white space around it, a host that is not ASCII, or a wrong port.
    """
    split = split_url(url)
    return None if split is None else split[0]


def is_path(url: str) -> bool:
    """Whether ``url`` is a path on this site, ``/x`` but not ``//x``, with or without a
    query and fragment."""
    return re.match(r"/(?!/)", url) is not None and UNSAFE.search(url) is None


def split_url(url: str) -> tuple[str, str] | None:
    """The origin and the rest of ``url``, as described for :func:`origin_of`."""
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
