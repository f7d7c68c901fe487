"""Start the app, and a local Stripe unless ``STRIPE_SECRET_KEY`` is set."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import ExitStack
from contextlib import suppress
from pathlib import Path

from flask_migrate import upgrade
from werkzeug.serving import make_server

from flask_kavach_stripe.sandbox import PortInUseError
from flask_kavach_stripe.sandbox import Sandbox

from . import create_app
from . import FOLDER
from .local_stripe import set_up

HOST = "127.0.0.1"
#: What the app needs to talk to Stripe itself.
STRIPE_VARIABLES = ("STRIPE_WEBHOOK_SECRET", "PRICE_PRO", "PRICE_TEAM")
INSTANCE = FOLDER / "instance"
STRIPE_DATABASE = "moonbook.sqlite"  # as in config.py


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)

    # `kill` stops it as Ctrl-C does, to which what a shell starts in the background is
    # deaf otherwise.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)

    with suppress(KeyboardInterrupt), ExitStack() as stack:
        run(options, stack)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.saas",
        description=(
            "A small web app that sells subscriptions, with a local Stripe unless"
            " STRIPE_SECRET_KEY is set."
        ),
    )
    parser.add_argument("--port", type=port_number, default=5000, help="of the app")
    parser.add_argument(
        "--stripe-port", type=port_number, default=4242, help="of the local Stripe"
    )
    parser.add_argument(
        "--reset",
        action="store_true",
        help="empty the database first (with the local Stripe it is always empty)",
    )
    return parser.parse_args(arguments)


def port_number(text: str) -> int:
    """0 is any free port."""
    number = int(text)

    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"{number} is not a port.")

    return number


def run(options: argparse.Namespace, stack: ExitStack) -> None:
    listener = stack.enter_context(listen(options.port))
    port = listener.getsockname()[1]
    app_url = f"http://{HOST}:{port}"

    if os.environ.get("STRIPE_SECRET_KEY"):
        check_environment()
        config = {}
        notice = stripe_notice(app_url)

        if options.reset:
            (INSTANCE / STRIPE_DATABASE).unlink(missing_ok=True)
    else:
        sandbox = start_sandbox(options.stripe_port)
        stack.callback(sandbox.stop)
        # The port is ours alone, and so is the file.
        database = f"local-{port}.sqlite"
        remove(INSTANCE / database)
        stack.callback(remove, INSTANCE / database)
        config = set_up(sandbox, app_url)
        config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{database}"
        notice = sandbox_notice(app_url, sandbox.url)

    app = create_app(config)

    with app.app_context():
        upgrade()

    server = make_server(HOST, port, app, threaded=True, fd=listener.fileno())
    print(notice, flush=True)
    server.serve_forever()


@contextmanager
def listen(port: int) -> Iterator[socket.socket]:
    """Take a port before anything is made for it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as error:
            sys.exit(port_message(port, "--port", error))

        yield listener


def check_environment() -> None:
    """Stop unless all is there that Stripe itself needs."""
    if not os.environ["STRIPE_SECRET_KEY"].startswith(("sk_test_", "rk_test_")):
        sys.exit("STRIPE_SECRET_KEY must be a test key, sk_test_... or rk_test_....")

    missing = [name for name in STRIPE_VARIABLES if not os.environ.get(name)]

    if missing:
        sys.exit(
            f"With STRIPE_SECRET_KEY, set {' and '.join(missing)}, too;"
            " examples/saas/__init__.py says how."
        )


def start_sandbox(port: int) -> Sandbox:
    # Ids are new in each run, as the sessions of browsers outlive it.
    sandbox = Sandbox(seed=None)

    try:
        return sandbox.start(HOST, port)
    except PortInUseError as error:
        sys.exit(port_message(port, "--stripe-port", error.__cause__))


def port_message(port: int, option: str, error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        reason = "is taken by another program"
    else:
        reason = f"cannot be used ({error})"

    return f"Port {port} {reason}. Choose another one with {option}."


def remove(path: Path) -> None:
    # Windows keeps a file that is open.
    with suppress(FileNotFoundError, PermissionError):
        path.unlink()


def sandbox_notice(app_url: str, sandbox_url: str) -> str:
    return f"""
  Moonbook        {app_url}

  Pay with        4242 4242 4242 4242, any future date, any three digits
  Local Stripe    {sandbox_url}    (events; and the clock, to let time pass)

  Accounts and subscriptions are gone when you stop it with Ctrl-C.
"""


def stripe_notice(app_url: str) -> str:
    return f"""
  Moonbook        {app_url}

  It talks to Stripe in test mode. Pay with 4242 4242 4242 4242.
  Webhooks: stripe listen --forward-to {app_url}/auth/stripe/webhook
  Accounts are kept in {INSTANCE / STRIPE_DATABASE}; --reset begins anew.

  Stop it with Ctrl-C.
"""


if __name__ == "__main__":
    main()
