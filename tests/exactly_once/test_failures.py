"""What a stranger found who read the package: each line of it was once wrong."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import responses
from flask import Flask
from flask import render_template_string
from flask_login import current_user
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import CHAR
from sqlalchemy import text
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import KavachStripeError
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import subscription_required
from flask_kavach_stripe.origins import UntrustedRedirect
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import make_thin_event
from flask_kavach_stripe.testing import post_event
from flask_kavach_stripe.testing import sign_payload

API = "https://api.stripe.com/v1"


class Guid(TypeDecorator[uuid.UUID]):
    """As in SQLAlchemy's documentation; it tells no Python type."""

    impl = CHAR(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else uuid.UUID(str(value)).hex

    def process_result_value(self, value: Any, dialect: Any) -> uuid.UUID | None:
        return None if value is None else uuid.UUID(value)


def test_key_type_of_the_apps_own(stripe_api: responses.RequestsMock) -> None:
    """A reference that it cannot take is nobody's, and no fault of ours."""
    db = SQLAlchemy()

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[uuid.UUID] = mapped_column(Guid, primary_key=True)

    app = Flask("guid")
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_SECRET_KEY="sk_test_guid",
        STRIPE_WEBHOOK_SECRET="whsec_guid",
    )
    db.init_app(app)
    kavach_stripe = KavachStripe(app)
    key = uuid.uuid4()

    with app.app_context():
        db.create_all()
        db.session.add(User(id=key))
        db.session.commit()

    def post(reference: str) -> int:
        session = make_checkout_session(
            customer="cus_1", client_reference_id=reference, subscription=None
        )
        event = make_event("checkout.session.completed", session)
        return post_event(app.test_client(), event).status_code

    assert post("foo") == 200

    with app.app_context():
        assert kavach_stripe.get_customer_id("foo") is None
        assert kavach_stripe.get_customer_id(key) is None

    assert post(str(key)) == 200

    with app.app_context():
        assert kavach_stripe.get_customer_id(str(key)) == "cus_1"
        engine = db.engine

    engine.dispose()


