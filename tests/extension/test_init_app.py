"""Apps of every shape that the extension has to fit."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask import render_template_string
from flask import url_for
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column
from sqlalchemy import ForeignKey
from sqlalchemy import Integer
from sqlalchemy import String
from sqlalchemy import text

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeClient
from flask_kavach_stripe import StripeEventMixin
from flask_kavach_stripe import StripeSubscriptionMixin
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import make_subscription
from flask_kavach_stripe.testing import post_event

API = "https://api.stripe.com/v1"


def make_user_model(db: SQLAlchemy, name: str = "User", **attributes: Any) -> Any:
    """A class as an app defines it."""
    attributes.setdefault("id", Column(Integer, primary_key=True))
    attributes.setdefault("__tablename__", f"{name.lower()}s")
    return type(name, (UserMixin, StripeUserMixin, db.Model), attributes)


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., tuple[Flask, SQLAlchemy]]]:
    """Make an app with a database and a login, and nothing of ours."""
    made: list[tuple[Flask, SQLAlchemy]] = []

    def make(
        db: SQLAlchemy | None = None, *, file: str | None = None, **config: Any
    ) -> tuple[Flask, SQLAlchemy]:
        app = Flask(f"app{len(made)}")
        file = file or f"{len(made)}.db"
        app.config.update(
            {
                "SECRET_KEY": "secret of the tests",
                "TESTING": True,
                "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / file}",
                "STRIPE_SECRET_KEY": "sk_test_1",
                "STRIPE_WEBHOOK_SECRET": "whsec_1",
                "STRIPE_MAX_NETWORK_RETRIES": 0,
                "STRIPE_PRICES": "*",
                "STRIPE_TRIAL_DAYS": 0,
                "STRIPE_TRUSTED_ORIGINS": [],
                **config,
            }
        )
        db = SQLAlchemy() if db is None else db
        db.init_app(app)
        LoginManager(app)
        made.append((app, db))
        return app, db

    yield make

    for app, db in made:
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()


def create_tables(app: Flask, db: SQLAlchemy, *users: Any) -> None:
    with app.app_context():
        db.create_all()
        db.session.add_all(users)
        db.session.commit()


def subscribe(app: Flask, customer: str = "cus_1", **kwargs: Any) -> int:
    """Post a signed event about a new subscription, and give the status."""
    subscription = make_subscription("sub_1", customer=customer)
    event = make_event("customer.subscription.created", subscription)
    return post_event(app.test_client(), event, **kwargs).status_code


def subscription_of(app: Flask, kavach_stripe: KavachStripe, user: Any = 1) -> Any:
    with app.app_context():
        found = kavach_stripe.get_subscription(user)
        return found and found.id


# -- contexts and initialisation -----------------------------------------------------

CALLS: dict[str, Callable[[KavachStripe], object]] = {
    "client": lambda ks: ks.client,
    "create_customer": lambda ks: ks.create_customer(1),
    "get_customer_id": lambda ks: ks.get_customer_id(1),
    "create_checkout_session": lambda ks: ks.create_checkout_session(1, "price_1"),
    "create_portal_session": lambda ks: ks.create_portal_session(1),
    "get_subscription": lambda ks: ks.get_subscription(1),
    "list_subscriptions": lambda ks: ks.list_subscriptions(1),
    "sync_subscription": lambda ks: ks.sync_subscription(1),
    "complete_checkout": lambda ks: ks.complete_checkout("cs_1", 1),
    "handle_webhook": lambda ks: ks.handle_webhook(b"{}", ""),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_app_context(
    make_app: Callable[..., Any], call: Callable[[KavachStripe], object]
) -> None:
    app, _ = make_app()
    kavach_stripe = KavachStripe(app)

    with pytest.raises(RuntimeError, match="Working outside of application context"):
        call(kavach_stripe)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_init_app(
    make_app: Callable[..., Any], call: Callable[[KavachStripe], object]
) -> None:
    app, _ = make_app()

    with app.app_context():
        with pytest.raises(RuntimeError, match="forget to call 'init_app'"):
            call(KavachStripe())


def test_init_app_twice(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    kavach_stripe = KavachStripe(app)

    with pytest.raises(RuntimeError, match="already registered on this app"):
        kavach_stripe.init_app(app)


def test_two_extensions_on_one_app(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    KavachStripe(app)

    with pytest.raises(RuntimeError, match="already registered on this app"):
        KavachStripe(app)


def test_wrong_configuration_can_be_mended(make_app: Callable[..., Any]) -> None:
    app, _ = make_app(STRIPE_TRIAL_DAYS=-1)
    kavach_stripe = KavachStripe()

    with pytest.raises(ConfigurationError, match=r"'STRIPE_TRIAL_DAYS'.*-1"):
        kavach_stripe.init_app(app)

    app.config["STRIPE_TRIAL_DAYS"] = 1
    kavach_stripe.init_app(app)
    assert "kavach_stripe" in app.extensions


def test_no_database(make_app: Callable[..., Any]) -> None:
    app = Flask("bare")
    app.config.update(STRIPE_SECRET_KEY="sk_test_1")

    with pytest.raises(ConfigurationError, match=r"'SQLAlchemy\(app\)'"):
        KavachStripe(app)

    assert "kavach_stripe" not in app.extensions


@pytest.mark.parametrize("way", ["constructor", "init_app"])
def test_database_is_given(make_app: Callable[..., Any], way: str) -> None:
    app, db = make_app()
    model = make_user_model(db)

    if way == "constructor":
        kavach_stripe = KavachStripe(app, db, model)
    else:
        kavach_stripe = KavachStripe()
        kavach_stripe.init_app(app, db, model)

    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe) == "sub_1"


def test_factory(make_app: Callable[..., Any]) -> None:
    """Handlers and models at import time, apps later; as often as asked for."""
    db = SQLAlchemy()
    kavach_stripe = KavachStripe()
    model = make_user_model(db)
    handled: list[str] = []

    @kavach_stripe.on("invoice.paid")
    def remember(event: Event) -> None:
        handled.append(event.type)

    for _ in range(2):
        app, _ = make_app(db)
        kavach_stripe.init_app(app)
        create_tables(app, db, model(stripe_customer_id="cus_1"))
        assert subscribe(app) == 200
        post_event(app.test_client(), make_event("invoice.paid", {"id": "in_1"}))

    assert handled == ["invoice.paid"] * 2


# -- several apps --------------------------------------------------------------------


def test_two_apps_share_nothing(
    make_app: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    apps, models = [], []
    stripe_api.post(f"{API}/customers", json={"id": "cus_new"})

    for number in (1, 2):
        app, db = make_app(
            STRIPE_SECRET_KEY=f"sk_test_{number}",
            STRIPE_WEBHOOK_SECRET=f"whsec_{number}",
            STRIPE_URL_PREFIX=f"/stripe{number}",
        )
        kavach_stripe = KavachStripe(app)
        model = make_user_model(db)
        create_tables(app, db, model(stripe_customer_id="cus_1"), model())
        apps.append((app, kavach_stripe))
        models.append(model)  # SQLAlchemy forgets classes that nobody holds

    (one, one_stripe), (two, two_stripe) = apps
    one_stripe.on("*")(lambda event: pytest.fail("the handler of another app"))

    assert subscribe(two, secret="whsec_1") == 400
    assert subscribe(two, secret="whsec_2") == 200
    assert subscription_of(one, one_stripe) is None
    assert subscription_of(two, two_stripe) == "sub_1"
    assert one.test_client().post("/stripe2/webhook").status_code == 404

    for app, kavach_stripe in apps:
        with app.app_context():
            kavach_stripe.create_customer(2)

    keys = [call.request.headers["Authorization"] for call in stripe_api.calls]
    assert keys == ["Bearer sk_test_1", "Bearer sk_test_2"]


def test_one_extension_on_two_apps(
    make_app: Callable[..., Any], stripe_api: responses.RequestsMock
) -> None:
    """The handlers are shared, all else is not."""
    kavach_stripe = KavachStripe()
    handled: list[tuple[str, Any]] = []
    kavach_stripe.on("customer.*")(
        lambda event: handled.append((event.type, type(event.user)))
    )
    apps = []

    for number in (1, 2):
        app, db = make_app(STRIPE_SECRET_KEY=f"sk_test_{number}")
        kavach_stripe.init_app(app)
        model = make_user_model(db)
        create_tables(app, db, model(stripe_customer_id="cus_1"))
        apps.append((app, model))

    stripe_api.get(f"{API}/prices", json={})

    assert subscribe(apps[1][0]) == 200
    assert subscription_of(apps[0][0], kavach_stripe) is None
    assert subscription_of(apps[1][0], kavach_stripe) == "sub_1"
    assert subscribe(apps[0][0]) == 200
    assert handled == [
        ("customer.subscription.created", apps[1][1]),
        ("customer.subscription.created", apps[0][1]),
    ]

    for app, _ in apps:
        with app.app_context():
            kavach_stripe.client.get("/v1/prices")

    keys = [call.request.headers["Authorization"] for call in stripe_api.calls]
    assert keys == ["Bearer sk_test_1", "Bearer sk_test_2"]


@pytest.mark.parametrize("extensions", [1, 2])
def test_one_database_object_on_two_apps(
    make_app: Callable[..., Any], extensions: int
) -> None:
    db = SQLAlchemy()
    model = make_user_model(db)
    made = [KavachStripe() for _ in range(extensions)]
    apps = [make_app(db)[0] for _ in range(2)]

    for app, kavach_stripe in zip(apps, made * 2, strict=False):
        kavach_stripe.init_app(app)
        create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(apps[1]) == 200
    assert subscription_of(apps[0], made[0]) is None
    assert subscription_of(apps[1], made[-1]) == "sub_1"
    assert sorted(db.metadata.tables) == [
        "stripe_event",
        "stripe_subscription",
        "users",
    ]
    states = [app.extensions["kavach_stripe"] for app in apps]
    assert states[0].event_model is states[1].event_model
    assert states[0].subscription_model is states[1].subscription_model


# -- the user model ------------------------------------------------------------------


def test_user_model_is_defined_after_init_app(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe) == "sub_1"


def test_no_user_model(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    create_tables(app, db)

    with app.app_context():
        with pytest.raises(ConfigurationError, match="No model with 'StripeUserMixin'"):
            kavach_stripe.get_subscription(1)

    assert subscribe(app) >= 500


def test_user_model_may_come_after_the_first_error(
    make_app: Callable[..., Any],
) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    create_tables(app, db)

    with app.app_context():
        with pytest.raises(ConfigurationError):
            kavach_stripe.get_subscription(1)

    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))
    assert subscribe(app) == 200


def test_two_user_models(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    models = [make_user_model(db, name) for name in ("Buyer", "Seller")]

    with app.app_context():
        with pytest.raises(ConfigurationError, match="'Buyer', 'Seller'"):
            kavach_stripe.get_subscription(models[0]())


@pytest.mark.parametrize("way", ["constructor", "init_app"])
def test_one_of_two_user_models_is_given(
    make_app: Callable[..., Any], way: str
) -> None:
    app, db = make_app()
    buyer, seller = make_user_model(db, "Buyer"), make_user_model(db, "Seller")

    if way == "constructor":
        kavach_stripe = KavachStripe(app, user_model=seller)
    else:
        kavach_stripe = KavachStripe(user_model=buyer)
        kavach_stripe.init_app(app, user_model=seller)

    customers = [each(stripe_customer_id="cus_1") for each in (buyer, seller)]
    create_tables(app, db, *customers)

    assert subscribe(app) == 200

    with app.app_context():
        assert db.session.get(seller, 1).stripe_subscription_id == "sub_1"
        assert db.session.get(buyer, 1).stripe_subscription_id is None


def test_model_of_another_database_does_not_count(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    _, other_db = make_app()
    stranger, model = make_user_model(other_db, "Stranger"), make_user_model(db)
    kavach_stripe = KavachStripe(app)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe) == "sub_1"
    assert not issubclass(stranger, db.Model)


def exercise(app: Flask, db: SQLAlchemy, user: Any, other: Any = None) -> None:
    """Go through what touches the user's table: link, store, replace, end."""
    kavach_stripe = KavachStripe(app)
    create_tables(app, db, user, *([] if other is None else [other]))

    with app.app_context(), responses.RequestsMock() as stripe_api:
        user = db.session.merge(user)
        stripe_api.post(f"{API}/customers", json={"id": "cus_1"})
        assert kavach_stripe.create_customer(user) == "cus_1"
        assert user.stripe_customer_id == "cus_1"
        user_id = user.id

    told: list[Any] = []
    kavach_stripe.on_subscription_change(
        lambda user, subscription: told.append((user.id, subscription.status))
    )
    assert subscribe(app) == 200
    assert subscription_of(app, kavach_stripe, user_id) == "sub_1"

    with app.app_context():
        assert [s.id for s in kavach_stripe.list_subscriptions(user_id)] == ["sub_1"]

    deleted = make_event("customer.deleted", {"id": "cus_1", "object": "customer"})
    assert post_event(app.test_client(), deleted).status_code == 200
    assert told == [(user_id, "active"), (user_id, "canceled")]

    with app.app_context():
        loaded = db.session.merge(user)
        db.session.refresh(loaded)
        assert loaded.stripe_customer_id is None
        assert loaded.stripe_subscription_status == "canceled"


