"""The checks of ``flask stripe doctor``, each a function.

A check returns one line about what is right. It raises :exc:`CheckFailed` to say what
is wrong and what to do, and :exc:`CheckSkipped` if an earlier check failed and there is
nothing to look at. An error of Stripe counts as a failed check.

The checks run in the order of :data:`CHECKS`. An :class:`Examination` passes what one
check learned on to the next ones. Nothing is written, here or at Stripe.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cached_property
from functools import partial
from itertools import islice
from typing import Any
from typing import Final
from typing import Literal
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import SQLAlchemyError

from ..billing.presence import find_presence
from ..billing.presence import Presence
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
from ..stripe_api.objects import read_subscription
from ..stripe_api.objects import read_text
from .explanations import explain
from .running import find_unclaimed
from .webhook_endpoints import list_endpoints
from .webhook_endpoints import location_of
from .webhook_endpoints import needed_events
from .webhook_endpoints import path_of
from .webhook_endpoints import webhook_path

Verdict = Literal["ok", "FAIL", "skip"]

#: The oldest API version of objects that we can read.
OLDEST_API_VERSION: Final = "2024-12-18.acacia"


#: How many customers are asked for, and how many pages of subscriptions.
_SAMPLE: Final = 3
_PAGES: Final = 10

_MODES: Final = {
    Presence.IN_TEST_MODE: "a customer of test mode",
    Presence.IN_LIVE_MODE: "a customer of live mode",
}


class CheckFailed(KavachStripeError):
    """Something is wrong. The message says what, and what to do."""


class CheckSkipped(KavachStripeError):
    """There is nothing to look at. The message says why."""


class Finding(NamedTuple):
    """The outcome of one check, for one line of the output."""

    name: str
    verdict: Verdict
    #: One line, without a secret.
    text: str


class Examination:
    """One run of all checks, with what the later ones need from the earlier ones."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.settings: Settings = state.settings
        #: Whether Stripe answered and accepts the key. Set by :func:`check_stripe`.
        self.stripe_answers = False
        #: The webhook endpoint at Stripe with this app's path. Set by
        #: :func:`check_endpoint`.
        self.endpoint: Mapping[str, Any] | None = None

    @cached_property
    def needed_events(self) -> frozenset[str]:
        """The event types that the app needs, see :func:`.needed_events`."""
        return needed_events(self.state.registry)

    def require_stripe(self) -> StripeClient:
        """The client, for a check that asks Stripe.

        :raises CheckSkipped: If Stripe did not answer, or refused the key.
        """
        if not self.stripe_answers:
            raise CheckSkipped("Stripe could not be asked.")

        return self.state.client

    def require_endpoint(self) -> Mapping[str, Any]:
        """The webhook endpoint of this app.

        :raises CheckSkipped: If :func:`check_endpoint` found none.
        """
        if self.endpoint is None:
            raise CheckSkipped("There is no endpoint to look at.")

        return self.endpoint


#: Returns a line about what is right, or raises.
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


# -- Stripe's side ---------------------------------------------------------------------


def check_stripe(examination: Examination) -> str:
    """Ask Stripe for one subscription: the objects that the extension reads most.

    A restricted key may lack the permission for it. Then this check fails, but the
    later ones still ask Stripe, as the key itself is valid.
    """
    if examination.settings.secret_key is None:
        raise CheckSkipped("There is no key to ask with.")

    client = examination.state.client

    try:
        client.get("/v1/subscriptions", {"limit": 1, "status": "all"})
    except PermissionDeniedError:
        examination.stripe_answers = True  # the key is valid, only not for this
        raise

    examination.stripe_answers = True
    return f"{client.base_url} takes the key."


