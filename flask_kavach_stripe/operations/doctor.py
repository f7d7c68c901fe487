"""The checks of ``flask stripe doctor``: which there are, and how they run.

Each check is a function of ``checks_here``, ``checks_at_stripe`` or
``checks_of_customers``; ``examination`` says what a check returns and raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from typing import Final
from typing import Literal
from typing import NamedTuple

from flask import current_app

from ..errors import APIConnectionError
from ..errors import ConfigurationError
from ..errors import StripeError
from ..guards import guarded_views
from ..state import State
from . import checks_at_stripe
from . import checks_here
from . import checks_of_customers
from .examination import Check
from .examination import CheckFailed
from .examination import CheckSkipped
from .examination import Examination
from .examination import Note
from .explanations import explain
from .explanations import printable

Verdict = Literal["ok", "note", "FAIL", "skip"]


class Finding(NamedTuple):
    """The outcome of one check, for one line of the output."""

    name: str
    verdict: Verdict
    #: One line, without a secret.
    text: str


#: The checks that every app needs, by the name in the output, in the order of running.
CHECKS: Final[Mapping[str, Check]] = {
    "secret key": checks_here.check_secret_key,
    "webhook secret": checks_here.check_webhook_secret,
    "configuration": checks_here.check_keys,
    "database": checks_here.check_tables,
    "login": checks_here.check_login,
    "subscription view": checks_here.check_subscription_view,
    "guards": checks_here.check_guards,
    "own webhook": checks_here.check_own_webhook,
    "Stripe": checks_at_stripe.check_stripe,
    "webhook endpoint": checks_at_stripe.check_endpoint,
    "webhook events": checks_at_stripe.check_events,
    "webhook version": checks_at_stripe.check_api_version,
    "handlers": checks_at_stripe.check_handlers,
    "portal": checks_at_stripe.check_portal,
    "customers": checks_of_customers.check_customers,
    "orphans": checks_of_customers.check_orphans,
}


def checks_of(state: State) -> Mapping[str, Check]:
    """All checks of the current app: :data:`CHECKS`, then one for each price.

    First the prices on sale, then those that only a guard names, by id.
    """
    prices: dict[str, Check] = {
        f"price {name}": partial(checks_at_stripe.check_price, price=price)
        for name, price in state.settings.prices.items()
    }
    known = {*state.settings.prices, *state.settings.catalogue.names}
    guarded: dict[str, Check] = {
        f"price {price_id}": partial(
            checks_at_stripe.check_guarded_price, price_id=price_id, views=views
        )
        for price_id, views in guarded_views(current_app).items()
        if price_id.startswith("price_") and price_id not in known
    }
    unset: dict[str, Check] = {
        f"price {name}": checks_here.check_unset_price
        for name in state.settings.catalogue.unset
    }
    on_sale = prices or {"prices": checks_here.check_no_prices}
    return {**CHECKS, **on_sale, **unset, **guarded}


def examine(state: State) -> Iterator[Finding]:
    """Run all checks of an app, and yield each outcome as soon as it is known."""
    examination = Examination(state)

    for name, check in checks_of(state).items():
        yield Finding(name, *_run(check, examination))


def _run(check: Check, examination: Examination) -> tuple[Verdict, str]:
    """Run one check, and turn its errors into a verdict and a line.

    After a connection error, the later checks that need Stripe are skipped.
    """
    try:
        text = check(examination)
        return "note" if isinstance(text, Note) else "ok", _one_line(text)
    except CheckSkipped as error:
        return "skip", _one_line(str(error))
    except StripeError as error:
        if isinstance(error, APIConnectionError):
            # Do not wait for the timeout in every further check.
            examination.stripe_answers = False

        return "FAIL", _one_line(explain(error))
    except (CheckFailed, ConfigurationError) as error:
        return "FAIL", _one_line(str(error))


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
