from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from threading import Thread
from typing import Any

import pytest

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import checkout_params
from .conftest import NOON

Subscribe = Callable[..., Any]


def test_customer_is_kept(api: Api) -> None:
    created = api.post(
        "/v1/customers", {"email": "ada@example.com", "metadata[kavach_user_id]": "7"}
    )
    assert created["id"].startswith("cus_")
    assert created["created"] == NOON
    assert created["metadata"] == {"kavach_user_id": "7"}
    assert api.get(f"/v1/customers/{created['id']}") == created


def test_customer_update_keeps_what_is_not_sent(api: Api) -> None:
    customer = api.post("/v1/customers", {"email": "a@example.com", "name": "Ada"})
    path = f"/v1/customers/{customer['id']}"
    api.post(path, {"name": "", "metadata[a]": "1"})
    assert api.get(path) == {**customer, "name": None, "metadata": {"a": "1"}}


def test_update_event_has_the_previous_values(sandbox: Sandbox, api: Api) -> None:
    customer = api.post("/v1/customers", {"name": "Ada", "metadata[a]": "1"})
    api.post(f"/v1/customers/{customer['id']}", {"name": "Eve", "metadata[b]": "2"})
    event = sandbox.events[-1]
    assert event["type"] == "customer.updated"
    assert event["data"]["previous_attributes"] == {
        "name": "Ada",
        "metadata": {"b": None},
    }


def test_update_that_changes_nothing_makes_no_event(sandbox: Sandbox, api: Api) -> None:
    customer = api.post("/v1/customers", {"name": "Ada"})
    count = len(sandbox.events)
    api.post(f"/v1/customers/{customer['id']}", {"name": "Ada"})
    assert len(sandbox.events) == count


def test_deleted_customer_is_a_stub_and_its_subscriptions_have_ended(
    sandbox: Sandbox, api: Api, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    path = f"/v1/customers/{subscription['customer']}"
    stub = {"id": subscription["customer"], "object": "customer", "deleted": True}
    assert api.delete(path) == stub
    assert api.get(path) == stub
    assert api.get("/v1/customers")["data"] == []
    ended = api.get(f"/v1/subscriptions/{subscription['id']}")
    assert ended["status"] == "canceled"
    assert [event["type"] for event in sandbox.events[-2:]] == [
        "customer.subscription.deleted",
        "customer.deleted",
    ]
    assert sandbox.events[-1]["data"]["object"]["object"] == "customer"


def test_product_with_default_price(api: Api) -> None:
    product = api.post(
        "/v1/products",
        {
            "name": "Team",
            "default_price_data[currency]": "EUR",
            "default_price_data[unit_amount]": "2900",
            "default_price_data[recurring][interval]": "year",
        },
    )
    price = api.get(f"/v1/prices/{product['default_price']}", {"expand[]": "product"})
    assert price["product"]["name"] == "Team"
    assert (price["currency"], price["unit_amount"]) == ("eur", 2900)
    assert price["recurring"]["interval"] == "year"


def test_price_of_an_unknown_product_is_refused(api: Api) -> None:
    status, error = api.error(
        "POST",
        "/v1/prices",
        {"currency": "usd", "unit_amount": "1", "product": "prod_none"},
    )
    assert (status, error["code"], error["param"]) == (
        400,
        "resource_missing",
        "product",
    )


# Errors


def test_unknown_id_in_the_path_is_404(api: Api) -> None:
    status, error = api.error("GET", "/v1/customers/cus_none")
    assert status == 404
    assert error["code"] == "resource_missing"
    assert error["param"] == "id"
    assert error["type"] == "invalid_request_error"
    assert error["message"] == "No such customer: 'cus_none'"


def test_unknown_customer_in_a_parameter_is_400(api: Api) -> None:
    status, error = api.error(
        "POST", "/v1/billing_portal/sessions", {"customer": "cus_none"}
    )
    assert (status, error["code"], error["param"]) == (
        400,
        "resource_missing",
        "customer",
    )


def test_missing_parameter(api: Api) -> None:
    status, error = api.error("POST", "/v1/prices", {"unit_amount": "1"})
    assert (status, error["code"], error["param"]) == (
        400,
        "parameter_missing",
        "currency",
    )


def test_unknown_parameter(api: Api) -> None:
    status, error = api.error("POST", "/v1/customers", {"emial": "a@example.com"})
    assert (status, error["code"], error["param"]) == (
        400,
        "parameter_unknown",
        "emial",
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("PUT", "/v1/customers"), ("PATCH", "/v1/prices/x")],
)
def test_unknown_url_has_stripes_error_body(api: Api, method: str, path: str) -> None:
    status, error = api.error(method, path)
    assert status == 404
    assert f"{method}: {path}" in error["message"]


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("", id="none"),
        pytest.param("Bearer ", id="empty"),
        pytest.param("Bearer sk_test_other", id="another test key"),
        pytest.param("Bearer sk_live_sandbox", id="a live key"),
        pytest.param("Basic !!!", id="broken Basic"),
        pytest.param("Basic äöü", id="not ASCII"),
        pytest.param("Digest sk_test_sandbox", id="another scheme"),
    ],
)
def test_wrong_key_is_401(api: Api, authorization: str) -> None:
    response = api.call("GET", "/v1/prices", headers={"Authorization": authorization})
    assert response.status_code == 401
    assert response.json is not None
    assert response.json["error"]["type"] == "invalid_request_error"


