"""The words of the tests of API versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from werkzeug.test import Client

from flask_kavach_stripe.sandbox import Sandbox

from .conftest import Api
from .conftest import DAY
from .conftest import Hook
from .conftest import NOON

ACACIA = "2024-12-18.acacia"
BASIL = "2025-03-31.basil"
CLOVER = "2025-09-30.clover"
DAHLIA = "2026-03-25.dahlia"
ENDIVE = "2026-10-28.endive"
TRAINS = (ACACIA, BASIL, CLOVER, DAHLIA, ENDIVE)
#: 15 February 2026, 12:00 UTC
NEXT_NOON = NOON + 31 * DAY


class Caller:
    """Calls the API with a version."""

    def __init__(self, api: Api, version: str) -> None:
        self._api = api
        self._headers = {"Stripe-Version": version}

    def get(self, path: str, **params: str) -> Any:
        response = self._api.call("GET", path, brackets(params), self._headers)
        assert response.status_code == 200, response.text
        return response.json

    def post(self, path: str, **params: str) -> Any:
        response = self._api.call("POST", path, brackets(params), self._headers)
        assert response.status_code == 200, response.text
        return response.json

    def error(self, method: str, path: str, **params: str) -> dict[str, Any]:
        response = self._api.call(method, path, brackets(params), self._headers)
        assert response.status_code == 400, response.text
        assert response.json is not None
        error: dict[str, Any] = response.json["error"]
        return error


class HookByUrl(Hook):
    """Keeps what it gets by the URL that it was sent to."""

    def __init__(self) -> None:
        super().__init__()
        self.by_url: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.by_url.setdefault(url, []).append(json.loads(body))
        return super().__call__(url, body, headers)


def brackets(params: dict[str, str]) -> dict[str, str]:
    result = {}

    for name, value in params.items():
        first, *rest = name.split("__")
        result[first + "".join(f"[{part}]" for part in rest)] = value

    return result


def hook_url(sandbox: Sandbox, api: Api, version: str) -> str:
    """Add an endpoint with a version; its URL is returned, and names it."""
    url = f"https://shop.test/{version}"
    params = {"url": url, "enabled_events[0]": "*", "api_version": version}
    assert api.post("/v1/webhook_endpoints", params)["api_version"] == version
    return url


def cancel_in_portal(sandbox: Sandbox, api: Api, session: Any) -> None:
    """Press the button that ends what was bought with its period."""
    params = {"customer": session["customer"]}
    portal = api.post("/v1/billing_portal/sessions", params)
    path = urlsplit(portal["url"]).path
    Client(sandbox.wsgi_app).post(
        f"{path}/subscriptions/{session['subscription']}/cancel"
    )
