"""The start of an app loads only what every app needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Prints the modules that a started app has loaded, one a line.
START = """
import sys
from flask import Flask
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from flask_kavach_stripe import KavachStripe

app = Flask("shop")
app.config |= {
    "SECRET_KEY": "secret",
    "SQLALCHEMY_DATABASE_URI": "sqlite://",
    "STRIPE_SECRET_KEY": "sk_test_of_the_tests",
}
SQLAlchemy(app)
LoginManager(app)
KavachStripe(app)
print("\\n".join(sys.modules))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    result = subprocess.run(  # noqa: S603  (our own code)
        [sys.executable, "-c", START], check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("flask_kavach_stripe.testing", id="test kit"),
        pytest.param("flask_kavach_stripe.sandbox", id="local Stripe"),
        pytest.param("flask_kavach_stripe.cli.doctor", id="commands"),
        pytest.param("flask_kavach_stripe.operations.doctor", id="their work"),
        pytest.param("sqlalchemy.dialects.mysql", id="dialect of MySQL"),
    ],
)
def test_start_loads_none_of(name: str, loaded: set[str]) -> None:
    assert "flask_kavach_stripe.extension" in loaded
    assert name not in loaded
