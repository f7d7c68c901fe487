"""An app that moves in keeps the webhook URL that Stripe has."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from flask import redirect
from flask import request
from flask import url_for
from flask_wtf.csrf import CSRFProtect

from flask_kavach_stripe import views
from flask_kavach_stripe.testing import post_event
from tests.vocabulary import API
from tests.vocabulary import assert_error
from tests.vocabulary import doctor
from tests.vocabulary import event
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import run
from tests.vocabulary import WEBHOOK

OLD = "/stripe/webhook"


@pytest.fixture
def shop(make_shop: Any) -> Any:
    """An app with CSRF protection, at whose old URL Stripe's events arrive."""
    shop = make_shop(STRIPE_WEBHOOK_PATHS=[OLD], STRIPE_PRICES={"pro": "price_pro"})
    CSRFProtect(shop.app)
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return shop


def answer_list(stripe_api: responses.RequestsMock, *urls: str) -> None:
    """Answer for a list of endpoints with these URLs, and for one of subscriptions."""
    endpoints = [
        {
            "id": f"we_{number}",
            "url": url,
            "status": "enabled",
            "enabled_events": ["*"],
            "api_version": "2026-10-28.endive",
        }
        for number, url in enumerate(urls, 1)
    ]
    stripe_api.assert_all_requests_are_fired = False
    stripe_api.get(f"{API}/subscriptions", json={"data": [], "has_more": False})
    stripe_api.get(
        f"{API}/webhook_endpoints", json={"data": endpoints, "has_more": False}
    )


# -- the endpoint --------------------------------------------------------------------


@pytest.mark.parametrize("path", [OLD, WEBHOOK])
def test_events_arrive_at_the_old_and_the_new_url(shop: Any, path: str) -> None:
    ok(shop.post_event(event("created"), path=path))

    assert shop.columns()["subscription_id"] == "sub_1"


def test_old_url_answers_as_the_new_one(shop: Any) -> None:
    browser = shop.app.test_client()

    assert_error(browser.post(OLD, data=b"{}"), 400, "invalid_signature", "signature")
    assert browser.post(OLD, data=b"x" * 2**21).status_code == 413
    assert browser.get(OLD).status_code == 405
    assert browser.post(OLD).headers["Cache-Control"] == "no-store"


def test_url_for_names_the_new_url(shop: Any) -> None:
    with shop.app.test_request_context():
        assert url_for("kavach_stripe.webhook") == WEBHOOK


def test_commas_are_a_list(make_shop: Any) -> None:
    shop = make_shop(STRIPE_WEBHOOK_PATHS="/a, /b/c")
    shop.add_user(stripe_customer_id="cus_ada")

    for path in ("/a", "/b/c"):
        ok(shop.post_event(event("created"), path=path))


# -- add_url_rule --------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_view_at_a_url_that_the_app_adds(make_shop: Any, first: bool) -> None:
    """Without a CSRF token, whichever URL is the first to be asked."""
    shop = make_shop(prepare=CSRFProtect)
    shop.app.add_url_rule("/hook", view_func=views.webhook)
    shop.add_user(stripe_customer_id="cus_ada")

    if not first:
        ok(shop.post_event(event("updated")))

    ok(shop.post_event(event("created"), path="/hook"))
    assert shop.columns()["subscription_id"] == "sub_1"


def test_view_at_a_url_that_the_app_adds_answers_errors(make_shop: Any) -> None:
    shop = make_shop()
    shop.app.add_url_rule("/hook", view_func=views.webhook)
    browser = shop.app.test_client()

    assert_error(browser.post("/hook", data=b"{}"), 400, "invalid_signature")
    assert browser.post("/hook", data=b"x" * 2**21).status_code == 413
    assert browser.get("/hook").status_code == 405

    not_json = post_event(browser, b"not JSON", path="/hook")
    assert_error(not_json, 400, "invalid_json")


