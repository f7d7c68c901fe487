"""``create_checkout_session`` sells plans of the catalogue by name, and each once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from flask_kavach_stripe import AlreadySubscribedError
from flask_kavach_stripe import APIConnectionError
from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import InvalidRequestError
from flask_kavach_stripe import KavachStripeError
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import error_of
from tests.vocabulary import event
from tests.vocabulary import expect_list
from tests.vocabulary import expect_open_pages
from tests.vocabulary import send
from tests.vocabulary import sent_params
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import URLS

PRICES = {
    "pro": ["price_pro", "price_pro_2024"],
    "team": {"price": "price_team", "trial_days": 14, "quantity": (2, 50)},
    "api": {"price": "price_api", "quantity": None},
    "storage": {"price": "price_storage", "addon": True, "trial_days": 5},
    "later": None,
}
TRIAL = "subscription_data[trial_period_days]"
QUANTITY = "line_items[0][quantity]"


@pytest.fixture
def seller(keep_shop: Any) -> Iterator[Any]:
    """An app with a catalogue and one user, who has a customer; in its context."""
    shop = keep_shop(STRIPE_PRICES=PRICES, STRIPE_TRIAL_DAYS=30)
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")

    with shop.app.app_context():
        yield shop


def sell(shop: Any, price: str, **arguments: Any) -> Any:
    """Make a page for Ada."""
    return shop.kavach_stripe.create_checkout_session(1, price, **URLS, **arguments)


def expect_sale(api: responses.RequestsMock) -> None:
    """Answer the requests for one plan that is sold."""
    expect_list(api)
    api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    expect_open_pages(api)


# -- names ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "sold"),
    [
        ("pro", "price_pro"),
        ("price_pro", "price_pro"),
        ("price_pro_2024", "price_pro_2024"),
        ("team", "price_team"),
    ],
)
def test_names_and_ids_of_plans_are_sold(
    seller: Any, stripe_api: responses.RequestsMock, price: str, sold: str
) -> None:
    expect_sale(stripe_api)

    sell(seller, price)

    assert sent_params(stripe_api)["line_items[0][price]"] == sold
    assert sent_params(stripe_api)["metadata[kavach_sale]"] == "plan"


def test_unknown_name_is_an_error_that_names_the_nearest(seller: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sell(seller, "teem")

    assert "'teem'" in str(caught.value)
    assert "'pro', 'team', 'api', 'storage'" in str(caught.value)
    assert "Did you mean 'team'?" in str(caught.value)


def test_unknown_name_without_a_catalogue(kept_shop: Any, context: None) -> None:
    with pytest.raises(ConfigurationError, match=r"named 'pro'. Names there: none\.$"):
        sell(kept_shop, "pro")


def test_name_without_a_price_id_yet(seller: Any) -> None:
    with pytest.raises(ConfigurationError, match="no price id for 'later'"):
        sell(seller, "later")


# -- trials and quantities -----------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "arguments", "trial", "quantity"),
    [
        pytest.param("team", {}, "14", "2", id="those of the name"),
        pytest.param("price_team", {}, None, "2", id="an id brings no trial"),
        pytest.param("pro", {}, None, "1", id="a name without them"),
        pytest.param("pro", {"trial_days": 3}, "3", "1", id="the app's trial"),
        pytest.param("team", {"trial_days": None}, None, "2", id="no trial"),
        pytest.param("team", {"trial_days": 0}, None, "2", id="a trial of 0 days"),
        pytest.param("team", {"quantity": 7}, "14", "7", id="the app's quantity"),
        pytest.param("api", {}, None, None, id="metered"),
        pytest.param("price_api", {}, None, None, id="metered, by id"),
    ],
)
def test_entry_decides_what_the_call_leaves_out(
    seller: Any,
    stripe_api: responses.RequestsMock,
    price: str,
    arguments: dict[str, Any],
    trial: str | None,
    quantity: str | None,
) -> None:
    expect_sale(stripe_api)

    sell(seller, price, **arguments)

    sent = sent_params(stripe_api)
    assert (sent.get(TRIAL), sent.get(QUANTITY)) == (trial, quantity)


@pytest.mark.parametrize(("arguments", "trial"), [({}, None), ({"trial_days": 3}, "3")])
def test_trial_of_a_name_is_for_a_first_plan(
    seller: Any,
    stripe_api: responses.RequestsMock,
    arguments: dict[str, int],
    trial: str | None,
) -> None:
    """Stripe knows of an old subscription, and our rows did not."""
    expect_list(stripe_api, subscription(status="canceled", price="price_team"))
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    expect_open_pages(stripe_api)

    sell(seller, "team", **arguments)

    assert sent_params(stripe_api).get(TRIAL) == trial


# -- a second one --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "arguments"),
    [
        pytest.param("pro", {}, id="name"),
        pytest.param("price_pro_2024", {}, id="id in an entry"),
        pytest.param("pro", {"allow_second": False}, id="said"),
        pytest.param("price_other", {"allow_second": False}, id="said of another id"),
    ],
)
def test_second_plan_is_refused_although_no_webhook_came(
    seller: Any,
    stripe_api: responses.RequestsMock,
    price: str,
    arguments: dict[str, bool],
) -> None:
    expect_list(stripe_api, subscription())

    with pytest.raises(AlreadySubscribedError) as caught:
        sell(seller, price, **arguments)

    assert isinstance(caught.value, KavachStripeError)
    assert seller.columns()["subscription_id"] == "sub_1"


@pytest.mark.parametrize(
    ("price", "arguments"),
    [
        pytest.param("pro", {"allow_second": True}, id="said"),
        pytest.param("price_other", {}, id="id in no entry"),
        pytest.param("price_other", {"allow_second": True}, id="said of another id"),
        pytest.param("storage", {}, id="add-on"),
        pytest.param("storage", {"allow_second": False}, id="add-on, and said"),
        pytest.param("price_storage", {}, id="add-on, by id"),
    ],
)
def test_second_subscription_is_sold_without_asking(
    seller: Any,
    stripe_api: responses.RequestsMock,
    price: str,
    arguments: dict[str, bool],
) -> None:
    send(seller, event("created"))
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)

    sell(seller, price, metadata={"kavach_sale": "plan"}, **arguments)

    assert len(stripe_api.calls) == 1
    assert TRIAL not in sent_params(stripe_api)
    assert "metadata[kavach_sale]" not in sent_params(stripe_api)


def test_nothing_is_sold_while_stripe_cannot_be_asked(
    seller: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(SUBSCRIPTIONS, body=requests.ConnectionError("down"))

    with pytest.raises(APIConnectionError):
        sell(seller, "pro")


def test_older_page_expires_over_its_life(make_shop: Any) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES)
    shop.add_user(email="ada@example.com")

    with connect(shop.app, Sandbox(seed=1)) as stripe, shop.app.app_context():
        create = shop.kavach_stripe.create_checkout_session
        older, second = create(1, "pro"), create(1, "pro", allow_second=True)
        newer = create(1, "team")
        path = "/v1/checkout/sessions"
        pages = shop.kavach_stripe.client.get(path)["data"]
        stripe.pay(newer.id)

        with pytest.raises(AlreadySubscribedError):
            create(1, "pro")

    assert {page["id"]: page["status"] for page in pages} == {
        older.id: "expired",
        second.id: "open",  # the app allowed it
        newer.id: "open",
    }


# -- metered prices ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "hint"),
    [
        ({"api": "price_api"}, 'STRIPE_PRICES["api"]["quantity"] to None'),
        ("*", "quantity=None"),
    ],
)
def test_metered_price_without_an_entry_that_says_so_is_sold(
    make_shop: Any, caplog: pytest.LogCaptureFixture, prices: Any, hint: str
) -> None:
    shop = make_shop(STRIPE_PRICES=prices)
    shop.add_user(email="ada@example.com")
    stripe = Sandbox(seed=1)
    stripe.create_price("price_api", 1, usage_type="metered")

    with connect(shop.app, stripe), shop.app.app_context():
        page = shop.kavach_stripe.create_checkout_session(1, "price_api")
        stripe.pay(page.id)

    assert shop.columns()["subscription_status"] == "active"
    assert hint in caplog.text
    assert "price_api" in caplog.text


def test_metered_price_with_an_entry_that_says_so_is_sold_at_once(
    make_shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES)
    shop.add_user(email="ada@example.com")
    stripe = Sandbox(seed=1)
    stripe.create_price("price_api", 1, usage_type="metered")

    with connect(shop.app, stripe), shop.app.app_context():
        stripe.pay(shop.kavach_stripe.create_checkout_session(1, "api").id)
        found = shop.kavach_stripe.get_subscription(1)
        assert (found.price_id, found.quantity) == ("price_api", None)

    assert "quantity" not in caplog.text


def test_wrong_quantity_stays_an_error(
    seller: Any, stripe_api: responses.RequestsMock
) -> None:
    """The price takes a quantity, so the try without one is refused, too."""
    expect_list(stripe_api)

    for message in ("too many", "missing"):
        error = error_of(message=message, param=QUANTITY)
        stripe_api.post(CHECKOUT_SESSIONS, status=400, json=error)

    with pytest.raises(InvalidRequestError, match="too many"):
        sell(seller, "pro", quantity=10**9)
