"""What ``current_subscription`` and guards do to a page that fails."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask import render_template_string
from flask_login import current_user
from flask_sqlalchemy import SQLAlchemy

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import subscription_required


def test_error_page_is_rendered_when_the_database_failed(make_shop: Any) -> None:
    shop = make_shop()
    shop.add_user(stripe_customer_id="cus_ada")
    shop.app.config["PROPAGATE_EXCEPTIONS"] = False

    @shop.app.get("/page")  # type: ignore[untyped-decorator]  # Any
    def page() -> str:
        assert current_user.id == 1
        shop.db.session.add(shop.Note())  # no text: the flush fails
        shop.db.session.flush()
        return "unreachable"

    @shop.app.errorhandler(500)  # type: ignore[untyped-decorator]  # Any
    def sorry(error: Exception) -> tuple[str, int]:
        return render_template_string("sorry {{ current_subscription is none }}"), 500

    response = shop.browser(1).get("/page")
    assert (response.status_code, response.text) == (500, "sorry True")


def test_page_of_an_app_without_a_model_is_rendered() -> None:
    app = Flask("no model")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", SECRET_KEY="secret")
    SQLAlchemy(app)
    KavachStripe(app)
    app.add_url_rule("/", "page", lambda: render_template_string("a page"))
    assert app.test_client().get("/").text == "a page"


def test_guard_with_an_unknown_name_says_so_to_anybody(kept_shop: Any) -> None:
    def view() -> str:
        return "in"

    guarded = subscription_required("nope")(view)

    with (
        kept_shop.app.test_request_context(),
        pytest.raises(RuntimeError, match="'nope'"),
    ):
        guarded()
