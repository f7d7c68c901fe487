"""The words of the tests of the customer portal."""

from __future__ import annotations

import re
from typing import Any

from werkzeug.test import TestResponse

from .conftest import Api
from .conftest import bracketed
from .conftest import DAY

CARD = {
    "card_number": "5555 5555 5555 4444",
    "card_expiry": "12 / 34",
    "card_cvc": "123",
    "card_name": "Ada",
}
ASKS = {**CARD, "card_number": "4000 0027 6000 3184"}
HALF = DAY * 31 // 2
CONFIGURATIONS = "/v1/billing_portal/configurations"
SESSIONS = "/v1/billing_portal/sessions"


def configure(api: Api, **features: Any) -> str:
    """Create a configuration and return its id; ``__`` stands for brackets."""
    params = {f"features__{name}": value for name, value in features.items()}
    # At least one feature has to be named.
    params.setdefault("features__invoice_history__enabled", "false")
    configuration = api.post(CONFIGURATIONS, bracketed(params))
    configuration_id: str = configuration["id"]
    return configuration_id


def configure_update(api: Api, *prices: Any, **rules: Any) -> str:
    """Create a configuration that lets customers change to these prices."""
    given: dict[str, Any] = {
        "enabled": "true",
        "default_allowed_updates__0": "price",
        **rules,
    }

    for index, price in enumerate(prices):
        given[f"products__{index}__product"] = price["product"]
        given[f"products__{index}__prices__0"] = price["id"]

    return configure(
        api, **{f"subscription_update__{name}": v for name, v in given.items()}
    )


def path_to(portal: str, subscription: Any, page: str) -> str:
    return f"{portal}/subscriptions/{subscription['id']}/{page}"


def due_today(page: TestResponse) -> str:
    match = re.search(r'id="due">.*?(-?\$[\d,.]+)', page.text, re.DOTALL)
    assert match, page.text
    return match[1]


def flow(kind: str, after: str | None = None, **details: Any) -> dict[str, Any]:
    """Return the parameters of a flow."""
    params: dict[str, Any] = {"flow_data__type": kind}
    params |= {f"flow_data__{kind}__{name}": value for name, value in details.items()}

    if after is not None:
        params["flow_data__after_completion__type"] = after

    if after == "redirect":
        params["flow_data__after_completion__redirect__return_url"] = (
            "https://shop.test/bye"
        )

    return params
