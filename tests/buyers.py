"""What a logged-in browser does at our endpoints."""

from __future__ import annotations

from typing import Any

import responses
from requests import PreparedRequest
from responses.registries import FirstMatchRegistry
from werkzeug.test import TestResponse

from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import SUBSCRIPTION
from tests.vocabulary import SUBSCRIPTIONS


class NothingBoughtYet(FirstMatchRegistry):
    """Answers what a checkout asks about its customer, where a test does not.

    Stripe lists no subscription and no open page. A test that expects one of these
    requests answers it itself, and then it has to be sent.
    """

    def find(
        self, request: PreparedRequest
    ) -> tuple[responses.BaseResponse | None, list[str]]:
        found, reasons = super().find(request)
        url = str(request.url).partition("?")[0]

        if found is None and request.method == "GET":
            if url in (SUBSCRIPTIONS, CHECKOUT_SESSIONS):
                found = responses.Response("GET", url, json={"data": []})

        return found, reasons


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