def test_view_at_a_url_that_the_app_adds_says_that_a_table_is_missing(
    make_shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop()
    on(shop, "customer.subscription.created")(print)
    shop.app.add_url_rule("/hook", view_func=views.webhook)
    shop.add_user(stripe_customer_id="cus_ada")

    with shop.app.app_context():
        shop.app.extensions["kavach_stripe"].event_model.__table__.drop(shop.db.engine)

    answer = shop.post_event(event("created"), path="/hook")

    assert_error(answer, 500, "missing_table")
    assert "flask db upgrade" in caplog.text


# -- the commands --------------------------------------------------------------------


@pytest.mark.parametrize("path", [OLD, WEBHOOK])
def test_doctor_knows_both_urls(
    shop: Any, stripe_api: responses.RequestsMock, path: str
) -> None:
    answer_list(stripe_api, f"https://shop.example{path}")

    verdict, line = doctor(shop)["webhook endpoint"]

    assert (verdict, line) == ("ok", f"https://shop.example{path} is enabled.")


def test_doctor_names_both_urls(shop: Any, stripe_api: responses.RequestsMock) -> None:
    answer_list(stripe_api, "https://shop.example/other")

    verdict, line = doctor(shop)["webhook endpoint"]

    assert verdict == "note"
    assert f"{WEBHOOK} or {OLD}" in line


@pytest.mark.parametrize("path", [OLD, WEBHOOK])
def test_doctor_says_what_stands_before_either_url(
    shop: Any, stripe_api: responses.RequestsMock, path: str
) -> None:
    def send_to_the_log_in() -> Any:
        return redirect("/login") if request.path == path else None

    answer_list(stripe_api, f"https://shop.example{OLD}")
    shop.app.before_request(send_to_the_log_in)

    verdict, line = doctor(shop)["own webhook"]

    assert verdict == "FAIL"
    assert line.startswith(f"At {path}: The app sent it to /login ")


def test_doctor_reaches_both_urls(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_list(stripe_api, f"https://shop.example{OLD}")

    found = doctor(shop)["own webhook"]

    assert found == ("ok", f"A request reaches it at {WEBHOOK} and {OLD}.")


def test_list_marks_both_urls(shop: Any, stripe_api: responses.RequestsMock) -> None:
    urls = [f"https://a.example{path}" for path in (OLD, WEBHOOK, "/other")]
    answer_list(stripe_api, *urls)

    result = run(shop, "webhook", "list")

    assert [line[0] for line in result.stdout.splitlines()] == [" ", "*", "*", " "]
    assert result.stderr == ""


def test_list_knows_the_application_root(
    make_shop: Any, stripe_api: responses.RequestsMock
) -> None:
    shop = make_shop(STRIPE_WEBHOOK_PATHS=[OLD], APPLICATION_ROOT="/shop")
    answer_list(stripe_api, f"https://a.example/shop{OLD}")

    assert run(shop, "webhook", "list").stdout.splitlines()[1].startswith("*")


def test_create_does_not_call_the_old_url_another_path(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer_list(stripe_api)
    created = {"id": "we_9", "api_version": "2026-10-28.endive", "secret": "whsec_9"}
    stripe_api.post(f"{API}/webhook_endpoints", json=created)

    result = run(shop, "webhook", "create", f"https://shop.example{OLD}")

    assert "another path" not in result.stderr


def test_trigger_goes_the_way_of_stripes_events(shop: Any) -> None:
    """To the old URL, through whatever the app does before it."""
    paths: list[str] = []
    shop.app.before_request(lambda: paths.append(request.path))

    assert run(shop, "trigger", "invoice.paid").exit_code == 0
    assert paths == [OLD]


@pytest.mark.parametrize("config", [{}, {"STRIPE_WEBHOOK_PATHS": OLD}])
def test_trigger_reaches_an_app_with_an_application_root(
    make_shop: Any, config: Any
) -> None:
    shop = make_shop(APPLICATION_ROOT="/shop", **config)

    assert run(shop, "trigger", "invoice.paid").exit_code == 0
