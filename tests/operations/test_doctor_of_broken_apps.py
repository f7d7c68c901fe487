"""``flask stripe doctor`` says what is wrong with the app itself, and what to do.

What it prints for each kind is in ``docs/doctor.txt``, see ``tests/doctor_output.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from functools import wraps
from typing import Any

import pytest
import responses
from flask import abort
from flask import Blueprint
from flask import redirect
from flask import request
from flask.views import MethodView
from flask_login import LoginManager
from flask_wtf import CSRFProtect

from flask_kavach_stripe import subscription_required
from tests.doctor_output import OUTPUT
from tests.doctor_output import render
from tests.operations.healthy_stripe import answer_all
from tests.operations.healthy_stripe import answer_list
from tests.operations.healthy_stripe import answer_portal
from tests.operations.healthy_stripe import make_endpoint
from tests.operations.healthy_stripe import make_price
from tests.vocabulary import API
from tests.vocabulary import doctor
from tests.vocabulary import event
from tests.vocabulary import OUR_EVENTS
from tests.vocabulary import run
from tests.vocabulary import WEBHOOK

PRICES = {"pro": "price_pro"}


@pytest.fixture
def check(make_shop: Any, stripe_api: responses.RequestsMock) -> Callable[..., Any]:
    """Examine an app that is broken in one way, and give the line of one check."""
    answer_all(stripe_api, has_ada=False)

    def examine(
        name: str, *, prepare: Callable[[Any], object] | None = None, **config: Any
    ) -> tuple[str, str]:
        shop = make_shop(**{"STRIPE_PRICES": PRICES, **config})

        if prepare is not None:
            prepare(shop)

        found = doctor(shop)
        broken = {other for other, (verdict, _) in found.items() if verdict == "FAIL"}
        assert broken <= {name}
        return found[name]

    return examine


def view() -> str:
    return "a page"


def test_output_in_the_documentation_is_what_doctor_prints() -> None:
    """If it is not: ``python -m tests.doctor_output``."""
    assert OUTPUT.read_text("utf-8") == render()


# -- keys ------------------------------------------------------------------------------


def test_doctor_names_a_misspelt_key(check: Callable[..., Any]) -> None:
    assert check("configuration", STRIPE_TRAIL_DAYS=14) == (
        "FAIL",
        "'STRIPE_TRAIL_DAYS' has no effect. Rename it to 'STRIPE_TRIAL_DAYS'.",
    )


def test_doctor_leaves_keys_of_the_app_alone(check: Callable[..., Any]) -> None:
    verdict, _ = check("configuration", STRIPE_PUBLISHABLE_KEY="pk_test_1")

    assert verdict == "ok"


# -- log-in ----------------------------------------------------------------------------


def test_doctor_misses_a_login_manager(check: Callable[..., Any]) -> None:
    def remove(shop: Any) -> None:
        del shop.app.login_manager

    verdict, line = check("login", prepare=remove)

    assert verdict == "FAIL"
    assert "Call 'LoginManager(app)'." in line


def test_doctor_misses_a_user_loader(check: Callable[..., Any]) -> None:
    verdict, line = check("login", prepare=lambda shop: LoginManager(shop.app))

    assert verdict == "FAIL"
    assert "'@login_manager.user_loader'" in line


def test_doctor_takes_a_request_loader(check: Callable[..., Any]) -> None:
    def replace(shop: Any) -> None:
        LoginManager(shop.app).request_loader(lambda given: None)

    assert check("login", prepare=replace)[0] == "ok"


# -- STRIPE_SUBSCRIPTION_VIEW ----------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("pricng", "no such endpoint. The nearest is 'pricing'."),
        ("/pricing", "no such endpoint. The nearest is 'pricing'."),
        ("xyz", "no such endpoint. See 'flask routes'."),
        ("plan", "no GET without arguments reaches"),
        ("buy", "no GET without arguments reaches"),
    ],
)
def test_doctor_with_a_subscription_view_that_cannot_be_reached(
    check: Callable[..., Any], endpoint: str, words: str
) -> None:
    def add_views(shop: Any) -> None:
        shop.app.add_url_rule("/prices", "pricing", view)
        shop.app.add_url_rule("/plan/<name>", "plan", view)
        shop.app.add_url_rule("/buy", "buy", view, methods=["POST"])

    verdict, line = check(
        "subscription view", STRIPE_SUBSCRIPTION_VIEW=endpoint, prepare=add_views
    )

    assert verdict == "FAIL"
    assert f"'STRIPE_SUBSCRIPTION_VIEW' is {endpoint!r}" in line
    assert words in line


def test_doctor_with_a_subscription_view(check: Callable[..., Any]) -> None:
    def add_view(shop: Any) -> None:
        shop.app.add_url_rule("/prices", "pricing", view)

    assert check(
        "subscription view", STRIPE_SUBSCRIPTION_VIEW="pricing", prepare=add_view
    ) == ("ok", "'pricing', at /prices.")


# -- guards ----------------------------------------------------------------------------


class Report(MethodView):
    """Guarded in one method alone."""

    @subscription_required("proo")
    def get(self) -> str:
        return "a report"


class Reports(MethodView):
    """Guarded in all methods."""

    decorators = [subscription_required("proo")]  # noqa: RUF012  (as Flask wants it)

    def get(self) -> str:
        return "reports"


def keep(function: Any) -> Any:
    """A decorator of somebody else's."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "guarded",
    [
        pytest.param(subscription_required("proo")(view), id="function"),
        pytest.param(subscription_required("pro", "proo")(view), id="one of two"),
        pytest.param(keep(subscription_required("proo")(view)), id="below another"),
        pytest.param(
            subscription_required("pro")(subscription_required("proo")(view)),
            id="below another guard",
        ),
        pytest.param(
            subscription_required("proo")(subscription_required("pro")(view)),
            id="above another guard",
        ),
        pytest.param(Report.as_view("reports"), id="method of a class"),
        pytest.param(Reports.as_view("reports"), id="class"),
    ],
)
def test_doctor_names_a_guard_with_a_price_that_does_not_exist(
    check: Callable[..., Any], guarded: Any
) -> None:
    verdict, line = check(
        "guards",
        prepare=lambda shop: shop.app.add_url_rule("/x", "reports", guarded),
    )

    assert verdict == "FAIL"
    assert "'STRIPE_PRICES' has no price named 'proo'." in line
    assert "Did you mean 'pro'?" in line
    assert line.endswith("It guards 'reports'.")


