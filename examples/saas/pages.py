"""What visitors, users and subscribers see."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from datetime import UTC

from flask import Blueprint
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import Response
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_login import login_required

from flask_kavach_stripe import current_subscription
from flask_kavach_stripe import subscription_required

from .extensions import db
from .extensions import kavach_stripe
from .models import Activity
from .moon import nights_from
from .plans import find_plan
from .plans import read_plans

bp = Blueprint("pages", __name__)

NIGHTS_AHEAD = 14
ACTIVITIES_SHOWN = 20


@bp.get("/")
def index() -> str:
    [tonight] = nights_from(datetime.now(UTC).date(), 1)
    return render_template("index.html", tonight=tonight)


@bp.get("/pricing")
def pricing() -> str:
    return render_template("pricing.html", plans=read_plans())


@bp.get("/welcome")
@login_required
def welcome() -> ResponseReturnValue:
    """Whoever has paid comes back here, often before Stripe's webhook does."""
    subscription = kavach_stripe.complete_checkout(request.args.get("session_id"))

    if subscription is not None and subscription.is_active:
        flash("Thank you! You have subscribed, and the nights are yours.", "success")

    return redirect(url_for(".account"))


@bp.get("/account")
@login_required
def account() -> str:
    activities = db.session.scalars(
        db.select(Activity)
        .filter_by(user_id=current_user.id)
        .order_by(Activity.happened_at.desc(), Activity.id.desc())
        .limit(ACTIVITIES_SHOWN)
    )
    subscription = kavach_stripe.get_subscription(current_user)
    return render_template(
        "account.html",
        subscription=subscription,
        plan=subscription and find_plan(subscription.price_id),
        activities=activities.all(),
    )


@bp.get("/nights")
@subscription_required
def nights() -> str:
    today = datetime.now(UTC).date()
    return render_template("nights.html", nights=nights_from(today, NIGHTS_AHEAD))


@bp.get("/nights.csv")
@subscription_required("team")
def nights_file() -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["night", "moon", "lit"])

    for night in nights_from(datetime.now(UTC).date(), NIGHTS_AHEAD):
        writer.writerow([night.date, night.name, f"{night.lit:.2f}"])

    headers = {"Content-Disposition": "attachment; filename=nights.csv"}
    return Response(text.getvalue(), headers=headers, mimetype="text/csv")


@bp.get("/subscribers-only")
def subscribers_only() -> ResponseReturnValue:
    """Those without the right subscription come here from a guarded page."""
    if current_subscription:
        flash("That is not part of your plan.")
    else:
        flash("That page is for subscribers. Choose a plan to open it.")

    return redirect(url_for(".pricing"))


@bp.app_template_filter("day")
def format_day(day: datetime) -> str:
    """``3 May 2026``"""
    return f"{day.day} {day:%B %Y}"
