"""The checks of ``flask stripe doctor`` on customers: does Stripe know them, and we?"""

from __future__ import annotations

from itertools import islice
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from ..billing.presence import find_presence
from ..billing.presence import Presence
from ..stripe_api.objects import read_subscription
from .examination import CheckFailed
from .examination import CheckSkipped
from .examination import Examination
from .running_subscriptions import find_unclaimed

#: How many customers are asked for, and how many pages of subscriptions.
_SAMPLE: Final = 3
_PAGES: Final = 10

_MODES: Final = {
    Presence.IN_TEST_MODE: "a customer of test mode",
    Presence.IN_LIVE_MODE: "a customer of live mode",
}


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
