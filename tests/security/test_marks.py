"""A mark proposes a user, and cannot be made or borrowed: each way is tried.

Ada has lost her link. Somebody wants a customer to become Ada's, or Ada's customer to
become somebody's: by metadata from a browser, a Payment Link, another app on the same
Stripe account, a copy of the database, a customer that somebody else has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from flask_kavach_stripe.marks import Marker
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import APP_SECRET
from tests.vocabulary import buy
from tests.vocabulary import CHECKOUT
from tests.vocabulary import CHECKOUT_SESSION
from tests.vocabulary import CHECKOUT_SESSIONS
from tests.vocabulary import CUSTOMERS
from tests.vocabulary import expect_list
from tests.vocabulary import expect_search
from tests.vocabulary import mark
from tests.vocabulary import run
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS

ADA = "ada@example.com"


@pytest.fixture
def shop(keep_shop: Any) -> Any:
    """Ada has no customer. Bob has one."""
    kept = keep_shop(STRIPE_TRIAL_DAYS=0)
    kept.add_user(email=ADA)
    kept.add_user(email="bob@example.com", stripe_customer_id="cus_bob")
    return kept


def customer(id: str = "cus_old", **values: Any) -> dict[str, Any]:
    """A customer that is Ada's, by all that is looked at."""
    defaults = {
        "object": "customer",
        "email": ADA,
        "livemode": False,
        "metadata": mark(1),
    }
    return {"id": id, **defaults, **values}


def linked_after_checkout(
    shop: Any, stripe_api: responses.RequestsMock, *found: Any
) -> Any:
    """Ada's customer after a checkout, which finds some customers by her address."""
    stripe_api.assert_all_requests_are_fired = False
    expect_search(stripe_api, *found)
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    stripe_api.get(SUBSCRIPTIONS, json={"data": []})
    stripe_api.get(CHECKOUT_SESSIONS, json={"data": []})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    stripe_api.get(CHECKOUT_SESSIONS, json={"data": []})
    assert buy(shop).status_code == 200
    return shop.columns(1)["customer_id"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="as it was made"),
        pytest.param({"email": " ADA@Example.com"}, id="case and spaces"),
    ],
)
def test_customer_of_ada_is_hers_again(
    shop: Any, stripe_api: responses.RequestsMock, values: dict[str, Any]
) -> None:
    """The tests below refuse something that would work."""
    found = linked_after_checkout(shop, stripe_api, customer(**values))

    assert found == "cus_old"
    assert [(call.request.method, call.request.path_url) for call in stripe_api.calls][
        :2
    ] == [
        ("GET", "/v1/customers?email=ada%40example.com&limit=100"),
        ("GET", "/v1/subscriptions?customer=cus_old&status=all&limit=100"),
    ]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"metadata": {}}, id="no metadata"),
        pytest.param({"metadata": {"kavach_user_id": "1"}}, id="another app's, older"),
        pytest.param(
            {"metadata": {"kavach_user_id": "1", "kavach_mark": "0" * 32}}, id="guessed"
        ),
        pytest.param(
            {"metadata": {"kavach_user_id": "1", "kavach_mark": "é"}}, id="no hex"
        ),
        pytest.param(
            {"metadata": {"kavach_user_id": "1", "kavach_mark": ""}}, id="empty"
        ),
        pytest.param(
            {"metadata": Marker(["of staging"], "users").metadata(1)},
            id="copy of the database, another SECRET_KEY",
        ),
        pytest.param(
            {"metadata": Marker([APP_SECRET], "members").metadata(1)},
            id="another table",
        ),
        pytest.param({"metadata": mark(2)}, id="another user's"),
        pytest.param(
            {"metadata": {**mark(2), "kavach_user_id": "1"}},
            id="another user's mark with Ada's id",
        ),
        pytest.param(
            {"metadata": mark(1, "cus_old")}, id="mark of a session or subscription"
        ),
        pytest.param({"email": "eve@example.com"}, id="another address"),
        pytest.param({"email": None}, id="no address"),
        pytest.param({"deleted": True}, id="deleted"),
        pytest.param({"livemode": True}, id="other mode"),
        pytest.param({"id": "cus_bob"}, id="somebody else has it"),
        pytest.param({"id": None}, id="no id"),
    ],
)
def test_nothing_less_links(
    shop: Any, stripe_api: responses.RequestsMock, values: dict[str, Any]
) -> None:
    assert linked_after_checkout(shop, stripe_api, customer(**values)) == "cus_new"
    assert shop.columns(2)["customer_id"] == "cus_bob"


