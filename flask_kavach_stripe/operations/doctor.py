"""What ``flask stripe doctor`` looks at, each in a function of its own.

A check returns what it found. It raises :exc:`CheckFailed` with what is wrong and what
to do, and :exc:`CheckSkipped` where an earlier failure leaves nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cached_property
from functools import partial
from typing import Any
from typing import Final
from typing import Literal
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import SQLAlchemyError

from ..config import API_VERSION
from ..config import Price
from ..config import Settings
from ..database.setup import missing_tables
from ..errors import APIConnectionError
from ..errors import ConfigurationError
from ..errors import InvalidRequestError
from ..errors import KavachStripeError
from ..errors import PermissionDeniedError
from ..errors import StripeError
from ..state import State
from ..stripe_api.client import StripeClient
from ..stripe_api.encoding import quote_path
from ..stripe_api.objects import as_mapping
from ..stripe_api.objects import read_text
from .explanations import explain
from .webhook_endpoints import list_endpoints
from .webhook_endpoints import location_of
from .webhook_endpoints import needed_events
from .webhook_endpoints import path_of
from .webhook_endpoints import webhook_path

Verdict = Literal["ok", "FAIL", "skip"]

#: The oldest API version whose objects can be read.
OLDEST_API_VERSION: Final = "2024-12-18.acacia"


class CheckFailed(KavachStripeError):
    """What is wrong, and what to do."""


class CheckSkipped(KavachStripeError):
    """Why there is nothing to look at."""


class Finding(NamedTuple):
    """The outcome of one check."""

    name: str
    verdict: Verdict
    #: One line, without a secret.
    text: str


class Examination:
    """One run, and what its earlier checks found out for the later ones."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.settings: Settings = state.settings
        #: Whether Stripe takes the key.
        self.stripe_answers = False
        #: The webhook endpoint at Stripe that leads to this app.
        self.endpoint: Mapping[str, Any] | None = None

    @cached_property
    def needed_events(self) -> frozenset[str]:
        return needed_events(self.state.registry)

    def require_stripe(self) -> StripeClient:
        if not self.stripe_answers:
            raise CheckSkipped("Stripe could not be asked.")

        return self.state.client

    def require_endpoint(self) -> Mapping[str, Any]:
        if self.endpoint is None:
            raise CheckSkipped("There is no endpoint to look at.")

        return self.endpoint


Check = Callable[[Examination], str]


# -- the app's own side ----------------------------------------------------------------


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


def check_tables(examination: Examination) -> str:
    try:
        state = examination.state
        missing = missing_tables(state.session, state.models)
    except SQLAlchemyError as error:
        # The driver's words: SQLAlchemy would add a page of its own.
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise CheckFailed(f"The database cannot be read: {reason}.") from error

    if missing:
        raise CheckFailed(
            f"Missing: {', '.join(missing)}. Run 'flask db migrate', then 'flask db"
            " upgrade'."
        )

    return "All tables and columns are there."


# -- Stripe's side ---------------------------------------------------------------------


def check_stripe(examination: Examination) -> str:
    """Whether Stripe takes the key, for what the extension reads most."""
    if examination.settings.secret_key is None:
        raise CheckSkipped("There is no key to ask with.")

    client = examination.state.client

    try:
        client.get("/v1/subscriptions", {"limit": 1, "status": "all"})
    except PermissionDeniedError:
        examination.stripe_answers = True  # the key is good, but for this
        raise

    examination.stripe_answers = True
    return f"{client.base_url} takes the key."


def check_endpoint(examination: Examination) -> str:
    """Of several endpoints, such as one for each deployment, the best one counts."""
    client, needed = examination.require_stripe(), examination.needed_events
    path = webhook_path()
    endpoint = max(
        (found for found in list_endpoints(client) if path_of(found) == path),
        key=lambda found: (
            found.get("status") == "enabled",
            _is_readable(found.get("api_version")),
            -len(missing_events(found, needed)),
        ),
        default=None,
    )

    if endpoint is None:
        raise CheckFailed(
            f"None at Stripe has the path {path}. Add one with 'flask stripe webhook"
            " create URL'."
        )

    examination.endpoint = endpoint

    if endpoint.get("status") != "enabled":
        raise CheckFailed(
            f"{location_of(endpoint)} is {endpoint.get('status')}. Enable it in"
            " Stripe's Dashboard."
        )

    return f"{location_of(endpoint)} is enabled."


