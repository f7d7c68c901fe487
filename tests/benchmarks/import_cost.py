"""What ``import flask_kavach_stripe`` costs on top of what such an app imports anyway.

    python tests/benchmarks/import_cost.py

Runs ``python -X importtime`` several times and prints the median of the package's own
share: its cumulative time when flask, requests, flask_sqlalchemy and flask_login are
imported already, in milliseconds and as a ratio to theirs.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

BASE = ("flask", "requests", "flask_sqlalchemy", "flask_login")
PACKAGE = "flask_kavach_stripe"
LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")


def measure(cache: str) -> tuple[float, float]:
    """Milliseconds of the base and of the package, in one fresh interpreter.

    :param cache: Where compiled modules are kept from run to run, as an installer
        leaves them.
    """
    code = "; ".join(f"import {name}" for name in (*BASE, PACKAGE))
    run = subprocess.run(  # noqa: S603 (our own interpreter and code)
        [sys.executable, "-X", "importtime", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache},
    )
    cumulative = {
        match[4]: int(match[2]) / 1000
        for line in run.stderr.splitlines()
        if (match := LINE.fullmatch(line)) and len(match[3]) == 1  # not nested
    }
    return sum(cumulative[name] for name in BASE), cumulative[PACKAGE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11)
    count = parser.parse_args().runs

    with tempfile.TemporaryDirectory() as cache:
        runs = [measure(cache) for _ in range(1 + count)][1:]  # the first one compiles

    base = statistics.median(base for base, _ in runs)
    own = statistics.median(own for _, own in runs)
    ratio = statistics.median(own / base for base, own in runs)
    print(f"{', '.join(BASE)}: {base:.1f} ms")
    print(f"{PACKAGE} on top: {own:.1f} ms (ratio {ratio:.3f}), goal: at most 25 ms")


if __name__ == "__main__":
    main()
