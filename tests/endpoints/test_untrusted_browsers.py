"""What a browser sends decides nothing that the app decides.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

from typing import Any

import pytest
import responses

from tests.buyers import answer_checkout
from tests.buyers import start_checkout
from tests.vocabulary import assert_refused
from tests.vocabulary import CHECKOUT
from tests.vocabulary import sent_params


@pytest.fixture
def strict_shop(make_shop: Any) -> Any:
    """A shop that says what is for sale."""
    shop = make_shop(
        STRIPE_SECRET_KEY="sk_live_of_the_tests",
        STRIPE_PRICES={"pro": "price_pro"},
        STRIPE_TRIAL_DAYS=7,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"priceId": "price_of_one_cent"}, "price_not_allowed"),
        ({"trialDays": 730}, "trial_not_allowed"),
        ({"successUrl": "javascript:alert(1)"}, "untrusted_redirect"),
        ({"successUrl": "https://evil.example/"}, "untrusted_redirect"),
        ({"cancelUrl": "//evil.example/"}, "untrusted_redirect"),
    ],
)
def test_browser_cannot_choose_price_trial_or_redirect(
    strict_shop: Any,
    stripe_api: responses.RequestsMock,
    fields: dict[str, Any],
    code: str,
) -> None:
    """K11: the browser chose the price, 730 days of trial and any redirect."""
    answer = start_checkout(strict_shop, **fields)
    assert (answer.status_code, answer.get_json()["code"]) == (400, code)


def test_browser_cannot_buy_for_another_user(
    strict_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """K11: the browser's metadata could name another user."""
    answer_checkout(stripe_api)
    answer = start_checkout(
        strict_shop, metadata={"kavach_user_id": "2", "color": "red"}
    )
    form = sent_params(stripe_api, 0) if answer.status_code == 200 else {}
    assert form.get("metadata[kavach_user_id]") == "1"
    assert form["subscription_data[metadata][kavach_user_id]"] == "1"
    assert form["client_reference_id"] == "1"
    assert form["metadata[color]"] == "red"


@pytest.mark.parametrize("path", ["checkout", "portal"])
@pytest.mark.parametrize("body", [b"null", b"[]", b"7", b'"x"', b"", b"\xff", b"{"])
def test_body_that_is_no_object_is_a_400(
    kept_shop: Any, path: str, body: bytes
) -> None:
    """K18: the body ``null`` raised a ``TypeError``."""
    answer = kept_shop.browser(1).post(
        f"/auth/stripe/{path}", data=body, content_type="application/json"
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("price", ["a\x00b", "a\x7fb", "a\ufffdb"])
def test_price_with_odd_letters(kept_shop: Any, price: str) -> None:
    browser = kept_shop.browser(1)

    for kind in ("json", "data"):
        response = browser.post(CHECKOUT, **{kind: {"priceId": price}})
        words = ("'priceId'", "control characters")
        assert_refused(browser, response, kind, 400, "invalid_field", *words)
