"""A Stripe where all is well, for the tests of ``flask stripe doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import responses

from tests.vocabulary import API
from tests.vocabulary import expect_customer
from tests.vocabulary import OUR_EVENTS
from tests.vocabulary import WEBHOOK


def make_endpoint(url: str = f"https://shop.example{WEBHOOK}", **values: Any) -> Any:
    return {
        "id": "we_1",
        "object": "webhook_endpoint",
        "api_version": "2026-10-28.endive",
        "enabled_events": list(OUR_EVENTS),
        "livemode": False,
        "status": "enabled",
        "url": url,
        **values,
    }


def make_price(**values: Any) -> Any:
    return {
        "id": "price_pro",
        "object": "price",
        "active": True,
        "recurring": {"interval": "month"},
        "type": "recurring",
        **values,
    }


def answer_list(mock: responses.RequestsMock, name: str, data: Sequence[Any]) -> None:
    mock.get(
        f"{API}/{name}",
        json={"object": "list", "data": list(data), "has_more": False},
    )


def answer_portal(mock: responses.RequestsMock, *configurations: Any) -> None:
    answer_list(
        mock,
        "billing_portal/configurations",
        configurations or ({"id": "bpc_1", "object": "billing_portal.configuration"},),
    )


def answer_all(
    mock: responses.RequestsMock,
    *endpoints: Mapping[str, Any],
    prices: Mapping[str, Any] | None = None,
    has_ada: bool = True,
) -> None:
    """A Stripe where all is well, but for what is given.

    :param has_ada: Whether the app has Ada, and so asks for her customer.
    """
    if has_ada:
        expect_customer(mock)

    answer_list(mock, "subscriptions", ())
    answer_list(mock, "webhook_endpoints", endpoints or (make_endpoint(),))
    answer_portal(mock)

    for price_id, price in ({"price_pro": make_price()} | dict(prices or {})).items():
        mock.get(f"{API}/prices/{price_id}", json=price)
