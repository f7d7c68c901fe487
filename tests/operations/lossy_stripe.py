"""A Stripe from which no webhook arrives."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from flask import request

from flask_kavach_stripe.sandbox import Sandbox


class LossyStripe:
    """A sandbox that loses its webhooks, and the app that calls it."""

    def __init__(self, shop: Any, sandbox: Sandbox) -> None:
        self.shop = shop
        self.sandbox = sandbox
        #: Method and path of each request.
        self.requests: list[str] = []
        #: The queries, by path.
        self.queries: dict[str, list[dict[str, str]]] = defaultdict(list)
        sandbox.faults.add("drop", times=math.inf)

        @sandbox.app.before_request
        def remember() -> None:
            self.requests.append(f"{request.method} {request.path}")
            self.queries[request.path].append(request.args.to_dict())

    def call(self, method: str, path: str, params: Any = None) -> Any:
        """Call it as the app does."""
        client = self.shop.app.extensions["kavach_stripe"].client
        return getattr(client, method)(path, params)
