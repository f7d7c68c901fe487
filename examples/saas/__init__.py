"""Moonbook, a small web app that sells two subscriptions.

It tells how dark the coming nights are. Tonight is free, the nights ahead are for
subscribers, and the file of them is for those who have the plan "team". All that it
does with Stripe is in three places:

-   ``config.py``: the prices, and where Stripe's pages lead back to
-   ``pages.py``: the pricing page, the page after paying, the guarded pages
-   ``billing.py``: what happens when Stripe says that something happened

Run it from the top of the sources, with a local Stripe that needs no account::

    python -m examples.saas

Or with your own account in test mode. Set ``STRIPE_SECRET_KEY`` (``sk_test_...``),
``PRICE_PRO`` and ``PRICE_TEAM`` (``price_...``), let Stripe's command line bring the
webhooks to this machine, and set ``STRIPE_WEBHOOK_SECRET`` to the secret that it
prints::

    stripe listen --forward-to localhost:5000/auth/stripe/webhook
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import auth
from . import billing
from . import config as default_config
from . import errors
from . import pages
from .extensions import csrf
from .extensions import db
from .extensions import kavach_stripe
from .extensions import login_manager
from .extensions import migrate

FOLDER = Path(__file__).parent


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the app.

    :param config: Wins over ``config.py`` and over ``FLASK_...`` in the environment.
    """
    app = Flask(__name__, instance_path=str(FOLDER.resolve() / "instance"))
    app.config.from_object(default_config)
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})

    db.init_app(app)
    migrate.init_app(app, db)
    csrf.init_app(app)
    login_manager.init_app(app)
    kavach_stripe.init_app(app)

    app.register_blueprint(auth.bp)
    app.register_blueprint(pages.bp)
    billing.init_app(app)
    errors.init_app(app)
    return app