def check_events(examination: Examination) -> str:
    endpoint = examination.require_endpoint()
    needed = examination.needed_events
    missing = missing_events(endpoint, needed)

    if missing:
        raise CheckFailed(
            f"Not sent: {', '.join(missing)}. Add them to {location_of(endpoint)} in"
            " Stripe's Dashboard."
        )

    return f"All {len(needed)} that are needed are sent."


def check_api_version(examination: Examination) -> str:
    version = examination.require_endpoint().get("api_version")

    if version is None:
        return (
            "The account's default, which Stripe does not tell here. It must be"
            f" {OLDEST_API_VERSION} or newer."
        )

    if not _is_readable(version):
        raise CheckFailed(
            f"{version} cannot be read; it must be {OLDEST_API_VERSION} or newer. The"
            " version of an endpoint cannot be changed: add a new one, then delete this"
            " one."
        )

    return f"{version}."


def check_no_prices(examination: Examination) -> str:
    if examination.settings.any_price:
        return "'STRIPE_PRICES' names none: browsers may buy every price."

    raise CheckFailed(
        "'STRIPE_PRICES' is empty, so nothing can be bought. Name the prices that"
        " browsers may buy, {'pro': 'price_...'}."
    )


def check_price(examination: Examination, price: Price) -> str:
    client = examination.require_stripe()
    mode = "live" if examination.settings.livemode else "test"

    try:
        found = client.get(quote_path("/v1/prices/{}", price.id))
    except InvalidRequestError as error:
        if error.http_status != 404:
            raise

        raise CheckFailed(
            f"Stripe has no price {price.id} in {mode} mode. Correct 'STRIPE_PRICES',"
            " or create the price."
        ) from error
    except ValueError as error:
        raise CheckFailed(
            f"{price.id!r} is not the id of a price. Correct 'STRIPE_PRICES'."
        ) from error

    if found.get("active") is not True:
        raise CheckFailed(
            f"{price.id} is not active, so it cannot be bought. Activate it, or correct"
            " 'STRIPE_PRICES'."
        )

    interval = read_text(as_mapping(found.get("recurring")).get("interval"))

    if interval is None:
        raise CheckFailed(
            f"{price.id} is paid once, and a subscription needs a recurring price."
            " Correct 'STRIPE_PRICES'."
        )

    return f"{price.id} is active and paid by the {interval}."


def missing_events(
    endpoint: Mapping[str, Any], needed: frozenset[str]
) -> tuple[str, ...]:
    """The event types that are needed and that an endpoint is not sent."""
    enabled = endpoint.get("enabled_events")
    types = enabled if isinstance(enabled, list) else []
    return () if "*" in types else tuple(sorted(needed.difference(map(str, types))))


def _is_readable(version: object) -> bool:
    if version is None:
        return True

    if not isinstance(version, str) or not API_VERSION.fullmatch(version):
        return False

    return version[:10] >= OLDEST_API_VERSION[:10]


# -- all of it -------------------------------------------------------------------------

#: Every check, in the order of the output.
CHECKS: Final[Mapping[str, Check]] = {
    "secret key": check_secret_key,
    "webhook secret": check_webhook_secret,
    "database": check_tables,
    "Stripe": check_stripe,
    "webhook endpoint": check_endpoint,
    "webhook events": check_events,
    "webhook version": check_api_version,
}


def checks_of(state: State) -> Mapping[str, Check]:
    """All checks of an app: :data:`CHECKS`, and one for each price."""
    prices: dict[str, Check] = {
        f"price {name}": partial(check_price, price=price)
        for name, price in state.settings.prices.items()
    }
    return {**CHECKS, **(prices or {"prices": check_no_prices})}


def examine(state: State) -> Iterator[Finding]:
    """Run all checks, one after the other."""
    examination = Examination(state)

    for name, check in checks_of(state).items():
        yield Finding(name, *_run(check, examination))


def _run(check: Check, examination: Examination) -> tuple[Verdict, str]:
    try:
        return "ok", _one_line(check(examination))
    except CheckSkipped as error:
        return "skip", _one_line(str(error))
    except StripeError as error:
        if isinstance(error, APIConnectionError):  # who waits once, waits again
            examination.stripe_answers = False

        return "FAIL", _one_line(explain(error))
    except (CheckFailed, ConfigurationError) as error:
        return "FAIL", _one_line(str(error))


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
