"""What is sold, and what gives access: the entries of ``STRIPE_PRICES``. Pure.

Whether an item is a plan or an add-on, and which statuses give access, is
configuration. So rows keep what Stripe says, and these values decide when a row is
read.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from types import MappingProxyType
from typing import Final
from typing import NamedTuple
from typing import Protocol
from typing import TypeVar


class Priced(Protocol):
    """Something with a price: an item of a subscription."""

    @property
    def price_id(self) -> str | None: ...


P = TypeVar("P", bound=Priced)


class Quantities(NamedTuple):
    """How many of a price may be bought."""

    minimum: int = 1
    #: ``None`` for no limit but Stripe's.
    maximum: int | None = None

    def choose(self, requested: int | None) -> int:
        """The quantity to buy.

        :param requested: ``None`` for the smallest.
        :raises ValueError: If it is too small or too large.
        """
        quantity = self.minimum if requested is None else requested

        if quantity < self.minimum or quantity > (self.maximum or quantity):
            raise ValueError(f"must be {self}, not {quantity}")

        return quantity

    def __str__(self) -> str:
        if self.maximum is None:
            return f"at least {self.minimum}"

        if self.minimum == self.maximum:
            return str(self.minimum)

        return f"from {self.minimum} to {self.maximum}"


ANY_QUANTITY: Final = Quantities()


@dataclass(frozen=True)
class Price:
    """One entry of ``STRIPE_PRICES``."""

    #: Stripe's ids, ``price_...``. The first one is sold. The others were sold before,
    #: and give the same access.
    ids: tuple[str, ...]
    #: Trial of a first subscription, in days; ``None`` for ``STRIPE_TRIAL_DAYS``.
    trial_days: int | None = None
    #: ``None`` for a metered price, which takes no quantity.
    quantity: Quantities | None = ANY_QUANTITY
    #: Whether it is bought besides a plan.
    addon: bool = False

    @property
    def id(self) -> str:
        """The id that is sold."""
        return self.ids[0]


@dataclass(frozen=True)
class Catalogue:
    """All entries of ``STRIPE_PRICES``."""

    #: By name.
    prices: Mapping[str, Price] = field(default_factory=dict)
    #: Names of entries that have no price id yet. They are not for sale.
    unset: tuple[str, ...] = ()
    #: The names in :attr:`prices`, by price id.
    names: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {id_: name for name, price in self.prices.items() for id_ in price.ids}
        object.__setattr__(self, "prices", MappingProxyType(dict(self.prices)))
        object.__setattr__(self, "names", MappingProxyType(names))

    def find(self, price_id: str | None) -> Price | None:
        """The entry that a price id belongs to."""
        name = self.names.get(price_id or "")
        return None if name is None else self.prices[name]

    def is_addon(self, item: Priced) -> bool:
        """Whether an item is an add-on. A price that is in no entry is none."""
        price = self.find(item.price_id)
        return price is not None and price.addon

    def has_plan(self, items: Iterable[Priced]) -> bool:
        """Whether there is more than add-ons. A subscription without items counts."""
        items = list(items)
        return not items or not all(map(self.is_addon, items))

    def main_item(self, items: Sequence[P]) -> P | None:
        """The item that counts: the first plan of the catalogue, else the first."""
        for item in items:
            price = self.find(item.price_id)

            if price is not None and not price.addon:
                return item

        return items[0] if items else None


class Access(NamedTuple):
    """What gives access: these statuses, and these prices."""

    active_statuses: Sequence[str] = ("active", "trialing")
    catalogue: Catalogue = Catalogue()
