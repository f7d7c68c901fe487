"""``flask stripe``: look after the billing of an app from a terminal."""

from __future__ import annotations

from flask.cli import AppGroup

stripe_cli = AppGroup("stripe", help="Look after Stripe subscriptions.")
