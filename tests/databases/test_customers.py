"""One customer for one user, however many buy at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox
from tests.conftest import Shop
from tests.databases.deliveries import at_once
from tests.databases.deliveries import Database
from tests.databases.deliveries import Processes

CHECKOUTS = 32

pytestmark = pytest.mark.databases("sqlite*", "postgresql", "mariadb*")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as served:
        served.create_price("price_pro", unit_amount=900)
        yield served


def buy(shop: Shop) -> int:
    browser = shop.browser(1)
    answer = browser.post("/auth/stripe/checkout", json={"priceId": "price_pro"})
    return answer.status_code


def buy_all(shop: Shop, items: Sequence[Any]) -> list[int]:
    return at_once([partial(buy, shop) for _ in items])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_parallel_checkouts_of_a_new_user_make_one_customer(
    request: pytest.FixtureRequest,
    database: Database,
    shop: Shop,
    sandbox: Sandbox,
    kind: str,
) -> None:
    shop.reset()
    shop.add_user(id=1, email="ada@example.com")
    connected = database._replace(stripe=(sandbox.url, sandbox.api_key))

    if kind == "threads":
        buyers = connected.make_shop()
        statuses = buy_all(buyers, range(CHECKOUTS))
        buyers.dispose()
    else:
        processes: Processes = request.getfixturevalue("processes")
        statuses = processes.run(buy_all, connected, range(CHECKOUTS))

    assert statuses == [200] * CHECKOUTS
    created = [each for each in sandbox.events if each["type"] == "customer.created"]
    [customer_id] = [each["data"]["object"]["id"] for each in created]
    assert shop.columns()["customer_id"] == customer_id
    assert len(shop.rows(shop.User)) == 1
