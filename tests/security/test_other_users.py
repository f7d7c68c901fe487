"""Mallory has an account and wants what Ada has: each door is tried, none opens.

Ada pays through the sandbox, as in life. What Mallory sends names Ada: her customer,
her user id, her Checkout session, her subscription.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import request
from flask_login import current_user

from flask_kavach_stripe import CheckoutSessionMismatch
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import assert_refused

CHECKOUT = "/auth/stripe/checkout"
PORTAL = "/auth/stripe/portal"
ADA = 1


def thanks() -> str:
    """The page after paying."""
    try:
        found = KavachStripe.complete_checkout(request.args["session_id"])
    except CheckoutSessionMismatch:
        return "mismatch"

    return "nothing" if found is None else str(found.id)


class Scene:
    """A shop where Ada has paid and Mallory has not."""

    def __init__(self, shop: Any, sandbox: Sandbox) -> None:
        self.shop = shop
        self.sandbox = sandbox
        shop.app.add_url_rule("/thanks", "thanks", thanks)
        shop.add_user(email="ada@example.com")
        self.ada = shop.browser(ADA)
        self.session_id = self.buy(self.ada)["sessionId"]
        sandbox.pay(self.session_id)
        self.customer_id = shop.columns(ADA)["customer_id"]
        self.subscription_id = shop.columns(ADA)["subscription_id"]
        assert shop.columns(ADA)["subscription_status"] == "active"

    def invite(self) -> None:
        """Another Mallory comes, with nothing but an account."""
        self.mallory_id = self.shop.add_user(email="mallory@example.com")
        self.mallory = self.shop.browser(self.mallory_id)

    @property
    def mallorys_customer_id(self) -> Any:
        return self.shop.columns(self.mallory_id)["customer_id"]

    @staticmethod
    def buy(browser: Any, **fields: Any) -> Any:
        answer = browser.post(CHECKOUT, json={"priceId": "price_pro", **fields})
        assert answer.status_code == 200, answer.text
        return answer.json

    def read(self, path: str) -> Any:
        """What Stripe has."""
        with self.shop.app.app_context():
            return self.shop.kavach_stripe.client.get(path)

    def stored(self) -> Any:
        """All of the shop's rows about both of them, but for Mallory's customer."""
        mallory = self.shop.columns(self.mallory_id)
        mallory.pop("customer_id")
        rows = {row.id: row.customer_id for row in self.shop.subscriptions}
        return self.shop.columns(ADA), mallory, rows

    @property
    def aliases(self) -> dict[str, Any]:
        """All that somebody might call Ada."""
        return {
            "client_reference_id": str(ADA),
            "clientReferenceId": str(ADA),
            "customer": self.customer_id,
            "customer_id": self.customer_id,
            "customerId": self.customer_id,
            "kavach_user_id": str(ADA),
            "session_id": self.session_id,
            "sessionId": self.session_id,
            "subscription": self.subscription_id,
            "user": str(ADA),
            "user_id": str(ADA),
            "userId": str(ADA),
        }


@pytest.fixture(scope="module")
def opened_shop(keep_shop: Any) -> Iterator[Scene]:
    shop = keep_shop(STRIPE_TRIAL_DAYS=0, STRIPE_CANCEL_URL="/pricing")

    with connect(shop.app, Sandbox()) as sandbox:
        yield Scene(shop, sandbox)


@pytest.fixture
def scene(opened_shop: Scene) -> Scene:
    opened_shop.invite()
    return opened_shop


@pytest.fixture
def unopened(scene: Scene) -> Iterator[None]:
    """Ada has what she had, Mallory has nothing, and no door says otherwise."""
    before = scene.stored()
    yield
    assert scene.stored() == before
    assert scene.mallorys_customer_id != scene.customer_id
    assert scene.mallory.get("/auth/stripe/subscription").json == {"subscription": None}


def assert_is_mallorys(scene: Scene, session_id: str) -> None:
    session = scene.read(f"/v1/checkout/sessions/{session_id}")
    assert session["customer"] == scene.mallorys_customer_id
    assert session["customer"] != scene.customer_id
    assert session["client_reference_id"] == str(scene.mallory_id)
    assert session["metadata"]["kavach_user_id"] == str(scene.mallory_id)


# -- the endpoints ---------------------------------------------------------------------


@pytest.mark.usefixtures("unopened")
def test_checkout_names_who_is_logged_in(scene: Scene) -> None:
    bought = scene.buy(scene.mallory, **scene.aliases)
    assert_is_mallorys(scene, bought["sessionId"])


@pytest.mark.usefixtures("unopened")
def test_metadata_of_checkout_name_who_is_logged_in(scene: Scene) -> None:
    metadata = {**scene.aliases, "Kavach_User_Id": "1", "kavach_user_id ": "1"}
    bought = scene.buy(scene.mallory, metadata=metadata)
    assert_is_mallorys(scene, bought["sessionId"])


@pytest.mark.parametrize(
    "key",
    ["kavach_user_id][", "x][kavach_user_id", "[kavach_user_id]", "kavach_user_id]"],
)
@pytest.mark.usefixtures("unopened")
def test_brackets_in_metadata_are_refused(scene: Scene, key: str) -> None:
    """Stripe would read them as another parameter."""
    body = {"priceId": "price_pro", "metadata": {key: "1"}}
    answer = scene.mallory.post(CHECKOUT, json=body)
    assert answer.status_code == 400


@pytest.mark.usefixtures("unopened")
def test_form_names_who_is_logged_in(scene: Scene) -> None:
    form = {
        "priceId": "price_pro",
        **scene.aliases,
        "metadata[kavach_user_id]": str(ADA),
        "subscription_data[metadata][kavach_user_id]": str(ADA),
    }
    answer = scene.mallory.post(CHECKOUT, data=form)
    assert answer.status_code == 303
    assert_is_mallorys(scene, answer.location.rpartition("/")[2])


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL, "/auth/stripe/subscription"])
@pytest.mark.usefixtures("unopened")
def test_query_names_nobody(scene: Scene, path: str) -> None:
    answer = scene.mallory.open(
        path,
        method="GET" if path.endswith("subscription") else "POST",
        query_string=scene.aliases,
        json={"priceId": "price_pro", "returnUrl": "/"},
    )
    assert answer.status_code == (404 if path == PORTAL else 200)
    assert scene.customer_id not in answer.text


@pytest.mark.parametrize("kind", ["json", "data"])
@pytest.mark.usefixtures("unopened")
def test_portal_of_one_without_a_customer_stays_shut(scene: Scene, kind: str) -> None:
    fields: Any = {"returnUrl": "/", **scene.aliases}
    answer = scene.mallory.post(PORTAL, **{kind: fields})
    assert_refused(scene.mallory, answer, kind, 404, "no_customer", "no customer")


@pytest.mark.usefixtures("unopened")
def test_portal_shows_the_customer_of_who_is_logged_in(scene: Scene) -> None:
    scene.buy(scene.mallory)  # a customer, and nothing paid
    answer = scene.mallory.post(PORTAL, json={"returnUrl": "/", **scene.aliases})
    assert answer.status_code == 200
    page = scene.sandbox.app.test_client().get(answer.json["url"])
    assert "mallory@example.com" in page.text
    assert "ada@example.com" not in page.text


# -- the page after paying -------------------------------------------------------------


@pytest.mark.parametrize("has_customer", [False, True])
@pytest.mark.usefixtures("unopened")
def test_session_of_another_user_completes_nothing(
    scene: Scene, has_customer: bool
) -> None:
    if has_customer:
        scene.buy(scene.mallory)

    answer = scene.mallory.get(f"/thanks?session_id={scene.session_id}")
    assert answer.text == "mismatch"


@pytest.mark.parametrize("is_paid", [False, True])
def test_session_in_a_link_does_not_stick_to_who_follows_it(
    scene: Scene, is_paid: bool
) -> None:
    """Mallory sends her page after paying to Ben, who has no customer yet: nothing of
    hers becomes his, or the other way round.
    """
    ben = scene.shop.add_user(email="ben@example.com")
    session_id = scene.buy(scene.mallory)["sessionId"]

    if is_paid:
        scene.sandbox.pay(session_id)

    answer = scene.shop.browser(ben).get(f"/thanks?session_id={session_id}")
    assert answer.text == ("mismatch" if is_paid else "nothing")
    assert set(scene.shop.columns(ben).values()) <= {None, False}


@pytest.mark.parametrize(
    "session_id",
    [
        "../customers/{0}",
        "{1}/../../customers/{0}",
        "{1}%2F..",
        "{1}?expand[]=customer",
    ],
)
@pytest.mark.usefixtures("unopened")
def test_session_id_names_a_session_and_nothing_else(
    scene: Scene, session_id: str
) -> None:
    text = session_id.format(scene.customer_id, scene.session_id)
    answer = scene.mallory.get("/thanks", query_string={"session_id": text})
    assert answer.text == "nothing"


# -- what Stripe signs, though Mallory had a hand in it --------------------------------


@pytest.mark.parametrize(
    "values",
    [
        # client_reference_id is in the URL of a Payment Link, where anybody writes it.
        pytest.param({"payment_link": "plink_1"}, id="Payment Link"),
        # Another shop on the same account has a user 1, too.
        pytest.param({"metadata": {"kavach_user_id": "1"}}, id="another shop"),
        pytest.param({}, id="her user id alone"),
    ],
)
def test_signed_session_that_names_another_user_links_nobody(
    scene: Scene, values: dict[str, Any]
) -> None:
    before = scene.stored()
    session = make_checkout_session(
        customer="cus_of_mallory",
        subscription=None,
        client_reference_id=str(ADA),
        **values,
    )
    answer = scene.shop.post_event(make_event("checkout.session.completed", session))
    assert answer.status_code == 200
    assert scene.stored() == before
    assert scene.shop.columns(ADA)["customer_id"] == scene.customer_id


@pytest.mark.parametrize(
    "values",
    [{"payment_link": "plink_1"}, {"metadata": {"kavach_user_id": "1"}}],
    ids=["Payment Link", "another shop"],
)
def test_signed_session_gives_no_customer_to_one_who_has_none(
    scene: Scene, values: dict[str, Any]
) -> None:
    """Else Mallory's customer would be Ben's, and Ben's invoices hers to read."""
    ben = scene.shop.add_user(email="ben@example.com")
    session = make_checkout_session(
        customer="cus_of_mallory",
        subscription=None,
        client_reference_id=str(ben),
        **values,
    )
    event = make_event("checkout.session.completed", session)
    assert scene.shop.post_event(event).status_code == 200
    assert scene.shop.columns(ben)["customer_id"] is None


