"""What a shop meets at Stripe's: e-mail addresses, long names, a second currency,
quantities of metered prices, and pages that are not open any more.
"""

from __future__ import annotations

import pytest

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import checkout_params

SESSIONS = "/v1/checkout/sessions"


@pytest.mark.parametrize(
    "email",
    [
        *("ada", "dev@localhost", " ada@example.com", "ada@example.com ", "a@b@c.de"),
        *("@example.com", "ada@", "ada@example.", "ada@.com", "a" * 510 + "@b.c"),
    ],
)
def test_email_that_is_none(api: Api, email: str) -> None:
    status, error = api.error("POST", "/v1/customers", {"email": email})

    assert (status, error["code"], error["param"]) == (400, "email_invalid", "email")
    assert api.get("/v1/customers")["data"] == []


@pytest.mark.parametrize("email", ["ada@example.com", "a+b.c@sub.example.co.uk"])
def test_email_that_is_one(api: Api, email: str) -> None:
    customer = api.post("/v1/customers", {"email": email})

    assert customer["email"] == email
    assert api.change(customer, email="")["email"] is None
    assert api.checkout(customer_email=email)["customer_email"] == email


def test_email_of_a_page_that_is_none(api: Api) -> None:
    params = checkout_params(customer_email="ada")
    status, error = api.error("POST", SESSIONS, params)

    assert (status, error["code"]) == (400, "email_invalid")
    assert error["param"] == "customer_email"


def test_name_is_at_most_256_characters(api: Api) -> None:
    assert len(api.post("/v1/customers", {"name": "A" * 256})["name"]) == 256

    status, error = api.error("POST", "/v1/customers", {"name": "A" * 257})

    assert (status, error["param"]) == (400, "name")


def test_customer_pays_in_one_currency(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_eur", 900, currency="eur")
    customer = api.customer()
    subscription = api.subscribe(customer)
    params = checkout_params(customer=customer["id"], line_items__0__price="price_eur")
    wanted = {"customer": customer["id"], "items[0][price]": "price_eur"}

    for path, sent in ((SESSIONS, params), ("/v1/subscriptions", wanted)):
        status, error = api.error("POST", path, sent)
        assert status == 400
        assert "cannot combine currencies" in error["message"]
        assert "currency usd" in error["message"]
        assert error.keys().isdisjoint({"code", "param"})

    api.delete(f"/v1/subscriptions/{subscription['id']}")
    assert api.post("/v1/subscriptions", wanted)["currency"] == "eur"


def test_metered_price_takes_no_quantity(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_api", 5, usage_type="metered")
    customer = api.customer()
    page = checkout_params(line_items__0__price="price_api")
    wanted = {
        "customer": customer["id"],
        "items[0][price]": "price_api",
        "items[0][quantity]": "1",
    }

    for path, sent, name in (
        (SESSIONS, page, "line_items[0]"),
        ("/v1/subscriptions", wanted, "items[0]"),
    ):
        status, error = api.error("POST", path, sent)
        assert (status, error["param"]) == (400, f"{name}[quantity]")
        assert f"Remove quantity from `{name}`" in error["message"]


def test_metered_price_bills_nothing_and_shows_no_quantity(
    sandbox: Sandbox, api: Api
) -> None:
    sandbox.create_price("price_api", 5, usage_type="metered")
    page = api.checkout(line_items__0__price="price_api", line_items__0__quantity=None)
    [line] = api.get(f"{SESSIONS}/{page['id']}/line_items")["data"]
    paid = sandbox.pay(page["id"])
    subscription = api.get(f"/v1/subscriptions/{paid['subscription']}")
    [item] = subscription["items"]["data"]

    assert (line["quantity"], page["amount_total"]) == (None, 0)
    assert subscription["status"] == "active"
    assert "quantity" not in item
    assert item["price"]["recurring"]["usage_type"] == "metered"
    assert item["plan"]["usage_type"] == "metered"

    sandbox.advance(days=40)
    invoices = api.get("/v1/invoices")["data"]
    assert [invoice["total"] for invoice in invoices] == [0, 0]


def test_change_to_a_metered_price_and_back(sandbox: Sandbox, api: Api) -> None:
    sandbox.create_price("price_api", 5, usage_type="metered")
    subscription = api.subscribe(api.customer(), items__0__quantity="3")
    item_id = subscription["items"]["data"][0]["id"]

    def change(**values: str) -> dict[str, object]:
        named = {f"items__0__{name}": value for name, value in values.items()}
        changed = api.change(subscription, items__0__id=item_id, **named)
        item: dict[str, object] = changed["items"]["data"][0]
        return item

    assert "quantity" not in change(price="price_api")
    assert change(price="price_pro")["quantity"] == 1


def test_list_of_open_pages_of_a_customer(sandbox: Sandbox, api: Api) -> None:
    ada, bob = api.customer(), api.customer()
    paid, closed, still_open = (api.checkout(customer=ada["id"]) for _ in range(3))
    api.checkout(customer=bob["id"])
    sandbox.pay(paid["id"])
    api.post(f"{SESSIONS}/{closed['id']}/expire")

    listed = api.get(SESSIONS, {"customer": ada["id"], "status": "open"})["data"]

    assert [page["id"] for page in listed] == [still_open["id"]]


@pytest.mark.parametrize("ending", ["complete", "expired"])
def test_only_open_pages_expire(sandbox: Sandbox, api: Api, ending: str) -> None:
    page = api.checkout()
    path = f"{SESSIONS}/{page['id']}"

    if ending == "complete":
        sandbox.pay(page["id"])
    else:
        api.post(f"{path}/expire")

    status, error = api.error("POST", f"{path}/expire")

    assert status == 400
    assert f"has a status of {ending}" in error["message"]
    assert api.get(path)["status"] == ending


def test_ids_of_pages_rise_while_the_clock_stands_still(api: Api) -> None:
    pages = [api.checkout() for _ in range(12)]
    ids = [page["id"] for page in pages]

    assert ids == sorted(ids)
    assert len({page["created"] for page in pages}) == 1
    assert len({len(id_) for id_ in ids}) == 1