def check_endpoint(examination: Examination) -> str:
    """Find the webhook endpoint at Stripe that has the path of this app's webhook.

    Hosts are not compared: the app does not know all names under which it is reached.
    If several endpoints have the path, such as one for each deployment, the best one
    counts: first an enabled one, then one in a readable API version, then the one that
    lacks the fewest event types. The later checks look at this endpoint.
    """
    client, needed = examination.require_stripe(), examination.needed_events
    path = webhook_path()
    endpoint = max(
        (listed for listed in list_endpoints(client) if path_of(listed) == path),
        key=lambda listed: (
            listed.get("status") == "enabled",
            _is_readable(listed.get("api_version")),
            -len(missing_events(listed, needed)),
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
    """Check the API version in which Stripe writes the webhooks of the endpoint.

    It is set when the endpoint is created, and may differ from the version of our own
    requests. An endpoint without one follows the default of the Stripe account, which
    no request can read.

    Source: https://docs.stripe.com/webhooks/versioning
    """
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


def check_customers(examination: Examination) -> str:
    """Ask for the three newest linked customers: does this account know them?"""
    client, state = examination.require_stripe(), examination.state

    try:
        payers = state.payers.list_newest(state.session, limit=_SAMPLE)
        state.session.commit()
    except SQLAlchemyError:
        state.session.rollback()
        raise CheckSkipped("The database could not be read.") from None

    unknown = []

    for payer in payers:
        presence = find_presence(client, str(payer.customer_id))

        if not presence.is_known:
            mode = _MODES.get(presence, "not known under this key")
            unknown.append(f"{payer.customer_id} of user {payer.user_id} ({mode})")

    if unknown:
        raise CheckFailed(
            f"Stripe does not have {', '.join(unknown)}. Correct 'STRIPE_SECRET_KEY',"
            " or clear them with 'flask stripe forget'."
        )

    return f"Stripe knows the newest {len(payers)}." if payers else "There are none."


def check_orphans(examination: Examination) -> str:
    """Count running subscriptions that this app sold and that no user has.

    Looks at the newest ones at Stripe, :data:`_PAGES` requests at most.
    """
    client, state, number = examination.require_stripe(), examination.state, 0
    pages = client.pages("/v1/subscriptions", {"limit": 100})

    try:
        for page in islice(pages, _PAGES):
            listed = [read_subscription(each) for each in page["data"]]
            ids = [each.customer_id for each in listed if each is not None]
            known = state.payers.find_all(state.session, ids)
            state.session.commit()
            number += len(find_unclaimed(state, page["data"], known)[0])
    except SQLAlchemyError:
        state.session.rollback()
        raise CheckSkipped("The database could not be read.") from None

    if number:
        raise CheckFailed(
            f"{number} running at Stripe belong to nobody here, although this app sold"
            " them. 'flask stripe sync' lists them."
        )

    return "Every running subscription that this app sold has a user."


def check_no_prices(examination: Examination) -> str:
    """Stands in for the checks of prices if ``STRIPE_PRICES`` names no price."""
    if examination.settings.any_price:
        return "'STRIPE_PRICES' names none: browsers may buy every price."

    raise CheckFailed(
        "'STRIPE_PRICES' is empty, so nothing can be bought. Name the prices that"
        " browsers may buy, {'pro': 'price_...'}."
    )


def check_price(examination: Examination, price: Price) -> str:
    """Check that Stripe has a price, and that a subscription can use it.

    Stripe answers 404 for a price of the other mode, live or test, too.
    """
    client = examination.require_stripe()
    mode = "live" if examination.settings.livemode else "test"

    try:
        stripe_price = client.get(quote_path("/v1/prices/{}", price.id))
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

    if stripe_price.get("active") is not True:
        raise CheckFailed(
            f"{price.id} is not active, so it cannot be bought. Activate it, or correct"
            " 'STRIPE_PRICES'."
        )

    interval = read_text(as_mapping(stripe_price.get("recurring")).get("interval"))

    if interval is None:
        raise CheckFailed(
            f"{price.id} is paid once, and a subscription needs a recurring price."
            " Correct 'STRIPE_PRICES'."
        )

    return f"{price.id} is active and paid by the {interval}."


def missing_events(
    endpoint: Mapping[str, Any], needed: frozenset[str]
) -> tuple[str, ...]:
    """The needed event types that Stripe does not send to an endpoint, sorted."""
    enabled = endpoint.get("enabled_events")
    types = enabled if isinstance(enabled, list) else []
    return () if "*" in types else tuple(sorted(needed.difference(map(str, types))))


def _is_readable(version: object) -> bool:
    """Whether we can read objects of an API version, such as ``2025-03-31.basil``.

    Versions begin with their date, so they compare as text. No version is readable, as
    far as can be known: it is the default of the Stripe account.
    """
    if version is None:
        return True

    if not isinstance(version, str) or not API_VERSION.fullmatch(version):
        return False

    return version[:10] >= OLDEST_API_VERSION[:10]


# -- all of it -------------------------------------------------------------------------

#: The checks that every app needs, by the name in the output, in the order of running.
CHECKS: Final[Mapping[str, Check]] = {
    "secret key": check_secret_key,
    "webhook secret": check_webhook_secret,
    "database": check_tables,
    "Stripe": check_stripe,
    "webhook endpoint": check_endpoint,
    "webhook events": check_events,
    "webhook version": check_api_version,
    "customers": check_customers,
    "orphans": check_orphans,
}


def checks_of(state: State) -> Mapping[str, Check]:
    """All checks of an app: :data:`CHECKS`, then one for each price on sale."""
    prices: dict[str, Check] = {
        f"price {name}": partial(check_price, price=price)
        for name, price in state.settings.prices.items()
    }
    return {**CHECKS, **(prices or {"prices": check_no_prices})}


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
        return "ok", _one_line(check(examination))
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
    """The text without line breaks and control characters of a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
