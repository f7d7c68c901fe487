"""The way to Stripe: sessions of ``requests``, and what the environment says of it.

The proxies and the certificates of the environment are read once, when a client is
made. Nothing else is taken from it.
"""

from __future__ import annotations

import os
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from ..errors import ConfigurationError


class Environment(NamedTuple):
    """What the environment of the process says about the way to Stripe."""

    #: The proxies by scheme; empty if ``NO_PROXY`` names Stripe's host.
    proxies: dict[str, str]
    #: The file or folder with the certificates to trust; ``None`` for the usual ones.
    ca_bundle: str | None

    @classmethod
    def read(cls, base_url: str) -> Environment:
        """Read the variables that requests reads, but not the path of ``~/.netrc``.

        :raises ConfigurationError: If there is no such file or folder of certificates.

        Source: https://requests.readthedocs.io/en/latest/user/advanced/#proxies
        """
        proxies = dict(get_environ_proxies(base_url))

        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if path := os.environ.get(name):
                if not os.path.exists(path):
                    raise ConfigurationError(
                        f"The environment variable {name!r} names {path!r}, and there"
                        " is no such file or folder."
                    )

                return cls(proxies, path)

        return cls(proxies, None)


class _Session(requests.Session):
    """A session that takes nothing from answers, and from its environment only this.

    :param environment: Read once, at the start. A session that trusted its environment
        would read it at each request, and ``~/.netrc`` with it.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self.trust_env = False  # no ~/.netrc, which would replace our key
        self.proxies.update(environment.proxies)
        self.verify = environment.ca_bundle or True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Keep as many connections open as a busy threaded worker uses at once.
        self.mount("https://", HTTPAdapter(pool_maxsize=32))
        self.mount("http://", HTTPAdapter(pool_maxsize=32))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class Sessions:
    """One session for each process, shared by a client and its copies.

    A connection that was opened before a fork belongs to the parent process. If two
    processes wrote to it, they would read each other's answers.

    :param session: A session of the app. It is used in every process.
    :param environment: For the sessions that are made here.
    """

    def __init__(
        self, session: requests.Session | None, environment: Environment
    ) -> None:
        self._app_session = session
        self._environment = environment
        self._process_session = (os.getpid(), _Session(environment))

    def get(self) -> requests.Session:
        """Return the app's session, or the one of the current process."""
        if self._app_session is not None:
            return self._app_session

        pid, session = self._process_session

        # No lock: a thread of the parent may have held it during the fork, and would
        # never release it here. At worst two threads make a session, and one is lost.
        if pid != os.getpid():
            session = _Session(self._environment)
            self._process_session = (os.getpid(), session)

        return session
