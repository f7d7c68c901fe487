"""The sandbox for clients in the same process: no socket, no thread."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication
from wsgiref.types import WSGIEnvironment

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from werkzeug.test import EnvironBuilder
from werkzeug.test import run_wsgi_app

from ..faults import HangUp
from ..faults import IN_PROCESS


class WsgiAdapter(BaseAdapter):
    """Answers the requests of a ``requests`` session with a WSGI app.

    :param app: What answers, whatever host a URL names.
    """

    def __init__(self, app: WSGIApplication) -> None:
        super().__init__()
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Call the app, in the thread of the caller.

        Time-outs, certificates and proxies are not looked at.

        :raises requests.ReadTimeout: If the app meets a fault of that kind.
        :raises requests.ConnectionError: If it meets the fault ``disconnect``.
        """
        try:
            body, status, headers = run_wsgi_app(
                self._app, _environ_of(request), buffered=True
            )
        except HangUp as fault:
            if fault.is_timeout:
                raise requests.ReadTimeout(str(fault), request=request) from fault

            raise requests.ConnectionError(str(fault), request=request) from fault

        response = requests.Response()
        response.request = request
        response.url = request.url or ""
        response.status_code = int(status.split(" ", 1)[0])
        response.reason = status.partition(" ")[2]
        response.headers = CaseInsensitiveDict(headers.items())
        response.raw = BytesIO(b"".join(body))
        return response

    def close(self) -> None:
        """There is nothing to close."""


def _environ_of(request: requests.PreparedRequest) -> WSGIEnvironment:
    """Return the environ that a server would make of a request."""
    url = request.url or ""
    parts = urlsplit(url)
    sent = request.body or b""
    body = sent if isinstance(sent, bytes) else str(sent).encode()
    return EnvironBuilder(
        url,
        f"{parts.scheme}://{parts.netloc}",
        method=request.method or "GET",
        headers=list(request.headers.items()),
        input_stream=BytesIO(body),
        multithread=True,
        environ_base={"REMOTE_ADDR": "127.0.0.1", IN_PROCESS: True},
    ).get_environ()
