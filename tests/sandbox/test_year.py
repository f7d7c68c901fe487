"""A year of a subscriber: what happens in it, and how much is asked for."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import request

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "simulated_year.py"


@pytest.fixture
def benchmark() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("simulated_year", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # SQLAlchemy looks up the annotations there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_year_of_a_subscriber(benchmark: Any) -> None:
    """Counts only: how long it takes is told by the benchmark itself."""
    requests: Counter[str] = Counter()

    with benchmark.open_shop() as shop:

        def count() -> None:
            requests[f"{request.method} {request.path.split('/')[2]}"] += 1

        shop.sandbox.app.before_request(count)
        statuses = benchmark.one_year(shop)
        attempts = [shop.sandbox.attempts(e["id"]) for e in shop.sandbox.events]

    assert statuses == [
        *["active"] * 5,
        *["past_due", "active"],
        *["active"] * 6,
        "canceled",
    ]
    assert Counter(shop.seen) == {"invoice.paid": 13, "invoice.payment_failed": 1}
    # Product and price were there before the app was connected.
    assert [len(tries) for tries in attempts] == [0, 0, *[1] * 90]
    assert requests == {
        "POST customers": 1,
        "POST checkout": 1,
        "POST payment_methods": 2,
        "POST subscriptions": 2,
        # Two by the test; one for the Checkout session; one as the card was changed in
        # the second in which the subscription became past due.
        "GET subscriptions": 4,
        "DELETE subscriptions": 1,
    }
