"""The checks of ``flask stripe doctor`` on the app itself. They ask nobody else."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from flask import current_app
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.routing import BuildError

from ..config import misspelt_keys
from ..database.setup import missing_tables
from ..errors import ConfigurationError
from ..guards import find_login_manager
from ..guards import guarded_views
from ..guards import resolve_price
from ..views import logger as views_logger
from .examination import CheckFailed
from .examination import Examination
from .webhook_endpoints import webhook_paths
from .webhook_probe import explain_answer
from .webhook_probe import post_to_webhook


def check_secret_key(examination: Examination) -> str:
    livemode = examination.settings.livemode

    if livemode is None:
        raise CheckFailed(
            "'STRIPE_SECRET_KEY' is not set. Set it to the key that starts with 'sk_'"
            " or 'rk_' in Stripe's Dashboard."
        )

    return "A live key." if livemode else "A test key."


def check_webhook_secret(examination: Examination) -> str:
    count = len(examination.settings.webhook_secrets)

    if not count:
        raise CheckFailed(
            "'STRIPE_WEBHOOK_SECRET' is not set, so every webhook is rejected. Set it"
            " to the signing secret of the endpoint, 'whsec_...'."
        )

    return "Set." if count == 1 else f"{count} secrets are set."


def check_keys(examination: Examination) -> str:
    """Look for typing errors in the names of the configuration."""
    misspelt = misspelt_keys(current_app.config)

    if misspelt:
        raise CheckFailed(
            " ".join(
                f"{key!r} has no effect. Rename it to {nearest!r}."
                for key, nearest in misspelt.items()
            )
        )

    return "No 'STRIPE_*' key looks misspelt."


def check_tables(examination: Examination) -> str:
    """Compare our three models with the tables in the database.

    A missing table or column usually means that a migration was not run.
    """
    try:
        state = examination.state
        missing = missing_tables(state.session, state.models)
    except SQLAlchemyError as error:
        # The driver's message is one line; SQLAlchemy's has the statement, too.
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise CheckFailed(f"The database cannot be read: {reason}.") from error

    if missing:
        raise CheckFailed(
            f"Missing: {', '.join(missing)}. Run 'flask db migrate', then 'flask db"
            " upgrade'."
        )

    return "All tables and columns are there."


def check_login(examination: Examination) -> str:
    manager = find_login_manager()

    if manager is None:
        raise CheckFailed(
            "The app has no 'LoginManager', so nobody can log in and buy. Call"
            " 'LoginManager(app)'."
        )

    if manager.user_callback is None and manager.request_callback is None:
        raise CheckFailed(
            "The 'LoginManager' cannot load users, so every request of somebody who is"
            " logged in fails. Decorate a function with '@login_manager.user_loader'."
        )

    return "A 'LoginManager' loads the users."


def check_subscription_view(examination: Examination) -> str:
    """Check that a user without a subscription can be redirected.

    ``init_app`` cannot: views may be registered after it.
    """
    endpoint = examination.settings.subscription_view

    if endpoint is None:
        return "None: users without a subscription get 402."

    if endpoint not in current_app.view_functions:
        nearest = get_close_matches(endpoint, sorted(current_app.view_functions), 1)
        hint = f"The nearest is {nearest[0]!r}." if nearest else "See 'flask routes'."
        raise CheckFailed(
            f"'STRIPE_SUBSCRIPTION_VIEW' is {endpoint!r}, and the app has no such"
            f" endpoint. {hint}"
        )

    try:
        path = current_app.url_map.bind("localhost").build(endpoint, method="GET")
    except BuildError as error:
        raise CheckFailed(
            f"'STRIPE_SUBSCRIPTION_VIEW' is {endpoint!r}, which no GET without"
            " arguments reaches. Name an endpoint that one does."
        ) from error

    return f"{endpoint!r}, at {path}."


def check_guards(examination: Examination) -> str:
    """Check that each price in ``subscription_required`` is known to the app.

    Guards are made before ``init_app``, so it cannot check them.
    """
    views_by_price = guarded_views(current_app)
    errors = []

    for price, views in views_by_price.items():
        try:
            resolve_price(price, examination.settings)
        except ConfigurationError as error:
            errors.append(f"{error} It guards {', '.join(map(repr, views))}.")

    if errors:
        raise CheckFailed(" ".join(errors))

    return (
        f"Known prices: {', '.join(views_by_price)}."
        if views_by_price
        else "None names a price."
    )


def check_own_webhook(examination: Examination) -> str:
    """Post a body with a wrong signature to each path of the app's own webhook.

    What should come back is the webhook's refusal. Anything else means that something
    in the app answers before the webhook, and would answer Stripe so, too.
    """
    paths = webhook_paths(examination.state)

    for path, shown in zip(
        (None, *examination.settings.webhook_paths), paths, strict=True
    ):
        try:
            _reach_webhook(path)
        except CheckFailed as error:
            place = f"At {shown}: " if len(paths) > 1 else ""
            raise CheckFailed(f"{place}{error}") from error

    return f"A request reaches it at {' and '.join(paths)}."


def _reach_webhook(path: str | None) -> None:
    """Check that the webhook itself answers a request.

    :param path: One of ``STRIPE_WEBHOOK_PATHS``; ``None`` for the webhook's own path.
    :raises CheckFailed: If something else in the app answers.
    """
    body = json.dumps({"object": "event", "type": "doctor"}).encode()

    try:
        with _no_warnings(views_logger):
            answer = post_to_webhook(body, secret="no secret", path=path)  # noqa: S106
    except Exception as error:  # any code of the app may run before the webhook
        raise CheckFailed(
            f"The app raised {type(error).__name__} before the webhook was reached."
            " 'flask --debug stripe trigger invoice.paid' shows where."
        ) from error

    if not answer.is_bad_signature:
        raise CheckFailed(explain_answer(answer))


@contextmanager
def _no_warnings(logger: logging.Logger) -> Iterator[None]:
    """Keep the warnings of a logger out of the log: here they are expected."""
    level = logger.level
    logger.setLevel(logging.ERROR)

    try:
        yield
    finally:
        logger.setLevel(level)


def check_no_prices(examination: Examination) -> str:
    """Stand in for the checks of prices if ``STRIPE_PRICES`` names no price."""
    if examination.settings.any_price:
        return "'STRIPE_PRICES' names none: browsers may buy every price."

    raise CheckFailed(
        "'STRIPE_PRICES' is empty, so nothing can be bought. Name the prices that"
        " browsers may buy, {'pro': 'price_...'}."
    )


def check_unset_price(examination: Examination) -> str:
    """Fail for an entry of ``STRIPE_PRICES`` without a price id."""
    raise CheckFailed(
        "'STRIPE_PRICES' has no price id for it, so it is not for sale. Is an"
        " environment variable missing?"
    )
