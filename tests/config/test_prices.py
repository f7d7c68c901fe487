"""``STRIPE_PRICES``: what is taken, and what is refused."""

from __future__ import annotations

import pytest

from flask_kavach_stripe.config import Price
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
        "pro": Price("price_1", None),
        "team": Price("price_2", 14),
        "plain": Price("price_3", None),
        "no trial": Price("price_4", 0),
        "unset": Price("price_5", None),
        "gold-plan": Price("gold-plan", None),
    }
    assert settings.price_names["price_2"] == "team"
    assert len(settings.price_names) == 6


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        pytest.param("", "''", id="empty"),
        pytest.param("price 1", "'price 1'", id="space"),
        pytest.param(" price_1", "' price_1'", id="space before"),
        pytest.param("price_é", "'price_é'", id="not ASCII"),
        pytest.param(None, "None", id="None"),
        pytest.param(5, "5", id="number"),
        pytest.param(["price_1"], r"\['price_1'\]", id="list"),
        pytest.param({}, "{}", id="empty dict"),
        pytest.param({"trial_days": 3}, "{'trial_days': 3}", id="no price"),
        pytest.param({"price": None}, "None", id="price None"),
        pytest.param({"price": {"id": "price_1"}}, "{'id': 'price_1'}", id="nested"),
        pytest.param({"price": "price_1", "trial": 3}, "'trial': 3", id="unknown key"),
        pytest.param({"price": "price_1", 3: 3}, "3: 3", id="key of another type"),
        pytest.param({"price": "p", "trial_days": 731}, "731", id="trial too long"),
        pytest.param({"price": "p", "trial_days": "7"}, "'7'", id="trial as text"),
    ],
)
def test_wrong_price(entry: object, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'STRIPE_PRICES\[pro\]'.*{shown}"):
        read(STRIPE_PRICES={"pro": entry})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("price_1", "'price_1'", id="text"),
        pytest.param("", "''", id="empty text"),
        pytest.param(["price_1"], r"\['price_1'\]", id="list"),
        pytest.param(True, "True", id="boolean"),
        pytest.param({1: "price_1"}, "1", id="number as name"),
        pytest.param({"": "price_1"}, "''", id="empty name"),
        pytest.param({" pro": "price_1"}, "' pro'", id="space before the name"),
        pytest.param(
            {"a": "price_1", "b": "price_1"},
            "'price_1' for both 'a' and 'b'",
            id="one price with two names",
        ),
        pytest.param(
            {"a": "price_1", "price_1": "price_2"},
            "'price_1' for both 'a' and 'price_1'",
            id="id as the name of another price",
        ),
    ],
)
def test_wrong_prices(value: object, shown: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'STRIPE_PRICES'.* {shown}"):
        read(STRIPE_PRICES=value)
