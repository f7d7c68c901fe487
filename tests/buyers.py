"""What a logged-in browser does at our endpoints."""

from __future__ import annotations

from typing import Any

import responses
from werkzeug.test import TestResponse

from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import SUBSCRIPTION


def shown(shop: Any, user_id: int = 1) -> Any:
    """What a browser is shown of the logged-in user's subscription."""
    answer = shop.browser(user_id).get(SUBSCRIPTION)
    assert answer.status_code == 200
    return answer.json["subscription"]


def start_checkout(shop: Any, user_id: int = 1, **fields: Any) -> TestResponse:
    """Have a browser start a checkout."""
    body = {"priceId": "price_pro", **fields}
    answer: TestResponse = shop.browser(user_id).post(CHECKOUT, json=body)
    return answer


def answer_checkout(stripe_api: responses.RequestsMock) -> None:
    """Have Stripe make a Checkout session."""
    page = {"id": "cs_1", "url": "https://checkout.stripe.com/c/cs_1"}
    stripe_api.post(CHECKOUT_SESSIONS, json=page)
