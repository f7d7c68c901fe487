"""Subscriptions in one file. It needs a Stripe account in test mode::

    export STRIPE_SECRET_KEY=sk_test_... PRICE_PRO=price_...
    flask --app examples/minimal/app.py run

To hear from Stripe of what happens later, run ``stripe listen --forward-to
localhost:5000/auth/stripe/webhook``, and set ``STRIPE_WEBHOOK_SECRET`` to the secret
that it prints before you start the app.
"""

from __future__ import annotations

import os

from flask import flash
from flask import Flask
from flask import redirect
from flask import render_template_string
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin
from flask_kavach_stripe import subscription_required

app = Flask(__name__)
app.config.from_mapping(
    SECRET_KEY="only for this machine",  # noqa: S106
    SQLALCHEMY_DATABASE_URI="sqlite:///minimal.sqlite",
    STRIPE_PRICES={"pro": os.environ.get("PRICE_PRO", "price_pro")},
    STRIPE_TRIAL_DAYS=0,
    STRIPE_TRUSTED_ORIGINS=[],
    STRIPE_SUCCESS_URL="/welcome?session_id={CHECKOUT_SESSION_ID}",
    STRIPE_PORTAL_RETURN_URL="/",
)
app.config.from_prefixed_env()

# begin setup
db = SQLAlchemy(app)
login_manager = LoginManager(app)
kavach_stripe = KavachStripe(app)


class User(UserMixin, StripeUserMixin, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)


# end setup

with app.app_context():
    db.create_all()  # a real app has migrations

PAGE = """
<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Minimal</title>
<body style="max-width: 32rem; margin: 2rem auto; padding: 0 1rem;
  font: 1.1rem/1.6 system-ui, sans-serif">
<h1>Minimal</h1>
{% for message in get_flashed_messages() %}
  <p role="status">{{ message }}</p>
{% endfor %}
{% if not current_user.is_authenticated %}
  <form method="post" action="{{ url_for('log_in') }}">
    <label>E-mail <input name="email" type="email" required></label>
    <button>Log in</button>
  </form>
{% elif current_subscription %}
  <p>You have subscribed: {{ current_subscription.status }}, until
    {{ current_subscription.current_period_end.date() }}.
    <a href="{{ url_for('report') }}">Read the report</a></p>
  <form method="post" action="{{ url_for('kavach_stripe.portal') }}">
    <button>Manage</button>
  </form>
{% else %}
  <form method="post" action="{{ url_for('kavach_stripe.checkout') }}">
    <input type="hidden" name="price" value="pro">
    <button>Subscribe</button>
  </form>
{% endif %}
"""


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return db.session.get(User, int(user_id))


@app.get("/")
def index() -> str:
    return render_template_string(PAGE)


@app.post("/log-in")
def log_in() -> ResponseReturnValue:
    """No password: this file is about Stripe. ``examples/saas`` has real accounts."""
    email = request.form["email"]
    user = db.session.scalar(db.select(User).filter_by(email=email))

    if user is None:
        user = User(email=email)
        db.session.add(user)
        db.session.commit()

    login_user(user)
    return redirect(url_for("index"))


# begin views
@app.get("/welcome")
@login_required
def welcome() -> ResponseReturnValue:
    if kavach_stripe.complete_checkout(request.args.get("session_id")):
        flash("Thank you!")

    return redirect(url_for("index"))


@app.get("/report")
@subscription_required
def report() -> str:
    return "Only subscribers read this."


@kavach_stripe.on_subscription_change
def changed(user: User, subscription: object) -> None:
    print(user.email, subscription)


# end views
