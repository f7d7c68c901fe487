"""Random lives of subscribers, with random faults: in the end the app knows the truth.

``HYPOTHESIS_PROFILE=ci`` tries 2,000 lives, the default 50.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from datetime import datetime
from datetime import UTC
from typing import Any

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st

from flask_kavach_stripe.errors import StripeError
from flask_kavach_stripe.sandbox import ApiError
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.sandbox import UndeliveredError
from flask_kavach_stripe.testing.sandbox import connect

from .conftest import NOON

EXAMPLES = 2_000 if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else 50

GOOD_CARD = "4242424242424242"
FAILING_CARD = "4000000000000341"
PRICES = ("price_pro", "price_team")

#: What pays, best first; what runs, best first.
RANKS = ("active", "trialing", "past_due", "paused", "unpaid", "incomplete")
ENDED = ("canceled", "incomplete_expired")

WEBHOOK_FAULTS = (
    "concurrent",
    "delay",
    "drop",
    "duplicate",
    "old_version",
    "reorder",
    "wrong_secret",
)
API_FAULTS = ("disconnect", "lock_timeout", "rate_limit", "server_error", "timeout")


class Life:
    """One user of a shop, the sandbox, and what can happen to them.

    Each method is a step; its number picks what it is done to.
    """

    def __init__(self, shop: Any, sandbox: Sandbox) -> None:
        self.shop = shop
        self.sandbox = sandbox
        self.client = shop.app.extensions["kavach_stripe"].client
        self.failures = 0
        #: Is a helper at work, which tells of changes, too?
        self.is_helping = False
        self.user_id = shop.add_user(email="ada@example.com")
        shop.kavach_stripe.on("*")(self.remember)
        shop.kavach_stripe.on_subscription_change(self.notice)

    # The app's handlers

    def remember(self, event: Any) -> None:
        self.shop.note(event.id)

        if self.failures:
            self.failures -= 1
            raise RuntimeError("A bug in the app.")

    def notice(self, user: Any, subscription: Any) -> None:
        if not self.is_helping:
            self.shop.note("changed")

    # What Stripe says

    def ask(self, path: str, params: Any = None) -> list[dict[str, Any]]:
        """All objects of a list, whatever faults are waiting."""
        with self.sandbox.faults.paused():
            return list(self.client.paginate(path, {"limit": 100, **(params or {})}))

    @property
    def customer_id(self) -> str | None:
        """The customer that the user has now, at Stripe."""
        customers = self.ask("/v1/customers")
        return customers[0]["id"] if customers else None

    def subscriptions(self, customer_id: str | None = None) -> list[dict[str, Any]]:
        params = {"status": "all", "customer": customer_id}
        return self.ask("/v1/subscriptions", params)

    def running(self, number: int) -> dict[str, Any] | None:
        found = [s for s in self.subscriptions() if s["status"] not in ENDED]
        return found[number % len(found)] if found else None

    # What happens

    @contextmanager
    def helper(self) -> Iterator[None]:
        self.is_helping = True

        try:
            with self.shop.app.app_context():
                yield
        finally:
            self.is_helping = False

    def subscribe(self, number: int) -> None:
        card = FAILING_CARD if number % 3 == 2 else GOOD_CARD

        with self.helper():
            checkout = self.shop.kavach_stripe.create_checkout_session(
                self.user_id,
                PRICES[number % 2],
                success_url="https://shop.test/",
                trial_days=(0, 0, 14)[number % 3],
            )

        self.sandbox.pay(checkout.id, card)

        if number % 2:
            with self.helper():
                self.shop.kavach_stripe.complete_checkout(checkout.id, self.user_id)

    def change_price(self, number: int) -> None:
        if (subscription := self.running(number)) is not None:
            item = subscription["items"]["data"][0]
            price = PRICES[1 - PRICES.index(item["price"]["id"])]
            self._update(subscription, items=[{"id": item["id"], "price": price}])

    def change_quantity(self, number: int) -> None:
        if (subscription := self.running(number)) is not None:
            item = subscription["items"]["data"][0]
            change = {"id": item["id"], "quantity": 1 + number % 4}
            self._update(subscription, items=[change])

    def cancel_at_period_end(self, number: int) -> None:
        if (subscription := self.running(number)) is not None:
            self._update(subscription, cancel_at_period_end=True)

    def undo_cancel(self, number: int) -> None:
        if (subscription := self.running(number)) is not None:
            self._update(subscription, cancel_at_period_end=False)

    def change_much(self, number: int) -> None:
        """All within a second, and told in any order."""
        self.sandbox.faults.add("reorder", probability=0.7, times=4)
        self.change_quantity(number)
        self.change_price(number)
        self.change_quantity(number + 1)

        if number % 3 == 0:
            self.cancel_at_period_end(number)

    def cancel_now(self, number: int) -> None:
        if (subscription := self.running(number)) is not None:
            self.client.delete(f"/v1/subscriptions/{subscription['id']}")

    def change_card(self, number: int) -> None:
        if (subscription := self.running(number)) is not None:
            card = ("pm_card_visa", "pm_card_chargeCustomerFail")[number % 2]
            method = self.client.post(
                f"/v1/payment_methods/{card}/attach",
                {"customer": subscription["customer"]},
            )
            self._update(subscription, default_payment_method=method["id"])

    def pay_invoice(self, number: int) -> None:
        if found := self.ask("/v1/invoices", {"status": "open"}):
            invoice = found[number % len(found)]
            self.client.post(
                f"/v1/invoices/{invoice['id']}/pay", {"paid_out_of_band": True}
            )

    def delete_customer(self, number: int) -> None:
        if (customer_id := self.customer_id) is not None:
            self.client.delete(f"/v1/customers/{customer_id}")

    def pass_time(self, number: int) -> None:
        self.sandbox.advance(days=(0, 1, 3, 8, 31, 62)[number % 6], seconds=number % 3)

    def synchronise(self, number: int) -> None:
        with self.helper():
            self.shop.kavach_stripe.sync_subscription(self.user_id)

    def deliver(self, number: int) -> None:
        self.sandbox.deliver()

    def resend(self, number: int) -> None:
        if events := self.sandbox.events:
            self.sandbox.resend(events[-1 - number % min(10, len(events))]["id"])

    def break_handler(self, number: int) -> None:
        self.failures += 1 + number % 3

    def break_webhooks(self, number: int) -> None:
        kind: Any = WEBHOOK_FAULTS[number % len(WEBHOOK_FAULTS)]
        pattern = ("*", "customer.*", "invoice.*", "checkout.*")[number % 4]
        self.sandbox.faults.add(kind, pattern, times=1 + number % 5)

    def break_webhooks_often(self, number: int) -> None:
        kind: Any = WEBHOOK_FAULTS[number % len(WEBHOOK_FAULTS)]
        self.sandbox.faults.add(kind, probability=0.3)

    def break_api(self, number: int) -> None:
        kind: Any = API_FAULTS[number % len(API_FAULTS)]
        lost: Any = ("answer", "request")[number % 2]
        self.sandbox.faults.add(kind, lost=lost, times=1 + number % 3)

    def _update(self, subscription: dict[str, Any], **params: Any) -> None:
        self.client.post(f"/v1/subscriptions/{subscription['id']}", params)

    # The end

    def settle(self) -> None:
        """No more faults; everything arrives."""
        self.sandbox.faults.clear()
        self.failures = 0
        self.sandbox.deliver()

        for event in self.ask("/v1/events", {"delivery_success": False}):
            self.sandbox.resend(event["id"])


STEPS: dict[str, Callable[[Life, int], None]] = {
    step.__name__: step
    for step in (
        Life.subscribe,
        Life.change_price,
        Life.change_quantity,
        Life.cancel_at_period_end,
        Life.undo_cancel,
        Life.change_much,
        Life.cancel_now,
        Life.change_card,
        Life.pay_invoice,
        Life.delete_customer,
        Life.pass_time,
        Life.synchronise,
        Life.deliver,
        Life.resend,
        Life.break_handler,
        Life.break_webhooks,
        Life.break_webhooks_often,
        Life.break_api,
    )
}

#: Some things happen more often than others.
step_names = st.sampled_from([*STEPS, "subscribe", "pass_time", "pass_time"])
journeys = st.lists(
    st.tuples(step_names, st.integers(0, 59)), min_size=1, max_size=25
).map(lambda steps: [("subscribe", 0), *steps])


def truth(subscriptions: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns that say what Stripe says."""
    columns: dict[str, Any] = {
        "subscription_id": None,
        "subscription_status": None,
        "price_id": None,
        "current_period_end": None,
        "cancel_at_period_end": False,
    }
    by_age = sorted(subscriptions, key=lambda s: (-s["created"], s["id"]))
    running = [s for s in by_age if s["status"] not in ENDED]

    if running:
        best = min(
            running,
            key=lambda s: (
                RANKS.index(s["status"]) if s["status"] not in RANKS[:2] else 0
            ),
        )
        item = best["items"]["data"][0]
        end = datetime.fromtimestamp(item["current_period_end"], UTC)
        return {
            "subscription_id": best["id"],
            "subscription_status": best["status"],
            "price_id": item["price"]["id"],
            "current_period_end": end,
            "cancel_at_period_end": best["cancel_at_period_end"]
            or best["cancel_at"] is not None,
        }

    if by_age:
        columns["subscription_status"] = by_age[0]["status"]

    return columns