def test_doctor_looks_at_guards_before_requests(check: Callable[..., Any]) -> None:
    def guard(shop: Any) -> None:
        @subscription_required("proo")
        def subscribers_only() -> None:
            """Let them pass."""

        club = Blueprint("club", __name__)
        club.before_request(subscribers_only)
        shop.app.register_blueprint(club)

    assert check("guards", prepare=guard)[1].endswith("It guards 'subscribers_only'.")


def test_doctor_with_guards_that_name_prices(
    check: Callable[..., Any],
) -> None:
    def guard(shop: Any) -> None:
        shop.app.add_url_rule("/a", "a", subscription_required("pro")(view))
        shop.app.add_url_rule("/b", "b", subscription_required("price_pro")(view))
        shop.app.add_url_rule("/c", "c", subscription_required(view))

    assert check("guards", prepare=guard) == ("ok", "Known prices: pro, price_pro.")


@pytest.mark.parametrize(
    ("price", "verdict", "words"),
    [
        (None, "FAIL", "Stripe has no price price_old in test mode. Correct"),
        (make_price(active=False), "ok", "Stripe has it. It opens archive."),
    ],
)
def test_doctor_asks_stripe_for_a_price_that_only_a_guard_names(
    make_shop: Any,
    stripe_api: responses.RequestsMock,
    price: Any,
    verdict: str,
    words: str,
) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES)
    guarded = subscription_required("price_old", "price_pro")(view)
    shop.app.add_url_rule("/archive", "archive", guarded)
    answer_all(stripe_api, has_ada=False)
    stripe_api.get(
        f"{API}/prices/price_old",
        json=price or {"error": {"message": "No such price"}},
        status=200 if price else 404,
    )

    found = doctor(shop)

    assert found["price price_old"][0] == verdict
    assert words in found["price price_old"][1]
    assert "archive" in found["price price_old"][1]
    assert "price price_pro" not in found  # it is on sale, and looked at as "pro"


