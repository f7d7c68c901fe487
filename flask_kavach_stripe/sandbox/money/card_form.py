"""A card as it is typed into a hosted page.

Checkout, the portal and :meth:`.Sandbox.pay` take cards in this form; the API takes
them as payment methods.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC

from ..cards import Decline
from ..cards import find_card
from ..cards import TestCard

_CVC = re.compile(r"[0-9]{3,4}", re.ASCII)
_EXPIRY = re.compile(r"\s*([0-9]{1,2})\s*/\s*([0-9]{2}|20[0-9]{2})\s*", re.ASCII)


@dataclass(frozen=True)
class CardForm:
    """The fields of a card form, as the buyer fills them in.

    :param expiry: ``MM / YY``.
    :param cvc: Three or four digits; which ones does not matter.
    :param name: The name on the card; becomes the name of a new customer.
    """

    number: str
    expiry: str = "12 / 49"
    cvc: str = "123"
    name: str | None = None

    def check(self, now: int) -> TestCard:
        """Check the card as the bank would.

        :param now: Unix seconds.
        :returns: The test card behind the number.
        :raises ApiError: A ``card_error`` (402) with the code ``incorrect_number``,
            ``invalid_expiry_month``, ``invalid_expiry_year``, ``invalid_cvc``, or the
            card's own one.
        """
        card = find_card(self.number)
        self.read_expiry(now)

        if not _CVC.fullmatch(self.cvc.strip()):
            raise Decline(
                "Your card's security code is incomplete: it has 3 or 4 digits.",
                code="invalid_cvc",
            ).to_error()

        if card.decline is not None:
            raise card.decline.to_error()

        return card

    def read_expiry(self, now: int) -> tuple[int, int]:
        """Return month and year.

        :param now: Unix seconds.
        :raises ApiError: ``invalid_expiry_month`` if they are malformed,
            ``invalid_expiry_year`` if they are past.
        """
        match = _EXPIRY.fullmatch(self.expiry)

        if match is None or not 1 <= int(match[1]) <= 12:
            raise Decline(
                "Your card's expiration date is incomplete or invalid: write it as"
                " MM / YY.",
                code="invalid_expiry_month",
            ).to_error()

        month, year = int(match[1]), int(match[2]) % 100 + 2000
        today = datetime.fromtimestamp(now, UTC)

        if (year, month) < (today.year, today.month):
            raise Decline(
                "Your card's expiration date is in the past.",
                code="invalid_expiry_year",
            ).to_error()

        return month, year
