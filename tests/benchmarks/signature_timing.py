"""Whether the time of a verification tells where a signature differs.

    PYTHONPATH=. python tests/benchmarks/signature_timing.py

Two classes of wrong signatures, measured in random order: those that differ from the
right one in the first digit, and those that differ in another place. Prints the medians
and Welch's t of the runs without their slowest tenth, as dudect does: an absolute value
below 4.5 shows no difference. The last line compares with ``==``, which stops at the
first difference, and shows what a leak looks like. A megabyte of header is measured,
too. Asserts nothing: a busy machine is no error.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import hmac
import random
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from flask_kavach_stripe.errors import SignatureVerificationError
from flask_kavach_stripe.stripe_api.signatures import sign_payload
from flask_kavach_stripe.stripe_api.signatures import verify_signature

SECRET: Final = "whsec_of_the_benchmark"
NOW: Final = 1_800_000_000
PAYLOAD: Final = b'{"id": "evt_1"}'
DIGITS: Final = 64


def wrong_at(place: int) -> str:
    """The header whose signature is right but for one digit."""
    head, right = sign_payload(PAYLOAD, SECRET, timestamp=NOW).split("v1=")
    other = "0" if right[place] != "0" else "1"
    return f"{head}v1={right[:place]}{other}{right[place + 1 :]}"


def verify(header: str) -> None:
    with suppress(SignatureVerificationError):
        verify_signature(PAYLOAD, header, [SECRET], now=NOW)


def verify_with_a_leak(header: str) -> None:
    """Compares digit by digit, as nobody should."""
    stamp, signature = header.split(",v1=")
    signed = stamp[2:].encode() + b"." + PAYLOAD
    right = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    all(ours == theirs for ours, theirs in zip(right, signature, strict=True))


def measure(
    function: Callable[[str], None], headers: tuple[str, str], runs: int
) -> tuple[list[int], list[int]]:
    """Nanoseconds of each run, of the first and of the second header."""
    order = [0, 1] * runs
    random.Random(0).shuffle(order)  # noqa: S311  (no secret)
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns

    for which in order:
        header = headers[which]
        start = clock()
        function(header)
        times[which].append(clock() - start)

    return times


def welch_t(first: list[int], second: list[int]) -> float:
    """Welch's t of two samples, both cut where the slowest tenth of all begins."""
    limit = statistics.quantiles(first + second, n=10)[-1]
    a, b = ([x for x in sample if x <= limit] for sample in (first, second))
    error = statistics.variance(a) / len(a) + statistics.variance(b) / len(b)
    return float((statistics.fmean(a) - statistics.fmean(b)) / error**0.5)


def report(name: str, function: Callable[[str], None], place: int, runs: int) -> None:
    first, second = measure(function, (wrong_at(0), wrong_at(place)), runs)
    print(
        f"{name:<10} {place:>5} {statistics.median(first):>12.0f}"
        f" {statistics.median(second):>12.0f} {welch_t(first, second):>8.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50_000, help="of each class")
    runs = parser.parse_args().runs
    gc.disable()
    verify(wrong_at(0))
    print(f"{'':10} {'digit':>5} {'first, ns':>12} {'other, ns':>12} {'t':>8}")

    for place in (0, 1, 31, DIGITS - 1):
        report("ours", verify, place, runs)

    report("digitwise", verify_with_a_leak, DIGITS - 1, runs)
    huge = f"t={NOW}" + ",v1=abcdef" * 100_000
    times, _ = measure(verify, (huge, huge), 50)
    print(
        f"A header of {len(huge):,} bytes with 100,000 'v1=': median"
        f" {statistics.median(times) / 1e6:.2f} ms, goal: at most 5 ms"
    )


if __name__ == "__main__":
    main()