@pytest.mark.parametrize("which", ["base", "subclass"])
def test_single_table_inheritance(make_app: Callable[..., Any], which: str) -> None:
    app, db = make_app()
    base = make_user_model(
        db,
        kind=Column(String(10)),
        __mapper_args__={"polymorphic_on": "kind", "polymorphic_identity": "user"},
    )
    subclass = type(
        "Admin", (base,), {"__mapper_args__": {"polymorphic_identity": "a"}}
    )

    exercise(app, db, base() if which == "base" else subclass(), subclass())


@pytest.mark.parametrize("which", ["base", "subclass"])
def test_joined_inheritance(make_app: Callable[..., Any], which: str) -> None:
    app, db = make_app()
    base = make_user_model(
        db,
        kind=Column(String(10)),
        __mapper_args__={"polymorphic_on": "kind", "polymorphic_identity": "user"},
    )
    subclass = type(
        "Admin",
        (base,),
        {
            "__tablename__": "admins",
            "__mapper_args__": {"polymorphic_identity": "admin"},
            "id": Column(Integer, ForeignKey("users.id"), primary_key=True),
        },
    )

    exercise(app, db, base() if which == "base" else subclass(), subclass())


def test_joined_inheritance_where_only_the_subclass_pays(
    make_app: Callable[..., Any],
) -> None:
    """The mixin's columns are in a table that has no key of its own."""
    app, db = make_app()
    base: Any = type(
        "Person",
        (UserMixin, db.Model),
        {
            "__tablename__": "people",
            "id": Column(Integer, primary_key=True),
            "kind": Column(String(10)),
            "__mapper_args__": {
                "polymorphic_on": "kind",
                "polymorphic_identity": "person",
            },
        },
    )
    subclass: Any = type(
        "Buyer",
        (StripeUserMixin, base),
        {
            "__tablename__": "buyers",
            "__mapper_args__": {"polymorphic_identity": "buyer"},
            "id": Column(Integer, ForeignKey("people.id"), primary_key=True),
        },
    )

    exercise(app, db, subclass(), base())


