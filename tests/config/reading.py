"""Read a configuration, with keys that are none."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_kavach_stripe.config import Settings

TEST_KEY = "sk_test_51Nq0mWhisper"
LIVE_KEY = "sk_live_51Nq0mWhisper"


def read(**config: Any) -> Settings:
    """The settings of an app with this configuration."""
    app = Flask(__name__)
    app.config.from_mapping(config)
    return Settings.from_app(app)
