"""``flask stripe forget`` clears users whose customers Stripe does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import API
from tests.vocabulary import assert_error
from tests.vocabulary import buy
from tests.vocabulary import customer_of_other_mode
from tests.vocabulary import doctor
from tests.vocabulary import expect_customer
from tests.vocabulary import expect_deleted_customer
from tests.vocabulary import expect_unknown_customer
from tests.vocabulary import PORTAL
from tests.vocabulary import PORTAL_SESSIONS
from tests.vocabulary import run
from tests.vocabulary import run_well
from tests.vocabulary import store_subscription
from tests.vocabulary import SUBSCRIPTIONS

IN_TEST_MODE = (
    "No such customer: 'cus_ada'; a similar object exists in test mode, but a live mode"
    " key was used to make this request."
)


@pytest.fixture
def live_shop(make_shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An app that went live with the database of its tests. Ada pays in test mode."""
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    store_subscription(shop)
    live = make_shop(
        STRIPE_SECRET_KEY="sk_live_of_the_tests",
        STRIPE_PRICES={"pro": "price_pro"},
        SQLALCHEMY_DATABASE_URI=shop.app.config["SQLALCHEMY_DATABASE_URI"],
    )
    assert live.columns()["subscription_status"] == "active"
    return live


def assert_cleared(shop: Any) -> None:
    assert set(shop.columns().values()) == {None, False}
    assert shop.subscriptions == []


def test_customer_of_test_mode_in_a_live_app_is_said_and_cleared(
    live_shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = live_shop.columns()
    refusal = customer_of_other_mode("live")
    stripe_api.assert_all_requests_are_fired = False

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        if "customer=cus_ada" in request.url:
            return 400, {}, json.dumps(refusal)

        return 200, {}, '{"data": []}'

    stripe_api.add_callback("GET", SUBSCRIPTIONS, answer)
    stripe_api.post(PORTAL_SESSIONS, status=400, json=refusal)
    stripe_api.get(f"{API}/webhook_endpoints", json={"data": []})
    stripe_api.get(f"{API}/billing_portal/configurations", json={"data": [{}]})
    stripe_api.get(f"{API}/prices/price_pro", json={"id": "price_pro"})
    expect_unknown_customer(stripe_api, message=IN_TEST_MODE)

    assert_error(buy(live_shop), 409, "unknown_customer")
    portal = live_shop.browser(1).post(PORTAL, json={"returnUrl": "/"})
    assert_error(portal, 409, "unknown_customer")
    assert "flask stripe forget" in caplog.text
    assert "flask stripe forget" in run(live_shop, "sync").stderr
    verdict, text = doctor(live_shop)["customers"]
    assert verdict == "FAIL"
    assert "cus_ada of user 1 (a customer of test mode)" in text
    assert "flask stripe forget" in text
    assert live_shop.columns() == before

    found = run_well(live_shop, "forget", "--unknown", "--yes")
    assert found == "user 1 (cus_ada)\n1 user cleared\n"
    assert_cleared(live_shop)


def test_live_key_does_not_forget_what_may_be_another_accounts(
    live_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    before = live_shop.columns()
    expect_unknown_customer(stripe_api)
    result = run(live_shop, "forget", "--unknown", "--yes")

    assert (result.exit_code, result.stdout) == (0, "0 users cleared\n")
    assert "user 1 (cus_ada) is kept" in result.stderr
    assert live_shop.columns() == before

    run_well(live_shop, "forget", "--user", "1", "--yes")
    assert_cleared(live_shop)


@pytest.mark.parametrize(
    ("answer", "is_cleared"), [("y\n", True), ("n\n", False), ("", False)]
)
def test_forget_shows_each_user_and_asks(
    shop: Any,
    stripe_api: responses.RequestsMock,
    answer: str,
    is_cleared: bool,
) -> None:
    store_subscription(shop)
    expect_unknown_customer(stripe_api)
    args = ["stripe", "forget", "--unknown"]
    result = shop.app.test_cli_runner().invoke(args=args, input=answer)

    assert result.exit_code == 0
    assert result.stdout.startswith(
        "user 1 (cus_ada)\nForget the customers of 1 user? [y/N]"
    )
    assert (shop.columns()["customer_id"] is None) is is_cleared
    assert (shop.subscriptions == []) is is_cleared


@pytest.mark.parametrize("is_deleted", [False, True])
def test_forget_keeps_whom_stripe_knows(
    shop: Any, stripe_api: responses.RequestsMock, is_deleted: bool
) -> None:
    store_subscription(shop)
    before = shop.columns()
    expect = expect_deleted_customer if is_deleted else expect_customer
    expect(stripe_api)

    assert run_well(shop, "forget", "--unknown", "--yes") == "0 users cleared\n"
    result = run(shop, "forget", "--user", "1", "--yes")
    assert result.exit_code == 1
    assert "'flask stripe sync --user 1'" in result.stderr
    assert shop.columns() == before


def test_forget_leaves_the_rows_of_others(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.add_user(stripe_customer_id="cus_bea")
    store_subscription(shop)
    store_subscription(shop, "sub_2", customer="cus_bea")
    expect_unknown_customer(stripe_api)
    expect_customer(stripe_api, "cus_bea")
    run_well(shop, "forget", "--unknown", "--yes")

    assert [row.id for row in shop.subscriptions] == ["sub_2"]


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        ([], 2, "Give either --user ID or --unknown."),
        (["--user", "1", "--unknown"], 2, "Give either"),
        (["--user", "2"], 1, "User 2 has no customer."),
        (["--user", "99"], 1, "There is no such user."),
    ],
)
def test_forget_with_nothing_to_do(
    shop: Any, args: list[str], status: int, words: str
) -> None:
    result = run(shop, "forget", *args)

    assert result.exit_code == status
    assert words in result.stderr


def test_blank_customer_id_is_no_customer_to_ask_for(make_shop: Any) -> None:
    """A form's default."""
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    shop.add_user(email="ada@example.com", stripe_customer_id="")

    with connect(shop.app, Sandbox()):
        found = doctor(shop)["customers"]
        cleared = run_well(shop, "forget", "--unknown", "--yes")

    assert found == ("ok", "There are none.")
    assert cleared == "0 users cleared\n"