def test_duplicate_of_a_checkout_links_nobody_again(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    kept_shop.add_user()
    kept_shop.kavach_stripe.on("checkout.session.completed")(lambda event: None)
    session = make_checkout_session(
        customer="cus_b", client_reference_id="2", subscription=None
    )
    event = make_event("checkout.session.completed", session)
    kept_shop.post_event(event)
    assert kept_shop.columns(2)["customer_id"] == "cus_b"

    kept_shop.post_event(make_event("customer.deleted", {"id": "cus_b"}))
    assert kept_shop.post_event(event).status_code == 200
    assert kept_shop.columns(2)["customer_id"] is None


def test_second_checkout_behind_a_newer_incomplete_one(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_ACTIVE_STATUSES=("active", "trialing", "incomplete"))
    shop.add_user(stripe_customer_id="cus_ada")
    paid = make_subscription("sub_a", customer="cus_ada", created=1000)
    tried = make_subscription(
        "sub_b", customer="cus_ada", created=2000, status="incomplete"
    )

    for subscription in (paid, tried):
        shop.post_event(make_event("customer.subscription.created", subscription))

    assert shop.columns()["subscription_id"] == "sub_b"
    stripe_api.get(
        f"{API}/subscriptions", json={"data": [paid, tried], "has_more": False}
    )
    response = shop.browser(1).post(
        "/auth/stripe/checkout", json={"priceId": "price_1", "trialDays": 7}
    )
    assert (response.status_code, response.json["code"]) == (409, "already_subscribed")


def test_error_page_is_rendered_when_the_database_failed(make_shop: Any) -> None:
    shop = make_shop()
    shop.add_user(stripe_customer_id="cus_ada")
    shop.app.config["PROPAGATE_EXCEPTIONS"] = False

    @shop.app.get("/page")  # type: ignore[untyped-decorator]  # Any
    def page() -> str:
        assert current_user.id == 1
        shop.db.session.add(shop.Note())  # no text: the flush fails
        shop.db.session.flush()
        return "unreachable"

    @shop.app.errorhandler(500)  # type: ignore[untyped-decorator]  # Any
    def sorry(error: Exception) -> tuple[str, int]:
        return render_template_string("sorry {{ current_subscription is none }}"), 500

    response = shop.browser(1).get("/page")
    assert (response.status_code, response.text) == (500, "sorry True")


def test_page_of_an_app_without_a_model_is_rendered() -> None:
    app = Flask("no model")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", SECRET_KEY="secret")
    SQLAlchemy(app)
    KavachStripe(app)
    app.add_url_rule("/", "page", lambda: render_template_string("a page"))
    assert app.test_client().get("/").text == "a page"


def test_user_of_an_event_that_nobody_handles(kept_shop: Any) -> None:
    subscription = make_subscription("sub_1", customer="cus_ada")
    event = make_event("customer.subscription.created", subscription)

    with kept_shop.app.app_context():
        handled = [handle(kept_shop, event), handle(kept_shop, event)]
        assert [found.user.id for found in handled] == [1, 1]


def handle(shop: Any, event: Any) -> Any:
    """Handle an event that arrived in another way."""
    payload = json.dumps(event).encode()
    secret = shop.app.config["STRIPE_WEBHOOK_SECRET"]
    return shop.kavach_stripe.handle_webhook(payload, sign_payload(payload, secret))


def test_thin_event_of_an_object_that_is_gone(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Stripe did answer; it would say the same for three days."""
    error = {"type": "invalid_request_error", "code": "resource_missing"}
    stripe_api.get(f"{API}/subscriptions/sub_x", json={"error": error}, status=404)
    event = make_thin_event("customer.subscription.updated", "sub_x")
    assert kept_shop.post_event(event).status_code == 200


def test_metered_price_has_no_quantity(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.post(
        f"{API}/checkout/sessions",
        json={"id": "cs_1", "url": "https://checkout.stripe.com/c/1"},
    )

    with kept_shop.app.test_request_context():
        kept_shop.kavach_stripe.create_checkout_session(
            1, "price_metered", quantity=None, line_items=None
        )

    assert "quantity" not in str(stripe_api.calls[0].request.body)


def test_guard_with_an_unknown_name_says_so_to_anybody(kept_shop: Any) -> None:
    def view() -> str:
        return "in"

    guarded = subscription_required("nope")(view)

    with (
        kept_shop.app.test_request_context(),
        pytest.raises(RuntimeError, match="'nope'"),
    ):
        guarded()


def test_detached_user(kept_shop: Any) -> None:
    with kept_shop.app.app_context():
        session = kept_shop.db.session
        user = session.get(kept_shop.User, 1)
        session.commit()
        session.expunge(user)
        assert kept_shop.kavach_stripe.get_customer_id(user) == "cus_ada"
        assert kept_shop.kavach_stripe.get_subscription(user) is None


@pytest.mark.parametrize("price", ["a\x00b", "a\x7fb", "a\ufffdb"])
def test_price_with_odd_letters(kept_shop: Any, price: str) -> None:
    browser = kept_shop.browser(1)

    for sent in ({"json": {"priceId": price}}, {"data": {"priceId": price}}):
        response = browser.post("/auth/stripe/checkout", **sent)
        assert (response.status_code, response.json["code"]) == (400, "invalid_field")


def test_cause_of_a_handlers_error_shows_no_parameters(
    kept_shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    email = "@".join(("ada", "example.com"))

    @kept_shop.kavach_stripe.on("invoice.paid")  # type: ignore[untyped-decorator]  # Any
    def fail(event: Any) -> None:
        try:
            kept_shop.db.session.execute(text("NO :sql"), {"sql": email})
        except Exception as error:
            raise RuntimeError("wrapped") from error

    response = kept_shop.post_event(make_event("invoice.paid", {"id": "in_1"}))
    assert response.status_code == 500
    assert "NO ?" in caplog.text
    assert email not in caplog.text


def test_handlers_error_keeps_its_cause(kept_shop: Any) -> None:
    cause = ValueError("cause")

    @kept_shop.kavach_stripe.on("invoice.paid")  # type: ignore[untyped-decorator]  # Any
    def fail(event: Any) -> None:
        raise RuntimeError("a bug") from cause

    with kept_shop.app.app_context(), pytest.raises(RuntimeError) as raised:
        handle(kept_shop, make_event("invoice.paid", {"id": "in_1"}))

    assert raised.value.__cause__ is cause


def test_untrusted_redirect_is_one_of_our_errors() -> None:
    assert issubclass(UntrustedRedirect, KavachStripeError)


def test_password_in_the_base_url_is_not_shown(make_shop: Any) -> None:
    with pytest.raises(RuntimeError) as raised:
        make_shop(STRIPE_API_BASE="https://user:hunter2@proxy.example")

    assert "STRIPE_API_BASE" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_handlers_error_that_is_its_own_cause_is_recorded(kept_shop: Any) -> None:
    """As one is that went through a helper which was called in a handler."""

    def fail(event: Any) -> None:
        error = LookupError("round and round")
        raise error from error

    kept_shop.kavach_stripe.on("invoice.paid")(fail)
    answer = kept_shop.post_event(make_event("invoice.paid", {"id": "in_1"}))
    assert answer.status_code == 500
    assert kept_shop.events[0].error == "LookupError: round and round"
