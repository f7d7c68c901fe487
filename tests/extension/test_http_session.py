"""``KavachStripe(http_session=...)``: a session of the app's own."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from flask_kavach_stripe import KavachStripe
from tests.client.wire import http
from tests.client.wire import serve
from tests.client.wire import Server
from tests.extension.apps import create_tables
from tests.extension.apps import make_user_model
from tests.vocabulary import CUSTOMERS

# An address that nobody has: RFC 2606.
STRIPE = "http://stripe.invalid"


@pytest.fixture
def proxy() -> Iterator[Server]:
    with serve() as server:
        yield server


def test_session_of_the_app_serves_helpers_and_webhooks(
    proxy: Server, make_app: Callable[..., Any]
) -> None:
    app, db = make_app(STRIPE_API_BASE=STRIPE)
    model = make_user_model(db)

    with requests.Session() as session:
        session.proxies = {"http": proxy.url}
        kavach_stripe = KavachStripe(http_session=session)
        kavach_stripe.init_app(app)
        create_tables(app, db, model())
        proxy.answers += [http('{"id": "cus_1"}'), http('{"id": "evt_1"}')]

        with app.app_context():
            assert kavach_stripe.create_customer(1) == "cus_1"

        webhook_client = app.extensions["kavach_stripe"].webhook_client
        assert webhook_client.get("/v1/events/evt_1") == {"id": "evt_1"}

    assert [each.path.removeprefix(STRIPE) for each in proxy.requests] == [
        "/v1/customers",
        "/v1/events/evt_1",
    ]


def test_session_of_the_app_is_called_for_each_request(
    make_app: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    class Counting(requests.Session):
        count = 0

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            self.count += 1
            return super().send(*args, **kwargs)

    app, _ = make_app()
    stripe_api.get(CUSTOMERS, json={"data": []})

    with Counting() as session, app.app_context():
        kavach_stripe = KavachStripe(app, http_session=session)
        kavach_stripe.client.get("/v1/customers")
        assert session.count == 1
