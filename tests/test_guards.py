"""``subscription_required`` and ``current_subscription``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint
from flask import render_template_string
from flask.views import MethodView
from flask_login import UserMixin

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import current_subscription
from flask_kavach_stripe import subscription_required
from tests.vocabulary import FAR
from tests.vocabulary import store_subscription

PRICES = {"pro": "price_pro", "team": {"price": "price_team"}, "old": "plan_gold"}


@pytest.fixture
def ada(make_shop: Any) -> Callable[..., Any]:
    """Make an app with one user who has a customer."""

    def make(**config: Any) -> Any:
        shop = make_shop(**{"STRIPE_PRICES": PRICES, **config})
        shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
        return shop

    return make


def page() -> str:
    return "the page"


def guard(shop: Any, *decorate: Any, view: Any = page) -> None:
    """Serve the view at ``/page``, guarded."""
    decorator = subscription_required(*decorate) if decorate else subscription_required
    shop.app.add_url_rule("/page", view_func=decorator(view))


def visit(shop: Any, user_id: int | None = 1, **kwargs: Any) -> Any:
    return shop.browser(user_id).get("/page", **kwargs)


# -- who may see it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("active", 200),
        ("trialing", 200),
        ("past_due", 402),
        ("unpaid", 402),
        ("paused", 402),
        ("incomplete", 402),
        ("canceled", 402),
        ("incomplete_expired", 402),
        ("odd", 402),
    ],
)
def test_status_decides(ada: Callable[..., Any], status: str, expected: int) -> None:
    shop = ada()
    guard(shop)
    store_subscription(shop, status=status)

    assert visit(shop).status_code == expected


def test_user_without_a_subscription(ada: Callable[..., Any]) -> None:
    shop = ada()
    guard(shop)

    assert visit(shop).status_code == 402
    assert visit(shop, shop.add_user()).status_code == 402


@pytest.mark.parametrize("names", [(), ("pro",)])
def test_active_statuses_decide(ada: Callable[..., Any], names: Any) -> None:
    shop = ada(STRIPE_ACTIVE_STATUSES=["active", "past_due"])
    guard(shop, *names)
    store_subscription(shop, status="past_due")

    assert visit(shop).text == "the page"


@pytest.mark.parametrize("names", [(), ("pro",)])
def test_trial_is_not_active_if_told_so(ada: Callable[..., Any], names: Any) -> None:
    shop = ada(STRIPE_ACTIVE_STATUSES=["active"])
    guard(shop, *names)
    store_subscription(shop, status="trialing")

    assert visit(shop).status_code == 402


def test_grace_period_gives_access(ada: Callable[..., Any]) -> None:
    shop = ada()
    guard(shop)
    store_subscription(shop, cancel_at_period_end=True, current_period_end=FAR)

    assert visit(shop).status_code == 200


@pytest.mark.parametrize(
    ("asked", "price", "expected"),
    [
        (("pro",), "price_pro", 200),
        (("price_pro",), "price_pro", 200),
        (("pro", "team"), "price_team", 200),
        (("team", "price_pro"), "price_pro", 200),
        (("old",), "plan_gold", 200),
        (("plan_gold",), "plan_gold", 200),
        (("price_unlisted",), "price_unlisted", 200),
        (("team",), "price_pro", 402),
        (("price_team",), "price_pro", 402),
        (("price_unlisted",), "price_pro", 402),
    ],
)
def test_price_decides(
    ada: Callable[..., Any], asked: tuple[str, ...], price: str, expected: int
) -> None:
    shop = ada()
    guard(shop, *asked)
    store_subscription(shop, price=price)

    assert visit(shop).status_code == expected


def test_empty_parentheses(ada: Callable[..., Any]) -> None:
    shop = ada()
    shop.app.add_url_rule("/page", view_func=subscription_required()(page))

    assert visit(shop).status_code == 402
    store_subscription(shop)
    assert visit(shop).status_code == 200


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"price": "price_team"}, 200),
        ({"price": "price_team", "status": "trialing"}, 200),
        ({"price": "price_team", "status": "past_due"}, 402),
        ({"price": "price_team", "status": "canceled"}, 402),
        ({"price": "price_team", "customer": "cus_bob"}, 402),
        ({"price": "price_pro"}, 402),
    ],
)
def test_any_of_several_subscriptions_counts(
    ada: Callable[..., Any], second: dict[str, str], expected: int
) -> None:
    shop = ada()
    shop.add_user(stripe_customer_id="cus_bob")
    guard(shop, "team")
    store_subscription(shop, "sub_1", created=1_800_000_000)
    store_subscription(shop, "sub_2", **second)
    assert shop.columns()["subscription_id"] == "sub_1"

    assert visit(shop).status_code == expected


@pytest.mark.parametrize("name", ["gold", "PRO", "", "prod_1", "sub_1"])
def test_unknown_name_is_an_error_at_first_use(
    ada: Callable[..., Any], name: str
) -> None:
    shop = ada()
    guard(shop, name)  # the configuration may come later

    with pytest.raises(ConfigurationError, match=f"{name!r}.*'pro', 'team', 'old'"):
        visit(shop)

    store_subscription(shop)

    with pytest.raises(ConfigurationError, match="'STRIPE_PRICES'"):
        visit(shop)


def test_one_unknown_name_among_others_is_an_error(ada: Callable[..., Any]) -> None:
    shop = ada()
    guard(shop, "pro", "gold")
    store_subscription(shop)

    with pytest.raises(ConfigurationError, match="'gold'"):
        visit(shop)


def test_names_without_any_prices(ada: Callable[..., Any]) -> None:
    shop = ada(STRIPE_PRICES="*")
    guard(shop, "pro")

    with pytest.raises(ConfigurationError, match="'pro'"):
        visit(shop)


@pytest.mark.parametrize("wrong", [1, None, ["pro"], b"pro"])
def test_wrong_argument(wrong: Any) -> None:
    with pytest.raises(TypeError):
        subscription_required(wrong)


def test_function_among_names() -> None:
    wrong: Any = page

    with pytest.raises(TypeError):
        subscription_required("pro", wrong)


def test_names_are_read_from_the_app_that_serves(ada: Callable[..., Any]) -> None:
    view = subscription_required("pro")(page)
    shops = [ada(), ada(STRIPE_PRICES={"pro": "price_2"})]

    for shop in shops:
        shop.app.add_url_rule("/page", view_func=view)
        store_subscription(shop, price="price_2")

    assert [visit(shop).status_code for shop in shops] == [402, 200]


# -- what the others get -------------------------------------------------------------


def test_nobody_is_sent_to_the_login(ada: Callable[..., Any]) -> None:
    shop = ada(STRIPE_SUBSCRIPTION_VIEW="login")
    shop.app.login_manager.login_view = "/enter"
    guard(shop)

    response = visit(shop, None)

    assert response.status_code == 302
    assert response.location == "/enter?next=%2Fpage"


def test_nobody_is_refused_without_a_login_view(ada: Callable[..., Any]) -> None:
    shop = ada()
    guard(shop)

    assert visit(shop, None).status_code == 401


def test_nobody_gets_what_the_unauthorized_handler_gives(
    ada: Callable[..., Any],
) -> None:
    shop = ada()
    shop.app.login_manager.unauthorized_handler(lambda: ("who are you", 418))
    guard(shop)

    assert visit(shop, None).text == "who are you"


@pytest.mark.parametrize("accept", [None, "text/html", "application/json"])
def test_redirect_to_the_subscription_view(
    ada: Callable[..., Any], accept: str | None
) -> None:
    shop = ada(STRIPE_SUBSCRIPTION_VIEW="pricing")
    shop.app.add_url_rule("/prices", "pricing", page)
    guard(shop)
    headers = {} if accept is None else {"Accept": accept}

    response = visit(shop, headers=headers)

    assert response.status_code == 302
    assert response.location == "/prices"


@pytest.mark.parametrize(
    "kwargs",
    [
        {"headers": {"Accept": "application/json"}},
        {"headers": {"Accept": "application/json, text/plain, */*"}},
        {"headers": {"Accept": "text/html;q=0.5, application/json"}},
        {"json": {"a": 1}},
    ],
)
def test_402_for_a_json_client(ada: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    shop = ada()
    guard(shop)

    response = visit(shop, **kwargs)

    assert response.status_code == 402
    assert response.json["code"] == "subscription_required"
    assert response.json["error"].endswith(".")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
        {"Accept": "text/html, application/json"},
        {"Accept": "image/png"},
    ],
)
def test_402_for_a_browser(ada: Callable[..., Any], headers: dict[str, str]) -> None:
    shop = ada()
    guard(shop)

    response = visit(shop, headers=headers)

    assert response.status_code == 402
    assert response.mimetype == "text/html"
    assert "subscription" in response.text


# -- forms of views ------------------------------------------------------------------


def test_async_view(ada: Callable[..., Any]) -> None:
    async def view() -> str:
        assert current_subscription
        return current_subscription.id

    shop = ada()
    guard(shop, "pro", view=view)

    assert visit(shop).status_code == 402
    store_subscription(shop)
    assert visit(shop).text == "sub_1"


def test_view_keeps_its_name_and_gets_its_arguments(ada: Callable[..., Any]) -> None:
    @subscription_required
    def report(number: int, *, format: str = "html") -> str:
        """Say what is asked for."""
        return f"{number} {format}"

    shop = ada()
    shop.app.add_url_rule("/report/<int:number>.<format>", view_func=report)
    store_subscription(shop)

    assert report.__name__ == "report"
    assert report.__doc__ == "Say what is asked for."
    assert shop.browser(1).get("/report/7.pdf").text == "7 pdf"


def test_class_based_view(ada: Callable[..., Any]) -> None:
    class Page(MethodView):
        decorators = [subscription_required("pro")]  # noqa: RUF012  # Flask's own way

        def get(self) -> str:
            return "the page"

    shop = ada()
    shop.app.add_url_rule("/page", view_func=Page.as_view("page"))

    assert visit(shop).status_code == 402
    store_subscription(shop)
    assert visit(shop).text == "the page"


def test_view_of_a_blueprint(ada: Callable[..., Any]) -> None:
    bp = Blueprint("reports", __name__)
    bp.get("/page")(subscription_required(page))
    shop = ada()
    shop.app.register_blueprint(bp)

    assert visit(shop).status_code == 402


# -- how much it costs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "fields", "count"),
    [
        pytest.param((), {}, 1, id="any price"),
        pytest.param((), {"status": "unpaid"}, 1, id="any price, not active"),
        pytest.param(("pro",), {}, 1, id="the columns match"),
        pytest.param(("team",), {}, 2, id="the columns do not match"),
        pytest.param(("team",), {"status": "canceled"}, 1, id="nothing runs"),
    ],
)
def test_number_of_queries(
    ada: Callable[..., Any], names: Any, fields: dict[str, str], count: int
) -> None:
    """One loads the user, as on every page with Flask-Login."""
    shop = ada()
    guard(shop, *names)
    store_subscription(shop, **fields)
    browser = shop.browser(1)

    with shop.statements() as statements:
        browser.get("/page")

    assert len(statements) == count, statements


def test_nobody_costs_no_query(ada: Callable[..., Any]) -> None:
    shop = ada()
    guard(shop, "pro")

    with shop.statements() as statements:
        visit(shop, None)

    assert statements == []


# -- current_subscription ------------------------------------------------------------

TEMPLATE = (
    "{% if current_subscription %}{{ current_subscription.id }}"
    " {{ current_subscription.price }} {{ current_subscription.is_active }}"
    "{% else %}none{% endif %}"
    " {{ current_subscription is none }}"
)


def test_current_subscription_in_python(ada: Callable[..., Any]) -> None:
    def view() -> str:
        if not current_subscription:
            return "none"

        return f"{current_subscription.id} {current_subscription.price}"

    shop = ada()
    shop.app.add_url_rule("/page", view_func=view)

    assert visit(shop).text == "none"
    assert visit(shop, None).text == "none"
    store_subscription(shop)
    assert visit(shop).text == "sub_1 pro"
    assert visit(shop, None).text == "none"


def test_current_subscription_in_templates(ada: Callable[..., Any]) -> None:
    shop = ada()
    shop.app.add_url_rule("/page", "page", lambda: render_template_string(TEMPLATE))

    assert visit(shop).text == "none True"
    assert visit(shop, None).text == "none True"
    store_subscription(shop)
    assert visit(shop).text == "sub_1 pro True False"


def test_current_subscription_costs_nothing(ada: Callable[..., Any]) -> None:
    shop = ada()
    shop.app.add_url_rule("/page", "page", lambda: render_template_string(TEMPLATE))
    store_subscription(shop)
    browser = shop.browser(1)

    with shop.statements() as statements:
        browser.get("/page")

    assert len(statements) == 1, "loading the user"


def test_guarded_page_with_its_subscription_costs_no_query_more(
    ada: Callable[..., Any],
) -> None:
    """As many as the same page without guard and subscription."""

    def greeting() -> str:
        return render_template_string("{{ current_user.email }}")

    def status() -> str:
        return render_template_string(
            "{{ current_user.email }} {{ current_subscription.status }}"
        )

    shop = ada()
    shop.app.add_url_rule("/plain", "plain", greeting)
    guard(shop, "pro", view=status)
    store_subscription(shop)
    browser = shop.browser(1)

    with shop.statements() as plain:
        assert browser.get("/plain").text == "ada@example.com"

    with shop.statements() as guarded:
        assert browser.get("/page").text == "ada@example.com active"

    assert len(plain) == 1
    assert guarded == plain


def test_template_of_a_mail_is_rendered_outside_of_a_request(
    ada: Callable[..., Any],
) -> None:
    shop = ada()

    with shop.app.app_context():
        assert render_template_string(TEMPLATE) == "none True"


def test_user_of_another_model_has_no_subscription(ada: Callable[..., Any]) -> None:
    """Such as an administrator; pages must not break for them."""

    class Admin(UserMixin):  # type: ignore[misc]  # Flask-Login is not typed
        id = 1

    shop = ada()
    shop.app.add_url_rule("/page", "page", lambda: render_template_string(TEMPLATE))
    shop.app.add_url_rule("/guarded", "guarded", subscription_required(page))
    store_subscription(shop)
    shop.app.login_manager.user_loader(lambda user_id: Admin())

    assert visit(shop).text == "none True"
    assert shop.browser(1).get("/guarded").status_code == 402
    assert shop.browser(1).get("/auth/stripe/subscription").json == {
        "subscription": None
    }

    for endpoint in ("checkout", "portal"):
        response = shop.browser(1).post(
            f"/auth/stripe/{endpoint}", json={"priceId": "price_1", "returnUrl": "/"}
        )
        assert (response.status_code, response.json["code"]) == (404, "no_customer")
