"""``flask stripe link`` brings customers at Stripe to users (docs/cli.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.operations.lossy_stripe import LossyStripe
from tests.vocabulary import run
from tests.vocabulary import run_well


class OtherLibrary(LossyStripe):
    """An account in which another library has made customers, without marks."""

    def add_customer(self, email: str | None, *, subscribed: bool = True) -> str:
        card = "pm_card_visa"
        customer_id = self.call(
            "post",
            "/v1/customers",
            {
                "email": email,
                "payment_method": card,
                "invoice_settings": {"default_payment_method": card},
            },
        )["id"]

        if subscribed:
            params = {"customer": customer_id, "items": [{"price": "price_pro"}]}
            self.call("post", "/v1/subscriptions", params)

        return str(customer_id)


@pytest.fixture
def shop(make_shop: Any) -> Any:
    """Ada and Bob have accounts here, and no customers."""
    made = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    made.add_user(email="ada@example.com")
    made.add_user(email="bob@example.com")
    return made


@pytest.fixture
def account(shop: Any) -> Iterator[OtherLibrary]:
    with connect(shop.app, Sandbox()) as sandbox:
        yield OtherLibrary(shop, sandbox)


def answer(shop: Any, text: str, *args: str) -> str:
    result = shop.app.test_cli_runner().invoke(
        args=["stripe", "link", *args], input=text
    )
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_sync_says_how_many_subscriptions_belong_to_nobody(
    shop: Any, account: OtherLibrary
) -> None:
    account.add_customer("ada@example.com")
    account.add_customer("bob@example.com")

    assert run_well(shop, "sync") == (
        "2 running subscriptions at Stripe without a mark of this app belong to nobody"
        " here. If they are this app's, 'flask stripe link --by-email' proposes"
        " users.\n"
        "2 subscriptions read in 1 request, 0 users changed\n"
    )


def test_customers_of_another_library_are_proposed_one_by_one(
    shop: Any, account: OtherLibrary
) -> None:
    ada = account.add_customer("Ada@example.com")
    bob = account.add_customer("bob@example.com", subscribed=False)
    shown = answer(shop, "n\ny\n", "--by-email")  # the newest comes first

    assert f"user 1 (ada@example.com) - {ada} (Ada@example.com): sub_" in shown
    assert "active, 1 x 900 usd/month" in shown
    assert f"- {bob} (bob@example.com): nothing is running" in shown
    assert shown.endswith("1 user linked\n")
    assert shop.columns(1)["customer_id"] == ada
    assert shop.columns(1)["subscription_status"] == "active"
    assert len(shop.subscriptions) == 1
    assert shop.columns(2)["customer_id"] is None


def test_yes_links_those_who_are_charged(shop: Any, account: OtherLibrary) -> None:
    ada = account.add_customer("ada@example.com")
    account.add_customer("bob@example.com", subscribed=False)

    assert run_well(shop, "link", "--by-email", "--yes").endswith("1 user linked\n")
    assert shop.columns(1)["customer_id"] == ada
    assert shop.columns(2)["customer_id"] is None


def test_nobody_there_to_answer_links_nobody(shop: Any, account: OtherLibrary) -> None:
    account.add_customer("ada@example.com")

    assert answer(shop, "", "--by-email").endswith("0 users linked\n")
    assert shop.columns(1)["customer_id"] is None


def test_of_two_customers_the_one_that_is_charged_is_proposed(
    shop: Any, account: OtherLibrary
) -> None:
    account.add_customer("ada@example.com", subscribed=False)
    charged = account.add_customer("ada@example.com")
    account.add_customer("bob@example.com")
    account.add_customer("bob@example.com")
    run_well(shop, "link", "--by-email", "--yes")

    assert shop.columns(1)["customer_id"] == charged
    assert shop.columns(2)["customer_id"] is None


@pytest.mark.parametrize("email", [None, "eve@example.com", "ada@example.com"])
def test_address_of_nobody_or_of_two_proposes_nothing(
    shop: Any, account: OtherLibrary, email: str | None
) -> None:
    """The second Ada has a customer already."""
    shop.add_user(email="ADA@example.com", stripe_customer_id="cus_other")
    account.add_customer(email)

    assert run_well(shop, "link", "--by-email", "--yes") == "0 users linked\n"


def test_customer_that_a_user_has_is_not_proposed(
    shop: Any, account: OtherLibrary
) -> None:
    customer_id = account.add_customer("ada@example.com")
    shop.add_user(email="eve@example.com", stripe_customer_id=customer_id)

    assert run_well(shop, "link", "--by-email", "--yes") == "0 users linked\n"


def test_one_pair_with_different_addresses(shop: Any, account: OtherLibrary) -> None:
    customer_id = account.add_customer("ada@work.example")
    shown = run_well(shop, "link", "1", customer_id)

    assert f"user 1 (ada@example.com) - {customer_id} (ada@work.example)" in shown
    assert shop.columns(1)["customer_id"] == customer_id
    assert shop.columns(1)["subscription_status"] == "active"


def test_link_tells_the_handlers_and_goes_on_after_one_that_raises(
    shop: Any, account: OtherLibrary
) -> None:
    def remember(user: Any, subscription: Any) -> None:
        shop.note(f"{user.id} {subscription.status}")

        if user.id == 2:  # the newest customer comes first
            raise ValueError("a bug")

    shop.kavach_stripe.on_subscription_change(remember)

    for email in ("ada@example.com", "bob@example.com"):
        account.add_customer(email)

    result = run(shop, "link", "--by-email", "--yes")

    assert result.exit_code == 1
    assert "user 2 failed: A handler raised ValueError." in result.stderr
    assert shop.notes == ["1 active"]
    assert shop.columns(2)["subscription_status"] == "active"


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        ([], 2, "Give either USER_ID and CUSTOMER_ID, or --by-email."),
        (["1"], 2, "Give either"),
        (["1", "cus_x", "--by-email"], 2, "Give either"),
        (["99", "cus_x"], 1, "There is no such user."),
        (["1", "cus_x"], 1, "Stripe does not know 'cus_x' under the present key."),
        (["1", "../x"], 1, "Stripe does not know '../x'"),
    ],
)
def test_link_of_what_is_not_there(
    shop: Any, account: OtherLibrary, args: list[str], status: int, words: str
) -> None:
    result = run(shop, "link", *args)

    assert result.exit_code == status
    assert words in result.stderr


def test_link_of_a_deleted_customer(shop: Any, account: OtherLibrary) -> None:
    customer_id = account.add_customer("ada@example.com")
    account.call("delete", f"/v1/customers/{customer_id}")
    result = run(shop, "link", "1", customer_id)

    assert result.exit_code == 1
    assert "was deleted at Stripe" in result.stderr
