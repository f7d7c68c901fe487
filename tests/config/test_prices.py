"""``STRIPE_PRICES``: what is taken, and what is refused."""

from __future__ import annotations

import logging
import re

import pytest

from flask_kavach_stripe.catalogue import ANY_QUANTITY
from flask_kavach_stripe.catalogue import Price
from flask_kavach_stripe.catalogue import Quantities
from flask_kavach_stripe.errors import ConfigurationError
from tests.config.reading import read


def test_prices() -> None:
    settings = read(
        STRIPE_PRICES={
            "pro": "price_1",
            "team": {"price": "price_2", "trial_days": 14},
            "plain": {"price": "price_3"},
            "no trial": {"price": "price_4", "trial_days": 0},
            "unset": {"price": "price_5", "trial_days": None},
            "gold-plan": "gold-plan",
        }
    )

    assert settings.prices == {
        "pro": Price(("price_1",), None),
        "team": Price(("price_2",), 14),
        "plain": Price(("price_3",), None),
        "no trial": Price(("price_4",), 0),
        "unset": Price(("price_5",), None),
        "gold-plan": Price(("gold-plan",), None),
    }
    assert settings.catalogue.names["price_2"] == "team"
    assert len(settings.catalogue.names) == 6


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(["price_new", "price_old"], id="list"),
        pytest.param(("price_new", "price_old"), id="tuple"),
        pytest.param({"price": ["price_new", "price_old"]}, id="list in a dict"),
    ],
)
def test_first_id_is_sold_and_all_have_the_name(entry: object) -> None:
    settings = read(STRIPE_PRICES={"pro": entry})

    assert settings.prices["pro"].id == "price_new"
    assert settings.catalogue.names == {"price_new": "pro", "price_old": "pro"}


def test_entry_may_be_an_addon() -> None:
    prices = {"storage": {"price": "price_s", "addon": True}, "pro": "price_1"}
    settings = read(STRIPE_PRICES=prices)

    assert settings.prices["storage"].addon is True
    assert settings.prices["pro"].addon is False


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param({}, ANY_QUANTITY, id="absent"),
        pytest.param({"quantity": 5}, Quantities(5, 5), id="fixed"),
        pytest.param({"quantity": (2, 50)}, Quantities(2, 50), id="pair"),
        pytest.param({"quantity": [2, 50]}, Quantities(2, 50), id="pair from JSON"),
        pytest.param({"quantity": (3, 3)}, Quantities(3, 3), id="equal pair"),
        pytest.param({"quantity": None}, None, id="metered"),
    ],
)
def test_quantities_of_an_entry(
    entry: dict[str, object], expected: Quantities | None
) -> None:
    settings = read(STRIPE_PRICES={"team": {"price": "price_1", **entry}})
    assert settings.prices["team"].quantity == expected


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(None, id="None"),
        pytest.param("", id="empty"),
        pytest.param(" \t", id="blank"),
        pytest.param({"price": None}, id="price None"),
        pytest.param({"price": "", "trial_days": 14}, id="price empty"),
        pytest.param([None], id="list of None"),
    ],
)
def test_entry_without_a_price_id_is_a_warning_and_not_for_sale(
    entry: object, caplog: pytest.LogCaptureFixture
) -> None:
    """An unset environment variable; ``flask db upgrade`` has to run without it."""
    with caplog.at_level(logging.WARNING, "flask_kavach_stripe"):
        settings = read(
            STRIPE_SECRET_KEY="sk_live_1",
            STRIPE_PRICES={"pro": entry, "team": "price_2"},
        )

    assert list(settings.prices) == ["team"]
    assert settings.catalogue.unset == ("pro",)
    assert settings.any_price is False
    (message,) = caplog.messages
    assert "STRIPE_PRICES has no price id for 'pro': not for sale" in message


ID = "a price id, 'price_...', or a list of them"
QUANTITY = (
    "a whole number from 1, a pair of them (minimum, maximum), or None for a metered"
    " price"
)
DAYS = "a whole number of days from 0 to 730"


