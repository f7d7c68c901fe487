"""Signing up, logging in, logging out."""

from __future__ import annotations

from flask import Blueprint
from flask import flash
from flask import redirect
from flask import render_template
from flask import session
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_login import login_user
from flask_login import logout_user
from sqlalchemy.exc import IntegrityError

from .extensions import db
from .forms import LogInForm
from .forms import SignUpForm
from .models import User

bp = Blueprint("auth", __name__)


@bp.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(url_for("pages.account"))

    form = SignUpForm()

    if form.validate_on_submit():
        user = User(email=form.email.data)
        user.set_password(form.password.data)
        db.session.add(user)

        try:
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            form.email.errors = ["There is an account with this address already."]
        else:
            login_user(user)
            session.pop("next", None)
            flash("Your account is ready. Choose a plan to see the nights ahead.")
            return redirect(url_for("pages.pricing"))

    return render_template("sign_up.html", form=form)


@bp.route("/log-in", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(url_for("pages.account"))

    form = LogInForm()

    if form.validate_on_submit():
        user = db.session.scalar(db.select(User).filter_by(email=form.email.data))

        if user is not None and user.check_password(form.password.data):
            login_user(user)
            return redirect(session.pop("next", None) or url_for("pages.account"))

        form.password.errors = ["This e-mail and password do not belong together."]

    return render_template("log_in.html", form=form)


@bp.post("/log-out")
def log_out() -> ResponseReturnValue:
    logout_user()
    return redirect(url_for("pages.index"))
