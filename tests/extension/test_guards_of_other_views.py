"""``subscription_required`` on views that are no plain functions of a finished app."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask import jsonify
from flask import make_response
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from flask_sqlalchemy import SQLAlchemy
from werkzeug.wrappers import Response as WerkzeugResponse

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import subscription_required
from tests.extension.apps import make_user_model
from tests.vocabulary import store_subscription

JSON = {"Accept": "application/json"}
MISSING = {
    "error": "This needs an active subscription.",
    "code": "subscription_required",
}


class Resource(MethodView):
    """As in Flask-RESTful: only a response passes, all else is data to serialise."""

    def dispatch_request(self, **kwargs: Any) -> ResponseReturnValue:
        result: Any = super().dispatch_request(**kwargs)

        if isinstance(result, WerkzeugResponse):
            return result

        data, status = result if isinstance(result, tuple) else (result, 200)
        return make_response(jsonify(data), status)


class Report(Resource):
    @subscription_required
    def get(self) -> Any:
        return {"rows": 3}


class Page(MethodView):
    @subscription_required("pro")
    def get(self) -> str:
        return "the page"


def serving(make_shop: Any, **config: Any) -> Any:
    """An app with both views and a page of prices, and Ada."""
    shop = make_shop(STRIPE_PRICES={"pro": "price_pro"}, **config)
    shop.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    shop.app.add_url_rule("/pricing", "pricing", lambda: "the prices")
    shop.app.add_url_rule("/report", view_func=Report.as_view("report"))
    shop.app.add_url_rule("/page", view_func=Page.as_view("page"))
    return shop


def test_subscriber_sees_a_resource(make_shop: Any) -> None:
    shop = serving(make_shop)
    store_subscription(shop)

    assert shop.browser(1).get("/report").json == {"rows": 3}
    assert shop.browser(1).get("/page").text == "the page"


@pytest.mark.parametrize("path", ["/report", "/page"])
def test_user_without_a_subscription_gets_402(make_shop: Any, path: str) -> None:
    browser = serving(make_shop).browser(1)

    as_text, as_json = browser.get(path), browser.get(path, headers=JSON)

    assert (as_text.status_code, as_text.text) == (402, MISSING["error"])
    assert (as_json.status_code, as_json.json) == (402, MISSING)


@pytest.mark.parametrize("path", ["/report", "/page"])
def test_user_without_a_subscription_is_redirected(make_shop: Any, path: str) -> None:
    shop = serving(make_shop, STRIPE_SUBSCRIPTION_VIEW="pricing")

    answer = shop.browser(1).get(path)

    assert (answer.status_code, answer.location) == (302, "/pricing")


def test_answer_to_logged_out_people_passes_through_a_resource(make_shop: Any) -> None:
    shop = serving(make_shop)
    shop.app.login_manager.unauthorized_handler(lambda: ("Log in first.", 401))

    answer = shop.browser().get("/report")

    assert (answer.status_code, answer.text) == (401, "Log in first.")


def test_guard_without_flask_login_says_what_to_do() -> None:
    app = Flask("app")
    app.config.update(
        TESTING=True,
        SQLALCHEMY_DATABASE_URI="sqlite://",
        STRIPE_PRICES={"pro": "price_pro"},
    )
    make_user_model(SQLAlchemy(app))
    KavachStripe(app)
    app.add_url_rule("/page", view_func=Page.as_view("page"))

    with pytest.raises(ConfigurationError, match=r"Call 'LoginManager\(app\)'"):
        app.test_client().get("/page")
