"""The rules of the portal: which buttons work for a customer, now.

The pages ask it which buttons to show, and the buttons ask it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Final
from typing import NamedTuple

from ..money.discounts import PromotionCodes
from ..money.item_prices import is_metered
from ..object_store import Object
from ..params import integer
from ..params import read
from ..params import text
from ..recurring.subscription_object import FINAL
from ..resource import Params
from ..sandbox_errors import ApiError
from ..world import World

Features = Mapping[str, Object]

_UPDATABLE = ("active", "past_due", "trialing")
_MAX_QUANTITY = 999_999
#: What each feature is about, for people.
_WORDS: Final[Mapping[str, str]] = {
    "customer_update": "Changing your details",
    "invoice_history": "The list of invoices",
    "payment_method_update": "Changing the card",
    "subscription_cancel": "Canceling",
    "subscription_pause": "Pausing",
    "subscription_update": "Changing the subscription",
}


class Allowed(NamedTuple):
    """The buttons that work for a subscription now."""

    cancel: bool
    keep: bool
    pause: bool
    resume: bool
    update: bool


class Offer(NamedTuple):
    """A price that a customer may have, and how many of it."""

    price: Object
    minimum: int
    maximum: int


class Choice(NamedTuple):
    """The price and quantity that a customer has chosen.

    :param promotion_code: The id of a code, if one was typed in.
    """

    price: Object
    quantity: int
    promotion_code: str | None


class PortalRules:
    """Reads the features of a configuration.

    Features are those of a configuration, as :meth:`.PortalActions.features` gives
    them.
    """

    def __init__(self, world: World, promotion_codes: PromotionCodes) -> None:
        self._world = world
        self._promotion_codes = promotion_codes

    def require(self, features: Features, name: str) -> Object:
        """Return a feature.

        :param name: Stripe's name of it: ``subscription_cancel``, ...
        :raises ApiError: If the configuration does not enable it (403).
        """
        if not features[name]["enabled"]:
            raise ApiError(
                f"{_WORDS[name]} is disabled in the configuration of this portal:"
                f" {name}.",
                status=403,
            )

        return features[name]

    def allowed(self, features: Features, subscription: Object) -> Allowed:
        """Return what a customer may do with a subscription now.

        Only flexible billing can be paused, and a subscription that is about to end can
        neither be paused nor changed.
        """
        status = subscription["status"]
        lives = status not in FINAL
        ends = subscription["cancel_at"] is not None
        rests = status == "paused" or subscription["pause_collection"] is not None
        can_cancel = lives and features["subscription_cancel"]["enabled"]
        can_pause = lives and features["subscription_pause"]["enabled"]
        return Allowed(
            cancel=can_cancel and not ends,
            keep=can_cancel and ends,
            pause=can_pause
            and not rests
            and not ends
            and status in _UPDATABLE
            and subscription["billing_mode"]["type"] == "flexible",
            resume=can_pause and rests,
            update=bool(self.offers(features, subscription)),
        )

    def offers(self, features: Features, subscription: Object) -> Sequence[Offer]:
        """Return the prices that a customer may choose from; the present one is first.

        As at Stripe, only a subscription with a single item can be changed, and none
        that is about to end.
        """
        rules = features["subscription_update"]
        items = subscription["items"]["data"]

        if (
            not rules["enabled"]
            or not rules["default_allowed_updates"]
            or len(items) != 1
            or subscription["cancel_at"] is not None
            or subscription["status"] not in _UPDATABLE
        ):
            return []

        present = items[0]["price"]

        if is_metered(present):
            return []

        prices = [present]

        if "price" in rules["default_allowed_updates"]:
            prices += [
                price
                for product in rules["products"] or ()
                for price_id in product["prices"]
                if (price := self._world.store.find("price", price_id)) is not None
                and price["active"]
                and price["currency"] == subscription["currency"]
                and not is_metered(price)
                and price["id"] != present["id"]
            ]

        return [_offer(rules, price, items[0]["quantity"]) for price in prices]

    def choose(
        self, features: Features, subscription: Object, params: Params
    ) -> Choice:
        """Check what a customer wants.

        :param params: ``price``, ``quantity`` and ``promotion_code``; what is not
            there stays.
        :raises ApiError: If it is not offered, or changes nothing.
        """
        rules = self.require(features, "subscription_update")
        wanted = read(
            params,
            {
                "price": text(),
                "promotion_code": text(),
                "quantity": integer(0, _MAX_QUANTITY),
            },
        )
        offers = {
            offer.price["id"]: offer for offer in self.offers(features, subscription)
        }

        if not offers:
            raise ApiError("This subscription cannot be changed in the portal.")

        item = subscription["items"]["data"][0]
        quantity = wanted.get("quantity")
        quantity = item["quantity"] if quantity is None else quantity
        offer = offers.get(wanted.get("price") or item["price"]["id"])

        if offer is None:
            raise ApiError("This price is not offered.", param="price")

        if not offer.minimum <= quantity <= offer.maximum:
            limits = sorted({offer.minimum, offer.maximum})
            words = " to ".join(map(str, limits))
            raise ApiError(f"The quantity has to be {words}.", param="quantity")

        code = (wanted.get("promotion_code") or "").strip()
        choice = Choice(offer.price, quantity, self._find_code(rules, code))

        if choice == (item["price"], item["quantity"], None):
            raise ApiError("This is what you have already.")

        return choice

    def _find_code(self, rules: Object, code: str) -> str | None:
        """Return the id of a code that was typed in; ``None`` for an empty one.

        :raises ApiError: If the portal takes none, or this one does not exist.
        """
        if not code:
            return None

        if "promotion_code" not in rules["default_allowed_updates"]:
            raise ApiError("This portal takes no codes.", param="promotion_code")

        promotion_code = self._promotion_codes.find_active(code)

        if promotion_code is None:
            raise ApiError("This code is invalid.", param="promotion_code")

        code_id: str = promotion_code["id"]
        return code_id


def _offer(rules: Object, price: Object, quantity: int) -> Offer:
    """Say how many of a price there may be.

    :param quantity: How many there are now.
    """
    entry: Object = next(
        (
            product["adjustable_quantity"]
            for product in rules["products"] or ()
            if product["product"] == price["product"]
        ),
        {"enabled": True, "maximum": None, "minimum": 1},
    )

    if "quantity" not in rules["default_allowed_updates"] or not entry["enabled"]:
        return Offer(price, quantity, quantity)

    return Offer(price, entry["minimum"], entry["maximum"] or _MAX_QUANTITY)
