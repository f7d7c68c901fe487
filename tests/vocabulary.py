"""The words that the tests share.

Ada is the user with the primary key 1, her customer is ``cus_ada``, her subscription
``sub_1``. Everything begins at ``T``. ``shop`` is a ``tests.conftest.Shop``.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from datetime import datetime
from datetime import UTC
from email.utils import format_datetime
from typing import Any
from typing import cast
from typing import TypeVar
from urllib.parse import parse_qsl

import responses
from click.testing import Result
from flask.testing import FlaskClient
from responses.matchers import query_param_matcher
from responses.matchers import urlencoded_params_matcher

from flask_kavach_stripe.marks import Marker
from flask_kavach_stripe.stripe_api.objects import ItemState
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_invoice
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import sign_payload

H = TypeVar("H", bound=Callable[..., Any])

SECRET_KEY = "sk_test_of_the_tests"
WEBHOOK_SECRET = "whsec_of_the_tests"
#: Flask's ``SECRET_KEY``.
APP_SECRET = "secret of the tests"

#: Our endpoints.
CHECKOUT = "/auth/stripe/checkout"
PORTAL = "/auth/stripe/portal"
SUBSCRIPTION = "/auth/stripe/subscription"
WEBHOOK = "/auth/stripe/webhook"

#: Stripe's.
API = "https://api.stripe.com/v1"
CUSTOMERS = f"{API}/customers"
SUBSCRIPTIONS = f"{API}/subscriptions"
SUB_1 = f"{SUBSCRIPTIONS}/sub_1"
SUBSCRIPTION_ITEMS = f"{API}/subscription_items"
CHECKOUT_SESSIONS = f"{API}/checkout/sessions"
PORTAL_SESSIONS = f"{API}/billing_portal/sessions"

#: When everything begins, in Unix seconds.
T = 1_790_000_000
MONTH = 2_592_000
#: When the first period ends.
END = T + MONTH
#: An end that is in the future while these tests are run, unlike ``END``.
FAR = 4_000_000_000

CHECKOUT_PAGE = "https://checkout.stripe.com/c/pay/cs_test_1"
CHECKOUT_SESSION = {
    "id": "cs_test_1",
    "object": "checkout.session",
    "url": CHECKOUT_PAGE,
}

#: The parameters of a session of Ada's, if nothing is chosen; without a trial and the
#: marks.
CHECKOUT_PARAMS = {
    "mode": "subscription",
    "customer": "cus_ada",
    "client_reference_id": "1",
    "line_items[0][price]": "price_pro",
    "line_items[0][quantity]": "1",
    "success_url": "http://localhost/?session_id={CHECKOUT_SESSION_ID}",
    "cancel_url": "http://localhost/",
}

#: Arguments of ``create_checkout_session``.
URLS = {"success_url": "https://a.example/ok", "cancel_url": "https://a.example/no"}

PORTAL_PAGE = "https://billing.stripe.com/p/session/bps_1"
PORTAL_SESSION = {
    "id": "bps_1",
    "object": "billing_portal.session",
    "url": PORTAL_PAGE,
}

#: The types of events that we handle ourselves.
OUR_EVENTS = (
    "checkout.session.completed",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.updated",
    "invoice.payment_failed",
)

SECRET_TEXT = "Text of Stripe that no browser may read."


def at(seconds: int) -> datetime:
    """A time, from Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def dated(seconds: int) -> dict[str, str]:
    """The headers of an answer that Stripe gave at a time."""
    return {"Date": format_datetime(at(seconds), usegmt=True)}


# Stripe's objects and events


def subscription(id: str = "sub_1", **values: Any) -> dict[str, Any]:
    """Ada's subscription, as Stripe sends it."""
    defaults = {
        "customer": "cus_ada",
        "price": "price_pro",
        "created": T,
        "current_period_end": END,
    }
    return make_subscription(id, **{**defaults, **values})


def item(number: int, price: str, quantity: int | None = 1, **values: Any) -> Any:
    """An item of Ada's subscription, ``si_1`` and so on, as Stripe sends it."""
    return {
        "id": f"si_{number}",
        "object": "subscription_item",
        "price": {"id": price, "object": "price"},
        "current_period_start": T,
        "current_period_end": END,
        **({} if quantity is None else {"quantity": quantity}),
        **values,
    }


def item_list(*items: Any, has_more: bool = False) -> dict[str, Any]:
    """What Stripe has under ``items``."""
    return {"object": "list", "data": list(items), "has_more": has_more}


