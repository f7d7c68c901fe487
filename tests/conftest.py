"""A small app as a user of the extension writes it, and what its tests need."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy.event import listen
from sqlalchemy.event import remove
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from werkzeug.test import TestResponse

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import post_event
from tests.vocabulary import APP_SECRET
from tests.vocabulary import SECRET_KEY
from tests.vocabulary import WEBHOOK_SECRET


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a report with a lone surrogate, such as a log of one, reach pytest-xdist.

    A worker sends its reports in UTF-8, and would end at the first of these.
    """
    return _encodable((yield))


def _encodable(data: Any) -> Any:
    """The same data with lone surrogates as escapes."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()

    if isinstance(data, dict):
        return {_encodable(key): _encodable(value) for key, value in data.items()}

    if isinstance(data, list | tuple):
        return type(data)(map(_encodable, data))

    return data


class Shop:
    """An app with its parts, and the ways into it from outside."""

    def __init__(
        self,
        database_uri: str,
        *,
        prepare: Callable[[Flask], object] | None = None,
        **config: Any,
    ) -> None:
        self.app = Flask("shop")
        self.app.config.update(
            {
                "SECRET_KEY": APP_SECRET,
                "TESTING": True,
                "SQLALCHEMY_DATABASE_URI": database_uri,
                "STRIPE_SECRET_KEY": SECRET_KEY,
                "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "STRIPE_MAX_NETWORK_RETRIES": 0,
                **config,
            }
        )

        if prepare is not None:  # another extension, initialised before ours
            prepare(self.app)

        self.db = db = SQLAlchemy(self.app)
        login_manager = LoginManager(self.app)

        class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)
            email: Mapped[str | None] = mapped_column(String(255))

        class Note(db.Model):  # type: ignore[name-defined, misc]  # as above
            """What handlers write."""

            id: Mapped[int] = mapped_column(primary_key=True)
            text: Mapped[str] = mapped_column(String(255))

        self.User = User
        self.Note = Note
        self.kavach_stripe = KavachStripe(self.app)

        def load_user(user_id: str) -> Any:
            return db.session.get(User, int(user_id))

        login_manager.user_loader(load_user)

        @self.app.post("/login/<int:user_id>")
        def login(user_id: int) -> str:
            login_user(db.session.get(User, user_id))
            return "in"

        with self.app.app_context():
            if db.engine.name == "sqlite":
                listen(db.engine, "connect", _trust_the_power_supply)

            db.create_all()

    def close(self) -> None:
        with self.app.app_context():
            if self.db.engine.name != "sqlite":  # that file goes with its folder
                self.db.drop_all()

        self.dispose()

    def dispose(self) -> None:
        """Close the connections."""
        with self.app.app_context():
            for engine in self.db.engines.values():
                engine.dispose()

    def reset(self) -> None:
        """Empty the tables and forget the handlers."""
        self.app.extensions["kavach_stripe"].registry.__init__()

        with self.app.app_context(), self.db.engine.begin() as connection:
            for table in self.db.metadata.tables.values():
                connection.execute(table.delete())

    def add_user(self, **columns: Any) -> int:
        """Store a user, and give the primary key."""
        with self.app.app_context():
            user = self.User(**columns)
            self.db.session.add(user)
            self.db.session.commit()
            return int(user.id)

    def columns(self, user_id: int = 1) -> dict[str, Any]:
        """The six columns, without the ``stripe_`` before their names."""
        with self.app.app_context():
            user = self.db.session.get(self.User, user_id)
            return {
                name.removeprefix("stripe_"): getattr(user, name)
                for name in (
                    "stripe_customer_id",
                    "stripe_subscription_id",
                    "stripe_subscription_status",
                    "stripe_price_id",
                    "stripe_current_period_end",
                    "stripe_cancel_at_period_end",
                )
            }

    def rows(self, model: Any) -> list[Any]:
        """All rows of a model, loaded and detached."""
        with self.app.app_context():
            found = list(self.db.session.scalars(self.db.select(model)))
            self.db.session.expunge_all()
            return found

    @property
    def events(self) -> list[Any]:
        """The ledger."""
        return self.rows(self.app.extensions["kavach_stripe"].event_model)

    @property
    def subscriptions(self) -> list[Any]:
        """The rows of the subscriptions."""
        return self.rows(self.app.extensions["kavach_stripe"].subscription_model)

    @property
    def notes(self) -> list[str]:
        """What handlers wrote."""
        return [note.text for note in self.rows(self.Note)]

    def note(self, text: str) -> None:
        """Write a row, as a handler does."""
        self.db.session.add(self.Note(text=text))

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the SQL that the database is sent."""
        collected: list[str] = []

        def collect(connection: Any, cursor: Any, statement: str, *args: Any) -> None:
            collected.append(statement)

        with self.app.app_context():
            engine = self.db.engine

        listen(engine, "before_cursor_execute", collect)

        try:
            yield collected
        finally:
            remove(engine, "before_cursor_execute", collect)

    def browser(self, user_id: int | None = None) -> FlaskClient:
        """A browser, logged in as a user."""
        client = self.app.test_client()

        if user_id is not None:
            client.post(f"/login/{user_id}")

        return client

    def post_event(self, event: Any, **kwargs: Any) -> TestResponse:
        """Send a really signed webhook."""
        return post_event(self.app.test_client(), event, **kwargs)


def _trust_the_power_supply(connection: Any, record: Any) -> None:
    """Do not wait for the disk: still a real file with real locks, ten times faster."""
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[Any]:
    """Make apps with a configuration of their own."""
    shops: list[Shop] = []

    def make(**config: Any) -> Shop:
        path = tmp_path / f"shop{len(shops)}.db"
        config = {"STRIPE_PRICES": "*", "STRIPE_TRIAL_DAYS": 30, **config}
        shops.append(Shop(f"sqlite:///{path}", **config))
        return shops[-1]

    yield make

    for shop in shops:
        shop.close()


@pytest.fixture
def shop(make_shop: Any) -> Shop:
    """An app with the default configuration and one user, who has a customer."""
    made: Shop = make_shop()
    made.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return made


@pytest.fixture
def stripe_api() -> Iterator[responses.RequestsMock]:
    """Fails on an unexpected request, and on an expected one that was not sent."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture(scope="session")
def keep_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Make apps as ``make_shop`` does, but one for each configuration; its tables and
    handlers are emptied before it is given again.

    For tests in great number that leave the app and its configuration as they are.
    """
    folder = tmp_path_factory.mktemp("kept")
    shops: dict[str, Shop] = {}

    def keep(**config: Any) -> Shop:
        config = {"STRIPE_PRICES": "*", "STRIPE_TRIAL_DAYS": 30, **config}
        key = repr(sorted(config.items()))

        if key not in shops:
            shops[key] = Shop(f"sqlite:///{folder / str(len(shops))}.db", **config)

        shops[key].reset()
        return shops[key]

    yield keep

    for shop in shops.values():
        shop.close()


@pytest.fixture
def kept_shop(keep_shop: Any) -> Shop:
    """As ``shop``, yet kept, see ``keep_shop``."""
    kept: Shop = keep_shop()
    kept.add_user(email="ada@example.com", stripe_customer_id="cus_ada")
    return kept
