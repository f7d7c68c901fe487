"""The group of commands, and how they fail."""

from __future__ import annotations

from typing import Any
from typing import Final

import click
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from ..errors import KavachStripeError
from ..operations.explanations import explain


class StripeGroup(AppGroup):
    """Commands whose errors are one sentence that says what to do, and status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KavachStripeError as error:
            raise click.ClickException(explain(error)) from None
        except SQLAlchemyError as error:  # its text may have a customer's data
            raise click.ClickException(
                f"The database failed ({type(error).__name__}). Run 'flask stripe"
                " doctor'."
            ) from None


stripe_cli: Final = StripeGroup("stripe", help="Look after Stripe subscriptions.")