def test_mixin_on_an_abstract_base(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    base: Any = type(
        "Base",
        (UserMixin, StripeUserMixin, db.Model),
        {"__abstract__": True, "id": Column(Integer, primary_key=True)},
    )
    model = type("User", (base,), {"__tablename__": "users"})

    exercise(app, db, model())


def test_primary_key_of_two_columns(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    model = make_user_model(db, tenant=Column(Integer, primary_key=True))

    with app.app_context():
        with pytest.raises(ConfigurationError, match="'User' must be one column"):
            kavach_stripe.get_subscription(model())


# -- the two tables ------------------------------------------------------------------


def test_tables_define_themselves(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    KavachStripe(app)

    assert sorted(db.metadata.tables) == ["stripe_event", "stripe_subscription"]


def make_own_models(db: SQLAlchemy) -> tuple[Any, Any]:
    names = {"__tablename__": "log", "extra": Column(String(10))}
    event_model = type("Log", (StripeEventMixin, db.Model), names)
    names = {"__tablename__": "abos", "extra": Column(String(10))}
    return event_model, type("Abo", (StripeSubscriptionMixin, db.Model), names)


@pytest.mark.parametrize("given", [True, False])
def test_own_models(make_app: Callable[..., Any], given: bool) -> None:
    """Given, or mapped before ``init_app``."""
    app, db = make_app()
    event_model, subscription_model = make_own_models(db)
    kavach_stripe = KavachStripe(
        event_model=event_model if given else None,
        subscription_model=subscription_model if given else None,
    )
    kavach_stripe.init_app(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert sorted(db.metadata.tables) == ["abos", "log", "users"]

    with app.app_context():
        assert db.session.query(event_model).one().user_id == "1"
        assert db.session.query(subscription_model).one().id == "sub_1"


def test_own_model_for_one_of_the_two(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    model = type("Log", (StripeEventMixin, db.Model), {"__tablename__": "log"})
    KavachStripe(app)

    assert app.extensions["kavach_stripe"].event_model is model
    assert sorted(db.metadata.tables) == ["log", "stripe_subscription"]


def test_two_own_models(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    models = [
        type(name, (StripeEventMixin, db.Model), {"__tablename__": name.lower()})
        for name in ("Log", "Ledger")
    ]

    with pytest.raises(ConfigurationError, match="'Ledger', 'Log'"):
        KavachStripe(app)

    assert "kavach_stripe" not in app.extensions
    assert len(models) == 2  # SQLAlchemy forgets classes that nobody holds


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("DROP TABLE stripe_event", "stripe_event"),
        ("DROP TABLE stripe_subscription", "stripe_subscription"),
        ("DROP TABLE users", "users"),
        (
            "ALTER TABLE users DROP COLUMN stripe_cancel_at_period_end",
            "users.stripe_cancel_at_period_end",
        ),
        (
            "ALTER TABLE stripe_subscription DROP COLUMN revision",
            "stripe_subscription.revision",
        ),
    ],
)
def test_missing_table(
    make_app: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    statement: str,
    name: str,
) -> None:
    app, db = make_app()
    KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    with app.app_context():
        db.session.execute(text(statement))
        db.session.commit()

    assert subscribe(app) == 500
    [record] = [r for r in caplog.records if r.name.startswith("flask_kavach_stripe")]
    assert f"lacks {name}." in record.getMessage()
    assert "flask db migrate" in record.getMessage()


# -- what an app sees ----------------------------------------------------------------


def test_names(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    KavachStripe(app)

    assert "kavach_stripe" in app.extensions
    assert "kavach_stripe" in app.blueprints
    rules = {
        rule.endpoint: (rule.rule, sorted((rule.methods or set()) - {"OPTIONS"}))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("kavach_stripe.")
    }
    assert rules == {
        "kavach_stripe.checkout": ("/auth/stripe/checkout", ["POST"]),
        "kavach_stripe.portal": ("/auth/stripe/portal", ["POST"]),
        "kavach_stripe.subscription": ("/auth/stripe/subscription", ["GET", "HEAD"]),
        "kavach_stripe.webhook": ("/auth/stripe/webhook", ["POST"]),
    }
    names = {app.view_functions[endpoint].__name__ for endpoint in rules}
    assert names == {"checkout", "portal", "subscription", "webhook"}


@pytest.mark.parametrize(
    ("prefix", "path"),
    [("/billing", "/billing/webhook"), ("/a/b/", "/a/b/webhook"), ("/", "/webhook")],
)
def test_url_prefix(make_app: Callable[..., Any], prefix: str, path: str) -> None:
    app, db = make_app(STRIPE_URL_PREFIX=prefix)
    KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    with app.test_request_context():
        assert url_for("kavach_stripe.webhook") == path

    assert subscribe(app) == 200


def test_commands_are_registered(make_app: Callable[..., Any]) -> None:
    app, _ = make_app()
    KavachStripe(app)

    assert "stripe" in app.cli.commands


def test_client(make_app: Callable[..., Any]) -> None:
    app, _ = make_app(STRIPE_API_BASE="http://localhost:1/", STRIPE_TIMEOUT=[1, 2])
    kavach_stripe = KavachStripe(app)

    with app.app_context():
        client = kavach_stripe.client
        assert isinstance(client, StripeClient)
        assert client is kavach_stripe.client
        assert client.base_url == "http://localhost:1"
        assert client.timeout == (1, 2)
        assert client.max_network_retries == 0


def test_secrets_are_in_no_repr(make_app: Callable[..., Any]) -> None:
    app, _ = make_app(
        STRIPE_SECRET_KEY="sk_test_hidden", STRIPE_WEBHOOK_SECRET="whsec_hidden"
    )
    kavach_stripe = KavachStripe(app)
    state = app.extensions["kavach_stripe"]

    for each in (kavach_stripe, state, state.settings, state.client, vars(state)):
        assert "hidden" not in repr(each) + str(each)


def test_app_without_a_login(make_app: Callable[..., Any]) -> None:
    """Webhooks and pages work; what needs a user says what is missing."""
    app, db = make_app()
    del app.login_manager
    KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))
    app.template_context_processors[None].remove(
        next(
            each
            for each in app.template_context_processors[None]
            if each.__module__.startswith("flask_login")
        )
    )
    app.add_url_rule(
        "/", "page", lambda: render_template_string("{{ current_subscription }}")
    )

    assert subscribe(app) == 200
    assert app.test_client().get("/").text == "None"

    with pytest.raises(RuntimeError, match=r"'LoginManager\(app\)'"):
        app.test_client().post("/auth/stripe/checkout", json={})


def test_login_may_be_initialised_last(make_app: Callable[..., Any]) -> None:
    app, db = make_app()
    del app.login_manager
    KavachStripe(app)
    LoginManager(app)
    model = make_user_model(db)
    create_tables(app, db, model())

    with app.test_request_context():
        login_user(db.session.get(model, 1))
        assert render_template_string("{{ current_subscription }}") == "None"


# -- handlers ------------------------------------------------------------------------


@pytest.mark.parametrize("event_types", [(), ("",), (1,), (None,), ("a", ["b"])])
def test_wrong_event_types(event_types: Any) -> None:
    with pytest.raises(TypeError, match=r"@kavach_stripe\.on\("):
        KavachStripe().on(*event_types)


def test_on_without_parentheses() -> None:
    """Else the handler would never run, and nobody would know."""

    def handler(event: Event) -> None: ...

    wrong: Any = handler

    with pytest.raises(TypeError, match=r"@kavach_stripe\.on\("):
        KavachStripe().on(wrong)


def test_decorators_return_the_function() -> None:
    kavach_stripe = KavachStripe()

    def handler(*args: Any) -> None: ...

    assert kavach_stripe.on("invoice.paid")(handler) is handler
    assert kavach_stripe.on_subscription_change(handler) is handler


def test_subscription_handler_is_given_to_the_constructor(
    make_app: Callable[..., Any],
) -> None:
    told: list[str] = []
    app, db = make_app()
    kavach_stripe = KavachStripe(
        app, on_subscription_change=lambda user, subscription: told.append("first")
    )
    kavach_stripe.on_subscription_change(lambda *args: told.append("second"))
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))

    assert subscribe(app) == 200
    assert told == ["first", "second"]


def test_handler_may_be_registered_after_init_app(
    make_app: Callable[..., Any],
) -> None:
    app, db = make_app()
    kavach_stripe = KavachStripe(app)
    model = make_user_model(db)
    create_tables(app, db, model(stripe_customer_id="cus_1"))
    handled: list[str] = []
    assert subscribe(app) == 200
    kavach_stripe.on("invoice.paid")(lambda event: handled.append(event.type))

    post_event(app.test_client(), make_event("invoice.paid", {"id": "in_1"}))

    assert handled == ["invoice.paid"]