@pytest.mark.parametrize(
    ("entry", "key", "expected", "shown"),
    [
        pytest.param("price 1", '["price"]', ID, '"price 1"', id="space"),
        pytest.param(" price_1", '["price"]', ID, '" price_1"', id="space before"),
        pytest.param("price_é", '["price"]', ID, '"price_é"', id="not ASCII"),
        pytest.param(5, "", "a price id, a list of price ids or a dict", "5", id="int"),
        pytest.param([], '["price"]', ID, "[]", id="empty list"),
        pytest.param(["price_1", ""], '["price"]', ID, '""', id="blank in a list"),
        pytest.param(["price_1", None], '["price"]', ID, "None", id="None in a list"),
        pytest.param(
            {"price": {"id": "price_1"}},
            '["price"]',
            ID,
            "{'id': 'price_1'}",
            id="nested",
        ),
        *(
            pytest.param(
                {"price": "p", "trial_days": days},
                '["trial_days"]',
                DAYS,
                shown,
                id=f"trial {shown}",
            )
            for days, shown in [
                (731, "731"),
                (-1, "-1"),
                (7.0, "7.0"),
                (True, "True"),
                ("14", '"14"'),
            ]
        ),
        *(
            pytest.param(
                {"price": "p", "quantity": quantity},
                '["quantity"]',
                QUANTITY,
                shown,
                id=f"quantity {shown}",
            )
            for quantity, shown in [
                (0, "0"),
                (-1, "-1"),
                (True, "True"),
                ("5", '"5"'),
                (1.0, "1.0"),
                ((2,), "(2,)"),
                ((1, 2, 3), "(1, 2, 3)"),
                ((0, 5), "(0, 5)"),
                ((5, 2), "(5, 2)"),
                ((1, None), "(1, None)"),
                ({}, "{}"),
            ]
        ),
        pytest.param(
            {"price": "p", "addon": 1}, '["addon"]', "True or False", "1", id="addon"
        ),
    ],
)
def test_wrong_price(entry: object, key: str, expected: str, shown: str) -> None:
    """The message has the entry, its key, what is allowed, and the value."""
    message = f'STRIPE_PRICES["pro"]{key} must be {expected}, not {shown}.'

    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        read(STRIPE_PRICES={"pro": entry})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        pytest.param({}, "has no 'price'.", id="empty dict"),
        pytest.param({"trial_days": 3}, "has no 'price'.", id="no price"),
        pytest.param(
            {"price": "price_1", "trial": 3},
            'has the key "trial". The keys of an entry are',
            id="unknown key",
        ),
        pytest.param(
            {"price": "price_1", 3: 3},
            "has the key 3. The keys of an entry are",
            id="key of another type",
        ),
        pytest.param(
            "prod_1",
            '["price"] is "prod_1", a product. Give the id of one of its prices,',
            id="product",
        ),
        pytest.param(
            ["price_1", "prod_1"],
            '["price"] is "prod_1", a product.',
            id="product in a list",
        ),
        pytest.param(
            ["price_1", "price_1"], '["price"] names a price id twice.', id="twice"
        ),
    ],
)
def test_wrong_entry(entry: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(STRIPE_PRICES={"pro": entry})

    said = str(caught.value).replace('STRIPE_PRICES["pro"] ', 'STRIPE_PRICES["pro"]')
    assert said.startswith(f'STRIPE_PRICES["pro"]{message}')


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("price_1", '"price_1"', id="text"),
        pytest.param("", '""', id="empty text"),
        pytest.param(["price_1"], r"\['price_1'\]", id="list"),
        pytest.param(True, "True", id="boolean"),
        pytest.param({1: "price_1"}, "1", id="number as name"),
        pytest.param({"": "price_1"}, '""', id="empty name"),
        pytest.param({" pro": "price_1"}, '" pro"', id="space before the name"),
        pytest.param(
            {"a": "price_1", "b": "price_1"},
            '"price_1" for both "a" and "b"',
            id="one price with two names",
        ),
        pytest.param(
            {"a": ["price_1", "price_2"], "b": "price_2"},
            '"price_2" for both "a" and "b"',
            id="older price with two names",
        ),
        pytest.param(
            {"a": "price_1", "price_1": "price_2"},
            '"price_1" for both "a" and "price_1"',
            id="id as the name of another price",
        ),
    ],
)
def test_wrong_prices(value: object, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^STRIPE_PRICES\b.* {shown}"):
        read(STRIPE_PRICES=value)
