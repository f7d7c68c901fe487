"""Find or define the models of an app, and compare them with its database.

The extension uses this when an app starts, ``flask stripe doctor`` when it looks for
tables that were not migrated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from typing import TypeVar

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import inspect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Session

from ..errors import ConfigurationError
from .transactions import writing_bind

M = TypeVar("M")


def find_model(db: SQLAlchemy, mixin: type[M]) -> type[M] | None:
    """Find the app's model with one of our mixins. No query.

    Of a class and its subclasses, the class is the model.

    :return: ``None`` if the app has no model with it, or has not imported it yet.
    :raises ConfigurationError: If several unrelated classes have the mixin.
    """
    mappers = db.Model.registry.mappers  # type: ignore[attr-defined]  # undeclared
    classes = [mapper.class_ for mapper in mappers if issubclass(mapper.class_, mixin)]
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
    """List the tables and columns that the models have and the database does not.

    Reads the catalogue of the database.

    :return: ``table`` for a table that is missing as a whole, else ``table.column``.
    """
    missing = []

    for model in models:
        inspector = inspect(writing_bind(session, model))
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
    """Return the app's model with a mixin, or define one for an app that has none.

    The class is named as the mixin: ``StripeEvent`` for ``StripeEventMixin``. Of the
    app's base class it takes nothing but the metadata: no columns, no key, no loader
    criteria, no ``MappedAsDataclass``.

    :raises ConfigurationError: If several unrelated classes have the mixin, or another
        model of the app has its table.
    """
    info = db.metadata.info
    model: type[Any] | None = info.get(mixin) or find_model(db, mixin)

    if model is not None:
        return model

    table, name = mixin.__tablename__, mixin.__name__

    if table in db.metadata.tables:
        raise ConfigurationError(
            f"A model of the app has the table {table!r}, which {name!r} needs. Give"
            f" that model another '__tablename__', or add {name!r} to it."
        )

    base = info.get(DeclarativeBase)

    if base is None:
        base = type("StripeBase", (DeclarativeBase,), {"metadata": db.metadata})
        info[DeclarativeBase] = base

    model = type(name.removesuffix("Mixin"), (mixin, base), {})
    # The registry holds classes weakly, but the metadata keeps the table. Keep the
    # class as long as the table, or a second app on this `db` could not define it.
    info[mixin] = model
    return model
