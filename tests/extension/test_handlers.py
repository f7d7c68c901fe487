"""How handlers are registered, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.extension.apps import subscribe


@pytest.mark.parametrize("event_types", [(), ("",), (1,), (None,), ("a", ["b"])])
def test_wrong_event_types(event_types: Any) -> None:
    with pytest.raises(TypeError, match=r"@kavach_stripe\.on\("):
        KavachStripe().on(*event_types)


def test_on_without_parentheses() -> None:
    """Else the handler would never run, and nobody would know."""

    def handler(event: Event) -> None: ...

    wrong: Any = handler

    with pytest.raises(TypeError, match=r"@kavach_stripe\.on\("):
        KavachStripe().on(wrong)


def test_decorators_return_the_function() -> None:
    kavach_stripe = KavachStripe()

    def handler(*args: Any) -> None: ...

    assert kavach_stripe.on("invoice.paid")(handler) is handler
    assert kavach_stripe.on_subscription_change(handler) is handler


def test_subscription_handler_is_given_to_the_constructor(
    make_app: Callable[..., Any],
) -> None:
    told: list[str] = []
    app, db = make_app()
    kavach_stripe = KavachStripe(
        app, on_subscription_change=lambda user, subscription: told.append("first")
    )
    kavach_stripe.on_subscription_change(lambda *args: told.append("second"))
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert told == ["first", "second"]


def test_handler_may_be_registered_after_init_app(
    make_app: Callable[..., Any],
) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))
    handled: list[str] = []
    assert subscribe(app) == 200
    kavach_stripe.on("invoice.paid")(lambda event: handled.append(event.type))

    post_event(app.test_client(), make_event("invoice.paid", {"id": "in_1"}))

    assert handled == ["invoice.paid"]
