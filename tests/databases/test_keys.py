"""Primary keys of the app's own kind, and users whom the app's session hides."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BINARY
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import Integer
from sqlalchemy import String
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.types import TypeDecorator
from sqlalchemy.types import UserDefinedType

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import leave_to_worker
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_checkout_session
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests import servers
from tests.databases.deliveries import Database
from tests.databases.deliveries import subscription
from tests.databases.deliveries import subscription_event
from tests.vocabulary import SUBSCRIPTIONS

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mariadb")

_BINARY = BINARY(16).with_variant(BYTEA(), "postgresql")


class HexUuid(TypeDecorator[uuid.UUID]):
    """A UUID as 32 hex digits: it takes nothing but a UUID."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.hex

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else uuid.UUID(value)


class BinaryUuid(TypeDecorator[uuid.UUID]):
    """A UUID as 16 bytes."""

    impl = _BINARY
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.bytes

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else uuid.UUID(bytes=bytes(value))


class Number:
    """A key of a class of the app's own, with errors of its own."""

    class WrongError(Exception): ...

    def __init__(self, text: str) -> None:
        if not text.startswith("N"):
            raise self.WrongError(text)

        self.text = text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Numbers(TypeDecorator[Number]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else int(value.text[1:])

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else Number(f"N{value}")


class Serial(UserDefinedType[int]):
    """A type that does not say what its values are."""

    cache_ok = True

    def get_col_spec(self, **kwargs: Any) -> str:
        return "INTEGER"


class Nameless(Number):
    """Its text does not lead back to it."""

    def __str__(self) -> str:
        return f"nameless {self.text}"


class NamelessNumbers(Numbers):
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else Nameless(f"N{value}")


UUID = uuid.UUID("0c3b4a2e-8d59-4b5f-9d0a-6f9f3b1c2d4e")
#: The column's type and a key.
KINDS: dict[str, tuple[Any, Any]] = {
    "value.hex": (HexUuid, UUID),
    "BINARY(16)": (BinaryUuid, UUID),
    "class of its own": (Numbers, Number("N7")),
    "type that says nothing": (Serial, 7),
}
#: Keys that cannot be written as text, and how their type is called.
WRONG_KINDS: dict[str, tuple[Any, Any, str]] = {
    "raw bytes": (_BINARY, UUID.bytes, "bytes"),
    "text that does not lead back": (NamelessNumbers, Nameless("N7"), "Nameless"),
}


class Site:
    """An app with one user, Ada, who has a customer."""

    def __init__(self, uri: str, column_type: Any, key: Any) -> None:
        self.app = Flask("site")
        self.app.config.update(
            SECRET_KEY="secret of the tests",
            SQLALCHEMY_DATABASE_URI=uri,
            STRIPE_SECRET_KEY="sk_test_of_the_tests",
            STRIPE_WEBHOOK_SECRET="whsec_of_the_tests",
            STRIPE_MAX_NETWORK_RETRIES=0,
        )
        self.db: Any = SQLAlchemy(self.app)

        class User(UserMixin, StripeUserMixin, self.db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
            __tablename__ = "users"
            id: Mapped[Any] = mapped_column(column_type, primary_key=True)
            is_hidden: Mapped[bool] = mapped_column(default=False)

        self.User: Any = User
        self.key = key
        self.kavach_stripe = KavachStripe(self.app)
        self.changes: list[Any] = []
        self.users: list[Any] = []

        @self.kavach_stripe.on_subscription_change
        def changed(user: Any, subscription: Any) -> None:
            self.changes.append((user.id, subscription.status))

        @self.kavach_stripe.on("customer.subscription.*")
        def remember(event: Any) -> None:
            self.users.append(event.user and event.user.id)

        with self.app.app_context():
            self.db.create_all()
            self.db.session.add(User(id=key, stripe_customer_id="cus_ada"))
            self.db.session.commit()

    @property
    def entries(self) -> list[Any]:
        model = self.app.extensions["kavach_stripe"].event_model

        with self.app.app_context():
            found = list(self.db.session.scalars(self.db.select(model)))
            self.db.session.expunge_all()
            return found

    def post(self, event: dict[str, Any]) -> int:
        return post_event(self.app.test_client(), event).status_code

    def customer(self) -> Any:
        """The column of the one user."""
        with self.app.app_context():
            column = self.User.stripe_customer_id
            return self.db.session.scalars(self.db.select(column)).one()

    def close(self) -> None:
        with self.app.app_context():
            self.db.engine.dispose()


@pytest.fixture
def make_site(database: Database, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(column_type: Any, key: Any) -> Site:
        made.append(Site(uri, column_type, key))
        return made[-1]

    if database.name == "sqlite":
        uri = f"sqlite:///{tmp_path / 'keys.db'}"
        yield make
        made[0].close()
    else:
        with servers.new_database(database.uri) as uri:
            yield make
            made[0].close()


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Site:
    return make_site(*KINDS[request.param])


# -- keys ------------------------------------------------------------------------------


def test_handlers_are_told_of_a_user_with_any_key(site: Site) -> None:
    """Columns were right, ``event.user`` was None, and nobody was told."""
    assert site.post(subscription_event("created")) == 200
    assert site.users == [site.key]
    assert site.changes == [(site.key, "active")]
    assert site.entries[0].user_id == str(site.key)


def test_worker_knows_a_user_with_any_key(site: Site) -> None:
    """It reads the key as text from the ledger, in a process that saw no other."""
    state = site.app.extensions["kavach_stripe"]
    state.enqueue = leave_to_worker
    assert site.post(subscription_event("created")) == 200
    assert site.users == []
    del state.payers  # as a new process
    runner = site.app.test_cli_runner()
    result = runner.invoke(args=["stripe", "worker", "--once"])
    assert result.exit_code == 0, result.output
    assert site.users == [site.key]
    assert site.changes == [(site.key, "active")]


def test_change_that_a_helper_stored_is_told_later(
    site: Site, stripe_api: responses.RequestsMock
) -> None:
    state = site.app.extensions["kavach_stripe"]
    state.enqueue = leave_to_worker
    answer = {"object": "list", "data": [subscription()], "has_more": False}
    stripe_api.get(SUBSCRIPTIONS, json=answer)

    with site.app.app_context():
        site.kavach_stripe.sync_subscription(site.key)

    assert site.changes == []
    site.app.test_cli_runner().invoke(args=["stripe", "worker", "--once"])
    assert site.changes == [(site.key, "active")]


def test_helpers_take_the_key_and_its_text(site: Site) -> None:
    with site.app.app_context():
        kavach_stripe = site.kavach_stripe
        assert kavach_stripe.get_customer_id(site.key) == "cus_ada"
        assert kavach_stripe.get_customer_id(str(site.key)) == "cus_ada"

        for nobody in ("", "foo", "N", f" {site.key}", str(uuid.uuid4()), 4040):
            assert kavach_stripe.get_customer_id(nobody) is None


def test_checkout_links_a_user_with_any_key(site: Site) -> None:
    with site.app.app_context():
        site.db.session.get(site.User, site.key).stripe_customer_id = None
        site.db.session.commit()

    def post(reference: str) -> int:
        session = make_checkout_session(
            customer="cus_new", client_reference_id=reference, subscription=None
        )
        return site.post(make_event("checkout.session.completed", session))

    assert post("foo") == 200
    assert site.customer() is None
    assert post(str(site.key)) == 200
    assert site.customer() == "cus_new"


def test_user_who_was_deleted_meanwhile_is_nobody(site: Site) -> None:
    state = site.app.extensions["kavach_stripe"]
    state.enqueue = leave_to_worker
    assert site.post(subscription_event("created")) == 200

    with site.app.app_context():
        site.db.session.execute(site.db.delete(site.User))
        site.db.session.commit()

    site.app.test_cli_runner().invoke(args=["stripe", "worker", "--once"])
    assert site.users == [None]
    assert site.changes == []
    assert site.entries[0].processed_at is not None


@pytest.mark.parametrize("kind", WRONG_KINDS)
def test_key_that_is_lost_as_text_is_an_error_at_the_first_event(
    make_site: Callable[..., Site], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    column_type, key, name = WRONG_KINDS[kind]
    site = make_site(column_type, key)
    assert site.post(subscription_event("created")) in (500, 503)
    assert f"is a '{name}', and its text does not lead back" in caplog.text
    assert "'User'" in caplog.text
    assert "Stripe failed" not in caplog.text
    assert site.users == site.changes == site.entries == []

    with site.app.app_context():
        site.db.session.get(site.User, site.key).stripe_customer_id = None
        site.db.session.commit()

        with pytest.raises(ConfigurationError, match=name):
            site.kavach_stripe.create_customer(site.db.session.get(site.User, site.key))


# -- users whom the app hides ----------------------------------------------------------


class Criterion:
    """Leaves hidden users out of whatever the session loads, as soft deletion does."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.is_applied = True

        @sqlalchemy_event.listens_for(site.db.session, "do_orm_execute")
        def hide(state: Any) -> None:
            if state.is_select and self.is_applied:
                criterion = with_loader_criteria(
                    site.User, lambda cls: cls.is_hidden.is_(False)
                )
                state.statement = state.statement.options(criterion)


@pytest.fixture
def hidden(make_site: Callable[..., Site]) -> tuple[Site, Criterion]:
    """Ada is hidden, yet she pays."""
    site = make_site(Integer, 7)

    with site.app.app_context():
        site.db.session.get(site.User, 7).is_hidden = True
        site.db.session.commit()
        criterion = Criterion(site)
        assert site.db.session.get(site.User, 7, populate_existing=True) is None

    return site, criterion


def test_event_of_a_hidden_user_is_tried_again_and_logged(
    hidden: tuple[Site, Criterion], caplog: pytest.LogCaptureFixture
) -> None:
    """It used to be dropped, and the event counted as processed."""
    site, criterion = hidden
    sent = subscription_event("created")
    assert site.post(sent) == 500
    [entry] = site.entries
    assert (entry.processed_at, entry.attempts) == (None, 1)
    assert "'session.get' does not return it" in entry.error
    assert "ConfigurationError: The user 7 is in the table 'users'" in caplog.text
    assert site.users == site.changes == []

    with site.app.app_context():  # the columns are stored all the same
        user = site.db.session.execute(
            site.db.text("SELECT stripe_subscription_status FROM users")
        )
        assert user.scalar() == "active"

    criterion.is_applied = False
    assert site.post(sent) == 200
    assert site.changes == [(7, "active")]
    assert site.users == [7]


def test_worker_tries_the_event_of_a_hidden_user_again(
    hidden: tuple[Site, Criterion],
) -> None:
    site, criterion = hidden
    site.app.extensions["kavach_stripe"].enqueue = leave_to_worker
    assert site.post(subscription_event("created")) == 200
    runner = site.app.test_cli_runner()
    runner.invoke(args=["stripe", "worker", "--once"])
    assert site.entries[0].attempts == 1
    assert "'session.get' does not return it" in site.entries[0].error

    criterion.is_applied = False
    runner.invoke(args=["stripe", "replay", "--failed"])
    assert site.changes == [(7, "active")]


def test_criterion_on_our_own_tables_hides_nothing_from_us(
    make_site: Callable[..., Site],
) -> None:
    """As of an app that gives every model a tenant."""
    site = make_site(Integer, 7)
    state = site.app.extensions["kavach_stripe"]
    state.enqueue = leave_to_worker

    @sqlalchemy_event.listens_for(site.db.session, "do_orm_execute")
    def hide_all(execution: Any) -> None:
        if execution.is_select:
            for model in (state.event_model, state.subscription_model):
                criterion = with_loader_criteria(model, lambda cls: cls.id == "none")
                execution.statement = execution.statement.options(criterion)

    assert site.post(subscription_event("created")) == 200
    site.app.test_cli_runner().invoke(args=["stripe", "worker", "--once"])
    assert site.changes == [(7, "active")]