@pytest.mark.parametrize(
    "event_type",
    ["customer.subscription.created", "customer.subscription.updated"],
)
@pytest.mark.usefixtures("unopened")
def test_subscription_of_another_customer_does_not_move(
    scene: Scene, event_type: str
) -> None:
    scene.buy(scene.mallory)
    moved = make_subscription(
        id=scene.subscription_id,
        customer=scene.mallorys_customer_id,
        metadata={"kavach_user_id": str(scene.mallory_id)},
    )
    assert scene.shop.post_event(make_event(event_type, moved)).status_code == 200


@pytest.mark.usefixtures("unopened")
def test_metadata_of_a_subscription_give_nothing(scene: Scene) -> None:
    found = make_subscription(
        id="sub_x", customer="cus_x", metadata={"kavach_user_id": str(scene.mallory_id)}
    )
    event = make_event("customer.subscription.created", found)
    assert scene.shop.post_event(event).status_code == 200


@pytest.mark.usefixtures("unopened")
def test_failed_invoice_of_another_customer_harms_nobody(scene: Scene) -> None:
    scene.buy(scene.mallory)
    invoice = make_invoice(
        customer=scene.mallorys_customer_id,
        subscription=scene.subscription_id,
    )
    event = make_event("invoice.payment_failed", invoice)
    assert scene.shop.post_event(event).status_code == 200


