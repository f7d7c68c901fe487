"""Start the example, wait for its page, stop it, and see that nothing is left.

Usage: example.py FOLDER COMMAND, with the README's command and a fresh folder for it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 300  # the command installs the package first
STOP_SECONDS = 10


def answer_of(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.status)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url} answers with {error}")
    except OSError as error:  # not listening yet
        return str(error)


def processes_in(folder: Path) -> dict[int, str]:
    """The commands of what runs with its working directory in a folder, by id."""
    found = {}

    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                command = (process / "cmdline").read_bytes()
                found[int(process.name)] = command.replace(b"\0", b" ").decode()
        except OSError:  # not ours, or ended meanwhile
            continue

    return found


def main(folder: Path, command: str) -> None:
    log = folder.parent / "example.log"

    with log.open("w") as output:
        example = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell starts what runs in the background deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    try:
        deadline = time.monotonic() + START_SECONDS
        answer = "no address printed"

        while answer != "200":
            printed = log.read_text()

            if example.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The example does not answer: {answer}\n{printed}")

            if address := re.search(r"http://[\w.]+:\d+/?", printed):
                answer = answer_of(address[0])

            time.sleep(0.5)

        os.killpg(example.pid, signal.SIGINT)  # as Ctrl-C does
        deadline = time.monotonic() + STOP_SECONDS

        while left := processes_in(folder):
            if time.monotonic() > deadline:
                sys.exit(f"Still running after Ctrl-C: {list(left.values())}")

            time.sleep(0.2)

        if "Traceback" in (printed := log.read_text()):
            sys.exit(f"The example printed a traceback:\n{printed}")
    finally:
        for process_id in processes_in(folder):
            os.kill(process_id, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
