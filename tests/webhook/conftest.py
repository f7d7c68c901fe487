"""The shop that the tests of the webhook share, and what they look at."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vocabulary import dump


@pytest.fixture
def shop(kept_shop: Any) -> Any:
    return kept_shop


@pytest.fixture
def unchanged(shop: Any) -> Iterator[None]:
    """Every row is the same after the test as before it."""
    before = dump(shop)
    yield
    assert dump(shop) == before


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints past pytest's capture."""

    def write(line: str) -> None:
        with capsys.disabled():
            print(f"\n    {line}", end="")

    return write
