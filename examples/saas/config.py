"""The defaults of the configuration."""

from __future__ import annotations

import os
import secrets

#: Made anew at each start, which logs everybody out. Set FLASK_SECRET_KEY to keep it.
SECRET_KEY = secrets.token_hex()

#: In the instance folder.
SQLALCHEMY_DATABASE_URI = "sqlite:///moonbook.sqlite"

SESSION_COOKIE_SAMESITE = "Lax"

#: Where to go after logging in is kept in the session, as a URL could be forged.
USE_SESSION_FOR_NEXT = True

#: All that browsers may buy, by name.
STRIPE_PRICES = {
    "pro": os.environ.get("PRICE_PRO", "price_pro"),
    "team": os.environ.get("PRICE_TEAM", "price_team"),
}
STRIPE_TRIAL_DAYS = 0
STRIPE_TRUSTED_ORIGINS: list[str] = []

#: Where Stripe's pages lead back to.
STRIPE_SUCCESS_URL = "/welcome?session_id={CHECKOUT_SESSION_ID}"
STRIPE_CANCEL_URL = "/pricing"
STRIPE_PORTAL_RETURN_URL = "/account"

#: Where those go who open a guarded page without a subscription.
STRIPE_SUBSCRIPTION_VIEW = "pages.subscribers_only"

#: The dashboard of the local Stripe, for a link to it.
SANDBOX_URL: str | None = None