def test_key_that_was_refused_is_not_repeated(api: Api) -> None:
    key = "sk_test_a_secret_of_somebody_else"
    response = api.call("GET", "/v1/prices", headers={"Authorization": f"Bearer {key}"})
    assert key not in response.text


def test_key_as_user_of_basic_authentication(api: Api) -> None:
    basic = b64encode(b"sk_test_sandbox:").decode()
    response = api.call(
        "GET", "/v1/prices", headers={"Authorization": f"Basic {basic}"}
    )
    assert response.status_code == 200


@pytest.mark.parametrize("key", ["sk_live_x", "pk_test_x", "", "sk_org_x"])
def test_sandbox_takes_test_keys_only(key: str) -> None:
    with pytest.raises(ValueError, match="must begin with"):
        Sandbox(key)


def test_json_body_is_refused(api: Api) -> None:
    response = api._client.post(
        "/v1/customers",
        json={"email": "a@example.com"},
        headers={"Authorization": "Bearer sk_test_sandbox"},
    )
    assert response.status_code == 400
    assert "form-urlencoded" in response.text


def test_error_leads_to_its_entry_at_stripe(api: Api) -> None:
    _, error = api.error("GET", "/v1/customers/cus_none")
    assert error["doc_url"] == "https://docs.stripe.com/error-codes#resource-missing"


def test_error_that_stripe_does_not_describe_leads_nowhere(api: Api) -> None:
    _, error = api.error("POST", "/v1/checkout/sessions", {"mode": "payment"})
    assert error["code"] == "sandbox_not_simulated"
    assert "doc_url" not in error


def test_several_unknown_parameters_are_named_together(api: Api) -> None:
    _, error = api.error("POST", "/v1/customers", {"nmae": "Ada", "emial": "a"})
    assert error["code"] == "parameter_unknown"
    assert error["message"] == "Received unknown parameters: nmae, emial"
    assert error["param"] == "nmae"


def test_empty_value_of_a_required_parameter_is_named(api: Api) -> None:
    _, error = api.error("POST", "/v1/products", {"name": ""})
    assert (error["code"], error["param"]) == ("parameter_invalid_empty", "name")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/refunds"),
        ("GET", "/v1/customers/"),
        ("DELETE", "/v1/customers"),
        ("DELETE", "/v1/subscriptions/sub_1/discount"),
        ("PUT", "/v1/customers/cus_1"),
        ("GET", "/v1/"),
        ("GET", "/v3/customers"),
    ],
)
def test_unknown_call_is_404(api: Api, method: str, path: str) -> None:
    response = api.call(method, path)
    assert response.status_code == 404

    if not path.startswith("/v3/"):
        assert response.json is not None
        assert "Unrecognized request URL" in response.json["error"]["message"]


def test_metadata_is_merged_removed_and_limited(api: Api) -> None:
    customer = api.post("/v1/customers", {"metadata[a]": "1", "metadata[b]": "2"})
    assert api.change(customer, metadata__a="")["metadata"] == {"b": "2"}
    assert api.change(customer, metadata="")["metadata"] == {}

    for params in (
        {"metadata[" + "k" * 41 + "]": "v"},
        {"metadata[k]": "v" * 501},
        {f"metadata[{number}]": "v" for number in range(51)},
    ):
        assert api.error("POST", f"/v1/customers/{customer['id']}", params)[0] == 400

    most = {f"metadata[{number}]": "v" * 500 for number in range(50)}
    path = f"/v1/customers/{customer['id']}"
    assert len(api.post(path, most)["metadata"]) == 50


# Headers


def test_date_header_is_the_sandbox_clock(sandbox: Sandbox, api: Api) -> None:
    sandbox.advance(days=40)
    response = api.call("GET", "/v1/prices")
    assert int(parsedate_to_datetime(response.headers["Date"]).timestamp()) == (
        NOON + 40 * 86_400
    )


