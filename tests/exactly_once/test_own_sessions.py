"""Sessions with a ``commit`` of the app's own: nothing is lost behind a 200."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe.testing import make_event
from flask_kavach_stripe.testing import post_event
from tests.vocabulary import handle
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid

PAID = make_event("invoice.paid", {"id": "in_1"}, id="evt_1")


# -- a commit of the instance ----------------------------------------------------------


def test_commit_of_the_session_instance_is_there_again(shop: Any) -> None:
    """It used to be deleted with ours."""
    calls: list[str] = []
    seen: list[Any] = []

    @on(shop, "invoice.paid")
    def write(event: Any) -> None:
        shop.note("by the handler")
        shop.db.session.commit()
        seen.append(list(calls))

    with shop.app.app_context():
        session = shop.db.session()
        original = session.commit

        def commit() -> None:
            calls.append("commit")
            original()

        session.commit = commit
        before = len(calls)
        handle(shop, paid())
        assert session.commit is commit
        assert len(calls) > before
        assert seen == [calls[: len(seen[0])]]  # no call while the handlers ran
        assert not session.in_transaction()
        session.rollback()

    assert shop.notes == ["by the handler"]


@pytest.mark.parametrize("how", ["deletes", "replaces"])
def test_handler_that_changes_the_commit_of_the_instance(shop: Any, how: str) -> None:
    """What it sets would be a commit that has been given away, so it goes."""

    @on(shop, "invoice.paid")
    def write(event: Any) -> None:
        session = shop.db.session()

        if how == "deletes":
            del session.commit
        else:
            session.commit = session.flush

        shop.note("x")

    ok(shop.post_event(paid()))
    assert shop.notes == ["x"]


# -- a commit of the class -------------------------------------------------------------


class AuditingSession(Session):
    """Does more when it commits."""

    commits: list[int]

    def commit(self) -> None:
        self.commits.append(len(self.new))
        super().commit()


@pytest.fixture
def auditing(tmp_path: Path) -> Iterator[tuple[Flask, Any, Any, KavachStripe]]:
    app = Flask("auditing")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'auditing.db'}",
        STRIPE_SECRET_KEY="sk_test_1",
        STRIPE_WEBHOOK_SECRET="whsec_1",
    )
    db = SQLAlchemy(app, session_options={"class_": AuditingSession})

    class User(UserMixin, StripeUserMixin, db.Model):  # type: ignore[name-defined, misc]  # db.Model is made at run time
        id: Mapped[int] = mapped_column(primary_key=True)

    class Note(db.Model):  # type: ignore[name-defined, misc]  # as above
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]

    AuditingSession.commits = []
    kavach_stripe = KavachStripe(app)

    with app.app_context():
        db.create_all()
        db.session.add(User(stripe_customer_id="cus_ada"))
        db.session.commit()

    yield app, db, Note, kavach_stripe

    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize("ends", ["nothing", "commit", "commit of the class"])
def test_session_class_that_overrides_commit(
    auditing: tuple[Flask, Any, Any, KavachStripe], ends: str
) -> None:
    app, db, note_model, kavach_stripe = auditing
    commits: list[int] = []

    @kavach_stripe.on("invoice.paid")
    def write(event: Any) -> None:
        before = len(AuditingSession.commits)
        db.session.add(note_model(text="x"))

        if ends == "commit":
            db.session.commit()
        elif ends == "commit of the class":
            AuditingSession.commit(db.session())

        commits.append(len(AuditingSession.commits) - before)

    status = post_event(app.test_client(), PAID).status_code

    with app.app_context():
        notes = list(db.session.scalars(db.select(note_model.text)))

    if ends == "commit of the class":  # past our flush, and refused
        assert (status, notes, commits) == (500, [], [])
    else:
        assert (status, notes, commits) == (200, ["x"], [0])


def test_every_way_keeps_the_promise(
    auditing: tuple[Flask, Any, Any, KavachStripe],
) -> None:
    """A 200 means that the handler's row is there; sent again, it is there once."""
    app, db, note_model, kavach_stripe = auditing

    @kavach_stripe.on("invoice.paid")
    def write(event: Any) -> None:
        db.session.add(note_model(text=event.id))
        db.session.commit()

    statuses = [post_event(app.test_client(), PAID).status_code for _ in range(3)]

    with app.app_context():
        assert list(db.session.scalars(db.select(note_model.text))) == ["evt_1"]

    assert statuses == [200] * 3
