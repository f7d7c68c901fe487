"""``on_subscription_change`` runs once for each change.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

from typing import Any

import pytest
import responses
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import post_event
from tests.buyers import shown
from tests.vocabulary import at
from tests.vocabulary import checkout
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import END
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import on_change
from tests.vocabulary import paid
from tests.vocabulary import SECRET_KEY
from tests.vocabulary import send
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import WEBHOOK_SECRET


@pytest.fixture
def changes(shop: Any) -> list[Any]:
    """The changes that ``on_subscription_change`` was called with."""
    changes: list[Any] = []

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        changes.append((user.id, found.id, found.status, found.price_id))

    return changes


def test_change_is_told(shop: Any, changes: list[Any]) -> None:
    ok(shop.post_event(event("created", status="trialing")))
    ok(shop.post_event(event("updated", 60, status="active")))
    assert changes == [
        (1, "sub_1", "trialing", "price_pro"),
        (1, "sub_1", "active", "price_pro"),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "past_due"},
        {"price": "price_2"},
        {"current_period_end": END + 1},
        {"cancel_at_period_end": True},
        {"cancel_at": END},
        {"quantity": 7},
    ],
)
def test_change_of_any_column_is_told(
    shop: Any, changes: list[Any], changed: dict[str, Any]
) -> None:
    ok(shop.post_event(event("created")))
    ok(shop.post_event(event("updated", 60, **changed)))
    assert len(changes) == 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(event("updated", 60), id="same state"),
        pytest.param(event("updated", -60, status="past_due"), id="old event"),
        pytest.param(
            event("updated", 60, metadata={"a": "1"}), id="only what is not kept"
        ),
        pytest.param(event("created", id="sub_2", status="unpaid"), id="not the best"),
        pytest.param(event("created", customer="cus_nobody"), id="of nobody"),
        pytest.param(paid(), id="another type"),
    ],
)
def test_nothing_is_told_when_nothing_changed(
    shop: Any, changes: list[Any], sent: dict[str, Any]
) -> None:
    ok(shop.post_event(event("created")))
    changes.clear()
    ok(shop.post_event(sent))
    assert changes == []


def test_end_is_told_with_the_subscription_that_ended(
    shop: Any, changes: list[Any]
) -> None:
    ends: list[Any] = []

    @on_change(shop)
    def look(user: Any, found: Any) -> None:
        ends.append((found.current_period_end, found.canceled, found.is_active))
        assert user.stripe_subscription_id is None or found.is_active

    ok(shop.post_event(event("created")))
    ok(shop.post_event(event("deleted", 60, status="canceled")))
    assert changes[-1] == (1, "sub_1", "canceled", "price_pro")
    assert ends[-1] == (at(END), True, False)


def test_end_of_one_of_two_is_told_with_the_other(
    shop: Any, changes: list[Any]
) -> None:
    shop.post_event(event("created"))
    shop.post_event(event("created", id="sub_2", status="past_due", price="price_2"))
    ok(shop.post_event(event("deleted", 60, status="canceled")))
    assert changes[-1] == (1, "sub_2", "past_due", "price_2")


def test_deleted_customer_is_told_as_an_end(shop: Any, changes: list[Any]) -> None:
    shop.post_event(event("created"))
    ok(shop.post_event(make_event("customer.deleted", make_customer("cus_ada"))))
    assert changes[-1] == (1, "sub_1", "canceled", "price_pro")


def test_failed_payment_is_told(shop: Any, changes: list[Any]) -> None:
    shop.post_event(event("created"))
    invoice = make_invoice(
        customer="cus_ada", subscription="sub_1", period_end=END + 99
    )
    ok(shop.post_event(make_event("invoice.payment_failed", invoice)))
    assert changes[-1] == (1, "sub_1", "past_due", "price_pro")


def test_change_is_told_again_after_a_failure(shop: Any) -> None:
    outcomes = iter([ValueError("no"), None])

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        shop.note(found.status)
        outcome = next(outcomes)

        if outcome is not None:
            raise outcome

    sent = event("created")
    failed(shop.post_event(sent))
    assert shop.notes == []
    assert shop.columns()["subscription_id"] == "sub_1"
    ok(shop.post_event(sent))
    ok(shop.post_event(sent))
    assert shop.notes == ["active"]


def test_change_is_undone_with_the_handlers(shop: Any) -> None:
    raises = [True, False]

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        shop.note("changes")

    @on(shop, "customer.subscription.created")
    def fail_once(received: Event) -> None:
        if raises.pop(0):
            raise ValueError

    sent = event("created")
    failed(shop.post_event(sent))
    assert shop.notes == []
    ok(shop.post_event(sent))
    assert shop.notes == ["changes"]


def test_present_state_is_told_by_a_late_delivery(shop: Any) -> None:
    changes: list[str] = []
    raises = [True, False, False]

    @on_change(shop)
    def tell(user: Any, found: Any) -> None:
        if raises.pop(0):
            raise ValueError

        changes.append(f"{found.status} {found.price_id}")

    sent = event("created")
    failed(shop.post_event(sent))
    ok(shop.post_event(event("updated", 60, price="price_2")))
    ok(shop.post_event(sent))
    assert changes == ["active price_2", "active price_2"]


def test_change_is_told_to_what_the_constructor_was_given(tmp_path: Any) -> None:
    changes: list[Any] = []
    app = Flask("given")
    app.config.update(
        TESTING=True,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'given.db'}",
        STRIPE_SECRET_KEY=SECRET_KEY,
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
    )
    db = SQLAlchemy(app)

    from_mixin: Any = type(
        "User",
        (StripeUserMixin, db.Model),
        {"id": db.Column(db.Integer, primary_key=True)},
    )

    KavachStripe(app, on_subscription_change=lambda *args: changes.append(args))

    with app.app_context():
        db.create_all()
        db.session.add(from_mixin(stripe_customer_id="cus_ada"))
        db.session.commit()

    ok(post_event(app.test_client(), event("created")))
    assert [found.id for _, found in changes] == ["sub_1"]

    with app.app_context():
        db.engine.dispose()


def test_change_is_told_once_when_complete_checkout_came_first(
    shop: Any, changes: list[Any], stripe_api: responses.RequestsMock
) -> None:
    session = make_checkout_session(
        "cs_1", customer="cus_ada", subscription="sub_1", client_reference_id="1"
    )
    stripe_api.get(f"{CHECKOUT_SESSIONS}/cs_1", json=session)
    stripe_api.get(SUB_1, json=subscription())

    with shop.app.app_context():
        shop.kavach_stripe.complete_checkout("cs_1", 1)

    ok(shop.post_event(checkout()))
    ok(shop.post_event(event("created")))
    ok(shop.post_event(event("updated", 60)))
    assert changes == [(1, "sub_1", "active", "price_pro")]


def test_change_that_nobody_wants_to_know_leaves_nothing_to_do(shop: Any) -> None:
    ok(shop.post_event(event("created")))
    assert shop.events[0].processed_at is not None


def test_welcome_mail_is_sent_once(shop: Any) -> None:
    """K15: an event that came twice ran the callback twice."""
    mails: list[str] = []
    shop.kavach_stripe.on_subscription_change(
        lambda user, found: mails.append(user.email)
    )
    sent = event("created")
    send(shop, sent, sent)
    assert mails == ["ada@example.com"]


def test_callback_that_fails_is_called_again_and_tells_nobody_why(
    shop: Any,
) -> None:
    """K15: a callback that failed never ran again, and the caller saw its error."""
    outcomes = iter([ValueError("the mail server's password is 1234"), None])
    mails: list[str] = []

    def mail(user: Any, found: Any) -> None:
        outcome = next(outcomes)

        if outcome is not None:
            raise outcome

        mails.append(user.email)

    shop.kavach_stripe.on_subscription_change(mail)
    sent = event("created")
    answer = shop.post_event(sent)
    assert answer.status_code == 500
    assert "1234" not in answer.text
    assert shown(shop)["status"] == "active"
    send(shop, sent)
    assert mails == ["ada@example.com"]