def test_request_id_is_in_the_answer_and_in_the_event(
    sandbox: Sandbox, api: Api
) -> None:
    response = api.call("POST", "/v1/customers", headers={"Idempotency-Key": "k1"})
    assert response.headers["Request-Id"].startswith("req_")
    assert sandbox.events[-1]["request"] == {
        "id": response.headers["Request-Id"],
        "idempotency_key": "k1",
    }


# Pages of lists


def make_customers(api: Api, count: int) -> list[str]:
    """Make customers and return their ids, newest first."""
    return [api.post("/v1/customers")["id"] for _ in range(count)][::-1]


def test_list_is_newest_first_and_ten_long(api: Api) -> None:
    ids = make_customers(api, 11)
    page = api.get("/v1/customers")
    assert [customer["id"] for customer in page["data"]] == ids[:10]
    assert page["has_more"] is True
    assert page["url"] == "/v1/customers"


def test_pages_forward_and_back(api: Api) -> None:
    ids = make_customers(api, 5)

    def page(**params: Any) -> tuple[list[str], bool]:
        result = api.get("/v1/customers", {"limit": 2, **params})
        return [customer["id"] for customer in result["data"]], result["has_more"]

    assert page(starting_after=ids[1]) == (ids[2:4], True)
    assert page(starting_after=ids[2]) == (ids[3:], False)
    assert page(starting_after=ids[3]) == (ids[4:], False)
    assert page(ending_before=ids[3]) == (ids[1:3], True)
    assert page(ending_before=ids[2]) == (ids[:2], False)


@pytest.mark.parametrize("limit", ["0", "101", "x"])
def test_limit_is_1_to_100(api: Api, limit: str) -> None:
    assert api.error("GET", "/v1/customers", {"limit": limit})[1]["param"] == "limit"


def test_unknown_cursor_is_refused(api: Api) -> None:
    _, error = api.error("GET", "/v1/customers", {"starting_after": "cus_none"})
    assert (error["code"], error["param"]) == ("resource_missing", "starting_after")


@pytest.mark.parametrize("cursor", ["starting_after", "ending_before"])
def test_empty_cursor_is_refused(api: Api, cursor: str) -> None:
    status, error = api.error("GET", "/v1/customers", {cursor: ""})
    assert (status, error["code"]) == (400, "parameter_invalid_empty")
    assert error["param"] == cursor


def test_two_cursors_are_refused(api: Api) -> None:
    newest, _, oldest = make_customers(api, 3)
    cursors = {"starting_after": newest, "ending_before": oldest}
    status, error = api.error("GET", "/v1/customers", cursors)
    assert (status, error["code"]) == (400, "parameters_exclusive")


def test_events_by_type_and_time(sandbox: Sandbox, api: Api) -> None:
    make_customers(api, 1)
    sandbox.advance(days=1)
    make_customers(api, 1)
    assert len(api.get("/v1/events", {"type": "customer.*"})["data"]) == 2
    assert len(api.get("/v1/events", {"types[0]": "price.created"})["data"]) == 1
    later = {"type": "customer.created", "created[gt]": str(NOON)}
    assert len(api.get("/v1/events", later)["data"]) == 1
    both = {"type": "a", "types[0]": "b"}
    assert api.error("GET", "/v1/events", both)[0] == 400


def test_event_can_be_read_again(sandbox: Sandbox, api: Api) -> None:
    make_customers(api, 1)
    event = sandbox.events[-1]
    assert api.get(f"/v1/events/{event['id']}") == event


# expand[]


def test_expand_through_several_levels(api: Api, subscribe: Subscribe) -> None:
    subscription = subscribe()
    expanded = api.get(
        f"/v1/subscriptions/{subscription['id']}",
        {
            "expand[0]": "latest_invoice.customer",
            "expand[1]": "items.data.price.product",
        },
    )
    assert expanded["latest_invoice"]["customer"]["id"] == subscription["customer"]
    assert expanded["items"]["data"][0]["price"]["product"]["name"] == "Pro"


def test_expand_in_a_list(api: Api, subscribe: Subscribe) -> None:
    subscribe()
    page = api.get("/v1/subscriptions", {"expand[]": "data.customer"})
    assert page["data"][0]["customer"]["email"] == "buyer@example.com"


def test_expanding_does_not_change_what_is_stored(
    api: Api, subscribe: Subscribe
) -> None:
    path = f"/v1/subscriptions/{subscribe()['id']}"
    api.get(path, {"expand[]": "customer"})
    assert isinstance(api.get(path)["customer"], str)


