"""Runs migrations on the database of the current app."""

from __future__ import annotations

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]

if context.is_offline_mode():
    raise SystemExit("--sql is not supported here.")

with migrate.db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        **migrate.configure_args,
    )

    with context.begin_transaction():
        context.run_migrations()