def test_no_secret_key_makes_and_takes_no_mark() -> None:
    """An empty key is everybody's."""
    forged = Marker([""], "users").metadata(1)

    assert Marker([], "users").metadata(1) == {"kavach_user_id": "1"}
    assert Marker([], "users").read(forged) is None


def test_former_secret_key_is_accepted(
    shop: Any, stripe_api: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(shop.app.config, "SECRET_KEY", "new")
    monkeypatch.setitem(shop.app.config, "SECRET_KEY_FALLBACKS", [APP_SECRET])

    assert linked_after_checkout(shop, stripe_api, customer()) == "cus_old"


def test_customer_of_somebody_else_does_not_stand_in_the_way(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Nor is Stripe asked for its subscriptions."""
    found = linked_after_checkout(
        shop, stripe_api, customer("cus_bob"), customer("cus_old")
    )

    assert found == "cus_old"
    urls = [str(call.request.url) for call in stripe_api.calls]
    assert not any("customer=cus_bob" in url for url in urls)


@pytest.mark.parametrize(
    ("running", "linked"), [([], "cus_new"), (["b"], "cus_b"), (["a", "b"], "cus_new")]
)
def test_of_several_the_one_that_is_charged(
    shop: Any, stripe_api: responses.RequestsMock, running: list[str], linked: str
) -> None:
    for name in ("a", "b"):
        listed = subscription(customer=f"cus_{name}", status="incomplete")
        listed = {**listed, "status": "past_due" if name in running else "canceled"}
        query = {"customer": f"cus_{name}", "status": "all", "limit": "100"}
        stripe_api.get(
            SUBSCRIPTIONS,
            json={"data": [listed]},
            match=[responses.matchers.query_param_matcher(query)],
        )

    expect_search(stripe_api, customer("cus_a"), customer("cus_b"))
    stripe_api.assert_all_requests_are_fired = False
    stripe_api.post(CUSTOMERS, json={"id": "cus_new"})
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION)
    buy(shop)

    assert shop.columns(1)["customer_id"] == linked


@pytest.fixture
def sandbox(shop: Any) -> Iterator[Sandbox]:
    with connect(shop.app, Sandbox()) as sandbox:
        yield sandbox


def read(shop: Any, path: str) -> Any:
    with shop.app.app_context():
        return shop.kavach_stripe.client.get(path)


def test_browser_cannot_bring_a_mark(shop: Any, sandbox: Sandbox) -> None:
    """Eve puts Ada's id, and a mark of her own session, into what she buys."""
    eve = shop.add_user(email="eve@example.com")
    body = {"priceId": "price_pro", "metadata": mark(1, "cus_old")}
    bought = shop.browser(eve).post(CHECKOUT, json=body).json
    customer_id = shop.columns(eve)["customer_id"]
    sandbox.pay(bought["sessionId"])
    session = read(shop, f"/v1/checkout/sessions/{bought['sessionId']}")
    sold = read(shop, f"/v1/subscriptions/{session['subscription']}")

    marks = mark(eve, customer_id)
    assert session["metadata"] == {**marks, "kavach_sale": "plan"}
    assert sold["metadata"] == marks
    assert read(shop, f"/v1/customers/{customer_id}")["metadata"] == mark(eve)
    assert shop.columns(1)["customer_id"] is None


def test_app_code_cannot_override_a_mark(shop: Any, sandbox: Sandbox) -> None:
    with shop.app.app_context(), shop.app.test_request_context():
        made = shop.kavach_stripe.create_checkout_session(
            1,
            "price_pro",
            metadata=mark(2),
            subscription_data={"metadata": {"kavach_mark": "x"}},
        )

    session = read(shop, f"/v1/checkout/sessions/{made.id}")
    assert session["metadata"] == mark(1, shop.columns(1)["customer_id"])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(
            {"payment_link": "plink_1", "client_reference_id": "1"}, id="Payment Link"
        ),
        pytest.param({"metadata": mark(1, "cus_x")}, id="a good mark"),
        pytest.param({"metadata": mark(1)}, id="a customer's mark"),
        pytest.param({"metadata": {"kavach_user_id": "1"}}, id="another app's"),
    ],
)
def test_webhook_links_nobody_by_a_mark(shop: Any, values: dict[str, Any]) -> None:
    session = make_checkout_session(customer="cus_x", subscription=None, **values)

    shop.post_event(make_event("checkout.session.completed", session))

    assert shop.columns(1)["customer_id"] is None


