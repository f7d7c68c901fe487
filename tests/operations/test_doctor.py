"""``flask stripe``, as typed in a terminal."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import pytest
import requests
import responses
from click.testing import Result
from flask import Flask
from sqlalchemy import event
from sqlalchemy import text

from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing import make_subscription

API = "https://api.stripe.com"
KEY = "sk_test_of_the_tests"
SECRET = "whsec_of_the_tests"
PATH = "/auth/stripe/webhook"
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


def run(shop: Any, *args: str) -> Result:
    result: Result = shop.app.test_cli_runner().invoke(args=["stripe", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def doctor(shop: Any) -> dict[str, tuple[str, str]]:
    """Verdict and text of each check, by its name."""
    result = run(shop, "doctor")
    lines = [line for line in result.output.splitlines() if line[:6].strip()]
    found = {}

    for line in lines:
        match = re.fullmatch(r"(ok|FAIL|skip) +(.+?) {2,}(.+)", line)

        if match is None:
            assert line.startswith("Error: ")
        else:
            found[match[2]] = (match[1], match[3])

    failed = any(verdict == "FAIL" for verdict, _ in found.values())
    assert result.exit_code == int(failed)
    assert KEY not in result.output
    assert SECRET not in result.output
    return found


def make_endpoint(url: str = f"https://shop.example{PATH}", **values: Any) -> Any:
    return {
        "id": "we_1",
        "object": "webhook_endpoint",
        "api_version": "2026-10-28.endive",
        "enabled_events": list(OUR_EVENTS),
        "livemode": False,
        "status": "enabled",
        "url": url,
        **values,
    }


def make_price(**values: Any) -> Any:
    return {
        "id": "price_pro",
        "object": "price",
        "active": True,
        "recurring": {"interval": "month"},
        "type": "recurring",
        **values,
    }


def answer_list(mock: responses.RequestsMock, name: str, data: Sequence[Any]) -> None:
    mock.get(
        f"{API}/v1/{name}",
        json={"object": "list", "data": list(data), "has_more": False},
    )


def answer_all(
    mock: responses.RequestsMock,
    *endpoints: Mapping[str, Any],
    prices: Mapping[str, Any] | None = None,
) -> None:
    """A Stripe where all is well, but for what is given."""
    answer_list(mock, "subscriptions", ())
    answer_list(mock, "webhook_endpoints", endpoints or (make_endpoint(),))

    for price_id, price in ({"price_pro": make_price()} | dict(prices or {})).items():
        mock.get(f"{API}/v1/prices/{price_id}", json=price)


@pytest.fixture
def shop(make_shop: Any) -> Any:
    made = make_shop(STRIPE_PRICES={"pro": "price_pro"})
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    made.add_user(email="bob@example.com")
    return made


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET", raising=False)


# -- doctor ----------------------------------------------------------------------------


def test_doctor_passes_where_all_is_well(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api)

    found = doctor(shop)

    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert list(found) == [
        "secret key",
        "webhook secret",
        "database",
        "Stripe",
        "webhook endpoint",
        "webhook events",
        "webhook version",
        "price pro",
    ]
    assert found["secret key"][1] == "A test key."


def test_doctor_asks_stripe_with_the_key(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api)

    doctor(shop)

    assert {call.request.method for call in stripe_api.calls} == {"GET"}
    assert stripe_api.calls[0].request.headers["Authorization"] == f"Bearer {KEY}"


def test_doctor_says_that_a_key_is_live(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_SECRET_KEY="rk_live_of_the_tests", STRIPE_PRICES={"pro": "price_pro"}
    )
    answer_all(stripe_api)

    assert doctor(shop)["secret key"] == ("ok", "A live key.")


@pytest.mark.usefixtures("bare_environment")
def test_doctor_without_a_key_asks_nobody(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=None, STRIPE_PRICES={"pro": "price_pro"})

    found = doctor(shop)

    assert found["secret key"][0] == "FAIL"
    assert "'STRIPE_SECRET_KEY' is not set" in found["secret key"][1]
    assert {name for name, (verdict, _) in found.items() if verdict == "skip"} == {
        "Stripe",
        "webhook endpoint",
        "webhook events",
        "webhook version",
        "price pro",
    }


def test_doctor_with_a_key_that_stripe_refuses(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{API}/v1/subscriptions",
        json={"error": {"message": "Invalid API Key provided: sk_test_***ests"}},
        status=401,
    )

    found = doctor(shop)

    assert found["Stripe"][0] == "FAIL"
    assert "refuses the key" in found["Stripe"][1]
    assert "***" not in found["Stripe"][1]
    assert found["price pro"][0] == "skip"


def test_doctor_with_a_stripe_that_does_not_answer(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/v1/subscriptions", body=requests.ConnectionError("down"))

    found = doctor(shop)

    assert found["Stripe"][0] == "FAIL"
    assert "no answer from https://api.stripe.com" in found["Stripe"][1]
    assert found["webhook endpoint"][0] == "skip"


def test_doctor_waits_once_for_a_stripe_that_went_away(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_list(stripe_api, "subscriptions", ())
    stripe_api.get(f"{API}/v1/webhook_endpoints", body=requests.ReadTimeout())

    found = doctor(shop)

    assert found["webhook endpoint"][0] == "FAIL"
    assert found["webhook events"][0] == "skip"
    assert found["price pro"][0] == "skip"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(500, '{"error": {"message": "Oh\\nno"}}', id="error"),
        pytest.param(200, "<html>", id="not JSON"),
        pytest.param(200, "[]", id="not an object"),
        pytest.param(302, "", id="redirect"),
    ],
)
def test_doctor_with_a_stripe_that_talks_nonsense(
    shop: Any, stripe_api: responses.RequestsMock, status: int, body: str
) -> None:
    stripe_api.get(f"{API}/v1/subscriptions", body=body, status=status)

    assert doctor(shop)["Stripe"][0] == "FAIL"


def test_doctor_with_a_restricted_key_that_may_not_read_subscriptions(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        f"{API}/v1/subscriptions", json={"error": {"message": "no"}}, status=403
    )
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))
    stripe_api.get(f"{API}/v1/prices/price_pro", json=make_price())

    found = doctor(shop)

    assert found["Stripe"][0] == "FAIL"
    assert "permission" in found["Stripe"][1]
    assert found["price pro"][0] == "ok"


def test_doctor_with_a_restricted_key_that_may_not_read_endpoints(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_list(stripe_api, "subscriptions", ())
    stripe_api.get(
        f"{API}/v1/webhook_endpoints", json={"error": {"message": "no"}}, status=403
    )
    stripe_api.get(f"{API}/v1/prices/price_pro", json=make_price())

    found = doctor(shop)

    assert found["webhook endpoint"][0] == "FAIL"
    assert "permission" in found["webhook endpoint"][1]
    assert found["webhook events"][0] == "skip"
    assert found["price pro"][0] == "ok"


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("secret", [None, " ", []])
def test_doctor_without_a_webhook_secret(
    make_shop: Any, stripe_api: responses.RequestsMock, secret: Any
) -> None:
    shop = make_shop(STRIPE_WEBHOOK_SECRET=secret, STRIPE_PRICES={"pro": "price_pro"})
    answer_all(stripe_api)

    verdict, text = doctor(shop)["webhook secret"]

    assert verdict == "FAIL"
    assert "'STRIPE_WEBHOOK_SECRET' is not set" in text


def test_doctor_counts_webhook_secrets(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_WEBHOOK_SECRET=f"{SECRET},whsec_2", STRIPE_PRICES={"pro": "price_pro"}
    )
    answer_all(stripe_api)

    assert doctor(shop)["webhook secret"] == ("ok", "2 secrets are set.")


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DROP TABLE stripe_event", "stripe_event"),
        ("DROP TABLE stripe_subscription", "stripe_subscription"),
        ("DROP TABLE users", "users"),
        (
            "ALTER TABLE users DROP COLUMN stripe_price_id",
            "users.stripe_price_id",
        ),
        (
            "ALTER TABLE stripe_event DROP COLUMN attempts",
            "stripe_event.attempts",
        ),
    ],
)
def test_doctor_names_tables_and_columns_that_are_missing(
    shop: Any, stripe_api: responses.RequestsMock, statement: str, missing: str
) -> None:
    answer_all(stripe_api)

    with shop.app.app_context():
        shop.db.session.execute(text(statement))
        shop.db.session.commit()

    verdict, line = doctor(shop)["database"]

    assert verdict == "FAIL"
    assert f"Missing: {missing}." in line
    assert "flask db migrate" in line
    assert "flask db upgrade" in line


def test_doctor_with_a_database_that_cannot_be_opened(
    shop: Any,
    stripe_api: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_all(stripe_api)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise shop.db.engine.dialect.dbapi.OperationalError("unable to open")

    with shop.app.app_context():
        shop.db.engine.dispose()
        monkeypatch.setattr(shop.db.engine.dialect, "connect", refuse)
        monkeypatch.setattr(shop.db.engine.pool, "_invoke_creator", refuse)

    verdict, line = doctor(shop)["database"]

    assert verdict == "FAIL"
    assert line == "The database cannot be read: unable to open."
    monkeypatch.undo()


# -- doctor: the webhook endpoint ------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"https://shop.example{PATH}", True),
        (f"http://127.0.0.1:5000{PATH}", True),
        (f"https://shop.example{PATH}?token=secret", True),
        (f"https://user:secret@shop.example{PATH}", True),
        (f"https://shop.example{PATH}/", False),
        ("https://shop.example/webhook", False),
        ("https://shop.example", False),
        ("https://[", False),
        (None, False),
    ],
)
def test_doctor_finds_the_endpoint_by_its_path(
    shop: Any, stripe_api: responses.RequestsMock, url: Any, found: bool
) -> None:
    answer_all(stripe_api, make_endpoint(url))

    verdict, line = doctor(shop)["webhook endpoint"]

    assert verdict == ("ok" if found else "FAIL")
    assert found or f"the path {PATH}" in line
    assert "secret" not in line


def test_doctor_follows_the_url_prefix(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_URL_PREFIX="/pay", STRIPE_PRICES={"pro": "price_pro"})
    answer_all(stripe_api, make_endpoint("https://shop.example/pay/webhook"))

    assert doctor(shop)["webhook endpoint"][0] == "ok"


def test_doctor_follows_the_application_root(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(APPLICATION_ROOT="/shop", STRIPE_PRICES={"pro": "price_pro"})
    answer_all(stripe_api, make_endpoint(f"https://example.com/shop{PATH}"))

    assert doctor(shop)["webhook endpoint"][0] == "ok"


def test_doctor_looks_no_further_without_an_endpoint(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api, make_endpoint("https://shop.example/other"))

    found = doctor(shop)

    assert found["webhook endpoint"][0] == "FAIL"
    assert found["webhook events"][0] == found["webhook version"][0] == "skip"
    assert found["price pro"][0] == "ok"


def test_doctor_with_a_disabled_endpoint(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api, make_endpoint(status="disabled"))

    verdict, line = doctor(shop)["webhook endpoint"]

    assert verdict == "FAIL"
    assert "is disabled. Enable it" in line


@pytest.mark.parametrize("missing", OUR_EVENTS)
def test_doctor_names_an_event_that_is_not_sent(
    shop: Any, stripe_api: responses.RequestsMock, missing: str
) -> None:
    events = [name for name in OUR_EVENTS if name != missing]
    answer_all(stripe_api, make_endpoint(enabled_events=events))

    verdict, line = doctor(shop)["webhook events"]

    assert verdict == "FAIL"
    assert f"Not sent: {missing}." in line


def test_doctor_takes_a_star_for_all_events(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api, make_endpoint(enabled_events=["*"]))

    assert doctor(shop)["webhook events"][0] == "ok"


def test_doctor_wants_the_events_that_handlers_name(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop.kavach_stripe.on("invoice.paid", "charge.*", "*")(lambda given: None)
    answer_all(stripe_api)

    assert doctor(shop)["webhook events"] == (
        "FAIL",
        f"Not sent: invoice.paid. Add them to https://shop.example{PATH} in Stripe's"
        " Dashboard.",
    )


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("2026-10-28.endive", "ok"),
        ("2027-03-31.fuchsia", "ok"),
        ("2024-12-18.acacia", "ok"),
        (None, "ok"),
        ("2024-11-20.acacia", "FAIL"),
        ("2020-08-27", "FAIL"),
        ("latest", "FAIL"),
        (7, "FAIL"),
    ],
)
def test_doctor_looks_at_the_api_version(
    shop: Any, stripe_api: responses.RequestsMock, version: Any, verdict: str
) -> None:
    answer_all(stripe_api, make_endpoint(api_version=version))

    found, line = doctor(shop)["webhook version"]

    assert found == verdict
    assert verdict == "ok" or "2024-12-18.acacia or newer" in line
    assert version is not None or "account's default" in line


def test_doctor_judges_the_best_of_several_endpoints(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(
        stripe_api,
        make_endpoint("https://elsewhere.example/hook"),
        make_endpoint(f"https://a.example{PATH}", status="disabled"),
        make_endpoint(f"https://b.example{PATH}", api_version="2020-08-27"),
        make_endpoint(f"https://c.example{PATH}"),
        make_endpoint(f"https://d.example{PATH}", enabled_events=[]),
    )

    found = doctor(shop)

    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert "https://c.example" in found["webhook endpoint"][1]


def test_doctor_reads_every_page_of_endpoints(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_list(stripe_api, "subscriptions", ())
    stripe_api.get(f"{API}/v1/prices/price_pro", json=make_price())
    first = make_endpoint("https://shop.example/other")

    for data, has_more in (((first,), True), ((make_endpoint(),), False)):
        stripe_api.get(
            f"{API}/v1/webhook_endpoints",
            json={"object": "list", "data": data, "has_more": has_more},
        )

    assert doctor(shop)["webhook endpoint"][0] == "ok"


# -- doctor: prices --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"active": False}, "is not active", id="inactive"),
        pytest.param({"active": None, "deleted": True}, "is not active", id="deleted"),
        pytest.param({"recurring": None, "type": "one_time"}, "paid once", id="once"),
    ],
)
def test_doctor_with_a_price_that_cannot_be_subscribed_to(
    shop: Any,
    stripe_api: responses.RequestsMock,
    values: Mapping[str, Any],
    words: str,
) -> None:
    answer_all(stripe_api, prices={"price_pro": make_price(**values)})

    verdict, line = doctor(shop)["price pro"]

    assert verdict == "FAIL"
    assert words in line


def test_doctor_looks_at_every_price(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_PRICES={"pro": "price_pro", "team": {"price": "price_team"}, "x": "..."}
    )
    answer_all(stripe_api)
    stripe_api.get(
        f"{API}/v1/prices/price_team",
        json={"error": {"code": "resource_missing", "message": "No such price"}},
        status=404,
    )

    found = doctor(shop)

    assert found["price pro"][0] == "ok"
    assert found["price team"] == (
        "FAIL",
        "Stripe has no price price_team in test mode. Correct 'STRIPE_PRICES', or"
        " create the price.",
    )
    assert found["price x"][0] == "FAIL"


def test_doctor_shows_what_stripe_says(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """In one line, and without the key that it may repeat."""
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))
    stripe_api.get(
        f"{API}/v1/prices/price_pro",
        json={"error": {"message": f"Not\n a \x1b[2J version, {KEY}."}},
        status=400,
    )

    assert doctor(shop)["price pro"] == (
        "FAIL",
        "Stripe answered with an error: Not a [2J version, ***.",
    )


def test_doctor_without_names_for_prices(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_PRICES="*")
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))

    verdict, line = doctor(shop)["prices"]

    assert verdict == "ok"
    assert "every price" in line


def test_doctor_with_nothing_for_sale(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_PRICES={})
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))

    assert doctor(shop)["prices"][0] == "FAIL"


# -- trigger ---------------------------------------------------------------------------


@pytest.fixture
def seen(shop: Any) -> list[Any]:
    """The events that a handler of the app was given."""
    events: list[Any] = []

    def remember(given: Any) -> None:
        assert given.user is None or given.user.id == 1
        events.append(given)

    shop.kavach_stripe.on("*")(remember)
    return events


def give_subscription(shop: Any, **values: Any) -> None:
    """Have ada subscribe, as an event from Stripe would."""
    subscription = make_subscription("sub_real", customer="cus_ada", **values)
    update = {
        "object": "event",
        "type": "customer.subscription.updated",
        "data": {"object": subscription},
        "created": subscription["created"],
    }
    assert shop.post_event(update).status_code == 200
    assert shop.columns()["subscription_id"] == "sub_real"


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("customer.subscription.created", "active"),
        ("customer.subscription.updated", "active"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.resumed", "active"),
        ("customer.subscription.deleted", "canceled"),
    ],
)
def test_trigger_gives_a_user_without_subscription_one(
    shop: Any, event_type: str, status: str
) -> None:
    result = run(shop, "trigger", event_type, "--user", "1")

    assert result.exit_code == 0
    assert "status 200" in result.output
    assert f"None -> {status}" in result.output
    assert shop.columns()["subscription_status"] == status


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("customer.subscription.updated", "active"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.resumed", "active"),
        ("invoice.payment_failed", "past_due"),
    ],
)
def test_trigger_is_about_the_subscription_that_the_user_has(
    shop: Any, seen: list[Any], event_type: str, status: str
) -> None:
    give_subscription(shop, status="trialing", price="price_pro", quantity=3)
    seen.clear()

    result = run(shop, "trigger", event_type, "--user", "1")

    columns = shop.columns()
    assert result.exit_code == 0
    assert f"stripe_subscription_status   trialing -> {status}" in result.output
    assert columns["subscription_id"] == "sub_real"
    assert columns["subscription_status"] == status
    assert columns["price_id"] == "price_pro"
    assert [row.quantity for row in shop.subscriptions] == [3]
    assert [given.type for given in seen] == [event_type]


def test_trigger_ends_the_subscription_that_the_user_has(shop: Any) -> None:
    give_subscription(shop)

    result = run(shop, "trigger", "customer.subscription.deleted", "--user", "1")

    assert "stripe_subscription_id       sub_real -> None" in result.output
    assert shop.columns()["subscription_status"] == "canceled"
    assert shop.columns()["subscription_id"] is None


def test_trigger_renews_with_what_was_before(shop: Any, seen: list[Any]) -> None:
    give_subscription(shop, status="past_due")
    before = shop.columns()["current_period_end"]

    run(shop, "trigger", "customer.subscription.updated", "--user", "1")

    assert (shop.columns()["current_period_end"] - before).days == 30
    previous = seen[-1].previous_attributes
    assert previous["status"] == "past_due"
    item = previous["items"]["data"][0]
    assert item["current_period_end"] == int(before.timestamp())


def test_trigger_works_many_times_in_a_second(shop: Any) -> None:
    """No call to Stripe is needed to tell which event is the newer one."""
    for event_type, status in [
        ("customer.subscription.created", "active"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.resumed", "active"),
        ("invoice.payment_failed", "past_due"),
        ("customer.subscription.updated", "active"),
        ("invoice.payment_failed", "past_due"),
        ("customer.subscription.paused", "paused"),
        ("customer.subscription.deleted", "canceled"),
        ("customer.subscription.created", "active"),
    ]:
        assert run(shop, "trigger", event_type, "--user", "1").exit_code == 0
        assert shop.columns()["subscription_status"] == status


def test_trigger_of_a_new_subscription_beside_another(shop: Any) -> None:
    give_subscription(shop, created=1_700_000_000)

    run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert len(shop.subscriptions) == 2
    assert shop.columns()["subscription_id"] != "sub_real"


def test_trigger_starts_from_columns_that_have_no_row(shop: Any) -> None:
    user_id = shop.add_user(
        stripe_customer_id="cus_eve",
        stripe_subscription_id="sub_moved",
        stripe_subscription_status="active",
        stripe_price_id="price_pro",
    )

    result = run(shop, "trigger", "invoice.payment_failed", "--user", str(user_id))

    assert "active -> past_due" in result.output
    assert shop.columns(user_id)["subscription_id"] == "sub_moved"


def test_trigger_of_a_deleted_customer(shop: Any) -> None:
    give_subscription(shop)

    result = run(shop, "trigger", "customer.deleted", "--user", "1")

    assert "stripe_customer_id           cus_ada -> None" in result.output
    assert shop.columns()["customer_id"] is None


def test_trigger_of_a_completed_session_reads_from_stripe(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    give_subscription(shop, status="incomplete", created=1_700_000_000)
    paid = make_subscription("sub_real", customer="cus_ada", created=1_700_000_000)
    stripe_api.get(f"{API}/v1/subscriptions/sub_real", json=paid)

    result = run(shop, "trigger", "checkout.session.completed", "--user", "1")

    assert result.exit_code == 0
    assert "incomplete -> active" in result.output


def test_trigger_of_a_completed_session_that_stripe_does_not_know(
    shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    give_subscription(shop)
    stripe_api.get(
        f"{API}/v1/subscriptions/sub_real",
        json={"error": {"message": "No such subscription"}},
        status=404,
    )

    result = run(shop, "trigger", "checkout.session.completed", "--user", "1")

    assert result.exit_code == 1
    assert "status 503" in result.output
    assert "The log says more." in result.output
    assert "No such subscription" in caplog.text


def test_trigger_of_a_completed_session_needs_a_subscription(shop: Any) -> None:
    result = run(shop, "trigger", "checkout.session.completed", "--user", "1")

    assert result.exit_code == 1
    assert "has no running subscription" in result.output


@pytest.mark.parametrize("event_type", OUR_EVENTS)
def test_trigger_about_nobody_runs_handlers_and_changes_nobody(
    shop: Any, seen: list[Any], event_type: str
) -> None:
    before = shop.columns()

    result = run(shop, "trigger", event_type)

    assert result.exit_code == 0
    assert "Handlers of this app for it: 1" in result.output
    assert "--user" in result.output
    assert [given.type for given in seen] == [event_type]
    assert [row.user_id for row in shop.events] == [None]
    assert seen[0].livemode is False
    assert shop.columns() == before
    assert shop.subscriptions == []


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("invoice.paid", "invoice"),
        ("invoice.payment_succeeded", "invoice"),
        ("checkout.session.expired", "checkout.session"),
        ("customer.created", "customer"),
        ("customer.updated", "customer"),
        ("customer.subscription.trial_will_end", "subscription"),
        ("customer.discount.created", "discount"),
        ("charge.refunded", "charge"),
        ("charge.dispute.created", "dispute"),
        ("payment_method.attached", "payment_method"),
        ("billing_portal.session.created", "billing_portal.session"),
    ],
)
def test_trigger_knows_a_sample_of_any_type(
    shop: Any, seen: list[Any], event_type: str, kind: str
) -> None:
    result = run(shop, "trigger", event_type, "--user", "1")

    assert result.exit_code == 0
    assert seen[0].object["object"] == kind
    assert [row.user_id for row in shop.events] == ["1"]
    assert "No column of user 1 changed." in result.output


def test_trigger_shows_the_columns_as_they_are_now(shop: Any) -> None:
    """Also where the app keeps its users in memory."""
    kept: list[Any] = []
    event.listen(shop.User, "load", lambda user, context: kept.append(user))

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert "None -> active" in result.output
    assert kept


def test_trigger_handles_the_event_in_a_context_of_its_own(shop: Any) -> None:
    """As a webhook from Stripe, which finds nothing in ``g`` or in the session."""
    ended: list[str] = []
    shop.app.teardown_appcontext(lambda error: ended.append("context"))

    run(shop, "trigger", "invoice.paid")

    assert ended == ["context", "context"]  # that of the event, that of the command


def test_trigger_reaches_an_app_that_knows_its_name(make_shop: Any) -> None:
    shop = make_shop(SERVER_NAME="shop.example", PREFERRED_URL_SCHEME="https")

    assert run(shop, "trigger", "invoice.paid").exit_code == 0


def test_trigger_says_where_the_app_sends_it(shop: Any) -> None:
    """Such as an app that redirects everything to https."""
    shop.app.before_request(lambda: ("moved", 301, {"Location": "https://x/"}))

    result = run(shop, "trigger", "invoice.paid")

    assert result.exit_code == 1
    assert "status 301" in result.output


def test_trigger_tells_about_a_handler_that_failed(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.kavach_stripe.on("invoice.paid")  # type: ignore[untyped-decorator]  # shop is Any
    def fail(given: Any) -> None:
        raise ValueError("the mail server is down")

    with caplog.at_level(logging.ERROR):
        result = run(shop, "trigger", "invoice.paid", "--user", "1")

    assert result.exit_code == 1
    assert "status 500" in result.output
    assert "A handler of this event failed." in result.output
    assert "the mail server is down" in caplog.text


def test_trigger_is_processed_once_as_from_stripe(shop: Any, seen: list[Any]) -> None:
    run(shop, "trigger", "invoice.paid", "--user", "1")

    (row,) = shop.events
    assert row.processed_at is not None
    assert (row.customer_id, row.user_id) == ("cus_ada", "1")


@pytest.mark.parametrize("user_id", ["99", "ada", "01", ""])
def test_trigger_for_an_unknown_user(shop: Any, user_id: str) -> None:
    result = run(shop, "trigger", "invoice.paid", "--user", user_id)

    assert result.exit_code == 1
    assert result.output == (
        f"Error: There is no user with the primary key {user_id!r}.\n"
    )


def test_trigger_for_a_user_without_customer(shop: Any) -> None:
    result = run(shop, "trigger", "customer.subscription.updated", "--user", "2")

    assert result.exit_code == 1
    assert "User '2' has no Stripe customer." in result.output


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "sk_org_1"])
def test_trigger_refuses_a_live_key(make_shop: Any, key: str) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=key)
    shop.add_user(stripe_customer_id="cus_ada")

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert result.exit_code == 1
    assert "live key" in result.output
    assert key not in result.output
    assert shop.subscriptions == []


@pytest.mark.usefixtures("bare_environment")
def test_trigger_works_without_a_key(make_shop: Any) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=None)
    shop.add_user(stripe_customer_id="cus_ada")

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert result.exit_code == 0
    assert shop.columns()["subscription_status"] == "active"


@pytest.mark.usefixtures("bare_environment")
def test_trigger_needs_a_webhook_secret(make_shop: Any) -> None:
    shop = make_shop(STRIPE_WEBHOOK_SECRET=" ")

    result = run(shop, "trigger", "invoice.paid")

    assert result.exit_code == 1
    assert "'STRIPE_WEBHOOK_SECRET' is not set" in result.output


@pytest.mark.parametrize("event_type", ["paid", "invoice.", "Invoice.paid", "a b.c"])
def test_trigger_needs_an_event_type(shop: Any, event_type: str) -> None:
    result = run(shop, "trigger", event_type)

    assert result.exit_code == 2
    assert "is not an event type" in result.output


def test_trigger_without_tables_says_what_to_run(shop: Any) -> None:
    with shop.app.app_context():
        shop.db.drop_all()

    result = run(shop, "trigger", "customer.subscription.updated", "--user", "1")

    assert result.exit_code == 1
    assert "flask stripe doctor" in result.output


# -- both ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["doctor", "trigger"])
def test_help_shows_an_example(shop: Any, command: str) -> None:
    result = run(shop, command, "--help")

    assert result.exit_code == 0
    assert f"Example:\n      flask stripe {command}" in result.output


def test_without_an_app_that_is_set_up_there_is_no_command() -> None:
    result = Flask("bare").test_cli_runner().invoke(args=["stripe", "doctor"])

    assert result.exit_code == 2


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_commands_with_a_stripe_over_http(make_shop: Any, sandbox: Sandbox) -> None:
    sandbox.create_price("price_pro")
    secret = sandbox.create_webhook_endpoint(f"http://127.0.0.1:1{PATH}", OUR_EVENTS)
    shop = make_shop(
        STRIPE_SECRET_KEY=sandbox.api_key,
        STRIPE_API_BASE=sandbox.url,
        STRIPE_WEBHOOK_SECRET=secret,
        STRIPE_PRICES={"pro": "price_pro"},
    )
    user_id = shop.add_user(email="ada@example.com")

    assert {verdict for verdict, _ in doctor(shop).values()} == {"ok"}

    with shop.app.app_context():
        session = shop.kavach_stripe.create_checkout_session(
            shop.db.session.get(shop.User, user_id),
            "price_pro",
            success_url="https://shop.example/",
            cancel_url="https://shop.example/",
        )

    sandbox.pay(session.id)
    paid = next(e for e in sandbox.events if e["type"] == "checkout.session.completed")
    assert shop.post_event(paid).status_code == 200

    for event_type, status in [
        ("customer.subscription.paused", "paused"),
        ("checkout.session.completed", "active"),
    ]:
        result = run(shop, "trigger", event_type, "--user", "1")
        assert result.exit_code == 0
        assert f"-> {status}" in result.output
