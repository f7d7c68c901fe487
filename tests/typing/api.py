"""How an app with strict type checkers uses the package. Checked, never run.

Each ``assert_type`` is a promise: a checker fails where a type got lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from typing import assert_type

import requests
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import APIConnectionError
from flask_kavach_stripe import CheckoutSession
from flask_kavach_stripe import CheckoutSessionMismatch
from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import current_subscription
from flask_kavach_stripe import Event
from flask_kavach_stripe import Item
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import KavachStripeError
from flask_kavach_stripe import NoCustomerError
from flask_kavach_stripe import PortalSession
from flask_kavach_stripe import SignatureVerificationError
from flask_kavach_stripe import StripeClient
from flask_kavach_stripe import StripeError
from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeSubscriptionMixin
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import Subscription
from flask_kavach_stripe import subscription_required
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event


class User(StripeUserMixin):
    id: int
    email: str


class StripeEvent(StripeEventMixin):
    pass


class StripeSubscription(StripeSubscriptionMixin):
    pass


app = Flask(__name__)
db = SQLAlchemy()


# -- setting up ----------------------------------------------------------------------


def tell(user: User, subscription: Subscription) -> None: ...


kavach_stripe = KavachStripe()
KavachStripe(app)
KavachStripe(app, db, User)
KavachStripe(app, http_session=requests.Session())
KavachStripe(
    app,
    user_model=User,
    event_model=StripeEvent,
    subscription_model=StripeSubscription,
    on_subscription_change=tell,
)
kavach_stripe.init_app(app)
kavach_stripe.init_app(app, db=db, user_model=User)


# -- handlers keep their types -------------------------------------------------------


@kavach_stripe.on("invoice.paid", "customer.subscription.*")
def remember(event: Event) -> int:
    assert_type(event.id, str | None)
    assert_type(event.type, str)
    assert_type(event.created, int | None)
    assert_type(event.livemode, bool | None)
    assert_type(event.account, str | None)
    assert_type(event.api_version, str | None)
    event.data["object"]
    event.object["id"]
    event["type"]
    user: User | None = event.user
    return 0 if user is None else user.id


@kavach_stripe.on("*")
async def remember_later(event: Event) -> None: ...


@kavach_stripe.on_subscription_change
def changed(user: User, subscription: Subscription) -> str:
    return f"{user.email} has {subscription.id}"


@kavach_stripe.on_subscription_change
async def changed_later(user: User, subscription: Subscription) -> None: ...


assert_type(remember(Event()), int)
assert_type(changed(User(), Subscription("", "", None, None, False)), str)


# -- guards keep their types ---------------------------------------------------------


@subscription_required
def report(number: int, *, format: str = "html") -> str:
    return f"{number} {format}"


@app.get("/team")
@subscription_required("pro", "team")
def team(name: str) -> tuple[str, int]:
    return name, 200


@subscription_required()
async def later(number: int) -> bytes:
    return bytes(number)


assert_type(report(1, format="pdf"), str)
assert_type(team("a"), tuple[str, int])


async def call_later() -> None:
    assert_type(await later(1), bytes)


def decorate(view: Callable[[int], str]) -> Callable[[int], str]:
    return subscription_required("pro")(view)


# -- subscriptions -------------------------------------------------------------------


def describe(subscription: Subscription) -> None:
    assert_type(subscription.id, str)
    assert_type(subscription.status, str)
    assert_type(subscription.price_id, str | None)
    assert_type(subscription.current_period_end, datetime | None)
    assert_type(subscription.cancel_at_period_end, bool)
    assert_type(subscription.is_active, bool)
    assert_type(subscription.on_trial, bool)
    assert_type(subscription.past_due, bool)
    assert_type(subscription.canceled, bool)
    assert_type(subscription.on_grace_period, bool)
    assert_type(subscription.price, str | None)
    assert_type(subscription.items, tuple[Item, ...])
    assert_type(subscription.items[0].id, str | None)
    assert_type(subscription.items[0].price_id, str | None)
    assert_type(subscription.items[0].quantity, int | None)
    assert_type(subscription.items[0].price, str | None)
    assert_type(subscription.quantity, int | None)
    assert_type(subscription.trial_end, datetime | None)
    assert_type(subscription.created, datetime | None)
    assert_type(subscription.current_period_start, datetime | None)
    assert_type(subscription.collection_paused, bool | None)
    assert_type(subscription.ends_at, datetime | None)


assert_type(current_subscription, Subscription | None)

if current_subscription:
    describe(current_subscription)


def columns(user: User, event: StripeEvent, subscription: StripeSubscription) -> None:
    assert_type(user.stripe_customer_id, str | None)
    assert_type(user.stripe_subscription_id, str | None)
    assert_type(user.stripe_subscription_status, str | None)
    assert_type(user.stripe_price_id, str | None)
    assert_type(user.stripe_current_period_end, datetime | None)
    assert_type(user.stripe_cancel_at_period_end, bool)
    assert_type(event.id, str)
    assert_type(event.processed_at, datetime | None)
    assert_type(event.attempted_at, datetime | None)
    assert_type(event.attempts, int)
    assert_type(event.change, str | None)
    assert_type(subscription.customer_id, str)
    assert_type(subscription.items, str)
    assert_type(subscription.cancel_at, datetime | None)
    assert_type(subscription.current_period_start, datetime | None)
    assert_type(subscription.collection_paused, bool)
    assert_type(subscription.revision, int)


# -- helpers -------------------------------------------------------------------------


def pay(user: User) -> None:
    assert_type(kavach_stripe.create_customer(user), str)
    kavach_stripe.create_customer(1, email="a@example.com", name=None)
    assert_type(kavach_stripe.get_customer_id("1"), str | None)
    session = kavach_stripe.create_checkout_session(
        user,
        "price_1",
        success_url="/ok",
        cancel_url=None,
        trial_days=7,
        metadata={"a": "b"},
        quantity=2,
        discounts=[{"coupon": "co_1"}],
        automatic_tax={"enabled": True},
    )
    assert_type(session, CheckoutSession)
    assert_type(session.id, str)
    assert_type(session.url, str)
    portal = kavach_stripe.create_portal_session(user, "/account", locale="de")
    assert_type(portal, PortalSession)
    assert_type(portal.url, str)
    assert_type(kavach_stripe.get_subscription(user), Subscription | None)
    assert_type(kavach_stripe.list_subscriptions(user), list[Subscription])
    assert_type(kavach_stripe.sync_subscription(user), Subscription | None)
    assert_type(kavach_stripe.complete_checkout("cs_1"), Subscription | None)
    kavach_stripe.complete_checkout(None, user=user)
    assert_type(kavach_stripe.handle_webhook(b"{}", "t=1"), Event)


def ask() -> None:
    client = kavach_stripe.client
    assert_type(client, StripeClient)
    answer = client.get("/v1/customers/cus_1", {"expand": ["sources"]})
    assert_type(answer.request_id, str | None)
    assert_type(answer.as_of, datetime | None)
    client.post("/v1/customers", {"a": 1}, idempotency_key="a", stripe_account="acct_1")
    client.delete("/v1/subscriptions/sub_1")
    pages: Iterator[dict[str, Any]] = client.paginate("/v1/invoices", {"limit": 100})
    assert next(pages)["id"]
    assert_type(next(client.pages("/v1/invoices")).as_of, datetime | None)


# -- errors --------------------------------------------------------------------------


def fail() -> None:
    try:
        ask()
    except APIConnectionError as error:
        assert_type(error.should_retry, bool)
    except StripeError as error:
        assert_type(error.http_status, int | None)
        assert_type(error.type, str | None)
        assert_type(error.code, str | None)
        assert_type(error.param, str | None)
        assert_type(error.decline_code, str | None)
        assert_type(error.request_id, str | None)
        assert_type(error.message, str)
    except (
        CheckoutSessionMismatch,
        ConfigurationError,
        NoCustomerError,
        SignatureVerificationError,
    ) as error:
        assert_type(str(error), str)
    except KavachStripeError:
        pass


# -- tests of an app -----------------------------------------------------------------


def test_webhook() -> None:
    event = make_event("customer.subscription.updated", make_subscription("sub_1"))
    assert_type(post_event(app.test_client(), event).status_code, int)
