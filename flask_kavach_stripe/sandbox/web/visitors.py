"""Protection from other sites in the developer's browser.

Such a site could post a form to a sandbox on this machine, or have its own name lead
here and read the pages under it.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from flask import Request


def is_cross_site(request: Request) -> bool:
    """Whether another site made the browser send this."""
    site = request.headers.get("Sec-Fetch-Site")

    if site is not None:
        return site in ("cross-site", "same-site")

    origin = request.headers.get("Origin")  # of browsers that do not say it
    return origin is not None and origin != f"{request.scheme}://{request.host}"


def is_local(host: str) -> bool:
    """Whether a host, with or without a port, is this machine for every browser.

    Any other name leads where its owner's name server says, which may be here.
    """
    name = re.sub(r":[0-9]*\Z", "", host).strip("[]") if "]" in host else host
    name = name if name.count(":") > 1 else name.partition(":")[0]

    if name == "localhost" or name.endswith(".localhost"):
        return True

    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
