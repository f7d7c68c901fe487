"""What the tests of the commands start from."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor secret in the environment of these tests."""
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET", raising=False)


@pytest.fixture
def shop(make_shop: Any) -> Any:
    """An app that sells ``pro``: to Ada, who has a customer, and Bob, who has none."""
    made = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    made.add_user(email="bob@example.com")
    return made
