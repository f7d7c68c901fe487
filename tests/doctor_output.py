"""Write what ``flask stripe doctor`` prints for broken set-ups, for the documentation.

    python -m tests.doctor_output

Each set-up is broken in one way. Of a broken one, the lines that say ``ok`` are left
out. A set-up that does not start is shown with the last line of the traceback.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from typing import Final
from typing import NamedTuple

import responses
from click.testing import CliRunner
from flask import Flask
from flask.cli import FlaskGroup
from flask_login import LoginManager
from sqlalchemy import text

from flask_kavach_stripe import subscription_required
from flask_kavach_stripe.testing import make_subscription
from tests.conftest import Shop
from tests.operations.healthy_stripe import answer_list
from tests.operations.healthy_stripe import answer_portal
from tests.operations.healthy_stripe import make_endpoint
from tests.operations.healthy_stripe import make_price
from tests.vocabulary import API
from tests.vocabulary import mark

OUTPUT: Final = Path(__file__).parent.parent / "docs" / "doctor.txt"


def _nothing(shop: Shop) -> None:
    """Leave the app as it is."""


class Case(NamedTuple):
    """A set-up."""

    #: What is broken, in the terms of the app.
    title: str
    #: What the configuration has beside that of a healthy app.
    config: Mapping[str, Any] = {}
    #: Breaks the app.
    prepare: Callable[[Shop], object] = _nothing
    #: By path: what Stripe's lists have, if not what a healthy one has.
    lists: Mapping[str, Any] = {}
    #: By id: the prices that Stripe has.
    prices: Mapping[str, Any] = {"price_pro": make_price()}


def _view() -> str:
    return "a page"


def _guard(shop: Shop) -> None:
    guarded = subscription_required("proo")(_view)
    shop.app.add_url_rule("/reports", "reports", guarded)


def _pricing(shop: Shop) -> None:
    shop.app.add_url_rule("/pricing", "pricing", _view)


def _login_wall(shop: Any) -> None:
    shop.app.login_manager.login_view = "/login"
    shop.app.before_request(shop.app.login_manager.unauthorized)


def _csrf(shop: Shop) -> None:
    shop.app.before_request(lambda: ("The CSRF token is missing.", 400))


def _no_login_manager(shop: Any) -> None:
    del shop.app.login_manager


def _add_customer_of_another_account(shop: Shop) -> None:
    shop.add_user(stripe_customer_id="cus_of_another_account")


def _drop_table(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.session.execute(text("DROP TABLE stripe_event"))
        shop.db.session.commit()


CASES: Final = (
    Case("All is well."),
    Case(
        "STRIPE_WEBHOOK_SECRET has a secret key",
        {"STRIPE_WEBHOOK_SECRET": "sk_test_x"},
    ),
    Case(
        "STRIPE_WEBHOOK_SECRET has quotation marks around it",
        {"STRIPE_WEBHOOK_SECRET": '"whsec_x"'},
    ),
    Case(
        "STRIPE_SECRET_KEY has quotation marks around it",
        {"STRIPE_SECRET_KEY": "'sk_test_x'"},
    ),
    Case("STRIPE_SECRET_KEY is not set", {"STRIPE_SECRET_KEY": ""}),
    Case("STRIPE_WEBHOOK_SECRET is not set", {"STRIPE_WEBHOOK_SECRET": ""}),
    Case("STRIPE_TRAIL_DAYS = 14", {"STRIPE_TRAIL_DAYS": 14}),
    Case("flask db upgrade was not run", prepare=_drop_table),
    Case("There is no LoginManager", prepare=_no_login_manager),
    Case("There is no user_loader", prepare=lambda shop: LoginManager(shop.app)),
    Case(
        'STRIPE_SUBSCRIPTION_VIEW = "pricng"',
        {"STRIPE_SUBSCRIPTION_VIEW": "pricng"},
        _pricing,
    ),
    Case('@subscription_required("proo")', prepare=_guard),
    Case("Every page wants a log-in, the webhook too", prepare=_login_wall),
    Case("A CSRF protection of another kind than Flask-WTF's", prepare=_csrf),
    Case(
        "With a live key, there is no endpoint at Stripe",
        {"STRIPE_SECRET_KEY": "sk_live_x"},
        lists={"webhook_endpoints": ()},
    ),
    Case("Only 'stripe listen' brings events", lists={"webhook_endpoints": ()}),
    Case(
        '@kavach_stripe.on("customer.subscription.update")',
        prepare=lambda shop: shop.kavach_stripe.on("customer.subscription.update")(
            print
        ),
    ),
    Case(
        "The portal was never configured", lists={"billing_portal/configurations": ()}
    ),
    Case("STRIPE_PRICES names a price that Stripe does not have", prices={}),
    Case(
        "STRIPE_PRICES has an entry without a price id",
        {"STRIPE_PRICES": {"pro": "price_pro", "team": None}},
    ),
    Case(
        "The key is one of another Stripe account",
        prepare=_add_customer_of_another_account,
    ),
    Case(
        "Somebody pays whom no user has, as after a backup was restored",
        lists={
            "subscriptions": (
                make_subscription(customer="cus_ada", metadata=mark(1, "cus_ada")),
            )
        },
    ),
)


def render() -> str:
    """The text of the file. Nothing in it changes from one run to the next."""
    logging.disable()  # warnings are for the log, which is not shown

    try:
        return "\n".join(
            _render_case(case, is_first=case is CASES[0]) for case in CASES
        )
    finally:
        logging.disable(logging.NOTSET)


def _render_case(case: Case, *, is_first: bool) -> str:
    lines = [
        line
        for line in _run_doctor(case)
        if line.strip() and (is_first or not line.startswith("ok "))
    ]
    return "\n".join([f"# {case.title}", "$ flask stripe doctor", *lines, ""])


def _run_doctor(case: Case) -> list[str]:
    """Run the command as a terminal does: Flask loads the app, which may fail."""
    config = {"STRIPE_PRICES": {"pro": "price_pro"}, **case.config}
    shops: list[Shop] = []

    with TemporaryDirectory() as folder, responses.RequestsMock(False) as mock:
        _answer(mock, case)

        def create_app() -> Flask:
            shop = Shop(f"sqlite:///{folder}/shop.db", **config)
            shops.append(shop)
            case.prepare(shop)
            return shop.app

        group = FlaskGroup(create_app=create_app, load_dotenv=False)

        try:
            result = CliRunner().invoke(group, ["stripe", "doctor"])
        finally:
            for shop in shops:
                shop.close()

    if result.exception is None or isinstance(result.exception, SystemExit):
        return result.output.splitlines()

    return "".join(traceback.format_exception_only(result.exception)).splitlines()


def _answer(mock: responses.RequestsMock, case: Case) -> None:
    """Have Stripe answer."""
    lists = {
        "subscriptions": (),
        "webhook_endpoints": (make_endpoint(),),
        **case.lists,
    }

    for name, data in lists.items():
        answer_list(mock, name, data)

    if "billing_portal/configurations" not in lists:
        answer_portal(mock)

    for price_id, price in case.prices.items():
        mock.get(f"{API}/prices/{price_id}", json=price)

    for path in ("prices/price_pro", "customers/cus_of_another_account"):
        refusal = {"message": "There is no such object.", "code": "resource_missing"}
        mock.get(f"{API}/{path}", json={"error": refusal}, status=404)


if __name__ == "__main__":
    OUTPUT.write_text(render(), "utf-8")
