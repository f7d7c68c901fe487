"""``flask stripe prune`` deletes old events that were processed (docs/cli.rst)."""

from __future__ import annotations

from datetime import datetime
from datetime import timedelta
from datetime import UTC
from typing import Any

import pytest

from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests.vocabulary import run
from tests.vocabulary import run_well


def prune(shop: Any, *args: str) -> str:
    """A run that succeeds: what it prints."""
    return run_well(shop, "prune", *args)


def fill(shop: Any, count: int = 1, *, days: float, processed: bool = True) -> None:
    """Add events that were received some days ago."""
    model = shop.app.extensions["kavach_stripe"].event_model
    received = datetime.now(UTC) - timedelta(days=days)

    with shop.app.app_context():
        shop.db.session.add_all(
            model(
                id=f"evt_{days}_{processed}_{number}",
                type="invoice.paid",
                payload="{}",
                received_at=received,
                processed_at=datetime.now(UTC) if processed else None,
                error=None if processed else "ValueError: no",
            )
            for number in range(count)
        )
        shop.db.session.commit()


def test_prune_deletes_old_processed_events(shop: Any) -> None:
    fill(shop, 2, days=91)
    fill(shop, days=89)

    assert prune(shop, "--older-than", "90d") == "2 events deleted\n"
    assert [event.id for event in shop.events] == ["evt_89_True_0"]
    assert prune(shop, "--older-than", "90d") == "0 events deleted\n"


def test_prune_keeps_what_was_not_processed(shop: Any) -> None:
    fill(shop, days=900, processed=False)

    assert prune(shop, "--older-than", "30d") == "0 events deleted\n"
    assert prune(shop, "--older-than", "30d", "--dry-run") == "0 events to delete\n"
    assert len(shop.events) == 1


def test_event_that_is_replayed_meanwhile_stays(shop: Any) -> None:
    fill(shop, days=40)

    with shop.app.app_context():
        state = shop.app.extensions["kavach_stripe"]
        listed = [event.id for event in shop.events]
        shop.db.session.execute(
            shop.db.update(state.event_model).values(processed_at=None)
        )
        assert state.ledger.delete_processed(shop.db.session, listed) == 0


def test_dry_run_deletes_nothing(shop: Any) -> None:
    fill(shop, 3, days=40)

    assert prune(shop, "--older-than", "30d", "--dry-run") == "3 events to delete\n"
    assert len(shop.events) == 3


def test_prune_in_batches(shop: Any) -> None:
    """Each a transaction of its own, so webhooks do not wait for the whole."""
    fill(shop, 1201, days=40)
    fill(shop, 7, days=41, processed=False)

    with shop.statements() as statements:
        assert prune(shop, "--older-than", "30d") == "1,201 events deleted\n"

    deletes = [each for each in statements if "DELETE" in each and "IN (" in each]
    assert len(deletes) == 3
    assert len(shop.events) == 7


def test_prune_keeps_what_orders_events(shop: Any) -> None:
    """An old event that comes after it changes nothing, as before."""
    now = int(datetime.now(UTC).timestamp())
    states = [("canceled", now - 60), ("active", now - 3600)]

    for number, (status, created) in enumerate(states):
        event = make_event(
            "customer.subscription.updated",
            make_subscription(id="sub_1", customer="cus_ada", status=status),
            id=f"evt_{number}",
            created=created,
            previous_attributes={"status": "trialing"},
        )

        if number:
            with shop.app.app_context():
                model = shop.app.extensions["kavach_stripe"].event_model
                long_ago = datetime.now(UTC) - timedelta(days=99)
                shop.db.session.execute(
                    shop.db.update(model).values(received_at=long_ago)
                )
                shop.db.session.commit()

            assert prune(shop, "--older-than", "90d") == "1 event deleted\n"

        assert shop.post_event(event).status_code == 200

    assert shop.columns()["subscription_status"] == "canceled"


@pytest.mark.parametrize(
    ("older_than", "message"),
    [
        ("29d", "29d is too short. Stripe can send an event again for 30 days"),
        ("719h", "719h is too short. Stripe can send an event again for 30 days"),
        ("90", "'90' is not a time such as 90s, 15m, 12h or 3d."),
        ("999999999d", "There was no such time."),
    ],
)
def test_prune_with_a_time_that_is_refused(
    older_than: str, message: str, shop: Any
) -> None:
    fill(shop, days=900)
    result = run(shop, "prune", "--older-than", older_than)

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert len(shop.events) == 1


def test_prune_wants_to_be_told_a_time(shop: Any) -> None:
    assert run(shop, "prune").exit_code == 2
