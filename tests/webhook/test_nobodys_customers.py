"""Events of a customer whom no user has leave a line in the log, and link nobody."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import responses

from flask_kavach_stripe.testing import make_customer
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from tests.vocabulary import checkout
from tests.vocabulary import event
from tests.vocabulary import mark
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import send

pytestmark = pytest.mark.usefixtures("unchanged")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.message)
        for record in caplog.records
        if "whom no user has" in record.message
    ]


MARKED = mark(7, "cus_x")


def deleted(metadata: dict[str, str]) -> dict[str, Any]:
    """The end of the customer, which has a mark of its own."""
    metadata = mark(7) if metadata == MARKED else metadata
    return make_event("customer.deleted", make_customer("cus_x", metadata=metadata))


EVENTS = [
    pytest.param(
        lambda metadata: event("created", customer="cus_x", metadata=metadata),
        id="subscription",
    ),
    pytest.param(
        lambda metadata: checkout(customer="cus_x", metadata=metadata), id="checkout"
    ),
    pytest.param(deleted, id="customer"),
]


@pytest.mark.parametrize("make", EVENTS)
@pytest.mark.parametrize(
    ("metadata", "level"),
    [
        pytest.param({}, logging.INFO, id="no mark"),
        pytest.param({"kavach_user_id": "7"}, logging.INFO, id="another app's"),
        pytest.param({**MARKED, "kavach_user_id": "8"}, logging.INFO, id="bad mark"),
        pytest.param(MARKED, logging.WARNING, id="our mark"),
    ],
)
def test_event_of_a_customer_whom_nobody_has_is_logged(
    shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    make: Any,
    metadata: dict[str, str],
    level: int,
) -> None:
    """And Stripe is not called."""
    caplog.set_level(logging.INFO)
    send(shop, make(metadata))

    ((found, text),) = lines(caplog)
    assert found == level
    assert "cus_x" in text
    assert ("user 7" in text) == (level == logging.WARNING)


def test_event_of_a_known_customer_is_not_logged_as_nobodys(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    handled = make_event("customer.updated", make_customer("cus_ada"))
    send(shop, handled)

    assert lines(caplog) == []


def test_event_for_handlers_alone_is_logged_too(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen: list[Any] = []
    on(shop, "invoice.paid")(lambda received: seen.append(received.user))
    details = {"metadata": MARKED, "subscription": "sub_x"}
    sent = paid(customer="cus_x", subscription="sub_x")
    sent["data"]["object"]["parent"] = {"subscription_details": details}
    shop.post_event({**sent, "id": None})

    assert seen == [None]
    assert [level for level, _ in lines(caplog)] == [logging.WARNING]


def test_event_of_a_connected_account_is_nobodys_business(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen: list[str] = []
    on(shop, "customer.subscription.*")(lambda received: seen.append(received.account))
    found = make_subscription("sub_x", customer="cus_x", metadata=MARKED)
    sent = make_event("customer.subscription.created", found)
    shop.post_event({**sent, "id": None, "account": "acct_1"})

    assert seen == ["acct_1"]
    assert lines(caplog) == []
