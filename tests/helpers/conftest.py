"""The context and the users that the tests of the helpers work with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def context(kept_shop: Any) -> Iterator[None]:
    """An app context, as in a script."""
    with kept_shop.app.app_context():
        yield


@pytest.fixture
def user(kept_shop: Any, context: None) -> Any:
    """Ada, who has a customer, loaded."""
    return kept_shop.db.session.get(kept_shop.User, 1)


@pytest.fixture
def newcomer(kept_shop: Any, context: None) -> Any:
    """Bob, who has no customer, loaded. His primary key is 2."""
    kept_shop.add_user(email="bob@example.com")
    return kept_shop.db.session.get(kept_shop.User, 2)
