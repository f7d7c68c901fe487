"""Sessions of the customer portal."""

from __future__ import annotations

from ..core import Core
from ..errors import parameter_missing
from ..errors import resource_missing
from ..params import choice
from ..params import ignored
from ..params import mapping
from ..params import read
from ..params import refused
from ..params import text
from ..params import url
from ..store import clone
from ..store import Object
from .base import Params
from .base import Resource
from .customers import Customers

_FLOW = mapping(
    {
        "type": choice("subscription_cancel"),
        "subscription_cancel": mapping(
            {"subscription": text(), "retention": ignored}, required=("subscription",)
        ),
        "after_completion": mapping(
            {
                "type": choice("hosted_confirmation", "portal_homepage", "redirect"),
                "redirect": mapping({"return_url": url}, required=("return_url",)),
                "hosted_confirmation": ignored,
            },
            required=("type",),
        ),
        "subscription_pause": refused,
        "subscription_update": refused,
        "subscription_update_confirm": refused,
    },
    required=("type",),
)


class PortalSessions(Resource):
    kind = "billing_portal.session"
    noun = "billing_portal.session"
    path = "/v1/billing_portal/sessions"

    def __init__(self, core: Core, customers: Customers) -> None:
        super().__init__(core)
        self._customers = customers
        self._configuration_id = core.store.new_id("billing_portal.configuration")

    def create(self, params: Params) -> Object:
        values = read(
            params,
            {
                "after_expiration": ignored,
                "configuration": text(),
                "customer": text(),
                "customer_account": refused,
                "flow_data": _FLOW,
                "locale": text(),
                "on_behalf_of": refused,
                "return_url": url,
            },
            required=("customer",),
        )
        store = self.core.store
        customer = self._customers.get_live(values["customer"], "customer", status=400)
        configuration = values.get("configuration") or self._configuration_id

        if configuration != self._configuration_id:
            raise resource_missing("configuration", configuration, "configuration")

        session_id = store.new_id("billing_portal.session")
        session: Object = {
            "id": session_id,
            "object": "billing_portal.session",
            "configuration": configuration,
            "created": self.core.clock.now(),
            "customer": customer["id"],
            "customer_account": None,
            "flow": self._flow(values.get("flow_data"), customer["id"]),
            "livemode": False,
            "locale": values.get("locale"),
            "on_behalf_of": None,
            "return_url": values.get("return_url"),
            "url": f"{self.core.base_url}/p/session/{session_id}",
        }
        return store.add(session)

    def _flow(self, flow: Object | None, customer_id: str) -> Object | None:
        if flow is None:
            return None

        cancel = flow.get("subscription_cancel")

        if cancel is None:
            raise parameter_missing("flow_data[subscription_cancel]")

        subscription = self.core.store.find("subscription", cancel["subscription"])

        if subscription is None or subscription["customer"] != customer_id:
            raise resource_missing(
                "subscription",
                cancel["subscription"],
                "flow_data[subscription_cancel][subscription]",
            )

        after = clone(flow.get("after_completion")) or {"type": "portal_homepage"}
        return {
            "after_completion": {
                "hosted_confirmation": after.get("hosted_confirmation"),
                "redirect": after.get("redirect"),
                "type": after["type"],
            },
            "subscription_cancel": {
                "retention": None,
                "subscription": subscription["id"],
            },
            "subscription_update": None,
            "subscription_update_confirm": None,
            "type": "subscription_cancel",
        }