def event(
    kind: str, after: int = 0, /, *, event_id: str | None = None, **values: Any
) -> dict[str, Any]:
    """An event of Ada's subscription, some seconds after ``T``.

    :param kind: The type, without ``customer.subscription.``.
    :param event_id: By default a new one.
    :param values: Of the subscription.
    """
    return make_event(
        f"customer.subscription.{kind}",
        subscription(**values),
        id=event_id,
        created=T + after,
        previous_attributes={"metadata": {}} if kind == "updated" else None,
    )


def checkout(**values: Any) -> dict[str, Any]:
    """The event of a Checkout session that Ada completed."""
    defaults = {"customer": "cus_ada", "subscription": "sub_1"}
    return make_event(
        "checkout.session.completed",
        make_checkout_session(**{**defaults, **values}),
        created=T,
    )


def payment_failed(after: int = 100, /, **values: Any) -> dict[str, Any]:
    """The event of a renewal that was not paid.

    :param values: Of the invoice.
    """
    defaults = {"customer": "cus_ada", "subscription": "sub_1"}
    invoice = make_invoice(**{**defaults, "period_end": END + MONTH, **values})
    return make_event("invoice.payment_failed", invoice, created=T + after)


def paid(*, event_id: str | None = None, **values: Any) -> dict[str, Any]:
    """An event that means nothing to us: only handlers of the app take it.

    :param values: Of the invoice.
    """
    defaults = {"customer": "cus_ada", "subscription": "sub_1"}
    invoice = make_invoice(**{**defaults, **values})
    return make_event("invoice.paid", invoice, id=event_id)


def error_of(
    type: str = "invalid_request_error", message: str = SECRET_TEXT, **other: str
) -> dict[str, Any]:
    """The body of an answer in which Stripe refuses."""
    return {"error": {"type": type, "message": message, **other}}


def no_such_customer(message: str = "No such customer: 'cus_ada'") -> dict[str, Any]:
    """Stripe's answer when a customer was deleted, or is one of the other mode."""
    return error_of(message=message, code="resource_missing", param="customer")


def expect_customer(
    stripe_api: responses.RequestsMock, id: str = "cus_ada", **values: Any
) -> Any:
    """Answer requests for a customer, by default one of Stripe's that is there.

    :param values: Of the customer, such as ``deleted=True``.
    """
    customer = {"id": id, "object": "customer", **values}
    return stripe_api.get(f"{CUSTOMERS}/{id}", json=customer)


def expect_deleted_customer(
    stripe_api: responses.RequestsMock, id: str = "cus_ada"
) -> Any:
    """Answer requests for a customer that was deleted."""
    return expect_customer(stripe_api, id, deleted=True)


def expect_unknown_customer(
    stripe_api: responses.RequestsMock,
    id: str = "cus_ada",
    message: str | None = None,
) -> Any:
    """Answer requests for a customer that the key's account does not know."""
    error = error_of(
        message=message or f"No such customer: '{id}'",
        code="resource_missing",
        param="id",
    )
    return stripe_api.get(f"{CUSTOMERS}/{id}", status=404, json=error)


def expect_search(stripe_api: responses.RequestsMock, *customers: Any) -> Any:
    """Answer requests for the customers with an e-mail address: by default none."""
    body = {"object": "list", "data": list(customers), "has_more": False}
    return stripe_api.get(CUSTOMERS, json=body)


def mark(user_id: int, customer_id: str | None = None) -> dict[str, str]:
    """The metadata of what the shop creates for a user.

    :param customer_id: ``None`` for the customer itself.
    """
    return Marker([APP_SECRET], "users").metadata(user_id, customer_id)


def customer_of_other_mode(key: str = "test") -> dict[str, Any]:
    """Stripe's answer when the customer is one of the other mode.

    :param key: The mode of the key.
    """
    other = {"test": "live", "live": "test"}[key]
    return no_such_customer(
        f"No such customer: 'cus_ada'; a similar object exists in {other} mode, but a"
        f" {key} mode key was used to make this request."
    )


# The app: handlers, webhooks, commands, endpoints