@pytest.mark.parametrize(
    "path", ["nothing", "status", "latest_invoice.payment_intent", "metadata.a", ""]
)
def test_what_cannot_be_expanded_is_refused(
    api: Api, subscribe: Subscribe, path: str
) -> None:
    status, error = api.error(
        "GET", f"/v1/subscriptions/{subscribe()['id']}", {"expand[]": path}
    )
    assert status == 400
    assert "cannot be expanded" in error["message"]


def test_line_items_are_shown_when_expanded(api: Api) -> None:
    session = api.checkout(line_items__0__quantity="2")
    assert "line_items" not in session
    path = f"/v1/checkout/sessions/{session['id']}"
    items = api.get(path, {"expand[]": "line_items"})["line_items"]["data"]
    assert [(item["quantity"], item["amount_total"]) for item in items] == [(2, 1800)]
    assert api.get(f"{path}/line_items")["data"] == items


def test_call_that_expands_too_deep_does_nothing(api: Api) -> None:
    status, error = api.error("POST", "/v1/customers", {"expand[]": "a.b.c.d.e"})
    assert (status, error["param"]) == (400, "expand")
    assert api.get("/v1/customers")["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("POST", "/v1/customers", {}),
        ("POST", "/v1/customers/{customer}", {"name": "Ada"}),
        ("DELETE", "/v1/customers/{customer}", {}),
        ("POST", "/v1/checkout/sessions", checkout_params()),
        (
            "POST",
            "/v1/subscriptions",
            {"items[0][price]": "price_pro"},
        ),
        ("POST", "/v1/subscriptions/{subscription}", {"metadata[a]": "b"}),
        ("POST", "/v1/subscriptions/{subscription}/pause", {}),
        ("DELETE", "/v1/subscriptions/{subscription}", {}),
    ],
)
@pytest.mark.parametrize(
    "expand", ["no_such_attribute", "latest_invoice.payment_intent", "status", "data"]
)
def test_call_that_expands_what_is_not_there_changes_nothing(
    sandbox: Sandbox,
    api: Api,
    method: str,
    path: str,
    params: dict[str, str],
    expand: str,
) -> None:
    customer = api.customer()
    subscription = api.subscribe(customer)
    ids = {"customer": customer["id"], "subscription": subscription["id"]}
    before = everything(api)
    status, error = api.error(
        method,
        path.format(**ids),
        {**params, "expand[]": expand}
        | ({"customer": customer["id"]} if "items[0][price]" in params else {}),
    )
    assert (status, error["param"]) == (400, "expand")
    assert everything(api) == before


def test_key_of_a_call_that_expands_what_is_not_there_can_be_used_again(
    api: Api,
) -> None:
    headers = {"Idempotency-Key": "k"}
    wrong, right = {"expand[]": "nothing"}, {"expand[]": "test_clock"}
    assert api.call("POST", "/v1/customers", wrong, headers).status_code == 400
    assert api.call("POST", "/v1/customers", right, headers).status_code == 200


@pytest.mark.parametrize("expand", ["data.default_payment_method", "data.test_clock"])
def test_what_is_null_can_be_expanded(api: Api, expand: str) -> None:
    api.subscribe(api.customer())
    (found,) = api.get("/v1/subscriptions", {"expand[]": expand})["data"]
    assert found[expand.removeprefix("data.")] is None


def everything(api: Api) -> list[Any]:
    """Whatever a call could have changed."""
    return [
        api.get(path, {"limit": "100"})
        for path in (
            "/v1/checkout/sessions",
            "/v1/customers",
            "/v1/events",
            "/v1/invoices",
            "/v1/subscriptions",
        )
    ]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("default_payment_method", "payment_method"),
        ("customer.invoice_settings.default_payment_method", "payment_method"),
        ("latest_invoice.payments.data.payment.payment_intent", "payment_intent"),
        ("latest_invoice.parent.subscription_details.subscription", "subscription"),
        ("items.data.price.product", "product"),
        ("customer.subscriptions.data.latest_invoice", "invoice"),
    ],
)
def test_what_else_can_be_expanded(api: Api, path: str, kind: str) -> None:
    customer = api.customer()
    card = customer["invoice_settings"]["default_payment_method"]
    subscription = api.subscribe(customer, default_payment_method=card)
    names = path.split(".")

    if len(names) > 4:
        status, error = api.error(
            "GET", f"/v1/subscriptions/{subscription['id']}", {"expand[]": path}
        )
        assert (status, error["param"]) == (400, "expand")
        path, names = path.partition(".")[2], names[1:]
        found = api.get(
            f"/v1/invoices/{subscription['latest_invoice']}", {"expand[]": path}
        )
    else:
        found = api.again(subscription, path)

    for name in names:
        found = found[0] if isinstance(found, list) else found
        found = found[name]

    assert found["object"] == kind


