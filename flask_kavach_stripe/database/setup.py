"""Find the models of an app or define them, and say what its database lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from typing import TypeVar

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from ..errors import ConfigurationError

M = TypeVar("M")


def find_model(db: SQLAlchemy, mixin: type[M]) -> type[M] | None:
    """The one class with a mixin that is mapped on a database.

    :raises ConfigurationError: If there are two. Subclasses of a candidate do not
        count.
    """
    classes = [
        mapper.class_
        for mapper in db.Model.registry.mappers  # type: ignore[attr-defined]  # see below
        if issubclass(mapper.class_, mixin)
    ]
    candidates = [
        model
        for model in classes
        if not any(model is not other and issubclass(model, other) for other in classes)
    ]

    if len(candidates) > 1:
        names = ", ".join(sorted(repr(model.__name__) for model in candidates))
        raise ConfigurationError(
            f"Several models have {mixin.__name__!r}: {names}. Tell 'KavachStripe'"
            " which one to use."
        )

    return candidates[0] if candidates else None


def missing_tables(session: Session, models: Iterable[type[Any]]) -> list[str]:
    """The tables, and the columns of tables, that the database does not have."""
    missing = []

    for model in models:
        inspector = inspect(session.get_bind(mapper=inspect(model)))
        table = inspect(model).local_table
        name, schema = table.name, table.schema

        if not inspector.has_table(name, schema=schema):
            missing.append(name)
            continue

        present = {column["name"] for column in inspector.get_columns(name, schema)}
        missing += [
            f"{name}.{column.name}"
            for column in table.columns
            if column.name not in present
        ]

    return missing


def own_model(db: SQLAlchemy, mixin: type[Any]) -> type[Any]:
    """The class with a mixin on a database; it is defined if there is none."""
    model = find_model(db, mixin)

    if model is not None:
        return model

    model = type(mixin.__name__.removesuffix("Mixin"), (mixin, db.Model), {})
    # The registry holds classes weakly, but the metadata keeps the table. Keep the
    # class as long as the table, or a second app on this `db` could not define it.
    db.metadata.info[mixin] = model
    return model