# -- handlers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_type", "words"),
    [
        ("customer.subscription.update", "'customer.subscription.updated'"),
        ("custmer.*", "'customer.*'"),
    ],
)
def test_doctor_names_a_handler_of_a_type_that_stripe_does_not_have(
    check: Callable[..., Any], event_type: str, words: str
) -> None:
    verdict, line = check(
        "handlers", prepare=lambda shop: shop.kavach_stripe.on(event_type)(print)
    )

    assert verdict == "FAIL"
    assert repr(event_type) in line
    assert f"The nearest is {words}. Correct it in '@kavach_stripe.on'." in line


def test_doctor_believes_stripe_rather_than_its_own_list(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    """A type of which the list knows nothing yet, and the endpoint is sent it."""
    shop.kavach_stripe.on("invoice.paidd")(print)
    answer_all(stripe_api, make_endpoint(enabled_events=[*OUR_EVENTS, "invoice.paidd"]))

    assert {verdict for verdict, _ in doctor(shop).values()} == {"ok"}


# -- the portal ------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "path"), [("test", "test/"), ("live", "")])
def test_doctor_says_that_the_portal_was_never_configured(
    make_shop: Any, stripe_api: responses.RequestsMock, mode: str, path: str
) -> None:
    shop = make_shop(STRIPE_SECRET_KEY=f"sk_{mode}_1", STRIPE_PRICES=PRICES)
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", (make_endpoint(),))
    answer_list(stripe_api, "billing_portal/configurations", ())
    stripe_api.get(f"{API}/prices/price_pro", json=make_price())

    verdict, line = doctor(shop)["portal"]

    assert verdict == "FAIL"
    assert line.endswith(
        f"Save its settings at https://dashboard.stripe.com/{path}settings/billing/portal."
    )
    url = next(
        call.request.url
        for call in stripe_api.calls
        if "portal" in (call.request.url or "")
    )
    assert url is not None
    assert url.endswith("?is_default=true&active=true&limit=1")


# -- the way to the webhook ------------------------------------------------------------


def answer(status: int, body: str = "", **headers: str) -> Callable[[Any], object]:
    """Have the app answer every request itself, before any view."""

    def prepare(shop: Any) -> None:
        shop.app.before_request(lambda: (body, status, headers))

    return prepare


def wall(shop: Any) -> None:
    """Let only those in who are logged in, as many apps do."""
    shop.app.login_manager.login_view = "enter"
    shop.app.add_url_rule("/enter", "enter", view)

    shop.app.before_request(shop.app.login_manager.unauthorized)


def refuse(status: int, shop: Any) -> None:
    shop.app.before_request(partial(abort, status))


BLOCKED = [
    pytest.param(wall, ["to /enter?next=", "(status 302)", "follows no"], id="login"),
    pytest.param(
        answer(301, Location="https://www.shop.example/"),
        ["to https://www.shop.example/ (status 301)"],
        id="redirect",
    ),
    pytest.param(partial(refuse, 401), ["refused it (status 401)"], id="401"),
    pytest.param(partial(refuse, 403), ["refused it (status 403)"], id="403"),
    pytest.param(partial(refuse, 404), ["(status 404)", "'SERVER_NAME'"], id="404"),
    pytest.param(answer(404, "no"), ["nothing at that path (status 404)"], id="page"),
    pytest.param(
        answer(400, "The CSRF token is missing."),
        ["CSRF", "Exempt the view 'flask_kavach_stripe.views.webhook'"],
        id="CSRF",
    ),
    pytest.param(answer(403, "CSRF cookie not set"), ["CSRF", "403"], id="CSRF, 403"),
    pytest.param(partial(refuse, 400), ["(status 400)"], id="400"),
    pytest.param(answer(200, "<form>"), ["(status 200)"], id="200"),
    pytest.param(answer(200, '{"received": 1}'), ["(status 200)"], id="200 as JSON"),
    pytest.param(answer(503, "later"), ["(status 503)"], id="maintenance"),
]
ADVICE = "'kavach_stripe.webhook' pass"


@pytest.mark.parametrize(("prepare", "words"), BLOCKED)
def test_doctor_says_what_stands_before_the_webhook(
    check: Callable[..., Any], prepare: Any, words: list[str]
) -> None:
    verdict, line = check("own webhook", prepare=prepare)

    assert verdict == "FAIL"
    assert [word for word in words if word not in line] == []
    assert "CSRF" in line or ADVICE in line


@pytest.mark.parametrize(("prepare", "words"), BLOCKED)
def test_trigger_says_what_stands_before_the_webhook(
    shop: Any, prepare: Any, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    prepare(shop)

    result = run(shop, "trigger", "customer.subscription.created", "--user", "1")

    assert result.exit_code == 1
    assert [word for word in words if word not in result.output] == []
    assert "CSRF" in result.output or ADVICE in result.output
    assert "The log says more" not in result.output
    assert shop.subscriptions == []


def test_doctor_survives_an_exception_before_the_webhook(
    check: Callable[..., Any],
) -> None:
    def prepare(shop: Any) -> None:
        shop.app.before_request(lambda: shop.app.config["A_KEY"])

    verdict, line = check("own webhook", prepare=prepare)

    assert verdict == "FAIL"
    assert "raised KeyError before the webhook was reached" in line


def to_https() -> Any:
    """As behind a proxy that ends TLS, and in Flask-Talisman."""
    return None if request.is_secure else redirect(f"https://{request.host}/", 301)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="plain"),
        pytest.param({"SERVER_NAME": "shop.example"}, id="server name"),
        pytest.param({"APPLICATION_ROOT": "/shop"}, id="below a path"),
        pytest.param({"TRUSTED_HOSTS": ["shop.example"]}, id="trusted hosts"),
        pytest.param({"TRUSTED_HOSTS": [".shop.example"]}, id="trusted subdomains"),
        pytest.param({"prepare": CSRFProtect}, id="CSRF protection of Flask-WTF"),
        pytest.param({"STRIPE_WEBHOOK_SECRET": "whsec_a,whsec_b"}, id="two secrets"),
    ],
)
def test_doctor_and_trigger_reach_the_webhook(
    make_shop: Any, stripe_api: responses.RequestsMock, config: dict[str, Any]
) -> None:
    shop = make_shop(STRIPE_PRICES=PRICES, **config)
    shop.app.before_request(to_https)
    answer_list(stripe_api, "subscriptions", ())
    answer_list(stripe_api, "webhook_endpoints", ())
    answer_portal(stripe_api)
    stripe_api.get(f"{API}/prices/price_pro", json=make_price())
    root = config.get("APPLICATION_ROOT", "")

    found = doctor(shop)

    assert found["own webhook"] == ("ok", f"A request reaches it at {root}{WEBHOOK}.")
    assert run(shop, "trigger", "invoice.paid").exit_code == 0


def test_doctor_logs_and_stores_nothing_of_its_own_request(
    shop: Any, stripe_api: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    answer_all(stripe_api)

    with caplog.at_level(logging.INFO, "flask_kavach_stripe"):
        caplog.clear()
        doctor(shop)

    assert caplog.records == []
    assert shop.events == []

    shop.post_event(event("created"), secret="whsec_wrong")
    assert "A webhook was rejected" in caplog.text


def test_trigger_warns_of_a_type_that_stripe_does_not_have(shop: Any) -> None:
    result = run(shop, "trigger", "customer.subscription.update")

    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: Stripe has no event type 'customer.subscription.update'. The nearest"
        " is 'customer.subscription.updated'.\n"
    )
    assert "status 200" in result.stdout


def test_trigger_sends_to_the_log_only_for_what_is_in_it(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.kavach_stripe.on("invoice.paid")  # type: ignore[untyped-decorator]  # Any
    def break_down(given: Any) -> None:
        raise ValueError("the mail server is down")

    result = run(shop, "trigger", "invoice.paid")

    assert "A handler of this event failed. The log says more." in result.output
    assert "the mail server is down" in caplog.text
