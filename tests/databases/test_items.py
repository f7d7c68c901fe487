"""All items, and what changed, as each database gives them back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from tests.conftest import Shop
from tests.databases.deliveries import END
from tests.databases.deliveries import subscription_event as event
from tests.databases.deliveries import T


def items(quantity: int, count: int = 1) -> dict[str, Any]:
    """A list of items with ids that know upper from lower case."""
    found = [
        {
            "id": f"si_{number}Aa",
            "price": {"id": f"price_{number}Aa", "object": "price"},
            "quantity": quantity,
            "current_period_start": T,
            "current_period_end": END,
        }
        for number in range(count)
    ]
    return {"object": "list", "data": found, "has_more": False}


def post(shop: Shop, *events: Any) -> None:
    for each in events:
        assert shop.post_event(each).status_code == 200


def test_items_and_details_are_read_as_they_were_stored(shop: Shop) -> None:
    values = {"cancel_at": END + 9, "pause_collection": {"behavior": "void"}}
    post(shop, event("created", items=items(3, count=20), **values))

    with shop.app.app_context():
        [found] = shop.kavach_stripe.list_subscriptions(1)
        assert len(found.items) == 20
        assert found.items[19] == ("si_19Aa", "price_19Aa", 3, None)
        assert found.ends_at is not None
        assert int(found.ends_at.timestamp()) == END + 9
        assert found.current_period_start is not None
        assert int(found.current_period_start.timestamp()) == T
        assert found.collection_paused is True


def test_late_read_of_a_detail_takes_one_query(shop: Shop) -> None:
    post(shop, event("created", items=items(3)))

    with shop.app.app_context():
        found = shop.kavach_stripe.get_subscription(1)
        assert found is not None

        with shop.statements() as statements:
            assert found.quantity == 3
            assert found.collection_paused is False

        assert len(statements) == 1


def test_more_than_a_text_of_mariadb_holds(shop: Shop) -> None:
    """64 KiB: Stripe allows very many items of some kinds."""
    post(shop, event("created", items=items(3, count=1500)))
    [row] = shop.subscriptions
    [stored] = shop.events

    assert len(row.items) > 65_536
    assert len(json.loads(row.items)) == 1500
    assert len(json.loads(stored.change)["after"]["items"]) == 1500


def test_change_is_null_where_nothing_changed(shop: Shop) -> None:
    """Null in SQL, and not the text ``null``."""
    post(shop, event("created", items=items(3)))
    post(shop, event("updated", 60, items=items(3)))
    post(shop, event("updated", 90, items=items(8)))

    with shop.app.app_context():
        query = text("SELECT count(*) FROM stripe_event WHERE change IS NULL")

        if shop.db.engine.dialect.name in ("mysql", "mariadb"):
            query = text("SELECT count(*) FROM stripe_event WHERE `change` IS NULL")

        assert shop.db.session.scalar(query) == 1

    changes = [json.loads(row.change) for row in shop.events if row.change]
    changes.sort(key=lambda change: change["after"]["quantity"])
    assert [
        change["before"] and change["before"]["quantity"] for change in changes
    ] == [
        None,
        3,
    ]
    assert [change["after"]["quantity"] for change in changes] == [3, 8]
