"""Stripe's test cards: which are refused, when, and with which error.

A card is known by its number, or by one of the payment methods (``pm_card_visa``) that
Stripe has ready for tests. Any other valid number is declined with
``test_mode_live_card``, as in Stripe's test mode.

Source: https://docs.stripe.com/testing
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .sandbox_errors import ApiError


@dataclass(frozen=True)
class Decline:
    """Why a card is refused.

    :param message: The sentence for the cardholder.
    :param code: Stripe's error code: ``card_declined``, ``expired_card``, ...
    :param decline_code: The bank's reason, where there is one: ``insufficient_funds``,
        ...

    Source: https://docs.stripe.com/declines/codes
    """

    message: str
    code: str = "card_declined"
    decline_code: str | None = None

    def to_error(self) -> ApiError:
        """Return the ``card_error`` that a call answers with, of status 402."""
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
NO_CARD = Decline(
    "There is no payment method to charge.", code="payment_method_missing"
)
AUTHENTICATION_REQUIRED = Decline(
    "Your card was declined. This transaction requires authentication.",
    code="authentication_required",
    decline_code="authentication_required",
)
AUTHENTICATION_FAILED = Decline(
    "We are unable to authenticate your payment method. Please choose a different"
    " payment method and try again.",
    code="payment_intent_authentication_failure",
)
INSUFFICIENT_FUNDS = Decline(
    "Your card has insufficient funds.", decline_code="insufficient_funds"
)
PROCESSING_ERROR = Decline(
    "An error occurred while processing your card. Try again in a little bit.",
    code="processing_error",
)


@dataclass(frozen=True)
class TestCard:
    """A test card.

    :param brand: Stripe's word for the network.
    :param decline: Refuses the card when it is typed in or attached.
    :param later: Refuses every charge of the attached card. (Stripe refuses the first
        payment in Checkout, too; here that one succeeds, so that a test gets a
        subscriber with renewals that fail.)
    :param authenticate: When the bank asks for 3-D Secure: at every payment, at those
        with the cardholder present, or until it was passed once.
    :param after: Refuses the charge after 3-D Secure was passed.
    """

    __test__ = False  # pytest: not a class of tests

    brand: str = "visa"
    decline: Decline | None = None
    later: Decline | None = None
    authenticate: Literal["always", "never", "on_session", "once"] = "never"
    after: Decline | None = None

    def asks(self, *, on_session: bool, set_up: bool) -> bool:
        """Does the bank ask for 3-D Secure?

        :param on_session: The cardholder is there.
        :param set_up: It was passed once, for this card and this customer.
        """
        if self.authenticate == "on_session":
            return on_session

        return self.authenticate == "always" or (
            self.authenticate == "once" and not set_up
        )


CARDS = {
    "4242424242424242": TestCard(),
    "4000056655665556": TestCard(),
    "4000000000000077": TestCard(),
    "5555555555554444": TestCard("mastercard"),
    "378282246310005": TestCard("amex"),
    "6011111111111117": TestCard("discover"),
    # Differs from Stripe: the dispute that follows is not simulated.
    "4000000000000259": TestCard(),
    "4000000000000341": TestCard(later=GENERIC),
    "4000000000000002": TestCard(decline=GENERIC),
    "4000000000009995": TestCard(decline=INSUFFICIENT_FUNDS),
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
    "4000000000000119": TestCard(decline=PROCESSING_ERROR),
    "4000002500003155": TestCard(authenticate="once"),
    "4000002760003184": TestCard(authenticate="always"),
    "4000003800000446": TestCard(authenticate="on_session"),
    "4000008260003178": TestCard(authenticate="always", after=INSUFFICIENT_FUNDS),
    "4000000000003220": TestCard(authenticate="always"),
    "4000008400001629": TestCard(authenticate="always", after=GENERIC),
    # The question to the bank itself fails: there is no page to show.
    "4000008400001280": TestCard(decline=PROCESSING_ERROR),
}

#: Payment methods that Stripe has ready for tests; each use makes a new one.
TOKENS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_visa_debit": "4000056655665556",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_discover": "6011111111111117",
    "pm_card_bypassPending": "4000000000000077",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_threeDSecure2Required": "4000000000003220",
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


def number_of(card: str) -> str:
    """Return the number of a card that a test pays with.

    :param card: That number, or a key of :data:`TOKENS`.
    :raises TypeError: If it is no string.
    :raises ValueError: If it is another word.
    """
    expected = "the number of a test card, '4242424242424242', or 'pm_card_visa'"

    if not isinstance(card, str):
        raise TypeError(f"A card is a string, {expected}; not {card!r}.")

    number = TOKENS.get(card, card)

    if any(char.isalpha() for char in number):
        raise ValueError(f"A card is {expected} or the like; not {card!r}.")

    return number


def clean_number(number: str) -> str:
    """Return a card number without spaces and dashes."""
    return number.replace(" ", "").replace("-", "")


def _luhn(digits: str) -> bool:
    """Is the last digit the check digit of the others (Luhn's formula)?"""
    total = 0

    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value

    return total % 10 == 0