def live(
    shop: Any, journey: list[tuple[str, int]], seed: int, api_version: str | None
) -> None:
    """Go through a life, and check in the end that app and sandbox agree."""
    shop.reset()
    sandbox = Sandbox(seed=seed, clock=Clock(NOON), retry_delays=(1, 60, 3600))

    for price_id in PRICES:
        sandbox.create_price(price_id)

    with connect(shop.app, sandbox, api_version=api_version):
        first = len(sandbox.events)
        life = Life(shop, sandbox)

        for name, number in journey:
            # A step may meet a fault; the app's own part of it is then undone or not.
            with suppress(ApiError, StripeError, UndeliveredError):
                STEPS[name](life, number)

        life.settle()
        columns = shop.columns(life.user_id)
        customer_id = columns.pop("customer_id")

        # Who has no customer may have had one, whose subscriptions have ended.
        assert columns == truth(life.subscriptions(customer_id))

    happened = Counter(shop.notes)
    # Where there never was a subscription, there is nothing to tell.
    told = {row.customer_id for row in shop.subscriptions}
    changes = [e for e in shop.events if e.change and e.customer_id in told]
    assert happened.pop("changed", 0) == len(changes)
    assert happened == Counter(event["id"] for event in sandbox.events[first:])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    # One app for all lives; it is emptied for each of them.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)
@given(
    journey=journeys,
    seed=st.integers(0, 1_000_000),
    api_version=st.sampled_from([None, "2024-12-18.acacia", "2025-03-31.basil"]),
)
def test_whatever_happens_the_columns_become_true(
    kept_shop: Any, journey: list[tuple[str, int]], seed: int, api_version: str | None
) -> None:
    live(kept_shop, journey, seed, api_version)
