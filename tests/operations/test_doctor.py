"""``flask stripe doctor`` says what is wrong, and shows no secret (docs/cli.rst)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import requests
import responses
from sqlalchemy import text

from tests.operations.healthy_stripe import answer_all
from tests.operations.healthy_stripe import answer_list
from tests.operations.healthy_stripe import answer_portal
from tests.operations.healthy_stripe import make_endpoint
from tests.operations.healthy_stripe import make_price
from tests.vocabulary import API
from tests.vocabulary import doctor
from tests.vocabulary import expect_customer
from tests.vocabulary import OUR_EVENTS
from tests.vocabulary import run
from tests.vocabulary import SECRET_KEY
from tests.vocabulary import SUBSCRIPTIONS
from tests.vocabulary import WEBHOOK
from tests.vocabulary import WEBHOOK_SECRET

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
        "configuration",
        "database",
        "login",
        "subscription view",
        "guards",
        "own webhook",
        "Stripe",
        "webhook endpoint",
        "webhook events",
        "webhook version",
        "handlers",
        "portal",
        "customers",
        "orphans",
        "price pro",
    ]
    assert found["secret key"][1] == "A test key."


def test_doctor_asks_stripe_with_the_key(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api)

    doctor(shop)

    assert {call.request.method for call in stripe_api.calls} == {"GET"}
    assert (
        stripe_api.calls[0].request.headers["Authorization"] == f"Bearer {SECRET_KEY}"
    )


def test_doctor_says_that_a_key_is_live(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_SECRET_KEY="rk_live_of_the_tests", STRIPE_PRICES={"pro": "price_pro"}
    )
    answer_all(stripe_api, has_ada=False)

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
        "portal",
        "customers",
        "orphans",
        "price pro",
    }


def test_doctor_with_a_key_that_stripe_refuses(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(
        SUBSCRIPTIONS,
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
    stripe_api.get(SUBSCRIPTIONS, body=requests.ConnectionError("down"))

    found = doctor(shop)

    assert found["Stripe"][0] == "FAIL"
    assert "no answer from https://api.stripe.com" in found["Stripe"][1]
    assert found["webhook endpoint"][0] == "skip"


def test_doctor_waits_once_for_a_stripe_that_went_away(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_list(stripe_api, "subscriptions", ())
    stripe_api.get(f"{API}/webhook_endpoints", body=requests.ReadTimeout())

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
    stripe_api.get(SUBSCRIPTIONS, body=body, status=status)

    assert doctor(shop)["Stripe"][0] == "FAIL"


def test_doctor_with_a_restricted_key_that_may_not_read_subscriptions(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_portal(stripe_api)
    stripe_api.get(SUBSCRIPTIONS, json={"error": {"message": "no"}}, status=403)
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))
    stripe_api.get(f"{API}/prices/price_pro", json=make_price())

    expect_customer(stripe_api)
    found = doctor(shop)

    assert found["Stripe"][0] == "FAIL"
    assert "permission" in found["Stripe"][1]
    assert found["price pro"][0] == "ok"


def test_doctor_with_a_restricted_key_that_may_not_read_endpoints(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_portal(stripe_api)
    answer_list(stripe_api, "subscriptions", ())
    stripe_api.get(
        f"{API}/webhook_endpoints", json={"error": {"message": "no"}}, status=403
    )
    stripe_api.get(f"{API}/prices/price_pro", json=make_price())

    expect_customer(stripe_api)
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
    answer_all(stripe_api, has_ada=False)

    verdict, text = doctor(shop)["webhook secret"]

    assert verdict == "FAIL"
    assert "'STRIPE_WEBHOOK_SECRET' is not set" in text


def test_doctor_counts_webhook_secrets(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_WEBHOOK_SECRET=f"{WEBHOOK_SECRET},whsec_2",
        STRIPE_PRICES={"pro": "price_pro"},
    )
    answer_all(stripe_api, has_ada=False)

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
    answer_all(stripe_api, has_ada="users" not in missing)

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
    answer_all(stripe_api, has_ada=False)

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
        (f"https://shop.example{WEBHOOK}", True),
        (f"http://127.0.0.1:5000{WEBHOOK}", True),
        (f"https://shop.example{WEBHOOK}?token=secret", True),
        (f"https://user:secret@shop.example{WEBHOOK}", True),
        (f"https://shop.example{WEBHOOK}/", False),
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

    assert verdict == ("ok" if found else "note")
    assert found or f"the path {WEBHOOK}" in line
    assert "secret" not in line


def test_doctor_follows_the_url_prefix(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_URL_PREFIX="/pay", STRIPE_PRICES={"pro": "price_pro"})
    answer_all(
        stripe_api, make_endpoint("https://shop.example/pay/webhook"), has_ada=False
    )

    assert doctor(shop)["webhook endpoint"][0] == "ok"


def test_doctor_follows_the_application_root(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(APPLICATION_ROOT="/shop", STRIPE_PRICES={"pro": "price_pro"})
    answer_all(
        stripe_api, make_endpoint(f"https://example.com/shop{WEBHOOK}"), has_ada=False
    )

    assert doctor(shop)["webhook endpoint"][0] == "ok"


def test_doctor_looks_no_further_without_an_endpoint(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_all(stripe_api, make_endpoint("https://shop.example/other"))

    found = doctor(shop)

    assert found["webhook endpoint"][0] == "note"
    assert found["webhook events"][0] == found["webhook version"][0] == "skip"
    assert found["price pro"][0] == "ok"


def test_doctor_takes_stripe_listen_for_a_note_in_test_mode(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """``stripe listen`` is listed nowhere, and all works with it alone."""
    answer_all(stripe_api, make_endpoint("https://shop.example/other"))

    result = run(shop, "doctor")

    assert result.exit_code == 0
    assert (
        f"note  webhook endpoint   None at Stripe has the path {WEBHOOK}, so events"
        " come only while 'stripe listen' or the sandbox forwards them. For a"
        " deployment, add one with 'flask stripe webhook create URL'.\n"
    ) in result.output


def test_doctor_misses_an_endpoint_in_live_mode(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(
        STRIPE_SECRET_KEY="sk_live_of_the_tests", STRIPE_PRICES={"pro": "price_pro"}
    )
    answer_all(stripe_api, make_endpoint("https://shop.example/other"), has_ada=False)

    assert doctor(shop)["webhook endpoint"] == (
        "FAIL",
        f"None at Stripe has the path {WEBHOOK}. Add one with 'flask stripe webhook"
        " create URL'.",
    )


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
        f"Not sent: invoice.paid. Add them to https://shop.example{WEBHOOK} in Stripe's"
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
        make_endpoint(f"https://a.example{WEBHOOK}", status="disabled"),
        make_endpoint(f"https://b.example{WEBHOOK}", api_version="2020-08-27"),
        make_endpoint(f"https://c.example{WEBHOOK}"),
        make_endpoint(f"https://d.example{WEBHOOK}", enabled_events=[]),
    )

    found = doctor(shop)

    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert "https://c.example" in found["webhook endpoint"][1]


def test_doctor_reads_every_page_of_endpoints(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_portal(stripe_api)
    answer_list(stripe_api, "subscriptions", ())
    expect_customer(stripe_api)
    stripe_api.get(f"{API}/prices/price_pro", json=make_price())
    first = make_endpoint("https://shop.example/other")

    for data, has_more in (((first,), True), ((make_endpoint(),), False)):
        stripe_api.get(
            f"{API}/webhook_endpoints",
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
    answer_all(stripe_api, has_ada=False)
    stripe_api.get(
        f"{API}/prices/price_team",
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
    answer_portal(stripe_api)
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))
    stripe_api.get(
        f"{API}/prices/price_pro",
        json={"error": {"message": f"Not\n a \x1b[2J version, {SECRET_KEY}."}},
        status=400,
    )

    expect_customer(stripe_api)
    assert doctor(shop)["price pro"] == (
        "FAIL",
        "Stripe answered with an error: Not a [2J version, ***.",
    )


def test_doctor_without_names_for_prices(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_PRICES="*")
    answer_portal(stripe_api)
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))

    verdict, line = doctor(shop)["prices"]

    assert verdict == "ok"
    assert "every price" in line


def test_doctor_with_nothing_for_sale(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_PRICES={})
    answer_portal(stripe_api)
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))

    assert doctor(shop)["prices"][0] == "FAIL"
