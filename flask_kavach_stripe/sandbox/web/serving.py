"""A WSGI app in a thread of this process, over HTTP."""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any
from typing import TYPE_CHECKING

from werkzeug.serving import make_server
from werkzeug.serving import WSGIRequestHandler

from ..sandbox_errors import PortInUseError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_POLL_INTERVAL = 0.05
_BACKLOG = 128


class HttpServer:
    """Listens from the beginning until :meth:`stop`.

    :param port: 0 takes a free one; :attr:`url` then says which.
    :raises PortInUseError: If the port cannot be had; the message says why.
    """

    def __init__(self, app: WSGIApplication, host: str, port: int) -> None:
        listener = _listen(host, port)

        try:
            self._server = make_server(
                host,
                port,
                app,
                threaded=True,
                request_handler=_QuietHandler,
                fd=listener.fileno(),
            )
        finally:
            listener.close()

        shown_host = f"[{host}]" if ":" in host else host
        self.url: str = f"http://{shown_host}:{self._server.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_POLL_INTERVAL,),
            name="sandbox-server",
            daemon=True,
        )

    def start(self) -> None:
        """Answer requests in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _QuietHandler(WSGIRequestHandler):
    """Answers one request, without a word in the terminal."""

    # One request for each connection: none stays open after stop().
    protocol_version = "HTTP/1.0"

    def send_response(self, code: int, message: str | None = None) -> None:
        """As the base does, but without a ``Date``: the app sends the sandbox's."""
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave the terminal to the app under test."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """As above: a browser that hangs up is nothing to report."""


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    :raises PortInUseError: If that is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)

    try:
        # Allows a restart at once; does not allow two sandboxes on one port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()

        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "another program uses it already"
        else:
            reason = str(error)

        raise PortInUseError(
            f"The sandbox cannot listen on port {port} of {host}: {reason}. Choose"
            " another port, or 0 for any free one."
        ) from error

    return listener