# -- headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.test"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test"},
        {"Forwarded": "host=evil.test;proto=https"},
        {"X-Original-Host": "evil.test"},
        {"X-Requested-With": "XMLHttpRequest"},
        {"Authorization": "Bearer anything"},
        {"Referer": "http://localhost/"},
        {"X-CSRFToken": "anything"},
    ],
)
@pytest.mark.usefixtures("unopened")
def test_header_makes_another_site_no_friend(
    scene: Scene, headers: dict[str, str]
) -> None:
    answer = scene.ada.post(
        PORTAL,
        json={"returnUrl": "/"},
        headers={"Origin": "https://evil.test", **headers},
    )
    assert (answer.status_code, answer.json["code"]) == (403, "cross_site_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-User-Id": "1"},
        {"X-Remote-User": "1"},
        {"Remote-User": "1"},
        {"Authorization": "Basic MTo="},
        {"X-HTTP-Method-Override": "GET"},
        {"Stripe-Account": "acct_1"},
        {"Cookie": "session=eyJfdXNlcl9pZCI6IjEifQ.aaaaaa.bbbbbb"},
        {"Cookie": "remember_token=1|0000"},
    ],
)
def test_header_logs_nobody_in(scene: Scene, headers: dict[str, str]) -> None:
    client = scene.shop.app.test_client(use_cookies=False)
    answer = client.post(PORTAL, json={"returnUrl": "/"}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "authentication_required")


def test_nobody_is_logged_in_by_a_webhook(scene: Scene) -> None:
    """The webhook needs no log-in and makes none."""
    seen: list[bool] = []

    def look(event: Any) -> None:
        seen.append(current_user.is_authenticated)

    scene.shop.kavach_stripe.on("customer.subscription.updated")(look)
    scene.ada.post(PORTAL, json={"returnUrl": "/"})
    updated = make_subscription(id=scene.subscription_id, customer=scene.customer_id)
    answer = scene.shop.post_event(make_event("customer.subscription.updated", updated))
    assert (seen, "Set-Cookie" in answer.headers) == ([False], False)
