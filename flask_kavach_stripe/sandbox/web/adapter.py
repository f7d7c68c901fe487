"""The sandbox for clients in the same process: no socket, no thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import unquote
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
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
        """Call the app.

        :raises requests.ReadTimeout: If the app meets a fault of that kind.
        :raises requests.ConnectionError: As above.
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


def _environ_of(request: requests.PreparedRequest) -> dict[str, Any]:
    url = urlsplit(request.url or "")
    sent = request.body or b""
    body = sent if isinstance(sent, bytes) else str(sent).encode()
    environ: dict[str, Any] = {
        "CONTENT_LENGTH": str(len(body)),
        "PATH_INFO": unquote(url.path, "latin-1"),
        "QUERY_STRING": url.query,
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "SERVER_NAME": url.hostname or "localhost",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.errors": sys.stderr,
        "wsgi.input": BytesIO(body),
        "wsgi.multiprocess": False,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": url.scheme,
        "wsgi.version": (1, 0),
        IN_PROCESS: True,
    }

    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")

        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key != "CONTENT_LENGTH":
            environ[f"HTTP_{key}"] = value

    environ.setdefault("HTTP_HOST", url.netloc)
    return environ
