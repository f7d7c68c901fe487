"""What helpers take: keys, detached users, parameters of Checkout.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses

from flask_kavach_stripe import NoCustomerError
from tests.buyers import answer_checkout
from tests.vocabulary import CUSTOMERS


def test_helpers_are_where_the_documentation_says(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """K20: the documentation called a helper that does not exist."""
    answer_checkout(stripe_api)

    with kept_shop.app.test_request_context():
        session = kept_shop.kavach_stripe.create_checkout_session(1, "price_pro")

    assert session.url == "https://checkout.stripe.com/c/cs_1"


def test_metered_price_has_no_quantity(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_checkout(stripe_api)

    with kept_shop.app.test_request_context():
        kept_shop.kavach_stripe.create_checkout_session(
            1, "price_metered", quantity=None, line_items=None
        )

    assert "quantity" not in str(stripe_api.calls[0].request.body)


def test_detached_user(kept_shop: Any) -> None:
    with kept_shop.app.app_context():
        session = kept_shop.db.session
        user = session.get(kept_shop.User, 1)
        session.commit()
        session.expunge(user)
        assert kept_shop.kavach_stripe.get_customer_id(user) == "cus_ada"
        assert kept_shop.kavach_stripe.get_subscription(user) is None


def test_detached_user_who_is_deleted_while_stripe_makes_the_customer(
    kept_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    db, user_model = kept_shop.db, kept_shop.User

    def delete_and_answer(request: Any) -> tuple[int, dict[str, str], str]:
        with kept_shop.app.app_context():
            db.session.execute(db.delete(user_model).where(user_model.id == 2))
            db.session.commit()

        return 200, {}, json.dumps({"id": "cus_2", "object": "customer"})

    stripe_api.add_callback("POST", CUSTOMERS, delete_and_answer)
    kept_shop.add_user(id=2)

    with kept_shop.app.app_context():
        user = db.session.get(user_model, 2)
        db.session.expunge(user)

        with pytest.raises(NoCustomerError, match="deleted meanwhile"):
            kept_shop.kavach_stripe.create_customer(user)
