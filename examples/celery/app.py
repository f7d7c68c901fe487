"""Handlers in a Celery worker. After ``pip install -e '.[celery]'``, four terminals::

    redis-server --appendonly yes
    flask --app examples.celery.app stripe sandbox
    flask --app examples.celery.app run
    celery --app examples.celery.app:celery_app worker --loglevel INFO

The second one prints three lines to export in the last two, where ``flask --app
examples.celery.app init-db`` comes first. Then subscribe on http://127.0.0.1:5000 with
the card 4242 4242 4242 4242, and reload the page: the worker has sent a receipt. What
was stored and never reached the queue, ``flask --app examples.celery.app stripe replay
--pending`` runs; let cron do that every few minutes.
"""

from __future__ import annotations

import os
from typing import Any

import click
from celery import Celery
from celery import shared_task
from celery import Task
from flask import Flask
from flask import redirect
from flask import render_template_string
from flask import request
from flask import url_for
from flask.cli import with_appcontext
from flask.typing import ResponseReturnValue
from flask_login import login_user
from flask_login import LoginManager
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship

from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from flask_kavach_stripe import StripeUserMixin

# begin settings
CELERY = {
    "broker_url": os.environ.get("REDIS_URL", "redis://localhost"),
    # The ledger has the results.
    "task_ignore_result": True,
    # A task leaves the queue when it is done, not when it begins: a worker that is
    # killed leaves it there.
    "task_acks_late": True,
    # The same where only the process of the task is killed, as for its memory.
    "task_reject_on_worker_lost": True,
    # Take one task at a time: others need not wait behind a long one.
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        # Seconds until Redis gives the task of a dead worker to another one. Longer
        # than any handler, and than `retry_backoff_max` below: a task that waits for
        # its next try is one that nobody has finished. Too short costs time only, as
        # an event that two workers have is processed once.
        "visibility_timeout": 1800,
        # Stripe waits for the webhook: if Redis does not answer, say so soon, not
        # never. Seconds, for each of the few tries.
        "socket_connect_timeout": 2,
        "socket_timeout": 2,
    },
    "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1},
}
# end settings

db = SQLAlchemy()
login_manager = LoginManager()


# begin tasks
@shared_task(
    # A handler that raises is tried again after a second, then two, then four, up to
    # ten minutes: what is down may come back at once, or be mended tomorrow. Celery
    # shortens each wait at random, so that not all that failed comes at once.
    autoretry_for=(Exception,),
    retry_backoff=True,
    retry_backoff_max=600,
    # Celery's 3 tries are over after seconds. This is about three days, as long as
    # Stripe tries. What still fails then, `flask stripe events --failed` lists.
    max_retries=900,
)
def run_handlers(event_id: str) -> None:
    kavach_stripe.process_event(event_id)


def enqueue(event_id: str) -> None:
    run_handlers.delay(event_id)


kavach_stripe = KavachStripe(enqueue=enqueue)


@kavach_stripe.on("invoice.paid")
def send_receipt(event: Event) -> None:
    """Takes long; in this file the mail is a row."""
    if event.user is not None:
        amount = event.object["amount_paid"] / 100
        db.session.add(Mail(user=event.user, text=f"Thank you for {amount:.2f}."))


# end tasks
class User(UserMixin, StripeUserMixin, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    mails: Mapped[list[Mail]] = relationship(back_populates="user")


class Mail(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    user: Mapped[User] = relationship(back_populates="mails")
    text: Mapped[str]


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        CELERY=CELERY,
        SECRET_KEY="only for this machine",  # noqa: S106
        SQLALCHEMY_DATABASE_URI="sqlite:///celery.sqlite",
        STRIPE_API_BASE=os.environ.get("STRIPE_API_BASE", "https://api.stripe.com"),
        STRIPE_PRICES={"pro": os.environ.get("PRICE_PRO", "price_pro")},
        STRIPE_TRIAL_DAYS=0,
        STRIPE_TRUSTED_ORIGINS=[],
    )
    app.config.from_prefixed_env()
    db.init_app(app)
    login_manager.init_app(app)
    kavach_stripe.init_app(app)
    init_celery(app)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/log-in", view_func=log_in, methods=["POST"])
    app.cli.add_command(init_db)
    return app


def init_celery(app: Flask) -> Celery:
    """Tasks run in an app context; from Flask's documentation."""

    class FlaskTask(Task):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


PAGE = """
<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Receipts</title>
<body style="max-width: 32rem; margin: 2rem auto; padding: 0 1rem;
  font: 1.1rem/1.6 system-ui, sans-serif">
<h1>Receipts</h1>
{% if not current_user.is_authenticated %}
  <form method="post" action="{{ url_for('log_in') }}">
    <label>E-mail <input name="email" type="email" required></label>
    <button>Log in</button>
  </form>
{% else %}
  {% if current_subscription %}
    <p>You have subscribed: {{ current_subscription.status }}.</p>
  {% else %}
    <form method="post" action="{{ url_for('kavach_stripe.checkout') }}">
      <input type="hidden" name="price" value="pro">
      <button>Subscribe</button>
    </form>
  {% endif %}
  <ul>{% for mail in current_user.mails %}<li>{{ mail.text }}</li>{% endfor %}</ul>
{% endif %}
"""


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return db.session.get(User, int(user_id))


def index() -> str:
    return render_template_string(PAGE)


def log_in() -> ResponseReturnValue:
    """No password: this file is about workers. ``examples/saas`` has real accounts."""
    email = request.form["email"]
    user = db.session.scalar(db.select(User).filter_by(email=email))

    if user is None:
        user = User(email=email)
        db.session.add(user)
        db.session.commit()

    login_user(user)
    return redirect(url_for("index"))


@click.command("init-db")
@with_appcontext
def init_db() -> None:
    """Create the tables; a real app has migrations.

    Not at the import: Celery forks, and the processes would share a connection.
    """
    db.create_all()


app = create_app()
celery_app = app.extensions["celery"]