def on(shop: Any, *event_types: str) -> Callable[[H], H]:
    """Register a handler, as ``@kavach_stripe.on(...)`` does."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on(*event_types))


def on_change(shop: Any) -> Callable[[H], H]:
    """Register a function, as ``@kavach_stripe.on_subscription_change`` does."""
    return cast("Callable[[H], H]", shop.kavach_stripe.on_subscription_change)


def ok(answer: Any) -> None:
    """A webhook is answered with success."""
    assert (answer.status_code, answer.json) == (200, {"received": True})


def failed(answer: Any) -> None:
    """A webhook is answered with the failure of a handler."""
    assert (answer.status_code, answer.get_json()["code"]) == (500, "handler_failed")


def send(shop: Any, *events: dict[str, Any]) -> None:
    """Post signed webhooks, all of which succeed."""
    for each in events:
        ok(shop.post_event(each))


def items_of(row: Any) -> list[ItemState]:
    """The items in a row of a subscription."""
    items = json.loads(row.items)
    return [ItemState(item["id"], item["price"], item["quantity"]) for item in items]


def sign(body: bytes, age: int = 0, secret: str = WEBHOOK_SECRET) -> str:
    """The header of a webhook that was signed some seconds ago."""
    return sign_payload(body, secret, timestamp=int(time.time()) - age)


def handle(shop: Any, sent: dict[str, Any], signature: str | None = None) -> Any:
    """Hand a signed event over without HTTP, and give the ``Event``.

    :param signature: By default the right one.
    """
    body = json.dumps(sent).encode()
    signature = sign(body) if signature is None else signature
    return shop.kavach_stripe.handle_webhook(body, signature)


def process(shop: Any, event_id: str) -> bool:
    """Run the handlers of a stored event, as a worker does."""
    with shop.app.app_context():
        was_run: bool = shop.kavach_stripe.process_event(event_id)
        return was_run


def store_subscription(shop: Any, id: str = "sub_1", **values: Any) -> None:
    """Have Ada subscribe: store a subscription by its first event."""
    send(shop, event("created", id=id, **values))


def become(shop: Any, status: str) -> None:
    """Give Ada a subscription of a status, which is her columns' from then on."""
    store_subscription(shop, status=status)
    assert shop.columns()["subscription_status"] == status