def test_sync_proposes_no_customer_of_another_app(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """Its subscriptions carry a mark under another ``SECRET_KEY``."""
    foreign = Marker(["of staging"], "users").metadata(1, "cus_x")
    listed = subscription(customer="cus_x", metadata=foreign)
    stripe_api.get(SUBSCRIPTIONS, json={"data": [listed]})
    result = run(shop, "sync")

    assert "orphan" not in result.stdout
    assert result.stdout.startswith("1 running subscription at Stripe without a mark")


@pytest.mark.parametrize(
    "values",
    [{"email": "eve@example.com"}, {"metadata": {}}, {"deleted": True}],
    ids=["another address", "mark of the subscription alone", "deleted"],
)
def test_sync_proposes_nobody_by_the_mark_of_a_subscription_alone(
    shop: Any, stripe_api: responses.RequestsMock, values: dict[str, Any]
) -> None:
    """A primary key was given again: the new Ada is not the old one."""
    listed = subscription(customer="cus_old", metadata=mark(1, "cus_old"))
    stripe_api.get(SUBSCRIPTIONS, json={"data": [listed]})
    stripe_api.get(f"{CUSTOMERS}/cus_old", json=customer(**values))
    result = shop.app.test_cli_runner().invoke(args=["stripe", "sync"], input="y\n")

    assert "Link this user" not in result.stdout
    assert "orphan: sub_1" in result.stdout
    assert shop.columns(1)["customer_id"] is None


def test_link_does_not_take_somebody_elses_customer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    result = run(shop, "link", "1", "cus_bob")

    assert result.exit_code == 1
    assert "cus_bob is the customer of user 2" in result.stderr
    assert shop.columns(1)["customer_id"] is None


def test_link_is_not_taken_from_one_who_has_a_customer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    result = run(shop, "link", "2", "cus_old")

    assert result.exit_code == 1
    assert "User 2 has the customer cus_bob already" in result.stderr


def test_relinked_customer_is_read_before_the_next_sale(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    expect_search(stripe_api, customer("cus_ada"))
    expect_list(stripe_api, subscription())

    answer = buy(shop)

    assert (answer.status_code, answer.json["code"]) == (409, "already_subscribed")
    assert shop.columns(1)["subscription_id"] == "sub_1"


# -- the idempotency key of a customer -------------------------------------------------


def bought(shop: Any) -> str:
    """The id of Ada's customer, after she has asked for a page."""
    assert buy(shop).status_code == 200
    return str(shop.columns(1)["customer_id"])


def change_address(shop: Any, customer_id: str) -> None:
    client = shop.app.extensions["kavach_stripe"].client
    client.post(f"/v1/customers/{customer_id}", {"email": "eve@example.com"})


def give_to_eve(shop: Any, customer_id: str) -> None:
    shop.add_user(email="eve@example.com", stripe_customer_id=customer_id)


@pytest.mark.parametrize("lose", [change_address, give_to_eve])
def test_stripe_repeats_no_customer_that_is_not_adas_any_more(
    shop: Any, lose: Any
) -> None:
    """For a day, Stripe answers the same request with the customer that it made."""
    with connect(shop.app, Sandbox()) as sandbox:
        former = bought(shop)
        set_columns(shop, stripe_customer_id=None)
        lose(shop, former)
        sandbox.advance(hours=1)

        assert bought(shop) != former


def test_stripe_repeats_no_customer_to_another_user_with_the_same_key(
    shop: Any,
) -> None:
    """Neither has an e-mail address, so that both requests are equal."""
    set_columns(shop, email=None)

    with connect(shop.app, Sandbox()) as sandbox:
        former = bought(shop)
        set_columns(shop, stripe_customer_id=None)
        sandbox.advance(hours=1)

        assert bought(shop) != former


def test_parallel_request_gets_the_same_customer(shop: Any) -> None:
    """It may have looked for a customer before the other one has stored it."""
    with connect(shop.app, Sandbox()):
        first = bought(shop)
        change_address(shop, first)
        set_columns(shop, stripe_customer_id=None)

        assert bought(shop) == first


def set_columns(shop: Any, **values: Any) -> None:
    with shop.app.app_context():
        statement = shop.db.update(shop.User).where(shop.User.id == 1).values(values)
        shop.db.session.execute(statement)
        shop.db.session.commit()