# Idempotency-Key


def post_with_key(api: Api, key: str, params: dict[str, str]) -> Any:
    return api.call("POST", "/v1/customers", params, {"Idempotency-Key": key})


def test_same_key_replays_the_answer(api: Api) -> None:
    first = post_with_key(api, "k", {"name": "Ada"})
    second = post_with_key(api, "k", {"name": "Ada"})
    assert first.json == second.json
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Request-Id"] == first.headers["Request-Id"]
    assert len(api.get("/v1/customers")["data"]) == 1


def test_same_key_with_other_parameters_is_refused(api: Api) -> None:
    post_with_key(api, "k", {"name": "Ada"})
    response = post_with_key(api, "k", {"name": "Eve"})
    assert response.status_code == 400
    assert response.json["error"]["type"] == "idempotency_error"


def test_key_is_forgotten_after_a_day(sandbox: Sandbox, api: Api) -> None:
    first = post_with_key(api, "k", {"name": "Ada"})
    sandbox.advance(days=1)
    second = post_with_key(api, "k", {"name": "Ada"})
    assert second.json["id"] != first.json["id"]


def test_error_of_an_operation_is_replayed(api: Api) -> None:
    params, key = {"customer": "cus_none"}, {"Idempotency-Key": "k"}
    path = "/v1/billing_portal/sessions"
    assert api.call("POST", path, params, key).status_code == 400
    assert "Idempotent-Replayed" in api.call("POST", path, params, key).headers


def test_error_in_a_parameter_is_not_kept(api: Api) -> None:
    post_with_key(api, "k", {"nmae": "Ada"})
    assert post_with_key(api, "k", {"name": "Ada"}).status_code == 200


def test_key_in_use_is_409(sandbox: Sandbox, api: Api) -> None:
    """While one thread's call is being done, another's with the same key waits for
    nothing."""
    key, done = {"Idempotency-Key": "k"}, []
    other = Api(sandbox)

    def first() -> None:
        done.append(other.call("POST", "/v1/customers", {"name": "Ada"}, key))

    thread = Thread(target=first)

    with sandbox._account.store.lock:
        thread.start()

        while (entry := sandbox._account.idempotency_keys.find("k")) is None:
            time.sleep(0.001)

        assert entry.answer is None
        response = api.call("POST", "/v1/customers", {"name": "Ada"}, key)

    thread.join()
    assert response.status_code == 409
    assert response.json is not None
    assert response.json["error"]["code"] == "idempotency_key_in_use"
    assert done[0].status_code == 200
    replayed = api.call("POST", "/v1/customers", {"name": "Ada"}, key)
    assert replayed.json == done[0].json


def test_declined_payment_is_replayed_and_not_tried_again(api: Api) -> None:
    subscription = api.subscribe(api.customer("pm_card_chargeCustomerFail"))
    invoice = f"/v1/invoices/{subscription['latest_invoice']}"
    key = {"Idempotency-Key": "k"}
    first = api.call("POST", f"{invoice}/pay", {}, key)
    second = api.call("POST", f"{invoice}/pay", {}, key)
    assert first.status_code == second.status_code == 402
    assert second.headers["Idempotent-Replayed"] == "true"
    assert api.get(invoice)["attempt_count"] == 2


# Webhook endpoints


def test_signing_secret_is_shown_once(api: Api) -> None:
    params = {"url": "https://shop.test/x", "enabled_events[0]": "invoice.paid"}
    created = api.post("/v1/webhook_endpoints", params)
    assert created["secret"].startswith("whsec_")
    path = f"/v1/webhook_endpoints/{created['id']}"
    assert "secret" not in api.get(path)
    assert "secret" not in api.post(path, {"description": "Mine"})
    assert api.get(path)["description"] == "Mine"


def test_deleted_endpoint_is_gone(api: Api) -> None:
    endpoint = api.get("/v1/webhook_endpoints")["data"][0]
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    assert api.delete(path)["deleted"] is True
    assert api.error("GET", path)[0] == 404


def test_same_seed_makes_the_same_ids_and_none_does_not() -> None:
    def first_product(seed: int | None) -> Any:
        return Sandbox(seed=seed).create_price()["product"]

    assert first_product(3) == first_product(3) != first_product(4)
    assert first_product(None) != first_product(None)
