"""The test cards, and what they do.

Source: https://docs.stripe.com/testing
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ApiError


@dataclass(frozen=True)
class Decline:
    """Why a card is refused.

    :param message: The sentence for the cardholder.
    :param code: Stripe's error code.
    :param decline_code: The bank's reason, where there is one.
    """

    message: str
    code: str = "card_declined"
    decline_code: str | None = None

    def to_error(self) -> ApiError:
        return ApiError(
            self.message,
            status=402,
            type="card_error",
            code=self.code,
            decline_code=self.decline_code,
        )


GENERIC = Decline("Your card was declined.", decline_code="generic_decline")
NOT_A_TEST_CARD = Decline(
    "Your card was declined: this is a sandbox, and this is not one of its test cards."
    " Use 4242 4242 4242 4242.",
    decline_code="test_mode_live_card",
)
NO_AUTHENTICATION = Decline(
    "This card asks for 3-D Secure, which the sandbox does not simulate yet. Use"
    " 4242 4242 4242 4242.",
    decline_code="authentication_required",
)


@dataclass(frozen=True)
class TestCard:
    """A test card.

    :param brand: Stripe's word for the network.
    :param decline: Refuses the card when it is entered.
    :param later: Refuses every charge after the one it was entered for.
    """

    __test__ = False  # pytest: not a class of tests

    brand: str = "visa"
    decline: Decline | None = None
    later: Decline | None = None


CARDS = {
    "4242424242424242": TestCard(),
    "4000056655665556": TestCard(),
    "5555555555554444": TestCard("mastercard"),
    "378282246310005": TestCard("amex"),
    "6011111111111117": TestCard("discover"),
    "4000000000000341": TestCard(later=GENERIC),
    "4000000000000002": TestCard(decline=GENERIC),
    "4000000000009995": TestCard(
        decline=Decline(
            "Your card has insufficient funds.", decline_code="insufficient_funds"
        )
    ),
    "4000000000009987": TestCard(
        decline=Decline("Your card was declined.", decline_code="lost_card")
    ),
    "4000000000009979": TestCard(
        decline=Decline("Your card was declined.", decline_code="stolen_card")
    ),
    "4000000000000069": TestCard(
        decline=Decline("Your card has expired.", code="expired_card")
    ),
    "4000000000000127": TestCard(
        decline=Decline("Your card's security code is incorrect.", code="incorrect_cvc")
    ),
    "4000000000000119": TestCard(
        decline=Decline(
            "An error occurred while processing your card. Try again in a little bit.",
            code="processing_error",
        )
    ),
    **{
        number: TestCard(decline=NO_AUTHENTICATION)
        for number in (
            "4000002500003155",
            "4000002760003184",
            "4000003800000446",
            "4000008260003178",
            "4000000000003220",
            "4000008400001629",
            "4000008400001280",
        )
    },
}


def find_card(number: str) -> TestCard:
    """Return the card that was typed in.

    :param number: Digits; spaces and dashes between them do not matter.
    :raises ApiError: If it is not a card number, or not one of the test cards.
    """
    digits = clean_number(number)

    if not 12 <= len(digits) <= 19 or not digits.isdecimal() or not _luhn(digits):
        raise Decline(
            "Your card number is invalid.", code="incorrect_number"
        ).to_error()

    if digits not in CARDS:
        raise NOT_A_TEST_CARD.to_error()

    return CARDS[digits]


def clean_number(number: str) -> str:
    return number.replace(" ", "").replace("-", "")


def _luhn(digits: str) -> bool:
    total = 0

    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value

    return total % 10 == 0