def run(shop: Any, *args: str) -> Result:
    """Run ``flask stripe ...``. It may fail, yet not with a traceback."""
    result: Result = shop.app.test_cli_runner().invoke(args=["stripe", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def run_well(shop: Any, *args: str) -> str:
    """Run ``flask stripe ...``, which succeeds without a warning: what it prints."""
    result = run(shop, *args)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def doctor(shop: Any) -> dict[str, tuple[str, str]]:
    """Run ``flask stripe doctor``: verdict and text of each check, by its name."""
    result = run(shop, "doctor")
    lines = [line for line in result.output.splitlines() if line[:6].strip()]
    found = {}

    for line in lines:
        match = re.fullmatch(r"(ok|note|FAIL|skip) +(.+?) {2,}(.+)", line)

        if match is None:
            assert line.startswith("Error: ")
        else:
            found[match[2]] = (match[1], match[3])

    failed = any(verdict == "FAIL" for verdict, _ in found.values())
    assert result.exit_code == int(failed)
    assert SECRET_KEY not in result.output
    assert WEBHOOK_SECRET not in result.output
    return found


def buy(shop: Any, body: Any = None, **kwargs: Any) -> Any:
    """Ask for a Checkout session as Ada, by default for ``price_pro``.

    :param kwargs: Arguments for the test client, such as ``headers``.
    """
    body = {"priceId": "price_pro"} if body is None else body
    return shop.browser(1).post(CHECKOUT, json=body, **kwargs)


def assert_error(answer: Any, status: int, code: str, *words: str) -> None:
    """An endpoint refuses with JSON: a code, and a sentence that has some words."""
    assert answer.status_code == status
    assert answer.mimetype == "application/json"
    assert answer.json.keys() == {"error", "code"}
    assert answer.json["code"] == code
    assert answer.json["error"].endswith(".")
    assert " " in answer.json["error"]
    assert all(word in answer.json["error"] for word in words)


def flashed(browser: FlaskClient) -> list[tuple[str, str]]:
    """The messages that the next page shows, each with its category."""
    with browser.session_transaction() as session:
        messages: list[tuple[str, str]] = session.pop("_flashes", [])

    return messages


def assert_sent_back(
    browser: FlaskClient, answer: Any, *words: str, to: str | None = None
) -> None:
    """A form that failed is answered to a person: back to a page, with one sentence.

    :param to: The page, if it matters which.
    """
    assert (answer.status_code, answer.mimetype) == (303, "text/html")
    assert to is None or answer.location == to
    [(category, sentence)] = flashed(browser)
    assert category == "error"
    assert sentence.endswith(".")
    assert all(word in sentence for word in words)


def assert_refused(
    browser: FlaskClient, answer: Any, kind: str, status: int, code: str, *words: str
) -> None:
    """A request is refused: with JSON, or as a form.

    :param kind: ``json`` or ``data``, the argument that the body was sent by.
    """
    if kind == "json":
        assert_error(answer, status, code, *words)
    else:
        assert_sent_back(browser, answer, *words)


# Calls to Stripe


def sent_params(stripe_api: responses.RequestsMock, index: int = -1) -> dict[str, str]:
    """The body of a ``POST`` to Stripe, by default the last one."""
    bodies = [call.request.body for call in stripe_api.calls if call.request.body]
    return dict(parse_qsl(str(bodies[index])))


def expect_open_pages(stripe_api: responses.RequestsMock, *pages: Any) -> Any:
    """Answer one request for the list of Ada's open Checkout sessions."""
    query = {"customer": "cus_ada", "status": "open", "limit": "100"}
    body = {"object": "list", "data": list(pages), "has_more": False}
    return stripe_api.get(
        CHECKOUT_SESSIONS, json=body, match=[query_param_matcher(query)]
    )


def expect_list(
    stripe_api: responses.RequestsMock,
    *subscriptions: Any,
    starting_after: str | None = None,
    has_more: bool = False,
    **answer: Any,
) -> Any:
    """Answer one request for a page of the list of Ada's subscriptions.

    :param answer: Arguments for ``responses``, such as ``headers``.
    """
    query = {"customer": "cus_ada", "status": "all", "limit": "100"}

    if starting_after is not None:
        query["starting_after"] = starting_after

    body = {"object": "list", "data": list(subscriptions), "has_more": has_more}
    return stripe_api.get(
        SUBSCRIPTIONS, json=body, match=[query_param_matcher(query)], **answer
    )


def customer_marks(user_id: int) -> dict[str, str]:
    """The parameters of a new customer that carry our marks."""
    return {f"metadata[{name}]": value for name, value in mark(user_id).items()}


def checkout_marks(customer_id: str = "cus_ada", user_id: int = 1) -> dict[str, str]:
    """The parameters of a session that carry our marks."""
    marks = mark(user_id, customer_id)
    return {
        f"{place}[{name}]": value
        for place in ("metadata", "subscription_data[metadata]")
        for name, value in marks.items()
    }


def checkout_params(is_only_plan: bool = True, /, **params: str) -> dict[str, str]:
    """All parameters of a session of Ada's.

    :param is_only_plan: Whether a newer session expires this one: always for the
        endpoint, not for helpers that sell a price which is in no entry.
    :param params: Instead of, and beside, ``CHECKOUT_PARAMS``.
    """
    sale = {"metadata[kavach_sale]": "plan"} if is_only_plan else {}
    marks = checkout_marks(params.get("customer", "cus_ada"))
    return {**CHECKOUT_PARAMS, **marks, **sale, **params}


def expect_checkout_session(
    stripe_api: responses.RequestsMock, is_only_plan: bool = True, /, **params: str
) -> None:
    """Answer one request for a Checkout session with exactly these parameters.

    :param is_only_plan: As for :func:`checkout_params`, and so is ``params``.
    """
    match = [urlencoded_params_matcher(checkout_params(is_only_plan, **params))]
    stripe_api.post(CHECKOUT_SESSIONS, json=CHECKOUT_SESSION, match=match)


def expect_new_customer(stripe_api: responses.RequestsMock, **answer: Any) -> Any:
    """Answer the search for a user's old customer, of which there is none, and then
    the request for a new one.

    :param answer: Arguments for ``responses``, such as ``json``.
    """
    expect_search(stripe_api)
    return stripe_api.post(CUSTOMERS, **answer)


# The database, from outside


@contextmanager
def second_connection(shop: Any) -> Iterator[sqlite3.Connection]:
    """Another process at the same file, which waits for no lock."""
    with shop.app.app_context():
        path = shop.db.engine.url.database

    with closing(sqlite3.connect(path, timeout=0)) as connection:
        yield connection


def stored_customer(shop: Any, user_id: int = 1) -> str | None:
    """The id of a user's customer that is committed."""
    with second_connection(shop) as connection:
        query = "SELECT stripe_customer_id FROM users WHERE id = ?"
        row = connection.execute(query, [user_id]).fetchone()
        return None if row is None else row[0]


def dump(shop: Any) -> list[str]:
    """Every row of every table that is committed."""
    with second_connection(shop) as connection:
        return list(connection.iterdump())
