"""The apps that the tests of the extension set up."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy


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
