"""The checks of ``flask stripe doctor`` that ask Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

from ..catalogue import Price
from ..config import API_VERSION
from ..errors import InvalidRequestError
from ..errors import PermissionDeniedError
from ..stripe_api.encoding import quote_path
from ..stripe_api.event_types import doubt_type
from ..stripe_api.objects import as_mapping
from ..stripe_api.objects import read_text
from .examination import CheckFailed
from .examination import CheckSkipped
from .examination import Examination
from .examination import Note
from .webhook_endpoints import list_endpoints
from .webhook_endpoints import location_of
from .webhook_endpoints import path_of
from .webhook_endpoints import webhook_paths

#: The oldest API version of objects that we can read.
OLDEST_API_VERSION: Final = "2024-12-18.acacia"


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
    """Find the webhook endpoint at Stripe that has a path of this app's webhook.

    Hosts are not compared: the app does not know all names under which it is reached.
    If several endpoints have the path, such as one for each deployment, the best one
    counts: first an enabled one, then one in a readable API version, then the one that
    lacks the fewest event types. The later checks look at this endpoint.

    With a test key, no endpoint is needed while ``stripe listen`` or the sandbox
    forwards events, which Stripe lists nowhere.
    """
    client, needed = examination.require_stripe(), examination.needed_events
    paths = webhook_paths(examination.state)
    endpoint = max(
        (listed for listed in list_endpoints(client) if path_of(listed) in paths),
        key=lambda listed: (
            listed.get("status") == "enabled",
            _is_readable(listed.get("api_version")),
            -len(missing_events(listed, needed)),
        ),
        default=None,
    )

    if endpoint is None:
        missing = f"None at Stripe has the path {' or '.join(paths)}"
        command = "'flask stripe webhook create URL'"

        if examination.settings.livemode:
            raise CheckFailed(f"{missing}. Add one with {command}.")

        return Note(
            f"{missing}, so events come only while 'stripe listen' or the sandbox"
            f" forwards them. For a deployment, add one with {command}."
        )

    examination.endpoint = endpoint

    if endpoint.get("status") != "enabled":
        raise CheckFailed(
            f"{location_of(endpoint)} is {endpoint.get('status')}. Enable it in"
            " Stripe's Dashboard."
        )

    return f"{location_of(endpoint)} is enabled."


def check_events(examination: Examination) -> str:
    """Check that Stripe sends the events that the app needs.

    A type that Stripe does not have is the matter of :func:`check_handlers`.
    """
    endpoint = examination.require_endpoint()
    needed = examination.needed_events
    missing = [
        event_type
        for event_type in missing_events(endpoint, needed)
        if doubt_type(event_type) is None
    ]

    if missing:
        raise CheckFailed(
            f"Not sent: {', '.join(missing)}. Add them to {location_of(endpoint)} in"
            " Stripe's Dashboard."
        )

    return f"All {len(needed)} that are needed are sent."


def check_handlers(examination: Examination) -> str:
    """Check that Stripe has the event types of the app's handlers.

    A type to which the endpoint is subscribed exists, even if our list is too old.
    """
    registry = examination.state.registry
    unknown = registry.event_types | registry.patterns

    if examination.endpoint is not None:
        unknown &= {*missing_events(examination.endpoint, unknown), *registry.patterns}

    doubts = [doubt for doubt in map(doubt_type, sorted(unknown)) if doubt is not None]

    if doubts:
        raise CheckFailed(f"{' '.join(doubts)} Correct it in '@kavach_stripe.on'.")

    return "Stripe has the event types of all handlers."


def check_portal(examination: Examination) -> str:
    """Check that the billing portal has a default configuration.

    Stripe makes it when the settings are saved for the first time in the Dashboard, one
    for each mode. Without it, Stripe refuses each portal session.

    Source: https://docs.stripe.com/customer-management/integrate-customer-portal
    """
    client = examination.require_stripe()
    found = client.get(
        "/v1/billing_portal/configurations",
        {"is_default": True, "active": True, "limit": 1},
    )

    if not found.get("data"):
        test = "" if examination.settings.livemode else "test/"
        raise CheckFailed(
            "Stripe's billing portal was never configured, so nobody can open it. Save"
            f" its settings at https://dashboard.stripe.com/{test}settings/billing/portal."
        )

    return "Stripe's billing portal is configured."


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


def check_price(examination: Examination, price: Price) -> str:
    """Check that Stripe has a price on sale, and that a subscription can use it."""
    stripe_price = _retrieve_price(
        examination, price.id, "Correct 'STRIPE_PRICES', or create the price."
    )

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


def check_guarded_price(
    examination: Examination, price_id: str, views: Sequence[str]
) -> str:
    """Check that Stripe has a price that is not on sale but opens a guarded view.

    It may be inactive: who bought it before keeps it.
    """
    _retrieve_price(
        examination,
        price_id,
        f"Correct 'subscription_required' of {', '.join(views)}.",
    )
    return f"Stripe has it. It opens {', '.join(views)}."


def _retrieve_price(
    examination: Examination, price_id: str, advice: str
) -> Mapping[str, Any]:
    """Read a price. Stripe answers 404 for a price of the other mode, too.

    :param advice: What to do if there is none, as a sentence.
    :raises CheckFailed: If there is none, or the id can be no price's.
    """
    client = examination.require_stripe()
    mode = "live" if examination.settings.livemode else "test"

    try:
        return client.get(quote_path("/v1/prices/{}", price_id))
    except InvalidRequestError as error:
        if error.http_status != 404:
            raise

        raise CheckFailed(
            f"Stripe has no price {price_id} in {mode} mode. {advice}"
        ) from error
    except ValueError as error:
        raise CheckFailed(f"{price_id!r} is not the id of a price. {advice}") from error


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
