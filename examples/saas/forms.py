"""Sign-up and log-in."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import EmailField
from wtforms import PasswordField
from wtforms.validators import InputRequired
from wtforms.validators import Length
from wtforms.validators import Regexp


def _normalise(email: str | None) -> str | None:
    return email and email.strip().lower()


class LogInForm(FlaskForm):
    email = EmailField("E-mail", [InputRequired(), Length(max=255)], [_normalise])
    password = PasswordField("Password", [InputRequired(), Length(max=200)])


class SignUpForm(FlaskForm):
    email = EmailField(
        "E-mail",
        [
            InputRequired(),
            Length(max=255),
            Regexp(r"[^@\s]+@[^@\s]+\Z", message="Enter an e-mail address."),
        ],
        [_normalise],
    )
    password = PasswordField(
        "Password",
        [InputRequired(), Length(8, 200, "Use 8 to 200 characters.")],
        description="At least 8 characters.",
    )
